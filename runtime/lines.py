"""Lines of text files and streams: decompressed, as UTF-8, and in batches that do not wait while there are lines."""

from __future__ import annotations

import codecs
import io
import select
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dragoman.runtime.compression import Decompressed, method_of
from dragoman.runtime.errors import UserError
from dragoman.runtime.foreign import check_start

READ_SIZE = 1 << 16  # bytes that are read at once
BATCH_BYTES = 1 << 20  # a batch with more has no further line, which bounds the memory that long lines take
START_SIZE = 10  # bytes by which the formats below are recognised

REMEDY = "give plain text in UTF-8, perhaps compressed with gzip, bzip2 or xz"
ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # the first bytes of an archive, and of one without members
_NO_TEXT = {"Cc", "Cn", "Co", "Cs"}  # Unicode categories of characters that no plain text holds
UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Rejoined(io.RawIOBase):
    """A stream with the bytes that were read from its start put back. A pipe cannot be rewound."""

    def __init__(self, start: bytes, rest: BinaryIO | io.BufferedIOBase) -> None:
        self._start, self._rest = start, rest

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # a buffer has no type before 3.12
        """Fill a buffer, at first with the start, and return the number of bytes."""
        view = memoryview(buffer)
        data = self._start or _read_some(self._rest, len(view))
        self._start = data[len(view) :]
        data = data[: len(view)]
        view[: len(data)] = data
        return len(data)


def _read_some(stream: BinaryIO | io.BufferedIOBase | io.RawIOBase, size: int) -> bytes:
    """Return up to `size` bytes that one read gives, without waiting for more; empty at the end."""
    return stream.read1(size) if isinstance(stream, io.BufferedIOBase) else stream.read(size)


def _read_start(stream: BinaryIO | io.RawIOBase) -> bytes:
    """Return the start of a stream: START_SIZE bytes or more, unless there is a line feed before."""
    start = b""
    while len(start) < START_SIZE and b"\n" not in start and (data := _read_some(stream, READ_SIZE)):
        start += data
    return start


def utf8_chunks(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield a text as UTF-8 bytes: decompressed, without a byte order mark, and from UTF-16 if there is such a mark.

    Bytes that are no text in the encoding stay invalid UTF-8. Raises UserError, with `name`, for another format or
    encoding, and for any error while the stream is read.
    """
    source: BinaryIO | io.RawIOBase = stream
    try:
        start = _read_start(stream)
        if method := method_of(start):
            source = Decompressed(io.BufferedReader(Rejoined(start, stream)), method, name)
            start = _read_start(source)
        yield from _transcode(start, iter(lambda: _read_some(source, READ_SIZE), b""), name)
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror or error}") from None


def _transcode(start: bytes, chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Yield the UTF-8 of a decompressed text, given its start and the chunks that follow."""
    check_start(name, start, REMEDY)
    if start.startswith(ZIP):
        raise UserError(f"{name} is a zip archive, or a document that is one; unpack it, or save it as plain text")
    check_encoding(name, start)
    if encoding := UTF16.get(start[:2]):
        decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        yield decoder.decode(start[2:]).encode("utf-8", "surrogatepass")
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
        if decoder.getstate()[0]:  # half a character at the end
            yield b"\xff"
        return
    yield start.removeprefix(codecs.BOM_UTF8)
    yield from chunks


def check_encoding(name: str | Path, start: bytes) -> None:
    """Raise UserError if the start of a text is UTF-32, or UTF-16 without a byte order mark."""
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise UserError(f"{name} is UTF-32; save it as UTF-8")
    if not start.startswith((codecs.BOM_UTF8, *UTF16)) and is_utf16(start):
        raise UserError(f"{name} looks like UTF-16 without a byte order mark; save it as UTF-8")


def is_utf16(start: bytes) -> bool:
    """Return True if the start of a text without a byte order mark is UTF-16.

    It then has zero bytes. Decoded, its line feeds are line feeds, and it has only assigned characters.
    """
    zeros = start.count(0)
    if len(start) < 4 or not zeros:
        return False
    for encoding in UTF16.values():
        text = start[: len(start) // 2 * 2].decode(encoding, "replace").removesuffix("\ufffd")  # half a pair
        probable = "\n" in text if b"\n" in start else 4 * zeros >= len(start)
        if probable and not any(c == "\ufffd" or unicodedata.category(c) in _NO_TEXT for c in {*text} - {*"\t\n\r"}):
            return True
    return False


def read_line_batches(stream: BinaryIO, max_lines: int, name: str = "standard input") -> Iterator[list[bytes]]:
    """Yield the lines of a stream in lists of at most `max_lines`, without waiting while there are lines.

    Lines end at line feeds alone; a carriage return before one belongs to it. The last line need not end in one. See
    `utf8_chunks` for the encodings.
    """
    chunks = utf8_chunks(stream, name)
    lines: list[bytes] = []
    unfinished: list[bytes] = []  # the beginning of a line whose end has not been read
    size = 0
    while True:
        if lines and not _is_ready(stream):
            yield lines
            lines, size = [], 0
        if (data := next(chunks, None)) is None:
            break
        unfinished.append(data)
        if b"\n" not in data:
            continue
        *finished, last = b"".join(unfinished).split(b"\n")
        unfinished = [last]
        for line in finished:
            lines.append(line.removesuffix(b"\r"))
            size += len(line)
            if len(lines) == max_lines or size > BATCH_BYTES:
                yield lines
                lines, size = [], 0
    if last := b"".join(unfinished):
        lines.append(last.removesuffix(b"\r"))
    if lines:
        yield lines


def _is_ready(stream: BinaryIO) -> bool:
    """Return True if a read returns at once. Without select support: True unless the stream is a terminal."""
    try:
        return bool(select.select([stream], [], [], 0)[0])
    except (OSError, ValueError, TypeError):  # the stream has no file number, or is no socket on Windows
        return not stream.isatty()
