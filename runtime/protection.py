"""Protected spans: URLs, placeholders, file names and the like, which a translation must keep as they are.

A translation keeps a span if the span stands in it as often as in the source. restoration.py repairs one that does
not.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from dragoman.runtime.normalisation import normalise

# Endings by which a bare name is known as a file.
_ENDINGS = (
    "avi bat bmp bz2 cfg conf cpp css csv dat deb dll doc docx dmg epub exe flac gif gz htm html ini iso jar java jpeg "
    "jpg js json log md mkv mov mp3 mp4 odp ods odt ogg onnx pdf php png po ppt pptx py rar rpm rs rst rtf sh sql srt "
    "svg tar tex toml ts tsv ttf txt vtt wav webm webp whl xlf xls xlsx xml yaml yml zip"
)
_EMOJI = "\u231a-\u231b\u23e9-\u23f3\u25fd-\u25fe\u2600-\u27bf\u2b05-\u2b55\U0001f004-\U0001f0cf\U0001f170-\U0001faff"
_JOINED_EMOJI = rf"[{_EMOJI}][\ufe0f\U0001f3fb-\U0001f3ff]*"

EMOJI = rf"[\U0001f1e6-\U0001f1ff]{{2}}|{_JOINED_EMOJI}(?:\u200d{_JOINED_EMOJI})*"  # a flag, or emoji joined to one

# Each pattern begins at the start of a run of its characters, so that a long run takes linear time.
PATTERNS: dict[str, str] = {
    "url": r"\b(?:https?|ftp|file)://[^\s<>\"'`{}|\\^]*[^\s<>\"'`{}|\\^.,;:!?)\]…]|"
    r"(?<![\w.@/-])www\.[\w-]+\.[^\s<>\"'`{}|\\^]*[^\s<>\"'`{}|\\^.,;:!?)\]…]|"
    r"(?<![\w.@/\\-])(?:\*\.)?(?:[\w-]+\.)+(?:com|edu|gov|net|org)(?![\w@-]|\.\w)(?:/[\w./~%?&=#+-]*[\w/])?",
    "e-mail": r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "template": r"\{\{[^{}\n]{1,200}\}\}|\{%[^%\n]{1,200}%\}|\$\{[^{}\n]{1,200}\}|\{[\w.:!$,#*-]{0,60}\}",
    "format": r"%[A-Z][A-Z0-9_]+%?|"
    r"(?<![\w%])%(?:\(\w+\)|\d+\$)?[-+#0]*(?:(?!0)\d+)?(?:\.\d+)?(?:hh|h|ll|l|z)?[diouxXeEfFgGcsaAp@](?![a-z])"
    r"|%(?:\(\w+\)|\d+\$)[a-zA-Z]",
    # Also $name$, and $A$1, which is a cell of a spreadsheet.
    "variable": r"(?<![\w$])\$[A-Za-z_]\w*(?:\([\w.]*\)|\$(?!\w)|\$\d+(?!\w))?",
    # Several words without "=" are no tag but a text to translate: <name of the file>.
    "tag": r"</?[A-Za-z][^\s<>=]{0,100}(?:\s[^<>=\n]{0,100}(?:=[^<>\n]{0,300}|\.\.\.|…))?\s?/?>|"
    r"<[a-z]+\s(?:async|checked|controls|defer|disabled|hidden|multiple|readonly|required|selected)\s?/?>",
    "path": r"(?<![\w/.:~+@%-])(?:~|\.\.?)/[\w./+@%-]*\w|(?<![\w/.:~+@%<-])/[\w.+@%-]+/[\w./+@%-]*\w|"
    r"(?<![\w\\:])(?:[A-Za-z]:\\|\\\\)[^\s\"'<>|?*:,;]*[^\s\"'<>|?*:,;.!()]|"
    r"(?<![\w/\\.@-])(?:[\w-]+[/\\])+[\w-]+(?:\.[\w-]+)*\.[a-zA-Z]\w{0,4}\b|"
    rf"(?<![\w/\\.@-])[\w-]+(?:\.[\w-]+)*\.(?:{'|'.join(_ENDINGS.split())})(?!\w|\.\w)",
    "version": r"(?<![\w.])(?<!\d,)v?\d+(?:\.\d+){2,}(?:[-.]?(?:alpha|beta|dev|post|rc|a|b)[-.]?\d*)?(?!\w|,\d)|"
    r"(?<![\w.])v\d+(?:\.\d+)+(?!\w|,\d)",
    "mention": r"(?<![\w@./-])@[A-Za-z_]\w*(?:[.-]\w+)*",
    # Spreadsheets translate the names of their errors, such as #N/A and #VALUE!.
    "hashtag": r"(?<![\w#&/])#(?!(?:NAME|NULL|NUM|REF|VALUE)[!?])[^\W\d]\w*(?!\w|/\w)",
    "emoji": rf"(?<![\w:]):(?=[0-9_+-]*[a-z])[a-z0-9_+-]+:(?!\w|:[\w:])|[0-9#*]\ufe0f?\u20e3|{EMOJI}",
}
# Symbols that a tokenizer may reserve for spans. A network that was trained with them copies them reliably. They are
# characters for private use, one subword each.
PLACEHOLDERS = tuple(map(chr, range(0xE010, 0xE018)))
_PLACEHOLDER = re.compile(f"[{PLACEHOLDERS[0]}-{PLACEHOLDERS[-1]}]")

# A text with a span of a kind has one of the kind's signs. A search for signs is much faster than one for spans.
_SIGNS = {
    "url": r"://|www\.|\.(?:com|edu|gov|net|org)",
    "e-mail": "@",
    "template": r"\{",
    "format": "%",
    "variable": r"\$",
    "tag": "<",
    "path": r"[/\\]|\.[a-z0-9]",
    "version": r"\.\d",
    "mention": "@",
    "hashtag": "#",
    "emoji": rf":[^ ]+:|[\u20e3\U0001f1e6-\U0001f1ff{_EMOJI}]",
}
_ANY_SIGN = re.compile(rf"[@#$%{{<\\/:\u20e3\U0001f1e6-\U0001f1ff{_EMOJI}]|\.\w")


@cache
def _signs_of(kind: str) -> re.Pattern[str]:
    """Return a pattern of the signs of a kind."""
    return re.compile(_SIGNS[kind])


@cache
def _spans_of(kinds: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of the spans of some kinds."""
    return re.compile("|".join(PATTERNS[kind] for kind in kinds))


