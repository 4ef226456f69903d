"""Corpora from parallel text: clean raw pairs and hold some out."""

from __future__ import annotations

import tempfile
import time
import weakref
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.cleaning import clean, scrub
from dragoman.translate.corpus.folder import Made, Pair
from dragoman.translate.corpus.readers.raw import Raw
from dragoman.translate.corpus.rules import RULES
from dragoman.translate.corpus.split import hold_out, nearly, short_hash
from dragoman.translate.encoding.ragged import Ints

Listing = Callable[[str, Pair], None]


EVERY = 10.0  # seconds between two words of how far reading is


class Spool:
    """Pairs kept in a file without a name, since which part of a corpus each goes to is known when all are read."""

    def __init__(self, folder: Path) -> None:
        """folder: of the disk to keep them on. Raises UserError, as adding does, when it cannot be written to."""
        self.folder, self.count = folder, 0
        try:
            self.file = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=folder)  # noqa: SIM115 (it lives as long as this)
        except OSError as error:
            raise UserError(f"cannot write in {folder}: {error.strerror or error}") from None
        weakref.finalize(self, _close, self.file)

    def add(self, pair: Pair) -> None:
        """Keep a normalised pair, which holds no tab."""
        try:
            self.file.write(f"{pair.source}\t{pair.target}\n")
        except OSError as error:
            raise UserError(f"cannot write in {self.folder}: {error.strerror or error}") from None
        self.count += 1

    def only(self, rows: Ints) -> Iterator[Pair]:
        """The pairs of some rows, as they were added. One such reading at a time."""
        wanted = np.zeros(self.count, bool)
        wanted[rows] = True
        try:
            self.file.seek(0)  # which writes what is not yet written
        except OSError as error:
            raise UserError(f"cannot write in {self.folder}: {error.strerror or error}") from None
        for line, asked in zip(self.file, wanted, strict=True):
            if asked:
                yield Pair(*line.removesuffix("\n").split("\t"))

    def these(self, rows: Ints) -> list[Pair]:
        """The pairs of few rows, in their order."""
        found = dict(zip(np.sort(rows).tolist(), self.only(rows), strict=True))
        return [found[row] for row in rows.tolist()]


def _close(file: IO[str]) -> None:
    with suppress(OSError):  # what a full disk did not take is not wanted any more
        file.close()


def make(
    rows: Iterable[Raw],
    languages: tuple[str, str],
    card: dict[str, Any],
    folder: Path,
    valid: int | None = None,
    test: int | None = None,
    seed: int = 1,
    off: Collection[str] = (),
    listed: Listing | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Made:
    """Clean raw pairs and hold some out: by default 1,000 to validate and to test on, or a tenth of few.

    folder: where pairs wait, unseen, until the parts are written: memory holds no more than hashes of them.
    listed: called with the rule, or another reason, and the pair for each one that is left out. say: told now and then
    how many are read. Raises UserError when too little is left, with what was dropped.
    """
    read = 0
    spoken = time.monotonic()
    dropped: Counter[str] = Counter()

    def counted() -> Iterator[Raw]:
        nonlocal read, spoken
        for row in rows:
            read += 1
            yield row
            if read % 1000 == 0 and time.monotonic() - spoken > EVERY:
                spoken = time.monotonic()
                say(f"{read:,} pairs read, {sum(dropped.values()):,} of them dropped")

    def note(rule: str, pair: Pair) -> None:
        dropped[RULES.get(rule, rule)] += 1
        if listed:
            listed(rule, pair)

    spool = Spool(folder)
    hashes = array("Q")
    for pair in scrub(clean(counted(), note), languages, off, note):
        spool.add(pair)
        hashes.append(short_hash(nearly(pair.source)))
    sources = np.frombuffer(hashes, np.uint64) if hashes else np.zeros(0, np.uint64)
    try:
        train, *held_out = hold_out(sources, valid, test, seed)
    except UserError as error:
        why = "; ".join(f"{n:,} dropped: {reason}" for reason, n in dropped.most_common())
        raise UserError(f"{error}; {read:,} pairs read" + (f"; {why}" if why else "")) from None
    left_over = np.ones(spool.count, bool)
    left_over[np.concatenate([train, *held_out])] = False
    for pair in spool.only(np.flatnonzero(left_over)):
        note("another pair of all but the same source is held out", pair)
    rules = [name for name in RULES if name not in off]
    splits = {"train": spool.only(train), "valid": spool.these(held_out[0]), "test": spool.these(held_out[1])}
    return splits, {**card, "read": read, "dropped": dict(dropped), "rules": rules, "seed": seed}
