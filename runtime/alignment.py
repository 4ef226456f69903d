"""Attention maps of a translation, and the word alignment that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dragoman.runtime.contract import Floats


@dataclass(frozen=True)
class Attention:
    """Where each target piece looked: weights (T, S), rows summing to 1."""

    source_subwords: tuple[str, ...]
    target_subwords: tuple[str, ...]
    weights: Floats


def word_alignment(maps: Sequence[Attention], joined: Sequence[tuple[bool, bool]]) -> tuple[tuple[int, int], ...]:
    """For each target word the source word that it n_aligned to most, as (source, target), over all parts of a text.

    joined: whether a part's source, and its translation, follow those before without a space, and so go on with their
    last word.
    """
    pairs = []
    source_offset = target_offset = 0
    inside = True  # whether no space has come since the last target word
    for one, goes_on in zip(maps, joined, strict=False):
        inside = inside and goes_on[1]
        if goes_on[0] and source_offset:
            source_offset -= 1
        source, target = _words(one.source_subwords), _words(one.target_subwords)
        weights = np.zeros((max(target) + 1, max(source) + 1))
        np.add.at(weights, (np.array(target)[:, None], np.array(source)[None, :]), one.weights)
        closing = target[-1] if one.target_subwords[-1] == "</s>" else None
        written = max(target) + (closing is None)  # words
        if inside and written and target_offset:
            target_offset -= 1
        inside = inside or bool(written)
        for word in range(max(target) + 1):
            if word != closing and max(source) > 0:
                best = int(weights[word, : max(source)].argmax())  # the last "word" is </s>
                pairs.append((source_offset + best, target_offset + word))
        source_offset += max(source)
        target_offset += written
    return tuple(dict.fromkeys(pairs))


def _words(pieces: Sequence[str]) -> list[int]:
    """The word that each piece belongs to; `</s>` is a word of its own."""
    numbers: list[int] = []
    for piece in pieces:
        new = piece == "</s>" or piece.startswith("▁")
        numbers.append((numbers[-1] + (1 if new else 0)) if numbers else 0)
    return numbers
