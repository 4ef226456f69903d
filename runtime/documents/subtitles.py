"""Subtitles: SubRip (SRT) and WebVTT. Only the text of cues is translated.

The lines of a cue are one text, and its translation is wrapped into as many lines. Lines of a dialogue, of a song and
descriptions of sounds are texts of their own. Dashes, notes and tags around such a text stay as they are, and so do
brackets. A sentence that continues in the next cue is translated in two pieces.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import Content, Segment, Tag, Text, has_words, join_texts, pair_tags
from dragoman.runtime.errors import UserError

# Most style guides allow 42 characters a line. A line that was longer in the source may stay about as long.
MAX_WIDTH = 42
MAX_GROWTH = 1.3

# Programs that convert line ends twice write "\r\r\n" in SRT.
_SRT_LINE = re.compile(r"([^\r\n]*)(\r\r?\n|\n|\r|\Z)")
_VTT_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")

_ARROW = "-[- ] *>"
_TIME = r"\d{1,12}(?:\s?[:.,;，．。：]\s?\d{0,12}){1,4}"
# One of the two times must be readable. The other may be missing, or be broken as in `00:0O:01,5O0`.
_TIME_LINE = re.compile(
    rf"[\s\ufeff]*-?(?:{_TIME}\s{{0,9}}{_ARROW}|(?:[\d:.,;oOlI][\d:.,;oOlI ]*)?{_ARROW}\s*-?{_TIME})"
)
_INDEX = re.compile(r"[\s\ufeff]*-?\d+(?:\.\d*)?\s*")

_DASHES = "-‐‑–—>"  # `>>` marks a change of speakers in North American captions
_NOTES = "♪♫♬♩"
_DIRECTIONS = "\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff"  # invisible marks of the direction of writing
_OPENING, _CLOSING = "[(（【", "])）】"
_PAIRS = {opening + closing for opening, closing in zip(_OPENING, _CLOSING, strict=True)}
_BRACKETS = re.escape(_OPENING + _CLOSING)
_SOUND = re.compile(rf"[{re.escape(_OPENING)}][^{_BRACKETS}]*[{re.escape(_CLOSING)}]")
_SPEAKER = re.compile(r"([^:.!?]{2,40}):(?:\s|$)")
_SENTENCE_END = tuple('.!?…。！？"”»)]')

# SRT has no rule for text that looks like markup, so only tags that players know are tags.
_SRT_NAMES = "i|b|u|s|em|strong|font|span|c|v|lang|ruby|rt|rp|sub|sup|big|small|div|p"
_SRT_TAG = (
    rf"</?(?:{_SRT_NAMES})(?:[ \t./][^<>\r\n]*)?>|<\d\d:[\d:.]+>|\{{\\[^{{}}\r\n]*\}}|\{{[A-Za-z]:[^{{}}\r\n]*\}}"
)
_SRT_BREAK = r"\\N|<br[ /]{0,2}>"
_REST = (
    rf"(?P<dash>[{re.escape(_DASHES)}]+)|(?P<note>[{_NOTES}{_DIRECTIONS}]+)|(?P<bracket>[{_BRACKETS}])|"
    rf"(?P<text>[^\s<{{\\&{re.escape(_DASHES)}{_NOTES}{_DIRECTIONS}{_BRACKETS}]+|.)"
)
_SRT_TOKEN = re.compile(rf"(?P<tag>{_SRT_TAG})|(?P<space>(?:\s|\\h|{_SRT_BREAK})+)|{_REST}", re.IGNORECASE)
_SRT_LINE_BREAK = re.compile(rf"[\r\n]|{_SRT_BREAK}", re.IGNORECASE)
# The start of what would be read as a tag.
_SRT_MARKUP = re.compile(
    rf"<(?=/?(?:{_SRT_NAMES}|br)\b|\d\d:|/?\Z)|\{{(?=\\|[a-z]:|[a-z]?\Z)|\\(?=[nh]|\Z)", re.IGNORECASE
)
# In WebVTT a tag without an end takes the rest of the cue.
_VTT_TOKEN = re.compile(rf"(?P<tag><[^>]*>?)|(?P<entity>&#?\w{{1,32}};?)|(?P<space>\s+)|{_REST}")
_VTT_LINE_BREAK = re.compile(r"[\r\n]")
_TAG_NAME = re.compile(r"<(/?)([a-z]+)|\{\\([ibus])([01])\}", re.IGNORECASE)

_SPACES = re.compile(r"[\x00-\x20\x7f\x85\u2028\u2029]+")  # programs take some control characters for line ends
_WORD_OR_SPACE = re.compile(r" |[^ ]+")
# Chinese and Japanese lines end between any two characters, but not before a closing mark or after an opening one.
_CJK_BREAK = re.compile(
    r"(?<=[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff，、。：；！？」』）》])"
    r"(?=[\u3040-\u30fa\u3400-\u9fff\uf900-\ufaff「『（《])(?![ぁぃぅぇぉっゃゅょァィゥェォッャュョー])"
)

Block = tuple[int, int]  # the numbers of a block's first line and of the line after its last one, counted from 0


def srt_segments(source: str, options: Options) -> list[Segment]:
    """Return the texts of the cues of a SubRip document. Raises UserError if it has no cue."""
    lines = _lines(source, _SRT_LINE)
    times = [i for i, line in enumerate(lines) if _is_time_line(source, line)]
    if not times:
        raise UserError(
            "the document has no subtitle; in SRT each one has a number, a line such as "
            "`00:00:01,000 --> 00:00:02,500` and below it the text"
        )
    return _segments(source, lines, _srt_cues(source, lines, times), _SRT)


def vtt_segments(source: str, options: Options) -> list[Segment]:
    """Return the texts of the cues of a WebVTT document. Raises UserError if it does not start as such."""
    if not re.match(r"\ufeff?WEBVTT(?![^ \t\r\n])", source):
        raise UserError("line 1 of the document must be `WEBVTT`, alone or with a space and a title after it")
    lines = _lines(source, _VTT_LINE)
    return _segments(source, lines, _vtt_cues(source, lines), _VTT)


class _Line(NamedTuple):
    """A line, and its end as the source spells it."""

    start: int
    end: int
    ending: str


class _Token(NamedTuple):
    """A tag or a stretch of text, which is not divided any further."""

    start: int
    end: int
    kind: str
    item: Content


class _Markup(NamedTuple):
    """The markup within the cues of a format.

    Attributes:
        token: Matches a token. The name of the group is its kind.
        line_break: Matches a line break within a token of kind `space`.
        unescape: Returns the characters that escapes stand for.
        escape: Returns text as the format spells it.
        empty: The spelling of an empty text. An empty line would end the cue.
    """

    token: re.Pattern[str]
    line_break: re.Pattern[str]
    unescape: Callable[[str], str]
    escape: Callable[[str], str]
    empty: str


def _escape_srt(text: str) -> str:
    """Return text without what would be read as a tag or as a time line. SRT has no escapes for them."""
    if ">" in text:
        text = re.sub("[- ]+>?", lambda match: _shorten_arrow(match[0]), text)
    return _SRT_MARKUP.sub(r"\g<0> ", text)


def _shorten_arrow(text: str) -> str:
    """Return `->` for any longer arrow, also for one with spaces in it, and other text as it is."""
    return " ->" if text[-1] == ">" and "-" in text and text != "->" else text


_VTT_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\xa0": "&nbsp;", "\u200e": "&lrm;", "\u200f": "&rlm;"}
)


def _escape_vtt(text: str) -> str:
    return text.translate(_VTT_ESCAPES)


_SRT = _Markup(_SRT_TOKEN, _SRT_LINE_BREAK, str, _escape_srt, "\xa0")
_VTT = _Markup(_VTT_TOKEN, _VTT_LINE_BREAK, html.unescape, _escape_vtt, "&nbsp;")


def _lines(source: str, pattern: re.Pattern[str]) -> list[_Line]:
    return [_Line(match.start(), match.end(1), match[2]) for match in pattern.finditer(source)]


def _is_time_line(source: str, line: _Line) -> bool:
    return source.find(">", line.start, line.end) >= 0 and bool(_TIME_LINE.match(source, line.start, line.end))


def _is_blank(source: str, line: _Line) -> bool:
    return not source[line.start : line.end].strip()


def _srt_cues(source: str, lines: Sequence[_Line], times: Sequence[int]) -> Iterator[list[Block]]:
    """Yield the blocks of lines of each cue. A cue ends before the next time line, or before the index above it."""
    for time, next_time in zip(times, [*times[1:], None], strict=True):
        stop = len(lines) if next_time is None else next_time
        if next_time is not None:
            index = next_time - 1
            while index > time and _is_blank(source, lines[index]):
                index -= 1
            if index > time and _INDEX.fullmatch(source, lines[index].start, lines[index].end):
                stop = index
        texts = (i for i in range(time + 1, stop) if not _is_blank(source, lines[i]))
        blocks: list[Block] = []
        for i in texts:
            first = blocks.pop()[0] if blocks and blocks[-1][1] == i else i
            blocks.append((first, i + 1))
        yield blocks


def _vtt_cues(source: str, lines: Sequence[_Line]) -> Iterator[list[Block]]:
    """Yield the block of lines of each cue. It ends at an empty line, or at a line with an arrow."""
    first: int | None = None
    for i, line in enumerate(lines):
        has_arrow = source.find("-->", line.start, line.end) >= 0
        if first is not None and (has_arrow or line.start == line.end):
            if first < i:
                yield [(first, i)]
            first = None
        if has_arrow and _is_time_line(source, line):
            first = i + 1
    if first is not None and first < len(lines):
        yield [(first, len(lines))]


def _segments(source: str, lines: Sequence[_Line], cues: Iterable[list[Block]], markup: _Markup) -> list[Segment]:
    starts = [line.start for line in lines]
    segments = []
    for blocks in cues:
        is_one_line = len(blocks) == 1 and blocks[0][1] - blocks[0][0] == 1
        for first, stop in blocks:
            for tokens in _texts(_tokens(source, lines[first].start, lines[stop - 1].end, markup)):
                start, end = tokens[0].start, tokens[-1].end
                content = pair_tags(join_texts(token.item for token in tokens))
                if not has_words(content):
                    continue
                write = partial(
                    _write,
                    original=content,
                    spelling=source[start:end],
                    n_lines=1 + sum(token.kind == "break" for token in tokens),
                    may_grow=is_one_line,
                    ending=lines[first - 1].ending,
                    markup=markup,
                )
                segments.append(Segment(start, end, content, f"line {bisect_right(starts, start):,}", write))
    return segments


def _tokens(source: str, start: int, end: int, markup: _Markup) -> list[_Token]:
    tokens = []
    for match in markup.token.finditer(source, start, end):
        kind, text = match.lastgroup or "", match[0]
        item: Content
        if kind == "tag":
            item = _tag(text)
        elif kind == "space":
            is_break = bool(markup.line_break.search(text))
            kind = "break" if is_break else kind
            item = Text(" " if is_break else re.sub(r"\\h", " ", text, flags=re.IGNORECASE))
        else:
            item = Text(markup.unescape(text))
            if kind == "entity":
                kind = _kind_of_character(item.text)
        tokens.append(_Token(match.start(), match.end(), kind, item))
    return tokens


def _kind_of_character(text: str) -> str:
    if text.isspace():
        return "space"
    if text == ">":
        return "dash"
    return "note" if text in ("\u200e", "\u200f") else "text"


def _tag(source: str) -> Tag:
    match = _TAG_NAME.match(source)
    if not match or source.endswith("/>"):
        return Tag(source, "empty")
    if match[3]:  # an override of Advanced SubStation Alpha, such as {\i1}
        return Tag(source, "open" if match[4] == "1" else "close", "\\" + match[3].lower())
    return Tag(source, "close" if match[1] else "open", match[2].lower())


def _texts(tokens: Sequence[_Token]) -> Iterator[Sequence[_Token]]:
    """Yield the tokens of each text in a block: of sentences, a speaker's words, a line of a song or a sound."""
    lines: list[list[_Token]] = [[]]
    for token in tokens:
        if token.kind == "break":
            lines.append([])
        lines[-1].append(token)
    texts = ["".join(token.item.text for token in line if isinstance(token.item, Text)).strip() for line in lines]
    is_song = any(text and (text[0] in _NOTES or text[-1] in _NOTES) for text in texts)
    first_opens = _opens_speech(lines[0], texts[0])
    pending = lines[0]
    for before, text, line in zip(texts, texts[1:], lines[1:], strict=False):
        if (
            is_song
            or _SOUND.fullmatch(before)
            or _SOUND.fullmatch(text)
            or (_opens_speech(line, text) and (first_opens or before.endswith(_SENTENCE_END)))
        ):
            yield from _trimmed(pending)
            pending = line
        else:
            pending += line
    yield from _trimmed(pending)


