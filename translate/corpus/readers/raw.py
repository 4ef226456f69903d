"""Raw lines and raw pairs of files, plain or gzipped."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, zip_longest
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from dragoman.runtime.errors import UserError


class Unread(NamedTuple):
    """A line that is not of its file's format."""

    problem: str
    line: bytes


Raw = tuple[bytes | str, bytes | str] | Unread


ODD = 10  # lines of a table that may be unreadable though most are, before that is more than an accident


# Files packed by something else, by what they begin with.
OTHERS = {rb"\xfd7zXZ\0": "xz", rb"BZh[1-9]1A": "bzip2", rb"\x28\xb5\x2f\xfd": "zstd", rb"PK\x03\x04": "zip"}


@contextmanager
def open_raw(path: str | Path) -> Iterator[BinaryIO]:
    """A file's bytes, unpacked where it is gzipped. Raises UserError, also for what goes wrong while it is read."""
    try:
        with open(path, "rb") as file:
            start = file.read(6)
            file.seek(0)
            if other := next((name for mark, name in OTHERS.items() if re.match(mark, start)), None):
                raise UserError(f"{path} is packed by {other}; unpack it, or pack it by gzip")
            if not start.startswith(b"\x1f\x8b"):
                yield file
                return
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast(BinaryIO, unpacked)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def read_bytes(path: str | Path) -> bytes:
    """All of them. Raises UserError."""
    with open_raw(path) as file:
        return file.read()


def read_raw(path: str | Path) -> Iterator[bytes]:
    """The lines of a file, plain or gzipped, as bytes; split at line feeds, a closing carriage return left out."""
    with open_raw(path) as file:
        first = file.readline()
        lines: Iterable[bytes] = chain([first.removeprefix(codecs.BOM_UTF8)], file) if first else ()
        if first[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):  # as spreadsheets write it
            text = (first + file.read()).decode("utf-16", "replace").removeprefix("\ufeff")
            lines = (line.encode() for line in text.removesuffix("\n").split("\n"))
        elif 3 * first.count(0) > len(first):
            raise UserError(f"{path} looks like UTF-16 without the mark that it should begin with; save it as UTF-8")
        for line in lines:
            yield line.removesuffix(b"\n").removesuffix(b"\r")


def read_lenient(path: str | Path) -> list[str]:
    """The same as text, with U+FFFD for what is not UTF-8."""
    return [line.decode("utf-8", "replace") for line in read_raw(path)]


def read_strict(path: str | Path) -> list[str]:
    """The same as text. Raises UserError for what is not UTF-8."""
    return [decoded(line, path, number) for number, line in enumerate(read_raw(path), 1)]


def decoded(line: bytes, path: str | Path, number: int) -> str:
    """A line of a file as text. Raises UserError for what is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}, line {number:,} is not UTF-8") from None


def read_parallel(source: str | Path, target: str | Path) -> Iterator[Raw]:
    """Two files, line N of one the translation of line N of the other."""
    counts = [0, 0]
    for pair in zip_longest(read_raw(source), read_raw(target)):
        for side, line in enumerate(pair):
            counts[side] += line is not None
        if counts[0] == counts[1]:
            yield pair
    if counts[0] != counts[1]:
        raise UserError(
            f"{source} has {counts[0]:,} lines and {target} has {counts[1]:,}: "
            "line N of one must be the translation of line N of the other"
        )


def rows_by_line(path: Path, parse: Callable[[bytes], Raw]) -> Iterator[Raw]:
    """What each line that is not empty holds. Raises UserError for the first unreadable one when most are."""
    good = bad = 0
    first = ""

    def judge() -> None:
        if bad > good:
            raise UserError(f"{path}, {first}")

    for number, line in enumerate(read_raw(path), 1):
        if not line.strip():
            continue
        row = parse(line)
        if isinstance(row, Unread):
            first = first or f"line {number:,}: {row.problem}"
            bad += 1
            if bad > ODD:
                judge()
        else:
            good += 1
        yield row
    judge()
