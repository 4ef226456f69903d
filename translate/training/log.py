"""The log of a training run: metrics.jsonl and the progress on stderr."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.runtime.files import write_atomically
from dragoman.translate.files import append_row, read_rows
from dragoman.translate.training.display import FEW_SKIPPED, Display
from dragoman.translate.training.state import Position

REPORT_STEPS = 20  # steps per training row


@dataclass
class StepTotals:
    """Sums over the steps since the last report."""

    loss: float = 0.0  # without label smoothing, summed over target tokens
    tokens: int = 0
    norm: float = 0.0  # of the gradient, before clipping
    steps: int = 0
    seconds: float = 0.0
    skipped: int = 0  # steps whose gradient was not finite; loss and norm do not contain them
    skipped_tokens: int = 0

    def add(self, loss: float, tokens: int, norm: float, seconds: float) -> None:
        """Add one step."""
        self.tokens += tokens
        self.steps += 1
        self.seconds += seconds
        if math.isfinite(norm):
            self.loss += loss
            self.norm += norm
        else:
            self.skipped += 1
            self.skipped_tokens += tokens


def _mean(total: float, count: int, digits: int) -> float | None:
    """Return a rounded mean, or None if all steps were skipped."""
    return round(total / count, digits) if count else None


class MetricsLog:
    """The rows of metrics.jsonl, which are also shown to the user."""

    def __init__(self, path: Path, display: Display) -> None:
        self.path, self.display = path, display

    def steps(self, totals: StepTotals, p: Position, rate: float, progress: float) -> None:
        """Report the mean of several steps; progress is the fraction of training that is done."""
        values: dict[str, Any] = {
            "step": p.step,
            "epoch": p.epoch,
            "seconds": round(p.seconds, 1),
            "loss": _mean(totals.loss, totals.tokens - totals.skipped_tokens, 4),
            "gradient_norm": _mean(totals.norm, totals.steps - totals.skipped, 3),
            "lr": rate,
            "tokens_per_second": round(totals.tokens / max(totals.seconds, 1e-9)),
            **({"skipped_steps": totals.skipped} if totals.skipped else {}),
        }
        append_row(self.path, {"kind": "train", **values})
        self.display.step(progress, p.seconds, values)
        # A message at each power of two.
        doubled = p.skipped_steps.bit_length() > (p.skipped_steps - totals.skipped).bit_length()
        if doubled and p.skipped_steps > FEW_SKIPPED:
            self.display.message(
                f"{p.skipped_steps:,} of {p.step:,} steps were skipped so far, because their gradient was not finite; "
                "if there are many more, train under another name with a lower training.lr"
            )

    def validation(self, entry: dict[str, Any]) -> None:
        """Report one validation: step, epoch, seconds, loss and scores."""
        append_row(self.path, {"kind": "validation", **entry})
        self.display.validation(entry)

    def rewind(self, step: int) -> None:
        """Remove the rows after a step, because a resumed run repeats those steps."""
        if self.path.exists():
            kept = [row for row in read_rows(self.path) if row["step"] <= step]
            write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in kept).encode())
