"""Split a text into parts that are translated separately, and join their translations.

A part is never longer than a training source (`Metadata.max_source`), has at most `Metadata.max_sentences` sentences,
and ends at a line break, except at one that wraps a sentence. Line breaks are kept.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dragoman.runtime.alignment import AttentionMap, word_alignment
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.protection import emoji_spellings, hide, protected_spans, show
from dragoman.runtime.segmentation import FULL_WIDTH, count_sentences, is_spaced, split_text
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.runtime.translation import Hypothesis, Translation

_LINE_BREAKS = re.compile(r"((?:\r\n?|\n)+)")

# A line break that wraps a sentence: the line is long and ends in a word or comma. The next line must also start with a
# small letter, which is checked with str.islower, because `re` has no class for it.
_WRAP = re.compile(r"(?<=[^\r\n]{30}[\w,;])[ \t]*(?:\r\n?|\n)[ \t]*(?=(\w))")


@dataclass
class Part:
    """A part of a text that is translated separately."""

    text: str
    separator: str  # white space after the part in the source
    ids: list[int]  # empty if there is nothing to translate
    target_separator: str = ""  # white space after the part's translation
    hypotheses: list[Hypothesis] = field(default_factory=list)
    attention: AttentionMap | None = None
    protected: list[tuple[int, int]] = field(default_factory=list)  # offsets of spans that the translation must keep
    hidden: dict[str, str] = field(default_factory=dict)  # spans for which placeholders stand in `ids`
    spellings: dict[str, str] = field(default_factory=dict)  # of emoji, see protection.emoji_spellings
    is_translated: bool = True  # False if no translation kept all of `protected`; the part stays as it is


class PartSplitter:
    """Splits texts into parts, within a model's limits and by the rules of its languages."""

    def __init__(self, metadata: Metadata, tokenizer: Tokenizer, *, placeholders: bool = False) -> None:
        """Take a source tokenizer. placeholders: both tokenizers reserve symbols for protected spans."""
        self._tokenizer, self._placeholders = tokenizer, placeholders
        self._max_ids, self._max_sentences = metadata.max_source, metadata.max_sentences
        self._language = metadata.source_language
        self._source_is_spaced = is_spaced(metadata.source_language)
        self._target_is_spaced = is_spaced(metadata.target_language)

    def split(self, text: str, protected: Sequence[str] = ()) -> list[Part]:
        """Return the parts of a text with any number of lines. protected: strings that the translation must keep."""
        if "\n" not in text and "\r" not in text:
            return self._split_line(text, protected)
        if not text.islower():  # in a text without capitals, a small letter does not show that a sentence continues
            text = _WRAP.sub(lambda wrap: " " if wrap[1].islower() else wrap[0], text)
        parts: list[Part] = []
        lines = _LINE_BREAKS.split(text)
        for line, breaks in zip(lines[::2], [*lines[1::2], ""], strict=True):
            line_parts = self._split_line(line, protected)
            if breaks and line_parts:
                line_parts[-1].separator = line_parts[-1].target_separator = breaks
            elif breaks:
                line_parts = [Part("", breaks, [], breaks)]
            parts += line_parts
        return parts

    def _split_line(self, line: str, protected: Sequence[str]) -> list[Part]:
        """Return the parts of a line, each of at most `max_source` ids and `max_sentences` sentences."""
        spellings = emoji_spellings(line)
        line = self._tokenizer.normalise(line)
        if not line:
            return []
        spans = protected_spans(line, protected)
        original = line
        line, hidden = hide(line, spans) if spans and self._placeholders else (line, {})
        parts = self._split_hidden(line)
        if len(parts) == 1 and parts[0].text == line:
            (part,) = parts
            part.text, part.protected, part.hidden, part.spellings = original, spans, hidden, spellings
        elif spans:
            fragments = _fragments(parts, protected_spans(line, protected))
            for part, (head, tail) in zip(parts, fragments, strict=True):
                part.spellings = spellings
                part.hidden = {symbol: span for symbol, span in hidden.items() if symbol in part.text}
                part.text = show(part.text, hidden)
                ends = {(0, head), (len(part.text) - tail, len(part.text))} if head or tail else set()
                cut = sorted((start, end) for start, end in ends if start < end)
                whole = protected_spans(part.text[head : len(part.text) - tail], protected)
                part.protected = sorted([*cut, *((start + head, end + head) for start, end in whole)])
        return parts

    def _split_hidden(self, line: str) -> list[Part]:
        """Return the parts of a normalised line whose spans are hidden."""
        ids = self._encode(line) if len(line) <= 16 * self._max_ids else None  # see segmentation._split
        if (
            ids is not None
            and len(ids) <= self._max_ids
            and count_sentences(line, self._language) <= self._max_sentences
        ):
            return [Part(line, "", ids)]

        def count_ids(text: str) -> int:
            return len(self._tokenizer.encode(text))

        slices = split_text(line, count_ids, self._max_ids, self._max_sentences, self._language)
        return [
            Part(
                slice_.text,
                slice_.separator,
                self._encode(slice_.text),
                slice_.separator or (self._inserted_space(slice_.text) if number < len(slices) else ""),
            )
            for number, slice_ in enumerate(slices, 1)
        ]

    def _encode(self, text: str) -> list[int]:
        """Return the ids of a text with `</s>`, or none if it has no subwords."""
        ids = self._tokenizer.encode(text)
        return ids if len(ids) > 1 else []

    def _inserted_space(self, text: str) -> str:
        """Return the space to insert after a translation whose source has none.

        A language with spaces needs one where the source language has none, or after full-width punctuation. There is
        none within a word that was split because it is too long.
        """
        needed = not self._source_is_spaced or text.endswith(FULL_WIDTH)
        return " " if needed and self._target_is_spaced else ""


