"""OpenDocument texts: the paragraphs and headings of the text and of its headers and footers.

A paragraph is split where a line break, a tab, a footnote or a text box stands in it. Spans and links become pairs of
tags. Pictures and fields are tags that stand alone. Code is copied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.packages import Part, member_names, read_parts
from dragoman.runtime.documents.segments import Content, Kind, Segment, Tag, Text, join_texts
from dragoman.runtime.documents.stretches import Piece, restore_ends, stretches, strip_ends
from dragoman.runtime.documents.xml_events import (
    MILESTONE,
    Event,
    XmlTree,
    escape_xml,
    nest_tags,
    pair_nested,
    unescape_xml,
)
from dragoman.runtime.errors import UserError, about

_NAMESPACE = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
_MIMETYPE = "application/vnd.oasis.opendocument.text"
_PARTS = ("content.xml", "styles.xml")  # the second holds headers and footers
_PARAGRAPHS = {"p", "h"}
_BARRIERS = {"tab", "line-break"}
_CODE = {"Source_20_Text", "Preformatted_20_Text", "User_20_Entry", "Teletype", "Source_Text", "Preformatted_Text"}
_INVISIBLE = {"span", "a", "bookmark", "reference-mark", "soft-page-break", ""}  # spaces around these meet
_MAX_SPACES = 100  # that one element stands for; with more it is no text
_WHITE_SPACE = " \t\r\n"
_SPACES = re.compile(f"[{_WHITE_SPACE}]+")
_MORE_SPACES = re.compile("(?<= ) +")


def read_odt(data: bytes) -> tuple[Part, ...]:
    """Return the parts of a document that hold text.

    Raises UserError for a file that is damaged, encrypted, too large or no OpenDocument text.
    """
    members = {*member_names(data)}
    if "mimetype" not in members or "content.xml" not in members:
        raise UserError("the archive is no OpenDocument text; give a file that was saved as .odt")
    mimetype = read_parts(data, ["mimetype"])[0].xml.strip()
    if mimetype not in (_MIMETYPE, f"{_MIMETYPE}-template", f"{_MIMETYPE}-master"):
        raise UserError(f"the document has the type {mimetype[:80]!r}; give an OpenDocument text, saved as .odt")
    manifest = "META-INF/manifest.xml"
    if manifest in members and "encryption-data" in read_parts(data, [manifest])[0].xml:
        raise UserError("the document is encrypted; save it without a password")
    return read_parts(data, [name for name in _PARTS if name in members])


def part_segments(xml: str, options: Options, name: str) -> list[Segment]:
    """Return the segments of a part. Raises UserError, with the part's name, if it is not well-formed."""
    with about(name):
        return _Part(xml).segments(name)


def _is_text(event: Event, names: set[str]) -> bool:
    return event.kind == "start" and event.name in names and event.namespace == _NAMESPACE


class _Part(XmlTree):
    """An XML part of a document."""

    def __init__(self, xml: str) -> None:
        super().__init__(xml)
        self.n_paragraphs = [0]  # that start before an event
        self.parents: dict[str, str] = {}  # of styles
        for i, event in enumerate(self.events):
            self.n_paragraphs.append(self.n_paragraphs[-1] + _is_text(event, _PARAGRAPHS))
            if event.kind == "start" and event.name == "style":
                self.parents[self.value(i, "name")] = self.value(i, "parent-style-name")

    def segments(self, name: str) -> list[Segment]:
        found: list[Segment] = []
        i = 0
        while i < len(self.events):
            event = self.events[i]
            if _is_text(event, {"tracked-changes"}):  # deleted paragraphs
                i = event.close
            elif _is_text(event, _PARAGRAPHS) and not self.is_code(i):
                found += _segments(self, i, f"{name}, paragraph {self.n_paragraphs[i] + 1}")
            i += 1
        return sorted(found, key=lambda segment: segment.start)  # those of footnotes lie between others

    def is_code(self, i: int) -> bool:
        """Return True if the style of an element, or the style that it is based on, is one for code."""
        style = self.value(i, "style-name")
        return style in _CODE or self.parents.get(style) in _CODE


def _segments(part: _Part, paragraph: int, place: str) -> Iterator[Segment]:
    """Yield the segments of a paragraph."""
    prefix = part.events[paragraph].prefix
    for stretch in stretches(_pieces(part, paragraph)):
        before, content, after = strip_ends(join_texts(_content(piece) for piece in stretch))
        last = [piece for piece in stretch if piece.kind == "text"][-1]
        write = _Writer(prefix, before, after, stretch[0].after_space, last.source.startswith(f"<{prefix}s"))
        yield Segment(stretch[0].start, stretch[-1].end, pair_nested(content), place, write)


def _content(piece: Piece) -> Content:
    if piece.kind == "text":
        return Text(piece.text, piece.source if piece.is_copied else None)
    kind: Kind = "open" if piece.kind == "open" else "close" if piece.kind == "close" else "empty"
    name = piece.name
    word, _, number = name.partition(" ")
    if piece.kind == "element" and word.endswith(("-start", "-end")):
        kind = "open" if word.endswith("-start") else "close"
        name = f"{MILESTONE}{word.rpartition('-')[0]} {number}"
    elif piece.kind == "element":
        name = word
    return Tag(piece.source, kind, name)


