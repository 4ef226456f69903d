"""Readers of the formats that parallel text comes in. Each gives raw pairs, source first; of catalogues
alone a whole file is in memory at once.

Plain text in two files, TSV, JSON Lines, TMX 1.4 (the exchange format of translation memories), XLIFF 1.2 and 2.x,
and gettext's PO and MO; any of them gzipped, and folders of them. Catalogues are read by polib (MIT licence):
translate-toolkit's is GPL, on which this cannot depend.
"""

from __future__ import annotations

import codecs
import csv
import gettext
import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast
from xml.etree import ElementTree

import numpy as np
import polib

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.languages import known, matches, pair_of


class Unread(NamedTuple):
    """A line that is not of its file's format."""

    problem: str
    line: bytes


Raw = tuple[bytes | str, bytes | str] | Unread
# A file's pairs, its languages given; and whether the file itself was named, so that what it does not say of its
# languages is as asked, and not found in a folder of many.
Reader = Callable[[Path, tuple[str, str], bool], Iterable[Raw]]

# What stands inside these is code of the format that the text came from, not text (TMX 1.4 and XLIFF 1.2, "inline").
CODES = {"bpt", "ept", "ph", "it", "ut", "x", "bx", "ex", "sub"}
XLIFF_LANGUAGES = ("source-language", "srcLang"), ("target-language", "trgLang")
BREAK = re.compile(r"\s*(<br\b|\\n)", re.IGNORECASE)  # as code: a line's end
UNFINISHED = {"new", "needs-translation", "initial"}  # states of what is no translation yet (XLIFF 1.2 and 2.x)
QUOTED = re.compile(r'\s*(?:msg[^"]*)?"(?:[^"\\]|\\.)*"\s*')  # a catalogue's line with text
SNIFFED, CELL = 1000, 100  # lines of a table from which its kind is found, and those of a row in it, at the most
NO_ENDS = dict.fromkeys((0xB, 0xC, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029), " ")  # polib takes them for ends of lines
MANY = 100  # things: no language has a form of its own for so many
ODD = 10  # lines of a table that may be unreadable though most are, before that is more than an accident
# Files packed by something else, by what they begin with.
OTHERS = {rb"\xfd7zXZ\0": "xz", rb"BZh[1-9]1A": "bzip2", rb"\x28\xb5\x2f\xfd": "zstd", rb"PK\x03\x04": "zip"}
LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


class OtherLanguages(UserError):
    """A file has nothing in the languages asked for."""


@contextmanager
def open_raw(path: str | Path) -> Iterator[BinaryIO]:
    """A file's bytes, unpacked where it is gzipped. Raises UserError, also for what goes wrong while it is read."""
    try:
        with open(path, "rb") as file:
            start = file.read(6)
            file.seek(0)
            if other := next((name for mark, name in OTHERS.items() if re.match(mark, start)), None):
                raise UserError(f"{path} is packed by {other}; unpack it, or pack it by gzip")
            if not start.startswith(b"\x1f\x8b"):
                yield file
                return
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast(BinaryIO, unpacked)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def read_bytes(path: str | Path) -> bytes:
    """All of them. Raises UserError."""
    with open_raw(path) as file:
        return file.read()


def read_raw(path: str | Path) -> Iterator[bytes]:
    """The lines of a file, plain or gzipped, as bytes; split at line feeds, a closing carriage return left out."""
    with open_raw(path) as file:
        first = file.readline()
        lines: Iterable[bytes] = chain([first.removeprefix(codecs.BOM_UTF8)], file) if first else ()
        if first[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):  # as spreadsheets write it
            text = (first + file.read()).decode("utf-16", "replace").removeprefix("\ufeff")
            lines = (line.encode() for line in text.removesuffix("\n").split("\n"))
        elif 3 * first.count(0) > len(first):
            raise UserError(f"{path} looks like UTF-16 without the mark that it should begin with; save it as UTF-8")
        for line in lines:
            yield line.removesuffix(b"\n").removesuffix(b"\r")


