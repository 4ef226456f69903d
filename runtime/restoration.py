"""Restoration of protected spans: repair a translation that has lost or doubled some, by attention.

It is loaded only when a translation has lost a span.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dragoman.runtime.alignment import AttentionMap
from dragoman.runtime.documents.projection import (
    UNSPACED_SCRIPTS,
    places_of_copies,
    subword_spans,
    visible_length,
    words_of,
)
from dragoman.runtime.documents.segments import Text
from dragoman.runtime.protection import whole

Row = npt.NDArray[np.floating]  # attention of one word

# Marks before and after a span that need no space. A hyphen makes a compound: "%PRODUCTNAME-Fenster".
_OPENING = "([{\"'„“‚‘«»¿¡-"
_CLOSING = ")]}\"'“”‘’«»-.,:;!?…"
_STOPS = ".,;:!?…"
_LONGEST_PIECE = 16  # characters of a wrong copy that are compared
_QUOTES = "\"'„“”‚‘’«»"


def restored(
    source: str, spans: Sequence[tuple[int, int]], target: str, attention: AttentionMap
) -> tuple[str, AttentionMap]:
    """Return a translation that has every protected span as often as the source, and the attention of its words.

    A span that the translation lacks replaces the words that were written while the model attended to it. A surplus
    copy of a span is removed where the model attended to the span least.

    Args:
        source: The text of a part.
        spans: Its protected spans.
        target: Its translation.
        attention: The attention of the translation.
    """
    content, position = [], 0
    for start, end in spans:
        content += [Text(source[position:start]), Text(source[start:end], source[start:end])]
        position = end
    content.append(Text(source[position:]))
    places = places_of_copies(content, target, [attention])
    strings = {source[start:end] for start, end in spans}
    longest_first = sorted(strings, key=lambda string: (-len(string), string))
    copies = [match.span() for string in longest_first for match in re.finditer(whole(string), target)]
    edits = [_Edit(*place[:2], *span) for place, span in zip(places, spans, strict=True)]
    edits = _in_source_order([_outside(edit, copies) for edit in edits])
    for start, end in copies:
        if all(end <= edit.start or edit.end <= start for edit in edits):
            edits.append(_Edit(start, end, 0, 0))
    edits = _fitted(source, target, sorted(edits, key=lambda edit: edit[:2]))

    source_places, _ = subword_spans(attention.source_subwords, 0)
    target_places, _ = subword_spans(attention.target_subwords, 0)
    ends = [end for _, end in target_places]
    words: list[str] = []  # as subwords, with ▁ for a space
    rows: list[Row] = []

    def add(word: str, row: Row, after_space: bool) -> None:
        words.append(("▁" if after_space or not words else "") + word)
        rows.append(row)

    position = 0
    inserted: _Edit | None = None  # the edit that has just put a span there
    for edit in [*edits, _Edit(len(target), len(target), 0, 0)]:
        for first, last in words_of(target[position : edit.start]):
            place = position + first
            before = words[-1][-1] if words else ""
            after_space = target[place - 1 : place] == " " or (first == 0 and _touch(before, target[place]))
            if inserted:
                after_space |= _needs_space(target[place], source[inserted.source_end :][:1], _CLOSING)
                inserted = None
            subword = min(bisect_right(ends, visible_length(target[:place])), len(ends) - 1)
            add(target[place : position + last], attention.weights[subword], after_space)
        if text := edit.string(source):
            attended, is_after_space = _attended(source, text, source_places)
            before = words[-1][-1] if words else ""
            after_space = target[edit.start - 1 : edit.start] == " " or _touch(before, text[0])
            after_space |= edit.start == edit.end and is_after_space
            if inserted:
                after_space |= _needs_space(text[0], source[inserted.source_end :][:1], _CLOSING)
            is_new = text != target[edit.start : edit.end]
            if is_new:
                after_space |= _needs_space(before, source[: edit.source_start][-1:], _OPENING)
            add(text, attended, after_space)
            inserted = edit if is_new else None
        position = max(position, edit.end)
    if attention.target_subwords[-1] == "</s>":
        words.append("</s>")
        rows.append(attention.weights[-1])
    restored_text = "".join(word for word in words if word != "</s>").replace("▁", " ").strip(" ")
    return restored_text, AttentionMap(attention.source_subwords, tuple(words), np.stack(rows).astype(np.float32))


class _Edit(NamedTuple):
    """A replacement of a stretch of a translation by a span of the source. An empty span removes the stretch."""

    start: int
    end: int
    source_start: int
    source_end: int

    def string(self, source: str) -> str:
        """Return the text of the span."""
        return source[self.source_start : self.source_end]


def _outside(edit: _Edit, copies: Iterable[tuple[int, int]]) -> _Edit:
    """Return an edit that changes no part of a copy of a span, such as the host in root@example.org.

    It puts its span after the copy.
    """
    for start, end in copies:
        is_within = start <= edit.start and edit.end <= end and (edit.start, edit.end) != (start, end)
        if is_within and start < edit.end and edit.start < end:
            return edit._replace(start=end, end=end)
    return edit


def _in_source_order(edits: Sequence[_Edit]) -> list[_Edit]:
    """Return edits in which a span without words of its own is on the same side of its neighbour as in the source."""
    by_start = {edit.start: edit for edit in edits if edit.start < edit.end}
    by_end = {edit.end: edit for edit in edits if edit.start < edit.end}
    ordered = []
    for edit in edits:
        place = edit.start
        if edit.start == edit.end:
            if (other := by_start.get(place)) and other.source_start < edit.source_start:
                place = other.end
            elif (other := by_end.get(place)) and edit.source_start < other.source_start:
                place = other.start
            edit = edit._replace(start=place, end=place)
        ordered.append(edit)
    return ordered


def _fitted(source: str, target: str, edits: Sequence[_Edit]) -> list[_Edit]:
    """Return edits, which are in order, with corrected ends. Marks share the attention of their neighbours.

    A mark at an end of the stretch stays if it stands beside the span in the source, or is a quotation mark with its
    partner at the other end. A piece of a wrong copy of the span beside the stretch goes, such as the first mark of
    "$$name" and the second ending of "a.txt.txt". A span for which the model wrote nothing comes before a full stop.
    """
    fitted: list[_Edit] = []
    for i, edit in enumerate(edits):
        start, end = edit.start, edit.end
        text = edit.string(source)
        low = fitted[-1].end if fitted else 0
        high = edits[i + 1].start if i + 1 < len(edits) else len(target)
        before, after = source[: edit.source_start], source[edit.source_end :]
        if text and start == end:
            while low < start and target[start - 1] in _STOPS and not before.rstrip().endswith(target[start - 1]):
                start = end = start - 1
        elif text and text != target[start:end]:
            while start < end and _stays(target[start], text[0], before[-1:], target[end : end + 1], _OPENING):
                start += 1
            while start < end and _stays(target[end - 1], text[-1], after[:1], target[start - 1 : start], _CLOSING):
                end -= 1
            if start < end:
                heads = [text[:n] for n in range(1, _LONGEST_PIECE) if _is_sign(text[n - 1 : n])]
                tails = [text[-n:] for n in range(1, min(_LONGEST_PIECE, len(text))) if _is_sign(text[-n])]
                start -= _piece([head for head in heads if not before.endswith(head)], target[low:start], str.endswith)
                end += _piece([tail for tail in tails if not after.startswith(tail)], target[end:high], str.startswith)
        fitted.append(edit._replace(start=start, end=end))
    return fitted


def _piece(pieces: Sequence[str], text: str, has: Callable[[str, str], bool]) -> int:
    """Return the length of the longest of some pieces that a text has at one end, or 0."""
    return max((len(piece) for piece in pieces if has(text, piece)), default=0)


def _stays(mark: str, of_span: str, beside_span: str, opposite: str, marks: str) -> bool:
    """Return whether a mark at an end of a stretch is no part of a span's wrong copy.

    of_span: The character at this end of the span. beside_span: The character beside it in the source. opposite: The
    character beside the other end of the stretch.
    """
    if mark not in marks or mark == of_span:
        return False
    return mark == beside_span or (
        mark in _QUOTES and any(other and other in _QUOTES for other in (beside_span, opposite))
    )


def _is_sign(character: str) -> bool:
    return bool(character) and not character.isalnum() and character not in "_ "


def _touch(before: str, after: str) -> bool:
    """Return whether two characters would make one word."""
    return bool(re.fullmatch(r"\w\w", before + after))


def _needs_space(neighbour: str, source_neighbour: str, marks: str) -> bool:
    """Return whether a space belongs between a span and the character beside it in the translation.

    source_neighbour: The character beside it in the source. marks: Those that may touch a span.
    """
    if not neighbour or neighbour in marks or neighbour == source_neighbour or UNSPACED_SCRIPTS.match(neighbour):
        return False
    return not _touch(neighbour, source_neighbour)  # a word touches it in the source, too


def _attended(source: str, string: str, places: Sequence[tuple[int, int]]) -> tuple[Row, bool]:
    """Return the attention of a copied string, equal for its source subwords, and whether a space precedes it there."""
    start = source.index(string)
    before = visible_length(source[:start])
    span = before, before + visible_length(string)
    row = np.array([float(place[0] < span[1] and span[0] < place[1]) for place in places])
    return row / max(row.sum(), 1.0), source[start - 1 : start] == " "
