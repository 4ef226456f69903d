"""Turn Ctrl-C and SIGTERM into a flag."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupt_flag(*, lasting: bool) -> Iterator[list[bool]]:
    """Turn Ctrl-C and a polite kill into a flag, so that the step in progress ends; a second Ctrl-C acts at once.

    lasting: also after what is done meanwhile has failed. A worker has a checkpoint to write then, and something to
    say, while torchrun sends it one polite kill after the other.
    """
    flag = [False]
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        flag[0] = True
        if number == signal.SIGINT:
            signal.signal(number, before[signal.SIGINT])

    try:
        for number in before:
            signal.signal(number, note)
    except ValueError:  # not in the main thread: the caller handles signals
        yield flag
        return
    failed = True
    try:
        yield flag
        failed = False
    finally:
        if not (failed and lasting):
            for number, handler in before.items():
                signal.signal(number, handler)
