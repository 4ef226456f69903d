"""TMX 1.4, the exchange format of translation memories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from xml.etree.ElementTree import Element

from dragoman.translate.corpus.languages import format_pair, matches_language
from dragoman.translate.corpus.readers.inline_codes import pair_of, text_of
from dragoman.translate.corpus.readers.language_selection import LanguageMismatch, describe_pairs, specificity
from dragoman.translate.corpus.readers.rows import RawRow, UnreadableRow
from dragoman.translate.corpus.readers.xml_elements import LANGUAGE_ATTRIBUTE, iterate_elements, local_name

FURTHER_TEXT = "a further text in the same language, in one unit of a translation memory"


def read_tmx(
    path: Path,
    languages: tuple[str, str],
    explicit: bool = True,
    log: Callable[[str], None] = lambda _: None,
) -> Iterator[RawRow]:
    """Yield the units of a translation memory that have both languages.

    If a unit has several texts in a language (`pt-BR` and `pt`), the others are yielded as unreadable, so that they are
    counted. `log` learns of repairs. Raises LanguageMismatch if no unit has both languages.
    """
    other_pairs: Counter[str] = Counter()
    found = False
    for unit, _ in iterate_elements(path, "tu", languages=languages, log=log):
        segments = _segments(unit)
        sources, targets = (_rank_segments(segments, language) for language in languages)
        if sources and targets:
            found = True
            yield pair_of(sources[0], targets[0])
            for texts in (sources, targets):
                yield from (UnreadableRow(FURTHER_TEXT, text.encode()) for text in _further_texts(texts))
        elif not found:
            other_pairs.update(format_pair(a, b) for a, b in combinations(sorted({tag for tag, _ in segments}), 2))
    if not found:
        raise LanguageMismatch(f"{path} has no unit in {'-'.join(languages)}; {describe_pairs(other_pairs)}")


def _segments(unit: Element) -> list[tuple[str, Element]]:
    """Return the language tag and the segment of each variant of a unit."""
    segments = []
    for variant in unit:
        tag = (variant.get(LANGUAGE_ATTRIBUTE) or variant.get("lang") or "").strip()
        segment = next((child for child in variant if local_name(child) == "seg"), None)
        if tag and segment is not None:
            segments.append((tag, segment))
    return segments


def _rank_segments(segments: Sequence[tuple[str, Element]], language: str) -> list[Element]:
    """Return the segments in a language, the best first. An empty one is the last."""
    matching = [(tag, segment) for tag, segment in segments if matches_language(tag, language)]
    if len(matching) > 1:
        matching.sort(key=lambda pair: (not text_of(pair[1]).strip(), specificity(pair[0])))
    return [segment for _, segment in matching]


def _further_texts(segments: Sequence[Element]) -> list[str]:
    """Return the texts of all but the first segment that differ from it and are not empty."""
    first, *others = (text_of(segment).strip() for segment in segments) if len(segments) > 1 else [""]
    return [text for text in others if text not in {"", first}]
