"""Batches of encoded pairs: which rows go together, and the tensors they become.

Batches depend on the seed alone. Axis letters: B batch, S source length, T target length.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from dragoman.runtime.batching import pad
from dragoman.runtime.contract import BOS, EOS, PAD
from dragoman.runtime.memory import return_memory
from dragoman.translate.config import NO_AUGMENTATION, AugmentConfig
from dragoman.translate.encoding.ragged import Ints, Ragged
from dragoman.translate.encoding.shards import Shards

WINDOW = 100_000  # rows that are shuffled and batched together: bounds the memory that ids take

# The most source ids of a batch, padding included, as a multiple of the most target ids. It is above 1 because sources
# vary among rows whose targets are equally long: an equal bound would make 4 to 15 % more and smaller batches.
SOURCE_RATIO = 2


class TranslationBatch(NamedTuple):
    """Padded ids. `target_in` starts with `<s>`; each of its positions predicts the id of `target_out` there."""

    source: Tensor  # (B, S)
    source_length: Tensor  # (B)
    target_in: Tensor  # (B, T)
    target_out: Tensor  # (B, T)
    tokens: int  # target ids that are not padding

    def tensors(self) -> tuple[Tensor, ...]:
        """Return the inputs of the objective."""
        return self[:4]

    def to(self, device: torch.device) -> TranslationBatch:
        """Return the batch with its tensors on a device."""
        return TranslationBatch._make([*(x.to(device) for x in self.tensors()), self.tokens])

    def take(self, rows: slice) -> TranslationBatch:
        """Return some of the rows."""
        source, source_length, target_in, target_out = (x[rows] for x in self[:4])
        return TranslationBatch(source, source_length, target_in, target_out, int((target_out != PAD).sum()))


class Batch(Protocol):
    """The interface of the trainer to the batches of all tasks."""

    @property
    def tokens(self) -> int:
        """The number of targets (ids, labels or values); the loss is the mean over them."""
        ...

    def tensors(self) -> tuple[Tensor, ...]:
        """Return the inputs of the objective."""
        ...

    def take(self, rows: slice) -> Batch:
        """Return some of the rows."""
        ...


Row = Sequence[int] | Ints


def reversed_ids(ids: Row) -> list[int]:
    """Return ids from last to first, with `</s>` still at the end, as a right-to-left model generates them."""
    return [*reversed(ids[:-1]), EOS]


def make_batch(source: Sequence[Row], target: Sequence[Row]) -> TranslationBatch:
    """Return a batch of rows, each of which ends in `</s>`."""
    source_ids, source_length = map(torch.from_numpy, pad(source))
    target_out, target_length = pad(target)
    target_in = np.full_like(target_out, BOS)
    target_in[:, 1:] = target_out[:, :-1]
    target_in[target_in == EOS] = PAD
    return TranslationBatch(
        source_ids, source_length, torch.from_numpy(target_in), torch.from_numpy(target_out), int(target_length.sum())
    )


def share(batch: Batch, rank: int, world: int) -> tuple[Batch, bool]:
    """Return the rows of one of several workers, and whether their loss counts.

    A worker without rows gets a row whose loss does not count, because all workers must take every step together.
    """
    if world == 1:
        return batch, True
    if rank < len(batch.tensors()[0]):
        return batch.take(slice(rank, None, world)), True
    return batch.take(slice(0, 1)), False


def plan(source: Sequence[int], target: Sequence[int], batch_tokens: int, seed: int) -> list[list[int]]:
    """Return the rows of each batch, in training order, given the source and target lengths of all rows.

    A batch has at most `batch_tokens` target ids and SOURCE_RATIO times as many source ids, padding included; a longer
    pair is a batch of its own. Rows of similar length go together, which saves padding. The seed shuffles rows of equal
    length, and the batches.
    """
    rng = random.Random(seed)
    order = list(range(len(target)))
    rng.shuffle(order)
    order.sort(key=lambda i: (target[i], source[i]))
    batches: list[list[int]] = []
    batch: list[int] = []
    longest_source = 0
    for i in order:  # sorted, so row i has the longest target of its batch
        longest_source = max(longest_source, source[i])
        if batch and (len(batch) + 1) * max(target[i], longest_source / SOURCE_RATIO) > batch_tokens:
            batches.append(batch)
            batch, longest_source = [], source[i]
        batch.append(i)
    if batch:
        batches.append(batch)
    rng.shuffle(batches)
    return batches


class TranslationEpoch:
    """The batches of one epoch over encoded text. Only one window of rows is in memory at a time."""

    def __init__(
        self, text: Shards, rows: Ints, batch_tokens: int, seed: int, *, augment: AugmentConfig = NO_AUGMENTATION,
        right_to_left: bool = False,
    ) -> None:  # fmt: skip
        """Prepare the batches of the given rows.

        right_to_left: reverse the targets.
        """
        self.text, self.rows, self.batch_tokens, self.seed = text, rows, batch_tokens, seed
        self.augment, self.right_to_left = augment, right_to_left
        if len(rows) > WINDOW:
            self.rows = np.random.default_rng(seed).permutation(rows)
        self.first = self._window(0)
        # The number of batches: exact for one window, an estimate from the first window for more.
        self.expected = round(len(self.first[2]) * len(rows) / len(self.rows[:WINDOW]))

    def _window(self, number: int) -> tuple[Ragged, Ragged, list[list[int]]]:
        """Return the sources and targets of a window of rows, and the rows of each batch."""
        return_memory()  # drawing reads large mapped arrays, so first return the memory that training has freed
        rows = self.rows[number * WINDOW : (number + 1) * WINDOW]
        source, target = self.text.draw(rows, [self.seed, number], self.augment)
        batches = plan(source.lengths.tolist(), target.lengths.tolist(), self.batch_tokens, self.seed + number)
        return source, target, batches

    def __iter__(self) -> Iterator[TranslationBatch]:
        return self.batches()

    def batches(self, start: int = 0) -> Iterator[TranslationBatch]:
        """Yield the batches from number `start` on."""
        for number in range(math.ceil(len(self.rows) / WINDOW)):
            source, target, batches = self._window(number) if number else self.first
            for rows in batches[start:]:
                targets = [reversed_ids(target.row(i)) if self.right_to_left else target.row(i) for i in rows]
                yield make_batch([source.row(i) for i in rows], targets)
            start = max(0, start - len(batches))
