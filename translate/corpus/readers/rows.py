"""Raw rows: pairs read from a file, before cleaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.readers.lines import read_byte_lines


class UnreadableRow(NamedTuple):
    """A line that does not follow its file's format."""

    problem: str
    line: bytes


RawRow = tuple[bytes | str, bytes | str] | UnreadableRow  # source and target; bytes may be invalid UTF-8

# While a file is read, this many unreadable lines are tolerated even if they are the majority so far.
TOLERATED_ERRORS = 10


def read_parallel(source: str | Path, target: str | Path) -> Iterator[RawRow]:
    """Yield the pairs of two files, where line N of one translates line N of the other.

    Raises UserError at the end if one file has more lines.
    """
    counts = [0, 0]
    for pair in zip_longest(read_byte_lines(source), read_byte_lines(target)):
        for side, line in enumerate(pair):
            counts[side] += line is not None
        if counts[0] == counts[1]:
            yield pair
    if counts[0] != counts[1]:
        raise UserError(
            f"{source} has {counts[0]:,} lines and {target} has {counts[1]:,}: "
            "both need the same number of lines, where line N of one translates line N of the other"
        )


def parse_lines(path: Path, parse: Callable[[bytes], RawRow]) -> Iterator[RawRow]:
    """Yield the parsed lines of a file, without empty lines.

    Raises UserError with the first unreadable line if most lines are unreadable.
    """
    readable = unreadable = 0
    first_problem = ""

    def check_majority() -> None:
        if unreadable > readable:
            raise UserError(f"{path}, {first_problem}")

    for number, line in enumerate(read_byte_lines(path), 1):
        if not line.strip():
            continue
        row = parse(line)
        if isinstance(row, UnreadableRow):
            first_problem = first_problem or f"line {number:,}: {row.problem}"
            unreadable += 1
            if unreadable > TOLERATED_ERRORS:
                check_majority()
        else:
            readable += 1
        yield row
    check_majority()
