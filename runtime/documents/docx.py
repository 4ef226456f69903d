"""Word documents: the paragraphs of the main text, headers, footers, footnotes, endnotes and comments.

A paragraph is split where a line break, a tab or a text box stands in it. Word cuts the text of a paragraph into runs,
each with its own format. Runs of the same format become one text, and a stretch in another format than most of the
text becomes a pair of tags. Links and tracked insertions are pairs too. Footnote marks, pictures, deleted text and
fields are tags that stand alone. Hidden text and code are copied.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

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
    parse_xml,
)
from dragoman.runtime.errors import UserError, about

_TYPE = re.compile(
    r"application/vnd\.(?:openxmlformats-officedocument|ms-word)\.(?:wordprocessingml\.)?"
    r"(?:(document|template)(?:\.macroEnabled(?:Template)?)?\.main|header|footer|footnotes|endnotes|comments)\+xml",
    re.IGNORECASE,
)
_NAMESPACES = {
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",
}
_WRAPPERS = {"hyperlink", "ins", "moveTo", "dir", "bdo", "smartTag", "customXml"}  # elements around runs
_WRAPPER_PROPERTIES = {"smartTagPr", "customXmlPr"}  # their first child
_BARRIERS = {"br", "cr", "tab", "ptab"}
_MARKS = {"proofErr", "lastRenderedPageBreak"}  # Word sets them anew
_HYPHENS = {"noBreakHyphen": "\u2011", "softHyphen": "\u00ad"}
_CODE = re.compile(
    r"(?:source|html|inline|program)?[ _-]?(?:code|verbatim|preformatted|keyboard|sample|typewriter)"
    r"[ _-]?(?:char|text|block|inline)?[0-9]*",
    re.IGNORECASE,
)
_OFF = {"0", "false", "off", "none"}
_FORMAT = "format"  # the name of tags whose source is the properties of the runs between them
_LINE_ENDS = re.compile("[\r\n]")
_SPECIAL = re.compile("([\n\t\u2011\u00ad])")


def read_docx(data: bytes) -> tuple[Part, ...]:
    """Return the parts of a document that hold text, in their order in the archive.

    Raises UserError for a file that is damaged, encrypted, too large or no Word document.
    """
    members = member_names(data)
    types: dict[str, str] = {}
    for name in members:
        if name.lower() == "[content_types].xml":
            types = _content_types(data, name)
            break
    names = []
    has_main_part = False
    for name in members:
        part_type = types.get(f"/{name}".lower(), types.get(name.rpartition(".")[2].lower(), ""))
        if match := _TYPE.fullmatch(part_type):
            names.append(name)
            has_main_part = has_main_part or match[1] is not None
    if not has_main_part:
        raise UserError("the archive has no main part of a Word document; give a file that Word saved as .docx")
    return read_parts(data, names)


def _content_types(data: bytes, name: str) -> dict[str, str]:
    """Return content types by the names of parts, which start with a slash, and by extensions, in small letters."""
    types = {}
    [part] = read_parts(data, [name])
    with about(name):
        events = parse_xml(part.xml)
    for event in events:
        key = event.attributes.get("PartName" if event.name == "Override" else "Extension", "")
        if event.kind == "start" and event.name in ("Override", "Default"):
            types[key.lower()] = event.attributes.get("ContentType", "")
    return types


def part_segments(xml: str, options: Options, name: str) -> list[Segment]:
    """Return the segments of a part. Raises UserError, with the part's name, if it is not well-formed."""
    with about(name):
        return _Part(xml).segments(name)


@dataclass(frozen=True)
class _Run:
    """A run: its format, and its place in the source."""

    start: int
    end: int
    body_start: int  # after its properties
    body_end: int
    properties: str = ""  # as they are spelt
    format: str = ""  # the properties without those that concern proofing only
    is_copied: bool = False


@dataclass(frozen=True)
class _Piece(Piece):
    """A piece of a paragraph, with the runs in which it starts and ends; None outside of runs.

    Parts of fields have kinds of their own: `begin`, `separate`, `end` and `instruction`.
    """

    run: _Run | None = None
    last_run: _Run | None = None


