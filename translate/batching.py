"""Ids to length-bucketed batches, deterministic by seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dragoman.runtime.bundle import BOS, EOS
from dragoman.runtime.translator import pad


class Batch(NamedTuple):
    """Padded ids. `target_in` starts with `<s>`; `target_out` is what each of its positions must predict."""

    source: Tensor  # (B, S)
    source_length: Tensor  # (B)
    target_in: Tensor  # (B, T)
    target_out: Tensor  # (B, T)
    tokens: int  # target ids that are not padding


def turned_round(ids: Sequence[int]) -> list[int]:
    """Ids that end in `</s>` from last to first, `</s>` still at the end: how a right-to-left model writes them."""
    return [*reversed(ids[:-1]), EOS]


def make_batch(source: Sequence[Sequence[int]], target: Sequence[Sequence[int]]) -> Batch:
    """One batch of rows that end in `</s>`."""
    source_ids, source_length = map(torch.from_numpy, pad(source))
    target_out, target_length = pad(target)
    target_in, _ = pad([[BOS, *row[:-1]] for row in target])
    return Batch(
        source_ids, source_length, torch.from_numpy(target_in), torch.from_numpy(target_out), int(target_length.sum())
    )


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
