"""Header rows of tables of parallel text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from babel import Locale, UnknownLocaleError

from dragoman.runtime.languages import primary_subtag
from dragoman.translate.corpus.languages import is_known_language, matches_language

# The words that name a side of a pair, and words that may stand beside them or beside a language. The list is strict,
# because the first pair of a table must not be taken for a header: no word of one side translates one of the other.
SIDE_WORDS = {
    **dict.fromkeys(("source", "sources", "src", "original"), 0),
    **dict.fromkeys(("target", "targets", "tgt", "trg", "translation", "translations", "translated"), 1),
    **dict.fromkeys(("reference", "references", "ref"), 1),
}
NEUTRAL_WORDS = {"text", "texts", "sentence", "sentences", "segment", "segments", "string", "strings"}

MAX_LENGTH = 40  # characters of a column's name

# A code with an optional script and region. `en_id` holds identifiers rather than the English of Indonesia.
_TAG = re.compile(r"[a-z]{2,3}(_[a-z]{4})?(_((?!id)[a-z]{2}|[0-9]{3}))?")

NUMBERING = {"id", "no"}  # codes that rather name a column of identifiers or numbers, if another could be meant


MIN_TEXT_LENGTH = 40  # characters of a line of a table that holds sentences, on both sides

IDENTIFIERS = {"id", "sentence_id", "segment_id", "row_id", "idx", "index"}  # names of columns
_SNAKE_CASE = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+", re.IGNORECASE)


class Header(NamedTuple):
    """A header row, as the columns of source and target, counted from 1, and their names."""

    columns: tuple[int, int]
    names: tuple[str, str]


def find_header(fields: Sequence[str], languages: tuple[str, str]) -> Header | None:
    """Return the header that the first row of a table is, or None if it is a pair.

    A header has a column named for the source and another for the target: by the language's code or name (`en`,
    `English text`), or by a word (`source`, `translation`). A language says more than a word, and an exact code more
    than that of a variety.
    """
    named: tuple[list[tuple[int, int]], ...] = ([], [])  # of each side, the ranks and indices of its columns
    for index, field in enumerate(fields):
        for side, rank in _sides_of(field, languages):
            named[side].append((rank, index))
    if not all(named):
        return None
    source, target = (min(columns)[1] for columns in named)
    if source == target:
        return None
    return Header((source + 1, target + 1), (fields[source].strip(), fields[target].strip()))


def names_columns(fields: Sequence[str], columns: tuple[int, int]) -> bool:
    """Return True if the first row of a table names the two columns that the user chose, in words of their own.

    Both names are identifiers of several words, such as `yoruba_sentences`, and a further column holds identifiers.
    """
    if max(columns) > len(fields):
        return False
    chosen = [fields[column - 1].strip() for column in columns]
    others = {field.strip().lower() for index, field in enumerate(fields, 1) if index not in columns}
    return all(_SNAKE_CASE.fullmatch(name) for name in chosen) and not others.isdisjoint(IDENTIFIERS)


def other_languages(fields: Sequence[str], line_length: float) -> list[str]:
    """Return the fields of a table's first row that name languages, if it is a header of at least two.

    `line_length` is the usual length of the other lines. Codes are words, too, so a list of words may begin with two of
    them (`to`, `zu`); they are a header only over longer text. Names are a header anywhere: no language's name is the
    translation of another's.
    """
    codes: dict[str, str] = {}  # the name of a column by the language that it stands for
    names: dict[str, str] = {}
    for field in fields:
        name = "_".join(word for word in _words(field) if word not in NEUTRAL_WORDS and word not in SIDE_WORDS)
        if len(field) > MAX_LENGTH or name in NUMBERING:
            continue
        if _TAG.fullmatch(name) and is_known_language(name):
            codes.setdefault(primary_subtag(name), field.strip())
        elif name in _english_names():
            names.setdefault(_english_names()[name], field.strip())
    found = codes | names if line_length >= MIN_TEXT_LENGTH else names
    return [*found.values()] if len(found) > 1 else []


@cache
def _english_names() -> dict[str, str]:
    """Return the codes of languages by their English names."""
    return {"_".join(_words(name)): code for code, name in Locale("en").languages.items()}


def _sides_of(field: str, languages: tuple[str, str]) -> list[tuple[int, int]]:
    """Return the sides that a column's name may stand for, each with a rank: 0 for an exact code, 2 for a word."""
    if len(field) > MAX_LENGTH:
        return []
    field = re.sub(r"\((simplified|traditional)\)", "", field, flags=re.IGNORECASE)  # Chinese
    words = [word for word in _words(field) if word not in NEUTRAL_WORDS]
    sides = {SIDE_WORDS[word] for word in words if word in SIDE_WORDS}
    name = "_".join(word for word in words if word not in SIDE_WORDS)
    if not name:
        return [(side, 2) for side in sides] if len(sides) == 1 else []
    ranks = (_rank(name, language, other) for language, other in (languages, languages[::-1]))
    return [(side, rank) for side, rank in enumerate(ranks) if rank is not None]


def _words(name: str) -> list[str]:
    """Split a name at spaces and punctuation: `eng_Latn` has two words."""
    return re.findall(r"[^\W_]+", name.casefold())


def _rank(name: str, language: str, other: str) -> int | None:
    """Return 0 if a name is the code of a language, 1 for its name or the code of a variety, 3 if it may be neither.

    Return None for any other name.
    """
    if _TAG.fullmatch(name) and is_known_language(name):
        if matches_language(name, language) and matches_language(language, name):
            return 3 if name in NUMBERING else 0
        if matches_language(name, language) or matches_language(language, name):
            return 1
    return 1 if name in _names(language, other) else None


@cache
def _names(language: str, other: str) -> frozenset[str]:
    """Return the names of a language in English, in itself and in another language, joined like `_sides_of` does."""
    names = set()
    for locale in filter(None, (_locale("en"), _locale(language), _locale(other))):
        names.add(locale.languages.get(primary_subtag(language), ""))
        if tag := _locale(language):
            names |= {tag.get_display_name(locale) or "", locale.languages.get(str(tag), "")}
    return frozenset("_".join(_words(name)) for name in names if name)


def _locale(language: str) -> Locale | None:
    try:
        return Locale.parse(language.replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        return None
