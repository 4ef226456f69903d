"""Checkpoint averaging: the choice of validation checkpoints, and the mean of their weights.

A history is a list of validations in order of time, each a dictionary with `step`, `epoch`, `loss` and the scores.
`metric` names the score that decides; higher is better.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from dragoman.translate.config import TrainingConfig


def _rank(entry: dict[str, Any], metric: str) -> tuple[float, float]:
    """Return a sort key, lower for better validations: the score, then the loss where scores are equal."""
    return -entry[metric], entry["loss"]


def averaged_entries(history: Sequence[dict[str, Any]], metric: str, c: TrainingConfig) -> list[dict[str, Any]]:
    """Return the validations whose weights go into the average: the last or the best `training.average`."""
    if c.average_of == "best":
        return sorted(history, key=lambda entry: _rank(entry, metric))[: c.average]
    return list(history[-c.average :])


def best_entry(history: Sequence[dict[str, Any]], metric: str, steps: Collection[int]) -> dict[str, Any]:
    """Return the best validation among those whose checkpoint exists, given the steps that have one.

    Version 0.1 kept only the checkpoints of the average, so the overall best may be missing from an old run folder.
    """
    return min((entry for entry in history if entry["step"] in steps), key=lambda entry: _rank(entry, metric))


def mean_weights(checkpoints: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each weight over several checkpoints of one network."""
    return {name: torch.stack([c[name] for c in checkpoints]).mean(0) for name in checkpoints[0]}
