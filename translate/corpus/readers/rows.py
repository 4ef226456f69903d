"""Raw rows: pairs read from a file, before cleaning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dragoman.runtime.errors import UserError


class UnreadableRow(NamedTuple):
    """A line that is no pair, because it does not follow its file's format or names the columns."""

    problem: str
    line: bytes  # all of it, or its source if the target is known
    target: bytes = b""


RawRow = tuple[bytes | str, bytes | str] | UnreadableRow  # source and target; bytes may be invalid UTF-8

# While a file is read, this many unreadable lines are tolerated even if they are the majority so far.
TOLERATED_ERRORS = 10


def check_rows(path: Path, rows: Iterable[tuple[int, RawRow]]) -> Iterator[RawRow]:
    """Yield the rows of a file, given with the numbers of their lines.

    Raises UserError with the first unreadable row if most rows are unreadable.
    """
    readable = unreadable = 0
    first_problem = ""

    def check_majority() -> None:
        if unreadable > readable:
            raise UserError(f"{path}, {first_problem}")

    for number, row in rows:
        if isinstance(row, UnreadableRow):
            first_problem = first_problem or f"line {number:,}: {row.problem}"
            unreadable += 1
            if unreadable > TOLERATED_ERRORS:
                check_majority()
        else:
            readable += 1
        yield row
    check_majority()


def require_pairs(path: Path, rows: Iterable[RawRow]) -> Iterator[RawRow]:
    """Yield rows. Raises UserError at the end if none of them was a pair."""
    has_pair = False
    for row in rows:
        has_pair = has_pair or not isinstance(row, UnreadableRow)
        yield row
    if not has_pair:
        raise UserError(f"{path} has no pair of a source and a target")
