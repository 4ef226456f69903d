"""Cutting text that is too much for one translation: at sentences, then clauses, then words, then characters."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

# Where a piece may end: after a sentence's closing mark (and quotes or brackets behind it), or after a clause's.
# Full-width marks need no space behind them. No match starts inside a run of marks, else a long run takes for ever.
# The marks of Arabic, Urdu, Devanagari, Armenian, Ethiopic and Burmese are among them.
_SENTENCE_END = re.compile(r"(?:(?<![.!?…؟۔।॥։።။])[.!?…؟۔।॥։።။]+[\"'”’»)\]]*(?= )|[。！？]+[”’」』）]*)")
_CLAUSE_END = re.compile(r"(?:[,;:—–،؛՝፣፤၊](?= )|[，、；：])")
_WORD_END = re.compile(r"(?= )")
# What a full stop may follow within a sentence: an initial or another single letter (but for "I"), a title.
_ABBREVIATION = re.compile(
    r"(?:^|[ .(])(?:[a-hj-z]|mr|mrs|ms|dr|prof|st|jr|sr|sra|mme|mlle|hr|fr|vs|bzw|approx)$", re.IGNORECASE | re.ASCII
)
_ABBREVIATED = 8  # characters, more than any of these and the mark before it

FULL_WIDTH = tuple("。！？，、；：”’」』）")  # marks that need no space behind them
# Languages written without spaces between words, by the names that BCP 47 and ISO 639 have for them.
UNSPACED = {*"zh zho cmn yue ja jpn th tha lo lao km khm my mya bo bod dz dzo".split()}


def spaced(language: str) -> bool:
    """Whether the language of a code such as `de` or `zh-TW` is written with spaces between words."""
    return re.split("[-_]", language.lower())[0] not in UNSPACED


class Piece(NamedTuple):
    """A part of a text and the white space that stood behind it."""

    text: str
    separator: str


def sentences(text: str) -> int:
    """How many sentences a normalised text has, as `split_text` cuts it."""
    return len(_cut(text, _SENTENCE_END))


def split_text(text: str, count: Callable[[str], int], limit: int, most: int | None = None) -> list[Piece]:
    """Cut normalised text into pieces for which `count` gives at most `limit` (at least 8).

    most: sentences of a piece. Joining every text and separator gives the text again. Neighbouring short pieces are put
    together, so that a cut is only made where one is needed, and at the best place that there is.
    """
    return _split(text, count, limit, (_SENTENCE_END, _CLAUSE_END, _WORD_END), most)


def _split(
    text: str, count: Callable[[str], int], limit: int, ends: tuple[re.Pattern[str], ...], most: int | None = None
) -> list[Piece]:
    """most: parts of a piece, by the first of the ends."""
    # A SentencePiece piece has at most 16 characters, so longer text cannot fit and need not be counted.
    if len(text) <= 16 * limit and count(text) <= limit and (most is None or len(_cut(text, ends[0])) <= most):
        return [Piece(text, "")]
    if not ends:
        room = (len(text) + 1) // 2 if len(text) <= 16 * limit else 8 * limit
        return [piece for i in range(0, len(text), room) for piece in _split(text[i : i + room], count, limit, ends)]
    packed: list[Piece] = []
    held, held_size, held_parts = "", 0, 0
    for part in _cut(text, ends[0]):
        size = count(part) if len(part) <= 16 * limit else limit + 1
        if held and (held_size + size > limit or held_parts == most):
            packed += _separate(_split(held.strip(" "), count, limit, ends[1:]), held)
            held, held_size, held_parts = "", 0, 0
        held, held_size, held_parts = held + part, held_size + size, held_parts + 1
    packed += _separate(_split(held.strip(" "), count, limit, ends[1:]), held)
    return [p for p in packed if p.text or p.separator]


def _cut(text: str, end: re.Pattern[str]) -> list[str]:
    """Every part with the spaces before it."""
    places = [match.end() for match in end.finditer(text) if not _abbreviates(text, match)]
    starts = [0, *places]
    return [text[i:j] for i, j in zip(starts, [*places, len(text)], strict=True) if i < j]


def _abbreviates(text: str, match: re.Match[str]) -> bool:
    start = match.start()
    return match[0] == "." and _ABBREVIATION.search(text, max(0, start - _ABBREVIATED), start) is not None


def _separate(pieces: list[Piece], original: str) -> list[Piece]:
    """Put the spaces that stood before `original` behind an empty first piece."""
    spaces = len(original) - len(original.lstrip(" "))
    return [Piece("", " " * spaces), *pieces] if spaces else pieces
