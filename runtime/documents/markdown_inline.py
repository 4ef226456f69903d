"""Inline content of Markdown: texts and tags from the tokens of the parser, and their spelling in a document.

Every translation is parsed again before it is written: where it does not read as the text and the marks that it
should hold, it is written once more with more escapes, and at last with HTML tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple, TypeGuard

from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.token import Token

from dragoman.runtime.documents.html import VOID
from dragoman.runtime.documents.markdown_parser import ATTRIBUTES, Parser
from dragoman.runtime.documents.segments import Content, Tag, Text, pair_tags
from dragoman.runtime.errors import UserError

BlockKind = Literal["paragraph", "setext", "atx", "cell", "alt", "html"]
HEADING_ATTRIBUTES = re.compile(r"(?<![ \t])[ \t]*\{(?:[:#.][^{}]*|/\*[^{}]*\*/)\}$")
_SPACES = re.compile(r"[ \t\n\r\x0b\x0c\x1c-\x1f\x85\u2028\u2029]+")
_NAME = re.compile(  # addresses that need no parser
    r"((?<![\w.+-])[A-Za-z0-9][\w.+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
    r"|(?<![\w.-])www\.[^\s<>\[\]{}`*|\\\"\u3000-\u303f\uff00-\uffef]*[A-Za-z0-9/])"
)
_HTML_NAME = re.compile(r"</?([A-Za-z][\w.:-]*)")

_EMPHASIS = {"*": "em", "_": "em", "**": "strong", "__": "strong", "~~": "s"}
_LINK = "["
_BREAK = "br"


class Inline(NamedTuple):
    """The content of a block.

    Attributes:
        items: Texts and tags, with a tag for each line break.
        breaks: Line breaks outside emphasis and links: index in `items`, and offsets of start and end in the text.
        images: Indices in `items` and tokens of images.
    """

    items: list[Content]
    breaks: list[tuple[int, int, int]]
    images: list[tuple[int, Token]]


def one_line(text: str, in_cell: bool) -> str:
    """Return the spelling of a construct on one line, or in a cell."""
    text = text.replace("\n", " ")
    return text.replace("|", "\\|") if in_cell else text


def read(tokens: list[Token], src: str, in_cell: bool) -> Inline:
    """Return the content that the inline tokens of a text hold."""
    items: list[Content] = []
    breaks, images = [], []
    texts: list[str] = []
    labels: list[int] = []  # where the labels of open links begin
    depth = 0

    def flush() -> None:
        text = _SPACES.sub(" ", "".join(texts))
        texts.clear()
        for i, part in enumerate(_NAME.split(text)):
            if part:
                items.append(Text(part, part if i % 2 else None))

    i = 0
    while i < len(tokens):
        token = tokens[i]
        i += 1
        depth += token.nesting
        if token.type in ("text", "text_special"):
            texts.append(token.content)
            continue
        if token.type == "softbreak":
            texts.append(" ")
            continue
        flush()
        start, end = token.meta.get("span", (0, 0))
        source = one_line(src[start:end], in_cell)
        if token.type == "hardbreak" or (token.type == "html_inline" and _html_name(token.content) == _BREAK):
            if depth == 0:
                breaks.append((len(items), start, end))
            if token.type == "hardbreak":  # the spaces before it were read as text
                while src[start] != "\\" and src[start - 1] == " ":
                    start -= 1
                source = src[start:end].rstrip(" \t")
            items.append(Tag(source, "empty", _BREAK))
        elif token.type == "code_inline":
            items.append(Text(token.content, source))
        elif token.type == "copied":
            if ATTRIBUTES.match(source) and items and start > 0 and _takes_attributes(items[-1], src[start - 1]):
                items[-1] = replace(items[-1], source=f"{items[-1].source}{source}")
            else:
                source = one_line(token.content, in_cell)
                items.append(Text(source, source))
        elif token.type == "footnote":
            items.append(Tag(source, "empty", "footnote"))
        elif token.type == "html_inline":
            items.append(_html_tag(source))
        elif token.type == "image":
            images.append((len(items), token))
            items.append(Tag(source, "empty", "image"))
        elif token.type == "link_open" and token.markup == "autolink":
            items.append(Text(tokens[i].content, source))
            depth -= 1
            i += 2
        elif token.type == "link_open":
            labels.append(start + 1)
            items.append(Tag("[", "open", _LINK))
        elif token.type == "link_close":
            items.append(Tag(_link_end(src, labels.pop(), token.meta["label_end"], end, in_cell), "close", _LINK))
        else:
            items.append(Tag(token.markup, "open" if token.nesting > 0 else "close", token.markup))
    flush()
    return Inline(items, breaks, images)


def _link_end(src: str, label: int, label_end: int, end: int, in_cell: bool) -> str:
    """Return the closing tag of a link. One that its text refers to a definition gets the definition's label."""
    closing = src[label_end:end]
    if closing in ("]", "][]"):
        closing = f"][{src[label:label_end]}]"
    return one_line(closing, in_cell)


