"""HTML: paragraphs and other blocks, with their inline elements.

The tokens follow the HTML standard (section 13.2.5, Tokenization), but keep their offsets, and no tree is built: only
the difference between block and inline elements counts here. Attributes, such as `alt` and `title`, stay as they are.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import (
    Content,
    Kind,
    Segment,
    Tag,
    Text,
    has_words,
    line_finder,
    pair_tags,
    stripped,
    writer,
)
from dragoman.runtime.errors import UserError

# Elements that separate sentences. All others are inline, as they are for a browser that does not know them.
BLOCKS = frozenset(
    "address article aside audio base blockquote body br canvas caption center col colgroup dd details dialog dir div "
    "dl dt fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html iframe "
    "legend li link main menu meta nav noframes noscript object ol optgroup option p param plaintext pre script search "
    "section select source style summary table tbody td template textarea tfoot th thead title tr track ul video "
    "xmp".split()
)
VOID = frozenset("area base br col embed frame hr img input keygen link meta param source track wbr".split())
RAW_TEXT = frozenset("iframe noembed noframes script style xmp".split())  # their content is no markup
RAW_TEXT_WITH_ENTITIES = frozenset({"textarea", "title"})
COPIED = frozenset("code kbd math pre samp svg".split())

# The end tags of these may be left out: each is closed by a start tag of its group.
_CLOSED_BY = {
    "p": BLOCKS - {"br"},
    "li": frozenset({"li"}),
    **dict.fromkeys(("dt", "dd"), frozenset({"dt", "dd"})),
    **dict.fromkeys(("td", "th"), frozenset("td th tr tbody tfoot".split())),
    "tr": frozenset("tr tbody tfoot".split()),
    "option": frozenset({"option", "optgroup"}),
}

MAX_TOKENS = 2_000_000  # of a document; they take up to 450 bytes each

_SPACE = re.compile(r"[ \t\n\f\r]+")
_TAG_NAME = re.compile(r"[a-zA-Z][^\t\n\f\r />]*")
_TAG_PART = re.compile(r"[>=]")
_COMMENT_END = re.compile(r"--!?>")
_SCRIPT_MARK = re.compile(r"<!--|-->|<(/?)script(?=[\s/>])", re.IGNORECASE)
_NOT_TRANSLATED = re.compile(
    r"""\stranslate\s*=\s*["']?no\b|\sclass\s*=\s*(?:"[^"]*(?<![^\s"])notranslate(?![^\s"])|"""
    r"""'[^']*(?<![^\s'])notranslate(?![^\s'])|notranslate[\s/>])""",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the source from `start` to `end`: text, a tag, or something else such as a comment."""

    kind: Literal["text", "raw", "tag", "other"]  # raw: content of an element such as script
    start: int
    end: int
    name: str = ""  # of a tag, in small letters
    closes: bool = False
    empty: bool = False  # <br/>


def segments(source: str, options: Options) -> list[Segment]:
    """Return the segments of an HTML document or fragment."""
    return list(_segments(source))


def _segments(source: str) -> Iterator[Segment]:
    line = line_finder(source)
    content: list[tuple[Token, Content]] = []
    tokens = [*islice(_tokens(source), MAX_TOKENS + 1)]
    if len(tokens) > MAX_TOKENS:
        raise UserError(f"it has more than {MAX_TOKENS:,} tags and stretches of text; split it")
    ends = _ends_of_elements(tokens)
    i = 0
    while i < len(tokens):
        token = tokens[i]
        is_copied = token.kind == "tag" and not token.closes and _is_copied(source, token)
        end = ends[i] if is_copied else i + 1
        if token.kind == "raw" or (token.kind == "tag" and token.name in BLOCKS):
            yield from _segment(source, content, line)
            content = []
            if token.kind == "raw" and _holds_prose(tokens, i):
                yield from _segment(source, [(token, _text(source, token))], line)
        elif is_copied:
            content.append(_copied(source, tokens[i:end]))
        elif token.kind == "text":
            content.append((token, _text(source, token)))
        else:
            content.append((token, _tag(source, token)))
        i = end
    yield from _segment(source, content, line)


def _segment(source: str, content: Sequence[tuple[Token, Content]], line: Callable[[int], int]) -> Iterator[Segment]:
    """Yield the segment of a block's content, unless it has no words."""
    items = [item for _, item in content]
    if not has_words(items):
        return
    start, end = content[0][0].start, content[-1][0].end
    while source[start] in " \t\n\f\r":
        start += 1
    while source[end - 1] in " \t\n\f\r":
        end -= 1
    yield Segment(start, end, pair_tags(stripped(items)), f"line {line(start):,}", WRITE)


def _escape(text: str) -> str:
    return html.escape(text, quote=False)


WRITE = writer(_escape)


def _text(source: str, token: Token) -> Text:
    return Text(_SPACE.sub(" ", html.unescape(source[token.start : token.end])))


def _tag(source: str, token: Token) -> Tag:
    kind: Kind = "close" if token.closes else "empty" if token.empty or not token.name else "open"
    return Tag(source[token.start : token.end], kind, token.name)


def _copied(source: str, tokens: Sequence[Token]) -> tuple[Token, Content]:
    """Return an inline element that is copied: its text with its tags as the spelling, or a tag if it has no text."""
    token = Token("other", tokens[0].start, tokens[-1].end)
    spelling = source[token.start : token.end]
    text = "".join(_text(source, part).text for part in tokens if part.kind == "text").strip(" ")
    return token, (Text(text, spelling) if text else Tag(spelling, "empty"))


def _is_copied(source: str, token: Token) -> bool:
    if token.name in VOID or token.empty:
        return False
    return token.name in COPIED or _NOT_TRANSLATED.search(source, token.start, token.end) is not None


def _holds_prose(tokens: Sequence[Token], i: int) -> bool:
    """Return whether raw text is that of a title or textarea."""
    return i > 0 and tokens[i - 1].name in RAW_TEXT_WITH_ENTITIES


def _ends_of_elements(tokens: Sequence[Token]) -> dict[int, int]:
    """Return, for the position of each start tag, the position after its element's last token.

    An end tag that may be left out is implied. A block without an end ends with the document, and an inline element at
    the next block.
    """
    ends: dict[int, int] = {}
    opened: list[int] = []
    names: Counter[str] = Counter()  # of opened elements

    def close(end: int) -> str:
        position = opened.pop()
        ends[position] = end
        name = tokens[position].name
        names[name] -= 1
        return name

    for i, token in enumerate(tokens):
        if token.kind != "tag" or token.empty or token.name in VOID:
            continue
        if not token.closes:
            while opened and token.name in _CLOSED_BY.get(tokens[opened[-1]].name, ()):
                close(i)
            opened.append(i)
            names[token.name] += 1
        elif names[token.name]:
            while tokens[opened[-1]].name != token.name:
                close(i)
            close(i + 1)
    next_block = len(tokens)
    for i in reversed(range(len(tokens))):
        token = tokens[i]
        is_block = token.kind == "tag" and token.name in BLOCKS
        if token.kind == "tag" and not token.closes and not token.empty:
            ends.setdefault(i, len(tokens) if is_block else next_block)
        next_block = i if is_block else next_block
    return ends


def _tokens(source: str) -> Iterator[Token]:
    """Yield the tokens of a document. Their ranges follow one another without gaps."""
    is_xml = source.lstrip("\ufeff \t\r\n").startswith("<?xml")
    text_start = position = 0
    while (position := source.find("<", position)) >= 0:
        token = _markup(source, position, is_xml)
        if token is None:  # a bare <
            position += 1
            continue
        if text_start < position:
            yield Token("text", text_start, position)
        yield token
        text_start = position = token.end
        if token.kind == "tag" and not token.closes and not token.empty:
            end = _end_of_raw_text(source, token)
            if end > position:
                yield Token("raw", position, end)
                text_start = position = end
    if text_start < len(source):
        yield Token("text", text_start, len(source))


def _markup(source: str, start: int, is_xml: bool) -> Token | None:
    """Return the token that begins with a `<`, or None if it is text."""
    if source.startswith("<!--", start):
        if source.startswith((">", "->"), start + 4):
            return Token("other", start, source.index(">", start) + 1)
        match = _COMMENT_END.search(source, start + 4)
        return Token("other", start, match.end() if match else len(source))
    if source.startswith("<![CDATA[", start) and is_xml:
        return Token("other", start, _after(source, "]]>", start))
    if source.startswith(("<?php", "<?="), start):  # templates; code may hold a >
        return Token("other", start, _after(source, "?>", start))
    closes = source.startswith("</", start)
    name = _TAG_NAME.match(source, start + 1 + closes)
    if name:
        end, empty = _end_of_tag(source, name.end())
        if end < 0:  # parsers drop a tag that has no end
            return Token("other", start, len(source))
        return Token("tag", start, end, name[0].lower(), closes, empty and is_xml)
    if source.startswith(("<!", "<?"), start) or (closes and start + 2 < len(source)):
        return Token("other", start, _after(source, ">", start))
    return None


def _after(source: str, mark: str, start: int) -> int:
    """Return the offset after the next mark, or the end of the source."""
    position = source.find(mark, start)
    return len(source) if position < 0 else position + len(mark)


def _end_of_tag(source: str, position: int) -> tuple[int, bool]:
    """Return the offset after a tag's `>`, or -1 if it has none, and whether it ends in `/>`.

    Quotes count only around a value.
    """
    while match := _TAG_PART.search(source, position):
        position = match.end()
        if match[0] == ">":
            return position, source[position - 2] == "/"
        space = _SPACE.match(source, position)
        value = space.end() if space else position
        quote = source[value : value + 1]
        if quote in ('"', "'"):
            closing = source.find(quote, value + 1)
            if closing < 0:
                break
            position = closing + 1
        elif quote and quote != ">":
            end = re.compile(r"[\t\n\f\r >]").search(source, value)
            position = end.start() if end else len(source)
    return -1, False


def _end_of_raw_text(source: str, tag: Token) -> int:
    """Return the offset at which the raw text after a start tag ends, or that of the tag's end if it has none."""
    if tag.name == "plaintext":
        return len(source)
    if tag.name == "script":
        escaped = nested = False
        for mark in _SCRIPT_MARK.finditer(source, tag.end):
            if mark[0] in ("<!--", "-->"):
                escaped, nested = mark[0] == "<!--", nested and mark[0] == "<!--"
            elif mark[1] and not nested:
                return mark.start()
            else:
                nested = escaped and not mark[1]
        return len(source)
    if tag.name in RAW_TEXT or tag.name in RAW_TEXT_WITH_ENTITIES:
        end = re.compile(rf"</{tag.name}(?=[\s/>])", re.IGNORECASE).search(source, tag.end)
        return end.start() if end else len(source)
    return tag.end
