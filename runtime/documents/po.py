"""Segments of gettext's PO and POT catalogues: the empty translations of their messages.

A segment is the string literals of an empty `msgstr`, and its text is that of the `msgid`. Translations that exist,
obsolete messages and the header stay as they are. The text is read as msgfmt reads it (gettext's manual, "The Format
of PO Files"), and written as msgcat writes it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import Content, Edit, Segment, Text, has_words, writer
from dragoman.runtime.errors import UserError

LINE_WIDTH = 77  # columns between the quotation marks of a line, as msgcat writes them
MAX_FORMS = 100  # so that many forms of a long text do not take quadratic time

# The byte order mark is at the start only, and ^Z, the end of a file in DOS, at the end.
_TOKEN = re.compile(
    r"""(?P<blank> [ \t\r\n\v\f\ufeff\x1a]+ )
    | (?P<comment> \# [^\n]* )
    | (?P<keyword> msgid_plural | msgid | msgctxt | domain | msgstr (?: \s* \[ \s* (?P<index> [0-9]{1,3} ) \s* \] )? )
      (?! \w )
    | (?P<quote> " )""",
    re.VERBOSE,
)
_PART = re.compile(r'[^"\\\n]*(\\.)?', re.DOTALL)  # of a string, up to an escape; one pattern for all would need memory
_END_OF_LINE = re.compile(r"\r?\n|\r")
_CHARSET = re.compile(r"charset=([\w-]+)", re.IGNORECASE)

# The keywords that may follow each keyword. A message is complete where the next may begin.
FIRST = {"domain", "msgctxt", "msgid"}  # keywords that may begin a message
FOLLOWING = {
    "": FIRST,
    "domain": FIRST,
    "msgctxt": {"msgid"},
    "msgid": {"msgid_plural", "msgstr"},
    "msgid_plural": {"msgstr[]"},
    "msgstr": FIRST,
    "msgstr[]": {"msgstr[]", *FIRST},
}

_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]+)|\r?\n|(.))", re.DOTALL)
ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_BYTES = re.compile("[\udc80-\udcff]+")  # bytes beyond ASCII that are not decoded
_COPIED = re.compile("([\0\ud800-\udfff]+)")

# A message is a string in C, which cannot hold a zero byte, and ^D separates it from its context. msgcat writes other
# control characters as they are.
_SPELLING = {0: "", 4: "", **{ord(character): f"\\{letter}" for letter, character in ESCAPED.items()}}
_CHARACTER = re.compile(r"\\(?:000|.)|[^\\]", re.DOTALL)  # of an escaped text, such as `a` or `\n`
NEWLINE = r"\n"
# Categories of characters that no line ends after, or begins with. `Lm` is the Japanese mark of a long vowel.
_OPENING, _CLOSING = {"Ps", "Pi"}, {"Pe", "Pf", "Po", "Lm"}


@dataclass
class _Statement:
    """A keyword and the string literals after it.

    Attributes:
        keyword: The keyword; `msgstr[]` for all plural forms.
        index: Number of the plural form as spelled, or "".
        start: Offset of the keyword, or of the comments `#|` before it, which msgfmt wants next to it.
        line: Number of its line.
        flags: Start and end of the last comment with flags before the keyword and after the previous one.
        literals: Starts and ends of the literals, with their quotation marks.
    """

    keyword: str
    index: str
    start: int
    line: int
    flags: tuple[int, int] | None
    literals: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """True if the text is empty."""
        return all(end - start == 2 for start, end in self.literals)


def segments(source: str, options: Options) -> list[Segment]:
    """Return the segments of a catalogue. Raises UserError, which names the line, if it does not follow the grammar."""
    end_of_line = _END_OF_LINE.search(source)
    newline = end_of_line[0] if end_of_line else "\n"
    # Old Macs ended lines with CR. Elsewhere it is a space.
    text = source if "\n" in source else source.replace("\r", "\n")
    charset = _CHARSET.search(text)
    is_utf8 = charset is None or charset[1].lower() in {"utf-8", "utf8", "ascii", "us-ascii", "charset"}
    found: list[Segment] = []
    for message in _messages(text):
        found += _message_segments(text, message, newline, is_utf8, options.fuzzy)
    return found