def _found(text: str) -> list[tuple[int, int]]:
    """Return the spans of all kinds in a text."""
    if not _ANY_SIGN.search(text):
        return []
    kinds = tuple(kind for kind in _SIGNS if _signs_of(kind).search(text))
    return [match.span() for match in _spans_of(kinds).finditer(text)] if kinds else []


def protected_spans(text: str, others: Iterable[str] = ()) -> list[tuple[int, int]]:
    """Return the offsets of the spans in a normalised text that its translation must keep, in order.

    others: Further strings to keep, wherever they stand in the text as whole words.
    """
    found = _found(text)
    strings = {string for string in map(normalise, set(others)) if string and string in text}
    if not strings:
        return found
    # The others come first, and the longest of those that overlap.
    longest_first = "|".join(whole(string) for string in sorted(strings, key=lambda string: (-len(string), string)))
    chosen = []
    for match in re.finditer(longest_first, text):
        span = match.span()
        # A string within a longer span, such as a word of a URL, is kept with it.
        if not any(a <= span[0] and span[1] <= b and (a, b) != span for a, b in _sharing(found, *span)):
            chosen.append(span)
    chosen += [span for span in found if not _sharing(chosen, *span)]
    return sorted(chosen)


def _sharing(spans: Sequence[tuple[int, int]], start: int, end: int) -> Sequence[tuple[int, int]]:
    """Return those of some spans, which are in order and apart, that share characters with another span."""
    first = bisect_right(spans, start, key=lambda span: span[1])
    return spans[first : bisect_left(spans, end, lo=first, key=lambda span: span[0])]


def hide(text: str, spans: Sequence[tuple[int, int]]) -> tuple[str, dict[str, str]]:
    """Return a text with placeholders in place of its first spans, and the spans by their placeholders.

    A text that has a placeholder of its own stays as it is.
    """
    if _PLACEHOLDER.search(text):
        return text, {}
    hidden: dict[str, str] = {}
    parts, position = [], 0
    for (start, end), symbol in zip(spans, PLACEHOLDERS, strict=False):
        parts += [text[position:start], symbol]
        hidden[symbol] = text[start:end]
        position = end
    return "".join([*parts, text[position:]]), hidden


def show(text: str, hidden: Mapping[str, str]) -> str:
    """Return a text with spans in place of their placeholders. A placeholder without a span is removed."""
    return _PLACEHOLDER.sub(lambda match: hidden.get(match[0], ""), text) if hidden else text


def emoji_spellings(text: str) -> dict[str, str]:
    """Return the emoji of a text that normalisation would change, by their normalised spelling.

    It removes the selectors that ask for a coloured picture (U+FE0F).
    """
    if "\ufe0f" not in text:
        return {}
    found = (match[0] for match in _spans_of(("emoji",)).finditer(text))
    return {normalise(emoji): emoji for emoji in found if "\ufe0f" in emoji}


def respell(text: str, spellings: Mapping[str, str]) -> str:
    """Return a text with its emoji as `emoji_spellings` gives them."""
    return _spans_of(("emoji",)).sub(lambda match: spellings.get(match[0], match[0]), text) if spellings else text


def whole(string: str) -> str:
    """Return a regular expression of a string that stands alone, not within a word."""
    before = r"(?<!\w)" if re.match(r"\w", string) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", string) else ""
    return before + re.escape(string) + after


def count_in(text: str, string: str) -> int:
    """Return how often a string stands in a text as a whole word."""
    return len(re.findall(whole(string), text))


def lost_spans(source: str, spans: Sequence[tuple[int, int]], target: str) -> list[str]:
    """Return the protected spans that do not stand in a translation as often as in the source."""
    strings = dict.fromkeys(source[start:end] for start, end in spans)
    return [string for string in strings if count_in(source, string) != count_in(target, string)]
