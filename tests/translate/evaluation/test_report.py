"""Comparisons against sacreBLEU's own scores, and HTML pages that hold untrusted text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import sacrebleu

from dragoman.cli import main
from dragoman.translate.evaluation.compare import (
    as_text,
    compare_systems,
    conclusion,
    largest_differences,
    scores_by_length,
    significance_tests,
)
from dragoman.translate.evaluation.report import comparison_report, render_page

SOURCE = ["one", "one two three four five six", "a b c d e f g h i j k l", "", "two words"] * 4
REFERENCE = ["eins", "eins zwei drei vier fünf sechs", "a b c d e f g h i j k l", "nichts", "zwei Wörter"] * 4
WORSE = [line.replace("e", "x", 1) for line in REFERENCE]


def test_scores_equal_those_of_sacrebleu() -> None:
    worse, reference = 2 * WORSE, 2 * REFERENCE
    rows = significance_tests({"a": worse, "b": reference}, [reference], "de", "cased")
    assert [row["metric"] for row in rows] == ["BLEU", "chrF", "TER"]
    bleu = sacrebleu.corpus_bleu(worse, [reference]).score
    first, second = rows[0]["systems"]
    assert first["score"] == pytest.approx(bleu, abs=0.01)
    assert second["score"] == pytest.approx(100)
    assert second["difference"] == pytest.approx(100 - bleu, abs=0.01)
    assert second["p"] < 0.05
    same = significance_tests({"a": worse, "b": worse}, [reference], "de", "cased")[0]["systems"][1]
    assert same["difference"] == 0
    assert same["p"] > 0.5


def test_few_sentences_have_no_p_value() -> None:
    comparison = compare_systems(SOURCE, {"a": WORSE, "b": REFERENCE}, [REFERENCE], "de", "cased", 2)
    assert [row["systems"][1]["p"] for row in comparison["scores"]] == [None] * 3
    assert "20 sentences are too few for a significance test, which needs at least 30." in as_text(comparison)
    assert "too few sentences" in comparison_report(comparison, "test.en")


def test_every_sentence_falls_into_one_length_bucket() -> None:
    buckets = scores_by_length(SOURCE, {"a": WORSE}, [REFERENCE], "de", "cased")
    assert [(b["words"], b["sentences"]) for b in buckets] == [("1 to 5", 12), ("6 to 10", 4), ("11 to 20", 4)]
    assert buckets[2]["scores"]["a"]["chrF"] < 100


def test_two_characters_count_as_a_word_without_spaces() -> None:
    menu = ["Configuration", "Print", "Save as a file"]
    assert [b["sentences"] for b in scores_by_length(menu, {"a": menu}, [menu], "de", "cased")] == [3]
    japanese = ["日本語", "今日は天気がとてもいいですね。"]
    assert [b["words"] for b in scores_by_length(japanese, {"a": japanese}, [japanese], "de", "cased")] == [
        "1 to 5",
        "6 to 10",
    ]


def test_largest_differences() -> None:
    reference = ["alpha beta", "gamma delta", "same words"]
    systems = {"a": ["alpha beta", "nothing", "same words"], "b": ["wrong", "gamma delta", "same words"]}
    assert largest_differences(systems, [reference], 5) == ([1], [0])


def test_text_is_escaped_in_pages() -> None:
    untrusted = '<script>alert("x")</script> & {{ 7 * 7 }}'
    systems = {untrusted: [untrusted] * 3, "b": ["x"] * 3}
    html = comparison_report(compare_systems([untrusted] * 3, systems, [["y z"] * 3], "de", "cased", 2), "test.en")
    assert "<script" not in html
    assert "{{ 7 * 7 }}" in html
    assert not re.search(r"(src|href)=[\"'](?!data:)", html)
    assert render_page("empty").count("<h2>") == 0


def test_commands(
    tiny_run: Path, tiny_file: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--source", str(tiny_corpus / "test.en"), "--reference", str(tiny_corpus / "test.xx")]
    html = tmp_path / "page.html"
    assert main(["compare", str(tiny_run), str(tiny_file), *files, "--html", str(html), "--beam", "2"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"BLEU .*\+0\.00", output)  # the same model twice
    assert str(tiny_file) in html.read_text("utf-8")
    other = tmp_path / "other.txt"
    other.write_text("six\n" * 50)
    assert main(["compare", str(tiny_run), str(other), *files, "--json"]) == 0
    comparison = json.loads(capsys.readouterr().out)
    assert comparison["sentences"] == 50
    assert comparison["scores"][0]["systems"][1]["name"] == str(other)
    other.write_text("six\n" * 49)
    assert main(["compare", str(tiny_run), str(other), *files]) == 2
    assert "has 49 lines and" in capsys.readouterr().err
    assert main(["evaluate", str(tiny_run), *files, "--report", str(html), "--show", "3"]) == 0
    text = html.read_text("utf-8")
    assert text.count("data:image/png;base64,") == 2  # the training curves and the attention map of line 3
    assert "Worst sentences by chrF" in text
    capsys.readouterr()
    assert main(["evaluate", str(tiny_run), *files, "--report", str(html), "--show", "51"]) == 2
    assert "--show 51: the source has only 50 lines; choose a line from 1 to 50" in capsys.readouterr().err
    nowhere = str(tmp_path / "nowhere" / "page.html")
    for command in (["evaluate", str(tiny_run), "--report"], ["compare", str(tiny_run), str(tiny_file), "--html"]):
        assert main([*command, nowhere, *files]) == 2
        assert f"{nowhere}: there is no folder" in capsys.readouterr().err
    assert main(["evaluate", str(tiny_run), *files, "--show", "3"]) == 2
    assert "--show selects lines for the report; give --report as well" in capsys.readouterr().err
    other.write_bytes(b"six\n" * 20 + "fünf\n".encode("latin-1") + b"six\n" * 29)
    assert main(["compare", str(tiny_run), str(other), *files]) == 2
    assert "other.txt, line 21 is not UTF-8" in capsys.readouterr().err
    for text in ("これはペンです\n", "이것은 펜입니다\n"):
        other.write_text(text * 50, "utf-8")
        assert main(["compare", str(other), str(other), "--source", str(other), "--reference", str(other)]) == 2
        assert "in a script that is scored by characters; give its language with --language" in capsys.readouterr().err


def test_conclusion_names_the_better_system() -> None:
    comparison = compare_systems(2 * SOURCE, {"a": 2 * WORSE, "b": 2 * REFERENCE}, [2 * REFERENCE], "de", "cased", 2)
    assert re.fullmatch(
        r"By BLEU, b is [\d.]+ better; the difference is significant \(p < 0\.05\)\.", conclusion(comparison, "b")
    )
    comparison["scores"][0]["systems"][1] |= {"difference": -0.3, "p": 0.4}
    assert conclusion(comparison) == "By BLEU, B is 0.30 worse; the difference is not significant (p = 0.40)."
    comparison["scores"][0]["systems"][1] |= {"difference": 0.0, "p": 1.0}
    assert conclusion(comparison) == "By BLEU, both systems score the same."
