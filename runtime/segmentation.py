"""Split text that is too long for one translation: at sentences, then clauses, then words, then characters."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

# A sentence may end after its closing punctuation and the quotes or brackets that follow. German and Czech close with “
# or «, French with a space and ». Full-width punctuation needs no space after it. The sets include Arabic, Urdu,
# Devanagari, Armenian, Ethiopic and Burmese punctuation. No match starts inside a run of punctuation; otherwise a long
# run would take quadratic time.
_SENTENCE_END = re.compile(r"(?:(?<![.!?…؟۔।॥։።။])[.!?…؟۔।॥։።။]+(?:[\"'”“’‘»«›‹)\]]| [»›])*(?= )|[。！？]+[”’」』）]*)")
_CLAUSE_END = re.compile(r"(?:[,;:—–،؛՝፣፤၊](?= )|[，、；：])")
_WORD_END = re.compile(r"(?= )")

_OPENING = re.compile(r"[ \"'“”„«»‹›(\[]*")  # spaces, quotes and brackets before the next word
_LAST_WORD = re.compile(r"[^\W_]+$")
_LOOK_BACK = 12  # characters, more than any abbreviation below has

# A full stop after one of these never ends a sentence.
_TITLES = {*"mr mrs ms dr prof st mme mlle hr fr sra gen col sgt capt lt rev mt vs bzw approx".split()}
# A full stop after one of these does not end a sentence if a number follows ("no. 5", "Jan. 5").
_BEFORE_NUMBER = {
    *"no nos nr fig figs art abb vol p pp ch sec ca tel".split(),
    *"jan feb mar apr jun jul aug sep sept oct okt nov dec dez".split(),
}
# Languages that write ordinal numbers with a full stop, by their ISO 639 codes.
_ORDINALS = {
    *"de deu ger gsw lb ltz da dan nb nob nn nno no nor fo fao is isl ice fi fin et est lv lav eu eus hu hun".split(),
    *"cs ces cze sk slk sl slv hr hrv sr srp bs bos hsb dsb pl pol tr tur".split(),
}
FULL_WIDTH = tuple("。！？，、；：”’」』）")  # punctuation that needs no space after it

# Languages written without spaces between words, by their codes in BCP 47 and ISO 639.
UNSPACED = {*"zh zho cmn yue ja jpn th tha lo lao km khm my mya bo bod dz dzo".split()}


def _primary_language(language: str) -> str:
    """Return the language of a code such as `de` or `zh-TW`, without script and region."""
    return re.split("[-_]", language.lower())[0]


def is_spaced(language: str) -> bool:
    """Return whether a language is written with spaces between words."""
    return _primary_language(language) not in UNSPACED


EndFinder = Callable[[str], list[int]]  # returns the offsets at which the units of a text end


class Segment(NamedTuple):
    """A segment of a text and the white space after it."""

    text: str
    separator: str


def count_sentences(text: str, language: str = "") -> int:
    """Return the number of sentences in a normalised text, by the rules of `split_text`."""
    return len(_units(text, partial(_sentence_ends, language=language)))


def split_text(
    text: str, count: Callable[[str], int], limit: int, max_sentences: int | None = None, language: str = ""
) -> list[Segment]:
    """Split normalised text into segments that a model can take.

    Joining the texts and separators of all segments gives the text again. Adjacent short units share a segment, and a
    text is split only where that is necessary: at sentences if possible, else at clauses, words or characters.

    Args:
        text: Normalised text.
        count: Returns the number of ids of a text.
        limit: Largest `count` of a segment, at least 8.
        max_sentences: Largest number of sentences in a segment; None for any number.
        language: Language code. It decides, for example, whether "3. Mai" is one sentence or two.
    """
    finders = (partial(_sentence_ends, language=language), partial(_ends, _CLAUSE_END), partial(_ends, _WORD_END))
    return _split(text, count, limit, finders, max_sentences)


def _split(
    text: str, count: Callable[[str], int], limit: int, finders: tuple[EndFinder, ...], max_units: int | None = None
) -> list[Segment]:
    """Split a text at the ends of the first finder, and what is still too long at those of the next.

    max_units: Largest number of units of the first finder in a segment.
    """
    # A SentencePiece subword has at most 16 characters, so longer text cannot fit and need not be counted.
    fits = len(text) <= 16 * limit and count(text) <= limit
    if fits and (max_units is None or len(_units(text, finders[0])) <= max_units):
        return [Segment(text, "")]
    if not finders:
        size = (len(text) + 1) // 2 if len(text) <= 16 * limit else 8 * limit
        return [part for i in range(0, len(text), size) for part in _split(text[i : i + size], count, limit, finders)]
    segments: list[Segment] = []
    pending, pending_count, pending_units = "", 0, 0
    for unit in _units(text, finders[0]):
        unit_count = count(unit) if len(unit) <= 16 * limit else limit + 1
        if pending and (pending_count + unit_count > limit or pending_units == max_units):
            segments += _with_leading_spaces(pending, _split(pending.strip(" "), count, limit, finders[1:]))
            pending, pending_count, pending_units = "", 0, 0
        pending, pending_count, pending_units = pending + unit, pending_count + unit_count, pending_units + 1
    segments += _with_leading_spaces(pending, _split(pending.strip(" "), count, limit, finders[1:]))
    return [segment for segment in segments if segment.text or segment.separator]


def _ends(pattern: re.Pattern[str], text: str) -> list[int]:
    return [match.end() for match in pattern.finditer(text)]


def _sentence_ends(text: str, language: str) -> list[int]:
    lower_case, ordinals = text.islower(), _primary_language(language) in _ORDINALS
    return [
        match.end()
        for match in _SENTENCE_END.finditer(text)
        if not _sentence_continues(text, match, lower_case, ordinals)
    ]


def _units(text: str, find_ends: EndFinder) -> list[str]:
    """Return the units of a text, each with the spaces before it."""
    ends = find_ends(text)
    starts = [0, *ends]
    return [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True) if start < end]


def _sentence_continues(text: str, match: re.Match[str], lower_case: bool, ordinals: bool) -> bool:
    """Return whether a sentence continues after punctuation that could end it.

    Args:
        text: The whole text.
        match: A match of _SENTENCE_END in it.
        lower_case: The text has no capitals, so a small letter after the punctuation says nothing.
        ordinals: The language writes ordinal numbers with a full stop.
    """
    start, end = match.span()
    if match[0][0] in FULL_WIDTH:
        return False
    opening = _OPENING.match(text, end)
    assert opening
    next_character = text[opening.end() : opening.end() + 1]
    if next_character.islower() and not lower_case:
        return True
    last_word = _LAST_WORD.search(text, max(0, start - _LOOK_BACK), start)
    if match[0] != "." or not last_word:
        return False
    word = last_word[0]
    if len(word) == 1 and word.isalpha():
        # An initial, "z. B." or "p.m."; but "I" may end a sentence, and so may a small letter in Russian.
        return word not in "Ii" and (word.isascii() or word.isupper())
    if word.isdecimal():
        return len(word) <= 2 and (ordinals or last_word.start() == 0)
    return word.lower() in _TITLES or (next_character.isdecimal() and word.lower() in _BEFORE_NUMBER)


def _with_leading_spaces(original: str, segments: list[Segment]) -> list[Segment]:
    """Return segments of a stripped text after an empty segment whose separator is the text's leading spaces."""
    n_spaces = len(original) - len(original.lstrip(" "))
    return [Segment("", " " * n_spaces), *segments] if n_spaces else segments
