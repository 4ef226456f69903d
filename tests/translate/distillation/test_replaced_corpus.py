"""Tests of a corpus that is replaced while it is distilled: no pair may mix two corpora."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from dragoman.cli import main
from dragoman.translate.corpus.folder import SPLITS, Corpus, Pair, write_corpus
from dragoman.translate.distillation import distil
from dragoman.translate.distillation.journal import Journal


def test_a_corpus_that_is_replaced_during_the_work_is_refused(
    tiny_run: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    own, out = Path(shutil.copytree(tiny_corpus, tmp_path / "own")), tmp_path / "out"

    def replace_and_open(path: Path, facts: dict[str, Any]) -> Journal:
        """Replace the corpus when its digest is known and nothing is translated yet, by one of as many lines."""
        splits = {split: [Pair(f"x{source}", target) for source, target in Corpus(own).read(split)] for split in SPLITS}
        write_corpus(own, Corpus(own).languages, splits, Corpus(own).card)
        return Journal(path, facts)

    monkeypatch.setattr(distil, "Journal", replace_and_open)
    assert main(["distill", str(tiny_run), "--corpus", str(own), "--out", str(out), "--beam", "1"]) == 2
    assert f"{own} was changed while it was read; repeat the command" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]  # the journal may hold lines of both texts
