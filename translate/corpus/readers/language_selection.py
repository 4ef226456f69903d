"""Selection of the requested languages in files that declare theirs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.languages import matches_language


class LanguageMismatch(UserError):
    """A file has no text in the requested pair of languages."""


def specificity(tag: str) -> int:
    """Return the number of subtags of a language tag. Of several that match a language, the lowest is the best."""
    return len(re.split("[-_]", tag))


def rank_tags(tags: Iterable[str], language: str) -> list[str]:
    """Return the tags that match a language, the best first; equally good ones in their order."""
    return sorted((tag for tag in tags if matches_language(tag, language)), key=specificity)


def must_reverse(file_languages: tuple[str, ...], languages: tuple[str, str]) -> bool | None:
    """Return True if a file translates the requested target language into the source language.

    Return False if it translates the requested way, and None if it translates other languages.
    """
    for is_reversed, (source, target) in ((False, languages), (True, languages[::-1])):
        if matches_language(file_languages[0], source) and matches_language(file_languages[1], target):
            return is_reversed
    return None


def describe_pairs(pair_counts: Counter[str]) -> str:
    """Return the most frequent language pairs of a file, for an error message."""
    pairs = ", ".join(pair for pair, _ in pair_counts.most_common(10))
    return f"it has {pairs}" if pairs else "it has no pair of languages"