def read_lenient(path: str | Path) -> list[str]:
    """The same as text, with U+FFFD for what is not UTF-8."""
    return [line.decode("utf-8", "replace") for line in read_raw(path)]


def read_strict(path: str | Path) -> list[str]:
    """The same as text. Raises UserError for what is not UTF-8."""
    return [decoded(line, path, number) for number, line in enumerate(read_raw(path), 1)]


def decoded(line: bytes, path: str | Path, number: int) -> str:
    """A line of a file as text. Raises UserError for what is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}, line {number:,} is not UTF-8") from None


def read_parallel(source: str | Path, target: str | Path) -> Iterator[Raw]:
    """Two files, line N of one the translation of line N of the other."""
    counts = [0, 0]
    for pair in zip_longest(read_raw(source), read_raw(target)):
        for side, line in enumerate(pair):
            counts[side] += line is not None
        if counts[0] == counts[1]:
            yield pair
    if counts[0] != counts[1]:
        raise UserError(
            f"{source} has {counts[0]:,} lines and {target} has {counts[1]:,}: "
            "line N of one must be the translation of line N of the other"
        )


def read_tsv(path: Path, languages: tuple[str, str], named: bool = True) -> Iterator[Raw]:
    """Source, tab, target; further columns are left out. See read_table."""
    return read_table(path)


def read_table(path: Path, columns: tuple[int, int] | None = None) -> Iterator[Raw]:
    """Two columns of a table with tabs between, counted from 1, by default the first two.

    Fields may be quoted as spreadsheets do (RFC 4180). Raises UserError when most lines have no such columns, or, by
    default, when the first column holds no text where the second does: numbers, scores.
    """
    source, target = columns or (1, 2)
    wanted = "no tab; each line needs source, tab, target" if columns is None else f"no column {max(source, target)}"

    def sides(fields: list[bytes]) -> Raw:
        if max(source, target) <= len(fields):
            return fields[source - 1], fields[target - 1]
        return Unread(wanted, b"\t".join(fields))

    first = _first_lines(path)
    if columns is None:
        _check_columns(path, first)
    if _is_quoted(first):
        return (sides(fields) for _, fields in _quoted_rows(path))
    return _by_line(path, lambda line: sides(line.split(b"\t")))


def table_rows(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """The number of the line that each row of a table with tabs ends in, and its fields, unquoted as in read_table."""
    if _is_quoted(_first_lines(path)):
        return _quoted_rows(path)
    return ((number, line.split(b"\t")) for number, line in enumerate(read_raw(path), 1))


def _first_lines(path: Path) -> list[str]:
    return [line.decode("utf-8", "replace") for line in islice(read_raw(path), SNIFFED)]


def _check_columns(path: Path, first: Sequence[str]) -> None:
    """Raise UserError when the first column of most of a table's first lines has no letters and the second has."""
    rows = [line.split("\t") for line in first]
    letters = [[any(c.isalpha() for c in field) for field in row[:2]] for row in rows if len(row) > 2]
    wrong = sum(found == [False, True] for found in letters)
    if wrong > ODD and 2 * wrong > len(letters):
        raise UserError(
            f"{path}: the first column has no letters in {wrong:,} of the first {len(rows):,} lines; source and target "
            "are taken from the first two columns, where --columns does not say others, such as --columns 2,3"
        )


# A line as spreadsheets write it (RFC 4180): what holds a quotation mark or the end of a line is quoted. (So is what
# holds a tab, but text with quotations over several lines would look like that.)
_FIELD = r'(?:[^"\t\n]*|"(?:[^"\t]|"")*")'
_QUOTED_LINE = re.compile(rf"{_FIELD}(?:\t{_FIELD})*")
_SURELY_QUOTED = re.compile(r'\n|(?:^|\t)"(?:[^"\t]|"")*""')


_END = "end"  # a row of its own after a table's last line, unless a quotation takes it in


