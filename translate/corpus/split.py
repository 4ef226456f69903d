"""Split a corpus into training, validation and test parts without near duplicates across them."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import numpy.typing as npt
import regex

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.encoding.ragged import Ints

HELD_OUT = 1000


def nearly(text: str) -> str:
    """A text without its case, punctuation and spaces: what near copies have in common."""
    return _BESIDE_WORDS.sub("", text.casefold()) or text


_BESIDE_WORDS = regex.compile(r"[\p{P}\p{S}\p{Z}]+")


def short_hash(text: str) -> int:
    """64 bits that tell texts apart."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def hold_out(sources: npt.NDArray[np.uint64], valid: int | None, test: int | None, seed: int) -> list[Ints]:
    """The rows to train, to validate and to test on, given what tells the rows' sources apart (see `nearly`).

    valid, test: how many; by default HELD_OUT, or a tenth of few. Rows to train on are in order, the others in none.
    Held-out sources occur nowhere else: further rows of theirs are left out. Which are held out depends on the sources
    and the seed alone, so that of a corpus with more text as many are, and none that were trained on before.
    Raises UserError when there are too few.
    """
    own, first, group = np.unique(sources, return_index=True, return_inverse=True)
    usual = min(HELD_OUT, max(1, len(first) // 10))
    valid, test = valid or usual, test or usual
    if len(first) <= valid + test:
        least = "" if len(first) < 3 else "; ask for less with --valid and --test"
        raise UserError(
            f"{len(first):,} different source lines are too few to hold out {valid:,} for validation and {test:,} "
            f"for testing{least}"
        )
    groups = np.argsort(_mixed(own, seed))[: valid + test]
    rest = np.ones(len(first), bool)
    rest[groups] = False
    held_out = first[groups].astype(np.int64)
    return [np.flatnonzero(rest[group]), held_out[test:], held_out[:test]]


def _mixed(values: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """Other numbers, in no order (SplitMix64; Steele et al. 2014, "Fast splittable pseudorandom number generators")."""
    x = values + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def without_held_out(splits: dict[str, list[Pair]], dropped: Counter[str]) -> dict[str, list[Pair]]:
    """Leave out training pairs whose source line is all but the same as one in a held-out part."""
    held_out = {nearly(p.source) for part in ("valid", "test") for p in splits[part]}
    kept = [p for p in splits["train"] if nearly(p.source) not in held_out]
    dropped["source is in a held-out part"] += len(splits["train"]) - len(kept)
    return {**splits, "train": kept}
