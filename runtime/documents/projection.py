"""Tag projection: put the inline tags of a source text around the words of its translation, by attention.

A target word belongs to an element as far as the model attended to the element's words when it wrote that word. An
element gets the stretch of words that belongs to it most: the one with the largest sum of (share - 1/2). A text that
the translation has unchanged, such as a name, is found by its spelling instead. Elements inside one another keep their
nesting, and every tag comes out exactly once. Bergamot's translator instead gives each target word the tags of the one
source word with the most attention.

Three rules then correct the ends of a stretch, and bench/tags.py measures their effect. Words at its start are left out
if the model only looked ahead when it wrote them: "drücken Sie die <b>Eingabetaste</b>". So are punctuation marks at an
end where the source element has none. An ellipsis that the translation adds stays with its word: "<b>Drucken…</b>".

Positions are counted in visible characters, that is without white space, because normalisation and splitting change
white space.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dragoman.runtime.alignment import AttentionMap
from dragoman.runtime.documents.segments import Content, Tag, Text
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.protection import EMOJI

Shares = npt.NDArray[np.floating]

# Characters of a text that is a name if the translation has it unchanged. Shorter words may be others: English "die".
# Text without small letters, such as "OK", "F5" or ";", may have any length.
NAME_LENGTH = 4

# A decoder looks ahead: when it writes an article or a pronoun, it attends to the noun that follows. Such a word has
# less than this share of what another word gives to the same subword. With 1, "p-Wert" would lose its "p".
LOOK_AHEAD = 0.5

# Shares are rounded to multiples of 1 / SHARE_STEPS, a power of two. Sums of them are then exact in any order, so that
# all hosts choose the same of two stretches that are nearly as good.
SHARE_STEPS = 2**20

# Scripts without spaces between words, and their punctuation.
UNSPACED_SCRIPTS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]"
)
_ELLIPSIS = re.compile(r"…|\.\.\.")
_EMOJI = re.compile(EMOJI)
_BYTES = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass
class _Node:
    """An element, a tag that stands alone, or copied text.

    Attributes:
        tags: The tags of an element; or those that stand alone, side by side.
        start: Visible characters before it in the source.
        end: Visible characters before its end.
        copied: The copied text, or None.
        text: The text of an element, or the copied text.
        marks: True if an element's text begins, and if it ends, with a punctuation mark.
        before_ellipsis: True if an ellipsis follows an element.
        spaces: For tags that stand alone: True for white space before them, and after them.
        children: Elements, tags and copied text within an element.
        first: The first word in the target.
        last: The word after its last one.
    """

    tags: list[Tag]
    start: int
    end: int = -1
    copied: Text | None = None
    text: str = ""
    marks: tuple[bool, bool] = (True, True)
    before_ellipsis: bool = False
    spaces: tuple[bool, bool] = (False, False)
    children: list[_Node] = field(default_factory=list)
    first: int = 0
    last: int = 0

    @property
    def is_point(self) -> bool:
        return self.copied is None and self.start == self.end


def needs_attention(content: Sequence[Content]) -> bool:
    """Return whether a tag or copied text stands between words, so that its place in the translation is open."""
    tree, n_visible = _tree(content)
    return any(_is_open(node, 0, n_visible) for node in tree)


def _is_open(node: _Node, start: int, end: int) -> bool:
    if node.is_point:
        return start < node.start < end
    if node.copied or (node.start, node.end) != (start, end):
        return True
    return any(_is_open(child, start, end) for child in node.children)


def project(content: Sequence[Content], target: str, attention: Sequence[AttentionMap]) -> list[Content]:
    """Return the translation of a segment with the segment's tags and copied text.

    Args:
        content: The content of the segment, with paired tags.
        target: The translation of its text. Copied text that is not in it is added where it belongs.
        attention: The attention of each part of the translation, in order.
    """
    tree, n_visible = _tree(content)
    if not tree:
        return [Text(target)]
    placement = _Placement(target, attention, n_visible)
    placement.place(tree, 0, n_visible, 0, len(placement.words))
    return placement.written(tree)


def places_of_copies(
    content: Sequence[Content], target: str, attention: Sequence[AttentionMap]
) -> list[tuple[int, int, Text]]:
    """Return the copied texts of content with the stretches of the target that each should take the place of."""
    tree, n_visible = _tree(content)
    placement = _Placement(target, attention, n_visible)
    placement.place(tree, 0, n_visible, 0, len(placement.words))
    return [(*placement.offsets(node), node.copied) for node in tree if node.copied]


def _tree(content: Sequence[Content]) -> tuple[list[_Node], int]:
    """Return the elements, tags and copied texts of content as a forest, and the number of visible characters."""
    text = "".join(item.text for item in content if isinstance(item, Text))
    visible = _VisibleCharacters(text)
    roots: list[_Node] = []
    siblings = [roots]
    opened: list[tuple[_Node, int]] = []  # elements, with the offsets of their text
    position = 0
    for item in content:
        at = visible.before(position)
        if isinstance(item, Text):
            position += len(item.text)
            if item.source is not None:
                siblings[-1].append(_Node([], at, visible.before(position), item, item.text))
        elif item.kind == "open":
            node = _Node([item], at)
            opened.append((node, position))
            siblings[-1].append(node)
            siblings.append(node.children)
        elif item.kind == "close":
            node, start = opened.pop()
            siblings.pop()
            node.tags.append(item)
            node.end = at
            node.text = text[start:position].strip()
            node.marks = _kind(node.text[:1]) == "P", _kind(node.text[-1:]) == "P"
            node.before_ellipsis = _ELLIPSIS.match(text, position) is not None
            if node.is_point:  # an element without text moves as one
                inner = _leaves(node)
                siblings[-1][-1] = _Node(inner, at, at, spaces=_spaces(text, position))
        else:
            siblings[-1].append(_Node([item], at, at, spaces=_spaces(text, position)))
    return roots, visible.before(len(text))


def _leaves(node: _Node) -> list[Tag]:
    """Return the tags of an element without text, in order."""
    return [node.tags[0], *(tag for child in node.children for tag in child.tags), *node.tags[1:]]


def _spaces(text: str, position: int) -> tuple[bool, bool]:
    return text[position - 1 : position].isspace(), text[position : position + 1].isspace()


class _VisibleCharacters:
    """Counts the visible characters of a text before any position, as they are after normalisation."""

    def __init__(self, text: str) -> None:
        self._text, self._position, self._count = text, 0, 0

    def before(self, position: int) -> int:
        """Return the number of visible characters before a position. Positions must not decrease."""
        self._count += visible_length(normalise(self._text[self._position : position]))
        self._position = position
        return self._count


def visible_length(text: str) -> int:
    """Return the number of characters of a normalised text without white space and joiners."""
    return sum(not (character.isspace() or unicodedata.category(character) == "Cf") for character in text)


@dataclass(frozen=True)
class _Part:
    """A part of a translation.

    Attributes:
        source: The visible characters of its S source subwords.
        first_word: The number of the first of its W target words.
        attention: The attention of each target word to each source subword, summed over the word's characters, (W, S).
    """

    source: list[tuple[int, int]]
    first_word: int
    attention: Shares


class _Placement:
    """Places elements among the words of a target text."""

    def __init__(self, target: str, attention: Sequence[AttentionMap], n_visible: int) -> None:
        self.target = target
        self.words = [*words_of(target)]  # offsets in the text
        self._word_at = {start: word for word, (start, _) in enumerate(self.words)}
        self._word_before = {end: word + 1 for word, (_, end) in enumerate(self.words)}
        self._stretches: dict[str, list[tuple[int, int]]] = {}  # by texts that the words of the stretch spell
        visible = _VisibleCharacters(target)
        word_spans = [(visible.before(start), visible.before(end)) for start, end in self.words]
        word_ends = [end for _, end in word_spans]
        self._parts: list[_Part] = []
        source = goal = 0
        for part in attention:
            source_spans, source = subword_spans(part.source_subwords, source)
            target_spans, goal = subword_spans(part.target_subwords, goal)
            first = bisect_right(word_ends, target_spans[0][0])
            last = min(bisect_left(word_ends, goal) + 1, len(self.words))
            of_words = np.zeros((max(last - first, 0), len(source_spans)))  # (W, S)
            for (a, b), weights in zip(target_spans, part.weights, strict=True):
                word = max(bisect_right(word_ends, a), first)
                while a < b and word < last and word_spans[word][0] < b:
                    of_words[word - first] += weights * _overlap((a, b), word_spans[word])
                    word += 1
            of_words *= [span[1] > span[0] for span in source_spans]  # without </s>
            self._parts.append(_Part(source_spans, first, of_words))
        self._ends = [part.source[-1][1] for part in self._parts]
        self._n_visible = n_visible

    def _parts_of(self, start: int, end: int) -> list[_Part]:
        """Return the parts with source characters from `start` to `end`."""
        return self._parts[bisect_right(self._ends, start) : bisect_left(self._ends, end) + 1]

    def shares(self, start: int, end: int) -> tuple[int, Shares]:
        """Return how far each target word belongs to the source characters from `start` to `end`.

        It is the first word's number, and the share of attention for this word and those after it. Words of other parts
        are left out.
        """
        parts = self._parts_of(start, end)
        if not parts:
            return 0, np.zeros(0)
        first = parts[0].first_word
        given, total = np.zeros((2, max(parts[-1].first_word + len(parts[-1].attention) - first, 0)))
        for part in parts:
            covered = [_overlap(span, (start, end)) / max(span[1] - span[0], 1) for span in part.source]
            words = slice(part.first_word - first, part.first_word - first + len(part.attention))
            given[words] += part.attention @ np.array(covered)
            total[words] += part.attention.sum(axis=1)
        return first, np.floor(given / np.maximum(total, 1e-9) * SHARE_STEPS + 0.5) / SHARE_STEPS

    def place(self, nodes: Sequence[_Node], start: int, end: int, first: int, last: int) -> None:
        """Place nodes, which are all children of the element from `start` to `end`, within a stretch of words."""
        wanted: list[tuple[float, _Node, int, Shares]] = []
        for node in nodes:
            if not node.is_point and (node.start, node.end) == (start, end) and not node.copied:
                node.first, node.last = first, last
            elif not node.is_point:
                offset, shares = self.shares(node.start, node.end)
                wanted.append((float(shares.max(initial=0)), node, offset, shares))
        free = [(first, last)]
        for _, node, offset, shares in sorted(wanted, key=lambda item: (item[1].copied is None, -item[0])):
            node.first, node.last = self._best_stretch(node, offset, shares, free)
            free = [gap for gap in _without(free, node.first, node.last) if gap[0] < gap[1]]
        for node in nodes:
            if node.is_point:
                node.first = node.last = self._point(node, nodes, start, end, first, last)
            else:
                self.place(node.children, node.start, node.end, node.first, node.last)

    def _best_stretch(
        self, node: _Node, offset: int, shares: Shares, free: Sequence[tuple[int, int]]
    ) -> tuple[int, int]:
        """Return the stretch of free words that belongs to a node most."""
        is_name = node.copied or len(node.text) >= NAME_LENGTH or node.text == node.text.upper()
        if is_name and (found := self._find(node.text, offset, shares, free)):
            return found
        best, best_score, limit = (0, 0), -np.inf, 0
        for gap_first, gap_last in free:
            first, last = max(gap_first, offset), min(gap_last, offset + len(shares))
            if first < last:
                stretch, score = _largest_sum(shares[first - offset : last - offset] - 0.5)
                if score > best_score:
                    best, best_score, limit = (first + stretch[0], first + stretch[1]), score, gap_last
        if best_score == -np.inf:  # no word is left
            at = min(max(offset, free[0][0] if free else 0), len(self.words))
            return at, at
        if node.copied:
            return best if best_score > 0 else self._gap_for(node, free)  # no word was written for it
        first = self._after_words_that_look_ahead(node, *best)
        first, last = self._without_marks(first, best[1], node.marks)
        return first, last if node.before_ellipsis else self._after_ellipsis(last, limit)

    def _gap_for(self, node: _Node, free: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """Return the place for text without words of its own: after the word of the character before it."""
        at = 0
        if node.start:
            offset, shares = self.shares(node.start - 1, node.start)
            at = offset + int(shares.argmax()) + 1 if shares.size else offset
        first, last = min(free, key=lambda gap: max(gap[0] - at, at - gap[1], 0))
        at = min(max(at, first), last)
        return at, at

    def _after_words_that_look_ahead(self, node: _Node, first: int, last: int) -> int:
        """Return the first word of a stretch that attends to some subword of an element nearly as much as any other.

        Attention is summed over the characters of words, so it is little for short words.
        """
        for part in self._parts_of(node.start, node.end):
            low, high = max(first - part.first_word, 0), max(last - part.first_word, 0)
            subwords = [i for i, span in enumerate(part.source) if _overlap(span, (node.start, node.end))]
            attention = part.attention[low:high, subwords]
            if attention.size:
                much = attention >= LOOK_AHEAD * attention.max(axis=0)
                return part.first_word + low + int(much.argmax(axis=0).min())
        return first

    def _after_ellipsis(self, last: int, limit: int) -> int:
        """Return the end of a stretch with the ellipsis that touches it, if there is one before `limit`."""
        ellipsis = _ELLIPSIS.match(self.target, self._end(last))
        end = last + len(ellipsis[0]) if ellipsis else last  # each mark is a word
        return end if end <= limit else last

    def _without_marks(self, first: int, last: int, marks: tuple[bool, bool]) -> tuple[int, int]:
        """Return a stretch of words without marks at those ends where the source element has none."""
        start, end = first, last
        while not marks[0] and start < end and self._is_mark(start):
            start += 1
        while not marks[1] and start < end and self._is_mark(end - 1):
            end -= 1
        return (start, end) if start < end else (first, last)

    def _is_mark(self, word: int) -> bool:
        return _kind(self.target[self.words[word][0]]) == "P"

    def _find(self, text: str, offset: int, shares: Shares, free: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
        """Return the free words that are exactly a text, those with the largest share if there are several."""
        found: list[tuple[float, int, int]] = []
        gap = 0
        for first, last in self._spelled(normalise(text)):  # in order, as the gaps are
            while gap < len(free) and free[gap][1] < last:
                gap += 1
            if gap == len(free):
                break
            if free[gap][0] <= first:
                share = shares[max(first - offset, 0) : last - offset].sum() if offset < last else 0.0
                found.append((float(share), first, last))
        return max(found)[1:] if found else None

    def _spelled(self, text: str) -> list[tuple[int, int]]:
        """Return the stretches of words that spell a text, in order."""
        if text not in self._stretches:
            matches = (match.span() for match in re.finditer(re.escape(text), self.target))
            found = ((self._word_at.get(start), self._word_before.get(end)) for start, end in matches)
            self._stretches[text] = [(a, b) for a, b in found if a is not None and b is not None]
        return self._stretches[text]

    def _point(self, point: _Node, siblings: Sequence[_Node], start: int, end: int, first: int, last: int) -> int:
        """Return the word before which tags that stand alone are put."""
        if point.start <= start:
            return first
        if point.start >= end:
            return last
        follows = point.spaces == (False, True)  # tags follow a word closely, or else precede one
        neighbour = (point.start - 1, point.start) if follows else (point.start, point.start + 1)
        offset, shares = self.shares(*neighbour)
        low, high = max(first - offset, 0), max(last - offset, 0)
        if not shares[low:high].size:
            return min(max(offset, first), last)
        word = offset + low + int(shares[low:high].argmax())
        at = word + 1 if follows else word
        for node in siblings:
            if not node.is_point and node.first < at < node.last:
                at = node.last if at - node.first > node.last - at else node.first
        return at

    def written(self, tree: Sequence[_Node]) -> list[Content]:
        """Return the target text with the tags and copied texts in their places."""
        content: list[Content] = []
        self._position = 0
        self._write(tree, content)
        self._write_text(content, len(self.target))
        return content

    def _write(self, nodes: Sequence[_Node], content: list[Content]) -> None:
        order = sorted(range(len(nodes)), key=lambda i: (nodes[i].first, nodes[i].last, i))
        for node in (nodes[i] for i in order):
            if node.is_point:
                closely = node.spaces == (False, True) or node.first == len(self.words)
                self._write_text(content, self._end(node.first) if closely else self._start(node.first))
                content.extend(node.tags)
                if node.spaces == (True, True) and not self.target[self._position : self._position + 1].isspace():
                    content.append(Text(" "))
                continue
            self._write_text(content, self._start(node.first))
            if node.copied:
                is_inserted = node.first == node.last
                if is_inserted and self._position and not self.target[self._position - 1].isspace():
                    content.append(Text(" "))
                content.append(node.copied)
                if is_inserted and self.target[self._position : self._position + 1].isalnum():
                    content.append(Text(" "))
                self._position = max(self._position, self.offsets(node)[1])
                continue
            content.append(node.tags[0])
            self._write(node.children, content)
            if node.first < node.last:
                self._write_text(content, self._end(node.last))
            content.append(node.tags[1])

    def _write_text(self, content: list[Content], end: int) -> None:
        """Add the target text up to an offset."""
        if end > self._position:
            content.append(Text(self.target[self._position : end]))
            self._position = end

    def offsets(self, node: _Node) -> tuple[int, int]:
        """Return the offsets of a node's words in the target."""
        start = self._start(node.first)
        return start, max(start, self._end(node.last)) if node.first < node.last else start

    def _start(self, word: int) -> int:
        return self.words[word][0] if word < len(self.words) else len(self.target)

    def _end(self, word: int) -> int:
        """Return the offset of the end of the word before `word`."""
        return self.words[word - 1][1] if word else 0