def _messages(text: str) -> Iterator[list[_Statement]]:
    """Yield the statements of each message. Raises UserError if a statement is in a wrong place."""
    message: list[_Statement] = []
    previous = ""
    for statement in _statements(text):
        following = FOLLOWING[previous]
        if statement.keyword not in following:
            after = f"after {previous}" if previous else "at the start"
            expected = " or ".join(sorted(following))
            raise UserError(f"line {statement.line:,}: found {statement.keyword} {after}; expected {expected}")
        if not statement.literals:
            raise UserError(f'line {statement.line:,}: {statement.keyword} has no string; expected one such as ""')
        if statement.keyword in FIRST and previous != "msgctxt":
            yield message
            message = []
        message.append(statement)
        previous = statement.keyword
    if "domain" not in FOLLOWING[previous]:
        expected = " or ".join(sorted(FOLLOWING[previous]))
        raise UserError(f"line {message[-1].line:,}: the file ends after {previous}; expected {expected}")
    yield message


def _statements(text: str) -> Iterator[_Statement]:
    """Yield the statements of a catalogue, without comments and obsolete messages."""
    statement: _Statement | None = None
    flags: tuple[int, int] | None = None
    position, line = 0, 1
    previous_start: int | None = None  # of comments `#|`, with the msgid before it changed
    while position < len(text):
        token = _TOKEN.match(text, position)
        if not token:
            expected = "a keyword such as msgid, a string in quotation marks, or a comment after #"
            found = ascii(text[position : position + 10].split("\n")[0])
            raise UserError(f"line {line:,}: found {found}; expected {expected}")
        start, end = token.span()
        if token.lastgroup == "quote":
            end = _string_end(text, start, line)
            if not statement:
                raise UserError(f"line {line:,}: found a string at the start; expected msgid or msgctxt before it")
            statement.literals.append((start, end))
        elif token.lastgroup == "comment":
            if text.startswith("#~", start):
                flags = previous_start = None  # they are those of an obsolete message
            elif text.startswith("#|", start):
                previous_start = start if previous_start is None else previous_start
            elif text.startswith(("#,", "#!"), start):  # the two spellings that msgfmt knows
                flags = token.span()
        elif token["keyword"]:
            if statement:
                yield statement
            index = token["index"] or ""
            keyword = "msgstr[]" if index else token["keyword"]
            statement = _Statement(keyword, index, start if previous_start is None else previous_start, line, flags)
            flags = previous_start = None
        line += text.count("\n", start, end)
        position = end
    if statement:
        yield statement


def _string_end(text: str, start: int, line: int) -> int:
    """Return the offset after the string literal that begins at `start`."""
    end = next(part.end() for part in _PART.finditer(text, start + 1) if not part[1])
    if not text.startswith('"', end):
        raise UserError(f'line {line:,}: a string has no closing quotation mark; expected " before the end of the line')
    return end + 1


def _message_segments(
    text: str, message: list[_Statement], newline: str, is_utf8: bool, fuzzy: bool
) -> Iterator[Segment]:
    """Yield the segments of a message: one for each empty form of its translation."""
    texts = {statement.keyword: statement for statement in message if statement.keyword.startswith("msgid")}
    forms = [statement for statement in message if statement.keyword.startswith("msgstr")]
    if not forms:  # nothing, or the name of a domain
        return
    if len(forms) > MAX_FORMS:
        expected = f"expected at most {MAX_FORMS} plural forms; languages have up to 6"
        raise UserError(f"line {message[0].line:,}: found {len(forms):,} msgstr; {expected}")
    edits = _fuzzy_edits(text, message, newline) if fuzzy else ()
    for form in forms:
        # The only form of a language such as Japanese is that for any number of things.
        is_plural = form.keyword == "msgstr[]" and (form.index.strip("0") != "" or len(forms) == 1)
        original = _unescape(text, texts["msgid_plural" if is_plural else "msgid"], is_utf8)
        stripped = original.strip()
        content = tuple(_content(stripped))
        if not form.is_empty or not has_words(content):
            continue
        before, after = original.split(stripped, 1)
        start, end = form.literals[0][0], form.literals[-1][1]
        if "#" in text[start:end]:  # a comment between the literals stays, and all but the first may stay empty
            end = form.literals[0][1]
        keyword = f"msgstr[{form.index}]" if form.index else "msgstr"
        write: Callable[[Sequence[Content]], str] = partial(
            _write, before=before, after=after, keyword=keyword, newline=newline
        )
        yield Segment(start, end, content, f"line {form.line:,} ({keyword})", write, edits)
        edits = ()  # one mark is enough for all forms


