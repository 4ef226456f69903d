"""Steps whose gradient is not finite: they are counted, reported, and end a training that they bring to a halt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dragoman.runtime.errors import UserError
from dragoman.translate.config import TrainingConfig, load
from dragoman.translate.evaluation.plots import curves
from dragoman.translate.training.display import FEW_SKIPPED, Display
from dragoman.translate.training.log import StepTotals
from dragoman.translate.training.run import Run
from dragoman.translate.training.state import Position
from dragoman.translate.training.stopping import MAX_SKIPPED, check_skipped_steps
from dragoman.translate.training.trainer import Trainer


def spoil(trainer: Trainer, spoiled: Callable[[int], bool], value: float = float("nan")) -> None:
    """Replace the gradient of a weight by NaN or infinity in the chosen steps."""

    def hook(gradient: torch.Tensor) -> torch.Tensor:
        return torch.full_like(gradient, value) if spoiled(trainer.position.step) else gradient

    next(p for p in trainer.model.parameters() if p.ndim > 1).register_hook(hook)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def strict_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of metrics.jsonl; NaN and Infinity are no JSON."""
    return [json.loads(line, parse_constant=refuse) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_skipped_steps_are_counted_and_reported(
    value: float, toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = Trainer(load(toml, ["training.epochs=4"]), tmp_path / "run", display=Display())
    spoil(trainer, lambda step: step % 4 == 1, value)
    facts = trainer.fit()
    skipped = sum(step % 4 == 1 for step in range(facts["training"]["steps"]))
    assert skipped > FEW_SKIPPED
    assert facts["training"]["skipped_steps"] == skipped
    rows = [row for row in strict_rows(tmp_path / "run") if row["kind"] == "train"]
    assert sum(row.get("skipped_steps", 0) for row in rows) == skipped
    assert all(row["loss"] > 0 and row["gradient_norm"] > 0 for row in rows)
    told = capsys.readouterr().err
    assert "steps were skipped so far, because their gradient was not finite" in told
    assert f"{skipped} of {facts['training']['steps']} steps were skipped" in told


def test_a_few_skipped_steps_are_only_counted(toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = Trainer(load(toml), tmp_path / "run", display=Display())
    spoil(trainer, lambda step: step < FEW_SKIPPED)
    assert trainer.fit()["training"]["skipped_steps"] == FEW_SKIPPED
    assert "skipped" not in capsys.readouterr().err


def test_a_training_without_skipped_steps_records_none(tiny_run: Path) -> None:
    assert "skipped_steps" not in Run(tiny_run).read_json("run.json")["training"]
    assert all("skipped_steps" not in row for row in strict_rows(tiny_run))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_that_skips_every_step_ends_with_advice(precision: str, toml: Path, tmp_path: Path) -> None:
    changes = ["training.epochs=1", f"training.precision={precision}", "training.lr=0.7"]
    trainer = Trainer(load(toml, changes), tmp_path / "run")
    spoil(trainer, lambda _: True)
    with pytest.raises(UserError) as error:
        trainer.fit()
    assert trainer.position.step < MAX_SKIPPED
    told = str(error.value)
    assert f"diverged at step 0: the gradients of the {trainer.position.step} steps" in told
    assert "training.lr below 0.7" in told
    assert ("float32" in told) == (precision == "bfloat16")
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert "training" not in Run(tmp_path / "run").read_json("run.json")


def test_a_training_that_diverges_ends_soon(toml: Path, tmp_path: Path) -> None:
    trainer = Trainer(load(toml, ["training.epochs=1000", "training.validate_every=1000"]), tmp_path / "run")
    spoil(trainer, lambda step: step >= 5)
    with pytest.raises(UserError, match=rf"diverged at step 5: the gradients of the {MAX_SKIPPED} steps"):
        trainer.fit()
    assert trainer.position.step == 5 + MAX_SKIPPED
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())
    rows = strict_rows(tmp_path / "run")
    assert any(row["loss"] is None and row["gradient_norm"] is None for row in rows)
    assert curves(tmp_path / "run").startswith(b"\x89PNG")


def test_a_resumed_training_goes_on_counting(toml: Path, tmp_path: Path) -> None:
    trainer = Trainer(load(toml, ["training.epochs=1"]), tmp_path / "run")
    spoil(trainer, lambda step: step < 2)
    trainer.fit()
    resumed = Trainer(load(toml, ["training.epochs=2"]), tmp_path / "run", resume=True)
    first = resumed.position.step
    assert (resumed.position.skipped_steps, resumed.position.skipped_in_a_row) == (2, 0)
    spoil(resumed, lambda step: step == first)
    assert resumed.fit()["training"]["skipped_steps"] == 3


def test_the_mean_of_a_report_leaves_skipped_steps_out() -> None:
    totals = StepTotals()
    for loss, norm in ((10.0, 1.0), (float("nan"), float("inf")), (20.0, 3.0)):
        totals.add(loss, 5, norm, 0.5)
    assert totals == StepTotals(loss=30.0, tokens=15, norm=4.0, steps=3, seconds=1.5, skipped=1, skipped_tokens=5)


def test_one_step_that_changes_the_weights_is_progress() -> None:
    p, c = Position(), TrainingConfig()
    for step in range(3 * MAX_SKIPPED):
        p.count_step(10, skipped=step % MAX_SKIPPED > 0)
        check_skipped_steps(p, c)
    check_skipped_steps(p, c, ended=True)
    check_skipped_steps(Position(), c, ended=True)  # before the first step
