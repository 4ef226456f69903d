"""Attention matrices of a translation, and the word alignment derived from them.

Axis letters: T target subwords, S source subwords.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dragoman.runtime.contract import Floats


@dataclass(frozen=True, eq=False)  # arrays are not compared by ==
class AttentionMap:
    """Attention of the best hypothesis of one part of a text.

    Attributes:
        source_subwords: The S source subwords; the last is `</s>`.
        target_subwords: The T target subwords; the last is `</s>`, unless the translation is incomplete.
        weights: Weight of each source subword when a target subword was chosen, (T, S). Each row sums to 1.
    """

    source_subwords: tuple[str, ...]
    target_subwords: tuple[str, ...]
    weights: Floats

    def __eq__(self, other: object) -> bool:
        """Return whether subwords and weights are equal."""
        if not isinstance(other, AttentionMap):
            return NotImplemented
        words = (self.source_subwords, self.target_subwords) == (other.source_subwords, other.target_subwords)
        return words and np.array_equal(self.weights, other.weights)

    def __hash__(self) -> int:
        """Return a hash of the subwords."""
        return hash((self.source_subwords, self.target_subwords))


def word_alignment(maps: Sequence[AttentionMap], continues: Sequence[tuple[bool, bool]]) -> tuple[tuple[int, int], ...]:
    """Return (source word, target word) pairs: for each target word, the source word with the most attention.

    Words are counted from 0 over all parts of a text. The weights of a word's subwords are added up.

    Args:
        maps: One attention map for each translated part.
        continues: For each part, whether its source, and whether its translation, follows the part before without a
            space. Its first word then continues the last word of that part.
    """
    pairs = []
    source_offset = target_offset = 0
    within_target_word = True  # no space since the last target word
    for part, (source_continues, target_continues) in zip(maps, continues, strict=False):
        within_target_word = within_target_word and target_continues
        if source_continues and source_offset:
            source_offset -= 1
        source, target = _word_numbers(part.source_subwords), _word_numbers(part.target_subwords)
        weights = np.zeros((max(target) + 1, max(source) + 1))
        np.add.at(weights, (np.array(target)[:, None], np.array(source)[None, :]), part.weights)
        eos_word = target[-1] if part.target_subwords[-1] == "</s>" else None
        n_target_words = max(target) + (eos_word is None)
        if within_target_word and n_target_words and target_offset:
            target_offset -= 1
        within_target_word = within_target_word or bool(n_target_words)
        for word in range(max(target) + 1):
            if word != eos_word and max(source) > 0:
                best = int(weights[word, : max(source)].argmax())  # without the last word, which is </s>
                pairs.append((source_offset + best, target_offset + word))
        source_offset += max(source)
        target_offset += n_target_words
    return tuple(dict.fromkeys(pairs))


def _word_numbers(subwords: Sequence[str]) -> list[int]:
    """Return the number of the word that each subword belongs to; `</s>` is a word of its own."""
    numbers: list[int] = []
    for subword in subwords:
        starts_word = subword == "</s>" or subword.startswith("▁")
        numbers.append((numbers[-1] + (1 if starts_word else 0)) if numbers else 0)
    return numbers
