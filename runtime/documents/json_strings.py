r"""Segments of JSON documents and JSON Lines: their string values, but no keys of objects.

The user can name the strings by their paths, such as `menu.title` or `items.*.label`:

- `*` is any one key or index, and `**` any number of them. A path selects the strings below it, too.
- A backslash takes the character after it literally: `a\.b` is the one key "a.b", and `\*` the key "*".

Every selected string that has a letter is translated. Without paths, a string must also look like prose. These do not:

- texts without spaces that are a URL, an e-mail address, or longer than 60 ASCII characters, such as a checksum;
- paths and names of files: `/etc/hosts`, `../a`, `C:\a`, `src/lib/index`, `text/plain;v=1`, `README.md`, `com.example`;
- identifiers: `snake_case`, `camelCase`, `PascalCase`, `kebab-case` in lower case, `node:fs`, `en-US`;
- ASCII texts without spaces that have a digit: UUIDs, hexadecimal numbers, dates, versions, `12px`, `utf-8`;
- colours such as `#ffcc00` and `rgb(0, 0, 0)`;
- names after a mark: `#main`, `.button`, `$ref`, `@user`, `--flag`; and a placeholder alone: `{name}`, `${name}`.

Single words such as "red" or "Save" are prose, and so are commands such as "npm run build". Name the paths where a
document mixes prose with settings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import NoReturn

from dragoman.runtime.documents.options import Options
from dragoman.runtime.documents.segments import Segment, Text, writer
from dragoman.runtime.errors import UserError

MAX_DEPTH = 1_000_000  # levels, which take some 250 bytes each
MAX_TOKEN = 60  # ASCII characters of a word of prose
SHOWN_KEYS, MAX_PLACE = 10, 100  # the last keys and characters of a place: the nesting may be deep and a key long

_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|-?Infinity|NaN|true|false|null")
# A part of a string, up to an escape. One pattern for all parts would need much memory.
_PART = re.compile(r'[^"\\\x00-\x1f]*(\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))?')
_ESCAPE = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.")
_PIECE = re.compile(rf"{_ESCAPE.pattern}|[\ud800-\udfff]|\s+|[^\\\s\ud800-\udfff]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")

_CLOSING = {"{": "}", "[": "]"}

_NO_PROSE = re.compile(
    r"""(?a: [^@]+@[^@]+\.[^@.]+                                 # an e-mail address
    | (?: [./~@\\] | \.\. | [A-Za-z]: ) [/\\] .*                 # a path
    | [/.\#$@] [\w$] .* | --? [a-z] .*                           # a path or a name after a mark
    | [\w$@.+%-]+ (?: / [\w$@.+%-]* ){2,} (?: [;?\#] .* )?       # src/lib/index
    | (?= [A-Za-z/]* [^A-Za-z/] ) [\w$@.+%-]+ / [\w$@.+*%=;-]+   # lib/index.js, text/plain;v=1
    | (?: application | audio | font | image | message | multipart | text | video ) / [\w.+-]+
    | [\w$-]+ (?: \. [\w$-]+ )+ (?: \( \) )?                     # README.md, com.example
    | [\w$]* _ [\w$]* | [A-Za-z$]* [a-z] [A-Z] [A-Za-z$]*        # snake_case, camelCase
    | [a-z]+ (?: - [a-z]+ )+ | [a-z]{2,3} - [A-Z] [A-Za-z]{1,3}  # kebab-case, en-US
    | [\w-]+ (?: : [\w-]+ )+                                     # node:fs
    | (?= [^0-9]* [0-9] ) [\w.:+%\#$,/-]+                        # a UUID, a date, 12px
    | [$\#%]? \{ .* \} )""",
    re.VERBOSE,
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://|(?:mailto|tel|data|urn|javascript|blob):\S|//|www\.", re.IGNORECASE)
_COLOUR = re.compile(r"(?:#[0-9a-fA-F]{3,8}|(?:rgb|hsl)a?\([0-9.,%/ adeghnrtu-]*\)|var\([^()]*\))")


class _Wildcard(Enum):
    """A part of a path that stands for other keys."""

    ONE = "*"
    ANY = "**"


_Path = tuple["str | _Wildcard", ...]
# The paths that agree with the keys so far: the number of each path, and how many of its parts have been matched.
_States = frozenset[tuple[int, int]]


@dataclass(frozen=True)
class _String:
    """A string value: the offsets of its text within the quotation marks, its place and whether a path selects it."""

    start: int
    end: int
    line: int
    place: str
    selected_by: frozenset[int]  # numbers of the paths that select it


def segments(source: str, options: Options) -> list[Segment]:
    """Return the segments of a document.

    Raises UserError, with line and column, if it is not JSON, and if no string has one of the paths in `options.keys`,
    which is then misspelt.
    """
    paths = [_parse_path(key) for key in options.keys]
    scanner = _Scanner(source, paths)
    strings = [*scanner.strings()]
    matched = frozenset[int]().union(*(string.selected_by for string in strings))
    if missing := [key for number, key in enumerate(options.keys) if number not in matched]:
        _raise_no_match(missing, strings)
    write = writer(_escaping(source))
    found: list[Segment] = []
    for string in strings:
        if paths and not string.selected_by:
            continue
        start, end, content = _strip(source, string.start, string.end)
        text = "".join(item.text for item in content if item.source is None)
        if not any(map(str.isalpha, text)) or not (paths or is_prose(text)):
            continue
        places = [f"line {string.line:,}"] if scanner.n_values > 1 or not string.place else []
        places += [string.place] if string.place else []
        found.append(Segment(start, end, content, ", ".join(places), write))
    return found


def is_prose(text: str) -> bool:
    """Return whether a text without white space at its ends looks like prose, by the rules above."""
    if _COLOUR.fullmatch(text):
        return False
    if len(text.split(None, 1)) > 1:
        return True
    if _URL.match(text):
        return False
    return not text.isascii() or (len(text) <= MAX_TOKEN and not _NO_PROSE.fullmatch(text))


def _parse_path(path: str) -> _Path:
    r"""Return the parts of a path such as `items.*.label`."""
    parts = re.findall(r"(?:^|\.)((?:[^\\.]|\\.|\\$)*)", path, re.DOTALL)
    wildcards = {wildcard.value: wildcard for wildcard in _Wildcard}
    return tuple(wildcards.get(part) or re.sub(r"\\([\\.*])", r"\1", part) for part in parts)


def _raise_no_match(keys: Sequence[str], strings: Sequence[_String]) -> NoReturn:
    names = " or ".join(f'"{key}"' for key in keys)
    place = next((string.place for string in strings if string.place), "")
    expected = f"expected a path such as {place}" if place else "the document has no string in an object or array"
    raise UserError(f"no string has the key {names}; {expected}")


def _start_states(paths: Sequence[_Path]) -> _States:
    return frozenset(state for i, path in enumerate(paths) for state in _skip_any(path, i, 0))


def _skip_any(path: _Path, number: int, n_matched: int) -> Iterator[tuple[int, int]]:
    """Yield a state and those after it without another key, because `**` may stand for no key."""
    yield number, n_matched
    while n_matched < len(path) and path[n_matched] is _Wildcard.ANY:
        n_matched += 1
        yield number, n_matched


def _next_states(paths: Sequence[_Path], states: _States, key: str) -> _States:
    """Return the states after another key."""
    following: set[tuple[int, int]] = set()
    for number, n_matched in states:
        path = paths[number]
        if n_matched == len(path) or path[n_matched] is _Wildcard.ANY:
            following.add((number, n_matched))
            following.update(_skip_any(path, number, n_matched))
        elif path[n_matched] in (_Wildcard.ONE, key):
            following.update(_skip_any(path, number, n_matched + 1))
    return frozenset(following)


class _Scanner:
    """A parser of JSON that yields its strings with their offsets. It does not recurse, so documents may be deep.

    Attributes:
        n_values: Number of values at the top, more than 1 in JSON Lines.
    """

    def __init__(self, source: str, paths: Sequence[_Path]) -> None:
        self.n_values = 0
        self._source, self._paths = source, paths
        self._position = 1 if source.startswith("\ufeff") else 0
        self._line, self._counted = 1, 0  # the line of the offset `_counted`
        self._closing: list[str] = []  # brackets that close what is open
        self._keys: list[str | int] = []  # the key or index within each of these
        self._states = [_start_states(paths)]  # at the top and after each key

    def strings(self) -> Iterator[_String]:
        """Yield the string values. Raises UserError if the document is not JSON."""
        while self._next() or not self.n_values:
            start, start_line = self._position, self._current_line()
            yield from self._value()
            end_line = self._current_line()
            self.n_values += 1
            is_last = not self._next()
            if self.n_values > 1 and end_line > start_line:
                self._fail("a value within one line, as JSON Lines has them", start)
            if not is_last and (end_line > start_line or self._current_line() == end_line):
                self._fail("the end of the document, or one value a line")

    def _value(self) -> Iterator[_String]:
        """Yield the strings of one value at the top."""
        while True:
            character = self._next()
            if character == '"':
                start, end = self._string()
                yield self._found(start, end)
            elif character in _CLOSING:
                if len(self._closing) == MAX_DEPTH:
                    self._fail(f"at most {MAX_DEPTH:,} levels of arrays and objects")
                self._position += 1
                self._closing.append(_CLOSING[character])
                self._keys.append(-1)
                self._states.append(frozenset())
                if self._next() != self._closing[-1]:
                    self._read_key()
                    continue
            else:
                scalar = _SCALAR.match(self._source, self._position)
                if not scalar:
                    self._fail("a value: a string, number, object, array, true, false or null")
                self._position = scalar.end()
            if not self._close():
                return
            self._read_key()

    def _close(self) -> bool:
        """Read the brackets and the comma after a value. Return whether there was a comma."""
        while self._closing:
            character = self._next()
            if character not in (",", self._closing[-1]):
                self._fail(f"a comma or {self._closing[-1]}")
            self._position += 1
            if character == ",":
                return True
            self._closing.pop()
            self._keys.pop()
            self._states.pop()
        return False

    def _read_key(self) -> None:
        """Read the key of the next value, with its colon; in an array, count."""
        key = self._keys[-1]
        if self._closing[-1] == "]":
            assert isinstance(key, int)
            key += 1
        else:
            if self._next() != '"':
                self._fail("a key in double quotation marks")
            start, end = self._string()
            key = _unescape(self._source[start:end])
            if self._next() != ":":
                self._fail("a colon")
            self._position += 1
        self._keys[-1] = key
        if self._states[-2]:
            self._states[-1] = _next_states(self._paths, self._states[-2], str(key))

    def _string(self) -> tuple[int, int]:
        """Read a string. Return the offsets of its text, without the quotation marks."""
        start = self._position + 1
        end = next(part.end() for part in _PART.finditer(self._source, start) if not part[1])
        character = self._source[end : end + 1]
        if character == "\\":
            self._fail(r"an escape such as \n, \\ or \u00e9", end)
        if character not in ('"', ""):
            self._fail(r"a closing quotation mark, or an escape such as \n for a control character", end)
        if not character:
            self._fail("a closing quotation mark for this string", start - 1)
        self._position = end + 1
        return start, end

    def _found(self, start: int, end: int) -> _String:
        keys = self._keys[-SHOWN_KEYS:]
        place = ".".join(map(_shown, keys))
        if len(keys) < len(self._keys) or len(place) > MAX_PLACE:
            place = "…" + place[-MAX_PLACE:]
        states = self._states[-1]
        selected_by = frozenset(number for number, n_matched in states if n_matched == len(self._paths[number]))
        return _String(start, end, self._current_line(), place, selected_by)

    def _next(self) -> str:
        """Return the next character that is no white space, or "" at the end."""
        character = self._source[self._position : self._position + 1]
        if character.isspace():
            space = _SPACE.match(self._source, self._position)
            assert space
            self._position = space.end()
            character = self._source[self._position : self._position + 1]
        return character

    def _current_line(self) -> int:
        self._line += self._source.count("\n", self._counted, self._position)
        self._counted = self._position
        return self._line

    def _fail(self, expected: str, position: int | None = None) -> NoReturn:
        """Raise UserError for an offset in the source; by default, the current one."""
        position = self._position if position is None else position
        line = self._source.count("\n", 0, position) + 1
        column = position - self._source.rfind("\n", 0, position)
        if line == 1 and self._source.startswith("\ufeff"):
            column -= 1
        found = ascii(self._source[position]) if position < len(self._source) else "the end of the document"
        raise UserError(f"line {line:,}, column {column:,}: expected {expected}; found {found}")


def _shown(key: str | int) -> str:
    """Return a key as a place shows it, and as a path spells it if it is short."""
    if isinstance(key, int):
        return str(key)
    name = re.sub(r"[\\.*]", r"\\\g<0>", key[:MAX_PLACE])
    return "".join(character if character.isprintable() else "\ufffd" for character in name)


def _unescape(spelling: str) -> str:
    """Return the text of a valid string, given without quotation marks."""
    text: str = json.loads(f'"{spelling}"') if "\\" in spelling else spelling
    return text


def _strip(source: str, start: int, end: int) -> tuple[int, int, tuple[Text, ...]]:
    """Return the offsets and the content of a string without white space at its ends. Lone surrogates are copied."""
    spellings = _PIECE.findall(source, start, end)
    texts = [*map(_unescape, spellings)]
    first, last = 0, len(texts)
    while first < last and texts[last - 1].isspace():
        last -= 1
        end -= len(spellings[last])
    while first < last and texts[first].isspace():
        start += len(spellings[first])
        first += 1
    content: list[Text] = []
    pieces = zip(texts[first:last], spellings[first:last], strict=True)
    for is_lone, group in groupby(pieces, lambda piece: bool(_SURROGATE.match(piece[0]))):
        group_texts, group_spellings = zip(*group, strict=True)
        content.append(Text("".join(group_texts), "".join(group_spellings) if is_lone else None))
    return start, end, tuple(content)


def _escaping(source: str) -> Callable[[str], str]:
    """Return a function that escapes a text as the document escapes its strings.

    Punctuation that the document escapes somewhere is escaped again, such as `<` in HTML. Characters beyond ASCII are
    escaped if the document has such escapes and no such characters.
    """
    spellings = {code: json.dumps(chr(code))[1:-1] for code in [*range(32), *map(ord, '"\\')]}
    escapes_letters = False
    for spelling in dict.fromkeys(match[0] for match in _ESCAPE.finditer(source)):
        character = _unescape(spelling)
        escapes_letters = escapes_letters or not character.isascii()
        if not character.isalnum() and character != " ":
            spellings[ord(character)] = spelling
    is_ascii = source.removeprefix("\ufeff").isascii()
    other = _BEYOND_ASCII if escapes_letters and is_ascii else _SURROGATE

    def escape(text: str) -> str:
        return other.sub(lambda match: json.dumps(match[0])[1:-1], text.translate(spellings))

    return escape
