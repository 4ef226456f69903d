"""A map over several processes that keeps the order and holds few tasks at a time."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import wait
from typing import Any

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]  # as the built-in map, with one iterable

# Encoding fewer rows takes one process less time than several processes need to start.
MIN_ROWS = 100_000


@contextmanager
def ordered_map(rows: int) -> Iterator[Map]:
    """Yield a map that uses all cores if there are at least MIN_ROWS rows of work.

    Raises BrokenProcessPool if something ends a process from outside.
    """
    cores = os.cpu_count() or 1
    if rows < MIN_ROWS or cores == 1:
        yield map
        return
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"), _exit_with_parent) as pool:

        def parallel_map(function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
            remaining = iter(tasks)
            submitted: deque[Future[Any]] = deque()
            while True:  # submit only two tasks more than there are processes, because tasks hold text
                submitted += [pool.submit(function, task) for task in islice(remaining, cores + 2 - len(submitted))]
                if not submitted:
                    return
                yield submitted.popleft().result()

        yield parallel_map


def _exit_with_parent() -> None:
    """End this pool process when its parent ends, for whatever reason. Otherwise it would wait forever."""
    parent = multiprocessing.parent_process()
    assert parent

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