def _opens_speech(line: Sequence[_Token], text: str) -> bool:
    """Return whether a line starts with a dash or with a speaker."""
    for token in line:
        if isinstance(token.item, Tag):
            if token.item.name == "v":
                return True
        elif token.kind not in ("space", "break", "note"):
            if token.kind == "dash":
                return True
            break
    speaker = _SPEAKER.match(text)
    return bool(speaker and speaker[1].isupper())


def _trimmed(tokens: Sequence[_Token]) -> Iterator[Sequence[_Token]]:
    """Yield tokens without spaces, marks, brackets and tags around the text; nothing if no token is left."""
    items = pair_tags(token.item for token in tokens)
    first, last = 0, len(tokens) - 1
    while first <= last:
        start, end = items[first], items[last]
        if tokens[first].kind in ("space", "break", "dash", "note") or (
            isinstance(start, Tag) and start.kind == "empty"
        ):
            first += 1
        elif tokens[last].kind in ("space", "break", "note") or (isinstance(end, Tag) and end.kind == "empty"):
            last -= 1
        elif first < last and (
            start.pair == end.pair
            if isinstance(start, Tag) and isinstance(end, Tag)
            else _is_bracketed(tokens, first, last)
        ):
            first, last = first + 1, last - 1
        else:
            yield tokens[first : last + 1]
            return


