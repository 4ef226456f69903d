"""TMX 1.4, the exchange format of translation memories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

from dragoman.translate.corpus.languages import format_pair
from dragoman.translate.corpus.readers.language_selection import LanguageMismatch, describe_pairs, find_text
from dragoman.translate.corpus.readers.rows import RawRow
from dragoman.translate.corpus.readers.xml_text import LANGUAGE_ATTRIBUTE, iterate_elements, text_of


def read_tmx(path: Path, languages: tuple[str, str], explicit: bool = True) -> Iterator[RawRow]:
    """Yield the units of a translation memory that have both languages.

    Raises LanguageMismatch if no unit has both.
    """
    other_pairs: Counter[str] = Counter()
    found = False
    for unit, _ in iterate_elements(path, "tu"):
        texts = _texts_by_language(unit)
        source, target = (find_text(texts, language) for language in languages)
        if source is not None and target is not None:
            found = True
            yield source, target
        elif not found:
            other_pairs.update(format_pair(a, b) for a, b in combinations(sorted(texts), 2))
    if not found:
        raise LanguageMismatch(f"{path} has no unit in {'-'.join(languages)}; {describe_pairs(other_pairs)}")


def _texts_by_language(unit: ElementTree.Element) -> dict[str, str]:
    """Return the first text of a unit in each language, by language tag."""
    texts: dict[str, str] = {}
    for variant in unit:
        language = variant.get(LANGUAGE_ATTRIBUTE) or variant.get("lang")
        segment = variant.find("{*}seg")
        if language and segment is not None:
            texts.setdefault(language, text_of(segment))
    return texts
