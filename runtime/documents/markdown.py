"""Markdown: CommonMark, the tables, strikethrough, task lists and footnotes of GitHub, and common extensions."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from markdown_it.token import Token

from dragoman.runtime.documents.html import BLOCKS, COPIED, RAW_TEXT
from dragoman.runtime.documents.html import segments as html_segments
from dragoman.runtime.documents.markdown_inline import (
    HEADING_ATTRIBUTES,
    BlockKind,
    Context,
    one_line,
    paired,
    read,
    spelling,
    trimmed,
)
from dragoman.runtime.documents.markdown_parser import Parser
from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import Edit, Segment, Tag, has_words

Html = Callable[[str, Options], list[Segment]]


def segments(source: str, options: Options, html: Html | None = html_segments) -> list[Segment]:
    """Return the segments of a Markdown document.

    Args:
        source: The document.
        options: Options of formats. They do not concern Markdown, but `html` gets them.
        html: Returns the segments of an HTML block, which need not be complete HTML. None: HTML blocks are copied.
    """
    document = _Document(source)
    found: list[Segment] = []
    for block in document.blocks():
        if block.kind == "html":
            if html is not None:
                start = document.start_of_html(block)
                found += document.shifted(html(source[start : block.end], options), start)
        else:
            found += document.segments(block)
    return found


_LINE = re.compile(r"(.*?)(\r\n|\r|\n|\Z)", re.DOTALL)
_LONE_TAG = re.compile(r" {0,3}</?([A-Za-z][A-Za-z0-9-]*)\b[^<>]*>[ \t]*")
_BLOCK_STARTS = {"paragraph_open": "paragraph", "heading_open": "setext", "th_open": "cell", "td_open": "cell"}


class _Block(NamedTuple):
    """A block of inline text, or an HTML block.

    Attributes:
        kind: The kind of the block.
        text: Its text without the prefixes of its lines, such as `> `. The cells of a table have bare pipes.
        starts: Offsets in the source at which the lines of the text begin.
        end: Offset of the end of an HTML block.
        place: Its cell, if it is one.
    """

    kind: BlockKind
    text: str
    starts: list[int]
    end: int = 0
    place: str = ""


def _offsets(block: _Block) -> Callable[[int], int]:
    """Return a function from positions in the text of a block to offsets in the source."""
    if block.kind == "cell":
        pipes = [match.start() for match in re.finditer(r"\|", block.text)]  # each is spelt `\|` in the source
        return lambda position: block.starts[0] + position + bisect_left(pipes, position)
    line_starts, indents = [0], []
    for line in block.text.split("\n"):
        line_starts.append(line_starts[-1] + len(line) + 1)
        indents.append(len(line) - len(line.lstrip(" \t")))

    def offset(position: int) -> int:
        number = bisect_right(line_starts, position) - 1
        return block.starts[number] + position - line_starts[number] - indents[number]

    return offset


class _Document:
    """A Markdown document with its lines and its parser."""

    def __init__(self, source: str) -> None:
        self.source = source
        begin = 1 if source.startswith("\ufeff") else 0
        spans = [match.span(1) for match in _LINE.finditer(source, begin)]
        if len(spans) > 1 and spans[-1] == spans[-2]:
            spans.pop()  # the pattern also matches the empty string after a last line without a line feed
        self.starts = [start for start, _ in spans]
        self.ends = [end for _, end in spans]
        lines = [source[start:end].replace("\0", "\ufffd") for start, end in spans]
        n_matter = _front_matter(lines)
        lines[:n_matter] = [""] * n_matter
        self.lines = lines
        self.text = "\n".join(lines)
        self.newline = source[self.ends[0] : self.starts[1]] if len(spans) > 1 else "\n"
        self.parser = Parser()

    def line_of(self, offset: int) -> int:
        """Return the number of a line, from 0."""
        return bisect_right(self.starts, offset) - 1

    def start_of_html(self, block: _Block) -> int:
        """Return the offset at which the text of an HTML block begins.

        An inline tag begins a block only if it is alone on its line (CommonMark, HTML blocks, condition 7). So it stays
        there, and does not travel with its words.
        """
        start = block.starts[0]
        number = self.line_of(start)
        tag = _LONE_TAG.fullmatch(self.lines[number])
        is_inline = tag and tag[1].lower() not in BLOCKS | COPIED | RAW_TEXT and self.ends[number] < block.end
        return self.starts[number + 1] if is_inline else start

    def shifted(self, found: list[Segment], offset: int) -> Iterator[Segment]:
        """Yield the segments of a part of the document that begins at an offset."""
        for segment in found:
            edits = tuple(Edit(edit.start + offset, edit.end + offset, edit.text) for edit in segment.edits)
            start, end = segment.start + offset, segment.end + offset
            yield replace(segment, start=start, end=end, edits=edits, place=f"line {self.line_of(start) + 1:,}")

    def blocks(self) -> Iterator[_Block]:
        """Yield the blocks that hold text, in order."""
        tokens = self.parser.parse_blocks(self.text)
        row: list[tuple[int, int]] = []
        column = 0
        for previous, token in zip([None, *tokens], tokens, strict=False):
            if token.type == "tr_open":
                row, column = self._cells(token), 0
            elif token.type == "html_block" and token.level == 0 and token.map:
                first, last = token.map[0], max(token.map[0], min(token.map[1], len(self.lines)) - 1)
                yield _Block("html", "", [self.starts[first]], self.ends[last])
            elif token.type != "inline" or previous is None or previous.type not in _BLOCK_STARTS:
                continue
            elif previous.type in ("th_open", "td_open"):
                if token.content:
                    start, _ = row[column]
                    assert token.map is not None
                    place = f"line {token.map[0] + 1:,}, column {column + 1}"
                    yield _Block("cell", token.content, [start], place=place)
                column += 1
            elif token.content:
                yield from self._inline_block(previous, token)

    def _cells(self, token: Token) -> list[tuple[int, int]]:
        """Return the offsets of the stripped cells of a table row, by the rules of the parser."""
        assert token.map is not None
        line = token.map[0]
        end = self.starts[line] + len(self.lines[line].rstrip())
        start = self.starts[line] + token.meta["column"]
        start += len(self.source[start:end]) - len(self.source[start:end].lstrip())
        spans, begin = [], start
        for match in _PIPE.finditer(self.source, start, end):
            spans.append((begin, match.start()))
            begin = match.end()
        spans.append((begin, end))
        if spans[0][0] == spans[0][1]:
            spans.pop(0)
        return [(a + len(self.source[a:b]) - len(self.source[a:b].lstrip()), b) for a, b in spans]

    def _inline_block(self, parent: Token, token: Token) -> Iterator[_Block]:
        """Yield a paragraph or heading, or nothing if its lines cannot be found or must stay as they are."""
        assert token.map is not None
        text = token.content
        kind: BlockKind = "paragraph"
        if parent.type == "heading_open":
            kind = "atx" if parent.markup.startswith("#") else "setext"
            text = HEADING_ATTRIBUTES.sub("", text)
        if not text:
            return
        if kind == "atx":
            line = self.lines[token.map[0]].rstrip(" \t")
            end = len(line)
            without = line.rstrip("#")
            if without != line and without.endswith((" ", "\t")) and without.rstrip().endswith(token.content):
                end = len(without.rstrip())
            else:
                end = len(line.rstrip())
            yield _Block(kind, text, [self.starts[token.map[0]] + end - len(token.content)])
            return
        starts: list[int] = []
        number = token.map[0]
        pieces = token.content.split("\n")
        if kind == "paragraph" and len(pieces) > 1 and any(map(_DRAWN.match, pieces)):
            return
        for piece in pieces:
            piece = piece.lstrip(" \t")
            last = len(starts) == len(pieces) - 1
            # The parser strips every kind of white space at both ends, so lines at the beginning may be gone.
            while number < token.map[1] and not self._line(number, last).endswith(piece):
                number += 1
            if number >= token.map[1]:
                return
            starts.append(self.starts[number] + len(self._line(number, last)) - len(piece))
            number += 1
        yield _Block(kind, text, starts)

    def _line(self, number: int, last: bool) -> str:
        return self.lines[number].rstrip() if last else self.lines[number]

    def segments(self, block: _Block) -> Iterator[Segment]:
        """Yield the segments of a block: its text between line breaks, or the alternative texts of its images."""
        text = block.text
        inline = read(self.parser.parse_inline(text), text, block.kind == "cell")
        offset = _offsets(block)
        image_positions = [position for position, _ in inline.images]
        bounds = [(-1, 0, 0), *inline.breaks, (len(inline.items), len(text), len(text))]
        for k, ((i, _, begin), (j, end, _)) in enumerate(pairwise(bounds)):
            part = text[begin:end]
            begin += len(part) - len(part.lstrip())
            end = begin + len(part.strip())
            content = paired(trimmed(inline.items[i + 1 : j]))
            context = Context(
                kind=block.kind,
                starts_line=self._starts_line(block, k),
                after_break=k > 0,
                before_break=k < len(bounds) - 2,
            )
            if has_words(content):
                start = offset(begin)
                context = self._with_lines(context, block, start, offset(end - 1) + 1, "\n" in text[begin:end])
                place = block.place or f"line {self.line_of(start) + 1:,}"
                write = partial(spelling, self.parser, context)
                yield Segment(start, self._end(block, offset, end), content, place, write)
                continue
            for _, image in inline.images[bisect_right(image_positions, i) : bisect_right(image_positions, j)]:
                yield from self._alternative_text(block, image, text, offset)

    def _end(self, block: _Block, offset: Callable[[int], int], end: int) -> int:
        """Return the offset after the last character of a segment, which is two characters long if it is a pipe."""
        last = offset(end - 1) + 1
        return last + (block.kind == "cell" and block.text[end - 1] == "|")

    def _starts_line(self, block: _Block, part: int) -> bool:
        """Return whether nothing but prefixes of a block stands before one of its parts on the line."""
        if block.kind == "cell":
            start = block.starts[0]
            return part == 0 and self.source.find("|", self.starts[self.line_of(start)], start) < 0
        return block.kind != "atx"

    def _with_lines(self, context: Context, block: _Block, start: int, end: int, wrapped: bool) -> Context:
        """Return the context with the layout of the source: prefix and width of lines."""
        if len(block.starts) < 2:
            return context
        second = self.line_of(block.starts[1])
        first, last = self.line_of(start), self.line_of(end - 1)
        return replace(
            context,
            newline=self.newline + self.source[self.starts[second] : block.starts[1]],
            column=start - self.starts[first],
            width=max(self.ends[i] - self.starts[i] for i in range(first, last + 1)) if wrapped else 0,
        )

    def _alternative_text(
        self, block: _Block, image: Token, text: str, offset: Callable[[int], int]
    ) -> Iterator[Segment]:
        """Yield the alternative text of an image, if it is plain text."""
        begin, after = image.meta["span"]
        begin += 2
        end = begin + len(image.content)
        content = trimmed(read(image.children or [], image.content, block.kind == "cell").items)
        if not has_words(content) or any(isinstance(item, Tag) for item in content):
            return
        tail = ""
        closing = text[end:after]
        if closing in ("]", "][]"):
            tail = f"][{one_line(image.content, block.kind == 'cell')}]"
            end = after
        else:
            end -= len(image.content) - len(image.content.rstrip())
        begin += len(image.content) - len(image.content.lstrip())
        context = Context("alt", in_cell=block.kind == "cell", tail=tail)
        start = offset(begin)
        place = f"{block.place or f'line {self.line_of(start) + 1:,}'} (image)"
        write = partial(spelling, self.parser, context)
        yield Segment(start, self._end(block, offset, end), tuple(content), place, write)


_PIPE = re.compile(r"(?<!\\)\|")
# Lines of tables and drawings that this parser takes for text. Joining them would destroy them.
_DRAWN = re.compile(r"[ \t]*[|+]|[-=~+*|: \t]{3,}$")


def _front_matter(lines: list[str]) -> int:
    """Return the number of lines of YAML or TOML at the beginning of a document."""
    closing = {"---": ("---", "..."), "+++": ("+++",)}.get(lines[0].rstrip())
    if closing is None:
        return 0
    for i, line in enumerate(lines[1:], 2):
        if line.rstrip() in closing:
            return i
    return 0
