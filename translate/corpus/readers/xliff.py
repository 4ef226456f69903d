"""XLIFF 1.2 and 2.x, the exchange formats of localisation tools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from dragoman.translate.corpus.languages import format_pair, matches_language
from dragoman.translate.corpus.readers.language_selection import LanguageMismatch, describe_pairs, must_reverse
from dragoman.translate.corpus.readers.rows import RawRow
from dragoman.translate.corpus.readers.xml_text import LANGUAGE_ATTRIBUTE, iterate_elements, text_of

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
    for unit, ancestors in iterate_elements(path, "trans-unit", "segment"):
        nodes = [unit, *ancestors[::-1]]
        source, target = unit.find("{*}source"), unit.find("{*}target")
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
        if not {unit.get("state"), target.get("state")} & UNFINISHED:
            found = True
            pair = text_of(source), text_of(target)
            yield pair[::-1] if is_reversed else pair
    if not found:
        if undeclared and not pairs:
            raise LanguageMismatch(f"{path} does not declare its languages; name the file itself, not its folder")
        raise LanguageMismatch(f"{path} has no translated unit in {'-'.join(languages)}; {describe_pairs(pairs)}")


def _inherited(nodes: list[ElementTree.Element], *attributes: str) -> str | None:
    """Return the first of some attributes that is set, from a unit up to the root."""
    return next((value for node in nodes for name in attributes if (value := node.get(name))), None)


def _declared_languages(
    nodes: list[ElementTree.Element], source: ElementTree.Element | None, target: ElementTree.Element | None
) -> tuple[str, str]:
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
