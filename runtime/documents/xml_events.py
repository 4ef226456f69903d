"""XML as a flat list of events with their offsets in the source, and the spelling of text and tags in XML.

Expat checks the document and finds the tags. It loads nothing from outside, and a document that declares entities or
attributes is refused: such declarations can make a short document expand without bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal
from xml.parsers import expat

from dragoman.runtime.documents.segments import Content, Tag, Text, join_texts, pair_tags
from dragoman.runtime.errors import UserError

MAX_DEPTH = 1000  # libxml2 stops at 256, so real documents stay far below
MILESTONE = "milestone "  # starts the name of a tag that is a whole element, although it opens or closes something

_NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})
_SURROGATES = re.compile("[\ud800-\udfff]")
_TAG = re.compile(r"""<[^"'>]*(?:"[^"]*"[^"'>]*|'[^']*'[^"'>]*)*>""")
_ATTRIBUTE = re.compile(r"""(?<!\s)\s+([^\s=/>]+)\s*=\s*("[^"]*"|'[^']*')""")
_ESCAPED = re.compile(r"<!\[CDATA\[(.*?)\]\]>|&(?:#x([0-9a-fA-F]+)|#([0-9]+)|(\w+));", re.DOTALL)
_ENTITIES = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
# XML 1.0 has no way to write these. The surrogates from DC80 to DCFF stand for bytes that are copied.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udc7f\udd00-\udfff\ufffe\uffff]")


@dataclass(slots=True)
class Event:
    """A tag, a stretch of text, a comment or a processing instruction within the root element.

    An empty-element tag gives two events, of which the second has no width.

    Attributes:
        kind: The kind of event.
        start: Offset of its first character.
        end: Offset after its last character.
        name: The element's name without its prefix.
        prefix: The prefix of the name with its colon, or an empty string.
        namespace: The element's namespace, or an empty string.
        attributes: Values by the names as spelt.
        close: Start tags: the index of the event that ends the element.
    """

    kind: Literal["start", "end", "text", "comment", "instruction"]
    start: int
    end: int
    name: str = ""
    prefix: str = ""
    namespace: str = ""
    attributes: Mapping[str, str] = field(default_factory=lambda: _NO_ATTRIBUTES)
    close: int = 0


def parse_xml(source: str) -> list[Event]:
    """Return the events of a document's root element, in order.

    Text includes references and CDATA sections as they are spelt; see `unescape_xml`. Raises UserError, with line and
    column, for a document that is not well-formed, declares entities or attributes, or nests elements too deeply.
    """
    return _Parser(source).parse()


class _Parser:
    def __init__(self, source: str) -> None:
        self.events: list[Event] = []
        self.source = _SURROGATES.sub("\ufffd", source)  # Expat takes valid UTF-8 only
        self.start = 1 if source.startswith("\ufeff") else 0
        self.data = self.source[self.start :].encode()
        self.is_ascii = len(self.data) == len(self.source) - self.start
        self.byte, self.offset = 0, self.start  # a place in bytes and in characters, for `_position`
        self.end = 0  # of the last event
        self.opened: list[int] = []  # indexes of the start tags of open elements
        self.names: dict[str, tuple[str, str]] = {}  # prefix and local name
        self.namespaces = {"": "", "xml:": "http://www.w3.org/XML/1998/namespace", "xmlns:": ""}
        self.hidden: list[list[tuple[str, str | None]]] = []  # of each open element: namespaces that it redeclares
        self.skip_end = False  # the tag was an empty-element tag

    def parse(self) -> list[Event]:
        parser = self.parser = expat.ParserCreate("utf-8")
        parser.StartElementHandler = self._start_element
        parser.EndElementHandler = self._end_element
        parser.CommentHandler = self._comment
        parser.ProcessingInstructionHandler = self._instruction
        parser.EntityDeclHandler = self._entity_declaration
        parser.AttlistDeclHandler = self._attribute_declaration
        parser.SkippedEntityHandler = self._skipped_entity
        try:
            parser.Parse(self.data, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            problem = f"broken XML ({reason}); correct it, or save the document again"
            raise UserError(f"line {error.lineno:,}, column {error.offset + 1:,}: {problem}") from None
        return self.events

    def _refuse(self, problem: str) -> UserError:
        line, column = self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber
        return UserError(f"line {line:,}, column {column + 1:,}: {problem}")

    def _position(self) -> int:
        """Return the offset in characters of Expat's event."""
        byte = self.parser.CurrentByteIndex
        if self.is_ascii:
            return self.start + byte
        self.offset += len(self.data[self.byte : byte].decode())
        self.byte = byte
        return self.offset

    def _add(self, event: Event) -> None:
        """Add an event, and the text before it."""
        if self.opened and self.end < event.start:
            self.events.append(Event("text", self.end, event.start))
        self.events.append(event)
        self.end = event.end

    def _name(self, name: str) -> tuple[str, str]:
        if name not in self.names:
            before, colon, after = name.rpartition(":")
            self.names[name] = before + colon, after
        return self.names[name]

    def _start_element(self, name: str, attributes: dict[str, str]) -> None:
        if len(self.opened) == MAX_DEPTH:
            raise self._refuse(f"elements are nested more than {MAX_DEPTH:,} deep; flatten the document")
        start = self._position()
        tag = _TAG.match(self.source, start)
        assert tag, "Expat has checked the tag"
        hidden: list[tuple[str, str | None]] = []
        for key, value in attributes.items():
            if key.startswith("xmlns") and (key == "xmlns" or key[5] == ":"):
                prefix = f"{key[6:]}:" if key != "xmlns" else ""
                hidden.append((prefix, self.namespaces.get(prefix)))
                self.namespaces[prefix] = value
        prefix, local_name = self._name(name)
        if prefix not in self.namespaces:
            raise self._refuse(f"the namespace prefix of {name} is not declared; declare it with xmlns:{prefix[:-1]}")
        namespace = self.namespaces[prefix]
        values = attributes or _NO_ATTRIBUTES
        self._add(Event("start", start, tag.end(), local_name, prefix, namespace, values))
        self.opened.append(len(self.events) - 1)
        self.hidden.append(hidden)
        if tag[0].endswith("/>"):
            self._close(Event("end", tag.end(), tag.end()))
            self.skip_end = True

    def _end_element(self, _name: str) -> None:
        if self.skip_end:
            self.skip_end = False
            return
        start = self._position()
        self._close(Event("end", start, self.source.index(">", start) + 1))

    def _close(self, event: Event) -> None:
        self._add(event)
        opening = self.events[self.opened.pop()]
        opening.close = len(self.events) - 1
        event.name, event.prefix, event.namespace = opening.name, opening.prefix, opening.namespace
        for prefix, namespace in reversed(self.hidden.pop()):
            if namespace is None:
                del self.namespaces[prefix]
            else:
                self.namespaces[prefix] = namespace

    def _comment(self, _text: str) -> None:
        if self.opened:
            start = self._position()
            self._add(Event("comment", start, self.source.index("-->", start) + 3))

    def _instruction(self, _target: str, _data: str) -> None:
        if self.opened:
            start = self._position()
            self._add(Event("instruction", start, self.source.index("?>", start) + 2))

    def _entity_declaration(self, name: str, *_rest: object) -> None:
        raise self._refuse(f"the document declares the entity {name}; replace it by its text")

    def _attribute_declaration(self, element: str, *_rest: object) -> None:
        raise self._refuse(f"the document declares attributes of {element}; remove the declaration")

    def _skipped_entity(self, name: str, is_parameter: bool) -> None:
        raise self._refuse(f"the entity {name} is not declared in the document; replace it by its text")


class XmlTree:
    """A document: its source and its events. The index of its start tag stands for an element.

    Attributes:
        source: The document.
        events: Its events, as `parse_xml` returns them.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.events = parse_xml(source)

    def children(self, i: int) -> Iterator[int]:
        """Yield the elements directly in an element."""
        close = self.events[i].close
        i += 1
        while i < close:
            if self.events[i].kind == "start":
                yield i
                i = self.events[i].close
            i += 1

    def end(self, i: int) -> int:
        """Return the offset at which an element ends."""
        return self.events[self.events[i].close].end

    def spelling(self, i: int) -> str:
        """Return an element as it is spelt."""
        return self.source[self.events[i].start : self.end(i)]

    def text(self, i: int) -> str:
        """Return the text in an element and in those within it."""
        inner = self.events[i + 1 : self.events[i].close]
        return "".join(unescape_xml(self.source[e.start : e.end]) for e in inner if e.kind == "text")

    def value(self, i: int, name: str) -> str:
        """Return the value of an attribute by its name without a prefix, or an empty string."""
        for key, value in self.events[i].attributes.items():
            if key.rpartition(":")[2] == name:
                return value
        return ""


def escape_xml(text: str) -> str:
    """Return text as element content. Characters that XML 1.0 forbids become U+FFFD."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    return _FORBIDDEN.sub("\ufffd", text)


def escape_attribute(text: str) -> str:
    """Return text as an attribute's value within double quotes."""
    return escape_xml(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")


def unescape_xml(source: str) -> str:
    """Return the text that element content without tags stands for."""
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    return _ESCAPED.sub(_character, source)


def _character(match: re.Match[str]) -> str:
    section, hexadecimal, decimal, name = match.groups()
    if section is not None:
        return str(section)
    if name:
        return _ENTITIES[name]
    digits, base = (hexadecimal, 16) if hexadecimal else (decimal, 10)
    return chr(int(digits.lstrip("0"), base))  # Python refuses numbers of more than 4,300 digits


def set_attribute(tag: str, name: str, value: str | None) -> str:
    """Return a start tag with an attribute set to a value, or without the attribute if the value is None."""
    spelling = "" if value is None else f' {name}="{escape_attribute(value)}"'
    for match in _ATTRIBUTE.finditer(tag):
        if match[1] == name:
            return tag[: match.start()] + spelling + tag[match.end() :]
    end = len(tag) - (2 if tag.endswith("/>") else 1)
    return tag[:end].rstrip() + spelling + tag[end:] if spelling else tag


def pair_nested(content: Iterable[Content]) -> tuple[Content, ...]:
    """Return content with adjacent texts joined, and with pairs of tags.

    A milestone that crosses an element or another pair stands alone. The tags of elements must be nested in `content`.
    """
    items = list(join_texts(content))
    opened: list[int] = []
    for i, item in enumerate(items):
        if not isinstance(item, Tag) or item.kind == "empty":
            continue
        if item.kind == "open":
            opened.append(i)
            continue
        if not item.name.startswith(MILESTONE):
            while _name(items[opened[-1]]).startswith(MILESTONE):
                milestone = opened.pop()
                items[milestone] = _alone(items[milestone])
            opened.pop()
        elif opened and _name(items[opened[-1]]) == item.name:
            opened.pop()
        else:
            items[i] = _alone(item)
    for i in opened:
        items[i] = _alone(items[i])
    return pair_tags(items)


def _name(item: Content) -> str:
    return item.name if isinstance(item, Tag) else ""


def _alone(item: Content) -> Content:
    return replace(item, kind="empty") if isinstance(item, Tag) else item


def nest_tags(content: Iterable[Content]) -> list[Content]:
    """Return content in which pairs of tags are nested, as XML requires, and hold as much of their text as possible.

    A translation can move the tags of a pair past those of another.
    """
    items = list(content)
    opening = {item.pair: item for item in items if isinstance(item, Tag) and item.kind == "open"}
    closing = {item.pair: item for item in items if isinstance(item, Tag) and item.kind == "close"}
    pairs = opening.keys() & closing.keys()
    nested: list[Content] = []
    opened: list[int] = []  # pairs
    done: set[int] = set()  # pairs that were opened
    for item in items:
        if isinstance(item, Text) or item.kind == "empty" or item.pair not in pairs:
            nested.append(item)
        elif item.kind == "open":
            if item.pair not in done:
                nested.append(item)
                opened.append(item.pair)
                done.add(item.pair)
        elif item.pair not in done:  # it is closed before it is opened
            nested += [opening[item.pair], item]
            done.add(item.pair)
            del closing[item.pair]
        elif item.pair in closing:
            pair = 0
            while pair != item.pair:
                pair = opened.pop()
                nested.append(closing.pop(pair))
    return nested + [closing[pair] for pair in reversed(opened)]
