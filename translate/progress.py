"""Progress bars on stderr, with the time left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dragoman.runtime.progress import ProgressCallback, ProgressLine


def format_score(value: float) -> str:
    """Return a score with two decimals, or with four digits where two decimals would hide them."""
    return f"{value:.2f}" if abs(value) >= 1 or value == 0 else f"{value:.4g}"


@contextmanager
def bar(what: str, total: int | None = None) -> Iterator[ProgressCallback]:
    """Show progress and the time left on stderr: a live bar on a terminal, elsewhere one line per minute.

    Yields the function that updates it. what: the work, such as "translating".
    """
    console = Console(file=sys.stderr, highlight=False, markup=False)
    if not console.is_terminal:
        yield ProgressLine(what, total)
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done, total=None: progress.update(task, completed=done, total=total)
