"""Parsers of gettext's catalogues: PO, as msgfmt reads it, and MO.

The libraries with a permissive licence refuse PO files that msgfmt accepts, or read other texts. gettext's manual
describes both formats ("The Format of PO Files", "The Format of GNU MO Files"). msgfmt itself shows the details of PO,
such as flags after `#!`; tests compare this parser with it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dragoman.runtime.documents.po import ESCAPED, FIRST, FOLLOWING
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.readers.declared_encodings import ascii_superset
from dragoman.translate.corpus.readers.legacy_encodings import SAMPLE_LINES, iconv_advice
from dragoman.translate.corpus.readers.lines import DOS_END, read_bytes

MO_MAGIC = (b"\xde\x12\x04\x95", b"\x95\x04\x12\xde")

CONTEXT_END = "\x04"  # separates a message from its context in MO files

FUZZY, OBSOLETE = "a fuzzy message, which is not finished", "an obsolete message"

_OBSOLETE = re.compile(r'^\#~[ \t]*msgid[ \t]*((?:"[^\n]*"[ \t\r]*(?:\n\#~[ \t]*(?="))?)+)', re.MULTILINE)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')

_TOKEN = re.compile(
    r"""(?P<blank> [ \t\r\v\f]+ )
    | (?P<end> \n )                            # of a line
    | (?P<previous> \#~?\| [^\n]* )            # the source text before it changed
    | (?P<obsolete> \#~ )                      # marks the rest of the line
    | \# (?P<comment> [^\n]* )
    | " (?P<text> [^"\\\n]* (?: \\. [^"\\\n]* )* ) "
    | (?P<unclosed> " [^\n]* )
    | (?P<index> \[ [ \t\r\v\f\n]* [0-9]+ [ \t\r\v\f\n]* \] )
    | (?P<solaris> domain [ \t]+ [^"\s]+ )     # the name of a domain without quotation marks
    | (?P<keyword> [A-Za-z_]+ )
    | (?P<other> . )""",
    re.VERBOSE,
)

_FLAGS_SEPARATOR = re.compile(r"[ \t\r\v\f,]+")

_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]+)|(.))", re.DOTALL)
_END = re.compile(DOS_END + rb"[\x1a\r\n]*\Z")
_CR_COMMENT = re.compile(rb"(?:\A|\r)#")
_UNDECODED = re.compile("[\udc80-\udcff]")  # bytes that `surrogateescape` carries

_CHARSET = re.compile(r"charset=([\w.:-]+)", re.IGNORECASE)


class Message(NamedTuple):
    """A message and its translations: none if it has no finished one, and several if it has plural forms."""

    context: str | None
    source: str
    plural: str | None
    translations: tuple[str, ...]
    problem: str = ""  # the reason why it is not used: not finished, obsolete, or its texts are not certain


@dataclass(frozen=True)
class Catalogue:
    """The header of a catalogue, by field name in lower case, and its messages."""

    header: dict[str, str]
    messages: list[Message]


class _Statement(NamedTuple):
    """A keyword of a PO file, its raw text with escapes, and the number of its line."""

    keyword: str
    text: list[str]
    line: int
    is_fuzzy: bool  # a comment before it says that the translation needs work


class _WrongEncoding(ValueError):
    """A text that is not in the encoding that its catalogue declares."""


def read_catalogue(path: Path, languages: Sequence[str] = ()) -> Catalogue:
    """Return the messages of a PO or MO file. Raises UserError, which says where, if it is damaged.

    Fuzzy and obsolete messages, which msgfmt leaves out, have no translation and a problem. `languages` are those of
    the texts, for a guess at their encoding.
    """
    data = read_bytes(path)
    try:
        messages = [*(_parse_mo(data) if data[:4] in MO_MAGIC else _parse_po(data))]
    except _WrongEncoding as error:
        raise UserError(f"{path}, {error}{_encoding_advice(path, data, languages)}") from None
    except ValueError as error:
        raise UserError(f"{path} is not a valid gettext catalogue: {error}") from None
    header = next((_header_text(message) for message in messages if _is_header(message)), "")
    fields = (line.partition(":") for line in header.split("\n"))
    return Catalogue(
        {name.strip().lower(): value.strip() for name, _, value in fields},
        [message for message in messages if not _is_header(message)],
    )


def _encoding_advice(path: Path, data: bytes, languages: Sequence[str]) -> str:
    """Return the encoding that a PO file looks like if it declares UTF-8, or "" for other encodings and MO files."""
    if data[:4] in MO_MAGIC or _declared_encoding(data) != "utf-8":
        return ""
    lines = []
    for line in data.split(b"\n"):
        try:
            line.decode()
        except UnicodeDecodeError:
            lines.append(line)
    return "." + iconv_advice(path, lines[:SAMPLE_LINES], languages, "It looks")


def _is_header(message: Message) -> bool:
    return message.context is None and message.source == ""


def _header_text(message: Message) -> str:
    return message.translations[0] if message.translations else ""


def _encoding_of(header: str) -> str:
    """Return the encoding that a header declares, or UTF-8 if Python does not know it as a superset of ASCII."""
    declared = _CHARSET.search(header)
    return (ascii_superset(declared[1]) if declared else None) or "utf-8"


def _parse_po(data: bytes) -> Iterator[Message]:
    """Yield the messages of a PO file, the header among them even if it is fuzzy, and then the obsolete ones.

    Byte order marks and ends of lines of the classic Mac are read, too, although msgfmt rejects them.
    """
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if is_utf16:
        data = data.decode("utf-16").encode()
    data = _END.sub(b"", data.removeprefix(codecs.BOM_UTF8))
    if b"\n" not in data and _CR_COMMENT.search(data):  # elsewhere, msgfmt takes CR for a space
        data = data.replace(b"\r", b"\n")
    encoding = "utf-8" if is_utf16 else _declared_encoding(data)
    # Comments may be in any encoding, as in msgfmt. `_unescape` finds the surrogates in texts.
    text = data.decode(encoding, "surrogateescape")
    yield from _messages(text, encoding)
    for match in _OBSOLETE.finditer(text):
        if source := "".join(_STRING.findall(match[1])):  # otherwise it is a header
            yield Message(None, source.encode("utf-8", "replace").decode(), None, (), OBSOLETE)


def _declared_encoding(data: bytes) -> str:
    """Return the encoding that the header of a PO file declares."""
    # ISO 8859-1 has a character for each byte, so it shows the header of a file whose encoding is not known yet.
    text = data.decode("latin-1")
    try:
        header = next((_header_text(m) for m in _messages(text, "latin-1") if _is_header(m)), "")
    except ValueError:
        header = text  # a character's second byte may look like a backslash
    return _encoding_of(header)


def _messages(text: str, encoding: str) -> Iterator[Message]:
    """Yield the messages of a PO file but for obsolete ones. Raises ValueError if it does not follow the grammar."""
    statements: list[_Statement] = []  # of the current message
    previous = _Statement("", [], 1, False)
    for statement in _statements(text):
        if statement.keyword not in FOLLOWING[previous.keyword]:
            after = f"after {previous.keyword}" if previous.keyword else "at the beginning"
            raise ValueError(f"line {statement.line:,} has {statement.keyword} {after}")
        if statement.keyword in FIRST and previous.keyword != "msgctxt":
            yield from _message(statements, encoding)
            statements = []
        statements.append(statement)
        previous = statement
    if "domain" not in FOLLOWING[previous.keyword]:
        raise ValueError(
            f"it ends after {previous.keyword} in line {previous.line:,}, without a translation, as if truncated"
        )
    yield from _message(statements, encoding)


def _message(statements: list[_Statement], encoding: str) -> Iterator[Message]:
    """Yield the message that its statements make, without a translation if it is fuzzy. A fuzzy header counts."""
    texts: dict[str, list[str]] = {}
    problem = ""
    for statement in statements:
        text, text_problem = _unescape_all(statement, encoding)
        texts.setdefault(statement.keyword, []).append(text)
        problem = problem or text_problem
    if "msgid" not in texts:  # nothing, or the name of a domain
        return
    source, (context,), (plural,) = texts["msgid"][0], texts.get("msgctxt", [None]), texts.get("msgid_plural", [None])
    translations = texts.get("msgstr") or texts["msgstr[]"]
    message = Message(context, source, plural, tuple(translations) if translations[0] else (), problem)
    is_fuzzy = any(statement.is_fuzzy for statement in statements) and not _is_header(message)
    if not is_fuzzy:
        yield message
    elif message.translations:
        yield message._replace(translations=(), problem=FUZZY)


def _statements(text: str) -> Iterator[_Statement]:
    """Yield the keywords of a PO file with their texts, without comments and obsolete messages."""
    statement: _Statement | None = None
    line, is_obsolete, is_fuzzy = 1, False, False
    text = text.replace("\\\n", "")  # msgfmt joins such lines before anything else, in comments, too
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "end":
            line, is_obsolete = line + 1, False
        elif kind == "obsolete":
            is_obsolete = True
        elif kind == "comment":
            if token["comment"][:1] in {",", "!"}:  # msgfmt goes by the last comment with flags
                is_fuzzy = "fuzzy" in _FLAGS_SEPARATOR.split(token["comment"][1:])
        elif is_obsolete:
            is_fuzzy = is_fuzzy and token["keyword"] != "msgstr"  # the flag was of the obsolete message
        elif kind == "keyword" and token["keyword"] in FOLLOWING:
            if statement:
                yield _checked(statement)
            statement = _Statement(token["keyword"], [], line, is_fuzzy)
            is_fuzzy = False
        elif kind == "index" and statement and statement.keyword == "msgstr" and not statement.text:
            statement = statement._replace(keyword="msgstr[]")
            line += token["index"].count("\n")
        elif kind == "text" and statement:
            statement.text.append(token["text"])
        elif kind == "unclosed":
            raise ValueError(f"line {line:,} has no closing quotation mark")
        elif kind not in {"blank", "previous", "solaris"}:
            raise ValueError(f"line {line:,} has text outside quotation marks")
    if statement:
        yield _checked(statement)


def _checked(statement: _Statement) -> _Statement:
    """Return a statement. Raises ValueError if it has no text."""
    if not statement.text:
        raise ValueError(f"line {statement.line:,} has {statement.keyword} without a text in quotation marks")
    return statement


def _unescape_all(statement: _Statement, encoding: str) -> tuple[str, str]:
    """Return the text of a statement without escapes, and the problem with it or "".

    A NUL ends each of the texts that are joined. Raises ValueError for a text that is not in the encoding.
    """
    problem = ""

    def unescape(match: re.Match[str]) -> str:
        nonlocal problem
        octal, hexadecimal, character = match.groups()
        if character is None:
            byte = (int(octal, 8) if octal else int(hexadecimal, 16)) & 0xFF  # as in C, any number of digits
            return bytes([byte]).decode("ascii", "surrogateescape")
        if character not in ESCAPED:
            problem = problem or f"an escape that gettext does not know: \\{character}"
        return ESCAPED.get(character, match[0])

    raw = "".join(statement.text)
    if _UNDECODED.search(raw):
        raise _WrongEncoding(f"line {statement.line:,} is not {encoding}, the encoding of the catalogue")
    if "\\" not in raw and "\0" not in raw:
        return raw, ""
    text = "".join(_ESCAPE.sub(unescape, part).partition("\0")[0] for part in statement.text)
    try:  # numeric escapes are bytes of the encoding
        text = text.encode(encoding, "surrogateescape").decode(encoding) if _UNDECODED.search(text) else text
    except UnicodeError:
        text, problem = text.encode("utf-8", "replace").decode(), f"escaped bytes that are not {encoding}"
    return text, problem


def _parse_mo(data: bytes) -> Iterator[Message]:
    """Yield the messages of a compiled catalogue. Raises ValueError if it is truncated.

    Two tables, of source texts and translations, hold the length and the offset of each text. A zero byte ends each
    text (gettext's manual, "The Format of GNU MO Files").
    """
    dtype = "<u4" if data[0] == 0xDE else ">u4"
    words = np.frombuffer(data[: len(data) // 4 * 4], dtype)
    if len(words) < 5:
        raise ValueError("its header is truncated")
    count, *table_offsets = (int(n) for n in words[2:5])
    sides = [_mo_texts(data, dtype, count, offset) for offset in table_offsets]
    encoding = next(
        (_encoding_of(text.decode("latin-1")) for key, text in zip(*sides, strict=True) if not key), "utf-8"
    )
    try:
        for key, text in zip(*sides, strict=True):
            context, end, texts = key.decode(encoding).rpartition(CONTEXT_END)
            source, zero, plural = texts.partition("\0")
            translations = text.decode(encoding).split("\0")
            yield Message(
                context if end else None,
                source,
                plural if zero else None,
                tuple(translations) if translations[0] else (),
            )
    except UnicodeDecodeError:
        raise _WrongEncoding(f"its texts are not {encoding}, the encoding of the catalogue") from None


def _mo_texts(data: bytes, dtype: str, count: int, table_offset: int) -> list[bytes]:
    """Return the texts of one of the two tables of a compiled catalogue."""
    if table_offset + 8 * count > len(data):
        raise ValueError(f"its tables of {count:,} texts are truncated")
    table = np.frombuffer(data, dtype, 2 * count, table_offset).astype(np.int64).reshape(-1, 2)
    ends = table.sum(1)  # length + offset
    if (ends >= len(data)).any() or np.frombuffer(data, np.uint8)[ends].any():
        raise ValueError(f"its {count:,} texts are not where its tables place them, as if truncated")
    return [data[end - length : end] for (length, _), end in zip(table.tolist(), ends.tolist(), strict=True)]
