"""Translation metrics: published scores are reproduced, and every score carries its signature."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sacrebleu

from dragoman.cli import main
from dragoman.runtime.errors import UserError
from dragoman.runtime.translator import Translator
from dragoman.translate.evaluation import provenance
from dragoman.translate.evaluation.metrics import exact_by_length, lowercase_and_tokenise, score, within_and_beyond
from dragoman.translate.evaluation.provenance import commit
from dragoman.translate.files import read_rows
from tiny import MULTI30K, needs_multi30k, script


@needs_multi30k
@pytest.mark.parametrize("language", ["en", "de", "fr"])
@pytest.mark.parametrize("name", ["val", "test_2016_flickr"])
def test_lc_tok_reproduces_the_published_files(name: str, language: str) -> None:
    raw = gzip.decompress((MULTI30K / f"{name}.{language}.gz").read_bytes()).decode().splitlines()
    published = (MULTI30K / f"{name}.lc.norm.tok.{language}").read_text("utf-8").splitlines()
    tokenised = lowercase_and_tokenise(raw, language)
    equal = sum(a == b for a, b in zip(tokenised, published, strict=True))
    assert equal >= 0.995 * len(published)


@pytest.mark.parametrize(
    ("language", "raw", "tokenised"),
    [
        (
            "en",
            "A dog's tail, \u201clong\u201d & thin; isn't it?",
            "a dog &apos;s tail , &quot; long &quot; &amp; thin ; isn &apos;t it ?",
        ),
        (
            "de",
            "\u201eGuten Tag\u201c, sagt Dr. Weiß um 9.30 Uhr.",
            "&quot; guten tag &quot; , sagt dr. weiß um 9.30 uhr .",
        ),
        (
            "fr",
            "L\u2019homme qu'on voit\u00a0: c'est l'été !",
            "l&apos; homme qu&apos; on voit : c&apos; est l&apos; été !",
        ),
    ],
)
def test_lc_tok_of_invented_sentences(language: str, raw: str, tokenised: str) -> None:
    assert lowercase_and_tokenise([raw], language) == [tokenised]


def test_signatures_distinguish_the_protocols() -> None:
    output, reference = ["Ein Hund läuft."], ["Ein Hund läuft schnell."]
    cased, lowercased = score(output, [reference], "de"), score(output, [reference], "de", "lc.tok")
    assert [s.metric for s in cased] == ["BLEU", "chrF", "TER"]
    assert "tok:13a" in cased[0].signature
    assert "tok:none" in lowercased[0].signature
    assert {s.protocol for s in lowercased} == {"lc.tok"}
    assert cased[2].score == pytest.approx(50.0)  # two edits, `läuft.` and the missing word, for four words


def test_a_perfect_translation_scores_100() -> None:
    lines = ["Zwei Hunde rennen über eine Wiese.", "Ein Mann liest ein Buch im Park."]
    scores = {s.metric: s.score for s in score(lines, [lines], "de")}
    assert scores["BLEU"] == pytest.approx(100)
    assert scores["TER"] == 0


@pytest.mark.parametrize(
    ("language", "tokenizer", "metrics"),
    [
        ("ja", "char", ["BLEU", "chrF", "TER"]),
        ("ja-JP", "char", ["BLEU", "chrF", "TER"]),
        ("zh-TW", "zh", ["BLEU", "chrF", "TER"]),
        ("ZH", "zh", ["BLEU", "chrF", "TER"]),
        ("th", "char", ["BLEU", "chrF"]),
        ("km_KH", "char", ["BLEU", "chrF"]),
    ],
)
def test_text_without_spaces_is_scored_by_characters(language: str, tokenizer: str, metrics: list[str]) -> None:
    scores = score(["猫が好き"], [["犬が好き"]], language)
    assert f"tok:{tokenizer}" in scores[0].signature
    assert [s.metric for s in scores] == metrics
    if "TER" in metrics:
        assert scores[2].score == 25  # one of four characters, not one of one word
        assert "asian:yes" in scores[2].signature


def test_commit_marks_a_changed_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e"]
        return subprocess.run(
            ["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "one")
    git("tag", "v1")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "translate" / "evaluation" / "provenance.py"))
    (tmp_path / "untracked").write_text("")
    assert commit() == git("rev-parse", "--short=12", "HEAD").strip()
    (tmp_path / "a").write_text("2")
    assert commit() == git("rev-parse", "--short=12", "HEAD").strip() + "+changed"


def test_lc_tok_is_refused_without_spaces() -> None:
    for language in ("zh", "ja", "th", "zho"):
        with pytest.raises(UserError, match=f"splits text at spaces, and {language} is written without"):
            score(["我喜欢猫。"], [["我很喜欢猫。"]], language, "lc.tok")
    assert score(["a b"], [["a b"]], "ko", "lc.tok")


def test_references_are_normalised_like_translations(
    tiny_run: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = []
    for spaced in (False, True):
        for side in ("en", "xx"):
            lines = (tiny_corpus / f"test.{side}").read_text().splitlines()
            if spaced:
                lines = [f" {line.replace(' ', '  ')} " for line in lines]
            (tmp_path / side).write_text("".join(line + "\n" for line in lines))
        words = ["--source", str(tmp_path / "en"), "--reference", str(tmp_path / "xx"), "--json"]
        assert main(["evaluate", str(tiny_run), *words, "--exact"]) == 0
        evaluated = capsys.readouterr().out
        assert main(["compare", str(tiny_run), str(tmp_path / "xx"), "--language", "xx", *words]) == 0
        outputs.append((evaluated, capsys.readouterr().out))
    assert outputs[0] == outputs[1]


def test_documentation_shows_the_recorded_scores() -> None:
    """The tables equal their files: `make results` would change nothing."""
    tables = script("docs/tables.py")
    for page, text in tables.pages().items():
        assert tables.redrawn(page.read_text("utf-8"), text) == page.read_text("utf-8"), page.name


def test_lc_tok_without_sacremoses_says_what_to_install(
    tiny_run: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    monkeypatch.setattr(Translator, "translate", None)  # the error comes before any translation
    words = ["--source", str(tiny_corpus / "test.en"), "--reference", str(tiny_corpus / "test.xx")]
    for command in (["evaluate", str(tiny_run)], ["compare", str(tiny_run), str(tiny_run)]):
        assert main([*command, *words, "--protocol", "lc.tok"]) == 2
        assert capsys.readouterr().err == (
            "dragoman: --protocol lc.tok needs sacremoses; run `pip install 'dragoman[moses]'`\n"
        )
    assert score(["a b"], [["a b"]], "de")


def test_training_starts_without_the_metrics() -> None:
    code = "import sys, dragoman.translate.training.trainer; print({'sacrebleu', 'sacremoses'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"set()\n"


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_basis_is_now_protocol(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--basis", "lc.tok"], ["--basis=cased"], ["--basis"]):
        with pytest.raises(SystemExit) as stop:
            main([command, "a", "b", *words])
        assert stop.value.code == 2
        assert capsys.readouterr() == ("", "dragoman: --basis is now called --protocol\n")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "--basis" not in capsys.readouterr().out


def test_recorded_scores_are_those_of_the_written_translations(
    tiny_run: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    words = ["evaluate", str(tiny_run), "--corpus", str(tiny_corpus), "--name", "test"]
    assert main([*words, "--output", str(tmp_path / "out"), "--record", str(tmp_path / "scores.jsonl")]) == 0
    output, reference = (path.read_text().splitlines() for path in (tmp_path / "out", tiny_corpus / "test.xx"))
    (row,) = read_rows(tmp_path / "scores.jsonl")
    assert not [key for key in script("docs/tables.py").KEYS if row[key] in (None, "")]
    assert (row["beam"], row["length_penalty"], row["seed"]) == (3, 0.8, 1)
    recorded = row["metrics"]
    for name, metric in (("BLEU", sacrebleu.BLEU()), ("chrF", sacrebleu.CHRF()), ("TER", sacrebleu.TER())):
        expected = metric.corpus_score(output, [reference])
        assert recorded[name]["score"] == pytest.approx(expected.score, abs=1e-3)
        assert recorded[name]["signature"] == metric.get_signature().format(short=False)
    assert 0 < recorded["chrF"]["score"] < 100


def test_exact_matches_within_and_beyond_the_training_lengths() -> None:
    exact = [{"length": 5, "lines": 3, "exact": 100.0}, {"length": 6, "lines": 1, "exact": 0.0}]
    assert within_and_beyond(exact, 6) == {"within": 75.0, "beyond": None}
    assert within_and_beyond(exact, 5) == {"within": 100.0, "beyond": 0.0}
    source = ["a b", "a b", "a"]
    assert exact_by_length(source, ["x", "y", "z"], [["x", "x", "z"]]) == [
        {"length": 1, "lines": 1, "exact": 100.0}, {"length": 2, "lines": 2, "exact": 50.0}
    ]  # fmt: skip


def test_a_report_draws_the_translation_that_is_scored(
    tiny_run: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []
    translate = Translator.translate

    def recording(self: Translator, *a: Any, **options: Any) -> Any:  # noqa: ANN401 (passed on)
        calls.append(options)
        return translate(self, *a, **options)

    monkeypatch.setattr(Translator, "translate", recording)
    page = str(tmp_path / "page.html")
    words = ["evaluate", str(tiny_run), "--corpus", str(tiny_corpus), "--length-penalty", "0.3"]
    assert main([*words, "--report", page, "--show", "1"]) == 0
    assert any(options.get("alignments") for options in calls)
    assert {options["length_penalty"] for options in calls} == {0.3}
