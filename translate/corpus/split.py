"""Split a corpus into training, validation and test sets that share no source, not even a near duplicate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import compress
from operator import not_

import numpy as np
import numpy.typing as npt

from dragoman.runtime.errors import UserError
from dragoman.runtime.wording import counted
from dragoman.translate.corpus.deduplication import near_duplicate_key
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.encoding.ragged import Ints

DEFAULT_HELD_OUT = 1000
NEAR_HELD_OUT = "near duplicate of a held-out source"  # the reason to drop a training pair, in corpus cards
NEAR_TEST = "near duplicate of a test source, in the validation set"  # the reason to drop a validation pair


def hold_out(
    source_keys: npt.NDArray[np.uint64], valid: int | None, test: int | None, seed: int,
    excluded: Sequence[int] = (),
) -> list[Ints]:  # fmt: skip
    """Return the row numbers of the training, validation and test sets.

    `source_keys` (rows,) are hashes of each row's source, equal for near duplicates. `valid` and `test` are numbers of
    different sources, perhaps 0; the default is DEFAULT_HELD_OUT, or a tenth of the sources of a small corpus. A
    held-out source keeps one row, and its other rows are in no set. Training rows keep their order; held-out rows are
    shuffled. Rows whose key is among `excluded`, the sources of given validation and test sets, are in no set.

    The choice depends on the keys and the seed alone. So when text is added, as many sources are held out as before,
    and none of them was in the training set.

    Raises UserError if there are too few sources.
    """
    rows = np.flatnonzero(~np.isin(source_keys, np.array(excluded, np.uint64)))
    unique_keys, first_rows, source_of_row = np.unique(source_keys[rows], return_index=True, return_inverse=True)
    sources = len(unique_keys)
    default = min(DEFAULT_HELD_OUT, max(1, sources // 10))
    valid, test = (default if count is None else count for count in (valid, test))
    if sources <= valid + test and valid + test:
        advice = "" if sources < 3 else "; lower --valid and --test"
        if sources < len(rows):
            advice += " (lines that differ in case, punctuation or numbers alone count as one)"
        wanted = [f"{n:,} for {use}" for n, use in ((valid, "validation"), (test, "testing")) if n]
        found = f"{counted(sources, 'different source line')} {'is' if sources == 1 else 'are'}"
        raise UserError(f"{found} too few to hold out {' and '.join(wanted)}{advice}")
    held_out_sources = np.argsort(_splitmix64(unique_keys, seed))[: valid + test]
    is_training = np.ones(sources, bool)
    is_training[held_out_sources] = False
    held_out_rows = rows[first_rows[held_out_sources]]
    return [rows[is_training[source_of_row]], held_out_rows[test:], held_out_rows[:test]]


def _splitmix64(values: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """Map integers to pseudorandom integers by SplitMix64.

    Steele et al. 2014, "Fast splittable pseudorandom number generators".
    """
    x = values + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def drop_held_out_sources(splits: dict[str, list[Pair]], dropped: Counter[str]) -> dict[str, list[Pair]]:
    """Return the splits without the training pairs whose source is a near duplicate of a held-out source.

    `dropped` counts these pairs.
    """
    held_out = [*splits["valid"], *splits["test"]]
    train = without_sources(splits["train"], held_out, lambda _: dropped.update([NEAR_HELD_OUT]))
    return {**splits, "train": train}


def without_sources(pairs: list[Pair], others: list[Pair], on_drop: Callable[[Pair], None]) -> list[Pair]:
    """Return the pairs whose source is no near duplicate of another's, and call `on_drop` with the rest."""
    keys = {near_duplicate_key(pair.source) for pair in others}
    is_kept = [near_duplicate_key(pair.source) not in keys for pair in pairs]
    for pair in compress(pairs, map(not_, is_kept)):
        on_drop(pair)
    return [*compress(pairs, is_kept)]
