"""Text with inline codes of TMX 1.4 and XLIFF 1.2 and 2.x, such as formatting, line breaks and placeholders.

A code is a piece of the original document. Its meaning is known from its type, its name or its native content:

- Formatting vanishes, and so do codes that come in pairs.
- A break of a line, a cell or a paragraph, or a space that is written as a code, becomes a space.
- A placeholder, such as `%1$s` or `{name}`, stands for text. It is kept as native content, like placeholders in files
  without inline codes. If the two sides do not have the same placeholders, the pair is dropped.
- A standalone code without a hint may be any of these. The pair is dropped if the code stands where a word would
  (`Enter <x/>'s PIN`) or between two words (`Save<x/>file`). Elsewhere (`Hello <x/>world`) it is taken for formatting:
  most codes are, and if it was something else, the text around it is still a sentence.

A model that learns from `Enter 's PIN`, or from sides with different placeholders, learns to drop words. So a few good
pairs are lost instead, and each is counted.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from xml.etree import ElementTree

import regex

from dragoman.translate.corpus.readers.rows import UnreadableRow
from dragoman.translate.corpus.readers.xml_elements import local_name

OTHER_PLACEHOLDERS = "inline codes: the placeholders of source and target differ"
MISSING_TEXT = "an inline code that may stand for text"
JOINED_WORDS = "an inline code that may separate words"

# Elements that begin or end a code, or wrap the text in it, and elements that stand alone. All else is text.
_PAIRED = {"bpt", "ept", "bx", "ex", "it", "sc", "ec"}
_WRAPPING = {"g", "pc"}
_STANDALONE = {"ph", "x", "ut"}

# Attributes that hold or show the native content of a code, and those with the id of data that holds it.
_NATIVE_ATTRIBUTES = ("equiv-text", "equiv", "disp", "equivStart", "dispStart")
_DATA_ATTRIBUTES = ("dataRef", "dataRefStart", "dataRefEnd")

# Marks of codes in text. XML allows neither character.
_UNKNOWN, _NAMELESS = "\uffff", "\ufffe"  # a code without a hint; a placeholder without a native form

_BREAKS = (
    "br|p|div|li|ul|ol|dl|dt|dd|td|th|tr|tc|table|tbody|caption|h[1-6]|hr|blockquote|pre|section|article|header|footer"
    "|option|para|row|entry|listitem|cell|lb|pb|cb|tab|cr|nbsp|line-?break|soft-?return|new-?line|page-?break|paragraph"
)
_BREAK_TAG = regex.compile(rf"</?\s*(?:(?:\w+:)?(?:{_BREAKS})|text:s|mq:ch)(?=[\s/>]|$)", regex.IGNORECASE)
_BREAK_TYPE = regex.compile(rf"(?:x-|\w+:|html-)*(?:{_BREAKS})", regex.IGNORECASE)
_BREAK_SIGN = regex.compile(rf"[\[{{(]/?\s*(?:{_BREAKS})\s*/?[\]}})]|[¶↵⏎⇥]+", regex.IGNORECASE)

# Escapes, such as \n, and the control words of RTF. Some of them break a line or a cell, or are a no-break space.
_ESCAPES = regex.compile(r"[\s{}]*(?:\\(?:u00a0|xa0|~|\*?[a-z]+-?\d*)[\s{}]*)+|[{}]", regex.IGNORECASE)
_BREAK_ESCAPE = regex.compile(r"\\(?:[nrt]|par|line|tab|cell|row|page|sect|~|u00a0|xa0)(?![A-Za-z])")

_PLACEHOLDER = regex.compile(
    r"""
    % (?:\d+\$)? (?:\([\w.-]+\))? [-+\ \#0',]* (?:\*|\d+)? (?:\.(?:\*|\d+))? (?:hh?|ll?|[jztLq])?
        [diouxXeEfFgGaAcCsSpn@]                    # printf
    | %L?\d+                                       # Qt
    | [$\#%@!]? \{ [^{}]* \} | [$\#]? \{\{ .* \}\} | \{% .* %\}
    | \$ [\w.]+ \$? | \$\([\w.]+\) | % [\w.-]+ % | @ [\w-]+ @? | ! \w+ | : \w+ :? | \# [\w.]+ \# | __\w+__ | & [\w.-]+ ;
    | <% .* %> | <\? .* \?> | << .* >> | « .* »
    """,
    regex.VERBOSE | regex.DOTALL,
)
_MEMOQ_PLACEHOLDER = regex.compile(r'<mq:rxt[^>]*? val="([^"]*)"')
_PLACEHOLDER_TYPE = regex.compile(
    r"(?:x-|xlf:)*(?:var|variable|placeholder|date|time|interpolation|icu)(?:[-_:].*)?"
    r"|(?:INTERPOLATION|ICU|VAR|PH)(?:_\w+)?",  # identifiers of Angular
    regex.IGNORECASE,
)

_FORMATTING = regex.compile(
    r"""(?: </?\s*[\w:.-]+ (?:\s[^<>]*)? (?<!/)> \s* | <!--.*?--> \s* )+  # tags that open or close
    | \{[\w.:-]+> | <[\w.:-]+\}                                          # memoQ
    | [*_`~]+                                                             # Markdown
    """,
    regex.VERBOSE | regex.DOTALL,
)
_TAG = regex.compile(r"<[^<>]*>")
_ICU = regex.compile(r"\{.*,\s*(?:plural|select).*\}", regex.DOTALL)
_STANDALONE_TAG = regex.compile(r"<\s*(?:\w+:)?(?:img|image|input|object|svg|video|audio|icon|i?frame|embed)\b")
_FORMATTING_TYPE = regex.compile(
    r"(?:x-|xlf:)*(?:bold|italic|underlined?|ulined|dulined|color|font|scap|cf|b|i|u|fnote|enote|index)"
    r"|(?:START|CLOSE)_\w+",
    regex.IGNORECASE,
)

# A letter of a script that puts spaces between words, or a mark after such a letter.
_SPACED = r"[[\p{L}\p{M}\p{N}]--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]]"
_BETWEEN_WORDS = regex.compile(rf"{_SPACED}[.,:;!?]?{_UNKNOWN}+{_SPACED}", regex.V1)

# A space or an opening bracket before the code, and a space, a closing one or punctuation after it.
_INSTEAD_OF_WORD = regex.compile(
    rf"""(?: ^ | (?<=[\s\p{{Ps}}\p{{Pi}}]) | (?<=(?:^|[\s\p{{Ps}}])["']) ) {_UNKNOWN}+
    (?= $ | \s | (?! [¿¡"]\w ) [\p{{Pe}}\p{{Pf}}\p{{Po}}\p{{Pd}}] )""",
    regex.V1 | regex.VERBOSE,
)


class _InlineText(NamedTuple):
    """A text in which marks stand for some codes, and the placeholders among its codes."""

    text: str
    placeholders: list[str]


def pair_of(
    source: ElementTree.Element, target: ElementTree.Element, data: Mapping[str, str] | None = None
) -> tuple[str, str] | UnreadableRow:
    """Return the texts of two elements without inline codes, or the reason why they cannot be had.

    `data` holds the native content of codes that is stored outside the text: of XLIFF 2 by the id of the data, and of
    Trados Studio by the id of the code after a `#`.
    """
    if not len(source) and not len(target):
        return source.text or "", target.text or ""
    sides = [_read(element, data or {}) for element in (source, target)]
    placeholders = {placeholder for side in sides for placeholder in side.placeholders}
    texts = source_text, target_text = [side.text for side in sides]
    problem = ""
    if any(_NAMELESS in text or _INSTEAD_OF_WORD.search(text) for text in texts):
        problem = MISSING_TEXT
    elif any(_BETWEEN_WORDS.search(text) for text in texts):
        problem = JOINED_WORDS
    elif any(source_text.count(placeholder) != target_text.count(placeholder) for placeholder in placeholders):
        problem = OTHER_PLACEHOLDERS
    source_text, target_text = map(_without_marks, texts)
    # An empty side is no translation, whatever its codes are.
    if problem and source_text.strip() and target_text.strip():
        return UnreadableRow(problem, source_text.encode(), target_text.encode())
    return source_text, target_text


def text_of(element: ElementTree.Element) -> str:
    """Return the text of an element without inline codes of unknown meaning."""
    return _without_marks(_read(element, {}).text)


def _without_marks(text: str) -> str:
    return text.replace(_UNKNOWN, "").replace(_NAMELESS, "")


def _read(element: ElementTree.Element, data: Mapping[str, str]) -> _InlineText:
    """Return the text of an element with the meaning of each code in its place."""
    parts, placeholders = [element.text or ""], list[str]()
    open_elements = [(iter(element), "")]  # a stack, because a file could exceed the depth of recursion
    while open_elements:
        children, after = open_elements[-1]
        child = next(children, None)
        if child is None:
            open_elements.pop()
            parts.append(after)
            continue
        name, tail = local_name(child), child.tail or ""
        if name == "cp":  # a character that XML does not allow, by its number
            parts += [_character(child.get("hex", "")), tail]
        elif name in _PAIRED or name in _STANDALONE or (name in _WRAPPING and not (len(child) or child.text)):
            meaning = _meaning(child, name, data)
            if _PLACEHOLDER.fullmatch(meaning):
                placeholders.append(meaning)
            parts += [meaning, tail]
        elif name != "sub":  # a text of its own, such as a footnote
            space = _meaning(child, name, data) if name in _WRAPPING else " " if _BREAK_TAG.match(f"<{name}>") else ""
            parts += [space, child.text or ""]
            open_elements.append((iter(child), space + tail))
    return _InlineText("".join(parts), placeholders)


def _character(number: str) -> str:
    try:
        return chr(int(number, 16))
    except (ValueError, OverflowError):
        return ""


def _meaning(code: ElementTree.Element, name: str, data: Mapping[str, str]) -> str:
    """Return a space for a code that separates, "" for formatting, a placeholder's native content, or a mark."""
    is_paired = name in _PAIRED or (name in _WRAPPING and bool(len(code) or code.text))
    attributes = code.attrib
    types = [attributes[key] for key in ("ctype", "type", "subType") if key in attributes]
    identifier = attributes.get("id", "")
    if identifier[:1].isupper():  # others are numbers, without a meaning
        types.append(identifier)
    content = "" if name in _WRAPPING else "".join([code.text or "", *(c.tail or "" for c in code)])
    natives = [content, *(attributes[key] for key in _NATIVE_ATTRIBUTES if key in attributes)]
    if data:
        references = [f"#{identifier}", *(attributes[key] for key in _DATA_ATTRIBUTES if key in attributes)]
        natives[1:1] = [data[reference] for reference in references if reference in data]
    return _meaning_of(is_paired, tuple(filter(None, natives)), tuple(types))


@lru_cache(128)
def _meaning_of(is_paired: bool, natives: tuple[str, ...], types: tuple[str, ...]) -> str:
    """Return the meaning of a code by its native content, the most reliable first, and by its types."""
    memoq = [match[1] for native in natives if (match := _MEMOQ_PLACEHOLDER.match(native))]
    natives = tuple(native if native.isspace() else native.strip() for native in (*memoq, *natives))
    if any(map(_BREAK_TYPE.fullmatch, types)) or any(map(_is_break, natives)):
        return " "
    if is_paired:
        return ""
    for native in natives:
        if native.startswith("&") and len(character := html.unescape(native)) == 1:
            return character
        if native == "%%":
            return "%"
        if _PLACEHOLDER.fullmatch(native):
            return native
    if any(map(_PLACEHOLDER_TYPE.fullmatch, types)) or any(map(_ICU.fullmatch, natives)):
        return _NAMELESS
    if any(map(_FORMATTING_TYPE.fullmatch, types)) or any(map(_is_formatting, natives[:1])):
        return ""
    return _UNKNOWN


def _is_break(native: str) -> bool:
    text = html.unescape(native)
    if _TAG.search(text) and _TAG.sub("", text).strip():  # it holds text, too
        return False
    if text.isspace() or _BREAK_TAG.search(text) or _BREAK_SIGN.fullmatch(text):
        return True
    return _ESCAPES.fullmatch(text) is not None and _BREAK_ESCAPE.search(text) is not None


def _is_formatting(native: str) -> bool:
    if _STANDALONE_TAG.match(native):
        return False
    return _FORMATTING.fullmatch(native) is not None or _ESCAPES.fullmatch(native) is not None
