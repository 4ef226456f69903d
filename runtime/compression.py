"""Decompression of gzip, bzip2 and xz streams. Data that is damaged, truncated or excessive is an error."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from dragoman.runtime.errors import UserError

BLOCK = 1 << 16  # bytes read from a compressed stream at once

# Text shrinks to a fourth, and the most repetitive translation memory to a fiftieth. Data that expands more, and to
# more than FREE_BYTES, was made to fill the disk or the memory of whoever reads it.
MAX_EXPANSION, FREE_BYTES = 200, 1 << 28

ENDINGS = (".gz", ".xz", ".bz2")  # of compressed files


class Decompressor(Protocol):
    """One member of a compressed stream, with the interface of the standard library's bz2 and lzma."""

    @property
    def eof(self) -> bool:
        """True once the end of the member was read."""

    @property
    def needs_input(self) -> bool:
        """True if `decompress` returns no more without further data."""

    @property
    def unused_data(self) -> bytes:
        """The data after the end of the member."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return at most `max_length` bytes."""


class GzipMember:
    """One member of a gzip stream. zlib checks its length and its CRC."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._has_more = False  # zlib may hold decompressed data although it has consumed its input

    @property
    def eof(self) -> bool:
        """See `Decompressor`."""
        return self._member.eof

    @property
    def needs_input(self) -> bool:
        """See `Decompressor`."""
        return not (self._member.unconsumed_tail or self._has_more)

    @property
    def unused_data(self) -> bytes:
        """See `Decompressor`."""
        return self._member.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """See `Decompressor`."""
        result = self._member.decompress(self._member.unconsumed_tail + data, max_length)
        self._has_more = len(result) == max_length
        return result


def _bzip2_member() -> Decompressor:
    import bz2  # some builds of Python lack it

    return bz2.BZ2Decompressor()


def _xz_member() -> Decompressor:
    import lzma  # some builds of Python lack it

    return lzma.LZMADecompressor(lzma.FORMAT_XZ)


class Method(NamedTuple):
    """A compression method."""

    name: str
    magic: re.Pattern[bytes]  # the first bytes of a stream
    new_member: Callable[[], Decompressor]


METHODS = (
    Method("gzip", re.compile(rb"\x1f\x8b"), GzipMember),
    Method("bzip2", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), _bzip2_member),
    Method("xz", re.compile(rb"\xfd7zXZ\0"), _xz_member),
)


def method_of(start: bytes) -> Method | None:
    """Return the method that a stream is compressed with, by its first bytes, or None."""
    return next((method for method in METHODS if method.magic.match(start)), None)


def without_compression(name: str) -> str:
    """Return a file's name without the ending of a compression format."""
    ending = next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def check_expansion(path: str | Path, compressed: int, decompressed: int) -> None:
    """Raise UserError if data expands so much that it cannot be text."""
    if decompressed > max(FREE_BYTES, MAX_EXPANSION * compressed):
        raise UserError(
            f"{path} expands to more than {MAX_EXPANSION} times its size, {decompressed >> 20:,} MiB or more; that is "
            "no text but a decompression bomb"
        )


class Decompressed(io.RawIOBase):
    """The decompressed bytes of all members of a stream. The standard library ignores what follows a bzip2 member."""

    def __init__(self, file: io.BufferedIOBase, method: Method, path: str | Path) -> None:
        """`path` is the name of the stream in errors."""
        self.file, self.method, self.path = file, method, path
        self.member = method.new_member()
        self.bytes_in = self.bytes_out = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # a buffer has no type before 3.12
        """Fill a buffer. Raises UserError for damaged, truncated or excessive data."""
        view = memoryview(buffer)
        data = self._read_some(len(view))
        view[: len(data)] = data
        self.bytes_out += len(data)
        check_expansion(self.path, self.bytes_in, self.bytes_out)
        return len(data)

    def _read_some(self, size: int) -> bytes:
        """Return up to `size` bytes, at least one before the end."""
        data = b""
        while not data:
            block = b""
            if self.member.eof:
                # Streams may be concatenated, with zeros between them.
                block = self.member.unused_data.lstrip(b"\0")
                while not block:
                    if not (read := self._read_block()):
                        return b""
                    block = read.lstrip(b"\0")
                self.member = self.method.new_member()
            elif self.member.needs_input:
                block = self._read_block()
                if not block:
                    raise UserError(f"cannot read {self.path}: its {self.method.name} data is truncated")
            try:
                data = self.member.decompress(block, size)
            except Exception as error:  # the errors of zlib, bz2 and lzma have no common base class
                raise UserError(f"cannot read {self.path}: its {self.method.name} data is damaged ({error})") from None
        return data

    def _read_block(self) -> bytes:
        block = self.file.read1(BLOCK)
        self.bytes_in += len(block)
        return block
