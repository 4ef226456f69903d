"""Detection of duplicates and near duplicates."""

from __future__ import annotations

import hashlib
from collections import Counter

import regex

from dragoman.translate.corpus.folder import Pair
from dragoman.translate.corpus.rules import MAX_VARIANTS

_NON_WORD = regex.compile(r"[\p{P}\p{S}\p{Z}]+")
_LETTER = regex.compile(r"\p{L}")
_DIGITS = regex.compile(r"\p{Nd}+")


def near_duplicate_key(text: str) -> str:
    """Return a text without case, punctuation, symbols and spaces; near duplicates have the same key.

    A text of punctuation, symbols and spaces alone is its own key.
    """
    return _NON_WORD.sub("", text.casefold()) or text


def pattern_key(text: str) -> str:
    """Return the `near_duplicate_key` of a text with 0 for each number. Texts that differ in numbers alone share it.

    A text without letters keeps its numbers, because they are all that it says.
    """
    return near_duplicate_key(_DIGITS.sub("0", text) if _LETTER.search(text) else text)


def hash64(text: str) -> int:
    """Return a 64-bit hash of a text (BLAKE2b)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class Duplicates:
    """A set of the pairs seen so far. Memory holds one 64-bit hash a pair."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def __call__(self, pair: Pair) -> bool:
        """Return True if the pair was seen before, and remember it."""
        key = hash64("\0".join(pair))
        if key in self.seen:
            return True
        self.seen.add(key)
        return False


class NearDuplicates:
    """A set of the pairs seen so far, without case, punctuation and spaces, and a count of each pattern of numbers.

    Pairs that differ in their numbers alone have one pattern, and count as duplicates once the pattern has MAX_VARIANTS
    pairs. Memory holds one 64-bit hash a pair, and another for each pattern with digits.
    """

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.variants: Counter[int] = Counter()

    def __call__(self, pair: Pair) -> bool:
        """Return True for a near duplicate of earlier pairs, and remember other pairs."""
        key = hash64("\0".join(map(near_duplicate_key, pair)))
        if key in self.seen:
            return True
        pattern = hash64("\0".join(map(pattern_key, pair)))
        if pattern != key:  # there are digits
            if self.variants[pattern] == MAX_VARIANTS:
                return True
            self.variants[pattern] += 1
        self.seen.add(key)
        return False
