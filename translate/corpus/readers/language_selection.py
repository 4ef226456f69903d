"""Selection of the requested languages in files that declare theirs."""

from __future__ import annotations

from collections import Counter

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.languages import matches_language


class LanguageMismatch(UserError):
    """A file has no text in the requested pair of languages."""


def find_text(texts: dict[str, str], language: str) -> str | None:
    """Return the first text whose language tag matches a language, or None. `texts` maps tags to texts."""
    return next((text for tag, text in texts.items() if matches_language(tag, language)), None)


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