def _takes_attributes(item: Content, previous: str) -> bool:
    """Return whether attributes such as `{.class}` belong to the item right before them."""
    if isinstance(item, Tag):
        return previous in ")]" and item.name in (_LINK, "image")
    return item.source is not None and previous == "`" and item.source.endswith("`")


def _html_name(tag: str) -> str:
    match = _HTML_NAME.match(tag)
    return match[1].lower() if match else ""


def _html_tag(source: str) -> Tag:
    name = _html_name(source)
    if not name or name in VOID or source.endswith("/>"):
        return Tag(source, "empty", name)
    return Tag(source, "close" if source.startswith("</") else "open", name)


def paired(items: Sequence[Content]) -> tuple[Content, ...]:
    """Return content with pairs of tags. Where HTML tags and Markdown's own marks cross, only the marks are pairs."""
    content = pair_tags(items)
    if any(isinstance(item, Tag) and item.kind == "empty" and _is_mark(item) for item in content):
        marks = (
            replace(item, kind="empty") if isinstance(item, Tag) and not _is_mark(item) else item for item in items
        )
        content = pair_tags(marks)
    return content


def trimmed(items: Sequence[Content]) -> list[Content]:
    """Return content without white space at its ends."""
    trimmed = list(items)
    for i, strip in ((0, str.lstrip), (-1, str.rstrip)):
        if trimmed and isinstance(trimmed[i], Text) and trimmed[i].source is None:
            text = strip(trimmed[i].text)  # type: ignore[union-attr]  # it is a Text
            trimmed[i : i + 1 or None] = [Text(text)] if text else []
    return trimmed


@dataclass(frozen=True)
class Context:
    """The place of a segment, as far as its spelling depends on it.

    Attributes:
        kind: The kind of its block.
        starts_line: The segment is at the beginning of a line, where it must not look like another block.
        after_break: A line break stands before it in its block.
        before_break: A line break stands after it.
        in_cell: It is in a table.
        tail: What follows an alternative text that was also the label of its image: the label, as the source spells it.
        newline: A line ending and the prefix of a further line.
        column: Number of characters before it on its line.
        width: Length of the longest line, to wrap the text at; 0 if it stands on one line.
    """

    kind: BlockKind
    starts_line: bool = False
    after_break: bool = False
    before_break: bool = False
    in_cell: bool = False
    tail: str = ""
    newline: str = "\n"
    column: int = 0
    width: int = 0

    @property
    def is_cell(self) -> bool:
        """Return whether pipes must be escaped."""
        return self.in_cell or self.kind == "cell"


def spelling(parser: Parser, context: Context, content: Sequence[Content]) -> str:
    """Return the spelling of content that reads as its texts and tags."""
    items = _nested(content)
    expected = _signature(items)
    own = {i: item.source for i, item in enumerate(items) if isinstance(item, Tag)}
    chosen = own | _delimiters(items)
    html = own | {i: _as_html(item) for i, item in enumerate(items) if isinstance(item, Tag) and _as_html(item)}
    text = ""
    flat = replace(context, width=0)
    short = own | _shortcuts(items)
    attempts = ((short, False, context), (own, False, context), (own, False, flat), (chosen, False, context))
    for tags, strong, layout in (*attempts, (chosen, True, flat), (html, True, flat)):
        text = _spelled(items, tags, strong, layout)
        if _reread(parser, text, context) == expected:
            break
    return text.replace("\n", context.newline) + context.tail


def _shortcuts(items: Sequence[Content]) -> dict[int, str]:
    """Return the short spelling of links whose text is still the label of their definition, by index of the tag."""
    return {
        i: "]"
        for i, (opening, text, closing) in enumerate(zip(items, items[1:], items[2:], strict=False), 2)
        if isinstance(opening, Tag) and opening.source == "[" and isinstance(text, Text) and text.source is None
        if isinstance(closing, Tag) and closing.source == f"][{text.text}]"
    }


def _is_mark(item: Content | None) -> TypeGuard[Tag]:
    """Return whether an item is a tag of emphasis or of a link."""
    return isinstance(item, Tag) and (item.name in _EMPHASIS or item.name == _LINK)


