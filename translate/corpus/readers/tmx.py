"""TMX 1.4, the exchange format of translation memories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from dragoman.translate.corpus.languages import pair_of
from dragoman.translate.corpus.readers.direction import OtherLanguages, available_pairs, text_in
from dragoman.translate.corpus.readers.markup import LANGUAGE, elements, text_of
from dragoman.translate.corpus.readers.raw import Raw


def read_tmx(path: Path, languages: tuple[str, str], named: bool = True) -> Iterator[Raw]:
    """The units of a translation memory that have both languages. Raises OtherLanguages when none has."""
    seen: Counter[str] = Counter()
    found = False
    for unit, _ in elements(path, "tu"):
        texts: dict[str, str] = {}
        for variant in unit:
            code, segment = variant.get(LANGUAGE) or variant.get("lang"), variant.find("{*}seg")
            if code and segment is not None:
                texts.setdefault(code, text_of(segment))
        source, target = (text_in(texts, language) for language in languages)
        if source is not None and target is not None:
            found = True
            yield source, target
        elif not found:
            codes = sorted(texts)
            seen.update(pair_of(a, b) for i, a in enumerate(codes) for b in codes[i + 1 :])
    if not found:
        raise OtherLanguages(f"{path} has no unit in {'-'.join(languages)}; {available_pairs(seen)}")
