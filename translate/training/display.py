"""Progress of a training run on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from dragoman.runtime.progress import format_duration
from dragoman.runtime.wording import counted
from dragoman.translate.progress import format_score

FEW_STEPS = 200  # the first ones only warm up
FEW_SKIPPED = 3  # so many steps whose gradient was not finite are worth no message


class Display:
    """Progress of a training run on stderr: a live bar on a terminal, elsewhere one line per minute."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(file=sys.stderr, quiet=quiet, highlight=False, markup=False)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[left]}"),
            TextColumn("{task.fields[detail]}"),
            console=self.console,
        )
        self.live = self.console.is_terminal and not quiet
        self.task: TaskID | None = None
        self.unit = ""  # what the loss is averaged over, such as tokens
        self.first: tuple[float, float] | None = None  # progress and seconds at this process's first report
        self.last_line = self.last_preparing = time.monotonic()

    def __enter__(self) -> Display:
        if self.live:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.bar.stop()

    def message(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, soft_wrap=True)

    def start(self, epochs: int, parameters: int, bfloat16: bool, unit: str) -> None:
        """Announce the training; unit is what speed is counted in, such as tokens."""
        self.unit = unit
        precision = "bfloat16 matrix products" if bfloat16 else "float32"
        self.message(f"training {parameters:,} parameters for at most {epochs} epochs, {precision}")
        self.task = self.bar.add_task("training", total=1.0, left="", detail="")

    def preparing(self, what: str, done: int, total: int) -> None:
        """Report work before the first step, one line every 10 seconds."""
        if time.monotonic() - self.last_preparing > 10 and total:
            self.last_preparing = time.monotonic()
            self.message(f"{done / total:4.0%}  {what}: {done:,} of {total:,}")

    def step(self, progress: float, seconds: float, values: dict[str, Any]) -> None:
        """Report the last steps.

        progress: the fraction of training that is done. seconds: the time it took, including earlier processes.
        """
        progress = min(1.0, progress)  # the time may have run out within a step
        self.first = self.first or (progress, seconds)
        # The time left is estimated from this process alone: a resumed run may be slower or faster than before.
        done, spent = progress - self.first[0], seconds - self.first[1]
        left = ""
        if progress == 1:
            left = "0:00 left"
        elif done > 0:
            left = f"{format_duration(spent * (1 - progress) / done)} left"
        loss = "not finite" if values["loss"] is None else f"{values['loss']:.3f}"
        detail = f"epoch {values['epoch'] + 1}, loss {loss}, {values['tokens_per_second']:,} {self.unit}/s"
        if self.task is not None:
            self.bar.update(self.task, completed=progress, left=left, detail=detail)
        if not self.live and time.monotonic() - self.last_line > (60 if progress > 0.01 else 20):
            self.last_line = time.monotonic()
            self.message(f"{progress:4.0%}  {left}  {detail}")

    def validation(self, entry: dict[str, Any]) -> None:
        """Report a validation in one line."""
        scores = "  ".join(f"{k} {v:7.3f}" for k, v in entry.items() if k not in ("step", "epoch", "seconds", "loss"))
        self.message(f"epoch {entry['epoch']:>3}  {format_duration(entry['seconds']):>7}  {scores}")

    def finish(self, training: dict[str, Any], scores: dict[str, Any]) -> None:
        """Report the result of a run."""
        numbers = ", ".join(f"{k} {format_score(v)}" for k, v in scores.items() if isinstance(v, float))
        beam = f" (beam {scores['beam']}, {scores['sentences']:,} sentences)" if "beam" in scores else ""
        self.message(
            f"trained {counted(training['steps'], 'step')} in {training['minutes']:.1f} min at "
            f"{training['target_tokens_per_second']:,} {self.unit}/s; kept {training['weights']}: validation "
            f"{numbers}{beam}"
        )
        if training.get("skipped_steps", 0) > FEW_SKIPPED:
            self.message(
                f"{training['skipped_steps']:,} of {training['steps']:,} steps were skipped, because their gradient "
                "was not finite; a lower training.lr avoids that"
            )
        if training["steps"] < FEW_STEPS:
            self.message(
                f"{counted(training['steps'], 'step')} of training gave the model little time to learn; raise "
                "training.minutes or training.epochs, lower training.batch_tokens for a small corpus, or free the "
                "processor's cores"
            )