def _fuzzy_edits(text: str, message: list[_Statement], newline: str) -> tuple[Edit, ...]:
    """Return the edit that marks a message as fuzzy; none if it is already."""
    flags = next((statement.flags for statement in reversed(message) if statement.flags), None)
    if not flags:
        start = message[0].start
        return (Edit(start, start, f"#, fuzzy{newline}"),)
    start = flags[0] + 2
    words = text[start : flags[1]].replace(",", " ").split()
    if "fuzzy" in words:
        return ()
    return (Edit(start, start, " fuzzy," if words else " fuzzy"),)


def _unescape(text: str, statement: _Statement, is_utf8: bool) -> str:
    """Return the text of a statement. Bytes of escapes that cannot be decoded become surrogates."""

    def character(match: re.Match[str]) -> str:
        octal, hexadecimal, letter = match.groups()
        if octal or hexadecimal:
            byte = int(octal, 8) & 0xFF if octal else int(hexadecimal[-2:], 16)  # as in C, any number of digits
            return chr(byte) if byte < 0x80 else chr(0xDC00 + byte)
        return ESCAPED.get(letter, match[0]) if letter else ""

    joined = "".join(_ESCAPE.sub(character, text[start + 1 : end - 1]) for start, end in statement.literals)
    if not is_utf8:
        return joined
    return _BYTES.sub(lambda match: match[0].encode(errors="surrogateescape").decode(errors="surrogateescape"), joined)


def _content(text: str) -> Iterator[Text]:
    """Yield a text in parts, so that bytes that are no text are copied."""
    for i, part in enumerate(_COPIED.split(text)):
        if part:
            yield Text(part, part.replace("\0", "\\000") if i % 2 else None)


def _write(content: Sequence[Content], before: str, after: str, keyword: str, newline: str) -> str:
    """Return a text as string literals: one if it is short, else an empty one and one for each line."""
    escaped = writer(_escape)(_without_outer_newlines(content))
    if escaped:  # otherwise the message stays untranslated
        escaped = _escape(before) + escaped + _escape(after)
    words = [*_words(escaped)]
    width = len(keyword) + 1 + sum(_width(character) for word in words for character in word)
    is_short = width <= LINE_WIDTH and NEWLINE not in [word[-1] for word in words[:-1]]
    if is_short or len(words) == 1:
        return f'"{escaped}"'
    return newline.join(['""', *(f'"{line}"' for line in _wrap(words))])


def _escape(text: str) -> str:
    return text.translate(_SPELLING)


def _without_outer_newlines(content: Sequence[Content]) -> list[Content]:
    """Return content that does not begin or end with a newline: msgfmt wants those of the msgid alone."""
    items = list(content)
    if items and isinstance(items[0], Text) and items[0].source is None:
        items[0] = Text(items[0].text.lstrip("\n"))
    if items and isinstance(items[-1], Text) and items[-1].source is None:
        items[-1] = Text(items[-1].text.rstrip("\n"))
    return items


def _wrap(words: list[list[str]]) -> list[str]:
    """Return the lines of escaped words. They end after newlines, and before they are wider than LINE_WIDTH."""
    lines: list[str] = []
    column = LINE_WIDTH + 1  # more than fits, so that a line begins
    for word in words:
        width = sum(map(_width, word))
        if column + width > LINE_WIDTH:
            lines.append("")
            column = 0
        lines[-1] += "".join(word)
        column = LINE_WIDTH + 1 if word[-1] == NEWLINE else column + width
    return lines


def _words(escaped: str) -> Iterator[list[str]]:
    """Yield the characters of an escaped text in groups between which a line may end."""
    characters = _CHARACTER.findall(escaped)
    word: list[str] = []
    for character, following in zip(characters, [*characters, NEWLINE][1:], strict=True):
        word.append(character)
        if character == NEWLINE or (following != NEWLINE and _may_break(character, following)):
            yield word
            word = []
    if word:
        yield word


def _may_break(character: str, following: str) -> bool:
    """Return whether a line may end between two characters: after spaces, and between most wide characters."""
    if character == " " or following == " ":
        return following != " "
    if max(_width(character), _width(following)) < 2 or "\\" in character[0] + following[0]:
        return False
    return unicodedata.category(character) not in _OPENING and unicodedata.category(following) not in _CLOSING


def _width(character: str) -> int:
    """Return the columns that an escaped character takes."""
    if len(character) > 1:
        return len(character)
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
