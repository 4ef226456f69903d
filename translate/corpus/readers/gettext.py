"""gettext's PO and MO catalogues.

polib (MIT licence) parses them; translate-toolkit is GPL, so this project cannot depend on it. polib accepts some
damaged catalogues in silence, hence the checks here. A whole catalogue is in memory at once.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polib

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.languages import is_known_language, matches_language
from dragoman.translate.corpus.readers.language_selection import LanguageMismatch, must_reverse
from dragoman.translate.corpus.readers.lines import read_bytes
from dragoman.translate.corpus.readers.rows import RawRow

MO_MAGIC = (b"\xde\x12\x04\x95", b"\x95\x04\x12\xde")

QUOTED_LINE = re.compile(r'\s*(?:msg[^"]*)?"(?:[^"\\]|\\.)*"\s*')

# Characters that polib, which uses str.splitlines, takes for the end of a line.
LINE_SEPARATORS = dict.fromkeys((0xB, 0xC, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029), " ")

MANY = 100  # no language has a plural form of its own for this number


def read_po(path: Path, languages: tuple[str, str], explicit: bool = True) -> Iterator[RawRow]:
    """Yield the translated messages of a gettext catalogue, .po or .mo, in whichever direction it translates.

    A message with plural forms gives up to two pairs, for one thing and for many. `explicit`: the user named this file,
    not its folder, so an undeclared target language is taken to be as requested.

    Raises UserError for a damaged or empty catalogue, and LanguageMismatch if it translates other languages or declares
    no target language.
    """
    catalogue = _parse(path)
    # Few catalogues declare a source language. By gettext's convention it is English.
    source = catalogue.metadata.get("X-Source-Language") or "en"
    target = catalogue.metadata.get("Language") or _language_in_path(path, languages)
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
    one_form, many_form = _plural_forms(catalogue.metadata.get("Plural-Forms", ""))
    for entry in catalogue.translated_entries():
        for pair in _pairs_of(entry, one_form, many_form):
            yield pair[::-1] if is_reversed else pair


def _parse(path: Path) -> Any:  # noqa: ANN401 (polib has no types)
    """Return a catalogue, parsed by polib. Raises UserError if it is damaged or empty."""
    data = read_bytes(path)
    try:
        if data[:4] in MO_MAGIC:
            _check_mo_offsets(data)
            catalogue: Any = polib.mofile(data)
        else:
            text = data.decode(polib.detect_encoding(data)).removeprefix("\ufeff").translate(LINE_SEPARATORS)
            _check_po_lines(text)
            catalogue = polib.pofile(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line:,} is not {error.encoding}, the encoding of the catalogue") from None
    except (OSError, ValueError, LookupError, IndexError) as error:
        raise UserError(f"{path} is not a valid gettext catalogue: {error}") from None
    if not len(catalogue):
        raise UserError(f"{path} has no messages")
    return catalogue


def _pairs_of(entry: Any, one_form: int, many_form: int | None) -> list[tuple[str, str]]:  # noqa: ANN401 (of polib)
    """Return the pairs of a message: the plural first, then the singular."""
    forms = [entry.msgstr_plural[k] for k in sorted(entry.msgstr_plural)] or [entry.msgstr]
    singular = (entry.msgid, forms[one_form if one_form < len(forms) else 0])
    if not entry.msgid_plural:
        return [singular]
    plural = (entry.msgid_plural, forms[many_form if many_form is not None and many_form < len(forms) else -1])
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


def _check_po_lines(text: str) -> None:
    """Raise ValueError for an unquoted text, or a catalogue that ends before a translation.

    polib drops a character of the former and ignores the latter.
    """
    keyword, keyword_line = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith(("msg", '"')) and not QUOTED_LINE.fullmatch(line):
            raise ValueError(f"line {number:,} has text outside quotation marks")
        if line.lstrip().startswith("msg"):
            keyword, keyword_line = line.split()[0], number
    if keyword and not keyword.startswith("msgstr"):
        raise ValueError(f"it ends after {keyword} in line {keyword_line:,}, without a translation, as if truncated")


def _check_mo_offsets(data: bytes) -> None:
    """Raise ValueError for a truncated compiled catalogue, for which polib returns shorter texts in silence.

    Two tables, of source texts and translations, hold the length and the offset of each text. A zero byte ends each
    text (gettext's manual, "The Format of GNU MO Files").
    """
    dtype = "<u4" if data[0] == 0xDE else ">u4"
    words = np.frombuffer(data[: len(data) // 4 * 4], dtype)
    if len(words) < 5:
        raise ValueError("its header is truncated")
    count, *table_offsets = (int(n) for n in words[2:5])
    for table_offset in table_offsets:
        if table_offset + 8 * count > len(data):
            raise ValueError(f"its tables of {count:,} texts are truncated")
        table = np.frombuffer(data, dtype, 2 * count, table_offset).astype(np.int64).reshape(-1, 2)
        ends = table.sum(1)  # length + offset
        if (ends >= len(data)).any() or np.frombuffer(data, np.uint8)[ends].any():
            raise ValueError(f"its {count:,} texts are not where its tables place them, as if truncated")


def _language_in_path(path: Path, languages: tuple[str, str]) -> str:
    """Return the language in a catalogue's path, such as `de.po`, `app-de.po` or `de/LC_MESSAGES/app.po`, or "".

    Other files and folders have short names, too. So a language that was not requested counts only in two places: in
    the file's name and in the name of the folder above LC_MESSAGES. It must be a two-letter code that CLDR knows, with
    or without a region.
    """
    stem = path.name.removesuffix(".gz").rpartition(".")[0]
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