def _is_bracketed(tokens: Sequence[_Token], first: int, last: int) -> bool:
    """Return whether brackets enclose tokens, with no other brackets in them."""
    start, end = tokens[first], tokens[last]
    if start.kind != "bracket" or end.kind != "bracket":
        return False
    assert isinstance(start.item, Text)
    assert isinstance(end.item, Text)
    return start.item.text + end.item.text in _PAIRS and not any(t.kind == "bracket" for t in tokens[first + 1 : last])


def _write(
    content: Sequence[Content],
    original: tuple[Content, ...],
    spelling: str,
    n_lines: int,
    may_grow: bool,
    ending: str,
    markup: _Markup,
) -> str:
    """Return content in up to `n_lines` lines. See `Segment.write`."""
    if tuple(content) == original:
        return spelling
    words = _words(content, markup)
    if may_grow:
        source_width = sum(_width(item.text) for item in original if isinstance(item, Text))
        if _line_width(words) > max(MAX_WIDTH, MAX_GROWTH * source_width):
            n_lines = 2
    lines = _wrapped(words, n_lines)
    return ending.join(lines) if any(map(str.strip, lines)) else markup.empty


class _Word(NamedTuple):
    """A word with the tags at it, which stays on one line.

    Attributes:
        width: The number of characters that are shown.
        has_space: There is a space before it unless it starts a line.
    """

    spelling: str
    width: int
    has_space: bool


