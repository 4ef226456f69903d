"""Progress of a training run on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from dragoman.translate.progress import clock, readable


class Display:
    """Progress of a training run. On a terminal a live bar; elsewhere a line a minute."""

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
        self.counted = ""
        self.first: tuple[float, float] | None = None  # progress and seconds at this process's first report
        self.spoken = self.prepared = time.monotonic()  # when the last line was written

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
        """One line."""
        self.console.print(text, soft_wrap=True)

    def start(self, epochs: int, parameters: int, bfloat16: bool, counted: str) -> None:
        """Say what is about to be trained, by how many of what."""
        self.counted = counted
        precision = "bfloat16 products" if bfloat16 else "float32"
        self.message(f"training {parameters:,} parameters for at most {epochs} epochs, {precision}")
        self.task = self.bar.add_task("training", total=1.0, left="", detail="")

    def preparing(self, what: str, done: int, total: int) -> None:
        """Work before the first step, which is only worth a word where there is much of it."""
        if time.monotonic() - self.prepared > 10 and total:
            self.prepared = time.monotonic()
            self.message(f"{done / total:4.0%}  {what}: {done:,} of {total:,}")

    def step(self, progress: float, seconds: float, values: dict[str, Any]) -> None:
        """A report every few steps; progress from 0 to 1, in so many seconds, those of earlier processes included."""
        progress = min(1.0, progress)  # the clock may have run out within a step
        self.first = self.first or (progress, seconds)
        done, spent = progress - self.first[0], seconds - self.first[1]  # a resumed run may be slower or faster now
        left = f"{clock(spent * (1 - progress) / done if done > 0 else 0)} left" if done > 0 or progress == 1 else ""
        detail = (
            f"epoch {values['epoch'] + 1}, loss {values['loss']:.3f}, {values['tokens_per_second']:,} {self.counted}/s"
        )
        if self.task is not None:
            self.bar.update(self.task, completed=progress, left=left, detail=detail)
        if not self.live and time.monotonic() - self.spoken > (60 if progress > 0.01 else 20):
            self.spoken = time.monotonic()
            self.message(f"{progress:4.0%}  {left}  {detail}")

    def validation(self, entry: dict[str, Any]) -> None:
        """One line a validation."""
        found = "  ".join(f"{k} {v:7.3f}" for k, v in entry.items() if k not in ("step", "epoch", "seconds", "loss"))
        self.message(f"epoch {entry['epoch']:>3}  {clock(entry['seconds']):>7}  {found}")

    def finish(self, training: dict[str, Any], scores: dict[str, Any]) -> None:
        """The last lines of a run."""
        numbers = ", ".join(f"{k} {readable(v)}" for k, v in scores.items() if isinstance(v, float))
        beam = f" (beam {scores['beam']}, {scores['sentences']:,} sentences)" if "beam" in scores else ""
        self.message(
            f"trained {training['steps']:,} steps in {training['minutes']:.1f} min at "
            f"{training['target_tokens_per_second']:,} {self.counted}/s; kept {training['weights']}: validation "
            f"{numbers}{beam}"
        )
