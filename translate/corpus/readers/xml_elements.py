"""Elements of XML translation formats (TMX, XLIFF), one at a time."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast
from xml.etree import ElementTree
from xml.parsers.expat import errors

from dragoman.runtime.errors import UserError
from dragoman.runtime.wording import counted
from dragoman.translate.corpus.readers.declared_encodings import ascii_superset
from dragoman.translate.corpus.readers.legacy_encodings import SAMPLE_LINES, iconv_advice
from dragoman.translate.corpus.readers.lines import DOS_END, open_unpacked, read_byte_lines

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

# An ampersand that begins no reference, as in `AT&T`; and parts in which an ampersand is one, with their ends.
_BARE_AMPERSAND = re.compile(rb"&(?!(?:#[0-9]+|#x[0-9A-Fa-f]+|[A-Za-z_:\x80-\xff][\w:.\x80-\xff-]*);)")
_LITERAL = re.compile(rb"<!--|<!\[CDATA\[|<\?")
_LITERAL_ENDS = {b"<!--": b"-->", b"<![CDATA[": b"]]>", b"<?": b"?>"}
_UNCERTAIN = re.compile(rb"(?:&[\w:.#\x80-\xff-]{0,99}|<(?:!(?:-|\[[CDAT]{0,5})?)?)\Z")  # at the end of a chunk

# Plain words for the errors of the parser that users meet, and what to do about each.
_TRUNCATED = "it ends before its last element does, as if truncated; get the whole file again"
_PROBLEMS = {
    errors.XML_ERROR_INVALID_TOKEN: "a character stands where XML does not allow it; write `<` in text as `&lt;`, and "
    "put attributes in quotation marks",
    errors.XML_ERROR_UNCLOSED_TOKEN: "it ends inside a tag, as if truncated; get the whole file again",
    errors.XML_ERROR_UNCLOSED_CDATA_SECTION: _TRUNCATED,
    errors.XML_ERROR_TAG_MISMATCH: "an end tag does not match the last start tag that is open; correct one of them",
    errors.XML_ERROR_DUPLICATE_ATTRIBUTE: "a tag has the same attribute twice; remove one",
    errors.XML_ERROR_UNDEFINED_ENTITY: "undefined entity; write the character itself",
    errors.XML_ERROR_UNBOUND_PREFIX: "a name has a prefix without a declaration (xmlns); declare it, or remove it",
    errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT: "there is more after the end of its only element; remove it, or split the "
    "file if two were joined",
    errors.XML_ERROR_MISPLACED_XML_PI: "the declaration `<?xml ...?>` is not at the start of the file; remove what is "
    "before it, or split the file if two were joined",
}


def iterate_elements(
    path: Path, *names: str, languages: Sequence[str] = (), log: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[ElementTree.Element, list[ElementTree.Element]]]:
    """Yield each element with one of the names, and its ancestors from the root down. Memory holds one at a time.

    Characters that XML does not allow, such as U+0001, become U+007F. An ampersand that begins no entity is text, and
    `log` receives their number. `languages` are those of the text, for a guess at its encoding.

    Raises UserError with the line for broken XML. Python's parser fetches nothing and limits how much entities expand.
    """
    ancestors: list[ElementTree.Element] = []
    ampersands = _Ampersands()
    is_empty = True
    with open_unpacked(path) as file:
        try:
            for event, element in _events(ampersands.escape(_allowed(_without_dos_end(_as_utf8(path, file))))):
                is_empty = False
                if event == "start":
                    ancestors.append(element)
                    continue
                ancestors.pop()
                if local_name(element) in names:
                    yield element, ancestors
                    if ancestors:
                        del ancestors[-1][:]
        except ElementTree.ParseError as error:
            if error.code == errors.codes[errors.XML_ERROR_INVALID_TOKEN]:
                _check_utf8(path, languages)
            line, column = error.position
            raise UserError(
                f"{path}, line {line:,}, column {column + 1:,}: broken XML: {_problem(error, is_empty)}"
            ) from None
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} has text that is not {error.encoding}, its encoding; convert it to UTF-8"
            ) from None
    if ampersands.count:
        log(f"{path}: {counted(ampersands.count, 'ampersand')} without `amp;` taken for text")


def _problem(error: ElementTree.ParseError, is_empty: bool) -> str:
    """Return an error of the parser in plain words. `is_empty`: no element began before it."""
    message = errors.messages.get(error.code, str(error).partition(":")[0])
    if message == errors.XML_ERROR_NO_ELEMENTS:
        return "it has no element, as if it were empty; get the whole file again" if is_empty else _TRUNCATED
    return _PROBLEMS.get(message, message)


def _check_utf8(path: Path, languages: Sequence[str]) -> None:
    """Raise UserError if lines of a file that must be UTF-8 are not."""
    sample: list[bytes] = []
    first = 0
    for number, line in enumerate(read_byte_lines(path), 1):
        try:
            line.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            first = first or number
            sample.append(line)
            if len(sample) == SAMPLE_LINES:
                break
    if sample:
        advice = iconv_advice(path, sample, languages, "It looks")
        raise UserError(f"{path}, line {first:,} is not UTF-8, the encoding of the file.{advice}")


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


def _without_dos_end(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a document without the marks DOS_END after its last element."""
    rest = b""
    for chunk in chunks:
        chunk = rest + chunk
        end = len(chunk.rstrip(DOS_END + b" \t\r\n"))
        yield chunk[:end]
        rest = chunk[end:]
    yield rest.replace(DOS_END, b"")


class _Ampersands:
    """A filter that escapes the ampersands in a document that begin no reference, and their number."""

    def __init__(self) -> None:
        self.count = 0

    def escape(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield UTF-8 with `&amp;` for such ampersands, but not in comments, CDATA and processing instructions."""
        rest, literal_end = b"", b""
        for chunk in chunks:
            data, position = rest + chunk, 0
            rest = b""
            while position < len(data):
                if literal_end:
                    end = data.find(literal_end, position)
                    if end < 0:  # the end may be cut
                        end = max(position, len(data) - len(literal_end) + 1)
                        rest = data[end:]
                        yield data[position:end]
                        break
                    end += len(literal_end)
                    yield data[position:end]
                    position, literal_end = end, b""
                    continue
                literal = _LITERAL.search(data, position)
                if literal:
                    literal_end, end = _LITERAL_ENDS[literal[0]], literal.end()
                else:
                    uncertain = _UNCERTAIN.search(data, max(position, len(data) - 100))
                    end = uncertain.start() if uncertain else len(data)
                    rest = data[end:]
                yield self._escaped(data[position:end])
                if not literal:
                    break
                position = end
        yield self._escaped(rest) if not literal_end else rest

    def _escaped(self, data: bytes) -> bytes:
        if b"&" not in data:
            return data
        data, count = _BARE_AMPERSAND.subn(b"&amp;", data)
        self.count += count
        return data


def _delete_forbidden(match: re.Match[bytes]) -> bytes:
    hexadecimal, decimal = match.groups()
    if hexadecimal or decimal:
        code = int(hexadecimal, 16) if hexadecimal else int(decimal)
        if code in {0x9, 0xA, 0xD} or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code < 0x110000:
            return match[0]
    return _DELETE * len(match[0])
