"""The limits that end training: epochs, minutes and patience. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dragoman.translate.config import TrainingConfig
from dragoman.translate.training.state import Position


def training_progress(p: Position, batches_per_epoch: int, c: TrainingConfig) -> float:
    """Return the fraction of training that is done: by epochs, or by `training.minutes` where that is further.

    Time before the first step does not count, since a large corpus takes long to encode. The result can exceed 1, when
    the time runs out during a step.
    """
    by_epochs = (p.epoch + min(1.0, p.batch / batches_per_epoch)) / c.epochs
    if not c.minutes:
        return by_epochs
    return max(by_epochs, (p.seconds - p.prepared) / max(60 * c.minutes - p.prepared, 1e-9))


def out_of_time(p: Position, c: TrainingConfig) -> bool:
    """Return True once training has taken `training.minutes`."""
    return c.minutes is not None and p.seconds >= 60 * c.minutes


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
