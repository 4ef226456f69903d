"""The limits that end training: epochs, minutes, patience, and steps that change nothing. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dragoman.runtime.errors import UserError
from dragoman.translate.config import TrainingConfig
from dragoman.translate.training.state import Position

MAX_SKIPPED = 50  # steps in a row: after so many, the gradient does not become finite again


def training_progress(p: Position, batches_per_epoch: int, c: TrainingConfig) -> float:
    """Return the fraction of training that is done: by epochs, or by `training.minutes` where that is further.

    Time before the first step does not count, since a large corpus takes long to encode, and neither does the start of
    a resumed session. The result can exceed 1, when the time runs out during a step.
    """
    by_epochs = (p.epoch + min(1.0, p.batch / batches_per_epoch)) / c.epochs
    if not c.minutes:
        return by_epochs
    return max(by_epochs, (p.seconds - p.prepared - p.restarts) / max(60 * c.minutes - p.prepared, 1e-9))


def out_of_time(p: Position, c: TrainingConfig) -> bool:
    """Return True once training has taken `training.minutes`, without the start of resumed sessions."""
    return c.minutes is not None and p.seconds - p.restarts >= 60 * c.minutes


def out_of_patience(history: Sequence[dict[str, Any]], metric: str, c: TrainingConfig) -> bool:
    """Return True once the last `training.patience` validations brought no better score (early stopping)."""
    scores = [entry[metric] for entry in history]
    return 0 < c.patience < len(scores) and max(scores[-c.patience :]) <= max(scores[: -c.patience])


def limits_reached(p: Position, metric: str, c: TrainingConfig) -> list[str]:
    """Return the limits that end training, as in `training.epochs = 30`; empty while training continues."""
    reached = {
        "epochs": p.epoch >= c.epochs,
        "minutes": out_of_time(p, c),
        "patience": out_of_patience(p.history, metric, c),
    }
    return [f"training.{name} = {getattr(c, name)}" for name, is_reached in reached.items() if is_reached]


def check_skipped_steps(p: Position, c: TrainingConfig, *, ended: bool = False) -> None:
    """Raise UserError if training changes nothing, because the gradients are not finite.

    That is so once MAX_SKIPPED steps in a row, or all steps of a training that has ended, were skipped.
    """
    if p.skipped_in_a_row < MAX_SKIPPED and not (ended and 0 < p.step == p.skipped_steps):
        return
    float32 = "" if c.precision == "float32" else ', or with training.precision = "float32"'
    raise UserError(
        f"training diverged at step {p.step - p.skipped_in_a_row:,}: the gradients of the {p.skipped_in_a_row} steps "
        "after it were not finite, so no weight has changed; train under another name with a training.lr below "
        f"{c.lr:g}{float32}"
    )
