"""Fixtures for the tests of training, evaluation and distillation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny import made_once, tiny_toml


@pytest.fixture(scope="session")
def right_to_left_run(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that generates from right to left, with other tokenizers than the tiny run."""
    from dragoman.translate.config import load
    from dragoman.translate.training.trainer import Trainer

    def make(folder: Path) -> None:
        (folder / "tiny.toml").write_text(tiny_toml(tiny_corpus, "right-to-left"))
        changes = ["data.right_to_left=true", "tokenizer.vocabulary=310", "model.cell=gru", "training.seed=2"]
        Trainer(load(folder / "tiny.toml", changes), folder / "right-to-left").fit()

    return made_once(tmp_path_factory, "right-to-left", make) / "right-to-left"
