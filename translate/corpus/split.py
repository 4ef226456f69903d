"""Split a corpus into training, validation and test sets that share no source, not even a near duplicate."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.deduplication import near_duplicate_key
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.encoding.ragged import Ints

DEFAULT_HELD_OUT = 1000
NEAR_HELD_OUT = "near duplicate of a held-out source"  # the reason to drop a pair, in corpus cards


def hold_out(source_keys: npt.NDArray[np.uint64], valid: int | None, test: int | None, seed: int) -> list[Ints]:
    """Return the row numbers of the training, validation and test sets.

    `source_keys` (rows,) are hashes of `near_duplicate_key` of each row's source. `valid` and `test` are numbers of
    different sources; the default is DEFAULT_HELD_OUT, or a tenth of the sources of a small corpus. A held-out source
    keeps one row, and its other rows are in no set. Training rows keep their order; held-out rows are shuffled.

    The choice depends on the keys and the seed alone. So when text is added, as many sources are held out as before,
    and none of them was in the training set.

    Raises UserError if there are too few sources.
    """
    unique_keys, first_rows, source_of_row = np.unique(source_keys, return_index=True, return_inverse=True)
    sources = len(unique_keys)
    default = min(DEFAULT_HELD_OUT, max(1, sources // 10))
    valid, test = valid or default, test or default
    if sources <= valid + test:
        advice = "" if sources < 3 else "; lower --valid and --test"
        raise UserError(
            f"{sources:,} different source lines are too few to hold out {valid:,} for validation and {test:,} "
            f"for testing{advice}"
        )
    held_out_sources = np.argsort(_splitmix64(unique_keys, seed))[: valid + test]
    is_training = np.ones(sources, bool)
    is_training[held_out_sources] = False
    held_out_rows = first_rows[held_out_sources].astype(np.int64)
    return [np.flatnonzero(is_training[source_of_row]), held_out_rows[test:], held_out_rows[:test]]


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
    held_out = {near_duplicate_key(pair.source) for split in ("valid", "test") for pair in splits[split]}
    kept = [pair for pair in splits["train"] if near_duplicate_key(pair.source) not in held_out]
    dropped[NEAR_HELD_OUT] += len(splits["train"]) - len(kept)
    return {**splits, "train": kept}
