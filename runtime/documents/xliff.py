"""XLIFF 1.2 and 2.x: fill the targets that are missing or empty.

A target with content is never touched. In XLIFF 1.2, a unit is one segment even if it has `<seg-source>`: its `<mrk>`
elements become inline tags, so the target has them too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import (
    Content,
    Edit,
    Kind,
    Segment,
    Tag,
    Text,
    has_words,
    line_finder,
    writer,
)
from dragoman.runtime.documents.xml_events import (
    MILESTONE,
    Event,
    XmlTree,
    escape_attribute,
    escape_xml,
    nest_tags,
    pair_nested,
    set_attribute,
    unescape_xml,
)
from dragoman.runtime.errors import UserError

_PAIRS = {"g", "pc", "mrk"}  # elements whose text is translated; all others are copied with their content
_FINAL_STATES = {"final", "signed-off", "reviewed"}
_WHITE_SPACE = " \t\r\n"
_SPACES = re.compile(f"[{_WHITE_SPACE}]+")


def segments(source: str, options: Options) -> list[Segment]:
    """Return the units of an XLIFF document that have no translation."""
    return list(_Document(source, options).segments())


@dataclass
class _State:
    """The state that an element passes on to those within it."""

    translate: bool
    preserve: bool


class _Document(XmlTree):
    def __init__(self, source: str, options: Options) -> None:
        super().__init__(source)
        self.options = options
        self.line = line_finder(source)
        root = self.events[0]
        if root.name != "xliff":
            raise UserError(f"line {self.line(root.start):,}: the root element is {root.name}; an XLIFF file has xliff")
        self.namespace = root.namespace
        version = root.attributes.get("version") or root.namespace.rpartition(":")[2]
        if version[:2] not in ("1.", "2."):
            versions = "write version 1.2 or 2.x"
            raise UserError(f"line {self.line(root.start):,}: the version of XLIFF is {version!r}; {versions}")
        self.is_2 = version.startswith("2.")

    def segments(self) -> Iterator[Segment]:
        """Yield the segments, with edits that name the target language where a file lacks it."""
        unit, language_element = ("segment", "xliff") if self.is_2 else ("trans-unit", "file")
        language_attribute = "trgLang" if self.is_2 else "target-language"
        opened = [_State(True, False)]
        language_edits: tuple[Edit, ...] = ()
        i = 0
        while i < len(self.events):
            event = self.events[i]
            if event.kind == "end":
                opened.pop()
            elif event.kind == "start":
                state = self.inherit(opened[-1], event)
                if self.is_own(event, language_element):
                    language_edits = self.language_edits(event, language_attribute)
                if state.translate and self.is_own(event, unit) and (segment := self.unit_segment(i, state)):
                    yield replace(segment, edits=(*language_edits, *segment.edits))
                    language_edits = ()
                if self.is_own(event, unit):
                    i = event.close
                else:
                    opened.append(state)
            i += 1

    def language_edits(self, event: Event, attribute: str) -> tuple[Edit, ...]:
        language = self.options.target_language
        if not language or event.attributes.get(attribute):
            return ()
        return (Edit(event.start, event.end, set_attribute(self.tag(event), attribute, language)),)

    def is_own(self, event: Event, name: str) -> bool:
        return event.name == name and event.namespace == self.namespace

    def tag(self, event: Event) -> str:
        """Return an event as it is spelt."""
        return self.source[event.start : event.end]

    def inherit(self, outer: _State, event: Event) -> _State:
        translate = event.attributes.get("translate")
        space = event.attributes.get("xml:space")
        return _State(
            translate == "yes" if translate in ("yes", "no") else outer.translate,
            space == "preserve" if space in ("preserve", "default") else outer.preserve,
        )

    def unit_segment(self, i: int, state: _State) -> Segment | None:
        """Return the segment of a `<trans-unit>`, or of a `<segment>` of XLIFF 2, unless it has a translation."""
        unit = self.events[i]
        children: dict[str, int] = {}  # the first of each name
        for child in self.children(i):
            if self.events[child].namespace == self.namespace:
                children.setdefault(self.events[child].name, child)
        if "source" not in children:
            return None
        target = children.get("target")
        finished = {unit.attributes.get("state")} if self.is_2 else set()
        finished |= {self.events[target].attributes.get("state")} if target is not None else set()
        if unit.attributes.get("approved") == "yes" or finished & _FINAL_STATES:
            return None
        if target is not None and not self.is_empty(target):
            return None
        segmented = None if self.is_2 else children.get("seg-source")
        source = children["source"] if segmented is None else segmented
        before, content, after = self.content(source, self.inherit(state, self.events[source]).preserve)
        if not has_words(content):
            return None
        opening, closing = self.target_tags(source, target)
        if target is not None:
            start, end = self.events[target].start, self.events[self.events[target].close].end
        else:
            start = end = self.events[self.events[source].close].end
            opening = self.indentation(source) + opening
        write = _Writer(opening + before, after + closing)
        place = f"line {self.line(self.events[source].start):,}"
        return Segment(start, end, content, place, write, self.state_edits(unit))

    def is_empty(self, target: int) -> bool:
        """Return True if a target has no text, and no elements except those of empty segments."""
        for event in self.events[target + 1 : self.events[target].close]:
            if event.kind == "text" and unescape_xml(self.tag(event)).strip():
                return False
            if event.kind == "start" and not (event.name == "mrk" and event.attributes.get("mtype") == "seg"):
                return False
        return True

    def indentation(self, i: int) -> str:
        """Return the line end and the indentation before an element, if it starts a line."""
        before = self.events[i - 1]
        if before.kind != "text":
            return ""
        spelling = self.tag(before)
        indented = spelling.rstrip(" \t")
        if not indented.endswith("\n"):
            return ""
        return spelling[len(indented) - (2 if indented.endswith("\r\n") else 1) :]

    def target_tags(self, source: int, target: int | None) -> tuple[str, str]:
        """Return the tags of a filled target, with the namespaces that the source declares."""
        name = f"{self.events[source].prefix}target"
        opening, closing = f"<{name}>", f"</{name}>"
        language = self.options.target_language
        copied = {key: value for key, value in self.events[source].attributes.items() if key.startswith("xmlns")}
        if target is None:
            if space := self.events[source].attributes.get("xml:space"):
                copied["xml:space"] = space
            if language and "xml:lang" in self.events[source].attributes:
                copied["xml:lang"] = language
        else:
            event = self.events[target]
            opening = self.tag(event)
            if opening.endswith("/>"):
                opening = f"{opening[:-2].rstrip()}>"
                closing = f"</{event.prefix}target>"
            else:
                closing = self.tag(self.events[event.close])
            copied = {key: value for key, value in copied.items() if key not in event.attributes}
        added = "".join(f' {key}="{escape_attribute(value)}"' for key, value in copied.items())
        opening = f"{opening[:-1]}{added}>"
        if self.options.fuzzy and not self.is_2:
            opening = set_attribute(opening, "state", "needs-review-translation")
        return opening, closing

    def state_edits(self, unit: Event) -> tuple[Edit, ...]:
        """Return the edit that marks a `<segment>` of XLIFF 2 as translated: its next state is reviewed."""
        if not self.is_2 or not (self.options.fuzzy or unit.attributes.get("state") == "initial"):
            return ()
        # A subState details the state before.
        tag = set_attribute(set_attribute(self.tag(unit), "subState", None), "state", "translated")
        return (Edit(unit.start, unit.end, tag),)

    def content(self, i: int, preserve: bool) -> tuple[str, tuple[Content, ...], str]:
        """Return the content of an element, and the white space before and after it as it is spelt."""
        start, end = self.events[i].end, self.events[self.events[i].close].start
        first, last = self.events[i + 1], self.events[self.events[i].close - 1]
        if first.kind == "text":
            start = first.end - len(self.tag(first).lstrip(_WHITE_SPACE))
        if last.kind == "text":
            end = max(start, last.start + len(self.tag(last).rstrip(_WHITE_SPACE)))
        content = pair_nested(self.items(i, start, end, preserve))
        return (
            self.source[self.events[i].end : start],
            content,
            self.source[end : self.events[self.events[i].close].start],
        )

    def items(self, i: int, start: int, end: int, preserve: bool) -> list[Content]:
        """Return the text and the tags in an element. Its text begins at `start` and stops at `end`."""
        items: list[Content] = []
        close = self.events[i].close
        copied_until = ""  # the id of an `<sm translate="no">` that is not closed
        i += 1
        while i < close:
            event = self.events[i]
            spelling = self.tag(event)
            if event.kind == "text":
                spelling = self.source[max(start, event.start) : min(end, event.end)]
                text = self.shown(spelling, preserve)
                if text:
                    items.append(Text(text, spelling if copied_until else None))
            elif event.kind == "instruction":
                items.append(Tag(spelling, "empty"))
            elif event.kind == "end":
                items.append(Tag(spelling, "close", event.name))
            elif event.kind == "start" and self.is_pair(event) and not self.is_copied(event):
                items.append(Tag(spelling, "open", event.name))
            elif event.kind == "start" and self.is_pair(event) and (copied := self.copied_text(i, preserve)):
                closing = self.events[event.close]
                inner = Text(copied, self.source[event.end : closing.start])
                items += [Tag(spelling, "open", event.name), inner, Tag(self.tag(closing), "close", event.name)]
                i = event.close
            elif event.kind == "start":
                items.append(self.element(i))
                if event.name == "sm" and event.attributes.get("translate") == "no":
                    copied_until = copied_until or event.attributes.get("id", "")
                elif event.name == "em" and event.attributes.get("startRef") == copied_until:
                    copied_until = ""
                i = event.close
            i += 1
        return items

    def is_pair(self, event: Event) -> bool:
        """Return True for an element whose content is translated. One without content is a tag that stands alone."""
        return event.name in _PAIRS and event.namespace == self.namespace and event.end < self.events[event.close].start

    def is_copied(self, event: Event) -> bool:
        """Return True for an element whose content must not be translated."""
        return event.attributes.get("translate") == "no" or event.attributes.get("mtype") == "protected"

    def copied_text(self, i: int, preserve: bool) -> str:
        """Return the text in an element and in those within it."""
        inner = self.events[i + 1 : self.events[i].close]
        return self.shown("".join(self.tag(event) for event in inner if event.kind == "text"), preserve)

    def shown(self, spelling: str, preserve: bool) -> str:
        text = unescape_xml(spelling)
        return text if preserve else _SPACES.sub(" ", text)

    def element(self, i: int) -> Tag:
        """Return an element that stands in the text as one tag: a native code, a placeholder, or half of a pair."""
        event = self.events[i]
        attributes = event.attributes
        kind: Kind = "empty"
        name = event.name
        if name in ("bpt", "ept", "bx", "ex"):
            kind = "open" if name.startswith("b") else "close"
            name = f"{MILESTONE}{attributes.get('rid') or attributes.get('id')}"
        elif name in ("sc", "sm"):
            kind, name = "open", f"{MILESTONE}{name[1]} {attributes.get('id')}"
        elif name in ("ec", "em") and "startRef" in attributes:
            kind, name = "close", f"{MILESTONE}{name[1]} {attributes['startRef']}"
        return Tag(self.spelling(i), kind, name)


class _Writer:
    """A `Segment.write` that spells a whole target. Elements stay nested, wherever a translation moves their tags."""

    def __init__(self, opening: str, closing: str) -> None:
        self.opening, self.closing = opening, closing

    def __call__(self, content: Sequence[Content]) -> str:
        return self.opening + writer(escape_xml)(nest_tags(content)) + self.closing
