"""Protected spans: URLs, placeholders, file names and the like, which a translation must keep as they are.

A translation keeps a span if the span stands in it as often as in the source. `restored` repairs one that does not, by
attention.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

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
    r"(?<![\w.@/-])www\.[\w-]+\.[^\s<>\"'`{}|\\^]*[^\s<>\"'`{}|\\^.,;:!?)\]…]",
    "e-mail": r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "template": r"\{\{[^{}\n]{1,200}\}\}|\{%[^%\n]{1,200}%\}|\$\{[^{}\n]{1,200}\}|\{[\w.:!$,#*-]{0,60}\}",
    "format": r"%[A-Z][A-Z0-9_]+%?|"
    r"(?<![\w%])%(?:\(\w+\)|\d+\$)?[-+#0]*\d*(?:\.\d+)?(?:hh|h|ll|l|z)?[diouxXeEfFgGcsaAp@](?![a-z])"
    r"|%(?:\(\w+\)|\d+\$)[a-zA-Z]",
    "variable": r"(?<![\w$])\$[A-Za-z_]\w*(?:\([\w.]*\))?",
    "tag": r"</?[A-Za-z][^<>\n]{0,300}>",
    "path": r"(?<![\w/.:~@-])(?:~|\.\.?)/[\w./+@%-]*\w|(?<![\w/.:~@<-])/[\w.+@%-]+/[\w./+@%-]*\w|"
    r"(?<![\w\\:])(?:[A-Za-z]:\\|\\\\)[^\s\"'<>|?*:,;]*[^\s\"'<>|?*:,;.!()]|"
    r"(?<![\w/.@-])(?:[\w-]+/)+[\w-]+\.[a-zA-Z]\w{0,4}\b|"
    rf"(?<![\w/\\.@-])[\w-]+(?:\.[\w-]+)*\.(?:{'|'.join(_ENDINGS.split())})(?!\w|\.\w)",
    "version": r"(?<![\w.])(?<!\d,)v?\d+(?:\.\d+){2,}(?:[-.]?(?:alpha|beta|dev|post|rc|a|b)[-.]?\d*)?(?!\w|,\d)|"
    r"(?<![\w.])v\d+(?:\.\d+)+(?!\w|,\d)",
    "mention": r"(?<![\w@./-])@[A-Za-z_]\w*(?:[.-]\w+)*",
    "hashtag": r"(?<![\w#&/])#[^\W\d]\w*",
    "emoji": rf"(?<![\w:]):[a-z0-9_+-]*[a-z][a-z0-9_+-]*:(?![\w:])|[0-9#*]\ufe0f?\u20e3|{EMOJI}",
}
# Symbols that a tokenizer may reserve for spans. A network that was trained with them copies them surely. They are
# characters for private use, one subword each.
PLACEHOLDERS = tuple(map(chr, range(0xE010, 0xE018)))
_PLACEHOLDER = re.compile(f"[{PLACEHOLDERS[0]}-{PLACEHOLDERS[-1]}]")

_SPANS = re.compile("|".join(PATTERNS.values()))
# A text without any of these has no span. The search for them is fast.
_SIGNS = re.compile(rf"[@#$%{{<\\/:\u20e3\U0001f1e6-\U0001f1ff{_EMOJI}]|\.\w")


def protected_spans(text: str, others: Iterable[str] = ()) -> list[tuple[int, int]]:
    """Return the offsets of the spans in a normalised text that its translation must keep, in order.

    others: Further strings to keep, wherever they stand in the text as whole words.
    """
    found = [match.span() for match in _SPANS.finditer(text)] if _SIGNS.search(text) else []
    strings = {normalise(string) for string in others} - {""}
    if not strings:
        return found
    # The others come first, and the longest of those that overlap.
    longest_first = "|".join(whole(string) for string in sorted(strings, key=lambda string: (-len(string), string)))
    chosen = [match.span() for match in re.finditer(longest_first, text)]
    chosen += [span for span in found if all(span[1] <= start or end <= span[0] for start, end in chosen)]
    return sorted(chosen)


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
    edits = [(start, end, text.text) for start, end, text in places_of_copies(content, target, [attention])]
    for string in {source[start:end] for start, end in spans}:
        for match in re.finditer(whole(string), target):
            if all(match.end() <= start or end <= match.start() for start, end, _ in edits):
                edits.append((*match.span(), ""))
    edits.sort(key=lambda edit: edit[:2])

    source_places, _ = subword_spans(attention.source_subwords, 0)
    target_places, _ = subword_spans(attention.target_subwords, 0)
    ends = [end for _, end in target_places]
    words: list[str] = []  # as subwords, with ▁ for a space
    rows: list[Row] = []

    def add(word: str, row: Row, after_space: bool) -> None:
        touches = bool(words) and bool(re.search(r"\w\Z", words[-1])) and bool(re.match(r"\w", word))
        words.append(("▁" if after_space or touches or not words else "") + word)
        rows.append(row)

    position = 0
    for start, end, text in [*edits, (len(target), len(target), "")]:
        for first, last in words_of(target[position:start]):
            place = position + first
            subword = bisect_right(ends, visible_length(target[:place]))
            add(target[place : position + last], attention.weights[subword], target[place - 1 : place] == " ")
        if text:
            attended, is_after_space = _attended(source, text, source_places)
            add(text, attended, target[start - 1 : start] == " " or (start == end and is_after_space))
        position = max(position, end)
    if attention.target_subwords[-1] == "</s>":
        words.append("</s>")
        rows.append(attention.weights[-1])
    restored_text = "".join(word for word in words if word != "</s>").replace("▁", " ").strip(" ")
    return restored_text, AttentionMap(attention.source_subwords, tuple(words), np.stack(rows).astype(np.float32))


def _attended(source: str, string: str, places: Sequence[tuple[int, int]]) -> tuple[Row, bool]:
    """Return the attention of a copied string, equal for its source subwords, and whether a space precedes it there."""
    from dragoman.runtime.documents.projection import visible_length

    start = source.index(string)
    before = visible_length(source[:start])
    span = before, before + visible_length(string)
    row = np.array([float(place[0] < span[1] and span[0] < place[1]) for place in places])
    return row / max(row.sum(), 1.0), source[start - 1 : start] == " "
