"""Split text that is too long for one translation: at sentences, then clauses, then words, then characters.

The rules on sentences are our own. Of the 260 texts of fixtures/sentences.txt, the library sentencex 1.0.32 splits 207
as a reader would: it misses the end of a sentence in brackets, and titles in French, Portuguese or Hindi. It has no
wheel for armv7 or musl, and takes quadratic time for some texts, such as a long row of opening quotation marks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from dragoman.runtime.abbreviations import abbreviations

# A sentence may end after its closing punctuation and the quotes, brackets and marks of footnotes after it. German and
# Czech close with “ or «, French with a space and ». Full-width punctuation needs no space after it. The sets include
# Arabic, Urdu, Devanagari, Armenian, Ethiopic, Burmese, Khmer and Tibetan punctuation. No match starts inside a run of
# punctuation; otherwise a long run would take quadratic time. Marks may have spaces between them, as in `. . .`.
_ENDS = ".!?…؟۔।॥։။។៕།༎"


def _sentence_end(ends: str) -> re.Pattern[str]:
    closing = r"(?:[\"'”“’‘»«›‹״)\]*†]|\[[0-9]+\]| [»›])*"
    return re.compile(rf"(?:(?<![{ends}])[{ends}]+(?: [{ends}]+(?= ))*{closing}(?= )|[。！？｡።፧]+[”’」』）》]*)")


_SENTENCE_END = _sentence_end(_ENDS)
# Greek asks with a semicolon, and Armenian often ends sentences with a colon.
_SENTENCE_END_OF = {"el": _sentence_end(_ENDS + ";"), "hy": _sentence_end(_ENDS + ":")}
_CLAUSE_END = re.compile(r"(?:[,;:—–،؛՝፣፤၊](?= )|[，、；：])")
_WORD_END = re.compile(r"(?= )")

_OPENING = re.compile(r"[ \"'“”„«»‹›(\[¿¡—–-]*")  # spaces, quotes, brackets and dashes before the next word
_LAST_WORD = re.compile(r"[^\s!-/:-@\[-`{-~\xa1-\xbf\u2010-\u205e]+$")  # no spaces or punctuation; marks are letters
_LOOK_BACK = 12  # characters, more than any abbreviation has

# Languages that write ordinal numbers with a full stop, by their ISO 639 codes. After it, German writes nouns with a
# capital; in the other languages a capital starts a sentence.
_GERMAN = {*"de deu ger gsw lb ltz".split()}
_ORDINALS = _GERMAN | {
    *"da dan nb nob nn nno no nor fo fao is isl ice fi fin et est lv lav eu eus hu hun".split(),
    *"cs ces cze sk slk sl slv hr hrv sr srp bs bos hsb dsb pl pol tr tur".split(),
}
FULL_WIDTH = tuple("。！？｡።፧，、；：”’」』）》")  # punctuation that needs no space after it

# Languages written without spaces between words, by their codes in BCP 47 and ISO 639.
UNSPACED = {*"zh zho cmn yue ja jpn th tha lo lao km khm my mya bo bod dz dzo".split()}


def _primary_language(language: str) -> str:
    """Return the language of a code such as `de` or `zh-TW`, without script and region."""
    return re.split("[-_]", language.lower())[0]


def is_spaced(language: str) -> bool:
    """Return whether a language is written with spaces between words."""
    return _primary_language(language) not in UNSPACED


EndFinder = Callable[[str], list[int]]  # returns the offsets at which the units of a text end


class Slice(NamedTuple):
    """A slice of a text and the white space after it."""

    text: str
    separator: str


def count_sentences(text: str, language: str = "") -> int:
    """Return the number of sentences in a normalised text, by the rules of `split_text`."""
    return len(_units(text, partial(_sentence_ends, language=language)))


def split_text(
    text: str, count: Callable[[str], int], limit: int, max_sentences: int | None = None, language: str = ""
) -> list[Slice]:
    """Split normalised text into slices that a model can take.

    Joining the texts and separators of all slices gives the text again. Adjacent short units share a slice, and a text
    is split only where that is necessary: at sentences if possible, else at clauses, words or characters.

    Args:
        text: Normalised text.
        count: Returns the number of ids of a text.
        limit: Largest `count` of a slice, at least 8.
        max_sentences: Largest number of sentences in a slice; None for any number.
        language: Language code. It decides, for example, whether "3. Mai" is one sentence or two.
    """
    finders = (partial(_sentence_ends, language=language), partial(_ends, _CLAUSE_END), partial(_ends, _WORD_END))
    return _split(text, count, limit, finders, max_sentences)


def _split(
    text: str, count: Callable[[str], int], limit: int, finders: tuple[EndFinder, ...], max_units: int | None = None
) -> list[Slice]:
    """Split a text at the ends of the first finder, and what is still too long at those of the next.

    max_units: Largest number of units of the first finder in a slice.
    """
    # A SentencePiece subword has at most 16 characters, so longer text cannot fit and need not be counted.
    fits = len(text) <= 16 * limit and count(text) <= limit
    if fits and (max_units is None or len(_units(text, finders[0])) <= max_units):
        return [Slice(text, "")]
    if not finders:
        size = (len(text) + 1) // 2 if len(text) <= 16 * limit else 8 * limit
        return [part for i in range(0, len(text), size) for part in _split(text[i : i + size], count, limit, finders)]
    slices: list[Slice] = []
    pending, pending_count, pending_units = "", 0, 0
    for unit in _units(text, finders[0]):
        unit_count = count(unit) if len(unit) <= 16 * limit else limit + 1
        if pending and (pending_count + unit_count > limit or pending_units == max_units):
            slices += _with_leading_spaces(pending, _split(pending.strip(" "), count, limit, finders[1:]))
            pending, pending_count, pending_units = "", 0, 0
        pending, pending_count, pending_units = pending + unit, pending_count + unit_count, pending_units + 1
    slices += _with_leading_spaces(pending, _split(pending.strip(" "), count, limit, finders[1:]))
    return [slice_ for slice_ in slices if slice_.text or slice_.separator]


def _ends(pattern: re.Pattern[str], text: str) -> list[int]:
    return [match.end() for match in pattern.finditer(text)]


def _sentence_ends(text: str, language: str) -> list[int]:
    language = _primary_language(language)
    pattern = _SENTENCE_END_OF.get(language, _SENTENCE_END)
    ends: list[int] = []
    rules: _Rules | None = None
    for match in pattern.finditer(text):
        rules = rules or _Rules(text, language)
        if not rules.continues(match, ends[-1] if ends else 0):
            ends.append(match.end())
    return ends


def _units(text: str, find_ends: EndFinder) -> list[str]:
    """Return the units of a text, each with the spaces before it."""
    ends = find_ends(text)
    starts = [0, *ends]
    return [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True) if start < end]


class _Rules:
    """Rules that tell the end of a sentence from a full stop inside it, for one text."""

    def __init__(self, text: str, language: str) -> None:
        self.text = text
        self.lower_case = text.islower()  # then a small letter after the punctuation says nothing
        self.german, self.ordinals = language in _GERMAN, language in _ORDINALS
        self.before_words, self.before_numbers = abbreviations(language)

    def continues(self, match: re.Match[str], sentence_start: int) -> bool:
        """Return whether the sentence continues after punctuation that could end it, a match of _SENTENCE_END."""
        start, end = match.span()
        if match[0][0] in FULL_WIDTH:
            return self.text[end : end + 1] in (*"とっ、，",)  # what is said in quotes is part of a sentence
        opening = _OPENING.match(self.text, end)
        assert opening
        next_character = self.text[opening.end() : opening.end() + 1]
        if next_character.islower() and not self.lower_case:
            return True
        last_word = self._word_before(start)
        if match[0] != "." or not last_word:
            return False
        if last_word[0].isdecimal():
            return self._is_ordinal(last_word, sentence_start, next_character)
        return self._is_abbreviation(last_word, next_character)

    def _word_before(self, end: int) -> re.Match[str] | None:
        return _LAST_WORD.search(self.text, max(0, end - _LOOK_BACK), end)

    def _is_ordinal(self, number: re.Match[str], sentence_start: int, next_character: str) -> bool:
        """Return whether a number with a full stop numbers a list or is an ordinal."""
        start = number.start()
        if len(number[0]) > 2:
            return False
        if start - sentence_start <= 2 and not self.text[sentence_start:start].strip(" ("):
            return True
        before = self._word_before(start - 2) if self.text[max(0, start - 2) : start] == ". " else None
        if before and before[0].lower() in self.before_numbers:  # "Nr. 5."
            return False
        return self.german or (self.ordinals and (self.lower_case or next_character.isdecimal()))

    def _is_abbreviation(self, last_word: re.Match[str], next_character: str) -> bool:
        word, before = last_word[0].lower(), self.text[max(0, last_word.start() - 2) : last_word.start()]
        if len(word) == 1 and (before[-1:] == "°" or (before[:1].isdecimal() and before[-1:] == " ")):
            return False  # a unit: "5 m", "20 °C"
        if word in self.before_words or (word in self.before_numbers and next_character.isdecimal()):
            return True
        if len(word) > 1 or not word.isalpha():
            return False
        if word == "m" and before.lower() in ("a.", "p."):  # "5 p.m."; a small letter would continue
            return False
        # An initial or "z. B."; but "I" may end a sentence, and so may a small letter in Russian.
        return word != "i" and (word.isascii() or last_word[0].isupper())


def _with_leading_spaces(original: str, slices: list[Slice]) -> list[Slice]:
    """Return slices of a stripped text after an empty slice whose separator is the text's leading spaces."""
    n_spaces = len(original) - len(original.lstrip(" "))
    return [Slice("", " " * n_spaces), *slices] if n_spaces else slices
