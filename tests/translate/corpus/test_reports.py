"""Tests of the report of `dragoman corpus`: every count has a line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dragoman.cli import main
from dragoman.translate.corpus.folder import Corpus, format_drops, sorted_drops

GOOD = [f"sentence number {word}\tSatz Nummer {word}" for word in "one two three four five six seven eight".split()]


def reported(out: str) -> dict[str, int]:
    """Return the counts of dropped pairs that a report lists, in its order."""
    return {reason: int(n.replace(",", "")) for n, reason in re.findall(r"^  dropped ([\d,]+): (.+)$", out, re.M)}


def test_counts_are_sorted() -> None:
    counts = {"b": 2, "none": 0, "c": 1200, "a": 2}
    assert sorted_drops(counts) == [("c", 1200), ("a", 2), ("b", 2)]
    assert format_drops(counts) == "; 1,200 dropped: c; 2 dropped: a; 2 dropped: b"
    assert format_drops({}) == ""


def test_every_reason_has_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that a reader drops, rows that cannot be used, broken rules and leaks are in one list."""
    rows = ["source\ttarget", *GOOD, GOOD[0], "same words\tsame words", "\tleer", "no tab", "bell\x07\tGlocke"]
    rows += ["from 12 to 14\tvon 12 bis 15", "SENTENCE number two!\tanders", "blank\t "]
    (tmp_path / "train.tsv").write_text("".join(f"{row}\n" for row in rows))
    (tmp_path / "dev.tsv").write_text(f"source\ttarget\n{GOOD[1]}\n\tleer\n{GOOD[7]}\n")
    (tmp_path / "test.tsv").write_text(f"{GOOD[7]}\nother\tanders\n")
    command = ["corpus", "files", "--pair", "en-de", str(tmp_path / "train.tsv"), "--out", str(tmp_path / "out")]
    command += ["--valid-files", str(tmp_path / "dev.tsv"), "--test-files", str(tmp_path / "test.tsv")]
    assert main(command) == 0
    output = capsys.readouterr().out
    card = Corpus(tmp_path / "out").card
    assert reported(output) == card["dropped"]
    assert [*reported(output).items()] == sorted_drops(card["dropped"])
    assert card["read"] == sum(card["dropped"].values()) + sum(card["pairs"].values())
    assert card["dropped"]["header row"] == 1
    assert card["dropped"]["header row, in the validation set"] == 1
    assert card["dropped"]["empty"] == 2
    assert card["dropped"]["near duplicate of a held-out source"] == 3
    assert len(card["dropped"]) == 11
    assert card["pairs"] == {"train": 6, "valid": 1, "test": 2}


def test_labelled_text_reports_its_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{'ab'[i % 2]}\ttext number {i}" for i in range(30)]
    (tmp_path / "texts").write_text("".join(f"{row}\n" for row in [*rows, rows[3], "a\t ", "b\tbell\x07"]))
    assert main(["corpus", "classes", str(tmp_path / "texts"), "--language", "en", "--out", str(tmp_path / "out")]) == 0
    card = Corpus(tmp_path / "out").card
    assert reported(capsys.readouterr().out) == card["dropped"]
    assert card["read"] == sum(card["dropped"].values()) + sum(card["pairs"].values()) == 33
