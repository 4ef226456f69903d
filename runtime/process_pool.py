"""A map over several processes that keeps the order and holds few tasks at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import wait
from typing import Any

from dragoman.runtime.errors import UserError

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]  # as the built-in map, with one iterable

_shared: Any = None  # in a process of the pool, what all tasks use


@contextmanager
def ordered_map(processes: int, shared: Any = None) -> Iterator[Map]:  # noqa: ANN401 (any value that can be pickled)
    """Yield a map that uses several processes, if `processes` is above 1.

    shared: what all tasks use, such as a model; a task gets it by `shared_value`. Ctrl-C reaches the first process
    alone. Raises UserError if something ends a process from outside.
    """
    if processes == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")  # threads, such as those of ONNX Runtime, do not survive a fork
    pool = ProcessPoolExecutor(processes, context, _start, (shared,))

    def parallel_map(function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        remaining = iter(tasks)
        submitted: deque[Future[Any]] = deque()
        while True:  # submit only two tasks more than there are processes, because tasks hold text
            submitted += [pool.submit(function, task) for task in islice(remaining, processes + 2 - len(submitted))]
            if not submitted:
                return
            yield submitted.popleft().result()

    try:
        yield parallel_map
    except BrokenProcessPool:
        raise UserError(
            f"one of {processes} processes was killed, most often because memory ran out; start fewer processes. If "
            'your own script starts them, it needs `if __name__ == "__main__":`'
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def shared_value() -> Any:  # noqa: ANN401 (what `ordered_map` was given)
    """Return, within a task, what all tasks use."""
    return _shared


def _start(shared: Any) -> None:  # noqa: ANN401 (what `ordered_map` was given)
    """Prepare a process of the pool."""
    global _shared
    _shared = shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _exit_with_parent()


def _exit_with_parent() -> None:
    """End this pool process when its parent ends, for whatever reason. Otherwise it would wait forever."""
    parent = multiprocessing.parent_process()
    assert parent

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
