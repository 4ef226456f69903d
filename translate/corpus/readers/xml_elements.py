"""Elements of XML translation formats (TMX, XLIFF), one at a time."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast
from xml.etree import ElementTree

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.readers.declared_encodings import ascii_superset
from dragoman.translate.corpus.readers.lines import open_unpacked

LANGUAGE_ATTRIBUTE = "{http://www.w3.org/XML/1998/namespace}lang"

# The character that stands for each byte of what XML does not allow. It is a control character that XML allows, so the
# cleaning of a corpus drops and counts the texts that have it.
_DELETE = b"\x7f"

_FORBIDDEN_BYTES = bytes(range(0x09)) + b"\x0b\x0c" + bytes(range(0x0E, 0x20))
_DELETE_FORBIDDEN = bytes.maketrans(_FORBIDDEN_BYTES, _DELETE * len(_FORBIDDEN_BYTES))

# References to characters by number; and U+FFFE, U+FFFF and surrogates in UTF-8.
_SUSPICIOUS = re.compile(
    rb"&#(?:x([0-9A-Fa-f]{1,12})|([0-9]{1,12}));|\xef\xbf[\xbe\xbf]|\xed[\xa0-\xbf][\x80-\xbf]", re.DOTALL
)
_INCOMPLETE = re.compile(rb"(?:&[#xX0-9A-Fa-f]{0,14}|\xef\xbf?|\xed[\xa0-\xbf]?)\Z")  # at the end of a chunk

_DECLARED_ENCODING = re.compile(rb"""\A\s*<\?xml\b[^>]{0,200}?(\sencoding\s*=\s*["']([^"'>]*)["'])""")

_CHUNK = 1 << 16  # bytes


def iterate_elements(path: Path, *names: str) -> Iterator[tuple[ElementTree.Element, list[ElementTree.Element]]]:
    """Yield each element with one of the names, and its ancestors from the root down. Memory holds one at a time.

    Characters that XML does not allow, such as U+0001, become U+007F. Raises UserError with the line for broken XML.
    Python's parser fetches nothing and limits how much entities expand.
    """
    ancestors: list[ElementTree.Element] = []
    with open_unpacked(path) as file:
        try:
            for event, element in _events(_allowed(_as_utf8(path, file))):
                if event == "start":
                    ancestors.append(element)
                    continue
                ancestors.pop()
                if local_name(element) in names:
                    yield element, ancestors
                    if ancestors:
                        del ancestors[-1][:]
        except ElementTree.ParseError as error:
            line, column = error.position
            raise UserError(
                f"{path}, line {line}, column {column + 1}: broken XML: {str(error).partition(':')[0]}"
            ) from None
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} has text that is not {error.encoding}, its encoding; convert it to UTF-8"
            ) from None


def local_name(element: ElementTree.Element) -> str:
    """Return an element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def _events(chunks: Iterable[bytes]) -> Iterator[tuple[str, ElementTree.Element]]:
    """Yield the starts and ends of the elements of a document."""
    parser: ElementTree.XMLPullParser[ElementTree.Element] = ElementTree.XMLPullParser(("start", "end"))
    for chunk in chunks:
        parser.feed(chunk)
        yield from cast(Iterator[tuple[str, ElementTree.Element]], parser.read_events())
    parser.close()
    yield from cast(Iterator[tuple[str, ElementTree.Element]], parser.read_events())


def _as_utf8(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a file in UTF-8, and blank a declaration of another encoding.

    Bytes that are declared as UTF-8 stay as they are, because the parser names the line of those that are not. Raises
    UserError for an unknown encoding.
    """
    chunk = file.read(_CHUNK)
    wide = _wide_encoding(chunk)
    declaration = _DECLARED_ENCODING.search(chunk.removeprefix(codecs.BOM_UTF8))
    name = declaration[2].decode("latin-1") if declaration else "utf-8"
    encoding = wide or ascii_superset(name)
    if name.lower().startswith(("utf-16", "utf16")) and not wide:  # converted, but the declaration was left
        encoding = "utf-8"
    if encoding is None:
        raise UserError(f"cannot read {path}: unknown encoding {name!r}; convert it to UTF-8")
    if chunk.startswith(codecs.BOM_UTF8) or encoding in {"utf-8", "ascii"}:
        yield _without_encoding(chunk)
        while chunk := file.read(_CHUNK):
            yield chunk
        return
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass" if wide else "strict")
    start = decoder.decode(chunk).removeprefix("\ufeff").encode("utf-8", "surrogatepass")
    yield _without_encoding(start)
    while chunk := file.read(_CHUNK):
        yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _wide_encoding(start: bytes) -> str | None:
    """Return the encoding of a document in UTF-16, by its first bytes."""
    for encoding, prefixes in (
        ("utf-16-le", (codecs.BOM_UTF16_LE, b"<\0")),
        ("utf-16-be", (codecs.BOM_UTF16_BE, b"\0<")),
    ):
        if start.startswith(prefixes):
            return encoding
    return None


def _without_encoding(start: bytes) -> bytes:
    """Blank the encoding in the XML declaration, so that the parser takes the text for UTF-8."""
    bom = codecs.BOM_UTF8 if start.startswith(codecs.BOM_UTF8) else b""
    start = start.removeprefix(bom)
    if declaration := _DECLARED_ENCODING.search(start):
        begin, end = declaration.span(1)
        start = start[:begin] + b" " * (end - begin) + start[end:]
    return bom + start


def _allowed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield UTF-8 with U+007F for each byte of characters that XML does not allow, as text or as references."""
    rest = b""
    for chunk in chunks:
        chunk = rest + chunk.translate(_DELETE_FORBIDDEN)
        incomplete = _INCOMPLETE.search(chunk, max(0, len(chunk) - 16))
        end = incomplete.start() if incomplete else len(chunk)
        chunk, rest = chunk[:end], chunk[end:]
        if b"&#" in chunk or b"\xef\xbf" in chunk or b"\xed" in chunk:
            chunk = _SUSPICIOUS.sub(_delete_forbidden, chunk)
        yield chunk
    yield rest


def _delete_forbidden(match: re.Match[bytes]) -> bytes:
    hexadecimal, decimal = match.groups()
    if hexadecimal or decimal:
        code = int(hexadecimal, 16) if hexadecimal else int(decimal)
        if code in {0x9, 0xA, 0xD} or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code < 0x110000:
            return match[0]
    return _DELETE * len(match[0])
