"""Fixtures that several test modules share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from dragoman.translate.corpus.folder import write_corpus
from tiny import VOCABULARY, made_once, number_pairs, tiny_toml

# No test measures time: an example may take as long as a busy machine needs.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture
def random_source() -> Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]:
    """Return a function that makes sources: ids (B, S) and lengths (B), of which the first is S."""

    def make(B: int, S: int) -> tuple[torch.Tensor, torch.Tensor]:
        length = torch.randint(1, S + 1, (B,))
        length[0] = S
        return torch.randint(4, VOCABULARY, (B, S)), length

    torch.manual_seed(1)
    return make


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a corpus folder of 400 pairs."""

    def make(folder: Path) -> None:
        pairs = number_pairs(400)
        splits = {"train": pairs[::2] + pairs[1::4], "valid": pairs[3::8], "test": pairs[7::8]}
        write_corpus(folder / "numbers", ("en", "xx"), splits, {"corpus": "numbers", "dropped": {}})

    return made_once(tmp_path_factory, "corpus", make) / "numbers"


@pytest.fixture
def toml(tiny_corpus: Path, tmp_path: Path) -> Path:
    """Return the path of a configuration that trains in seconds."""
    path = tmp_path / "tiny.toml"
    path.write_text(tiny_toml(tiny_corpus))
    return path


@pytest.fixture(scope="session")
def tiny_run(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that was trained for seconds."""
    from dragoman.translate.config import load
    from dragoman.translate.training.trainer import Trainer

    def make(folder: Path) -> None:
        (folder / "tiny.toml").write_text(tiny_toml(tiny_corpus))
        Trainer(load(folder / "tiny.toml"), folder / "tiny").fit()

    return made_once(tmp_path_factory, "run", make) / "tiny"


@pytest.fixture(scope="session")
def tiny_file(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the model file of the tiny run."""
    from dragoman.export.exporter import build
    from dragoman.runtime.files import write_atomically
    from dragoman.translate.training.run import Run

    def make(folder: Path) -> None:
        data, _ = build(Run(tiny_run), [p.source for p in number_pairs(40)])
        write_atomically(folder / "tiny.onnx", data)

    return made_once(tmp_path_factory, "file", make) / "tiny.onnx"
