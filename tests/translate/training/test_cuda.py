"""Tests on a GPU: training, checkpoints that move between devices, and the translations of the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dragoman.translate.config import load
from dragoman.translate.evaluation import engine, reranking
from dragoman.translate.evaluation.reranking import assemble
from dragoman.translate.files import read_rows
from dragoman.translate.training import distributed
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer
from tiny import number_pairs, torchrun

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
CPU = torch.device("cpu")


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Hide the GPU."""
    for module in (distributed, engine, reranking):
        monkeypatch.setattr(module, "device_of", lambda local=0: CPU)
    return monkeypatch


@pytest.mark.parametrize("precision", ["float32", "auto"])
@pytest.mark.parametrize("cell", ["elman", "lstm", "gru", "sru"])
def test_a_gpu_learns_what_the_cpu_learns(
    cell: str, precision: str, toml: Path, tmp_path: Path, on_cpu: pytest.MonkeyPatch
) -> None:
    changes = [f"model.cell={cell}", "model.dropout=0", f"training.precision={precision}", "training.optimizer=muon"]
    config = load(toml, changes)
    losses = {}
    for name in ("cpu", "gpu"):
        if name == "gpu":
            on_cpu.undo()
        trainer = Trainer(config, tmp_path / name)
        assert next(trainer.model.parameters()).device.type == ("cuda" if name == "gpu" else "cpu")
        trainer.fit()
        losses[name] = [r["loss"] for r in read_rows(tmp_path / name / "metrics.jsonl") if r["kind"] == "train"]
    assert losses["gpu"] == pytest.approx(losses["cpu"], rel=2e-2 if precision == "auto" else 2e-3)


def test_checkpoints_move_between_cpu_and_gpu(toml: Path, tmp_path: Path, on_cpu: pytest.MonkeyPatch) -> None:
    Trainer(load(toml, ["training.epochs=1"]), tmp_path / "run").fit()
    on_cpu.undo()
    Trainer(load(toml, ["training.epochs=2"]), tmp_path / "run", resume=True).fit()
    on_cpu.setattr(distributed, "device_of", lambda local=0: CPU)
    Trainer(load(toml, ["training.epochs=3"]), tmp_path / "run", resume=True).fit()
    validations = [r["loss"] for r in read_rows(tmp_path / "run" / "metrics.jsonl") if r["kind"] == "validation"]
    assert len(validations) == 3
    assert validations == sorted(validations, reverse=True)


def test_gpu_and_cpu_translate_the_same(tiny_run: Path, toml: Path, tmp_path: Path, on_cpu: pytest.MonkeyPatch) -> None:
    other = tmp_path / "backwards"
    Trainer(load(toml, ["data.right_to_left=true"]), other).fit()
    text = [p.source for p in number_pairs(60)]
    for runs in ([Run(tiny_run)], [Run(tiny_run), Run(tiny_run)], [Run(tiny_run), Run(other)]):
        on_cpu.setattr(engine, "device_of", lambda local=0: CPU)
        on_cpu.setattr(reranking, "device_of", lambda local=0: CPU)
        expected = assemble(runs).translate(text, beam=3, n_best=3)
        on_cpu.undo()
        translations = assemble(runs).translate(text, beam=3, n_best=3)
        assert [r.text for r in translations] == [r.text for r in expected]
        for a, b in zip(translations, expected, strict=True):
            np.testing.assert_allclose([h.score for h in a.hypotheses], [h.score for h in b.hypotheses], atol=1e-4)


@pytest.mark.slow
def test_two_workers_share_a_gpu(toml: Path, tmp_path: Path) -> None:
    done = torchrun(tmp_path, toml, 2, ["name=shared", "training.epochs=2"])
    _, stderr = done.communicate(timeout=600)
    assert done.returncode == 0, stderr
    assert (tmp_path / "runs" / "shared" / "model.safetensors").exists()
