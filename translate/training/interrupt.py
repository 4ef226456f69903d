"""Turn Ctrl-C and SIGTERM into a flag."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupt_flag(*, keep_after_error: bool) -> Iterator[list[bool]]:
    """Set a flag, a list of one bool, on Ctrl-C and SIGTERM, so that the step in progress can end.

    A second Ctrl-C raises KeyboardInterrupt at once.

    keep_after_error: leave the handlers in place when the block raises. A worker still has to write a checkpoint and a
    message then, while torchrun sends it one SIGTERM after another.
    """
    flag = [False]
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:
        flag[0] = True
        if number == signal.SIGINT:
            signal.signal(number, previous[signal.SIGINT])

    try:
        for number in previous:
            signal.signal(number, handle)
    except ValueError:  # Python allows handlers in the main thread only; elsewhere the caller handles signals
        yield flag
        return
    failed = True
    try:
        yield flag
        failed = False
    finally:
        if not (failed and keep_after_error):
            for number, handler in previous.items():
                signal.signal(number, handler)
