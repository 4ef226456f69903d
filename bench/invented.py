"""Invented words and sentences, from which `make bench` trains tokenizers of any size.

Words are made of syllables. Their frequencies follow Zipf's law.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate

WORDS = 14  # of a sentence: 15 ids with `</s>`, if every word is one subword
CONSONANTS, VOWELS, ENDINGS = "bcdfghjklmnprstvwz", "aeiou", "nrst"
ZIPF_OFFSET = 20  # the word of rank r has a frequency in proportion to 1 / (r + ZIPF_OFFSET)


def invent_words(count: int) -> list[str]:
    """Return different words, the most frequent first."""
    chance = random.Random(0)
    syllables = [c + v for c in CONSONANTS for v in VOWELS] + [
        c + v + e for c in CONSONANTS for v in VOWELS for e in ENDINGS
    ]
    words: set[str] = set()
    while len(words) < count:
        words.add("".join(chance.choice(syllables) for _ in range(chance.choice((1, 2, 2, 3, 3, 4)))))
    ordered = sorted(words)
    chance.shuffle(ordered)
    return ordered


def sentences(words: Sequence[str]) -> Iterator[str]:
    """Yield random sentences of WORDS words without end. words: the most frequent first."""
    chance = random.Random(1)
    weights = [*accumulate(1 / (rank + ZIPF_OFFSET) for rank in range(len(words)))]
    while True:
        yield " ".join(chance.choices(words, cum_weights=weights, k=WORDS))


def training_size(vocabulary: int) -> tuple[int, int]:
    """Return how many words and sentences train a tokenizer of exactly `vocabulary` subwords."""
    return vocabulary * 8 // 5, max(10_000, 2 * vocabulary)
