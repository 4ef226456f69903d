"""Lines of text files and streams: decompressed, as UTF-8, and in batches that do not wait while there are lines."""

from __future__ import annotations

import codecs
import io
import re
import select
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from dragoman.runtime.errors import UserError

READ_SIZE = 1 << 16  # bytes that are read at once
BATCH_BYTES = 1 << 20  # a batch with more has no further line, which bounds the memory that long lines take
START_SIZE = 10  # bytes by which the formats below are recognised

# First bytes of files that hold no plain text, and advice.
REFUSED = {
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; decompress it, or use gzip, bzip2 or xz",
    b"PK\x03\x04": "is a zip archive, or a document that is one; unpack it, or save it as plain text",
    b"%PDF-": "is a PDF file; save it as plain text",
    codecs.BOM_UTF32_LE: "is UTF-32; save it as UTF-8",
    codecs.BOM_UTF32_BE: "is UTF-32; save it as UTF-8",
}
_NO_TEXT = {"Cc", "Cn", "Co", "Cs"}  # Unicode categories of characters that no plain text holds
UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def unpacker(start: bytes) -> Callable[[BinaryIO], BinaryIO] | None:
    """Return a function that decompresses a file with these first bytes, or None if it is not compressed."""
    # Imported here, because a command without compressed files does not need them.
    if start.startswith(b"\x1f\x8b"):
        import gzip

        return lambda file: cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if re.match(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", start):
        import bz2

        return lambda file: cast(BinaryIO, bz2.BZ2File(file))
    if start.startswith(b"\xfd7zXZ\0"):
        import lzma

        return lambda file: cast(BinaryIO, lzma.LZMAFile(file))
    return None


class Continued(io.RawIOBase):
    """A stream of bytes whose start was read already, and is given again."""

    def __init__(self, start: bytes, stream: BinaryIO) -> None:
        self._start, self._stream = start, stream

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # a buffer has no type before 3.12
        """Read the rest of the start, or else from the stream, and return the number of bytes."""
        size = len(buffer)
        data, self._start = self._start[:size], self._start[size:]
        data = data or _read_some(self._stream, size)
        buffer[: len(data)] = data
        return len(data)


def _read_some(stream: BinaryIO, size: int) -> bytes:
    """Return up to `size` bytes that one read gives, without waiting for more; empty at the end."""
    return stream.read1(size) if isinstance(stream, io.BufferedIOBase) else stream.read(size)


def utf8_chunks(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield a text as UTF-8 bytes: decompressed, without a byte order mark, and from UTF-16 if there is such a mark.

    Bytes that are no text in the encoding stay invalid UTF-8. Raises UserError, which begins with `name`, for another
    format or encoding, and for any error while the stream is read.
    """
    try:
        start = b""
        while len(start) < START_SIZE and b"\n" not in start:
            if not (data := _read_some(stream, READ_SIZE)):
                break
            start += data
        chunks = iter(lambda: _read_some(stream, READ_SIZE), b"")
        if unpack := unpacker(start):
            unpacked = unpack(cast(BinaryIO, io.BufferedReader(Continued(start, stream))))
            start = _read_some(unpacked, READ_SIZE)
            chunks = iter(lambda: _read_some(unpacked, READ_SIZE), b"")
        yield from _transcode(start, chunks, name)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
    except Exception as error:
        if type(error).__name__ == "LZMAError":  # its module is not imported before it is needed
            raise UserError(f"cannot read {name}: {error}") from None
        raise


def _transcode(start: bytes, chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Yield the UTF-8 of a decompressed text, given its start and the chunks that follow."""
    if advice := next((advice for magic, advice in REFUSED.items() if start.startswith(magic)), ""):
        raise UserError(f"{name} {advice}")
    if start[257:262] == b"ustar":
        raise UserError(f"{name} is a tar archive; unpack it, and give one of its files")
    if encoding := UTF16.get(start[:2]):
        decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        yield decoder.decode(start[2:]).encode("utf-8", "surrogatepass")
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
        if decoder.getstate()[0]:  # half a character at the end
            yield b"\xff"
        return
    if not start.startswith(codecs.BOM_UTF8) and is_utf16(start):
        raise UserError(f"{name} looks like UTF-16 without a byte order mark; save it as UTF-8")
    yield start.removeprefix(codecs.BOM_UTF8)
    yield from chunks


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