def _is_quoted(first: Sequence[str]) -> bool:
    """Whether a table is one of a spreadsheet: quoted by its rules in all of its first lines, and not by chance."""
    sure, every, tabs, held = False, True, set(), ""
    for line in first:
        if not (line or held):
            continue
        held = f"{held}\n{line}" if held else line
        if held.count('"') % 2 and held.count("\n") < CELL:
            continue
        tabs.add(held.count("\t"))
        if len(tabs) > 1 or not _QUOTED_LINE.fullmatch(held):
            return False
        sure, every, held = sure or _SURELY_QUOTED.search(held) is not None, every and held.startswith('"'), ""
    if held and len(first) < SNIFFED:  # a quotation that never ends
        return False
    return bool(tabs) and (sure or every)


def _quoted_rows(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Rows of a spreadsheet's table, as table_rows has them, but for empty lines.

    Raises UserError for a quotation that does not end.
    """
    csv.field_size_limit(1 << 20)
    over = False

    def lines() -> Iterator[str]:
        nonlocal over
        for line in read_raw(path):  # bytes as characters, and back; csv takes a lone CR for the end of a line
            yield line.decode("latin-1").replace("\r", " ") + "\n"
        over = True
        yield _END

    reader = csv.reader(lines(), delimiter="\t")
    with suppress(csv.Error):  # a field that is too long
        for row in reader:
            if row and not over:
                yield reader.line_num, [field.encode("latin-1") for field in row]
            elif row == [_END]:
                return
    raise UserError(f"{path}: a quotation does not end before line {reader.line_num:,}")


def read_jsonl(path: Path, languages: tuple[str, str], named: bool = True) -> Iterator[Raw]:
    """An object a line, with both languages' codes as keys, or `source` and `target`; inside `translation`, too.

    Raises UserError when most lines are nothing of the kind.
    """

    def texts(line: bytes) -> Raw:
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError):
            return Unread("not JSON", line)
        inner = row.get("translation", row) if isinstance(row, dict) else None
        if isinstance(inner, dict):
            own = tuple(next((key for key in inner if matches(key, code)), code) for code in languages)
            for keys in (languages, own, ("source", "target")):
                if all(isinstance(inner.get(key), str) for key in keys):
                    return inner[keys[0]], inner[keys[1]]
        wanted = f"{languages[0]!r} and {languages[1]!r}, or 'source' and 'target'"
        return Unread(f"each line needs an object with the texts {wanted}", line)

    return _by_line(path, texts)


def _by_line(path: Path, parse: Callable[[bytes], Raw]) -> Iterator[Raw]:
    """What each line that is not empty holds. Raises UserError for the first unreadable one when most are."""
    good = bad = 0
    first = ""

    def judge() -> None:
        if bad > good:
            raise UserError(f"{path}, {first}")

    for number, line in enumerate(read_raw(path), 1):
        if not line.strip():
            continue
        row = parse(line)
        if isinstance(row, Unread):
            first = first or f"line {number:,}: {row.problem}"
            bad += 1
            if bad > ODD:
                judge()
        else:
            good += 1
        yield row
    judge()


def read_tmx(path: Path, languages: tuple[str, str], named: bool = True) -> Iterator[Raw]:
    """The units of a translation memory that have both languages. Raises OtherLanguages when none has."""
    seen: Counter[str] = Counter()
    found = False
    for unit, _ in _elements(path, "tu"):
        texts: dict[str, str] = {}
        for variant in unit:
            code, segment = variant.get(LANGUAGE) or variant.get("lang"), variant.find("{*}seg")
            if code and segment is not None:
                texts.setdefault(code, _text(segment))
        source, target = (_of_language(texts, language) for language in languages)
        if source is not None and target is not None:
            found = True
            yield source, target
        elif not found:
            codes = sorted(texts)
            seen.update(pair_of(a, b) for i, a in enumerate(codes) for b in codes[i + 1 :])
    if not found:
        raise OtherLanguages(f"{path} has no unit in {'-'.join(languages)}; {_offer(seen)}")


def read_xliff(path: Path, languages: tuple[str, str], named: bool = True) -> Iterator[Raw]:
    """The translated units of XLIFF 1.2 and 2.x, in either direction. Raises OtherLanguages when there is none."""
    seen: Counter[str] = Counter()
    found = unsaid = False
    for unit, above in _elements(path, "trans-unit", "segment"):

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
        turned = _direction(own, languages)
        if turned is None or source_text is None or target_text is None or said("translate") == "no":
            continue
        if not {unit.get("state"), target_text.get("state")} & UNFINISHED:
            found = True
            pair = _text(source_text), _text(target_text)
            yield pair[::-1] if turned else pair
    if not found:
        if unsaid and not seen:
            raise OtherLanguages(f"{path} does not say which languages it is in; name the file itself")
        raise OtherLanguages(f"{path} has no translated unit in {'-'.join(languages)}; {_offer(seen)}")


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
    turned = _direction((source, target), languages)
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


READERS: dict[str, Reader] = {
    ".tsv": read_tsv, ".jsonl": read_jsonl, ".tmx": read_tmx, ".xlf": read_xliff, ".xliff": read_xliff,
    ".po": read_po, ".mo": read_po,
}  # fmt: skip


def reader_of(path: Path) -> Reader | None:
    """The reader of a file that holds both languages, by its name; None for others."""
    return READERS.get(Path(path.name.lower().removesuffix(".gz")).suffix)


def check_endings(paths: Sequence[str], languages: tuple[str, str], say: Callable[[str], None]) -> None:
    """Raise UserError for `my.en my.de` as de-en: a model would learn the wrong direction. Other languages are told."""
    endings = [Path(path.removesuffix(".gz")).suffix[1:] for path in paths]
    if len(endings) == 2 and (endings[0] == endings[1] or not all(map(known, endings))):  # `my.en.txt my.de.txt`
        endings = [_told(path, languages) for path in paths]
    if len(endings) != 2 or endings[0] == endings[1] or not all(endings):
        return

    def fit(given: Sequence[str]) -> bool:
        pairs = [*zip(languages, given, strict=True)]  # `pt-en` may be written in my.pt_BR, and `pt_BR-en` in my.pt
        return all(matches(language, ending) or matches(ending, language) for language, ending in pairs)

    if fit(endings):
        return
    if fit(endings[::-1]):
        raise UserError(f"{' and '.join(paths)} are named {pair_of(*endings)}, and --pair says {pair_of(*languages)}")
    say(f"{' and '.join(paths)} are taken for {pair_of(*languages)}, as --pair says, whatever their names")


def _told(path: str, languages: tuple[str, str]) -> str:
    """The one of two languages that is part of a file's name; nothing for none or both."""
    parts = re.split(r"[\W_]+", Path(path).name.lower())
    named = [language for language in languages if any(known(part) and matches(part, language) for part in parts)]
    return named[0] if len(named) == 1 else ""


def read_files(
    paths: Iterable[str],
    languages: tuple[str, str],
    say: Callable[[str], None] = lambda _: None,
    columns: tuple[int, int] | None = None,
) -> Iterator[Raw]:
    """The pairs of a source and a target file, or of any number of files and folders that hold both languages.

    A folder may hold files of other languages, too, which are left out and told to `say`. columns: of tables, where
    they are not the first two. Raises UserError for anything else, or what a reader cannot read.
    """
    given = [Path(p) for p in paths]

    def read(path: Path, reader: Reader, named: bool) -> Iterable[Raw]:
        return read_table(path, columns) if reader is read_tsv else reader(path, languages, named)

    if len(given) == 1 and given[0].is_file() and not reader_of(given[0]):
        yield from read_table(given[0], columns)
        return
    if len(given) == 2 and not any(p.is_dir() or reader_of(p) for p in given):
        yield from read_parallel(*given)
        return
    for path in given:
        if path.is_dir():
            every = [p for p in sorted(path.rglob("*")) if p.is_file()]
            files = [p for p in every if reader_of(p)]
            if not files:
                raise UserError(f"{path} holds no file that ends in {', '.join(READERS)}")
            if unread := [p for p in every if not reader_of(p)]:
                kinds = Counter(p.suffix or "without an ending" for p in unread).most_common(5)
                found = ", ".join(f"{count:,} {kind}" for kind, count in kinds)
                say(f"left out of {path}: {found}, such as {unread[0].name}; what is read ends in {', '.join(READERS)}")
            others = []
            for file in files:
                try:
                    yield from read(file, cast(Reader, reader_of(file)), False)
                except OtherLanguages as error:
                    others.append(error)
                    say(f"left out: {error}")
            if len(others) == len(files):
                raise others[0]
        elif reader := reader_of(path):
            yield from read(path, reader, True)
        elif not path.exists():
            raise UserError(f"cannot read {path}: there is no such file")
        else:
            raise UserError(
                f"{path}: a file of both languages ends in {', '.join(READERS)}; "
                "plain text takes two files, the source's and the target's"
            )


def _elements(path: Path, *names: str) -> Iterator[tuple[ElementTree.Element, list[ElementTree.Element]]]:
    """The elements of these names, each with those it is in, outermost first; memory holds one at a time.

    Raises UserError with the line for broken XML. Python's parser fetches nothing and bounds what entities grow to.
    """
    above: list[ElementTree.Element] = []
    with open_raw(path) as file:
        try:
            for event, element in ElementTree.iterparse(file, ("start", "end")):
                if event == "start":
                    above.append(element)
                    continue
                above.pop()
                if _name(element) in names:
                    yield element, above
                    if above:
                        above[-1].remove(element)
        except ElementTree.ParseError as error:
            line, column = error.position
            raise UserError(
                f"{path}, line {line}, column {column + 1}: broken XML: {str(error).partition(':')[0]}"
            ) from None
        except (ValueError, LookupError) as error:  # an encoding that is not known
            raise UserError(f"cannot read {path}: {error}") from None


def _name(element: ElementTree.Element) -> str:
    """An element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def _text(element: ElementTree.Element) -> str:
    """The text inside, without what is code; a space where that ends a line."""
    parts, inside = [element.text or ""], [(iter(element), "")]  # not by recursion, whose depth a file could exceed
    while inside:
        children, tail = inside[-1]
        child = next(children, None)
        if child is None:
            inside.pop()
            parts.append(tail)
        elif _name(child) in CODES:
            parts += [" " if _ends_line(child) else "", child.tail or ""]
        else:
            parts.append(child.text or "")
            inside.append((iter(child), child.tail or ""))
    return "".join(parts)


def _ends_line(code: ElementTree.Element) -> bool:
    """Whether inline code is an end of line: by its kind, or by what it stands for (XLIFF 1.2, 2.x; TMX)."""
    kinds = code.get("ctype"), code.get("subType"), code.get("type")
    if {"lb", "xlf:lb"} & {*kinds}:
        return True
    return any(BREAK.match(text or "") for text in (code.text, code.get("equiv-text"), code.get("disp")))


def _of_language(texts: dict[str, str], language: str) -> str | None:
    return next((text for code, text in texts.items() if matches(code, language)), None)


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


def _direction(own: tuple[str, ...], languages: tuple[str, str]) -> bool | None:
    """Whether text from own[0] to own[1] must be turned round to go between languages; None if it cannot."""
    for turned, (source, target) in ((False, languages), (True, languages[::-1])):
        if matches(own[0], source) and matches(own[1], target):
            return turned
    return None


def _offer(seen: Counter[str]) -> str:
    pairs = ", ".join(pair for pair, _ in seen.most_common(10))
    return f"the pairs it has: {pairs}" if pairs else "it has none in any pair of languages"
