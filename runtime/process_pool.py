"""A map over several processes that keeps the order and holds few tasks at a time."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from dragoman.runtime.errors import UserError

if TYPE_CHECKING:
    from concurrent.futures import Future

Task = TypeVar("Task")
Result = TypeVar("Result")
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]  # as the built-in map, with one iterable

_function: Callable[[Any], Any] | None = None  # in a process of the pool, the function of `ordered_map_of`


@contextmanager
def ordered_map_of(
    function: Callable[[Task], Result], processes: int
) -> Iterator[Callable[[Iterable[Task]], Iterator[Result]]]:
    """Yield a map of one function, which each process gets once, with a model that it may hold; see `ordered_map`.

    It must be possible to pickle the function, if `processes` is above 1.
    """
    with ordered_map(processes, function) as map_:
        yield partial(map_, function if map_ is map else _call_function)


def _call_function(task: Any) -> Any:  # noqa: ANN401 (the function's argument and result)
    assert _function
    return _function(task)


@contextmanager
def ordered_map(processes: int, function: Callable[[Any], Any] | None = None) -> Iterator[Map]:
    """Yield a map that uses several processes, if `processes` is above 1.

    function: a function for `ordered_map_of`. Ctrl-C reaches the first process alone. Raises UserError if something
    ends a process from outside.
    """
    if processes == 1:
        yield map
        return
    # Imported here, because they are slow and one process does not need them.
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    context = multiprocessing.get_context("spawn")  # threads, such as those of ONNX Runtime, do not survive a fork
    pool = ProcessPoolExecutor(processes, context, _start, (function,))

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


def _start(function: Callable[[Any], Any] | None) -> None:
    """Prepare a process of the pool."""
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _exit_with_parent()


def _exit_with_parent() -> None:
    """End this pool process when its parent ends, for whatever reason. Otherwise it would wait forever."""
    from multiprocessing import parent_process
    from multiprocessing.connection import wait

    parent = parent_process()
    assert parent

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
