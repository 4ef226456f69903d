"""The scheduler: every part is translated once, in batches over all jobs, and no job waits for a long one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.runtime.parts import Part
from dragoman.runtime.server import scheduler as module
from dragoman.runtime.server.scheduler import Cancelled, Job, Scheduler
from dragoman.runtime.translation import Hypothesis
from dragoman.runtime.translator import PreparedTexts, SearchSettings
from serving import SECONDS

SETTINGS = SearchSettings(1, 1, 1, 10, 1.0, 0)
OTHER_SETTINGS = SETTINGS._replace(beam_size=2)


class Recorder:
    """Stands in for a translator. It records its batches, and can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[Part]] = []
        self.free = threading.Event()
        self.busy = threading.Event()
        self.free.set()

    def translate_parts(self, batch: Sequence[Part], search: SearchSettings) -> None:
        """Record a batch. Fail for parts that say so."""
        self.batches.append([*batch])
        self.busy.set()
        assert self.free.wait(SECONDS)
        if any(part.text == "fail" for part in batch):
            raise RuntimeError("it failed")
        for part in batch:
            part.hypotheses = [Hypothesis(part.text.upper(), 0.0)]


def texts(*lengths: int, text: str = "x", search: SearchSettings = SETTINGS) -> Any:  # noqa: ANN401 (for a fake)
    """Return a prepared text whose parts have some numbers of ids."""
    return PreparedTexts([[Part(text, "", [1] * length) for length in lengths]], search)


@contextmanager
def held(recorder: Recorder, batch_size: int = 32, batch_tokens: int = 512) -> Iterator[Scheduler]:
    """Yield a scheduler whose only worker is held up by a first job, so that the next jobs wait."""
    scheduler = Scheduler(1, batch_size, batch_tokens)
    recorder.free.clear()
    submit(scheduler, recorder, texts(1000))
    assert recorder.busy.wait(SECONDS)
    try:
        yield scheduler
    finally:
        recorder.free.set()
        scheduler.close()


def submit(scheduler: Scheduler, recorder: Recorder, prepared: PreparedTexts) -> Job:
    return scheduler.submit(recorder, prepared)  # type: ignore[arg-type]  # a fake translator


def lengths_of(recorder: Recorder) -> list[list[int]]:
    """Return the lengths of the parts of each batch after the first one, which holds up the worker."""
    return [[len(part.ids) for part in batch] for batch in recorder.batches[1:]]


def test_parts_of_several_jobs_share_a_batch_by_length() -> None:
    recorder = Recorder()
    with held(recorder) as scheduler:
        jobs = [submit(scheduler, recorder, texts(length)) for length in (5, 50, 6, 52, 7)]
        recorder.free.set()
        for job in jobs:
            job.future.result(SECONDS)
    assert lengths_of(recorder) == [[5, 6, 7], [50, 52]]


def test_a_batch_keeps_its_limits() -> None:
    recorder = Recorder()
    with held(recorder, batch_size=3, batch_tokens=40) as scheduler:
        jobs = [submit(scheduler, recorder, texts(length)) for length in (5, 5, 5, 5, 20, 20, 20, 100, 100)]
        recorder.free.set()
        for job in jobs:
            job.future.result(SECONDS)
    assert lengths_of(recorder) == [[5, 5, 5], [5], [20, 20], [20], [100], [100]]


def test_a_long_job_does_not_hold_up_short_ones() -> None:
    recorder = Recorder()
    with held(recorder, batch_size=2) as scheduler:
        long = submit(scheduler, recorder, texts(*[10] * 20))
        short = submit(scheduler, recorder, texts(100))
        recorder.free.set()
        short.future.result(SECONDS)
        long.future.result(SECONDS)
    assert lengths_of(recorder).index([100]) == 1


def test_other_settings_and_other_models_are_other_batches() -> None:
    recorder, other = Recorder(), Recorder()
    with held(recorder) as scheduler:
        jobs = [
            submit(scheduler, recorder, texts(5)),
            submit(scheduler, recorder, texts(5, search=OTHER_SETTINGS)),
            submit(scheduler, other, texts(5)),
            submit(scheduler, recorder, texts(5)),
        ]
        recorder.free.set()
        for job in jobs:
            job.future.result(SECONDS)
    assert lengths_of(recorder) == [[5, 5], [5]]
    assert len(other.batches) == 1


