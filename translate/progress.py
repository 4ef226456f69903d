"""Progress bars on stderr, with the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def readable(value: float) -> str:
    """A score with two decimals; with four digits where two decimals would hide them."""
    return f"{value:.2f}" if abs(value) >= 1 or value == 0 else f"{value:.4g}"


def clock(seconds: float) -> str:
    """92.4 -> `1:32`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ProgressCallback(Protocol):
    """What is told how much is done."""

    def __call__(self, done: int, total: int | None = None) -> None:
        """done of the total, which may turn out to be another than was said at first."""
        ...


@contextmanager
def bar(what: str, total: int | None = None) -> Iterator[ProgressCallback]:
    """Progress with the time left, on stderr: a live bar on a terminal, elsewhere a line a minute.

    Yields what moves it.
    """
    console = Console(file=sys.stderr, highlight=False, markup=False)
    if not console.is_terminal:
        yield _lines(console, what, total)
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done, total=None: shown.update(task, completed=done, total=total)


def _lines(console: Console, what: str, expected: int | None) -> ProgressCallback:
    start = time.monotonic()
    spoken, first = start - 40, None  # what was done before, by an earlier process, says nothing of this one's speed

    def move(done: int, total: int | None = None) -> None:
        nonlocal spoken, first
        now, of = time.monotonic(), total or expected
        first = done if first is None else first
        if now - spoken < 60 or not of:
            return
        spoken = now
        left = f"  {clock((now - start) * (of - done) / (done - first))} left" if done > first else ""
        console.print(f"{done / of:4.0%}{left}  {what}: {done:,} of {of:,}", soft_wrap=True)

    return move
