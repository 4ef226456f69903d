"""Confidence of the words of a translation, from the n best hypotheses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from dragoman.runtime.parts import Part


def word_confidences(parts: Sequence[Part], length: Callable[[str], int], length_penalty: float) -> list[float]:
    """Return the confidence of each word of a translation, from 0 to 1. Words are separated by white space.

    The confidence of a word is its posterior probability: the sum of the probabilities of those hypotheses of its part
    that have the word in the same place, found by Levenshtein alignment. Source: Ueffing and Ney, 2007, Word-Level
    Confidence Estimation for Machine Translation.

    Args:
        parts: The parts of a text, translated with several hypotheses.
        length: A function that returns the number of ids of a text.
        length_penalty: The exponent of the length in the scores of the hypotheses.
    """
    confidences: list[float] = []
    touches = False  # the part follows the last one without a space, so that its first word goes on with the last
    for part in parts:
        if part.hypotheses:
            of_part = _of_part(part, length, length_penalty)
            if touches and confidences and of_part:
                confidences[-1] = min(confidences[-1], of_part.pop(0))
            confidences += of_part
            touches = True
        touches = touches and not part.target_separator
    return confidences


def _of_part(part: Part, length: Callable[[str], int], length_penalty: float) -> list[float]:
    """Return the confidence of each word of a part's best hypothesis."""
    scores = [h.score * max(length(h.text), 1) ** length_penalty for h in part.hypotheses]
    weights = [math.exp(score - max(scores)) for score in scores]
    total = sum(weights)
    best = part.hypotheses[0].text.split()
    confidences = [0.0] * len(best)
    for hypothesis, weight in zip(part.hypotheses, weights, strict=True):
        matcher = SequenceMatcher(None, best, hypothesis.text.split(), autojunk=False)
        for block in matcher.get_matching_blocks():
            for i in range(block.a, block.a + block.size):
                confidences[i] += weight / total
    return [min(confidence, 1.0) for confidence in confidences]
