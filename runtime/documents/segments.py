"""Segments: the stretches of a document that are translated, with the inline tags in them.

A format finds its segments with their offsets in the source. Only these stretches are replaced, so everything outside
them stays byte for byte as it was.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

Kind = Literal["open", "close", "empty"]


@dataclass(frozen=True, slots=True)
class Text:
    """A stretch of text within a segment.

    Attributes:
        text: The text as a reader sees it: without escapes, and with the white space that the format shows.
        source: Its spelling in the document if it must be copied, such as the text of `<code>`; else None.
    """

    text: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Tag:
    """An inline tag, which travels with the words that it marks.

    Attributes:
        source: The tag as the document spells it. It is never changed.
        kind: A tag that opens or closes an element, or stands alone.
        name: The element's name. Opening and closing tags with equal names can be a pair.
        pair: A number that both tags of a pair share, from 1; 0 for a tag that stands alone. `pair_tags` sets it.
    """

    source: str
    kind: Kind
    name: str = ""
    pair: int = 0


Content = Text | Tag


@dataclass(frozen=True, slots=True)
class Edit:
    """A replacement of the source from `start` to `end`, which are offsets in characters."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a document that is translated as one text.

    Attributes:
        start: Offset in the source of the stretch that the translation replaces.
        end: Offset of its end. It equals `start` where the translation is inserted.
        content: Text and tags, in order. White space at both ends lies outside, unless it belongs to the message.
        place: The segment's place for a reader, such as `line 12`.
        write: Returns translated content as the document spells it.
        edits: Further changes that belong to a translation, such as a mark that it is a draft.
    """

    start: int
    end: int
    content: tuple[Content, ...]
    place: str
    write: Callable[[Sequence[Content]], str]
    edits: tuple[Edit, ...] = ()

    @property
    def text(self) -> str:
        """The text without tags."""
        return "".join(item.text for item in self.content if isinstance(item, Text))


def writer(escape: Callable[[str], str]) -> Callable[[Sequence[Content]], str]:
    """Return a `Segment.write` that copies tags and copied text, and escapes other text."""

    def write(content: Sequence[Content]) -> str:
        return "".join(_spelling(item, escape) for item in content)

    return write


def _spelling(item: Content, escape: Callable[[str], str]) -> str:
    if item.source is not None:
        return item.source
    return escape(item.text)


def pair_tags(content: Iterable[Content]) -> tuple[Content, ...]:
    """Return content in which matching tags share a number, and tags without a partner are of kind `empty`.

    An opening tag is closed by the next closing tag of its name. Tags opened in between stay alone.
    """
    items = list(content)
    opened: list[tuple[str, int]] = []  # names and positions of opening tags
    waiting: Counter[str] = Counter()  # the names among them
    n_pairs = 0
    for i, item in enumerate(items):
        if not isinstance(item, Tag):
            continue
        items[i] = replace(item, kind="empty", pair=0)
        if item.kind == "open":
            opened.append((item.name, i))
            waiting[item.name] += 1
        elif item.kind == "close" and waiting[item.name]:
            name, position = opened.pop()
            waiting[name] -= 1
            while name != item.name:
                name, position = opened.pop()
                waiting[name] -= 1
            n_pairs += 1
            opening = items[position]
            assert isinstance(opening, Tag)
            items[position] = replace(opening, kind="open", pair=n_pairs)
            items[i] = replace(item, pair=n_pairs)
    return tuple(items)


def join_texts(content: Iterable[Content]) -> Iterator[Content]:
    """Yield content with adjacent texts joined, unless only one of them is copied."""
    for kind, group in groupby(content, key=lambda item: None if isinstance(item, Tag) else item.source is None):
        items = list(group)
        if kind is None:
            yield from items
        else:
            source = None if kind else "".join(item.source or "" for item in items)
            yield Text("".join(item.text for item in items if isinstance(item, Text)), source)


def stripped(content: Sequence[Content]) -> list[Content]:
    """Return content without white space at the ends of its text. Tags stay."""
    items = list(content)
    for order, strip in ((range(len(items)), str.lstrip), (reversed(range(len(items))), str.rstrip)):
        for i in order:
            item = items[i]
            if isinstance(item, Text) and item.source is not None:
                break
            if isinstance(item, Text):
                items[i] = item = Text(strip(item.text))
                if item.text:
                    break
    return [item for item in items if item != Text("")]


def replace_segments(source: str, replacements: Iterable[tuple[Segment, str]]) -> str:
    """Return the source with segments replaced by their translations, and with their edits."""
    edits: list[Edit] = []
    for segment, text in replacements:
        edits += [Edit(segment.start, segment.end, text), *segment.edits]
    edits.sort(key=lambda edit: (edit.start, edit.end))
    parts, position = [], 0
    for edit in edits:
        assert position <= edit.start <= edit.end <= len(source), "segments and edits must not overlap"
        parts += [source[position : edit.start], edit.text]
        position = edit.end
    return "".join([*parts, source[position:]])


def has_words(content: Iterable[Content]) -> bool:
    """Return whether content has a letter or digit to translate."""
    texts = (item.text for item in content if isinstance(item, Text) and item.source is None)
    return any(character.isalnum() for text in texts for character in text)


def line_finder(source: str) -> Callable[[int], int]:
    """Return a function that gives the line of an offset, counted from 1."""
    ends = [match.start() for match in re.finditer("\n", source)]
    return lambda offset: bisect_left(ends, offset) + 1
