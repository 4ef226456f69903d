"""Batches of encoded pairs: which rows go together, and the tensors they become."""

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
from dragoman.runtime.session import return_memory
from dragoman.translate.config import AS_WRITTEN, AugmentConfig
from dragoman.translate.encoding.ragged import Ints, Ragged
from dragoman.translate.encoding.shards import Shards

WINDOW = 100_000  # rows that are shuffled and batched together: bounds what is in memory


class Batch(NamedTuple):
    """Padded ids. `target_in` starts with `<s>`; `target_out` is what each of its positions must predict."""

    source: Tensor  # (B, S)
    source_length: Tensor  # (B)
    target_in: Tensor  # (B, T)
    target_out: Tensor  # (B, T)
    tokens: int  # target ids that are not padding

    def tensors(self) -> tuple[Tensor, ...]:
        """All but the count."""
        return self[:4]

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch._make([*(x.to(device) for x in self.tensors()), self.tokens])

    def take(self, rows: slice) -> Batch:
        """Some of the rows."""
        source, source_length, target_in, target_out = (x[rows] for x in self[:4])
        return Batch(source, source_length, target_in, target_out, int((target_out != PAD).sum()))


class AnyBatch(Protocol):
    """What training needs of a batch, whatever is learnt."""

    @property
    def tokens(self) -> int:
        """How many targets it has: what a loss is the mean of."""
        ...

    def tensors(self) -> tuple[Tensor, ...]:
        """What the objective is given."""
        ...

    def take(self, rows: slice) -> AnyBatch:
        """Some of the rows."""
        ...


Row = Sequence[int] | Ints


def reversed_ids(ids: Row) -> list[int]:
    """Ids that end in `</s>` from last to first, `</s>` still at the end: how a right-to-left model writes them."""
    return [*reversed(ids[:-1]), EOS]


def make_batch(source: Sequence[Row], target: Sequence[Row]) -> Batch:
    """One batch of rows that end in `</s>`."""
    source_ids, source_length = map(torch.from_numpy, pad(source))
    target_out, target_length = pad(target)
    target_in = np.full_like(target_out, BOS)
    target_in[:, 1:] = target_out[:, :-1]
    target_in[target_in == EOS] = PAD
    return Batch(
        source_ids, source_length, torch.from_numpy(target_in), torch.from_numpy(target_out), int(target_length.sum())
    )


def share(batch: AnyBatch, rank: int, world: int) -> tuple[AnyBatch, bool]:
    """The rows of one worker of several, and whether they count: one with nothing to do gets a row to do in vain."""
    if world == 1:
        return batch, True
    if rank < len(batch.tensors()[0]):
        return batch.take(slice(rank, None, world)), True
    return batch.take(slice(0, 1)), False


def plan(source: Sequence[int], target: Sequence[int], batch_tokens: int, seed: int) -> list[list[int]]:
    """Which rows go into which batch, in training order, given the rows' lengths.

    Rows of like length go together, so that a batch of at most `batch_tokens` target ids (padding included) holds
    little padding; the order of rows of like length, and of batches, is shuffled by the seed.
    """
    rng = random.Random(seed)
    order = list(range(len(target)))
    rng.shuffle(order)
    order.sort(key=lambda i: (target[i], source[i]))
    batches: list[list[int]] = []
    batch: list[int] = []
    for i in order:  # lengths rise, so the newest row is the longest
        if batch and (len(batch) + 1) * target[i] > batch_tokens:
            batches.append(batch)
            batch = []
        batch.append(i)
    if batch:
        batches.append(batch)
    rng.shuffle(batches)
    return batches


class Epoch:
    """The batches of one pass over encoded text, made as they are asked for, a window of rows at a time."""

    def __init__(
        self, text: Shards, rows: Ints, batch_tokens: int, seed: int, *, augment: AugmentConfig = AS_WRITTEN,
        turned: bool = False,
    ) -> None:  # fmt: skip
        """turned: targets from last to first."""
        self.text, self.rows, self.batch_tokens, self.seed = text, rows, batch_tokens, seed
        self.augment, self.turned = augment, turned
        if len(rows) > WINDOW:
            self.rows = np.random.default_rng(seed).permutation(rows)
        self.first = self._window(0)
        # All there will be, when the text is one window; of more windows the first is taken as typical.
        self.expected = round(len(self.first[2]) * len(rows) / len(self.rows[:WINDOW]))

    def _window(self, number: int) -> tuple[Ragged, Ragged, list[list[int]]]:
        """Sources, targets, and which of them go together."""
        return_memory()  # drawing looks at much of what is mapped: not on top of the gaps that training has left
        rows = self.rows[number * WINDOW : (number + 1) * WINDOW]
        source, target = self.text.draw(rows, [self.seed, number], self.augment)
        batches = plan(source.lengths.tolist(), target.lengths.tolist(), self.batch_tokens, self.seed + number)
        return source, target, batches

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """From the batch of this number on."""
        for number in range(math.ceil(len(self.rows) / WINDOW)):
            source, target, batches = self._window(number) if number else self.first
            for rows in batches[start:]:
                targets = [reversed_ids(target.row(i)) if self.turned else target.row(i) for i in rows]
                yield make_batch([source.row(i) for i in rows], targets)
            start = max(0, start - len(batches))
