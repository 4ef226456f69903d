"""XLIFF 1.2 and 2.x."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from dragoman.translate.corpus.languages import matches, pair_of
from dragoman.translate.corpus.readers.direction import OtherLanguages, available_pairs, must_reverse
from dragoman.translate.corpus.readers.markup import LANGUAGE, elements, text_of
from dragoman.translate.corpus.readers.raw import Raw

XLIFF_LANGUAGES = ("source-language", "srcLang"), ("target-language", "trgLang")


UNFINISHED = {"new", "needs-translation", "initial"}  # states of what is no translation yet (XLIFF 1.2 and 2.x)


def read_xliff(path: Path, languages: tuple[str, str], named: bool = True) -> Iterator[Raw]:
    """The translated units of XLIFF 1.2 and 2.x, in either direction. Raises OtherLanguages when there is none."""
    seen: Counter[str] = Counter()
    found = unsaid = False
    for unit, above in elements(path, "trans-unit", "segment"):

        def said(*names: str) -> str | None:
            """The nearest of the unit and what it is in that says something."""
            each = (outer.get(name) for outer in (unit, *above[::-1]) for name in names)  # noqa: B023 (used at once)
            return next((value for value in each if value), None)

        source_text, target_text = unit.find("{*}source"), unit.find("{*}target")
        own = tuple(
            said(*names) or (None if text is None else text.get(LANGUAGE)) or "?"
            for names, text in zip(XLIFF_LANGUAGES, (source_text, target_text), strict=True)
        )
        if named and own[1] == "?":  # which XLIFF 1.2 allows
            rest = [code for code in languages if not matches(own[0], code)]
            own = (own[0], rest[0]) if len(rest) == 1 else languages if own[0] == "?" else own
        if "?" not in own:
            seen[pair_of(*own)] += 1
        unsaid = unsaid or "?" in own
        turned = must_reverse(own, languages)
        if turned is None or source_text is None or target_text is None or said("translate") == "no":
            continue
        if not {unit.get("state"), target_text.get("state")} & UNFINISHED:
            found = True
            pair = text_of(source_text), text_of(target_text)
            yield pair[::-1] if turned else pair
    if not found:
        if unsaid and not seen:
            raise OtherLanguages(f"{path} does not say which languages it is in; name the file itself")
        raise OtherLanguages(f"{path} has no translated unit in {'-'.join(languages)}; {available_pairs(seen)}")
