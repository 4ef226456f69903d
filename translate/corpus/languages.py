"""Language tags as users and files write them (`pt-BR`, `pt_BR`, `deu`), and CLDR's data on languages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache

from babel import Locale, UnknownLocaleError, localedata
from babel.core import get_global

from dragoman.runtime.errors import UserError
from dragoman.runtime.languages import primary_subtag, subtags

# A language, an optional script and an optional region, capitalised as BCP 47 recommends. In `en-pt-BR` only the
# capitals show where the first tag ends.
LANGUAGE_TAG = r"[a-z]{2,3}(?:[-_][A-Z][a-z]{3})?(?:[-_](?:[A-Z]{2}|[0-9]{3}))?"


def parse_pair(text: str) -> tuple[str, str]:
    """Split `en-de` into ("en", "de"), and `en-pt-BR` into ("en", "pt_BR").

    Raises UserError unless the text names two different languages.
    """
    source, _, target = text.partition("-")
    if "-" in target:  # a tag contains a hyphen, too
        tags = re.fullmatch(f"({LANGUAGE_TAG})-({LANGUAGE_TAG})", text)
        if not tags:
            raise UserError(f"--pair {text}: write a script or region with an underscore, such as en-pt_BR or zh_TW-en")
        source, target = (tag.replace("-", "_") for tag in tags.groups())
    if not all(re.fullmatch(r"[\w@]+", tag) for tag in (source, target)) or source == target:
        raise UserError(f"--pair {text}: give two different languages as SOURCE-TARGET, for example en-de")
    codes = [code_of_name(tag) for tag in (source, target)]
    if any(codes):
        pair = format_pair(*(code or tag for code, tag in zip(codes, (source, target), strict=True)))
        raise UserError(f"--pair {text}: give the codes of the languages: {pair}")
    return source, target


def format_pair(source: str, target: str) -> str:
    """Join two language tags in the form that `parse_pair` reads."""
    return "-".join(tag.replace("-", "_") for tag in (source, target))


@lru_cache(4096)
def matches_language(tag: str, language: str) -> bool:
    """Return True if a tag names a language or a variety of it: `de-AT` and `deu` match `de`."""
    tag, language = ("-".join(subtags(t)).lower() for t in (tag, language))
    return tag == language or tag.startswith(language + "-")


@cache
def is_known_language(tag: str) -> bool:
    """Return True if CLDR knows the language of a tag."""
    return primary_subtag(tag) in Locale("en").languages


@cache
def code_of_name(tag: str) -> str | None:
    """Return the code for a tag that has a language's name in English (`pt_BR` for `Portuguese_BR`), or None."""
    if is_known_language(tag):
        return None
    name, *others = re.split("[-_]", tag)
    for code, language in Locale("en").languages.items():
        if language.casefold() == name.casefold():
            return "_".join([code, *others])
    return None


@cache
def script_of(tag: str) -> str | None:
    """Return the ISO 15924 script that a language is written in (`Latn` for German), or None if CLDR has none."""
    try:
        locale = Locale.parse("_".join(subtags(tag)))
    except (ValueError, UnknownLocaleError):
        return None
    if locale.script:
        return str(locale.script)
    likely_subtags = get_global("likely_subtags")
    for key in (str(locale), locale.language):
        if key in likely_subtags:
            return next((subtag for subtag in likely_subtags[key].split("_")[1:] if len(subtag) == 4), None)
    return None


@cache
def letters_of(tag: str) -> frozenset[str] | None:
    """Return the letters outside ASCII in CLDR's texts of a language, or None if CLDR has no texts.

    Babel lacks CLDR's lists of letters. Its texts, such as the names of places, have nearly all letters of a language,
    and some of other languages.
    """
    language = primary_subtag(tag)
    if not localedata.exists(language):
        return None
    texts = _texts_in(localedata.load(language))
    return frozenset(c for text in texts for c in text + text.lower() if c.isalpha() and not c.isascii())


def _texts_in(data: object) -> Iterable[str]:
    """Yield all strings in nested mappings and sequences."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _texts_in(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _texts_in(value)