def _nested(content: Sequence[Content]) -> list[Content]:
    """Return content whose marks nest and have no white space inside their ends, so that Markdown can spell it."""
    closing = {item.pair: item for item in content if isinstance(item, Tag) and item.kind == "close"}
    items: list[Content] = []
    opened: list[Tag] = []
    seen: set[int] = set()  # pairs whose closing tag is written, or came before its opening tag
    started: set[int] = set()
    links = 0

    def close(pair: int) -> None:
        nonlocal links
        while True:
            tag = opened.pop()
            items.append(closing[tag.pair])
            seen.add(tag.pair)
            links -= tag.name == _LINK
            if tag.pair == pair:
                return

    for item in content:
        if isinstance(item, Text):
            text = item.text.replace("\0", "\ufffd")
            if item.source is None:
                items.append(Text(_SPACES.sub(" ", text)))
                continue
            if items and item.source[:1] == "`" == (items[-1].source or "")[-1:]:
                items.append(Text(" "))  # the marks of two code spans must not touch
            items.append(item)
        elif not _is_mark(item) or not item.pair:
            items.append(item)
        elif item.kind == "close":
            if item.pair in started and item.pair not in seen:
                close(item.pair)
            seen.add(item.pair)
        elif item.pair in seen:
            items += [item, closing[item.pair]]
        elif item.pair in closing:
            if item.name == _LINK and links:  # no link can contain another
                close(next(tag.pair for tag in opened if tag.name == _LINK))
            opened.append(item)
            started.add(item.pair)
            links += item.name == _LINK
            items.append(item)
    if opened:
        close(opened[0].pair)
    items = _spaces_outside(items[::-1], "open", str.lstrip)[::-1]
    items = _spaces_outside(items, "close", str.rstrip)
    return trimmed(_joined(items))


def _spaces_outside(items: list[Content], kind: str, strip: Callable[[str, str], str]) -> list[Content]:
    """Return items with the spaces that stand right before a tag of a kind moved after it."""
    out: list[Content] = []
    for item in items:
        previous = out[-1] if out else None
        if _is_mark(item) and item.kind == kind and isinstance(previous, Text) and previous.source is None:
            text = strip(previous.text, " ")
            if text != previous.text:
                out.pop()
                out += [Text(text), item, Text(" ")] if text else [item, Text(" ")]
                continue
        out.append(item)
    return out


def _joined(items: Sequence[Content]) -> list[Content]:
    """Return items with adjacent texts joined, and no run of spaces."""
    out: list[Content] = []
    texts: list[str] = []
    for item in [*items, None]:
        if isinstance(item, Text) and item.source is None:
            texts.append(item.text)
            continue
        if text := _SPACES.sub(" ", "".join(texts)):
            out.append(Text(text))
        texts.clear()
        if item is not None:
            out.append(item)
    return out


def _as_html(tag: Tag) -> str:
    """Return the HTML tag for emphasis or a line break, or an empty string for another tag."""
    if tag.name == _BREAK:
        return "<br>"
    if tag.name not in _EMPHASIS:
        return ""
    return f"<{'/' if tag.kind == 'close' else ''}{_EMPHASIS[tag.name]}>"


def _signature(items: Sequence[Content]) -> list[tuple[str, str]]:
    """Return what a reader sees of content: equal for two spellings of the same emphasis, for example."""
    signature: list[tuple[str, str]] = []
    texts: list[str] = []
    for item in [*items, None]:
        if isinstance(item, Text) and (item.source is None or (item.source == item.text and item.text[:1] != "$")):
            texts.append(item.text)
            continue
        if text := _SPACES.sub(" ", "".join(texts)):
            signature.append(("text", text))
        texts.clear()
        if isinstance(item, Text):
            signature.append(("copied", item.source or ""))
        elif item is not None:
            signature.append(("tag", _as_html(item) or item.source))
    return signature


