"""Padded batches of token ids, sorted by length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from dragoman.runtime.contract import PAD, Ids

BATCH_SIZE = 32


# Source ids of a batch, padding included: bounds the memory that long lines take, and more do not fit the cache and
# are slower, not faster.
BATCH_TOKENS = 512


def pad(rows: Sequence[Sequence[int] | npt.NDArray[np.integer[Any]]]) -> tuple[Ids, Ids]:
    """Rows of ids as one matrix (B, S) filled up with `<pad>`, and their lengths (B)."""
    length = np.array([len(row) for row in rows], dtype=np.int64)
    out = np.full((len(rows), int(length.max())), PAD, dtype=np.int64)
    for into, row in zip(out, rows, strict=True):
        into[: len(row)] = row
    return out, length


class HasIds(Protocol):
    """Whatever is run by its ids."""

    ids: list[int]


Part = TypeVar("Part", bound=HasIds)


def batches_of(parts: Iterable[Part], batch_size: int, batch_tokens: int = BATCH_TOKENS) -> Iterator[list[Part]]:
    """Runs of parts sorted by length, within the limits on sentences and on padded ids."""
    batch: list[Part] = []
    for part in parts:
        if batch and (len(batch) == batch_size or (len(batch) + 1) * len(part.ids) > batch_tokens):
            yield batch
            batch = []
        batch.append(part)
    if batch:
        yield batch