def test_a_cancelled_job_frees_its_work() -> None:
    recorder = Recorder()
    with held(recorder) as scheduler:
        kept, cancelled = submit(scheduler, recorder, texts(5)), submit(scheduler, recorder, texts(5, 6, 7))
        assert scheduler.n_waiting == 4
        scheduler.cancel(cancelled)
        scheduler.cancel(cancelled)
        assert scheduler.n_waiting == 1
        with pytest.raises(Cancelled):
            cancelled.future.result(0)
        recorder.free.set()
        kept.future.result(SECONDS)
    assert lengths_of(recorder) == [[5]]


def test_a_job_may_be_cancelled_while_it_is_translated() -> None:
    recorder = Recorder()
    scheduler = Scheduler(1)
    recorder.free.clear()
    job = submit(scheduler, recorder, texts(5))
    assert recorder.busy.wait(SECONDS)
    scheduler.cancel(job)
    recorder.free.set()
    submit(scheduler, recorder, texts(6)).future.result(SECONDS)
    scheduler.close()
    with pytest.raises(Cancelled):
        job.future.result(0)


def test_a_failure_ends_its_own_job_alone() -> None:
    recorder = Recorder()
    with held(recorder) as scheduler:
        good, bad = submit(scheduler, recorder, texts(5)), submit(scheduler, recorder, texts(5, 50, text="fail"))
        other = submit(scheduler, recorder, texts(6))
        recorder.free.set()
        good.future.result(SECONDS)
        other.future.result(SECONDS)
        with pytest.raises(RuntimeError, match="it failed"):
            bad.future.result(SECONDS)
        submit(scheduler, recorder, texts(7)).future.result(SECONDS)
        assert scheduler.n_waiting == 0


def test_a_text_without_parts_is_done_at_once() -> None:
    scheduler = Scheduler(1)
    submit(scheduler, Recorder(), texts()).future.result(0)
    scheduler.close()


def test_closing_fails_what_waits_and_what_comes() -> None:
    recorder = Recorder()
    with held(recorder) as scheduler:
        waiting = submit(scheduler, recorder, texts(5))
        closer = threading.Thread(target=scheduler.close)
        closer.start()
        with pytest.raises(Cancelled):
            waiting.future.result(SECONDS)
        recorder.free.set()
        closer.join(SECONDS)
        with pytest.raises(Cancelled):
            submit(scheduler, recorder, texts(5)).future.result(0)


@given(
    jobs=st.lists(st.lists(st.integers(1, 60), max_size=12), max_size=30),
    cancelled=st.sets(st.integers(0, 29)),
    batch_size=st.integers(1, 8),
    workers=st.integers(1, 3),
)
def test_every_part_is_translated_once(
    jobs: list[list[int]], cancelled: set[int], batch_size: int, workers: int
) -> None:
    recorder = Recorder()
    scheduler = Scheduler(workers, batch_size, 100)
    prepared = [texts(*lengths) for lengths in jobs]
    submitted = [submit(scheduler, recorder, each) for each in prepared]
    for number in cancelled & {*range(len(jobs))}:
        scheduler.cancel(submitted[number])
    for number, job in enumerate(submitted):
        if number not in cancelled:
            job.future.result(SECONDS)
            assert all(part.hypotheses[0].text == "X" for part in prepared[number].pending)
    assert scheduler.n_waiting == 0
    scheduler.close()
    translated = [id(part) for batch in recorder.batches for part in batch]
    assert len(translated) == len({*translated})
    for batch in recorder.batches:
        lengths = [len(part.ids) for part in batch]
        assert lengths == sorted(lengths)
        assert len(batch) <= batch_size
        assert len(batch) == 1 or len(batch) * max(lengths) <= 100
        assert max(lengths) <= module._longest(min(lengths))