class _Part(XmlTree):
    """An XML part of a document."""

    def __init__(self, xml: str) -> None:
        super().__init__(xml)
        self.n_paragraphs = [0]  # that start before an event
        for event in self.events:
            self.n_paragraphs.append(self.n_paragraphs[-1] + (event.kind == "start" and is_word(event, "p")))

    def segments(self, name: str) -> list[Segment]:
        found: list[Segment] = []
        for i, event in enumerate(self.events):
            if event.kind == "start" and is_word(event, "p"):
                found += _Paragraph(self, i, f"{name}, paragraph {self.n_paragraphs[i] + 1}").segments()
        return sorted(found, key=lambda segment: segment.start)  # text boxes lie between the segments of a paragraph

    def holds_paragraphs(self, i: int) -> bool:
        """Return True if an element is a paragraph or holds some."""
        return self.n_paragraphs[self.events[i].close] > self.n_paragraphs[i]

    def is_copied(self, properties: int) -> bool:
        """Return True if the properties of a run or of a paragraph are those of hidden text or of code."""
        for i in self.children(properties):
            name = self.events[i].name
            if name == "vanish" and self.value(i, "val") not in _OFF:
                return True
            if name in ("rStyle", "pStyle") and _CODE.fullmatch(self.value(i, "val")):
                return True
        return False

    def run(self, i: int) -> _Run:
        event = self.events[i]
        close = self.events[event.close]
        properties = next(self.children(i), None)
        if properties is None or not is_word(self.events[properties], "rPr"):
            return _Run(event.start, close.end, event.end, close.start)
        kept = [i for i in self.children(properties) if self.events[i].name not in ("lang", "noProof")]
        return _Run(
            event.start,
            close.end,
            self.end(properties),
            close.start,
            self.spelling(properties),
            "".join(self.spelling(i) for i in kept),
            self.is_copied(properties),
        )


def is_word(event: Event, name: str) -> bool:
    """Return True for an element of WordprocessingML with this name."""
    return event.name == name and event.namespace in _NAMESPACES


