"""Formats of documents: how to open a document of each, and to write it with its translations."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.runtime.compression import method_of
from dragoman.runtime.documents.encoding import Encoding, decode, is_encoding
from dragoman.runtime.documents.names import FORMAT_NAMES, format_by_ending
from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import Segment, Text, has_words, replace_segments, writer
from dragoman.runtime.errors import UserError


@dataclass(frozen=True)
class Format:
    """A format of documents.

    Attributes:
        name: Its name for `--format`.
        title: Its name for people.
        module: The module of this package that finds its segments.
        function: The function of the module.
        declares: The format in which a document declares its encoding; see `encoding.decode`.
        is_archive: True for a zip archive with several parts of text.
        max_size: Largest size in bytes. A document is held in memory with its segments.
    """

    name: str
    title: str
    module: str
    function: str = "segments"
    declares: str = ""
    is_archive: bool = False
    max_size: int = 16 << 20  # takes some 750 MiB, and a hostile document six times as much

    @property
    def implementation(self) -> Any:  # noqa: ANN401 (a module)
        """The module. Raises UserError if it needs a package that is not installed."""
        try:
            return importlib.import_module(f"dragoman.runtime.documents.{self.module}")
        except ModuleNotFoundError as error:
            raise UserError(
                f"{self.title} needs the package {error.name}: pip install '.[documents]' in Dragoman's folder"
            ) from None

    def segments(self, source: str, options: Options) -> list[Segment]:
        """Return the segments of a document's text. Raises UserError."""
        found: list[Segment] = getattr(self.implementation, self.function)(source, options)
        return found


FORMATS = {
    form.name: form
    for form in (
        Format("text", "plain text", "formats", "text_segments"),
        Format("markdown", "Markdown", "markdown", max_size=4 << 20),  # takes twice the memory, and 5 s a MiB
        Format("html", "HTML", "html", declares="html"),
        Format("srt", "SubRip subtitles", "subtitles", "srt_segments"),
        Format("vtt", "WebVTT subtitles", "subtitles", "vtt_segments"),
        Format("po", "a PO file of gettext", "po", declares="po"),
        Format("xliff", "XLIFF", "xliff", declares="xml"),
        Format("json", "JSON", "json_strings"),
        Format("csv", "CSV", "tables", "csv_segments"),
        Format("tsv", "TSV", "tables", "tsv_segments"),
        Format("docx", "a Word document", "docx", is_archive=True),
        Format("odt", "an OpenDocument text", "odt", is_archive=True),
    )
}


class Document:
    """A document that is open: its segments, and a way to write it with translations.

    Attributes:
        format: Its format.
        segments: Its segments, in order.
    """

    def __init__(self, data: bytes, form: Format, options: Options, encoding: str = "") -> None:
        """Find the segments of a document. Raises UserError if it is damaged.

        encoding: The encoding of its text; by default that of a byte order mark, the one it declares, or UTF-8.
        """
        if encoding and not is_encoding(encoding):
            raise UserError(f"{encoding!r} is no encoding that Python knows; give one such as utf-8 or windows-1252")
        if method := method_of(data):
            raise UserError(f"the document is compressed with {method.name}; decompress it first")
        self.format = form
        self._data = data
        self._parts: list[_Part] = []
        if form.is_archive:
            module = form.implementation
            for part in getattr(module, f"read_{form.name}")(data):
                segments = module.part_segments(part.xml, options, part.name)
                self._parts.append(_Part(part.name, part.xml, part.encoding, segments))
        else:
            source, found = decode(data, form.declares, encoding)
            self._parts.append(_Part("", source, found, form.segments(source, options)))
        self.segments = [segment for part in self._parts for segment in part.segments]
        self._encodings = [part.encoding for part in self._parts for _ in part.segments]

    def fit(self, number: int, text: str) -> str | None:
        """Return the spelling of a translated segment; see `Encoding.fit`."""
        return self._encodings[number].fit(text)

    def encoding_of(self, number: int) -> str:
        """Return the name of the encoding of a segment."""
        return self._encodings[number].codec

    def write(self, replacements: Sequence[str | None]) -> bytes:
        """Return the document with a replacement for each segment, or None where the source stays."""
        assert len(replacements) == len(self.segments)
        contents: dict[str, bytes] = {}
        first = 0
        for part in self._parts:
            last = first + len(part.segments)
            pairs = zip(part.segments, replacements[first:last], strict=True)
            replaced = [(segment, text) for segment, text in pairs if text is not None]
            if replaced:
                contents[part.name] = part.encoding.encode(replace_segments(part.source, replaced))
            first = last
        if not contents:
            return self._data
        if self.format.is_archive:
            from dragoman.runtime.documents.packages import write_members

            return write_members(self._data, contents)
        return contents[""]


@dataclass(frozen=True)
class _Part:
    """A part of an archive that holds text; or the whole document, if that is no archive."""

    name: str
    source: str
    encoding: Encoding
    segments: list[Segment]


def format_of(path: str | Path) -> Format | None:
    """Return the format of a file by its ending, or None for another ending."""
    return FORMATS.get(format_by_ending(path))


def format_named(name: str) -> Format:
    """Return the format with a name. Raises UserError if there is none."""
    if name.lower() not in FORMATS:
        raise UserError(f"{name!r} is no format of documents; choose from {', '.join(FORMAT_NAMES)}")
    return FORMATS[name.lower()]


_LINE = re.compile(r"[^\r\n]+")


def text_segments(source: str, options: Options) -> list[Segment]:
    """Return the lines of plain text, without white space at their ends."""
    segments = []
    number = position = 0
    for match in _LINE.finditer(source):
        breaks = source[position : match.start()]
        number += breaks.count("\n") + breaks.count("\r") - breaks.count("\r\n") + (position == 0 == match.start())
        position = match.end()
        line = match[0]
        start = match.start() + len(line) - len(line.lstrip())
        end = match.end() - (len(line) - len(line.rstrip()))
        content = (Text(source[start:end]),)
        if has_words(content):
            segments.append(Segment(start, end, content, f"line {number:,}", writer(str)))
    return segments
