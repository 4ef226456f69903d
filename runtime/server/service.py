"""Translation of requests: texts, HTML and documents, in batches with those of all other requests."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

from dragoman.runtime.confidence import word_confidences
from dragoman.runtime.documents.files import Progress, TranslatedDocument, translate_bytes, translate_fragments
from dragoman.runtime.documents.formats import Document, format_named
from dragoman.runtime.documents.options import Options
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.server.detection import Detected, Detector
from dragoman.runtime.server.errors import RequestError
from dragoman.runtime.server.models import Models, ServedModel
from dragoman.runtime.server.scheduler import Job, Scheduler
from dragoman.runtime.translation import Translation
from dragoman.runtime.translator import PreparedTexts, Translator
from dragoman.runtime.wording import counted

MAX_ALTERNATIVES = 5
N_COMPARED = 4  # hypotheses from which the confidence of words is found

# Texts up to this many characters are split where requests are read. Handing them to a thread would take longer.
SHORT = 1000
RETRY_AFTER = {"Retry-After": "5"}
THREADS = "dragoman-service"  # how the names of threads begin
MARKUP_THREADS = 8
TEXT_THREADS = 4
DETECTION_THREADS = 1  # many texts to detect must not keep others from being translated
SAMPLE = 50  # segments of a document that show its language
MAX_DOCUMENTS = 8  # that are translated or wait
DOCUMENT_THREADS = 2

# A text of unknown language is taken as one in the target language, which needs no translation, only if that is at
# least this likely, in percent, and this many times as likely as any other.
SURE = 20
TIMES_AS_LIKELY = 3

Value = TypeVar("Value")


class Answer(NamedTuple):
    """The translation of a text of a request.

    Attributes:
        text: The translation.
        detected: The language of the text, if that was to be found.
        alternatives: Further translations.
        details: For people who look closely: words with their confidence and the source words they come from.
    """

    text: str
    detected: Detected | None = None
    alternatives: Sequence[str] = ()
    details: dict[str, Any] | None = None


class Capacity:
    """A bound on what all requests together have that are accepted and not answered yet, such as characters."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0

    @contextmanager
    def growing(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that reserves a further amount for a request.

        It raises RequestError if there is not enough; a request alone is always accepted.
        """
        own = 0

        def reserve(amount: int) -> None:
            nonlocal own
            if self.used > own and self.used + amount > self.limit:
                raise RequestError(503, "too many requests wait; try again in some seconds", RETRY_AFTER)
            self.used += amount
            own += amount

        try:
            yield reserve
        finally:
            self.used -= own

    @contextmanager
    def reserved(self, amount: int) -> Iterator[None]:
        """Reserve an amount. Raises RequestError if there is not enough."""
        with self.growing() as reserve:
            reserve(amount)
            yield


class Service:
    """The translation of requests.

    Attributes:
        models: The models.
        scheduler: Their workers.
        capacity: The bound on waiting text.
    """

    def __init__(self, models: Models, scheduler: Scheduler, *, beam: int | None, capacity: int) -> None:
        """Take models and workers.

        Args:
            models: The models.
            scheduler: The workers.
            beam: Beam size, or None for that of each model's file.
            capacity: Largest number of characters that may wait.
        """
        self.models, self.scheduler, self.capacity = models, scheduler, Capacity(capacity)
        self._beam = beam
        self._detector = Detector()
        counts = TEXT_THREADS, DETECTION_THREADS, MARKUP_THREADS, DOCUMENT_THREADS
        pools = [ThreadPoolExecutor(count, thread_name_prefix=THREADS) for count in counts]
        self._text_threads, self._detection_threads, self._markup_threads, self._document_threads = self._pools = pools
        self._n_documents = 0

    def close(self) -> None:
        """Stop the workers, and give up what waits. Threads that read a text or a document end when they have."""
        self.scheduler.close()
        for threads in self._pools:
            threads.shutdown(wait=False, cancel_futures=True)

    @property
    def is_busy(self) -> bool:
        """True if threads still read a text or a document a second after `close`. Nothing can interrupt them."""
        end = time.monotonic() + 1
        own = [thread for thread in threading.enumerate() if thread.name.startswith(THREADS)]
        for thread in own:
            thread.join(max(0.0, end - time.monotonic()))
        return any(thread.is_alive() for thread in own)

    async def detect(self, texts: Sequence[str]) -> list[list[Detected]]:
        """Return the languages that each text may be in, among all of the models', the most likely first.

        Raises RequestError if too many requests wait.
        """

        def find() -> list[list[Detected]]:
            return [self._detector.detect(text, self.models.tags) for text in texts]

        n_characters = sum(map(len, texts))
        with self.capacity.reserved(n_characters):
            return await _in_thread(self._detection_threads, find, at_once=n_characters < SHORT)

    def sources_of(self, texts: Sequence[str], target: str) -> list[Detected]:
        """Return the language of each text that is to be translated: one that a model translates from, or the target.

        Raises RequestError if no model translates to the target.
        """
        sources, target = self.models.sources_of(target)
        languages = [*dict.fromkeys([*sources, target])]

        def source_of(text: str) -> Detected:
            best, *others = self._detector.detect(text, languages)
            if best.language == target and target not in sources:
                is_sure = best.confidence >= SURE and best.confidence >= TIMES_AS_LIKELY * others[0].confidence
                return best if is_sure else others[0]
            return best

        return [source_of(text) for text in texts]

    async def translate(
        self, texts: Sequence[str], source: str, target: str, *, is_html: bool = False, n_alternatives: int = 0,
        details: bool = False, gone: Callable[[], Any],
    ) -> list[Answer]:  # fmt: skip
        """Translate the texts of a request.

        Args:
            texts: The texts.
            source: Language of all texts, or `auto` to find that of each.
            target: Language to translate to.
            is_html: The texts are HTML.
            n_alternatives: Number of further translations of each text.
            details: Return the words of each translation with their confidence and alignment.
            gone: A coroutine function that returns when the client has gone away.

        Raises:
            RequestError: No model translates between the languages, or too many requests wait.
            Cancelled: The client has gone away.
        """
        n_characters = sum(map(len, texts))
        with self.capacity.reserved(n_characters):
            detected: Sequence[Detected | None] = [None] * len(texts)
            if source.lower() == "auto":
                find = partial(self.sources_of, texts, target)
                detected = await _in_thread(self._detection_threads, find, at_once=n_characters < SHORT)
            answers = [Answer(text, language) for text, language in zip(texts, detected, strict=True)]
            indices_of: dict[ServedModel, list[int]] = {}
            for i, language in enumerate(detected):
                if model := self.models.find(language.language if language else source, target):
                    indices_of.setdefault(model, []).append(i)
            for model, indices in indices_of.items():
                chosen = [texts[i] for i in indices]
                if is_html:
                    translated = await self._translate_html(model.translator, chosen, gone)
                else:
                    translated = await self._translate_plain(model.translator, chosen, n_alternatives, details, gone)
                for i, answer in zip(indices, translated, strict=True):
                    answers[i] = answer._replace(detected=detected[i])
            return answers

    async def _translate_plain(
        self, translator: Translator, texts: Sequence[str], n_alternatives: int, details: bool, gone: Callable[[], Any]
    ) -> list[Answer]:
        beam: int | None = self._beam or int(translator.metadata.defaults["beam_size"])
        n_best = n_alternatives + 1
        if n_alternatives:
            beam = None  # the Translator widens it
        elif details and beam:
            n_best = min(N_COMPARED, beam)  # in the same beam, so that the translation stays the same
        prepare = partial(
            translator.prepare, texts, beam=beam, n_best=n_best, alignments=details and translator.has_attention
        )
        is_short = sum(map(len, texts)) < SHORT
        prepared = await _in_thread(self._text_threads, prepare, at_once=is_short)
        job = self.scheduler.submit(translator, prepared)
        if not job.future.done():
            await self._wait(asyncio.wrap_future(job.future), gone, lambda: self.scheduler.cancel(job))
        finish = partial(_answers, translator, prepared, n_alternatives, details)
        return await _in_thread(self._text_threads, finish, at_once=is_short)

    async def _translate_html(
        self, translator: Translator, texts: Sequence[str], gone: Callable[[], Any]
    ) -> list[Answer]:
        batched = _BatchedTranslator(translator, self.scheduler)
        work = partial(translate_fragments, batched, texts, "html", beam=self._beam)
        return [Answer(text) for text in await self._translate_in_thread(self._markup_threads, work, batched, gone)]

    async def source_of_document(self, data: bytes, format: str, target: str) -> Detected:
        """Return the language of a document; see `sources_of`. Raises UserError for a damaged one."""

        def find() -> Detected:
            segments = Document(data, format_named(format), Options()).segments[:SAMPLE]
            return self.sources_of(["\n".join(segment.text for segment in segments)], target)[0]

        return await _in_thread(self._document_threads, find)

    async def translate_document(
        self, model: ServedModel, data: bytes, format: str, name: str, progress: Progress, gone: Callable[[], Any]
    ) -> TranslatedDocument:
        """Translate a document. Raises RequestError, UserError, or Cancelled if the client has gone away."""
        if self._n_documents >= MAX_DOCUMENTS:
            wait = counted(self._n_documents, "document")
            raise RequestError(503, f"{wait} are being translated or wait; try again later", RETRY_AFTER)
        self._n_documents += 1
        batched = _BatchedTranslator(model.translator, self.scheduler)
        work = partial(translate_bytes, batched, data, format, name=name, beam=self._beam, progress=progress)
        try:
            return await self._translate_in_thread(self._document_threads, work, batched, gone)
        finally:
            self._n_documents -= 1

    async def _translate_in_thread(
        self, threads: ThreadPoolExecutor, work: Callable[[], Value], translator: _BatchedTranslator,
        gone: Callable[[], Any],
    ) -> Value:  # fmt: skip
        """Return the result of work in a thread. If the client goes away, the work ends at its next batch."""
        future = asyncio.get_running_loop().run_in_executor(threads, work)
        return await self._wait(future, gone, translator.cancel)

    async def _wait(self, future: asyncio.Future[Value], gone: Callable[[], Any], cancel: Callable[[], None]) -> Value:
        """Return the result of a future. If the client goes away, cancel the work and raise Cancelled."""
        watch = None
        try:
            await asyncio.wait([future], timeout=0.05)  # watching the client takes a task; most requests need none
            if not future.done():
                watch = asyncio.ensure_future(gone())
                await asyncio.wait([future, watch], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if watch:
                watch.cancel()
            if not future.done():
                cancel()
        return await future


async def _in_thread(threads: ThreadPoolExecutor, work: Callable[[], Value], *, at_once: bool = False) -> Value:
    """Return the result of work in a thread, or of work that takes less time than handing it over."""
    return work() if at_once else await asyncio.get_running_loop().run_in_executor(threads, work)


class _BatchedTranslator:
    """A translator for documents, whose texts share batches with those of other requests."""

    def __init__(self, translator: Translator, scheduler: Scheduler) -> None:
        self._translator, self._scheduler = translator, scheduler
        self._job: Job | None = None
        self._is_cancelled = False

    @property
    def metadata(self) -> Metadata:
        return self._translator.metadata

    @property
    def checksum(self) -> str:
        return self._translator.checksum

    @property
    def has_attention(self) -> bool:
        return self._translator.has_attention

    def translate(
        self, text: list[str], *, beam: int | None, length_penalty: float | None, alignments: bool,
        protected: Iterable[Iterable[str]], batch_size: int,
    ) -> list[Translation]:  # fmt: skip
        prepared = self._translator.prepare(
            text, beam=beam, length_penalty=length_penalty, alignments=alignments, protected=protected
        )
        self._job = self._scheduler.submit(self._translator, prepared)
        if self._is_cancelled:
            self._scheduler.cancel(self._job)
        self._job.future.result()
        return prepared.translations()

    def cancel(self) -> None:
        """End the job, and refuse the next ones."""
        self._is_cancelled = True
        if self._job:
            self._scheduler.cancel(self._job)


def _answers(translator: Translator, prepared: PreparedTexts, n_alternatives: int, details: bool) -> list[Answer]:
    """Return the answers of texts that are translated."""
    answers = []
    tokenizer, penalty = translator.target_tokenizer, prepared.search.length_penalty
    for parts, translation in zip(prepared.parts, prepared.translations(), strict=True):
        others = [hypothesis.text for hypothesis in translation.hypotheses[1 : n_alternatives + 1]]
        found = None
        if details:
            confidences = word_confidences(parts, lambda text: len(tokenizer.encode(text)), penalty)
            found = {
                "alignment": [list(pair) for pair in translation.alignment],
                "confidence": [round(confidence, 3) for confidence in confidences],
                "complete": translation.complete,
                "untranslated": list(translation.untranslated),
            }
        answers.append(Answer(translation.text, None, others, found))
    return answers
