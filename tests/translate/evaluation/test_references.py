"""Scores against one or several references equal those of sacreBLEU's own command on the same files."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragoman.cli import main
from dragoman.runtime.translator import Translator
from dragoman.translate.evaluation import translation_evaluation
from dragoman.translate.evaluation.metrics import exact_by_length, score
from dragoman.translate.files import read_rows
from tiny import number_pairs, script

TEXT = [
    "Ein Mann, der 3,5 km läuft.",
    "„Guten Tag“, sagt sie: es ist 9.30 Uhr!",
    "zwei  Hunde\u00a0rennen",
    "",
    "Äpfel & Birnen (frisch) — 50\u202f%",
    unicodedata.normalize("NFD", "süße Öfen fällt Ähre"),
    "weich\u00adheit\u200b",
    "die Katze sitzt auf der Matte .",
    "\u2581 A < B > C",
    "ein sehr langer Satz mit vielen Wörtern und noch mehr",
]


def variants(seed: int) -> list[str]:
    """Return the text with words that are missing, doubled or in another order."""
    rng = random.Random(seed)
    lines = []
    for line in TEXT * 4:
        words = line.split(" ")
        for _ in range(rng.randint(0, 2)):
            i, j = rng.randrange(len(words)), rng.randrange(len(words))
            words[i] = rng.choice([words[j], words[i].lower(), "etwas"])
        lines.append(" ".join(words))
    return lines


def write(path: Path, lines: list[str]) -> str:
    """Write lines to a file and return its path."""
    path.write_text("".join(line + "\n" for line in lines), "utf-8")
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Return the paths of two systems' translations and of three references."""
    return {name: write(tmp_path / name, variants(seed)) for seed, name in enumerate(("a", "b", "r1", "r2", "r3"))}


def sacrebleu_command(references: list[str], systems: list[str], *options: str) -> str:
    """Return what sacreBLEU's own command prints."""
    words = [sys.executable, "-m", "sacrebleu", *references, "-m", "bleu", "chrf", "ter", "-w", "4", *options]
    return subprocess.run([*words, "-i", *systems], capture_output=True, text=True, check=True).stdout


