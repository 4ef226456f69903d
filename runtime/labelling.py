"""Classify texts, and label the words of texts (sequence labelling).

Axis letters: B batch, S source subwords, C labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, overload

import numpy as np
import onnxruntime

from dragoman.runtime.arguments import list_of_texts, whole_number
from dragoman.runtime.batching import BATCH_SIZE, batches_of, pad
from dragoman.runtime.contract import EOS, Floats, Ids
from dragoman.runtime.loaded_model import LoadedModel
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.segmentation import split_text
from dragoman.runtime.session import ModelFactory, SelfTestError, load_as, run_session, session_for_task
from dragoman.runtime.tokenizer import Tokenizer

TOLERANCE = 1e-3  # largest difference of a probability between machines


class LabelEngine(Protocol):
    """Anything that computes the probabilities of labels: ONNX Runtime here, PyTorch in training."""

    def run(self, source: Ids, source_length: Ids) -> Floats:
        """Return probabilities from ids (B, S) and their lengths (B).

        The probabilities are (B, C) of a classifier and (B, S, C) of a tagger.
        """
        ...


class OnnxLabelEngine:
    """A label engine that runs a Dragoman file with ONNX Runtime on the CPU."""

    def __init__(self, model: bytes | onnxruntime.InferenceSession, task: str, threads: int = 1) -> None:
        """Open the bytes of a file, or take a session that holds it. The task is `classify` or `tag`."""
        self.session = session_for_task(model, task, threads)

    def run(self, source: Ids, source_length: Ids) -> Floats:
        """Return probabilities; see LabelEngine.run. Raise UserError when ONNX Runtime fails."""
        probabilities: Floats = run_session(self.session, {"source": source, "source_length": source_length})[0]
        return probabilities


@dataclass(frozen=True)
class Classification:
    """The class of a text.

    Attributes:
        label: The most probable class; empty for a text with nothing in it.
        probability: Its probability.
        probabilities: (label, probability) of every class, most probable first.
        parts: The number of parts that the text was read in; more than 1 if it is longer than the training texts.
    """

    label: str
    probability: float = 0.0
    probabilities: tuple[tuple[str, float], ...] = ()
    parts: int = 1


@dataclass(frozen=True)
class Tagged:
    """The labels of a text's words.

    Attributes:
        words: The words of the normalised text, which are separated by spaces.
        labels: The most probable label of each word.
        probabilities: The probability of each of these labels.
        complete: False if a word has more subwords than the model's training texts, so that its end was not read.
    """

    words: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    complete: bool = True


@dataclass
class _Part:
    """Ids of a text, or of a part of it, that the model reads at once."""

    text_number: int
    ids: list[int]
    word_starts: list[int]  # offset of each word's first subword; only for a tagger
    complete: bool = True  # no word is truncated


Result = TypeVar("Result")
LabelModel = TypeVar("LabelModel", bound="_LabelModel[Any]")


class _LabelModel(LoadedModel, Generic[Result]):
    """Base class of classifiers and taggers: loading, self-test and batching."""

    task: str
    engine: LabelEngine

    def __init__(self, engine: LabelEngine, metadata: Metadata) -> None:
        self.engine, self.metadata = engine, metadata
        self.tokenizer = Tokenizer(metadata.source_tokenizer, metadata.normalisation)

    @classmethod
    def load(cls: type[LabelModel], path: str | Path, *, threads: int = 1, self_test: bool = False) -> LabelModel:
        """Load a model from a file made by `dragoman export`.

        Args:
            path: The file, usually `*.onnx`.
            threads: Threads of ONNX Runtime, from 1 to 1,024, or 0 for one per core.
            self_test: Also check that the file's test texts get the probabilities that they got at export.

        Raises:
            ModelFileError: The file cannot be read, is damaged, is for another task, cannot run with the installed
                onnxruntime, or fails its self-test. It is a UserError.
            UserError: `threads` is out of range.
        """
        factories: dict[str, ModelFactory[LabelModel]] = {
            cls.task: lambda session, metadata: cls(OnnxLabelEngine(session, cls.task), metadata)
        }
        return load_as(path, factories, threads, self_test=self_test)

    def self_test(self) -> None:
        """Label the test texts stored in the file. Raise SelfTestError if probabilities differ from those stored."""
        for case in self.metadata.self_test["cases"]:
            source = np.array([case["source"]], dtype=np.int64)
            probabilities = self.engine.run(source, np.array([source.shape[1]]))[0]
            expected = np.array(case["probability"])
            if probabilities.shape != expected.shape or not np.abs(probabilities - expected).max() <= TOLERANCE:
                raise SelfTestError("the probabilities for a test text differ from those at export")

    def _probabilities(self, parts: Sequence[_Part], batch_size: int) -> list[Floats]:
        """Return the probabilities of each part: (C) of a classifier, (S, C) of a tagger."""
        batch_size = whole_number("the batch size", batch_size, 1)
        by_part: dict[int, Floats] = {}
        for batch in batches_of(sorted(parts, key=lambda part: len(part.ids)), batch_size):
            source, length = pad([part.ids for part in batch])
            for part, probabilities in zip(batch, self.engine.run(source, length), strict=True):
                by_part[id(part)] = probabilities
        return [by_part[id(part)] for part in parts]


class Classifier(_LabelModel[Classification]):
    """A classifier of texts, loaded from a file that `dragoman export` made.

    The classes are `metadata.labels`.

    Example:
        >>> classifier = dragoman.Classifier.load("sentiment.onnx")
        >>> classifier.classify("what a lovely day").label
        'positive'
    """

    task = "classify"

    @overload
    def classify(self, text: str, *, batch_size: int = ...) -> Classification: ...  # type: ignore[overload-overlap]  # a str is an Iterable[str], too

    @overload
    def classify(self, text: Iterable[str], *, batch_size: int = ...) -> list[Classification]: ...

    def classify(
        self, text: str | Iterable[str], *, batch_size: int = BATCH_SIZE
    ) -> Classification | list[Classification]:
        """Classify one text or several.

        A text longer than the training texts is read in parts. Their probabilities are averaged, weighted by length.

        Args:
            text: One text, or texts in a list or any other iterable. Each may be empty.
            batch_size: Largest number of parts to read at once, at least 1.

        Returns:
            A Classification for one text, or a list of them for several, in the same order.

        Raises:
            UserError: A text is not a str, `batch_size` is less than 1, or ONNX Runtime fails.

        Example:
            >>> for result in classifier.classify(["what a lovely day", "never again"]):
            ...     print(result.label, result.probability)
        """
        texts = list_of_texts(text)
        normalised = map(self.tokenizer.normalise, texts)
        parts = [_Part(n, ids, []) for n, item in enumerate(normalised) for ids in self._split(item)]
        rows = self._probabilities(parts, batch_size)
        parts_of_text: list[list[int]] = [[] for _ in texts]
        for i, part in enumerate(parts):
            parts_of_text[part.text_number].append(i)
        results = [
            self._result([rows[i] for i in numbers], [len(parts[i].ids) for i in numbers]) for numbers in parts_of_text
        ]
        return results[0] if isinstance(text, str) else results

    def _split(self, text: str) -> list[list[int]]:
        """Return the ids of a normalised text, in as many parts as it needs."""
        if not text:
            return []
        limit = self.metadata.max_source
        ids = self.tokenizer.encode(text) if len(text) <= 16 * limit else None  # see segmentation._split
        if ids is not None and len(ids) <= limit:
            return [ids]
        segments = split_text(text, lambda segment: len(self.tokenizer.encode(segment)), limit)
        return [self.tokenizer.encode(segment.text) for segment in segments if segment.text]

    def _result(self, rows: Sequence[Floats], lengths: Sequence[int]) -> Classification:
        """Return the classification of a text from the probabilities and lengths of its parts."""
        if not rows:
            return Classification("", parts=0)
        mean = np.average(rows, axis=0, weights=lengths)
        ranked = sorted(zip(self.metadata.labels, mean.tolist(), strict=True), key=lambda pair: -pair[1])
        return Classification(ranked[0][0], ranked[0][1], tuple(ranked), len(rows))


class Tagger(_LabelModel[Tagged]):
    """A tagger of words (sequence labelling), loaded from a file that `dragoman export` made.

    Words are separated by spaces. The labels are `metadata.labels`.

    Example:
        >>> tagger = dragoman.Tagger.load("names.onnx")
        >>> tagger.tag("Ada Lovelace lived in London").labels
        ('B-PER', 'I-PER', 'O', 'O', 'B-LOC')
    """

    task = "tag"

    @overload
    def tag(self, text: str, *, batch_size: int = ...) -> Tagged: ...  # type: ignore[overload-overlap]  # a str is an Iterable[str], too

    @overload
    def tag(self, text: Iterable[str], *, batch_size: int = ...) -> list[Tagged]: ...

    def tag(self, text: str | Iterable[str], *, batch_size: int = BATCH_SIZE) -> Tagged | list[Tagged]:
        """Label every word of one text or several.

        A text longer than the training texts is read in parts, split between words. If one word alone is longer, only
        its first subwords are read and the result is not `complete`.

        Args:
            text: One text, or texts in a list or any other iterable. Each may be empty. Punctuation should be separated
                by spaces in the same way as in the training texts.
            batch_size: Largest number of parts to read at once, at least 1.

        Returns:
            A Tagged for one text, or a list of them for several, in the same order.

        Raises:
            UserError: A text is not a str, `batch_size` is less than 1, or ONNX Runtime fails.

        Example:
            >>> result = tagger.tag("Ada Lovelace lived in London .")
            >>> [*zip(result.words, result.labels)]
        """
        lines = [self.tokenizer.normalise(item) for item in list_of_texts(text)]
        parts = [part for n, line in enumerate(lines) if line for part in self._split(n, line)]
        tags: list[list[tuple[str, float]]] = [[] for _ in lines]
        for part, probabilities in zip(parts, self._probabilities(parts, batch_size), strict=True):
            for of_word in probabilities[part.word_starts]:  # (C)
                best = int(of_word.argmax())
                tags[part.text_number].append((self.metadata.labels[best], float(of_word[best])))
        truncated = {part.text_number for part in parts if not part.complete}
        results = []
        for n, (line, of_line) in enumerate(zip(lines, tags, strict=True)):
            words = tuple(line.split(" ")) if line else ()
            labels, best_probabilities = tuple(label for label, _ in of_line), tuple(p for _, p in of_line)
            results.append(Tagged(words, labels, best_probabilities, n not in truncated))
        return results[0] if isinstance(text, str) else results

    def _split(self, text_number: int, line: str) -> list[_Part]:
        """Return the parts of a normalised text, split between words, each of at most `max_source` ids with `</s>`.

        A word of more ids is truncated, which makes its part incomplete.
        """
        limit = self.metadata.max_source - 1  # leaves room for </s>
        parts = [_Part(text_number, [], [])]
        # One word at a time: SentencePiece starts threads for a list.
        for ids in map(self.tokenizer.processor.EncodeAsIds, line.split(" ")):
            if parts[-1].ids and len(parts[-1].ids) + len(ids) > limit:
                parts.append(_Part(text_number, [], []))
            parts[-1].word_starts.append(len(parts[-1].ids))
            parts[-1].ids += ids[:limit]
            parts[-1].complete = parts[-1].complete and len(ids) <= limit
        for part in parts:
            part.ids.append(EOS)
        return parts
