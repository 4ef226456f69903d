"""gettext's PO and MO catalogues, read by polib (MIT licence)."""

from __future__ import annotations

import gettext
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polib

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.languages import known, matches
from dragoman.translate.corpus.readers.direction import OtherLanguages, must_reverse
from dragoman.translate.corpus.readers.raw import Raw, read_bytes

QUOTED = re.compile(r'\s*(?:msg[^"]*)?"(?:[^"\\]|\\.)*"\s*')  # a catalogue's line with text


NO_ENDS = dict.fromkeys((0xB, 0xC, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029), " ")  # polib takes them for ends of lines


MANY = 100  # things: no language has a form of its own for so many


def read_po(path: Path, languages: tuple[str, str], named: bool = True) -> Iterator[Raw]:
    """The finished messages of a gettext catalogue, .po or .mo; of plural forms the first and the last.

    Raises OtherLanguages when it is translated from or into others, or does not say into which, neither in its header
    nor by its path, and was not named itself.
    """
    data = read_bytes(path)
    packed = data[:4] in (b"\xde\x12\x04\x95", b"\x95\x04\x12\xde")
    try:
        if packed:
            _check_whole(data)
            catalogue: Any = polib.mofile(data)
        else:
            text = data.decode(polib.detect_encoding(data)).removeprefix("\ufeff").translate(NO_ENDS)
            _check_quotations(text)
            catalogue = polib.pofile(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line:,}: not the {error.encoding} that the catalogue is to be in") from None
    except (OSError, ValueError, LookupError, IndexError) as error:
        raise UserError(f"{path} is no gettext catalogue: {error}") from None
    if not len(catalogue):
        raise UserError(f"{path} has no messages")
    # What msgids are written in is seldom said; by gettext's convention it is English.
    source = catalogue.metadata.get("X-Source-Language") or "en"
    target = catalogue.metadata.get("Language") or _language_of(path, languages)
    if not target and not named:
        raise OtherLanguages(f"{path} says no language, neither in its header nor by its path; name the file itself")
    target = target or next((code for code in languages[::-1] if not matches(source, code)), languages[1])
    turned = must_reverse((source, target), languages)
    if turned is None:
        raise OtherLanguages(
            f"{path} is translated from {source} into {target}, which is not {'-'.join(languages)}"
            + ("" if any(matches(code, source) for code in languages) else "; X-Source-Language would say otherwise")
        )
    one, many = _plurals(catalogue.metadata.get("Plural-Forms", ""))
    for entry in catalogue.translated_entries():
        forms = [entry.msgstr_plural[k] for k in sorted(entry.msgstr_plural)] or [entry.msgstr]
        pairs = [(entry.msgid, forms[one if one < len(forms) else 0])]
        if entry.msgid_plural:
            several = (entry.msgid_plural, forms[many if many is not None and many < len(forms) else -1])
            pairs = [several, *(pairs if len(forms) > 1 else [])]
        for pair in pairs:
            yield pair[::-1] if turned else pair


def _plurals(header: str) -> tuple[int, int | None]:
    """Which form of a message is for one thing and which for many, by a catalogue's header.

    Without one, the first and (None) the last: the first is for none in Arabic, the last for three in Slovenian.
    """
    formula = re.search(r"plural\s*=\s*([^;]+)", header)
    try:
        form = gettext.c2py(formula[1]) if formula else None
        return (form(1), form(MANY)) if form else (0, None)
    except (ValueError, ArithmeticError, RecursionError):
        return 0, None


def _check_quotations(text: str) -> None:
    """Raise ValueError for a catalogue that ends before a translation, or its first line that is not quoted.

    polib says nothing of the one, and drops a character of the other.
    """
    last, place = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith(("msg", '"')) and not QUOTED.fullmatch(line):
            raise ValueError(f'line {number:,}: text that does not stand between two "')
        if line.lstrip().startswith("msg"):
            last, place = line.split()[0], number
    if last and not last.startswith("msgstr"):
        raise ValueError(f"it ends after line {place:,}, {last}, without a translation; it may have been cut off")


def _check_whole(data: bytes) -> None:
    """Raise ValueError for a compiled catalogue that was cut off: polib gives shorter texts and says nothing.

    Two tables say how long each text is and where it begins; a zero ends it (gettext's manual, "The Format of GNU MO
    Files").
    """
    kind = "<u4" if data[0] == 0xDE else ">u4"
    head = np.frombuffer(data[: len(data) // 4 * 4], kind)
    if len(head) < 5:
        raise ValueError("it is cut off in its header")
    count, *starts = (int(n) for n in head[2:5])
    for start in starts:
        if start + 8 * count > len(data):
            raise ValueError(f"it is cut off in its tables of {count:,} texts")
        lengths, places = np.frombuffer(data, kind, 2 * count, start).astype(np.int64).reshape(-1, 2).T
        ends = lengths + places
        if (ends >= len(data)).any() or np.frombuffer(data, np.uint8)[ends].any():
            raise ValueError(f"its {count:,} texts do not lie where it says; it may have been cut off")


def _language_of(path: Path, languages: tuple[str, str]) -> str:
    """The language that a catalogue's path names, as `de.po`, `app-de.po` and `de/LC_MESSAGES/app.po` do; else "".

    Of codes that are not asked for only those of two letters count, with a region or without, that CLDR knows, and of
    folders only one that holds LC_MESSAGES: others have short names, too.
    """
    stem = path.name.removesuffix(".gz").rpartition(".")[0]
    names = [stem, *re.split("[-.]", stem)[:0:-1]]
    folders = [folder.name for folder in path.parents[:3]]
    own = [*names, *folders[1:2]] if folders[:1] == ["LC_MESSAGES"] else names
    for place in [*names, *folders]:
        code = place.partition("@")[0]
        if any(matches(code, language) for language in languages):
            return code
        if place in own and re.fullmatch("[a-z]{2}([-_][A-Z][A-Za-z]+)?", code) and known(code):
            return code
    return ""
