"""Stretches of a paragraph that can be translated, between what must stay in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dragoman.runtime.documents.segments import Content, Text


@dataclass(frozen=True)
class Piece:
    """A piece of a paragraph.

    Attributes:
        kind: `text`, `open` and `close` for the tags of an element, `element` for a whole element that travels with
            the words, or `barrier` for what must stay in its place.
        start: Offset of its start in the source.
        end: Offset of its end.
        source: Its spelling.
        name: The name of a tag. The tags of an element share a name that no other element of the paragraph has.
        text: Its text, as a reader sees it.
        is_copied: Text that is not translated.
    """

    kind: str
    start: int
    end: int
    source: str
    name: str = ""
    text: str = ""
    is_copied: bool = False


P = TypeVar("P", bound=Piece)


def stretches(pieces: Sequence[P]) -> Iterator[list[P]]:
    """Yield the stretches between barriers that hold words, without elements and blank text at their ends.

    The tags of an element that holds a barrier are barriers too, so elements are whole in each stretch.
    """
    divided: set[str] = set()  # elements that hold barriers
    opened: list[str] = []
    n_divided = 0  # of the opened elements; those that hold others come first
    for piece in pieces:
        if piece.kind == "open":
            opened.append(piece.name)
        elif piece.kind == "close":
            opened.pop()
            n_divided = min(n_divided, len(opened))
        elif piece.kind == "barrier":
            divided.update(opened[n_divided:])
            n_divided = len(opened)
    stretch: list[P] = []
    for piece in pieces:
        if piece.kind == "barrier" or (piece.kind in ("open", "close") and piece.name in divided):
            yield from _trimmed(stretch)
            stretch = []
        else:
            stretch.append(piece)
    yield from _trimmed(stretch)


def _trimmed(stretch: list[P]) -> Iterator[list[P]]:
    """Yield a stretch without elements, blank text and tags around it, if it holds words."""
    if not any(character.isalnum() for piece in stretch if not piece.is_copied for character in piece.text):
        return
    start, end = 0, len(stretch)
    while True:
        while _is_outside(stretch[start]):
            start += 1
        while _is_outside(stretch[end - 1]):
            end -= 1
        first, last = stretch[start], stretch[end - 1]
        if first.kind != "open" or last.kind != "close" or first.name != last.name:
            break
        start, end = start + 1, end - 1
    yield stretch[start:end]


def _is_outside(piece: Piece) -> bool:
    return piece.kind == "element" or (piece.kind == "text" and not piece.text.strip())


def strip_ends(content: Iterable[Content]) -> tuple[str, list[Content], str]:
    """Return the white space before the first text of content, content without both, and that after its last text."""
    items = list(content)
    texts = [i for i, item in enumerate(items) if isinstance(item, Text)]
    before = after = ""
    if texts:
        text = items[texts[0]]
        if isinstance(text, Text) and text.source is None and text.text.strip():  # blank text stays within its tags
            items[texts[0]] = Text(text.text.lstrip())
            before = text.text[: len(text.text) - len(text.text.lstrip())]
        text = items[texts[-1]]
        if isinstance(text, Text) and text.source is None and text.text.strip():
            items[texts[-1]] = Text(text.text.rstrip())
            after = text.text[len(text.text.rstrip()) :]
    return before, items, after


def restore_ends(before: str, content: Sequence[Content], after: str) -> list[Content]:
    """Return content with the white space at its ends that `strip_ends` has taken."""
    items = list(content)
    texts = [i for i, item in enumerate(items) if isinstance(item, Text)]
    if texts and after:
        items.insert(texts[-1] + 1, Text(after))
    if texts and before:
        items.insert(texts[0], Text(before))
    return items
