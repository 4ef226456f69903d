"""Numbers for the distinct words of a text, how often each occurs, and their augmented variants."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from dragoman.translate.encoding.augmentation import bare, title, typo, upper

VARIANTS = ("upper", "title", "bare", "typos")  # keys of AugmentConfig

# A variant counts as occurring once per this many occurrences of its word, which sizes its pool of segmentations.
OCCURRENCES_PER_VARIANT = 8


class WordIndex:
    """Distinct words, numbered in order of first occurrence, with their counts."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.counts: list[int] = []

    def number(self, word: str, count: int = 1) -> int:
        """Count a word `count` times and return its number."""
        number = self.numbers.setdefault(word, len(self.numbers))
        if number == len(self.counts):
            self.counts.append(0)
        self.counts[number] += count
        return number

    def add(self, words: Iterable[str], counts: Iterable[int]) -> npt.NDArray[np.int32]:
        """Count words as often as `counts` says and return their numbers."""
        return np.fromiter(map(self.number, words, counts), np.int32)

    def add_variants(
        self, seed: int, tags: Sequence[str], normalise: Callable[[str], str]
    ) -> list[npt.NDArray[np.int32]]:
        """Add the variants of all words, and return for each of VARIANTS the number of every word's variant.

        A variant is its own variant. So are tags, which must stay as they are, and words that would become empty.
        `normalise` is that of the tokenizer.
        """
        changes = (upper, title, bare, lambda word: typo(word, random.Random(f"{seed} {word}")))
        words, counts = [*self.numbers], [max(1, count // OCCURRENCES_PER_VARIANT) for count in self.counts]
        variants = []
        for change in changes:
            changed = [word if word in tags else normalise(change(word)) or word for word in words]
            variants.append(self.add(changed, counts))
        identity = np.arange(len(self.numbers), dtype=np.int32)
        return [np.concatenate([numbers, identity[len(words) :]]) for numbers in variants]
