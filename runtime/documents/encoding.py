"""Text encodings of documents: from bytes to text and back. Every byte that is not translated stays as it was."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from dragoman.runtime.errors import UserError

# Byte order marks, which stay in the text. That of UTF-32 LE begins like that of UTF-16 LE, so it comes first.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_DECLARED = {
    "html": re.compile(rb"<meta[^>]*\scharset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE),
    "xml": re.compile(rb"^(?:\xef\xbb\xbf)?<\?xml[^>]*\sencoding\s*=\s*[\"']([\w.:-]+)"),
    "po": re.compile(rb"\"Content-Type:[^\"]*charset=([\w.:-]+)"),
}
_START = 8192  # bytes in which an encoding is declared


@dataclass(frozen=True)
class Encoding:
    """The encoding of a document.

    Attributes:
        codec: Name of the codec for Python.
        errors: Its error handler. `surrogateescape` keeps bytes that are not UTF-8. `surrogatepass` keeps lone
            surrogates of UTF-16.
        references: True if a character that the codec lacks may be written as `&#1234;`.
    """

    codec: str = "utf-8"
    errors: str = "surrogateescape"
    references: bool = False

    def encode(self, text: str) -> bytes:
        """Return a text as bytes. Raise UnicodeEncodeError if the encoding lacks a character."""
        return text.encode(self.codec, self.errors)

    def fit(self, text: str) -> str | None:
        """Return the spelling of a translated segment as the encoding can hold it, or None if it cannot.

        Copied tags may hold bytes that are not UTF-8, which stay as they are.
        """
        try:
            self.encode(text)
        except UnicodeEncodeError:
            if not self.references:
                return None
            return text.encode(self.codec, "xmlcharrefreplace").decode(self.codec)
        return text


def decode(data: bytes, declares: str = "", encoding: str = "") -> tuple[str, Encoding]:
    """Return the text of a document and its encoding. `Encoding.encode` gives the same bytes again.

    The encoding is that of a byte order mark, the given one, or the one that the document declares. A document that
    is not in the encoding that it declares is read as UTF-8. Bytes that are not UTF-8 become lone surrogates. Raises
    UserError for a document that is not in the given encoding, unless that is UTF-8.

    Args:
        data: The document.
        declares: The format of the declaration: `html`, `xml`, `po`, or nothing.
        encoding: The encoding, if a user gives it.
    """
    references = declares in ("html", "xml")
    names = [codec for mark, codec in _MARKS.items() if data.startswith(mark)]
    names += [encoding] if encoding else []
    if not encoding and declares and (declared := declared_encoding(data, declares)):
        names.append(declared)
    codecs_named = [_text_codec(name) for name in names]
    if declares == "html" and "iso8859-1" in codecs_named:  # browsers read it as windows-1252
        codecs_named.insert(codecs_named.index("iso8859-1"), "cp1252")
    for codec in codecs_named:
        if codec is None or codec == "utf-8":
            continue
        try:
            text = data.decode(codec)
            if text.encode(codec) == data:
                return text, Encoding(codec, "strict", references)
        except (UnicodeError, ValueError):
            continue
    if encoding and _text_codec(encoding) != "utf-8":
        raise UserError(f"the document is not in the encoding {encoding}; name the right one, or leave it out")
    return data.decode("utf-8", "surrogateescape"), Encoding(references=references)


def declared_encoding(data: bytes, declares: str) -> str:
    """Return the encoding that a document declares, as it spells it, or nothing. declares: see `decode`."""
    match = _DECLARED[declares].search(data[:_START])
    return match[1].decode() if match else ""


def is_encoding(name: str) -> bool:
    """Return whether Python knows a text encoding of this name."""
    return _text_codec(name) is not None


def _text_codec(name: str) -> str | None:
    """Return Python's name of a text encoding, or None."""
    try:
        codec = codecs.lookup(name)
        "".encode(codec.name)  # fails for codecs such as base64
    except (LookupError, ValueError):
        return None
    return codec.name
