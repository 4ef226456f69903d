"""Bytes and lines of files: plain, compressed, in a zip archive, or from a pipe."""

from __future__ import annotations

import codecs
import io
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import copyfileobj

from dragoman.runtime.compression import Decompressed, method_of
from dragoman.runtime.errors import UserError
from dragoman.runtime.foreign import MAGIC_BYTES, check_members, check_start
from dragoman.runtime.lines import UTF16, ZIP, Rejoined, check_encoding
from dragoman.translate.corpus.readers.archives import (
    open_archive,
    open_info,
    open_member,
    split_member_path,
    visible_members,
)

BUFFER = 1 << 17
MAX_ZEROS = 10  # one byte in so many is zero in a binary file; text in UTF-8 has none
DOS_END = b"\x1a"  # marks the end of files of DOS, perhaps several times
MAX_LINE = 1 << 26  # bytes; a longer line is no text, and would fill the memory


@contextmanager
def open_unpacked(path: str | Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading bytes, decompressed from gzip, bzip2, xz or zip. It may be a pipe, which is read once.

    The first MAGIC_BYTES can be peeked at. A zip archive must hold one file, or `path` must name one in it:
    `books.zip/Books.de-en.de`. Raises UserError for another compressed or binary format, and for any error while the
    file is read.
    """
    path = Path(path)
    with ExitStack() as stack:
        try:
            file = _with_start(stack.enter_context(_open(path)))
            if file.peek()[:4] in ZIP:
                file = _with_start(stack.enter_context(_open_only_member(path, file)))
            if method := method_of(file.peek()):
                file = _with_start(io.BufferedReader(Decompressed(file, method, path), BUFFER))
            check_start(path, file.peek())
            yield file
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from None


def _with_start(file: io.BufferedIOBase) -> io.BufferedReader:
    """Return a stream whose first MAGIC_BYTES can be peeked at, wherever it comes from."""
    raw: io.RawIOBase = Rejoined(file.read(MAGIC_BYTES), file)
    reader: io.BufferedReader = io.BufferedReader(raw, BUFFER)
    reader.peek()
    return reader


@contextmanager
def _open(path: Path) -> Iterator[io.BufferedIOBase]:
    """Open a file, or a member of a zip archive."""
    try:
        file = open(path, "rb")  # noqa: SIM115 (closed below)
    except (NotADirectoryError, FileNotFoundError):
        if not (place := split_member_path(path)):
            raise
        with open_member(path, *place) as member:
            yield member
        return
    with file:
        yield file


@contextmanager
def _open_only_member(path: Path, file: io.BufferedIOBase) -> Iterator[io.BufferedIOBase]:
    """Open the only file in a zip archive. Raises UserError if it holds none or several."""
    with tempfile.TemporaryFile() as copy:
        if not path.is_file():  # a pipe or a member of another archive; to read zip is to seek
            copyfileobj(file, copy)
        with open_archive(path, None if path.is_file() else copy) as archive:
            members = visible_members(path, archive)
            check_members(path, members)
            if len(members) != 1:
                such_as = f"; name one, such as {path}/{next(iter(members))}" if members else ""
                raise UserError(f"{path} is a zip archive of {len(members):,} files{such_as}")
            with open_info(path, archive, *members.values()) as member:
                yield member


def read_bytes(path: str | Path) -> bytes:
    """Return the decompressed bytes of a file. Raises UserError if it cannot be read."""
    with open_unpacked(path) as file:
        return file.read()


def read_byte_lines(path: str | Path) -> Iterator[bytes]:
    """Yield the lines of a file as UTF-8 bytes, without the line feed and a carriage return before it.

    Lines end at line feeds only, or at carriage returns in a file without any line feed. DOS_END at the end of the file
    is left out. UTF-16 with a byte order mark, as spreadsheets write it, becomes UTF-8. Raises UserError for UTF-16
    without one, for UTF-32, for a binary file, and for a line above MAX_LINE.
    """
    held = b""  # a line that ends in DOS_END, which is text unless the file ends here
    for line in _lines(_raw_lines(path)):
        if held:
            yield held
            held = b""
        if line.endswith(DOS_END):
            held = line
        else:
            yield line
    if last := held.rstrip(DOS_END).removesuffix(b"\r"):
        yield last


def _lines(raw_lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield lines without their ends, which are carriage returns if there is no line feed at all."""
    first = next(raw_lines, b"")
    if b"\r" in first and not first.endswith(b"\n"):
        *lines, last = first.split(b"\r")
        yield from lines
        if last:
            yield last
    elif first:
        yield first.removesuffix(b"\n").removesuffix(b"\r")
    for line in raw_lines:
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def _raw_lines(path: str | Path) -> Iterator[bytes]:
    """Yield the lines of a file as UTF-8 bytes with their line feeds. See `read_byte_lines`."""
    with open_unpacked(path) as file:
        start = file.peek()[:MAGIC_BYTES]
        check_encoding(path, start)
        if start.startswith((*UTF16,)):
            for text in io.TextIOWrapper(file, "utf-16", "replace", newline="\n"):
                yield text.removeprefix("\ufeff").encode()
            return
        if MAX_ZEROS * start.count(0) > len(start):
            raise UserError(
                f"{path} looks like UTF-16 without a byte order mark, or is no text; save its text as UTF-8"
            )
        if start.startswith(codecs.BOM_UTF8):
            file.read(len(codecs.BOM_UTF8))
        while line := file.readline(MAX_LINE):
            if len(line) == MAX_LINE:
                raise UserError(f"{path} has a line of more than {MAX_LINE >> 20} MiB; text needs a sentence a line")
            yield line


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
        raise UserError(
            f"{path}, line {number:,} is not UTF-8; convert the file, for example with `iconv -f WINDOWS-1252 -t UTF-8`"
        ) from None