def _fragments(parts: Sequence[Part], spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return how many characters at the start and at the end of each part belong to a span that goes beyond it.

    Only a span that is too long for one part is cut, such as a URL of 1,000 characters. All its fragments are kept.
    """
    fragments = []
    position = n_passed = 0
    for part in parts:
        start, position = position, position + len(part.text)
        head = tail = 0
        while n_passed < len(spans) and spans[n_passed][1] <= start:
            n_passed += 1
        i = n_passed
        while i < len(spans) and spans[i][0] < position:
            first, last = spans[i]
            if first < start:
                head = min(last, position) - start
            elif last > position:
                tail = position - first
            i += 1
        fragments.append((head, tail))
        position += len(part.separator)
    return fragments


class _Choice(NamedTuple):
    """A choice of one hypothesis for each part so far, as a linked list from the last part to the first."""

    text: str  # translation of the last part alone
    score: float  # sum over the parts
    complete: bool
    previous: _Choice | None

    def joined_text(self) -> str:
        texts, choice = [], self
        while choice.previous is not None:
            texts.append(choice.text)
            choice = choice.previous
        return "".join(texts[::-1])


def join_parts(parts: Sequence[Part], n_best: int) -> Translation:
    """Return the translation of a text from its translated parts.

    The n best hypotheses of the text are those combinations of the parts' hypotheses with the highest sum of scores.
    """
    translated = [part for part in parts if part.ids]
    if not translated:
        return Translation("")
    choices = [_Choice("", 0.0, True, None)]
    for part in parts:
        options = part.hypotheses if part.ids else [Hypothesis("", 0.0)]
        extended = (
            _Choice(
                option.text + part.target_separator,
                choice.score + option.score,
                choice.complete and option.complete,
                choice,
            )
            for choice in choices
            for option in options
        )
        choices = heapq.nlargest(n_best, extended, key=lambda choice: choice.score)
    hypotheses: dict[str, Hypothesis] = {}
    for choice in choices:
        text = choice.joined_text()
        hypotheses.setdefault(text, Hypothesis(text, choice.score / len(translated), choice.complete))
    best = next(iter(hypotheses.values()))
    maps = tuple(part.attention for part in translated if part.attention is not None)
    return Translation(
        best.text,
        best.score,
        best.complete,
        word_alignment(maps, _continues(parts)),
        maps,
        tuple(hypotheses.values()),
        len(translated),
        tuple(part.text for part in translated if not part.is_translated),
    )


def _continues(parts: Sequence[Part]) -> list[tuple[bool, bool]]:
    """Return two flags for each translated part: its source, and its translation, follow the last without a space."""
    continues = []
    source_space = target_space = True
    for part in parts:
        if part.ids:
            continues.append((not source_space, not target_space))
            source_space = target_space = False
        source_space = source_space or bool(part.separator)
        target_space = target_space or bool(part.target_separator)
    return continues
