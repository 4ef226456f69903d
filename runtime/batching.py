"""Padded batches of token ids. Axis letters: B batch, S longest row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from dragoman.runtime.contract import PAD, Ids

BATCH_SIZE = 32  # sentences

# Source ids in a batch, with padding. The limit bounds the memory that long lines take. Larger batches are slower,
# because they do not fit the processor's cache.
BATCH_TOKENS = 512


def pad(rows: Sequence[Sequence[int] | npt.NDArray[np.integer[Any]]]) -> tuple[Ids, Ids]:
    """Return rows of ids as a matrix (B, S) filled up with `<pad>`, and their lengths (B)."""
    length = np.array([len(row) for row in rows], dtype=np.int64)
    ids = np.full((len(rows), int(length.max())), PAD, dtype=np.int64)
    for padded, row in zip(ids, rows, strict=True):
        padded[: len(row)] = row
    return ids, length


class HasIds(Protocol):
    """An item with token ids."""

    ids: list[int]


Item = TypeVar("Item", bound=HasIds)


def batches_of(items: Iterable[Item], batch_size: int, batch_tokens: int = BATCH_TOKENS) -> Iterator[list[Item]]:
    """Yield batches of items that are sorted by length.

    A batch holds at most `batch_size` items and, with padding, at most `batch_tokens` ids. An item that is longer than
    `batch_tokens` is a batch of its own.
    """
    batch: list[Item] = []
    for item in items:
        if batch and (len(batch) == batch_size or (len(batch) + 1) * len(item.ids) > batch_tokens):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch
