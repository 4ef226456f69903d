"""XLIFF 1.2 and 2.x, the exchange formats of localisation tools."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from dragoman.runtime.compression import without_compression
from dragoman.translate.corpus.languages import format_pair, matches_language
from dragoman.translate.corpus.readers.inline_codes import pair_of, text_of
from dragoman.translate.corpus.readers.language_selection import LanguageMismatch, describe_pairs, must_reverse
from dragoman.translate.corpus.readers.rows import RawRow, UnreadableRow
from dragoman.translate.corpus.readers.xml_elements import LANGUAGE_ATTRIBUTE, iterate_elements, local_name

# The attributes for the source and the target language, in XLIFF 1.2 and 2.x.
LANGUAGE_ATTRIBUTES = ("source-language", "srcLang"), ("target-language", "trgLang")

UNFINISHED = {"new", "needs-translation", "initial"}  # states of units without a translation (XLIFF 1.2 and 2.x)

# The same for segments by Trados Studio, whose default is Unspecified, and for units by memoQ. Phrase has 0 or 1.
UNFINISHED_STUDIO = {"Unspecified", "Draft", "RejectedTranslation", "RejectedSignOff"}
UNFINISHED_MEMOQ = {
    "NotStarted", "PartiallyEdited", "Pretranslated", "AssembledFromFragments", "MachineTranslated", "Rejected",
}  # fmt: skip

UNFINISHED_TEXT = "a translation that is not finished or not confirmed"
UNPAIRED_TEXT = "a segment that the other language lacks"

UNKNOWN = "?"  # a language that a file does not declare

# The codes in text by Phrase (formerly Memsource): {1>bold<1}, {b>bold<b}, {1}, and the form with tags.
_PHRASE_CODE = re.compile(r"\{(?P<open>[0-9]+|[biu^_])>|<(?P<close>[0-9]+|[biu^_])\}|\{(?P<alone>[0-9]+)\}"
                          r"|<(?P<tag_open>[0-9]+)>|</(?P<tag_close>[0-9]+)>|<(?P<tag_alone>[0-9]+)/>")  # fmt: skip


Aligned = tuple[str | None, Element | None, Element | None]  # the `mid` of a segment, its source and its target


def read_xliff(
    path: Path,
    languages: tuple[str, str],
    explicit: bool = True,
    log: Callable[[str], None] = lambda _: None,
) -> Iterator[RawRow]:
    """Yield the translated units of an XLIFF file, in whichever direction it translates.

    Translations that are not finished, and segments without a partner, are yielded as unreadable, so that they are
    counted. `explicit`: the user named this file, not its folder, so an undeclared language is taken to be as
    requested. `log` learns of repairs. Raises LanguageMismatch if no finished unit is in the requested languages.
    """
    pairs: Counter[str] = Counter()
    found = undeclared = False
    unfinished = 0
    has_phrase_codes = without_compression(path.name.lower()).endswith(".mxliff")
    tag_definitions: dict[str, str] = {}
    for unit, ancestors in iterate_elements(path, "trans-unit", "unit", "tag-defs", languages=languages, log=log):
        if local_name(unit) == "tag-defs":
            tag_definitions = _tag_definitions(unit)
            continue
        data = {**tag_definitions, **_original_data(unit)} if tag_definitions else _original_data(unit)
        for segment in _segments(unit):
            nodes = [segment, *([unit] if segment is not unit else []), *ancestors[::-1]]
            source, target = segment.find("{*}source"), segment.find("{*}target")
            unit_languages = _declared_languages(nodes, source, target)
            if explicit:
                unit_languages = _complete_languages(unit_languages, languages)
            if UNKNOWN in unit_languages:
                undeclared = True
            else:
                pairs[format_pair(*unit_languages)] += 1
            is_reversed = must_reverse(unit_languages, languages)
            if is_reversed is None or source is None or target is None or _inherited(nodes, "translate") == "no":
                continue
            if has_phrase_codes:
                data |= _phrase_metadata(unit)
                for side in (source, target):
                    _mark_phrase_codes(side)
            for mid, *sides in _aligned(segment.find("{*}seg-source"), source, target):
                row = _row_of(sides[::-1] if is_reversed else sides, _is_unfinished(segment, target, mid), data)
                if row is None:
                    continue
                problem = row.problem if isinstance(row, UnreadableRow) else ""
                unfinished += problem == UNFINISHED_TEXT
                found = found or problem not in {UNFINISHED_TEXT, UNPAIRED_TEXT}
                yield row
    if found:
        return
    if unfinished:
        problem = f"has no finished translation: all {unfinished:,} are unfinished or unconfirmed"
    elif undeclared and not pairs:
        problem = "does not declare its languages; name the file itself, not its folder"
    else:
        problem = f"has no translated unit in {'-'.join(languages)}; {describe_pairs(pairs)}"
    raise LanguageMismatch(f"{path} {problem}")


def _segments(unit: Element) -> list[Element]:
    """Return the segments of an XLIFF 2 unit, or a unit of XLIFF 1.2 itself."""
    return [unit] if local_name(unit) == "trans-unit" else unit.findall("{*}segment")


def _original_data(unit: Element) -> dict[str, str]:
    """Return the native content of the inline codes of an XLIFF 2 unit, by its id."""
    return {data.get("id", ""): "".join(data.itertext()) for data in unit.iterfind("{*}originalData/{*}data")}


def _tag_definitions(definitions: Element) -> dict[str, str]:
    """Return the native content of the inline codes of a file by Trados Studio (.sdlxliff), by their id after a `#`."""
    codes = (
        (tag.get("id", ""), next((code for code in tag if local_name(code) in {"ph", "bpt"}), None))
        for tag in definitions
    )
    return {f"#{id}": "".join(code.itertext()) for id, code in codes if code is not None}


def _phrase_metadata(unit: Element) -> dict[str, str]:
    """Return the native content of the codes of a unit by Phrase, by their number after a `#`."""
    marks = unit.iterfind("{*}tunit-metadata/{*}mark")
    return {f"#{mark.get('id', '')}": mark.findtext("{*}content", "") for mark in marks}


def _mark_phrase_codes(side: Element) -> None:
    """Turn the codes in text by Phrase into inline codes of XLIFF 1.2."""
    for element in [*side.iter()]:
        children = [*element]
        texts = [element.text or "", *(child.tail or "" for child in children)]
        if not any(map(_PHRASE_CODE.search, texts)):
            continue
        element[:] = []
        for child, text in zip([None, *children], texts, strict=True):
            if child is not None:
                element.append(child)
            _append_text(element, text)


def _append_text(element: Element, text: str) -> None:
    """Append text to an element, with its codes by Phrase as inline codes."""
    start = 0
    for match in _PHRASE_CODE.finditer(text):
        _append_plain(element, text[start : match.start()])
        kind = str(match.lastgroup)
        name = {"open": "bpt", "close": "ept", "alone": "x"}[kind.removeprefix("tag_")]
        SubElement(element, name, id=match[kind])
        start = match.end()
    _append_plain(element, text[start:])


def _append_plain(element: Element, text: str) -> None:
    if len(element):
        element[-1].tail = text
    else:
        element.text = text


def _row_of(sides: Sequence[Element | None], is_unfinished: bool, data: Mapping[str, str]) -> RawRow | None:
    """Return the pair of two sides, an unreadable row if it is not one, or None if it has no text to count."""
    source, target = sides
    if source is None or target is None:
        text = "".join(text_of(side) for side in sides if side is not None)
        return UnreadableRow(UNPAIRED_TEXT, text.encode()) if text.strip() else None
    if is_unfinished:
        texts = [text_of(source), text_of(target)]
        return (
            UnreadableRow(UNFINISHED_TEXT, *(text.encode() for text in texts)) if all(map(str.strip, texts)) else None
        )
    return pair_of(source, target, data)


def _is_unfinished(segment: Element, target: Element, mid: str | None) -> bool:
    """Return True if a translation is marked as not finished or not confirmed. `mid` is that of its segment, if any."""
    own = {name.rpartition("}")[2]: value for name, value in segment.items() if name.startswith("{")}
    studio = [seg for seg in segment.iterfind("{*}seg-defs/{*}seg") if mid is None or seg.get("id") == mid]
    return bool(
        {segment.get("state"), target.get("state")} & UNFINISHED
        or own.get("confirmed") == "0"
        or own.get("status") in UNFINISHED_MEMOQ
        or any(seg.get("conf", "Unspecified") in UNFINISHED_STUDIO for seg in studio)
    )


def _aligned(segmented_source: Element | None, source: Element, target: Element) -> list[Aligned]:
    """Return the segments of an XLIFF 1.2 unit with their `mid`, or the unit as a whole if it has no segments.

    `segmented_source` repeats the source with marks, which have the same `mid` as those of the target.
    """
    target_segments = _marked_segments(target)
    for side in (segmented_source, source):
        source_segments = {} if side is None else _marked_segments(side)
        if source_segments and target_segments:
            mids = dict.fromkeys([*source_segments, *target_segments])
            return [(mid, source_segments.get(mid), target_segments.get(mid)) for mid in mids]
    return [(None, source, target)]


def _marked_segments(side: Element) -> dict[str, Element]:
    """Return the marks of segments by their `mid`, or by their position if they have none."""
    marks = [mark for mark in side.iterfind(".//{*}mrk") if mark.get("mtype") == "seg"]
    return {mark.get("mid", f"#{position}"): mark for position, mark in enumerate(marks)}


def _inherited(nodes: list[Element], *attributes: str) -> str | None:
    """Return the first of some attributes that is set, from a unit up to the root."""
    return next((value for node in nodes for name in attributes if (value := node.get(name))), None)


def _declared_languages(nodes: list[Element], source: Element | None, target: Element | None) -> tuple[str, str]:
    """Return the source and target language of a unit, or UNKNOWN for each that the file does not declare."""
    source_language, target_language = (
        _inherited(nodes, *attributes) or (None if text is None else text.get(LANGUAGE_ATTRIBUTE)) or UNKNOWN
        for attributes, text in zip(LANGUAGE_ATTRIBUTES, (source, target), strict=True)
    )
    return source_language, target_language


def _complete_languages(unit_languages: tuple[str, str], languages: tuple[str, str]) -> tuple[str, str]:
    """Fill in an undeclared target language, which XLIFF 1.2 allows, from the requested languages."""
    source, target = unit_languages
    if target != UNKNOWN:
        return unit_languages
    candidates = [language for language in languages if not matches_language(source, language)]
    if len(candidates) == 1:
        return source, candidates[0]
    return languages if source == UNKNOWN else unit_languages
