"""Pairs of gettext's PO and MO catalogues. A whole catalogue is in memory at once."""

from __future__ import annotations

import gettext
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from dragoman.runtime.compression import without_compression
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.languages import is_known_language, matches_language
from dragoman.translate.corpus.readers.catalogues import Message, read_catalogue
from dragoman.translate.corpus.readers.language_selection import LanguageMismatch, must_reverse
from dragoman.translate.corpus.readers.rows import RawRow, UnreadableRow

MANY = 100  # no language has a plural form of its own for this number


def read_po(
    path: Path,
    languages: tuple[str, str],
    explicit: bool = True,
    log: Callable[[str], None] = lambda _: None,  # this format has nothing to report
) -> Iterator[RawRow]:
    """Yield the translated messages of a gettext catalogue, .po or .mo, in whichever direction it translates.

    A message with plural forms gives up to two pairs, for one thing and for many. Fuzzy and obsolete messages are
    yielded as unreadable, so that they are counted. `explicit`: the user named this file,
    not its folder, so an undeclared target language is taken to be as requested.

    Raises UserError for a damaged or empty catalogue, and LanguageMismatch if it translates other languages or declares
    no target language.
    """
    catalogue = read_catalogue(path, languages)
    if not catalogue.messages:
        raise UserError(f"{path} has no messages")
    # Few catalogues declare a source language. By gettext's convention it is English.
    source = catalogue.header.get("x-source-language") or "en"
    target = catalogue.header.get("language") or _language_in_path(path, languages)
    if not target and not explicit:
        raise LanguageMismatch(
            f"{path} declares no language, neither in its header nor in its path; name the file itself, not its folder"
        )
    target = target or next((code for code in languages[::-1] if not matches_language(source, code)), languages[1])
    is_reversed = must_reverse((source, target), languages)
    if is_reversed is None:
        hint = ""
        if not any(matches_language(code, source) for code in languages):
            hint = "; if its source language is another, add X-Source-Language to its header"
        raise LanguageMismatch(f"{path} translates {source} into {target}, not {'-'.join(languages)}{hint}")
    one_form, many_form = _plural_forms(catalogue.header.get("plural-forms", ""))
    for message in catalogue.messages:
        if message.problem:
            yield UnreadableRow(message.problem, message.source.encode())
        elif message.translations:
            for pair in _pairs_of(message, one_form, many_form):
                yield pair[::-1] if is_reversed else pair


def _pairs_of(message: Message, one_form: int, many_form: int | None) -> list[tuple[str, str]]:
    """Return the pairs of a message: the plural first, then the singular."""
    forms = message.translations
    singular = (message.source, forms[one_form if one_form < len(forms) else 0])
    if message.plural is None:
        return [singular]
    plural = (message.plural, forms[many_form if many_form is not None and many_form < len(forms) else -1])
    return [plural, singular] if len(forms) > 1 else [plural]


def _plural_forms(header: str) -> tuple[int, int | None]:
    """Return the indices of a message's forms for one thing and for many, by the header `Plural-Forms`.

    Without a valid formula, return the first form and None for the last. These are only a guess: the first form is for
    zero things in Arabic, and the last for three in Slovenian.
    """
    formula = re.search(r"plural\s*=\s*([^;]+)", header)
    try:
        form_of = gettext.c2py(formula[1]) if formula else None
        return (form_of(1), form_of(MANY)) if form_of else (0, None)
    except (ValueError, ArithmeticError, RecursionError):
        return 0, None


def _language_in_path(path: Path, languages: tuple[str, str]) -> str:
    """Return the language in a catalogue's path, such as `de.po`, `app-de.po` or `de/LC_MESSAGES/app.po`, or "".

    Other files and folders have short names, too. So a language that was not requested counts only in two places: in
    the file's name and in the name of the folder above LC_MESSAGES. It must be a two-letter code that CLDR knows, with
    or without a region.
    """
    stem = without_compression(path.name).rpartition(".")[0]
    stem_parts = [stem, *re.split("[-.]", stem)[:0:-1]]
    folders = [folder.name for folder in path.parents[:3]]
    language_places = [*stem_parts, *folders[1:2]] if folders[:1] == ["LC_MESSAGES"] else stem_parts
    for place in [*stem_parts, *folders]:
        code = place.partition("@")[0]  # a locale may have a modifier: sr@latin
        if any(matches_language(code, language) for language in languages):
            return code
        is_code = re.fullmatch("[a-z]{2}([-_][A-Z][A-Za-z]+)?", code)
        if place in language_places and is_code and is_known_language(code):
            return code
    return ""
