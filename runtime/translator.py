"""Translate text: normalise, split, tokenise, run the file once a batch, detokenise and join."""

from __future__ import annotations

import heapq
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np

from dragoman.runtime.alignment import Attention, word_alignment
from dragoman.runtime.batching import BATCH_SIZE, BATCH_TOKENS, batches_of, pad
from dragoman.runtime.contract import EOS, PAD, PRECISIONS
from dragoman.runtime.engine import Engine, OnnxEngine
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata, ModelFileError
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.segmentation import FULL_WIDTH, sentences, spaced, split_text
from dragoman.runtime.session import Maker, load_as, return_memory, texts_of
from dragoman.runtime.tokenizer import Tokenizer

RETURN_EVERY = 32  # batches, after which free memory goes back to the system: too often costs time


MOST_LENGTH = 1_000_000  # ids of a translation that may be asked for


_BREAKS = re.compile(r"((?:\r\n?|\n)+)")


# Where a line was wrapped: it is long, ends in a word or comma, and the next goes on with a small letter (see below).
_WRAPPED = re.compile(r"(?<=[^\r\n]{30}[\w,;])[ \t]*(?:\r\n?|\n)[ \t]*(?=(\w))")


@dataclass(frozen=True)
class Hypothesis:
    """One translation of a text. score: log-probability / length ** length_penalty, averaged over the text's parts."""

    text: str
    score: float
    complete: bool = True  # false: the longest length allowed was reached before the model closed the sentence


