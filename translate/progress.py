"""Progress bars on stderr, with the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_SECONDS = 60  # between two lines of progress where there is no terminal
FIRST_LINE_SECONDS = 20


def format_score(value: float) -> str:
    """Return a score with two decimals, or with four digits where two decimals would hide them."""
    return f"{value:.2f}" if abs(value) >= 1 or value == 0 else f"{value:.4g}"


def format_duration(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds: 92.4 becomes `1:32`."""
    minutes, whole_seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole_seconds:02}" if hours else f"{minutes}:{whole_seconds:02}"


class ProgressCallback(Protocol):
    """A function that takes the amount of work done."""

    def __call__(self, done: int, total: int | None = None) -> None:
        """Report `done` of `total`, which replaces the total that was given at first."""
        ...


@contextmanager
def bar(what: str, total: int | None = None) -> Iterator[ProgressCallback]:
    """Show progress and the time left on stderr: a live bar on a terminal, elsewhere one line per minute.

    Yields the function that updates it. what: the work, such as "translating".
    """
    console = Console(file=sys.stderr, highlight=False, markup=False)
    if not console.is_terminal:
        yield _line_printer(console, what, total)
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done, total=None: progress.update(task, completed=done, total=total)


def _line_printer(console: Console, what: str, expected: int | None) -> ProgressCallback:
    start = time.monotonic()
    last_line = start + FIRST_LINE_SECONDS - LINE_SECONDS
    first: int | None = None  # what an earlier process had done, which says nothing about this one's speed

    def update(done: int, total: int | None = None) -> None:
        nonlocal last_line, first
        now, whole = time.monotonic(), total or expected
        first = done if first is None else first
        if now - last_line < LINE_SECONDS or not whole:
            return
        last_line = now
        left = f"  {format_duration((now - start) * (whole - done) / (done - first))} left" if done > first else ""
        console.print(f"{done / whole:4.0%}{left}  {what}: {done:,} of {whole:,}", soft_wrap=True)

    return update
