"""The learning-rate schedule, a pure function."""

from __future__ import annotations

import math

from dragoman.translate.config import TrainingConfig

MAX_WARMUP = 0.1  # warm-up ends at this fraction of training at the latest


def learning_rate(step: int, progress: float, c: TrainingConfig) -> float:
    """Return the learning rate of a step: a linear warm-up times a decay.

    step counts from 0. progress is the fraction of training that is done, from 0 to 1. Warm-up takes `training.warmup`
    steps, and in short trainings MAX_WARMUP of them.
    """
    warm = min(1.0, max((step + 1) / c.warmup, progress / MAX_WARMUP)) if c.warmup else 1.0
    if c.decay == "linear":
        return c.lr * warm * max(0.0, 1 - progress)
    if c.decay == "cosine":
        return c.lr * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return c.lr * warm * math.sqrt(max(c.warmup, 1) / max(step + 1, c.warmup, 1))
