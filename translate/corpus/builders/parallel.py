"""Corpora from parallel text: clean raw rows and hold some out."""

from __future__ import annotations

import tempfile
import time
import weakref
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from dragoman.runtime.errors import UserError
from dragoman.runtime.wording import counted
from dragoman.translate.corpus.cleaning import OnDrop, filter_pairs, usable_pairs
from dragoman.translate.corpus.deduplication import hash64, near_duplicate_key, pattern_key
from dragoman.translate.corpus.entities import unescape_entities
from dragoman.translate.corpus.folder import Pair, SplitsAndCard, format_drops
from dragoman.translate.corpus.readers.rows import RawRow
from dragoman.translate.corpus.rules import ALLOWED, RULES
from dragoman.translate.corpus.split import NEAR_HELD_OUT, NEAR_TEST, hold_out, without_sources
from dragoman.translate.encoding.ragged import Ints

PROGRESS_INTERVAL = 10.0  # seconds

NONE_GIVEN: Mapping[str, Iterable[RawRow]] = {}
SET_NAMES = {"valid": "validation set", "test": "test set"}


class TemporaryPairs:
    """Pairs in an unnamed temporary file, because the split of a pair is known only after all are read."""

    def __init__(self, folder: Path) -> None:
        """Create the file on the disk of a folder. Raises UserError, as `add` does, if that cannot be written."""
        self.folder, self.count = folder, 0
        try:
            self.file = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=folder)  # noqa: SIM115 (it lives as long as this)
        except OSError as error:
            raise self._write_error(error) from None
        weakref.finalize(self, _close, self.file)

    def add(self, pair: Pair) -> None:
        """Append a normalised pair, which holds no tab."""
        try:
            self.file.write(f"{pair.source}\t{pair.target}\n")
        except OSError as error:
            raise self._write_error(error) from None
        self.count += 1

    def select(self, rows: Ints) -> Iterator[Pair]:
        """Yield the pairs of some row numbers, in the order of the file. Only one such iteration may run at a time."""
        selected = np.zeros(self.count, bool)
        selected[rows] = True
        try:
            self.file.seek(0)  # flushes, so it may fail on a full disk
        except OSError as error:
            raise self._write_error(error) from None
        for line, is_selected in zip(self.file, selected, strict=True):
            if is_selected:
                yield Pair(*line.removesuffix("\n").split("\t"))

    def take(self, rows: Ints) -> list[Pair]:
        """Return the pairs of a few row numbers, in the order of `rows`."""
        pair_of_row = dict(zip(np.sort(rows).tolist(), self.select(rows), strict=True))
        return [pair_of_row[row] for row in rows.tolist()]

    def _write_error(self, error: OSError) -> UserError:
        return UserError(f"cannot write in {self.folder}: {error.strerror or error}")


def _close(file: IO[str]) -> None:
    with suppress(OSError):  # a full disk; nobody needs the unwritten pairs any more
        file.close()