@dataclass(frozen=True)
class Translation:
    """The best translation of a text, and what there is beside it.

    alignment: (source word, target word) pairs, words being what stands between spaces (U+0020) and line
    breaks, counted from 0; empty unless asked for.
    attention: a map for each part that the text was translated in; empty unless asked for.
    hypotheses: the n best that differ, best first; fewer where the beam holds no more texts.
    complete: false when a part reached the longest length allowed.
    """

    text: str
    score: float = 0.0
    complete: bool = True
    alignment: tuple[tuple[int, int], ...] = ()
    attention: tuple[Attention, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    parts: int = 1


@dataclass
class _Part:
    """A piece of a line that is translated by itself."""

    text: str
    separator: str  # what stands behind it in the source
    ids: list[int]
    between: str = ""  # what is to stand behind its translation
    hypotheses: list[Hypothesis] = field(default_factory=list)
    attention: Attention | None = None


class _Joined(NamedTuple):
    """Translations of the parts of a text so far; text: of the last of them alone."""

    text: str
    score: float  # the parts' sum
    complete: bool
    before: _Joined | None

    def text_of_all(self) -> str:
        texts, one = [], self
        while one.before is not None:
            texts.append(one.text)
            one = one.before
        return "".join(texts[::-1])


def _goes_on(parts: Sequence[_Part]) -> list[tuple[bool, bool]]:
    """Of each part with ids: whether its source, and its translation, follow the one before without a space."""
    out = []
    apart = [True, True]
    for part in parts:
        if part.ids:
            out.append((not apart[0], not apart[1]))
            apart = [False, False]
        apart = [apart[0] or bool(part.separator), apart[1] or bool(part.between)]
    return out


class Translator:
    """Translates text with an engine, a pair of tokenizers and a file's defaults.

    >>> translator = Translator.load("en-de.onnx")
    >>> translator.translate("two dogs run").text
    """

    def __init__(self, engine: Engine, metadata: Metadata) -> None:
        self.engine, self.metadata, self.batches = engine, metadata, 0
        self.source_tokenizer = Tokenizer(metadata.source_tokenizer)
        self._spaces_source, self._spaces_target = spaced(metadata.source_language), spaced(metadata.target_language)
        joint = metadata.source_tokenizer == metadata.target_tokenizer
        self.target_tokenizer = self.source_tokenizer if joint else Tokenizer(metadata.target_tokenizer)

    @classmethod
    def load(cls, path: str | Path, *, threads: int = 1, self_test: bool = False) -> Translator:
        """Open a file made by `dragoman export`.

        Raises ModelFileError, a UserError, when it is not one, is damaged, cannot run here, or (with self_test) does not
        compute what it computed when it was made.
        """
        makers: dict[str, Maker[Translator]] = {
            "translate": lambda session, metadata: cls(OnnxEngine(session), metadata)
        }
        return load_as(path, makers, threads, self_test=self_test)

    def self_test(self) -> None:
        """Translate the ids stored in the file. Raises ModelFileError unless tokens and scores are those stored."""
        tolerance = PRECISIONS[self.metadata.precision]
        for case in self.metadata.self_test["cases"]:
            source = np.array([case["source"]], dtype=np.int64)
            target, score, _ = self.engine.run(
                source, np.array([source.shape[1]]), n_aligned=0, **self.metadata.self_test["settings"]
            )
            given = [i for i in target[0, 0].tolist() if i != PAD]
            if given != case["target"] or not abs(float(score[0, 0]) - case["score"]) <= tolerance:
                raise ModelFileError(
                    f"self-test failed: source {case['source']} gave {given} ({score[0, 0]:.5f}), and when the file "
                    f"was made it gave {case['target']} ({case['score']:.5f}); do not trust this runtime"
                )

    @overload
    def translate(  # type: ignore[overload-overlap]  # a str is a sequence of str, too
                  self, text: str, *, beam: int | None = ..., n_best: int = ...,
                  length_penalty: float | None = ..., max_length: int | None = ..., alignments: bool = ...,
                  batch_size: int = ..., batch_tokens: int = ...) -> Translation: ...  # fmt: skip

    @overload
    def translate(self, text: Sequence[str], *, beam: int | None = ..., n_best: int = ...,
                  length_penalty: float | None = ..., max_length: int | None = ..., alignments: bool = ...,
                  batch_size: int = ..., batch_tokens: int = ...) -> list[Translation]: ...  # fmt: skip

    def translate(
        self,
        text: str | Sequence[str],
        *,
        beam: int | None = None,
        n_best: int = 1,
        length_penalty: float | None = None,
        max_length: int | None = None,
        alignments: bool = False,
        batch_size: int = BATCH_SIZE,
        batch_tokens: int = BATCH_TOKENS,
    ) -> Translation | list[Translation]:
        """One text to a Translation, or several to a list in the same order.

        Sorts by length and batches inside: at most batch_size sentences, and batch_tokens source ids, padding included,
        of more than one. What is left out comes from the file's defaults; a beam that is left out is at least twice
        as wide as the n best, some of which are the same text in other pieces. Text with nothing in it gives an empty
        translation. Text longer than the model was trained on, or of more sentences, is translated in parts; so are
        lines, and line breaks stay, but for those of wrapped sentences.
        Raises UserError when a text is no str, n_best is more than beam, a number is out of range, or alignments are
        asked of a model without attention; TypeError when what counts is no whole number.
        """
        defaults, lines = self.metadata.defaults, texts_of(text)
        n_best, batch_size = operator.index(n_best), operator.index(batch_size)
        wanted = n_best if n_best == 1 else 2 * n_best  # some are the same text in other pieces
        if beam is None:
            beam = min(max(int(defaults["beam_size"]), wanted), max(n_best, len(self.target_tokenizer)))
        if not 1 <= n_best <= beam:
            raise UserError(f"n-best {n_best} with beam {beam}: the n best are taken from the beam, so 1 to {beam}")
        beam = operator.index(beam)
        max_length = int(defaults["max_length"]) if max_length is None else operator.index(max_length)
        length_penalty = float(defaults["length_penalty"]) if length_penalty is None else length_penalty
        self.check_beam(beam)
        if batch_size < 1 or not 1 <= max_length <= MOST_LENGTH:
            raise UserError(
                f"batch size {batch_size}, longest translation {max_length}: the one must be at least 1, the other "
                f"from 1 to {MOST_LENGTH:,}"
            )
        if alignments and not self.attends:
            raise UserError("the model has no attention, so it cannot say which words come from which")
        if not 0 <= length_penalty <= 5:
            raise UserError(f"length penalty {length_penalty}: give a number from 0 to 5")
        settings = {
            "beam_size": beam,
            "n_best": min(wanted, beam),
            "max_length": max_length,
            "length_penalty": length_penalty,
            "n_aligned": int(alignments),
        }
        parts = [self._parts(line) for line in lines]
        pending = sorted((p for line in parts for p in line if p.ids), key=lambda p: len(p.ids))
        for batch in batches_of(pending, batch_size, batch_tokens):
            self._run(batch, n_best, settings)
            self.batches += 1
            if self.batches % RETURN_EVERY == 0:
                return_memory()
        results = [self._join(line, n_best) for line in parts]
        return results[0] if isinstance(text, str) else results

    @property
    def attends(self) -> bool:
        """Whether the network has attention, from which alignments are made."""
        return bool(self.metadata.config.get("model", {}).get("attention") != "none")

    def check_beam(self, beam: int) -> None:
        """Raise UserError for a beam that the search cannot fill."""
        if not 1 <= beam <= len(self.target_tokenizer):
            raise UserError(f"beam {beam}: give 1 to {len(self.target_tokenizer)}, the model's vocabulary")

    def _parts(self, text: str) -> list[_Part]:
        """A text's lines and, of each, what is translated by itself."""
        if "\n" not in text and "\r" not in text:
            return self._parts_of_line(normalise(text))
        found: list[_Part] = []
        if not text.islower():  # where a small letter says nothing
            text = _WRAPPED.sub(lambda wrap: " " if wrap[1].islower() else wrap[0], text)
        lines = _BREAKS.split(text)
        for line, breaks in zip(lines[::2], [*lines[1::2], ""], strict=True):
            own = self._parts_of_line(normalise(line))
            if breaks and own:
                own[-1].separator = own[-1].between = breaks
            elif breaks:
                own = [_Part("", breaks, [], breaks)]
            found += own
        return found

    def _parts_of_line(self, text: str) -> list[_Part]:
        if not text:
            return []
        limit, most, language = self.metadata.max_source, self.metadata.max_sentences, self.metadata.source_language
        ids = self._encoded(text) if len(text) <= 16 * limit else None
        if ids is not None and len(ids) <= limit and sentences(text, language) <= most:
            return [_Part(text, "", ids)]

        def count(piece: str) -> int:
            return len(self.source_tokenizer.encode(piece))

        pieces = split_text(text, count, limit, most, language)
        return [
            _Part(
                piece.text,
                piece.separator,
                self._encoded(piece.text),
                piece.separator or (self._space_after(piece.text) if number < len(pieces) else ""),
            )
            for number, piece in enumerate(pieces, 1)
        ]

    def _encoded(self, text: str) -> list[int]:
        """The ids of a text, closed; none of no text."""
        ids = self.source_tokenizer.encode(text)
        return ids if len(ids) > 1 else []

    def _space_after(self, text: str) -> str:
        """The space that a translation needs where its source has none: not within a word, which was too long."""
        needed = not self._spaces_source or text.endswith(FULL_WIDTH)
        return " " if needed and self._spaces_target else ""

    def _run(self, batch: Sequence[_Part], n_best: int, settings: dict[str, int | float]) -> None:
        source, length = pad([p.ids for p in batch])
        target, score, attention = self.engine.run(source, length, **settings)  # type: ignore[arg-type]  # by name
        for b, part in enumerate(batch):
            found: dict[str, Hypothesis] = {}
            for k in range(int(settings["n_best"])):
                if score[b, k] < -1e6 or len(found) == n_best:  # fewer hypotheses may exist than were asked for
                    break
                ids = [i for i in target[b, k].tolist() if i != PAD]
                text = self.target_tokenizer.decode(ids)
                found.setdefault(text, Hypothesis(text, float(score[b, k]), ids[-1:] == [EOS]))
            part.hypotheses.extend(found.values())
            if settings["n_aligned"]:
                ids = [i for i in target[b, 0].tolist() if i != PAD]
                part.attention = Attention(
                    tuple(self.source_tokenizer.pieces(part.ids)),
                    tuple(self.target_tokenizer.pieces(ids)),
                    attention[b, 0, : len(ids), : len(part.ids)],
                )

    def _join(self, parts: list[_Part], n_best: int) -> Translation:
        translated = [p for p in parts if p.ids]
        if not translated:
            return Translation("")
        best = [_Joined("", 0.0, True, None)]
        for part in parts:
            ways = part.hypotheses if part.ids else [Hypothesis("", 0.0)]
            longer = (
                _Joined(h.text + part.between, one.score + h.score, one.complete and h.complete, one)
                for one in best
                for h in ways
            )
            best = heapq.nlargest(n_best, longer, key=lambda one: one.score)
        hypotheses: dict[str, Hypothesis] = {}
        for one in best:
            text = one.text_of_all()
            hypotheses.setdefault(text, Hypothesis(text, one.score / len(translated), one.complete))
        first = next(iter(hypotheses.values()))
        maps = tuple(p.attention for p in translated if p.attention is not None)
        return Translation(
            first.text, first.score, first.complete, word_alignment(maps, _goes_on(parts)), maps,
            tuple(hypotheses.values()), len(translated),
        )  # fmt: skip
