"""XLIFF 1.2 and 2.x, the exchange formats of localisation tools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from dragoman.translate.corpus.languages import format_pair, matches_language
from dragoman.translate.corpus.readers.inline_codes import pair_of
from dragoman.translate.corpus.readers.language_selection import LanguageMismatch, describe_pairs, must_reverse
from dragoman.translate.corpus.readers.rows import RawRow
from dragoman.translate.corpus.readers.xml_elements import LANGUAGE_ATTRIBUTE, iterate_elements, local_name

# The attributes for the source and the target language, in XLIFF 1.2 and 2.x.
LANGUAGE_ATTRIBUTES = ("source-language", "srcLang"), ("target-language", "trgLang")

UNFINISHED = {"new", "needs-translation", "initial"}  # states of units without a translation (XLIFF 1.2 and 2.x)

UNKNOWN = "?"  # a language that a file does not declare


def read_xliff(path: Path, languages: tuple[str, str], explicit: bool = True) -> Iterator[RawRow]:
    """Yield the translated units of an XLIFF file, in whichever direction it translates.

    `explicit`: the user named this file, not its folder, so an undeclared language is taken to be as requested.
    Raises LanguageMismatch if no unit is in the requested languages.
    """
    pairs: Counter[str] = Counter()
    found = undeclared = False
    tag_definitions: dict[str, str] = {}
    for unit, ancestors in iterate_elements(path, "trans-unit", "unit", "tag-defs"):
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
            if not {segment.get("state"), target.get("state")} & UNFINISHED:
                found = True
                for sides in _aligned(segment.find("{*}seg-source"), source, target):
                    yield pair_of(*(sides[::-1] if is_reversed else sides), data)
    if not found:
        if undeclared and not pairs:
            raise LanguageMismatch(f"{path} does not declare its languages; name the file itself, not its folder")
        raise LanguageMismatch(f"{path} has no translated unit in {'-'.join(languages)}; {describe_pairs(pairs)}")


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


def _aligned(segmented_source: Element | None, source: Element, target: Element) -> list[tuple[Element, Element]]:
    """Return the segments of an XLIFF 1.2 unit that both sides have, or the unit as a whole if it has no segments.

    `segmented_source` repeats the source with marks, which have the same `mid` as those of the target.
    """
    target_segments = _marked_segments(target)
    for side in (segmented_source, source):
        source_segments = {} if side is None else _marked_segments(side)
        if source_segments and target_segments:
            return [(text, target_segments[mid]) for mid, text in source_segments.items() if mid in target_segments]
    return [(source, target)]


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
