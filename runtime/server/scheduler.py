"""Batches over all requests: worker threads that translate the parts of all waiting jobs together.

There is no timer: a free worker takes what waits. It begins with the next part of the job whose turn it is, so that a
long document does not hold up short texts, and adds those parts of all jobs whose lengths are nearest. Batches of one
length waste little on padding. A translation does not depend on its batch (see docs/file-format.md).

ONNX Runtime releases Python's lock while it computes. Workers are therefore threads, and share one session.
"""

from __future__ import annotations

import itertools
import threading
import time
from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import NamedTuple

from dragoman.runtime.batching import BATCH_SIZE, BATCH_TOKENS
from dragoman.runtime.parts import Part
from dragoman.runtime.translator import PreparedTexts, SearchSettings, Translator

# Parts share a batch while the longest has at most this many times the ids of the shortest, plus some.
LENGTH_RATIO = 1.5
LENGTH_DIFFERENCE = 8


class Cancelled(Exception):
    """The client of a job went away, or the server stops."""


class _Waiting(NamedTuple):
    """A part of a job that waits. Waiting parts are sorted by length, then by age."""

    length: int
    number: int  # no other has it, so that nothing behind it is compared
    part: Part
    job: Job


class Job:
    """The parts of one request that wait for translation, or are being translated.

    Attributes:
        future: Done when all parts are translated.
    """

    def __init__(self, translator: Translator, prepared: PreparedTexts, numbers: Iterator[int]) -> None:
        self.future: Future[None] = Future()
        self.translator, self.search = translator, prepared.search
        items = (_Waiting(len(part.ids), next(numbers), part, self) for part in prepared.pending)
        self.waiting = OrderedDict((item.number, item) for item in items)
        self.n_left = len(self.waiting)

    @property
    def group(self) -> tuple[int, SearchSettings]:
        """The model and the settings, which parts of a batch have in common."""
        return id(self.translator), self.search

    def finish(self, error: Exception | None = None) -> None:
        """End the job, unless it has ended."""
        with suppress(InvalidStateError):
            if error:
                self.future.set_exception(error)
            else:
                self.future.set_result(None)


class Scheduler:
    """Worker threads, and the queue of jobs that they take parts from."""

    def __init__(
        self, workers: int, batch_size: int = BATCH_SIZE, batch_tokens: int = BATCH_TOKENS,
        on_batch: Callable[[int, float], None] | None = None,
    ) -> None:  # fmt: skip
        """Start the workers.

        Args:
            workers: Number of threads.
            batch_size: Largest number of parts in a batch.
            batch_tokens: Largest number of source ids in a batch of more than one part, with padding.
            on_batch: A function that takes the number of parts of each batch and its seconds.
        """
        self._batch_size, self._batch_tokens, self._on_batch = batch_size, batch_tokens, on_batch
        self._condition = threading.Condition()
        self._numbers = itertools.count()
        self._jobs: deque[Job] = deque()  # with waiting parts; the next one has its turn
        self._groups: dict[tuple[int, SearchSettings], list[_Waiting]] = {}  # that may share a batch, by length
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"worker-{i}", daemon=True) for i in range(workers)]
        for thread in self._threads:
            thread.start()

    @property
    def n_waiting(self) -> int:
        """Number of parts that wait."""
        return sum(map(len, self._groups.values()))

    def submit(self, translator: Translator, prepared: PreparedTexts) -> Job:
        """Queue the pending parts of prepared texts. The job's future is done when they are translated."""
        job = Job(translator, prepared, self._numbers)
        if not job.n_left:
            job.finish()
            return job
        with self._condition:
            if self._closed:
                job.finish(Cancelled("the server stops"))
                return job
            group = self._groups.setdefault(job.group, [])
            if job.n_left == 1:
                insort(group, next(iter(job.waiting.values())))
            else:
                group.extend(job.waiting.values())
                group.sort()
            self._jobs.append(job)
            self._condition.notify(job.n_left)
        return job

    def cancel(self, job: Job, error: Exception | None = None) -> None:
        """Remove the waiting parts of a job, for example because its client went away, and end it with an error."""
        with self._condition:
            if job.waiting:
                group = self._groups[job.group]
                if len(job.waiting) == 1:
                    del group[bisect_left(group, next(iter(job.waiting.values())))]
                else:  # each deletion takes time in proportion to the group
                    group[:] = [item for item in group if item.job is not job]
                if not group:
                    del self._groups[job.group]
            job.waiting.clear()
        job.finish(error or Cancelled("the client went away"))

    def close(self) -> None:
        """Finish the batches that are being translated, fail the jobs that wait, and end the workers."""
        with self._condition:
            self._closed = True
            jobs = [*self._jobs]
            self._jobs.clear()
            self._groups.clear()
            self._condition.notify_all()
        for job in jobs:
            job.waiting.clear()
            job.finish(Cancelled("the server stops"))
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        """Translate batches until the scheduler closes."""
        while True:
            with self._condition:
                while not (self._closed or (batch := self._take())):
                    self._condition.wait()
                if self._closed:
                    return
            started = time.perf_counter()
            failures = _translate(batch)
            if self._on_batch:
                self._on_batch(len(batch), time.perf_counter() - started)
            for job, error in failures:
                self.cancel(job, error)
            self._finish(batch)
            del batch, failures

    def _take(self) -> list[_Waiting]:
        """Return the next batch; nothing if no part waits."""
        while self._jobs and not self._jobs[0].waiting:
            self._jobs.popleft()
        if not self._jobs:
            return []
        self._jobs.rotate(-1)
        job = self._jobs[-1]
        group = self._groups[job.group]
        first = bisect_left(group, next(iter(job.waiting.values())))
        last = first + 1
        while last - first < self._batch_size and (side := self._nearest(group, first, last)):
            first, last = (first - 1, last) if side < 0 else (first, last + 1)
        batch = group[first:last]
        del group[first:last]
        if not group:
            del self._groups[job.group]
        for item in batch:
            del item.job.waiting[item.number]
        return batch

    def _nearest(self, group: Sequence[_Waiting], first: int, last: int) -> int:
        """Return -1 to add the part before a batch, group[first:last], 1 for the part after it, or 0 for neither."""
        shortest, longest, size = group[first].length, group[last - 1].length, last - first + 1
        candidates = []
        if first:
            length = group[first - 1].length
            if longest <= _longest(length) and size * longest <= self._batch_tokens:
                candidates.append((shortest - length, -1))
        if last < len(group):
            length = group[last].length
            if length <= _longest(shortest) and size * length <= self._batch_tokens:
                candidates.append((length - longest, 1))
        return min(candidates)[1] if candidates else 0

    def _finish(self, batch: Sequence[_Waiting]) -> None:
        """Count the parts of a batch as translated, and end the jobs that have no other."""
        done = []
        with self._condition:
            for item in batch:
                item.job.n_left -= 1
                if not item.job.n_left:
                    done.append(item.job)
        for job in done:
            job.finish()


def _longest(shortest: int) -> float:
    """Return the largest number of ids that may share a batch with a part."""
    return LENGTH_RATIO * shortest + LENGTH_DIFFERENCE


def _translate(batch: Sequence[_Waiting]) -> list[tuple[Job, Exception]]:
    """Translate a batch. If that fails, for example for lack of memory, translate its parts one by one.

    Return the jobs whose parts fail even so.
    """
    job = batch[0].job
    try:
        job.translator.translate_parts([item.part for item in batch], job.search)
    except Exception as error:  # a job gets any error, and the worker lives on
        return [(job, error)] if len(batch) == 1 else [failure for item in batch for failure in _translate([item])]
    return []
