"""The direction of translation of a file, against the one asked for."""

from __future__ import annotations

from collections import Counter

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.languages import matches


class OtherLanguages(UserError):
    """A file has nothing in the languages asked for."""


def text_in(texts: dict[str, str], language: str) -> str | None:
    return next((text for code, text in texts.items() if matches(code, language)), None)


def must_reverse(own: tuple[str, ...], languages: tuple[str, str]) -> bool | None:
    """Whether text from own[0] to own[1] must be turned round to go between languages; None if it cannot."""
    for turned, (source, target) in ((False, languages), (True, languages[::-1])):
        if matches(own[0], source) and matches(own[1], target):
            return turned
    return None


def available_pairs(seen: Counter[str]) -> str:
    pairs = ", ".join(pair for pair, _ in seen.most_common(10))
    return f"the pairs it has: {pairs}" if pairs else "it has none in any pair of languages"