def _reread(parser: Parser, text: str, context: Context) -> list[tuple[str, str]] | None:
    """Return the signature of a spelling, parsed in a small document like its own; None if its block is another."""
    before, after = "x\\\n" * context.after_break, "\\\nx" * context.before_break
    if context.kind == "cell":
        before, after = before and "x<br>", after and "<br>x"
    text = before + text + after
    document, wanted = {
        "paragraph": (text, ["paragraph_open", "inline", "paragraph_close"]),
        "setext": (f"{text}\n---", ["heading_open", "inline", "heading_close"]),
        "atx": (f"# {text}", ["heading_open", "inline", "heading_close"]),
        "cell": (f"|{text}|\n|-|", ["table_open", "thead_open", "tr_open", "th_open", "inline"]),
        "alt": (f"![{text}](x)", ["paragraph_open", "inline", "paragraph_close"]),
    }[context.kind]
    if context.kind == "alt" and context.in_cell:
        document, wanted = f"|![{text}](x)|\n|-|", ["table_open", "thead_open", "tr_open", "th_open", "inline"]
    try:
        tokens = parser.parse_again(document)
    except UserError:
        return None
    n_lines = 2 if context.is_cell else text.count("\n") + 1 + (context.kind == "setext")
    if [token.type for token in tokens[: len(wanted)]] != wanted or (not context.is_cell and len(tokens) > len(wanted)):
        return None
    if tokens[0].map != [0, n_lines]:
        return None
    source = tokens[wanted.index("inline")].content
    if context.kind in ("atx", "setext") and HEADING_ATTRIBUTES.search(source):
        return None
    inline = read(parser.parse_inline(source), source, context.is_cell)
    if context.kind == "alt":
        if len(inline.items) != 1 or not inline.images:
            return None
        _, image = inline.images[0]
        inline = read(image.children or [], image.content, context.is_cell)
    signature = _signature(inline.items)
    for mark, edge in ((before, slice(0, 2)), (after, slice(-2, None))):
        if mark:
            if sorted(signature[edge]) != [("tag", "<br>"), ("text", "x")]:
                return None
            del signature[edge]
    return signature


def _spelled(items: Sequence[Content], tags: Mapping[int, str], strong: bool, context: Context) -> str:
    """Return content with the given spelling of tags, escaped, and wrapped as the source was."""
    words = [""]
    rough = ["" if isinstance(item, Text) and item.source is None else tags.get(i, item.source or "")
             for i, item in enumerate(items)]  # fmt: skip
    for i, item in enumerate(items):
        if not (isinstance(item, Text) and item.source is None):
            words[-1] += rough[i]
            continue
        before = _edge(items, rough, i - 1, -1)
        after = _edge(items, rough, i + 1, 0)
        text = (_escape_all if strong else _escape)(item.text, before, after, context)
        starts_line = context.starts_line and len(words) == 1 and not words[0]
        if starts_line or words[-1].endswith("\n"):
            text = _escape_start(text)
        first, *rest = text.split(" ")
        words[-1] += first
        words += rest
    text = _wrap(words, context)
    if context.is_cell and text.endswith("\\\\"):
        text = text[:-2] + "&#92;"  # a backslash would escape the pipe after it
    return text


def _edge(items: Sequence[Content], rough: Sequence[str], i: int, end: int) -> str:
    """Return the first or last character of an item, or an empty string."""
    if not 0 <= i < len(items):
        return ""
    item = items[i]
    text = item.text if isinstance(item, Text) and item.source is None else rough[i]
    return text[end] if text else ""


def _wrap(words: list[str], context: Context) -> str:
    """Return words on one line, or on several lines of the width of the source."""
    parts = [words[0]]
    prefix = len(context.newline.lstrip("\r\n"))
    column = context.column + len(words[0])
    for previous, word in pairwise(words):
        fits = not context.width or column + 1 + len(word) <= context.width
        if fits or _LINE_START.match(word) or previous.endswith("\\") or not word:
            parts += [" ", word]
            column += 1 + len(word)
        else:
            parts += ["\n", word]
            column = prefix + len(word)
        if "\n" in word:
            column = prefix + len(word) - word.rindex("\n") - 1
    return "".join(parts)


# Words that could start another block, so no line begins with them. Most of them do so only with what follows.
_LINE_START = re.compile(
    r"[-+=|>#~:<$%{]|[*_]+$|\d+[.)]|`{3}|\[[!^]|\[[ xX]?\]?$|\[.*\]:|!!!|\?\?\?|\\?$|(?:import|export)$"
)
_BLOCK_START = re.compile(
    r"[-+*](?= |$)|#{1,6}(?= |$)|>|--|=|~~~|:|\||<(?=[A-Za-z/!?])|\$\$|!!!|\?\?\?|\[(?=[!^]|[ xX]\])|\+\+\+"
)
_NUMBER_START = re.compile(r"(\d{1,9})(?=[.)](?: |$))")


def _escape_start(text: str) -> str:
    """Return a text that does not start a block at the beginning of a line."""
    if _BLOCK_START.match(text):
        return "\\" + text
    return _NUMBER_START.sub(r"\1\\", text, count=1) if _NUMBER_START.match(text) else text


