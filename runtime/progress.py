"""Progress on stderr, with the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

LINE_SECONDS = 60.0  # between two lines of progress where there is no terminal
FIRST_LINE_SECONDS = 20.0
REDRAW_SECONDS = 0.2  # between two states of the one line on a terminal
FIRST_DRAW_SECONDS = 2.0


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


class ProgressLine:
    """Lines of progress on stderr: one a minute, or on a terminal one line that changes.

    Attributes:
        detail: The amount of work in words; default: `done` of the total.
    """

    def __init__(self, what: str, total: int | None = None, *, terminal: bool = False) -> None:
        self._what, self._total, self._terminal = what, total, terminal
        self._interval, first = (REDRAW_SECONDS, FIRST_DRAW_SECONDS) if terminal else (LINE_SECONDS, FIRST_LINE_SECONDS)
        self._start = time.monotonic()
        self._next = self._start + first
        self._first: int | None = None  # what an earlier process had done, which says nothing about this one's speed
        self._drawn = False
        self.detail = ""

    def __call__(self, done: int, total: int | None = None) -> None:
        """Report the amount of work done; see ProgressCallback."""
        now, whole = time.monotonic(), total or self._total
        self._first = done if self._first is None else self._first
        if now < self._next or not (whole or self.detail):
            return
        self._next = now + self._interval
        share = ""
        if whole:
            share = f"{min(done / whole, 1):4.0%}  "
            if done > self._first:
                left = (now - self._start) * max(whole - done, 0) / (done - self._first)
                share += f"{format_duration(left)} left  "
        self._print(f"{share}{self._what}: {self.detail or f'{done:,} of {whole:,}'}")

    def _print(self, line: str) -> None:
        ends = ("\r", "\033[K") if self._terminal else ("", "\n")  # the second clears the rest of a terminal's line
        print(ends[0] + line, end=ends[1], file=sys.stderr, flush=True)
        self._drawn = True

    def clear(self) -> None:
        """Remove the line from a terminal."""
        if self._terminal and self._drawn:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._drawn = False


@contextmanager
def progress_line(what: str, total: int | None) -> Iterator[ProgressLine]:
    """Show progress on stderr, and remove it from a terminal once the block ends."""
    line = ProgressLine(what, total, terminal=sys.stderr.isatty())
    try:
        yield line
    finally:
        line.clear()
