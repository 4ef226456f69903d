"""Split text at sentences, then clauses, then words."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

# Where a piece may end: after a sentence's closing mark (and quotes or brackets behind it), or after a clause's.
# Full-width marks need no space behind them. No match starts inside a run of marks, else a long run takes for ever.
# The marks of Arabic, Urdu, Devanagari, Armenian, Ethiopic and Burmese are among them.
_SENTENCE_END = re.compile(r"(?:(?<![.!?…؟۔।॥։።။])[.!?…؟۔।॥։።။]+[\"'”’»)\]]*(?= )|[。！？]+[”’」』）]*)")


_CLAUSE_END = re.compile(r"(?:[,;:—–،؛՝፣፤၊](?= )|[，、；：])")


_WORD_END = re.compile(r"(?= )")


_BEHIND = re.compile(r"[ \"'“”„«»‹›(\[]*")  # what stands between a mark and the next word


_LAST_WORD = re.compile(r"[^\W_]+$")


_LOOK_BACK = 12  # characters, more than any abbreviation


# A full stop behind these ends no sentence; behind the others none if a number follows ("no. 5", "Jan. 5").
_TITLES = {*"mr mrs ms dr prof st mme mlle hr fr sra gen col sgt capt lt rev mt vs bzw approx".split()}


_NUMBERED = {
    *"no nos nr fig figs art abb vol p pp ch sec ca tel".split(),
    *"jan feb mar apr jun jul aug sep sept oct okt nov dec dez".split(),
}


# Languages that write ordinals with a full stop.
_ORDINALS = {
    *"de deu ger gsw lb ltz da dan nb nob nn nno no nor fo fao is isl ice fi fin et est lv lav eu eus hu hun".split(),
    *"cs ces cze sk slk sl slv hr hrv sr srp bs bos hsb dsb pl pol tr tur".split(),
}


FULL_WIDTH = tuple("。！？，、；：”’」』）")  # marks that need no space behind them


# Languages written without spaces between words, by the names that BCP 47 and ISO 639 have for them.
UNSPACED = {*"zh zho cmn yue ja jpn th tha lo lao km khm my mya bo bod dz dzo".split()}


def _primary(language: str) -> str:
    """The language of a code such as `de` or `zh-TW`, without script and region."""
    return re.split("[-_]", language.lower())[0]


def spaced(language: str) -> bool:
    """Whether a language is written with spaces between words."""
    return _primary(language) not in UNSPACED


Ends = Callable[[str], list[int]]  # where the parts of a text end


class Piece(NamedTuple):
    """A part of a text and the white space that stood behind it."""

    text: str
    separator: str


def sentences(text: str, language: str = "") -> int:
    """How many sentences a normalised text has, as `split_text` cuts it."""
    return len(_cut(text, partial(_sentence_ends, language=language)))


def split_text(
    text: str, count: Callable[[str], int], limit: int, most: int | None = None, language: str = ""
) -> list[Piece]:
    """Cut normalised text into pieces for which `count` gives at most `limit` (at least 8).

    most: sentences of a piece. language: a code, by which "3. Mai" is one sentence or two. Joining every text and
    separator gives the text again. Neighbouring short pieces are put together, so that a cut is only made where one is
    needed, and at the best place that there is.
    """
    ends = (partial(_sentence_ends, language=language), partial(_ends, _CLAUSE_END), partial(_ends, _WORD_END))
    return _split(text, count, limit, ends, most)


def _split(
    text: str, count: Callable[[str], int], limit: int, ends: tuple[Ends, ...], most: int | None = None
) -> list[Piece]:
    """most: parts of a piece, by the first of the ends."""
    # A SentencePiece piece has at most 16 characters, so longer text cannot fit and need not be counted.
    fits = len(text) <= 16 * limit and count(text) <= limit
    if fits and (most is None or len(_cut(text, ends[0])) <= most):
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


def _ends(pattern: re.Pattern[str], text: str) -> list[int]:
    return [match.end() for match in pattern.finditer(text)]


def _sentence_ends(text: str, language: str) -> list[int]:
    lower, ordinals = text.islower(), _primary(language) in _ORDINALS
    return [match.end() for match in _SENTENCE_END.finditer(text) if not _goes_on(text, match, lower, ordinals)]


def _cut(text: str, ends: Ends) -> list[str]:
    """Every part with the spaces before it."""
    places = ends(text)
    starts = [0, *places]
    return [text[i:j] for i, j in zip(starts, [*places, len(text)], strict=True) if i < j]


def _goes_on(text: str, match: re.Match[str], lower: bool, ordinals: bool) -> bool:
    """Whether a sentence goes on behind a mark that could end it. lower: the text has no capitals."""
    start, end = match.span()
    if match[0][0] in FULL_WIDTH:
        return False
    behind = _BEHIND.match(text, end)
    assert behind
    following = text[behind.end() : behind.end() + 1]
    if following.islower() and not lower:
        return True
    found = _LAST_WORD.search(text, max(0, start - _LOOK_BACK), start)
    if match[0] != "." or not found:
        return False
    word = found[0]
    if len(word) == 1 and word.isalpha():  # an initial, "z. B.", "p.m."; a Russian sentence may end in a small letter
        return word not in "Ii" and (word.isascii() or word.isupper())
    if word.isdecimal():
        return len(word) <= 2 and (ordinals or found.start() == 0)
    return word.lower() in _TITLES or (following.isdecimal() and word.lower() in _NUMBERED)


def _separate(pieces: list[Piece], original: str) -> list[Piece]:
    """Put the spaces that stood before `original` behind an empty first piece."""
    spaces = len(original) - len(original.lstrip(" "))
    return [Piece("", " " * spaces), *pieces] if spaces else pieces
