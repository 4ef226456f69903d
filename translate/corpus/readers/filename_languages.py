"""Check of the languages in file names against the requested pair."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from dragoman.runtime.compression import without_compression
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.languages import format_pair, is_known_language, matches_language


def check_direction(paths: Sequence[str], languages: tuple[str, str], log: Callable[[str], None]) -> None:
    """Raise UserError if the names of two files contradict the direction, such as `my.en my.de` for de-en.

    A model trained on them would learn the wrong direction. Names of other languages are reported to `log`.
    """
    names = [Path(without_compression(path)).suffix[1:] for path in paths]
    if len(names) == 2 and (names[0] == names[1] or not all(map(is_known_language, names))):  # `my.en.txt my.de.txt`
        names = [_language_in_name(path, languages) for path in paths]
    if len(names) != 2 or names[0] == names[1] or not all(names):
        return
    if _all_match(names, languages):
        return
    pair, files = format_pair(*languages), " and ".join(paths)
    if _all_match(names[::-1], languages):
        raise UserError(f"the names of {files} say {format_pair(*names)}, but --pair says {pair}")
    log(f"{files} are read as {pair}, as --pair says, although their names differ")


def _all_match(names: Sequence[str], languages: tuple[str, str]) -> bool:
    """Return True if each name matches its language. `pt` matches my.pt_BR, and `pt_BR` matches my.pt."""
    return all(
        matches_language(language, name) or matches_language(name, language)
        for language, name in zip(languages, names, strict=True)
    )


def _language_in_name(path: str, languages: tuple[str, str]) -> str:
    """Return the one of two languages that is a part of a file's name, or "" if none or both are."""
    parts = re.split(r"[\W_]+", Path(path).name.lower())
    matching = [
        language
        for language in languages
        if any(is_known_language(part) and matches_language(part, language) for part in parts)
    ]
    return matching[0] if len(matching) == 1 else ""