def build_parallel(
    rows: Iterable[RawRow],
    languages: tuple[str, str],
    card: dict[str, Any],
    folder: Path,
    valid: int | None = None,
    test: int | None = None,
    seed: int = 1,
    disabled: Collection[str] = (),
    on_drop: OnDrop | None = None,
    log: Callable[[str], None] = lambda _: None,
    given: Mapping[str, Iterable[RawRow]] = NONE_GIVEN,
) -> SplitsAndCard:
    """Clean raw rows, hold some out, and return the splits and the completed card.

    Pairs wait in an unnamed file in `folder` until they are written, so memory holds little more than their hashes.

    `valid` and `test` are as in `hold_out`. `disabled` names the cleaning rules not to apply. `on_drop` receives each
    dropped pair and the rule or another reason. `log` receives a line of progress every ten seconds. `given` holds the
    raw rows of "valid" or "test", or both, if they are not to be held out from `rows` (see `_given_sets`).

    Raises UserError with the reasons for dropped pairs if too few are left.
    """
    read = 0
    dropped: Counter[str] = Counter()

    def count_read(rows: Iterable[RawRow]) -> Iterator[RawRow]:
        nonlocal read
        last_log = time.monotonic()
        for row in rows:
            read += 1
            yield row
            if read % 1000 == 0 and time.monotonic() - last_log > PROGRESS_INTERVAL:
                last_log = time.monotonic()
                log(f"{read:,} pairs read, {dropped.total():,} of them dropped")

    def drop(rule: str, pair: Pair) -> None:
        dropped[RULES.get(rule, rule)] += 1
        if on_drop:
            on_drop(rule, pair)

    unescaped = 0

    def count_unescaped() -> None:
        nonlocal unescaped
        unescaped += 1

    def read_pairs(rows: Iterable[RawRow], drop: OnDrop) -> Iterator[Pair]:
        pairs = usable_pairs(count_read(rows), drop)
        if "entities" in disabled:
            return pairs
        return unescape_entities(pairs, count_unescaped, lambda pair: drop("empty", pair))

    given_sets = _given_sets(given, read_pairs, drop)
    # Sources that differ in numbers alone are near duplicates, unless the user keeps all of those.
    source_key = near_duplicate_key if "near-duplicate" in disabled else pattern_key
    pairs = TemporaryPairs(folder)
    hashes = array("Q")
    for pair in filter_pairs(read_pairs(rows, drop), languages, disabled, drop):
        pairs.add(pair)
        hashes.append(hash64(source_key(pair.source)))
    source_keys = np.frombuffer(hashes, np.uint64) if hashes else np.zeros(0, np.uint64)
    given_keys = [hash64(source_key(pair.source)) for given_set in given_sets.values() for pair in given_set]
    valid, test = 0 if "valid" in given else valid, 0 if "test" in given else test
    try:
        train, valid_rows, test_rows = hold_out(source_keys, valid, test, seed, given_keys)
    except UserError as error:
        raise UserError(f"{error}; {counted(read, 'pair')} read{format_drops(dropped)}") from None
    left_out = np.ones(pairs.count, bool)
    left_out[np.concatenate([train, valid_rows, test_rows])] = False
    for pair in pairs.select(np.flatnonzero(left_out)):
        drop(NEAR_HELD_OUT, pair)
    held_out = {"valid": pairs.take(valid_rows), "test": pairs.take(test_rows), **given_sets}
    splits = {"train": pairs.select(train), **held_out}
    rules = [name for name in ALLOWED if name not in disabled]
    if unescaped:
        card = {**card, "unescaped": unescaped}
    return splits, {**card, "read": read, "dropped": dict(dropped), "rules": rules, "seed": seed}


def _given_sets(
    given: Mapping[str, Iterable[RawRow]],
    read_pairs: Callable[[Iterable[RawRow], OnDrop], Iterator[Pair]],
    drop: OnDrop,
) -> dict[str, list[Pair]]:
    """Return given validation and test sets, normalised and in their order, and call `drop` for pairs left out.

    Only rows that cannot be used are left out, and validation pairs whose source is a near duplicate of one to test.
    The cleaning rules are for training text: a held-out set must stay whole, so that scores on it can be compared with
    those of others.

    Raises UserError if no pair of a set is left.
    """
    result = {}
    for split, rows in given.items():

        def drop_unusable(reason: str, pair: Pair, split: str = split) -> None:
            drop(f"{reason}, in the {SET_NAMES[split]}", pair)

        result[split] = [*read_pairs(rows, drop_unusable)]
        if not result[split]:
            raise UserError(f"the files of --{split}-files hold no usable pair")
    if len(result) == 2:
        result["valid"] = without_sources(result["valid"], result["test"], lambda pair: drop(NEAR_TEST, pair))
        if not result["valid"]:
            raise UserError("every source of --valid-files is in --test-files, too; give a validation set of its own")
    return result