def _words(content: Sequence[Content], markup: _Markup) -> list[_Word]:
    words: list[_Word] = []
    parts: list[str] = []  # of the next word
    width, has_space = 0, False
    for piece, piece_width in _pieces(content, markup):
        if piece not in ("", " "):
            parts.append(piece)
            width += piece_width
        elif width:
            words.append(_Word("".join(parts), width, has_space))
            parts, width, has_space = [], 0, piece == " "
        elif piece == " " and parts:  # tags with spaces around them belong to the next word
            parts.append(piece)
        elif piece == " ":
            has_space = bool(words)
    spelling = "".join(parts).rstrip(" ")
    if spelling and width == 0 and words:  # tags without a next word
        last = words.pop()
        words.append(last._replace(spelling=last.spelling + " " * has_space + spelling))
    elif spelling:
        words.append(_Word(spelling, width, has_space))
    return words


def _pieces(content: Sequence[Content], markup: _Markup) -> Iterator[tuple[str, int]]:
    """Yield tags and words with their widths, `" "` for spaces, and `""` between words without a space."""
    for item in join_texts(content):
        if item.source is not None:
            yield item.source, _width(item.text) if isinstance(item, Text) else 0
            continue
        assert isinstance(item, Text)
        text = markup.escape(_SPACES.sub(" ", item.text))
        for word in _WORD_OR_SPACE.findall(text):
            for i, part in enumerate(_CJK_BREAK.split(word)):
                if i > 0:
                    yield "", 0
                yield part, _width(markup.unescape(part))


def _width(text: str) -> int:
    """Return the number of characters that take up space: not accents, joiners or marks of direction."""
    if text.isascii():
        return len(text)
    return sum(unicodedata.category(character) not in ("Mn", "Me", "Cf") for character in text)


def _line_width(words: Sequence[_Word]) -> int:
    return sum(word.width + (word.has_space and i > 0) for i, word in enumerate(words))


def _wrapped(words: Sequence[_Word], n_lines: int) -> list[str]:
    """Return words in up to `n_lines` lines so that the longest line is as short as possible."""
    low, high = max((word.width for word in words), default=0), _line_width(words)
    while n_lines > 1 and low < high:
        middle = (low + high) // 2
        if len(_filled(words, middle)) <= n_lines:
            high = middle
        else:
            low = middle + 1
    return [
        "".join(" " * (word.has_space and i > 0) + word.spelling for i, word in enumerate(line))
        for line in _filled(words, high)
    ]


def _filled(words: Iterable[_Word], max_width: int) -> list[list[_Word]]:
    """Return words in lines up to `max_width` wide, each as long as possible."""
    lines: list[list[_Word]] = []
    width = max_width
    for word in words:
        width += word.has_space + word.width
        if lines and width <= max_width:
            lines[-1].append(word)
        else:
            lines.append([word])
            width = word.width
    return lines
