"""The benchmark of protected spans: its made sentences, and its counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from copying import file_of
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.protection import PATTERNS, count_in, protected_spans
from dragoman.translate.corpus.folder import Corpus, Pair, write_corpus
from dragoman.translate.files import read_rows
from tiny import script


@pytest.fixture
def spans() -> ModuleType:
    bench: ModuleType = script("bench/spans.py")
    return bench


def test_made_sentences_hold_all_kinds_equally_often(spans: ModuleType) -> None:
    made = spans.made_examples(600)
    assert made == spans.made_examples(600)
    assert made[:5] != spans.made_examples(5, seed=2)
    counts = Counter(kind for example in made for kind in example.strings.values())
    assert counts.keys() == PATTERNS.keys()
    assert max(counts.values()) - min(counts.values()) <= 1
    assert {len(example.strings) for example in made} == {1, 2, 3, 4}


def test_every_made_span_is_protected(spans: ModuleType) -> None:
    for source, strings, reference in spans.made_examples(2000):
        assert normalise(source) == source
        assert {source[start:end] for start, end in protected_spans(source)} == set(strings), source
        assert reference is None
        for string, kind in strings.items():
            start = source.index(string)
            assert spans.kind_of(source, start, start + len(string)) == kind


def test_made_spans_stand_in_all_positions(spans: ModuleType) -> None:
    sources = [(source, string) for source, strings, _ in spans.made_examples(600) for string in strings]
    assert any(source.startswith(string) for source, string in sources)
    assert any(source.endswith(string) for source, string in sources)
    assert any(count_in(source, string) == 2 for source, string in sources)
    for beside in ("({})", '"{}"', "{}.", "{},", "{}?", "{}!", "{};"):
        assert any(beside.format(string) in source for source, string in sources), beside


@pytest.mark.parametrize(
    ("translation", "reference", "expected"),
    [
        ("das Feld {a} ist leer", "Das Feld {a} hat nichts", True),
        ("ein {a} ist leer", "ein {a}, ist nichts", True),
        ("{a} im Feld", "das {a} Feld", False),
        ("Feld: {a}.", "Wert {a}", True),  # both at the end
    ],
)
def test_placement(spans: ModuleType, translation: str, reference: str, expected: bool) -> None:
    assert spans.is_well_placed("{a}", translation, reference) == expected


@pytest.mark.parametrize(
    ("translation", "expected"),
    [("x {a} y", True), ("x {a}, ({a})", True), ("{a}-Feld", True), ("x{a}", False), ("{a}y", False), ("/{a}", False)],
)
def test_stands_apart(spans: ModuleType, translation: str, expected: bool) -> None:
    assert spans.stands_apart("{a}", "see {a} here", translation) == expected
    assert spans.stands_apart("{a}", "see/{a}s", "siehe/{a}s")


def test_outcomes_of_parts(spans: ModuleType, tmp_path: Path) -> None:
    translator = spans.RecordingTranslator.load(file_of(tmp_path / "copy.onnx"))
    text = "copy {a} this line"

    def outcome(own: str, final: str, beam: list[str] | None = None, *, translated: bool = True) -> str:
        (part,) = translator.recorder.split(text)
        part.is_translated = translated
        part.hypotheses = [spans_hypothesis(final)]
        searches = {id(part): [[own], *([beam] if beam else [])]}
        found: str = spans.outcome_of("{a}", text, final, [part], searches)
        return found

    def spans_hypothesis(final: str) -> object:
        return type("Found", (), {"text": final})()

    assert outcome("x {a}", "x {a}") == spans.OWN
    assert outcome("x", "y {a}", ["x", "y {a}"]) == spans.OTHER
    assert outcome("x", "x {a}", ["x", "y"]) == spans.ATTENTION
    assert outcome("x {a}", "x {a} z", ["x {a}", "y"]) == spans.OWN  # another string was put back
    assert outcome("x", text, ["x"], translated=False) == spans.SOURCE
    assert outcome("x", "x") == spans.LOST


def test_figures(spans: ModuleType) -> None:
    strings = {"{a}": "template", "b.txt": "path"}
    example = spans.Example("{a} is 5 in b.txt", strings, "{a} ist 5 in b.txt")
    outcomes = [
        spans.Outcome(example, "{a} ist in", "{a} ist 5 in b.txt", {"{a}": spans.OWN, "b.txt": spans.ATTENTION}),
        spans.Outcome(example, "", "{a} is 5 in b.txt", dict.fromkeys(strings, spans.SOURCE)),
        spans.Outcome(example, "b.txt", "5", dict.fromkeys(strings, spans.LOST)),
    ]
    row = spans.row_of(outcomes)
    assert (row["texts"], row["strings"], row["before"], row["after"]) == (3, 6, 33.33, 33.33)
    assert row["outcomes"] == {
        "model": 1, "other hypothesis": 0, "attention": 1, "source language": 2, "lost": 2,
    }  # fmt: skip
    assert row["silently_lost"] == 2
    assert row["kinds"]["path"]["strings"] == 3
    assert row["placed"] == {"bare": [1, 1], "same": [1, 1], "repaired": [1, 1]}
    assert row["different_numbers"] == {"source": 3, "before": 3, "after": 0, "reference": 0}
    assert "2 lost silently" in spans.table({**row, "set": "x", "beam": 1})
    assert sorted(outcomes, key=spans.badness)[-1] == outcomes[-1]
    assert "(attention)" in spans.shown(outcomes[0])


def test_a_model_that_copies_keeps_every_span(
    spans: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(spans, "N_MADE", 20)
    pairs = [Pair("copy {line} this", "copy {line} this"), Pair("and that", "and that")]
    write_corpus(tmp_path / "corpus", ("en", "xx"), dict.fromkeys(("train", "valid", "test"), pairs), {"corpus": "c"})
    examples = spans.sets_of(Corpus(tmp_path / "corpus"), 5)
    assert [len(examples[name]) for name in ("held-out", "train 5", "made 20")] == [2, 1, 20]
    model, rows = file_of(tmp_path / "copy.onnx"), tmp_path / "rows.jsonl"
    words = ["spans.py", str(model), "--corpus", str(tmp_path / "corpus"), "--show", "1", "--record", str(rows)]
    monkeypatch.setattr("sys.argv", words)
    assert spans.main() == 0
    held_out, made = read_rows(rows)
    assert (held_out["set"], held_out["before"], held_out["after"], held_out["outcomes"]["model"]) == (
        "held-out", 100, 100, 2,
    )  # fmt: skip
    assert made["after"] == 100
    assert "100.00" in capsys.readouterr().out


def test_mistakes_are_one_line(
    spans: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["spans.py", str(tmp_path / "none.onnx"), "--corpus", str(tmp_path)])
    assert spans.main() == 2
    assert "none.onnx" in capsys.readouterr().err
