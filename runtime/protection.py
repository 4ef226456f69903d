"""Protected spans: URLs, placeholders, file names and the like, which a translation must keep as they are.

A translation keeps a span if the span stands in it as often as in the source. `restored` repairs one that does not, by
attention.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dragoman.runtime.alignment import AttentionMap
from dragoman.runtime.normalisation import normalise

Row = npt.NDArray[np.floating]  # attention of one word

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
    r"(?<![\w%])%(?:\(\w+\)|\d+\$)?[-+#0]*\d*(?:\.\d+)?(?:hh|h|ll|l|z)?[diouxXeEfFgGcsaAp@](?![a-z])"
    r"|%(?:\(\w+\)|\d+\$)[a-zA-Z]",
    # Also $name$, and $A$1, which is a cell of a spreadsheet.
    "variable": r"(?<![\w$])\$[A-Za-z_]\w*(?:\([\w.]*\)|\$(?!\w)|\$\d+(?!\w))?",
    # Several words without "=" are no tag but a text to translate: <name of the file>.
    "tag": r"</?[A-Za-z][^\s<>=]{0,100}(?:\s[^<>=\n]{0,100}(?:=[^<>\n]{0,300}|\.\.\.|…))?\s?/?>|"
    r"<[a-z]+\s(?:async|checked|controls|defer|disabled|hidden|multiple|readonly|required|selected)\s?/?>",
    "path": r"(?<![\w/.:~@-])(?:~|\.\.?)/[\w./+@%-]*\w|(?<![\w/.:~@<-])/[\w.+@%-]+/[\w./+@%-]*\w|"
    r"(?<![\w\\:])(?:[A-Za-z]:\\|\\\\)[^\s\"'<>|?*:,;]*[^\s\"'<>|?*:,;.!()]|"
    r"(?<![\w/\\.@-])(?:[\w-]+[/\\])+[\w-]+(?:\.[\w-]+)*\.[a-zA-Z]\w{0,4}\b|"
    rf"(?<![\w/\\.@-])[\w-]+(?:\.[\w-]+)*\.(?:{'|'.join(_ENDINGS.split())})(?!\w|\.\w)",
    "version": r"(?<![\w.])(?<!\d,)v?\d+(?:\.\d+){2,}(?:[-.]?(?:alpha|beta|dev|post|rc|a|b)[-.]?\d*)?(?!\w|,\d)|"
    r"(?<![\w.])v\d+(?:\.\d+)+(?!\w|,\d)",
    "mention": r"(?<![\w@./-])@[A-Za-z_]\w*(?:[.-]\w+)*",
    # Spreadsheets translate the names of their errors, such as #N/A and #VALUE!.
    "hashtag": r"(?<![\w#&/])#(?!(?:NAME|NULL|NUM|REF|VALUE)[!?])[^\W\d]\w*(?!\w|/\w)",
    "emoji": rf"(?<![\w:]):[a-z0-9_+-]*[a-z][a-z0-9_+-]*:(?!\w|:[\w:])|[0-9#*]\ufe0f?\u20e3|{EMOJI}",
}
# Symbols that a tokenizer may reserve for spans. A network that was trained with them copies them surely. They are
# characters for private use, one subword each.
PLACEHOLDERS = tuple(map(chr, range(0xE010, 0xE018)))
_PLACEHOLDER = re.compile(f"[{PLACEHOLDERS[0]}-{PLACEHOLDERS[-1]}]")

_EMOJI_SPAN = re.compile(PATTERNS["emoji"])
# Signs of which a text has one if it has a span of a kind. To look for them is much faster than to look for the span.
_SIGNS: dict[str, re.Pattern[str]] = {
    kind: re.compile(signs)
    for kind, signs in {
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
    }.items()
}
_ANY_SIGN = re.compile(rf"[@#$%{{<\\/:\u20e3\U0001f1e6-\U0001f1ff{_EMOJI}]|\.\w")


@cache
def _spans_of(kinds: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern of the spans of some kinds."""
    return re.compile("|".join(PATTERNS[kind] for kind in kinds))


def _found(text: str) -> list[tuple[int, int]]:
    """Return the spans of all kinds in a text."""
    if not _ANY_SIGN.search(text):
        return []
    kinds = tuple(kind for kind, signs in _SIGNS.items() if signs.search(text))
    return [match.span() for match in _spans_of(kinds).finditer(text)] if kinds else []


# Marks before and after a span that need no space. A hyphen makes a compound: "%PRODUCTNAME-Fenster".
_OPENING = "([{\"'„“‚‘«»¿¡-"
_CLOSING = ")]}\"'“”‘’«»-.,:;!?…"
_STOPS = ".,;:!?…"
_LONGEST_PIECE = 16  # characters of a wrong copy that are compared
_QUOTES = "\"'„“”‚‘’«»"
# Scripts without spaces between words, and their punctuation.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")


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
    found = (match[0] for match in _EMOJI_SPAN.finditer(text))
    return {normalise(emoji): emoji for emoji in found if "\ufe0f" in emoji}


def respell(text: str, spellings: Mapping[str, str]) -> str:
    """Return a text with its emoji as `emoji_spellings` gives them."""
    return _EMOJI_SPAN.sub(lambda match: spellings.get(match[0], match[0]), text) if spellings else text


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


def restored(
    source: str, spans: Sequence[tuple[int, int]], target: str, attention: AttentionMap
) -> tuple[str, AttentionMap]:
    """Return a translation in which every protected span stands exactly once, and the attention of its words.

    A span that the translation lacks replaces the words that were written while the model attended to it. A span that
    it has too often is removed where the model attended to it least.

    Args:
        source: The text of a part.
        spans: Its protected spans.
        target: Its translation.
        attention: The attention of the translation.
    """
    # Loaded only when a translation has lost a span.
    from dragoman.runtime.documents.projection import places_of_copies, subword_spans, visible_length, words_of
    from dragoman.runtime.documents.segments import Text

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
            subword = bisect_right(ends, visible_length(target[:place]))
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
    """A stretch of a translation that a span of the source takes the place of. An empty span removes it."""

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
    if not neighbour or neighbour in marks or neighbour == source_neighbour or _UNSPACED.match(neighbour):
        return False
    return not _touch(neighbour, source_neighbour)  # a word touches it in the source, too


def _attended(source: str, string: str, places: Sequence[tuple[int, int]]) -> tuple[Row, bool]:
    """Return the attention of a copied string, equal for its source subwords, and whether a space precedes it there."""
    from dragoman.runtime.documents.projection import visible_length

    start = source.index(string)
    before = visible_length(source[:start])
    span = before, before + visible_length(string)
    row = np.array([float(place[0] < span[1] and span[0] < place[1]) for place in places])
    return row / max(row.sum(), 1.0), source[start - 1 : start] == " "
