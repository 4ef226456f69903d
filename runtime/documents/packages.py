"""Zip archives that hold a document: read with bounds, and written with some members replaced."""

from __future__ import annotations

import copy
import io
import struct
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from dragoman.runtime.documents.encoding import Encoding, declared_encoding
from dragoman.runtime.errors import UserError

try:
    from lzma import LZMAError
except ImportError:  # some builds of Python lack it
    LZMAError = zipfile.BadZipFile  # type: ignore[assignment,misc]  # then zipfile refuses such members

MAX_SIZE = 512 << 20  # bytes of all members together
MAX_PART_SIZE = 64 << 20  # bytes of a member that is parsed
MAX_RATIO = 250  # between the sizes of a large member; the XML of long tables reaches some 100
_LARGE = 4 << 20
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = 1  # a bit of the flags
_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    OSError,
    ValueError,  # includes names that are not UTF-8
    struct.error,
    zlib.error,
    LZMAError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
)
_BYTE_ORDERS = {
    b"\xff\xfe": Encoding("utf-16-le", "surrogatepass"),
    b"\xfe\xff": Encoding("utf-16-be", "surrogatepass"),
}


@dataclass(frozen=True)
class Part:
    """A part of a document that holds text.

    Attributes:
        name: Its name in the archive.
        xml: Its text.
        encoding: Its encoding.
    """

    name: str
    xml: str
    encoding: Encoding


@contextmanager
def _opened(data: bytes) -> Iterator[zipfile.ZipFile]:
    """Open an archive. Any damage that is found while it is open raises UserError."""
    if data.startswith(_OLE):
        raise UserError("the document is encrypted or has an old format; save it without a password in the new format")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield archive
    except UserError:
        raise
    except _DAMAGE as error:
        problem = "the document is no zip archive, or a damaged one"
        raise UserError(f"{problem} ({error}); save it again from the program that made it") from None


def _check(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    for name, count in Counter(member.filename for member in members).items():
        if count > 1:
            raise UserError(f"the document holds {name} {count} times; save it again from the program that made it")
    total = 0
    for member in members:
        if member.flag_bits & _ENCRYPTED:
            raise UserError(f"{member.filename} is encrypted; save the document without a password")
        total += member.file_size
        if member.file_size > max(_LARGE, MAX_RATIO * member.compress_size):
            raise UserError(
                f"{member.filename} expands to more than {MAX_RATIO} times its size, as no real document does; save "
                "the document again from the program that made it"
            )
    if total > MAX_SIZE:
        raise UserError(
            f"the document expands to {total >> 20:,} MiB; split it into documents below {MAX_SIZE >> 20} MiB"
        )


def member_names(data: bytes) -> list[str]:
    """Return the names of the members of an archive, in order. Raises UserError for one that must not be read."""
    with _opened(data) as archive:
        _check(archive)
        return archive.namelist()


def read_parts(data: bytes, names: Iterable[str]) -> tuple[Part, ...]:
    """Return XML parts of a checked archive. Raises UserError for one that is too large, or in another encoding.

    The archive is opened once: opening takes time for every member, and all members may be parts.
    """
    with _opened(data) as archive:
        return tuple(_part(archive, name) for name in names)


def _part(archive: zipfile.ZipFile, name: str) -> Part:
    if archive.getinfo(name).file_size > MAX_PART_SIZE:
        raise UserError(f"{name} is larger than {MAX_PART_SIZE >> 20} MiB; split the document")
    content = archive.read(name)  # no more than the size that is declared, and checked by its CRC
    encoding = _encoding_of(content, name)
    try:
        return Part(name, content.decode(encoding.codec, encoding.errors), encoding)
    except UnicodeDecodeError:
        problem = f"{name} has the byte order mark of {encoding.codec}, and is not in this encoding"
        raise UserError(f"{problem}; save the document again from the program that made it") from None


def write_members(data: bytes, contents: Mapping[str, bytes]) -> bytes:
    """Return an archive with the contents of some members replaced.

    All members keep their order, names, dates and kinds of compression.
    """
    output = io.BytesIO()
    with _opened(data) as archive, zipfile.ZipFile(output, "w") as written:
        _check(archive)
        for name in contents.keys() - {member.filename for member in archive.infolist()}:
            raise UserError(f"the document has no part {name}; give the name of one that it has")
        written.comment = archive.comment
        for member in archive.infolist():
            content = contents[member.filename] if member.filename in contents else archive.read(member)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on names that another program would spell differently
                written.writestr(copy.copy(member), content)
    return output.getvalue()


def _encoding_of(data: bytes, name: str) -> Encoding:
    """Return the encoding of an XML part: UTF-8, or UTF-16 with a byte order mark."""
    if encoding := _BYTE_ORDERS.get(data[:2]):
        return encoding
    declared = declared_encoding(data, "xml").lower()
    if declared not in ("", "utf-8", "utf8", "us-ascii"):
        raise UserError(f"{name} is in the encoding {declared}; save the document with parts in UTF-8")
    return Encoding()