def reference_options(paths: list[str]) -> list[str]:
    return [word for path in paths for word in ("--reference", path)]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_compare_equals_sacrebleus_command(
    files: dict[str, str], count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    references = [files[f"r{n}"] for n in range(1, count + 1)]
    words = ["compare", files["a"], files["b"], *reference_options(references), "--language", "de", "--json"]
    assert main(words) == 0
    comparison = json.loads(capsys.readouterr().out)
    assert (comparison["sentences"], comparison["references"]) == (40, count)
    assert comparison["lengths"] == []
    page = sacrebleu_command(references, [files["a"], files["b"]], "--paired-bs", "-f", "text")
    # A row of scores and intervals for each system, and one of p for the second.
    scores = [
        (float(score), float(interval)) for score, interval in re.findall(r"([\d.]+) \([\d.]+ ± ([\d.]+)\)", page)
    ]
    p = [float(value) for value in re.findall(r"\(p = ([\d.]+)\)", page)]
    assert [row["metric"] for row in comparison["scores"]] == ["BLEU", "chrF", "TER"]
    for number, row in enumerate(comparison["scores"]):
        assert f"nrefs:{count}|" in row["signature"]
        assert row["signature"] in page
        for system, theirs in zip(row["systems"], (scores[number], scores[number + 3]), strict=True):
            assert (system["score"], system["interval"]) == pytest.approx(theirs, abs=0.006)
        assert row["systems"][1]["p"] == pytest.approx(p[number], abs=1e-4)


@pytest.mark.parametrize("count", [1, 2])
def test_evaluate_equals_sacrebleus_command(
    count: int, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The references are scored as they are in their files, and so is the output that the user sees."""
    pairs = number_pairs(40)
    source = write(tmp_path / "source", [p.source for p in pairs])
    words = [" ".join(p.target.split()[::-1]) for p in pairs]
    references = [write(tmp_path / "r1", [p.target for p in pairs]), write(tmp_path / "r2", [f"{w} ." for w in words])]
    references = references[:count]
    out, record = str(tmp_path / "out"), tmp_path / "scores.jsonl"
    command = ["evaluate", str(tiny_run), "--source", source, *reference_options(references), "--record", str(record)]
    assert main([*command, "--output", out, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["references"] == count
    (row,) = read_rows(record)
    assert row["references"] == count
    for theirs in json.loads(sacrebleu_command(references, [out], "-f", "json")):
        name = "chrF" if theirs["name"].startswith("chrF") else theirs["name"]
        assert printed[name]["score"] == pytest.approx(theirs["score"], abs=0.0006)
        assert row["metrics"][name]["score"] == printed[name]["score"]
        assert printed[name]["signature"].startswith(f"nrefs:{count}|")


def test_a_second_reference_is_another_measurement(tiny_run: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    record, page = tmp_path / "scores.jsonl", tmp_path / "page.html"
    source, reference = (str(tiny_corpus / f"test.{side}") for side in ("en", "xx"))
    command = ["evaluate", str(tiny_run), "--source", source, "--record", str(record), "--report", str(page)]
    for count in (1, 2, 2, 1):
        assert main([*command, *reference_options([reference, source][:count]), "--robustness", "--exact"]) == 0
    assert "50 sentences, 2 references, " not in page.read_text("utf-8")
    assert main([*command, *reference_options([reference, source])]) == 0
    assert "50 sentences, 2 references, " in page.read_text("utf-8")
    assert page.read_text("utf-8").count("<dt>reference</dt>") == 2 * page.read_text("utf-8").count("<dt>line ")
    rows = read_rows(record)
    assert [row["references"] for row in rows] == [1, 2]
    headings = script("docs/tables.py").groups([{**row, "run": "wd-01"} for row in rows])
    assert [len(group) for _, group in headings] == [1, 1]  # never in one table
    # A row of an earlier version, which does not say, has one reference and is replaced.
    del rows[0]["references"]
    record.write_text(json.dumps(rows[0]) + "\n")
    assert main([*command, *reference_options([reference])]) == 0
    assert [row["references"] for row in read_rows(record)] == [1]


def test_an_exact_match_equals_one_of_the_references() -> None:
    rows = exact_by_length(["1", "2", "3"], ["a", "b", "c"], [["a", "x", "x"], ["y", "b", "y"]])
    assert rows == [{"length": 1, "lines": 3, "exact": 66.67}]


def test_references_of_different_lengths_are_one_sentence(
    files: dict[str, str], tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = write(tmp_path / "short", variants(1)[:-1])
    for command in (
        ["evaluate", str(tiny_run), "--source", files["a"], "--reference", files["r1"], "--reference", short],
        ["compare", files["a"], files["b"], "--reference", files["r1"], "--reference", short],
        ["compare", files["a"], short, "--reference", files["r1"]],
    ):
        assert main(command) == 2
        first = files["a"] if command[0] == "evaluate" else files["r1"]
        assert capsys.readouterr().err == (
            f"dragoman: {short} has 39 lines and {first} has 40; both need the same number of lines\n"
        )


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)])
def test_references_may_be_compressed(
    ending: str,
    pack: Callable[[bytes], bytes],
    files: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    packed = tmp_path / f"packed{ending}"
    packed.write_bytes(pack(Path(files["r2"]).read_bytes()))
    outputs = []
    for second in (files["r2"], str(packed)):
        words = ["compare", files["a"], files["b"], *reference_options([files["r1"], second]), "--language", "de"]
        assert main([*words, "--json"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_compare_translations_without_a_source(
    files: dict[str, str], tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    words = ["compare", files["a"], files["b"], "--reference", files["r1"], "--language", "de"]
    assert main([*words, "--html", str(page)]) == 0
    without = capsys.readouterr().out
    assert main(words[:-2]) == 0
    assert capsys.readouterr().out == without  # the script of the reference needs no language
    assert "40 sentences, cased\n" in without
    assert "words" not in without
    assert "  source " not in without
    assert "  reference  " in without
    assert "Scores by source length" not in page.read_text("utf-8")
    source = write(tmp_path / "source", TEXT * 4)
    assert main([*words, "--html", str(page), "--source", source]) == 0
    with_source = capsys.readouterr().out
    assert re.search(r"\nwords +sentences", with_source)
    assert "  source     Ein Mann, der 3,5 km läuft.\n" in with_source
    assert "Scores by source length" in page.read_text("utf-8")
    assert [line for line in without.splitlines() if line.startswith("BLEU")] == [
        line for line in with_source.splitlines() if line.startswith("BLEU")
    ]
    assert main(["compare", files["a"], str(tiny_run), "--reference", files["r1"]]) == 2
    assert capsys.readouterr().err == (f"dragoman: {tiny_run} is a model; give --source, the text that it translates\n")
    assert main(["compare", files["a"], files["b"], "--source", source]) == 2
    assert "two files of translations need no --source" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("12\n\n345\n".encode("utf-16"), None),
        ("\ufeff12\r\n\r\n345\r\n".encode(), None),
        (gzip.compress(b"12\n\n345", mtime=0), None),
        (b"12\n\n345", None),  # no line feed at the end
        (b"12\n\n345\n", None),
        (b"12\n345\n", "has 2"),
        (b"12\n\n345\n\n", "has 4"),
        (b"", "has 0"),
        ("12\n\n345\n".encode("utf-16-le"), "UTF-16"),
        (b"12\n\xff\n345\n", "line 2 is not UTF-8"),
    ],
)
def test_files_of_every_kind_are_read_or_refused(
    data: bytes, expected: str | None, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same text scores the same in every form, on each side."""
    good = write(tmp_path / "good", ["12", "", "345"])
    (tmp_path / "file").write_bytes(data)
    given = str(tmp_path / "file")
    for source, reference in ((given, good), (good, given)):
        status = main(["evaluate", str(tiny_run), "--source", source, "--reference", reference, "--json"])
        printed = capsys.readouterr()
        if expected is None:
            assert status == 0
            assert json.loads(printed.out)["sentences"] == 3
            plain = ["--source", good, "--reference", good, "--json"]
            assert main(["evaluate", str(tiny_run), *plain]) == 0
            assert json.loads(capsys.readouterr().out)["chrF"] == json.loads(printed.out)["chrF"]
        else:
            assert status == 2
            assert expected in printed.err
            assert printed.err.count("\n") == 1


@pytest.mark.parametrize("option", ["--output", "--report", "--record"])
@pytest.mark.parametrize("name", ["source", "reference", "second", "link"])
def test_an_input_of_evaluate_is_not_overwritten(
    option: str, name: str, tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, reference, second = (write(tmp_path / f, ["12", "345"]) for f in ("source", "reference", "second"))
    (tmp_path / "link").symlink_to("reference")
    arguments = ["--source", source, "--reference", reference, "--reference", second, option, str(tmp_path / name)]
    assert main(["evaluate", str(tiny_file), *arguments]) == 2
    expected = f"{option} {tmp_path / name} is also an input of this command; name another file"
    assert capsys.readouterr().err == f"dragoman: {expected}\n"
    assert (tmp_path / name).read_text() == "12\n345\n"


@pytest.mark.parametrize("text", ["A house.\n", "12\n345\n", '["a"]\n', '{"run": "x"}\n3\n'])
def test_scores_are_not_recorded_in_another_kind_of_file(
    text: str, tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, notes = write(tmp_path / "source", ["12", "345"]), tmp_path / "notes"
    notes.write_text(text)
    assert main(["evaluate", str(tiny_file), "--source", source, "--reference", source, "--record", str(notes)]) == 2
    assert f"--record {notes} holds something other than recorded scores" in capsys.readouterr().err
    assert notes.read_text() == text


@pytest.mark.parametrize("option", ["--output", "--report", "--record"])
def test_a_corpus_or_model_is_not_overwritten(
    option: str, tiny_corpus: Path, tiny_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, model = tmp_path / "corpus", tmp_path / "tiny.onnx"
    shutil.copytree(tiny_corpus, corpus)
    shutil.copy(tiny_file, model)
    for path in (corpus / "test.en", corpus / "train.xx", model):
        before = path.read_bytes()
        assert main(["evaluate", str(model), "--corpus", str(corpus), option, str(path)]) == 2
        assert "is also an input of this command" in capsys.readouterr().err
        assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["first", "second", "reference"])
def test_an_input_of_compare_is_not_overwritten(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, reference = (write(tmp_path / f, ["12", "345"]) for f in ("first", "second", "reference"))
    assert main(["compare", first, second, "--reference", reference, "--html", str(tmp_path / name)]) == 2
    assert f"--html {tmp_path / name} is also an input of this command" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "12\n345\n"


def test_empty_files_are_refused(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = write(tmp_path / "empty", [])
    assert main(["evaluate", str(tiny_run), "--source", empty, "--reference", empty]) == 2
    assert capsys.readouterr().err == f"dragoman: {empty} is empty; give a file with at least one line\n"


def test_models_and_metrics_see_the_text_of_the_files(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model normalises its input by its own rules, which may be older; nobody normalises a reference."""
    raw = ["1\u00a02", " 3\u200b  4 ", unicodedata.normalize("NFD", "é"), "\u2581"]
    source = write(tmp_path / "source", raw)
    translated: list[str] = []
    scored: list[list[str]] = []
    translate = Translator.translate

    def recording_translate(self: Translator, text: list[str], **options: Any) -> Any:  # noqa: ANN401 (passed on)
        translated.extend(text)
        return translate(self, text, **options)

    def recording_score(output: list[str], references: list[list[str]], *a: Any) -> Any:  # noqa: ANN401 (passed on)
        scored.extend([output, *references])
        return score(output, references, *a)

    monkeypatch.setattr(Translator, "translate", recording_translate)
    monkeypatch.setattr(translation_evaluation, "score", recording_score)
    out = tmp_path / "out"
    words = ["evaluate", str(tiny_run), "--source", source, "--reference", source, "--reference", source]
    assert main([*words, "--output", str(out)]) == 0
    assert translated == raw
    assert scored == [out.read_text("utf-8").split("\n")[:-1], raw, raw]
    # A corpus is read in the same way.
    (tmp_path / "corpus").mkdir()
    card = {"source_language": "en", "target_language": "xx"}
    (tmp_path / "corpus" / "corpus.json").write_text(json.dumps(card))
    for language in ("en", "xx"):
        write(tmp_path / "corpus" / f"test.{language}", raw)
    translated.clear()
    scored.clear()
    assert main(["evaluate", str(tiny_run), "--corpus", str(tmp_path / "corpus")]) == 0
    assert translated == raw
    assert scored[1:] == [raw]
    write(tmp_path / "corpus" / "test.xx", raw[:-1])
    assert main(["evaluate", str(tiny_run), "--corpus", str(tmp_path / "corpus")]) == 2
    assert "test.xx has 3 lines and" in capsys.readouterr().err
