"""Detection of duplicates and near duplicates."""

from __future__ import annotations

import hashlib

import regex

from dragoman.translate.corpus.folder import Pair

_NON_WORD = regex.compile(r"[\p{P}\p{S}\p{Z}]+")
_DIGITS = regex.compile(r"\p{Nd}+")


def near_duplicate_key(text: str) -> str:
    """Return a text without case, punctuation, symbols and spaces; near duplicates have the same key.

    A text of punctuation, symbols and spaces alone is its own key.
    """
    return _NON_WORD.sub("", text.casefold()) or text


def hash64(text: str) -> int:
    """Return a 64-bit hash of a text (BLAKE2b)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class Duplicates:
    """A set of the pairs seen so far. Memory holds one 64-bit hash a pair.

    With `near`, pairs that differ only in case, punctuation, spaces and digits count as duplicates, too.
    """

    def __init__(self, *, near: bool) -> None:
        self.near = near
        self.seen: set[int] = set()

    def __call__(self, pair: Pair) -> bool:
        """Return True if the pair was seen before, and remember it."""
        sides = [near_duplicate_key(_DIGITS.sub("0", side)) for side in pair] if self.near else pair
        key = hash64("\0".join(sides))
        if key in self.seen:
            return True
        self.seen.add(key)
        return False
