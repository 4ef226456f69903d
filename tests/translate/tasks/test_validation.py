"""Batches of validation and evaluation: small on a CPU, large on a GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dragoman.runtime.series import Series
from dragoman.translate.config import load
from dragoman.translate.evaluation.engine import TorchEngine, translate_all
from dragoman.translate.evaluation.reranking import Reranker
from dragoman.translate.tasks.forecasting import windows_of
from dragoman.translate.tasks.labelling import LabellingTask
from dragoman.translate.tasks.translation import TranslationTask
from dragoman.translate.training.distributed import BATCH_LIMITS
from dragoman.translate.training.trainer import Trainer
from tiny import tiny_search

CPU, GPU = (SimpleNamespace(device=torch.device(kind)) for kind in ("cpu", "cuda"))


def sizes(task: Any) -> list[int]:  # noqa: ANN401 (a task whose workers are replaced)
    """Return the number of rows of each validation batch."""
    return [len(batch.tensors()[0]) for batch in task.validation()]


def test_a_gpu_has_few_large_batches() -> None:
    assert BATCH_LIMITS["cuda"].rows >= 8 * BATCH_LIMITS["cpu"].rows
    assert BATCH_LIMITS["cuda"].tokens >= 8 * BATCH_LIMITS["cpu"].tokens


def test_validation_loss_of_a_translator(toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task: Any = Trainer(load(toml), tmp_path / "run").task
    assert isinstance(task, TranslationTask)
    task.valid_ids = [side * 20 for side in task.valid_ids]
    found = []
    for workers in (CPU, GPU):
        monkeypatch.setattr(task, "workers", workers)
        batches = [*task.validation()]
        assert sum(len(batch.source) for batch in batches) == len(task.valid_ids[0])
        found.append(max(batch.target_out.numel() for batch in batches))
    assert 400 < found[0] <= 800  # twice training.batch_tokens
    assert 8000 < found[1] <= BATCH_LIMITS["cuda"].tokens


@pytest.mark.parametrize("kind", ["classify", "tag"])
def test_validation_of_labels(
    kind: str, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task: Any = Trainer(load(runs[kind].parents[1] / f"{kind}.toml"), tmp_path / "run").task
    assert isinstance(task, LabellingTask)
    task.valid_rows = np.tile(task.valid_rows, 40)
    for workers in (CPU, GPU):
        monkeypatch.setattr(task, "workers", workers)
        assert max(sizes(task)) == BATCH_LIMITS[workers.device.type].rows
        assert sum(sizes(task)) == len(task.valid_rows)


def test_validation_of_forecasts() -> None:
    series = Series(("a",), np.arange(2000, dtype=np.float32)[:, None])
    parts = dict.fromkeys(("train", "valid"), series)
    for device in (CPU.device, GPU.device):
        batches = [*windows_of(parts, "valid", 5, 2, device)]
        assert max(len(batch.series) for batch in batches) == BATCH_LIMITS[device.type].rows
        assert sum(len(batch.series) for batch in batches) == 1999


class Recorder:
    """A Translator that records the limits of its batches."""

    def __init__(self, engine: object) -> None:
        self.engine = engine
        self.settings: list[tuple[int, int]] = []

    def translate(self, lines: list[str], *, batch_size: int, batch_tokens: int, **_: object) -> list[str]:
        """Return the lines as they are."""
        self.settings.append((batch_size, batch_tokens))
        return lines


@pytest.mark.parametrize(
    ("engine", "limits"),
    [(CPU, BATCH_LIMITS["cpu"]), (GPU, BATCH_LIMITS["cuda"]), ("an exported file", BATCH_LIMITS["cpu"])],
)
def test_translation_chooses_its_batches_by_the_device(engine: object, limits: tuple[int, int]) -> None:
    translator: Any = Recorder(engine)
    lines = [str(i) for i in range(5000)]
    assert len(translate_all(translator, lines)) == len(lines)
    assert {*translator.settings} == {limits}
    translate_all(translator, lines[:10], batch_size=3)  # the user's own choice
    assert translator.settings[-1] == (3, limits[1])


def test_engines_know_their_device() -> None:
    assert TorchEngine(tiny_search()).device == CPU.device
    members: Any = [SimpleNamespace(device=GPU.device)]
    assert Reranker(members).device == GPU.device
