"""The learning-rate schedule, a pure function."""

from __future__ import annotations

import math

from dragoman.translate.config import TrainingConfig

WARM = 0.1  # of training, at the most, is warm-up


def learning_rate(step: int, progress: float, c: TrainingConfig) -> float:
    """The rate at a step (counted from 0): a linear warm-up, then the decay; progress runs from 0 to 1.

    Warming up ends when a tenth of training is done, however few steps that is.
    """
    warm = min(1.0, max((step + 1) / c.warmup, progress / WARM)) if c.warmup else 1.0
    if c.decay == "linear":
        return c.lr * warm * max(0.0, 1 - progress)
    if c.decay == "cosine":
        return c.lr * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return c.lr * warm * math.sqrt(max(c.warmup, 1) / max(step + 1, c.warmup, 1))
