"""Placeholders in training pairs, so that a network learns to copy the symbols that stand for protected spans.

A span that stands on both sides becomes a placeholder on both. So do some words that stand on both sides, mostly names
and numbers, because most corpora have few URLs and the like. Luong et al. (2015, "Addressing the rare word problem in
neural machine translation") train with such placeholders.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterable
from itertools import islice

from dragoman.runtime.normalisation import normalise
from dragoman.runtime.protection import PLACEHOLDERS, count_in, hide, protected_spans, whole

WORDS = 0.05  # share of pairs in which words become placeholders, too
MAX_WORDS = 3  # of them in a pair
MIN_LENGTH = 4  # characters of such a word, unless it has capitals after the first letter
MIN_PAIRS = 200  # with placeholders: from fewer, a network does not learn them
SAMPLE = 50_000  # first pairs of a corpus in which those with placeholders are counted

_WORD = re.compile(r"\w[\w-]*\w")


def with_placeholders(source: str, target: str) -> tuple[str, str]:
    """Return a pair of normalised lines with placeholders for what stands on both sides equally often.

    The choice of words depends on the pair alone.
    """
    spans = [span for span in protected_spans(source) if _is_on_both_sides(source[slice(*span)], source, target)]
    rng = random.Random(zlib.crc32(f"{source}\t{target}".encode()))
    if rng.random() < WORDS:
        words = [match.span() for match in _WORD.finditer(source)]
        rng.shuffle(words)
        apart = (word for word in words if all(word[1] <= start or end <= word[0] for start, end in spans))
        chosen = (
            word
            for word in apart
            if _is_name(source[slice(*word)]) and _is_on_both_sides(source[slice(*word)], source, target)
        )
        spans = sorted([*spans, *islice(chosen, rng.randint(1, MAX_WORDS))])
    if not spans or any(symbol in target for symbol in PLACEHOLDERS):
        return source, target
    hidden_source, hidden = hide(source, spans[: len(PLACEHOLDERS)])
    hidden_target = target
    for symbol, span in hidden.items():
        hidden_target = re.sub(whole(span), symbol, hidden_target, count=1)
    if any(symbol not in hidden_target for symbol in hidden):  # spans overlap in the target
        return source, target
    return hidden_source, hidden_target


def _is_on_both_sides(string: str, source: str, target: str) -> bool:
    return 0 < count_in(source, string) == count_in(target, string)


def _is_name(word: str) -> bool:
    """Return whether a word that stands on both sides is probably the same word. Short ones may not be: "die"."""
    return len(word) >= MIN_LENGTH or word[1:] != word[1:].lower()


def has_enough_placeholders(pairs: Iterable[tuple[str, str]]) -> bool:
    """Return whether a corpus has at least MIN_PAIRS pairs with placeholders, so that a network can learn them."""
    normalised = ((normalise(source), normalise(target)) for source, target in islice(pairs, SAMPLE))
    found = (pair for pair in normalised if with_placeholders(*pair) != pair)
    return len([*islice(found, MIN_PAIRS)]) == MIN_PAIRS
