"""Bytes and lines of files, plain or gzipped."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

from dragoman.runtime.errors import UserError

GZIP = b"\x1f\x8b"

# Compression formats that are recognised to be refused, by their first bytes.
UNSUPPORTED = {rb"\xfd7zXZ\0": "xz", rb"BZh[1-9]1A": "bzip2", rb"\x28\xb5\x2f\xfd": "zstd", rb"PK\x03\x04": "zip"}


@contextmanager
def open_unpacked(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, decompressed if it is gzipped.

    Raises UserError for another compression format, and for any error while the file is read.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(6)
            file.seek(0)
            if name := next((name for magic, name in UNSUPPORTED.items() if re.match(magic, start)), None):
                raise UserError(f"{path} is compressed with {name}; decompress it, or use gzip")
            if not start.startswith(GZIP):
                yield file
                return
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast(BinaryIO, unpacked)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def read_bytes(path: str | Path) -> bytes:
    """Return the decompressed bytes of a file. Raises UserError if it cannot be read."""
    with open_unpacked(path) as file:
        return file.read()


def read_byte_lines(path: str | Path) -> Iterator[bytes]:
    """Yield the lines of a file as UTF-8 bytes, without the line feed and a carriage return before it.

    Lines end at line feeds only. UTF-16 with a byte order mark, as spreadsheets write it, becomes UTF-8. Raises
    UserError for UTF-16 without one.
    """
    with open_unpacked(path) as file:
        first = file.readline()
        lines: Iterable[bytes] = chain([first.removeprefix(codecs.BOM_UTF8)], file) if first else ()
        if first[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            text = (first + file.read()).decode("utf-16", "replace").removeprefix("\ufeff")
            lines = (line.encode() for line in text.removesuffix("\n").split("\n"))
        elif 3 * first.count(0) > len(first):
            raise UserError(f"{path} looks like UTF-16 without a byte order mark; save it as UTF-8")
        for line in lines:
            yield line.removesuffix(b"\n").removesuffix(b"\r")


def read_lenient(path: str | Path) -> list[str]:
    """Return the lines of a file as text, with U+FFFD in place of invalid UTF-8."""
    return [line.decode("utf-8", "replace") for line in read_byte_lines(path)]


def read_strict(path: str | Path) -> list[str]:
    """Return the lines of a file as text. Raises UserError for invalid UTF-8."""
    return [decode_strict(line, path, number) for number, line in enumerate(read_byte_lines(path), 1)]


def decode_strict(line: bytes, path: str | Path, number: int) -> str:
    """Return a line as text. Raises UserError with its path and number if it is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}, line {number:,} is not UTF-8") from None