class _Paragraph:
    """A paragraph, without those in its text boxes."""

    def __init__(self, part: _Part, i: int, place: str) -> None:
        self.part, self.place, self.prefix = part, place, part.events[i].prefix
        self.is_copied = False
        self.pieces: list[_Piece] = []
        self.collect(i)

    def segments(self) -> Iterator[Segment]:
        if not self.is_copied:
            for pieces in stretches(self.join_fields()):
                yield self.segment(pieces)

    def collect(self, paragraph: int) -> None:
        """Collect the pieces of the paragraph."""
        part = self.part
        wrappers: list[tuple[int, int, str]] = []  # the indexes of the events that end the content and the element
        n_wrappers = 0
        i = paragraph + 1
        while i < part.events[paragraph].close:
            event = part.events[i]
            if wrappers and i == wrappers[-1][0]:
                _, i, name = wrappers.pop()
                self.add("close", event.start, part.events[i].end, name)
            elif event.kind == "start" and is_word(event, "pPr"):
                self.is_copied = part.is_copied(i)
                i = event.close
            elif event.kind == "start" and is_word(event, "r"):
                self.collect_run(i)
                i = event.close
            elif event.kind == "start" and (body := self.wrapper_body(i)):
                n_wrappers += 1
                i, close = body
                wrappers.append((close, event.close, f"{event.name} {n_wrappers}"))
                self.add("open", event.start, part.events[i].end, wrappers[-1][2])
            elif event.kind == "start":
                self.add_element(i, None)
                i = event.close
            i += 1

    def wrapper_body(self, i: int) -> tuple[int, int] | None:
        """Return the indexes of the events before and after the content of an element around runs, or None."""
        part, event = self.part, self.part.events[i]
        if is_word(event, "sdt"):
            contents = (child for child in part.children(i) if is_word(part.events[child], "sdtContent"))
            body = next(contents, None)
        else:
            body = i if event.name in _WRAPPERS and is_word(event, event.name) else None
        if body is None:
            return None
        close = part.events[body].close
        first = next(part.children(body), None)
        if first is not None and part.events[first].name in _WRAPPER_PROPERTIES:
            body = part.events[first].close
        # An empty-element tag would be opening and closing tag at once.
        return (body, close) if part.events[body].end < part.events[close].start else None

    def collect_run(self, i: int) -> None:
        """Collect the pieces of a run."""
        part, run = self.part, self.part.run(i)
        for child in part.children(i):
            event = part.events[child]
            start, end = event.start, part.end(child)
            name = event.name if is_word(event, event.name) else ""
            if name == "t":
                text = _LINE_ENDS.sub(" ", part.text(child))
                if event.attributes.get("xml:space") != "preserve":
                    text = text.strip(" \t")
                if text:
                    self.add("text", start, end, text=text, run=run)
            elif name in _HYPHENS:
                self.add("text", start, end, text=_HYPHENS[name], run=run)
            elif name in _BARRIERS:
                self.add("barrier", start, end, run=run)
            elif name == "fldChar" and (kind := part.value(child, "fldCharType")) in ("begin", "separate", "end"):
                self.add(kind, start, end, run=run)
            elif name == "instrText":
                self.add("instruction", start, end, text=part.text(child), run=run)
            elif name != "rPr":
                self.add_element(child, run)

    def add(self, kind: str, start: int, end: int, name: str = "", text: str = "", run: _Run | None = None) -> None:
        is_copied = run is not None and run.is_copied
        self.pieces.append(_Piece(kind, start, end, self.part.source[start:end], name, text, is_copied, run, run))

    def add_element(self, i: int, run: _Run | None) -> None:
        """Add an element that is copied as a whole, unless Word sets it anew."""
        event = self.part.events[i]
        if event.name in _MARKS and is_word(event, event.name):
            return
        name = ""
        if run is None and event.name.endswith(("Start", "End")):  # such as bookmarkStart and commentRangeStart
            name = f"{event.name} {self.part.value(i, 'id')}"
        kind = "barrier" if self.part.holds_paragraphs(i) else "element"
        self.add(kind, event.start, self.part.end(i), name, run=run)

    def join_fields(self) -> list[_Piece]:
        """Return the pieces with each field as one element, and each field that is a link as a pair of tags."""
        fields = self.fields()
        joined: list[_Piece] = []
        links: dict[int, str] = {}  # names of links by the pieces that end them
        i = 0
        while i < len(self.pieces):
            piece, last = self.pieces[i], i
            if i in links:
                joined.append(replace(piece, kind="close", name=links[i], source=self.spell([piece])))
            elif i in fields:
                separator, end = fields[i]
                kind, last = ("element", end) if separator is None else ("open", separator)
                name = "" if separator is None else f"field {i}"
                if separator is not None:
                    links[end] = name
                pieces = self.pieces[i : last + 1]
                source = self.spell(pieces)
                joined.append(
                    _Piece(kind, piece.start, pieces[-1].end, source, name, "", False, piece.run, pieces[-1].run)
                )
            elif piece.kind in ("begin", "separate", "end"):  # the rest of the field is in another paragraph
                joined.append(replace(piece, kind="barrier"))
            elif piece.run and piece.kind in ("instruction", "element"):
                joined.append(replace(piece, kind="element", text="", source=self.spell([piece])))
            else:
                joined.append(piece)
            i = last + 1
        return joined

    def fields(self) -> dict[int, tuple[int | None, int]]:
        """Return the fields that start and end in the same element, by the indexes of the pieces that begin them.

        The value is the index of the piece before the text of a link, or None for other fields, and that of the end.
        """
        found: dict[int, tuple[int | None, int]] = {}
        elements = [""]
        begun: list[tuple[int, str, int]] = []  # index, element, number of barriers before
        separators: dict[int, tuple[int, str]] = {}
        instructions: dict[int, str] = {}
        n_barriers = 0
        for i, piece in enumerate(self.pieces):
            if piece.kind == "open":
                elements.append(piece.name)
            elif piece.kind == "close":
                elements.pop()
            elif piece.kind == "barrier":
                n_barriers += 1
            elif piece.kind == "begin":
                begun.append((i, elements[-1], n_barriers))
            elif piece.kind == "instruction" and begun:
                instructions.setdefault(begun[-1][0], piece.text)
            elif piece.kind == "separate" and begun:
                separators[begun[-1][0]] = i, elements[-1]
            elif piece.kind == "end" and begun:
                begin, element, n_barriers_before = begun.pop()
                separator, separator_element = separators.get(begin, (None, element))
                is_link = instructions.get(begin, "").lstrip().upper().startswith("HYPERLINK")
                if element == elements[-1] == separator_element and is_link and separator is not None:
                    found[begin] = separator, i
                elif element == elements[-1] and n_barriers == n_barriers_before:
                    found[begin] = None, i
        return found

    def spell(self, pieces: Sequence[_Piece]) -> str:
        """Return pieces in runs of their own."""
        output = _Output(self.prefix)
        for piece in pieces:
            output.switch(None if piece.run is None else piece.run.properties)
            output.add(piece.source)
        output.switch(None)
        return output.text()

    def segment(self, pieces: list[_Piece]) -> Segment:
        """Return the segment of a stretch."""
        formats: Counter[str] = Counter()
        properties: dict[str, str] = {}
        for piece in pieces:
            if piece.run and piece.kind == "text" and not piece.is_copied:
                formats[piece.run.format] += len(piece.text)
                properties.setdefault(piece.run.format, piece.run.properties)
        base = formats.most_common(1)[0][0]
        before, content, after = strip_ends(join_texts(_content(pieces, base)))
        first, last = pieces[0], pieces[-1]
        start, end, first_run, last_run = first.start, last.end, first.run, last.last_run
        if first_run and first_run.body_start == start:
            start, first_run = first_run.start, None
        if last_run and last_run.body_end == end:
            end, last_run = last_run.end, None
        write = _Writer(
            self.prefix,
            properties[base],
            None if first_run is None else first_run.properties,
            None if last_run is None else last_run.properties,
            before,
            after,
            frozenset(piece.text for piece in pieces if piece.text in _HYPHENS.values()),
        )
        return Segment(start, end, pair_nested(content), self.place, write)