_PUNCTUATION = r"!-/:-@\[-`{-~"
_ESCAPED = re.compile(
    rf"\\(?=[{_PUNCTUATION}]|$)"
    r"|`"
    r"|(?<! )\*|\*(?! )"  # as in `2 * 3`
    r"|(?<![^\W_])_(?<! _)|_(?![^\W_])(?! )|(?<= )_(?! )|(?<! )_(?= )"  # as in `snake_case`
    r"|(?<=[^ ])~|~(?=~)"
    r"|\](?=[(\[:])|\[(?=\^)"
    r"|!(?=\[)"
    r"|<(?=[A-Za-z/!?][^<]*>)"
    r"|&(?=#?\w+;)"
)
_ALL_ESCAPED = re.compile(r"[\\`*_\[\]<>&$~|{}!#^:]")


def _escape(text: str, before: str, after: str, context: Context) -> str:
    """Return a text with the escapes that it probably needs, given the characters around it."""
    padded = before + text + after
    parts, position = [], len(before)
    end = len(before) + len(text)
    for match in _ESCAPED.finditer(padded, len(before)):
        if match.start() >= end:
            break
        parts += [padded[position : match.start()], "\\", match[0]]
        position = match.end()
    escaped = "".join([*parts, padded[position:end]])
    if context.kind == "atx" and not after:
        escaped = re.sub(r"(?<![^ ])#(?=#*$)", r"\\#", escaped)
    if context.after_break or context.before_break:  # a backtick of another part could pair even with an escaped one
        escaped = escaped.replace("\\`", "&#96;")
    return escaped.replace("|", "\\|") if context.is_cell else escaped


def _escape_all(text: str, before: str, after: str, context: Context) -> str:
    """Return a text with every character escaped that can be markup."""
    text = _ALL_ESCAPED.sub(r"\\\g<0>", text)
    # Outside tables, a line with an escaped pipe can still start one.
    return text if context.is_cell else text.replace("\\|", "&#124;")


def _delimiters(items: Sequence[Content]) -> dict[int, str]:
    """Return spellings of emphasis, by index of the tag, that Markdown recognises where the tags stand."""
    pairs: dict[int, list[int]] = {}
    for i, item in enumerate(items):
        if isinstance(item, Tag) and item.name in _EMPHASIS and item.pair:
            pairs.setdefault(item.pair, []).append(i)
    chosen: dict[int, str] = {}

    def edge(i: int, end: int) -> str:
        if not 0 <= i < len(items):
            return " "
        item = items[i]
        text = item.text if isinstance(item, Text) and item.source is None else chosen.get(i, item.source or "")
        return text[end] if text else " "

    for opening, closing in pairs.values():
        tag = items[opening]
        assert isinstance(tag, Tag)
        around = edge(opening - 1, -1), edge(opening + 1, 0), edge(closing - 1, -1), edge(closing + 1, 0)
        neighbours = {chosen.get(i, "")[:1] for i in (opening - 1, opening + 1, closing - 1, closing + 1)}
        chosen[opening], chosen[closing] = _as_html(tag), _as_html(replace(tag, kind="close"))
        if closing == opening + 1:
            continue  # Markdown has no empty emphasis
        same = [name for name in _EMPHASIS if _EMPHASIS[name] == _EMPHASIS[tag.name]]
        for mark in [tag.source, *same]:
            if mark[0] not in neighbours and _is_recognised(mark[0], *around):
                chosen[opening] = chosen[closing] = mark
                break
    return chosen


def _is_recognised(mark: str, before: str, first: str, last: str, after: str) -> bool:
    """Return whether emphasis can start between two characters and end between two others."""
    starts, ends = _is_left_flanking(before, first), _is_left_flanking(after, last)
    if mark != "_":
        return starts and ends
    # An underscore inside a word is text.
    inside_at_start = _is_left_flanking(first, before) and not _is_punctuation(before)
    inside_at_end = _is_left_flanking(last, after) and not _is_punctuation(after)
    return starts and ends and not inside_at_start and not inside_at_end


def _is_left_flanking(outer: str, inner: str) -> bool:
    """Return whether a delimiter between two characters belongs to the inner one (CommonMark 6.2)."""
    if isWhiteSpace(ord(inner)):
        return False
    return not _is_punctuation(inner) or isWhiteSpace(ord(outer)) or _is_punctuation(outer)


def _is_punctuation(char: str) -> bool:
    return isMdAsciiPunct(ord(char)) or isPunctChar(char)
