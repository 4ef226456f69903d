"""Classify texts, and label each of their words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, overload

import numpy as np
import onnxruntime

from dragoman.runtime.batching import BATCH_SIZE, batches_of, pad
from dragoman.runtime.contract import EOS, Floats, Ids
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata, ModelFileError
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.segmentation import split_text
from dragoman.runtime.session import Maker, load_as, outputs_of, session_for, texts_of
from dragoman.runtime.tokenizer import Tokenizer

TOLERANCE = 1e-3  # of a probability, between machines


class LabelEngine(Protocol):
    """Whatever computes probabilities of labels: ONNX Runtime here, PyTorch while training."""

    def run(self, source: Ids, source_length: Ids) -> Floats:
        """(B, S), (B) -> (B, C), or (B, S, C) for each place."""
        ...


class OnnxLabelEngine:
    """The file itself, run by ONNX Runtime on the CPU."""

    def __init__(self, model: bytes | onnxruntime.InferenceSession, task: str, threads: int = 1) -> None:
        self.session = session_for(model, task, threads)

    def run(self, source: Ids, source_length: Ids) -> Floats:
        """See LabelEngine."""
        out: Floats = outputs_of(self.session, {"source": source, "source_length": source_length})[0]
        return out


@dataclass(frozen=True)
class Classification:
    """The likeliest class of a text, and how likely each is.

    A text with nothing in it has no class: label is empty. parts: how many pieces the text was read in.
    """

    label: str
    probability: float = 0.0
    probabilities: tuple[tuple[str, float], ...] = ()  # the likeliest first
    parts: int = 1


@dataclass(frozen=True)
class Tagged:
    """The words of a text, each with its likeliest label and how likely that is.

    complete: false when a word has more pieces than the model was trained on, and so was not read to its end.
    """

    words: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    complete: bool = True


@dataclass
class _Part:
    """Ids that are run together, and of which text they are."""

    line: int
    ids: list[int]
    starts: list[int]  # where each of its words begins, which a tagger needs
    complete: bool = True  # no word is cut


Result = TypeVar("Result")


Own = TypeVar("Own", bound="_LabelModel[Any]")


class _LabelModel(Generic[Result]):
    """What classifiers and taggers share: loading, the self-test, and texts in batches."""

    task: str

    def __init__(self, engine: LabelEngine, metadata: Metadata) -> None:
        self.engine, self.metadata = engine, metadata
        self.tokenizer = Tokenizer(metadata.source_tokenizer)

    @classmethod
    def load(cls: type[Own], path: str | Path, *, threads: int = 1, self_test: bool = False) -> Own:
        """Open a file made by `dragoman export`. Raises ModelFileError, a UserError, as Translator.load does."""
        makers: dict[str, Maker[Own]] = {
            cls.task: lambda session, metadata: cls(OnnxLabelEngine(session, cls.task), metadata)
        }
        return load_as(path, makers, threads, self_test=self_test)

    def self_test(self) -> None:
        """Read the ids stored in the file. Raises ModelFileError unless the probabilities are those stored."""
        for case in self.metadata.self_test["cases"]:
            source = np.array([case["source"]], dtype=np.int64)
            given = self.engine.run(source, np.array([source.shape[1]]))[0]
            expected = np.array(case["probability"])
            if given.shape != expected.shape or not np.abs(given - expected).max() <= TOLERANCE:
                raise ModelFileError(
                    f"self-test failed: source {case['source']} does not give the probabilities that it gave when the "
                    "file was made; do not trust this runtime"
                )

    def _probabilities(self, parts: Sequence[_Part], batch_size: int) -> list[Floats]:
        """Of each part: (C), or (S, C)."""
        if batch_size < 1:
            raise UserError(f"batch size {batch_size}: it must be at least 1")
        found: dict[int, Floats] = {}
        for batch in batches_of(sorted(parts, key=lambda part: len(part.ids)), batch_size):
            source, length = pad([part.ids for part in batch])
            for part, row in zip(batch, self.engine.run(source, length), strict=True):
                found[id(part)] = row
        return [found[id(part)] for part in parts]


class Classifier(_LabelModel[Classification]):
    """Gives texts one of the file's classes.

    >>> classifier = Classifier.load("sentiment.onnx")
    >>> classifier.classify("what a lovely day").label
    """

    task = "classify"

    @overload
    def classify(self, text: str, *, batch_size: int = ...) -> Classification: ...  # type: ignore[overload-overlap]  # a str is a sequence of str, too

    @overload
    def classify(self, text: Sequence[str], *, batch_size: int = ...) -> list[Classification]: ...

    def classify(
        self, text: str | Sequence[str], *, batch_size: int = BATCH_SIZE
    ) -> Classification | list[Classification]:
        """One text to a Classification, or several to a list in the same order.

        A text longer than the model was trained on is read in parts, whose probabilities are averaged by their length.
        """
        lines = texts_of(text)
        parts = [_Part(n, ids, []) for n, line in enumerate(lines) for ids in self._cut(normalise(line))]
        rows = self._probabilities(parts, batch_size)
        of_line: list[list[int]] = [[] for _ in lines]
        for i, part in enumerate(parts):
            of_line[part.line].append(i)
        results = [self._result([rows[i] for i in own], [len(parts[i].ids) for i in own]) for own in of_line]
        return results[0] if isinstance(text, str) else results

    def _cut(self, text: str) -> list[list[int]]:
        if not text:
            return []
        limit = self.metadata.max_source
        ids = self.tokenizer.encode(text) if len(text) <= 16 * limit else None
        if ids is not None and len(ids) <= limit:
            return [ids]
        pieces = split_text(text, lambda piece: len(self.tokenizer.encode(piece)), limit)
        return [self.tokenizer.encode(piece.text) for piece in pieces if piece.text]

    def _result(self, rows: Sequence[Floats], lengths: Sequence[int]) -> Classification:
        if not rows:
            return Classification("", parts=0)
        mean = np.average(rows, axis=0, weights=lengths)
        ranked = sorted(zip(self.metadata.labels, mean.tolist(), strict=True), key=lambda one: -one[1])
        return Classification(ranked[0][0], ranked[0][1], tuple(ranked), len(rows))


class Tagger(_LabelModel[Tagged]):
    """Gives each word of a text one of the file's labels. Words are what stands between spaces.

    >>> tagger = Tagger.load("names.onnx")
    >>> tagger.tag("Ada Lovelace lived in London").labels
    """

    task = "tag"

    @overload
    def tag(self, text: str, *, batch_size: int = ...) -> Tagged: ...  # type: ignore[overload-overlap]  # a str is a sequence of str, too

    @overload
    def tag(self, text: Sequence[str], *, batch_size: int = ...) -> list[Tagged]: ...

    def tag(self, text: str | Sequence[str], *, batch_size: int = BATCH_SIZE) -> Tagged | list[Tagged]:
        """One text to a Tagged, or several to a list in the same order.

        A text longer than the model was trained on is read in parts, cut between words. Of a word that is longer than
        that the first pieces are read, and the result is not `complete`.
        """
        lines = [normalise(line) for line in texts_of(text)]
        parts = [part for n, line in enumerate(lines) if line for part in self._cut(n, line)]
        found: list[list[tuple[str, float]]] = [[] for _ in lines]
        for part, row in zip(parts, self._probabilities(parts, batch_size), strict=True):
            for place in row[part.starts]:
                best = int(place.argmax())
                found[part.line].append((self.metadata.labels[best], float(place[best])))
        results = []
        cut = {part.line for part in parts if not part.complete}
        for n, (line, own) in enumerate(zip(lines, found, strict=True)):
            words = tuple(line.split(" ")) if line else ()
            results.append(Tagged(words, tuple(label for label, _ in own), tuple(p for _, p in own), n not in cut))
        return results[0] if isinstance(text, str) else results

    def _cut(self, number: int, line: str) -> list[_Part]:
        limit = self.metadata.max_source - 1
        parts = [_Part(number, [], [])]
        for ids in map(self.tokenizer.processor.EncodeAsIds, line.split(" ")):  # all at once would start threads
            if parts[-1].ids and len(parts[-1].ids) + len(ids) > limit:
                parts.append(_Part(number, [], []))
            parts[-1].starts.append(len(parts[-1].ids))
            parts[-1].ids += ids[:limit]
            parts[-1].complete = parts[-1].complete and len(ids) <= limit
        for part in parts:
            part.ids.append(EOS)
        return parts