def _content(pieces: Sequence[_Piece], base: str) -> list[Content]:
    """Return pieces as texts and tags. Text in another format than `base` stands between tags named `format`."""
    content: list[Content] = []
    elements: list[Content] = []  # since the last text
    current = base
    for piece in pieces:
        if piece.kind == "element":
            name, kind = _milestone(piece.name)
            elements.append(Tag(piece.source, kind, name))
            continue
        run_format = piece.run.format if piece.run and piece.kind == "text" else base
        if run_format != current or piece.kind != "text":
            if current != base:
                content.append(Tag("", "close", _FORMAT))
            content += elements
            elements = []
            current = base
        if piece.kind != "text":
            content.append(Tag(piece.source, "open" if piece.kind == "open" else "close", piece.name))
            continue
        assert piece.run
        content += elements
        elements = []
        if run_format != current:
            content.append(Tag(piece.run.properties, "open", _FORMAT))
            current = run_format
        content.append(Text(piece.text, piece.source if piece.is_copied else None))
    return content + [Tag("", "close", _FORMAT)] * (current != base) + elements


def _milestone(name: str) -> tuple[str, Kind]:
    """Return the name and the kind of the tag of an element such as `bookmarkStart 5`."""
    word, _, number = name.partition(" ")
    if word.endswith("Start"):
        return f"{MILESTONE}{word[:-5]} {number}", "open"
    if word.endswith("End"):
        return f"{MILESTONE}{word[:-3]} {number}", "close"
    return "", "empty"


class _Output:
    """Spelling of runs and of what stands between them.

    Attributes:
        properties: Those of the run that is open, or None.
    """

    def __init__(self, prefix: str, properties: str | None = None) -> None:
        self.prefix, self.properties = prefix, properties
        self.parts: list[str] = []

    def switch(self, properties: str | None) -> None:
        """Close the open run and open another, unless its properties are the same. None opens none."""
        if properties == self.properties:
            return
        if self.properties is not None:
            self.add(f"</{self.prefix}r>")
        if properties is not None:
            self.add(f"<{self.prefix}r>{properties}")
        self.properties = properties

    def add(self, source: str) -> None:
        self.parts.append(source)

    def text(self) -> str:
        return "".join(self.parts)


@dataclass(frozen=True)
class _Writer:
    """A `Segment.write` that spells texts and tags as runs.

    Attributes:
        prefix: The prefix of Word's namespace, with its colon.
        base: Properties of text outside of tags.
        first: Properties of the run in which the segment starts, or None if it starts outside of runs.
        last: Properties of the run in which it ends, or None.
        before: White space before the text.
        after: White space after it.
        hyphens: Hyphens that are elements in the source.
    """

    prefix: str
    base: str
    first: str | None
    last: str | None
    before: str
    after: str
    hyphens: frozenset[str]

    def __call__(self, content: Sequence[Content]) -> str:
        output = _Output(self.prefix, self.first)
        formats: dict[int, str] = {}  # by the pairs of the open tags
        for item in nest_tags(restore_ends(self.before, content, self.after)):
            if isinstance(item, Text):
                if item.text:
                    output.switch(next(reversed(formats.values()), self.base))
                    output.add(self.spelling(item))
            elif item.name != _FORMAT:
                output.switch(None)
                output.add(item.source)
            elif item.kind == "open":
                formats[item.pair] = item.source
            else:
                formats.pop(item.pair, None)
        output.switch(self.last)
        return output.text()

    def spelling(self, item: Text) -> str:
        if item.source is not None:
            return item.source
        text = item.text.replace("\r\n", "\n").replace("\r", "\n")
        return "".join(self.spell_text(part) for part in _SPECIAL.split(text) if part)

    def spell_text(self, text: str) -> str:
        element = {"\n": "br", "\t": "tab", "\u2011": "noBreakHyphen", "\u00ad": "softHyphen"}.get(text)
        if element and (text in "\n\t" or text in self.hyphens):
            return f"<{self.prefix}{element}/>"
        space = ' xml:space="preserve"' if text != text.strip() or "  " in text else ""
        return f"<{self.prefix}t{space}>{escape_xml(text)}</{self.prefix}t>"