@dataclass(frozen=True)
class _Piece(Piece):
    """A piece of a paragraph.

    Attributes:
        after_space: White space at its start is not shown, because there is some before it or it starts the paragraph.
    """

    after_space: bool = False


def _pieces(part: _Part, paragraph: int) -> list[_Piece]:
    """Return the pieces of a paragraph."""
    pieces: list[_Piece] = []
    close = part.events[paragraph].close
    opened: list[tuple[str, bool]] = []  # names of elements, and whether their text is copied
    after_space = True  # white space after white space, or at the start of a paragraph, is not shown
    i = paragraph + 1
    while i < close:
        event = part.events[i]
        spelling = part.source[event.start : event.end]
        is_copied = bool(opened) and opened[-1][1]
        if event.kind == "text":
            text = _SPACES.sub(" ", unescape_xml(spelling))
            text = text.removeprefix(" ") if after_space else text
            if text:
                pieces.append(_Piece("text", event.start, event.end, spelling, "", text, is_copied, after_space))
                after_space = text.endswith(" ")
        elif event.kind == "end":
            pieces.append(_Piece("close", event.start, event.end, spelling, opened.pop()[0]))
        elif _is_text(event, {"span", "a"}) and event.end < part.events[event.close].start:
            opened.append((f"{event.name} {i}", is_copied or part.is_code(i)))
            pieces.append(_Piece("open", event.start, event.end, spelling, opened[-1][0], after_space=after_space))
        elif event.kind == "instruction":
            pieces.append(_Piece("element", event.start, event.end, spelling))
        elif event.kind == "start":
            if not _is_text(event, {"soft-page-break"}):  # a program sets it anew
                pieces.append(_element(part, i, is_copied))
                after_space = after_space and _is_invisible(event.name)
            i = event.close
        i += 1
    return pieces


def _element(part: _Part, i: int, is_copied: bool) -> _Piece:
    """Return the piece of an element that is copied as a whole, or of spaces."""
    event = part.events[i]
    start, end, spelling = event.start, part.end(i), part.spelling(i)
    if _is_text(event, {"s"}):
        count = part.value(i, "c") or "1"
        if re.fullmatch("[0-9]{1,3}", count) and int(count) <= _MAX_SPACES:
            return _Piece("text", start, end, spelling, "", " " * int(count), is_copied)
    if _is_text(event, _BARRIERS) or part.n_paragraphs[event.close] > part.n_paragraphs[i]:
        return _Piece("barrier", start, end, spelling)
    return _Piece("element", start, end, spelling, f"{event.name} {part.value(i, 'name')}".strip())


def _is_invisible(name: str) -> bool:
    return name in _INVISIBLE or name.startswith(MILESTONE) or name.endswith(("-start", "-end"))


@dataclass(frozen=True)
class _Writer:
    """A `Segment.write` that spells spaces, tabs and line breaks as elements where the format needs them.

    Attributes:
        prefix: The prefix of the namespace of texts, with its colon.
        before: White space before the text.
        after: White space after it.
        after_space: The segment starts where a space would not be shown.
        before_space: It ends with spaces that are elements, after which more white space is shown.
    """

    prefix: str
    before: str
    after: str
    after_space: bool
    before_space: bool

    def __call__(self, content: Sequence[Content]) -> str:
        parts = []
        after_space = self.after_space
        items = list(join_texts(nest_tags(restore_ends(self.before, content, self.after))))
        last = max((i for i, item in enumerate(items) if isinstance(item, Text)), default=-1)
        for i, item in enumerate(items):
            if isinstance(item, Tag):
                parts.append(item.source)
                after_space = after_space and (item.kind != "empty" or _is_invisible(item.name))
            elif item.text:
                parts.append(self.spell_text(item, after_space, i == last and self.before_space))
                after_space = item.text.endswith(" ")
        return "".join(parts)

    def spell_text(self, item: Text, after_space: bool, before_space: bool) -> str:
        """Return text in which spaces next to spaces are elements, because they would not be shown otherwise."""
        if item.source is not None:
            stripped = item.source.lstrip(_WHITE_SPACE)
            is_hidden = after_space and item.text.startswith(" ") and stripped != item.source
            return self.spaces(1) + stripped if is_hidden else item.source
        text = escape_xml(item.text.replace("\r\n", "\n").replace("\r", "\n"))
        first = len(text) - len(text.lstrip(" ")) if after_space else 0
        last = len(text[first:]) - len(text[first:].rstrip(" ")) if before_space else 0
        inner = text[first : len(text) - last]
        inner = _MORE_SPACES.sub(lambda match: self.spaces(len(match[0])), inner)
        text = self.spaces(first) + inner + self.spaces(last)
        return text.replace("\n", f"<{self.prefix}line-break/>").replace("\t", f"<{self.prefix}tab/>")

    def spaces(self, count: int) -> str:
        # Without a prefix, the attribute would belong to no namespace.
        if count > 1 and self.prefix:
            return f'<{self.prefix}s {self.prefix}c="{count}"/>'
        return f"<{self.prefix}s/>" * count
