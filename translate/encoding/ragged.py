"""Rows of different lengths in one flat array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.signedinteger[Any]]


class Ragged(NamedTuple):
    """Row i is flat[ends[i] : ends[i + 1]]; ends starts with 0."""

    flat: Ints
    ends: Ints

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.ends) - 1

    @property
    def lengths(self) -> Ints:
        """Of each row."""
        return np.diff(self.ends)

    def row(self, i: int) -> Ints:
        """One of them."""
        return self.flat[self.ends[i] : self.ends[i + 1]]

    def take(self, rows: Ints) -> Ragged:
        """Some of the rows, in the order asked for."""
        starts = self.ends[rows]
        lengths = self.ends[rows + 1] - starts
        return Ragged(self.flat[spans(starts, lengths)], ends_of(lengths))


def ends_of(lengths: Ints) -> Ints:
    """0, and the place behind each row."""
    out = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=out[1:])
    return out


def spans(starts: Ints, lengths: Ints) -> Ints:
    """start, start + 1, ... of each span, one span after the other."""
    ends = ends_of(lengths)
    return np.repeat(starts - ends[:-1], lengths) + np.arange(ends[-1])


def ragged(rows: Iterable[Sequence[int]], dtype: npt.DTypeLike = np.int32) -> Ragged:
    """Lists as one array."""
    rows = [*rows]
    lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
    flat = np.fromiter((i for row in rows for i in row), dtype, int(lengths.sum()))
    return Ragged(flat, ends_of(lengths))


def joined(parts: Sequence[Ragged]) -> Ragged:
    """The rows of several, one after the other."""
    lengths = np.concatenate([part.lengths for part in parts])
    return Ragged(np.concatenate([part.flat for part in parts]), ends_of(lengths))
