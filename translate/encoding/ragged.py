"""Rows of different lengths in one flat array, which may be a memory map.

Axis letters: R rows, N numbers in all rows together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.signedinteger[Any]]


class Ragged(NamedTuple):
    """A ragged array. Row i is flat[ends[i] : ends[i + 1]], so ends starts with 0."""

    flat: Ints  # (N)
    ends: Ints  # (R + 1)

    @property
    def rows(self) -> int:
        """R, the number of rows."""
        return len(self.ends) - 1

    @property
    def lengths(self) -> Ints:
        """The length of each row, (R)."""
        return np.diff(self.ends)

    def row(self, i: int) -> Ints:
        """Return row i."""
        return self.flat[self.ends[i] : self.ends[i + 1]]

    def take(self, rows: Ints) -> Ragged:
        """Return the given rows, in the given order."""
        starts = self.ends[rows]
        lengths = self.ends[rows + 1] - starts
        return Ragged(self.flat[spans(starts, lengths)], ends_of(lengths))


def ends_of(lengths: Ints) -> Ints:
    """Return 0 and the end of each row, (R + 1), given the lengths of the rows (R)."""
    out = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=out[1:])
    return out


def spans(starts: Ints, lengths: Ints) -> Ints:
    """Return the indices start, start + 1, ... of each span, one span after the other."""
    ends = ends_of(lengths)
    return np.repeat(starts - ends[:-1], lengths) + np.arange(ends[-1])


def ragged(rows: Iterable[Sequence[int]]) -> Ragged:
    """Return lists of numbers as a ragged array."""
    rows = [*rows]
    lengths = np.fromiter((len(row) for row in rows), np.int64, len(rows))
    flat = np.fromiter((i for row in rows for i in row), np.int32, int(lengths.sum()))
    return Ragged(flat, ends_of(lengths))


def concatenate(parts: Sequence[Ragged]) -> Ragged:
    """Return the rows of several ragged arrays, one after the other."""
    lengths = np.concatenate([part.lengths for part in parts])
    return Ragged(np.concatenate([part.flat for part in parts]), ends_of(lengths))