def _largest_sum(values: Shares) -> tuple[tuple[int, int], float]:
    """Return the non-empty stretch of values with the largest sum, and the sum (Kadane's algorithm)."""
    best, best_sum = (0, 1), -np.inf
    start, total = 0, 0.0
    for i, value in enumerate(values.tolist()):
        if total <= 0:
            start, total = i, 0.0
        total += value
        if total > best_sum:
            best, best_sum = (start, i + 1), total
    return best, best_sum


def _without(gaps: Sequence[tuple[int, int]], first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield gaps without the words from `first` to `last`."""
    for a, b in gaps:
        if last <= a or b <= first:
            yield a, b
        else:
            yield a, first
            yield last, b


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> int:
    return max(min(a[1], b[1]) - max(a[0], b[0]), 0)


def subword_spans(subwords: Sequence[str], position: int) -> tuple[list[tuple[int, int]], int]:
    """Return the visible characters of each subword, counted from `position`, and their end.

    The bytes of a character that has no subword share its place.
    """
    spans: list[tuple[int, int]] = []
    pending = bytearray()
    for i, subword in enumerate(subwords):
        byte = _BYTES.fullmatch(subword)
        if byte:
            pending.append(int(byte[1], 16))
            following = subwords[i + 1] if i + 1 < len(subwords) else ""
            if not _BYTES.fullmatch(following):
                # Like SentencePiece, write one character for each byte that is part of no character.
                text = pending.decode("utf-8", "surrogateescape")
                end = position + visible_length(text)
                spans += [(position, end)] * len(pending)
                position, pending = end, bytearray()
            continue
        length = 0 if subword == "</s>" else visible_length(subword.replace("▁", ""))
        spans.append((position, position + length))
        position += length
    return spans, position


def words_of(text: str) -> Iterator[tuple[int, int]]:
    """Yield the offsets of words, numbers, emoji and single marks in a text."""
    emoji = [] if text.isascii() else [match.span() for match in _EMOJI.finditer(text)]
    position = 0
    for start, end in emoji:
        yield from _words_without_emoji(text, position, start)
        yield start, end
        position = end
    yield from _words_without_emoji(text, position, len(text))


def _words_without_emoji(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    start, kind = first, ""
    for i in range(first, last):
        character = text[i]
        new = _kind(character)
        joins = new == kind == "L" or new == kind == "N" or (new == "M" and kind)
        inner = character in "'’" and kind == "L" and _kind(text[i + 1 : i + 2]) == "L"
        if not joins and not inner:
            if kind:
                yield start, i
            start, kind = i, new
    if kind:
        yield start, last


def _kind(character: str) -> str:
    """Return the kind of a character: a letter, mark, number or other sign; nothing for white space."""
    if not character or character.isspace():
        return ""
    category = "M" if unicodedata.category(character) == "Cf" else unicodedata.category(character)[0]
    if category in "LN" and UNSPACED_SCRIPTS.match(character):  # each character is a word of its own
        return "C"
    return category if category in "LMN" else "P"
