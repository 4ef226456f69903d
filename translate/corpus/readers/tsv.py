"""Tables with tab-separated columns, as programs (plain TSV) and spreadsheets (RFC 4180 quoting) write them."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from statistics import median

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.languages import format_pair
from dragoman.translate.corpus.readers.headers import find_header, names_columns, other_languages
from dragoman.translate.corpus.readers.language_selection import LanguageMismatch
from dragoman.translate.corpus.readers.legacy_encodings import checked_lines
from dragoman.translate.corpus.readers.lines import read_byte_lines
from dragoman.translate.corpus.readers.rows import TOLERATED_ERRORS, RawRow, UnreadableRow, check_rows

SNIFFED_LINES = 1000  # lines at the start of a table that show whether it is quoted
MAX_ROW_LINES = 100  # line breaks in one quoted row, while sniffing

# A line that follows RFC 4180: fields with a quotation mark or a line break are quoted. RFC 4180 also quotes fields
# with the separator, but a tab in quotes is not accepted: plain text in which a quote spans several lines has them.
_FIELD = r'(?:[^"\t\n]*|"(?:[^"\t]|"")*")'
_QUOTED_LINE = re.compile(rf"{_FIELD}(?:\t{_FIELD})*")

# Evidence that only quoted fields explain: a line break in a row, or a doubled quotation mark in a quoted field.
_CERTAINLY_QUOTED = re.compile(r'\n|(?:^|\t)"(?:[^"\t]|"")*""')

_SENTINEL = "end"  # a row appended to a table; a quoted field that is never closed swallows it

MAX_FIELD_SIZE = 1 << 20  # bytes

HEADER = "header row"  # the reason to drop the first row of some tables

Row = tuple[int, list[bytes]]  # the number of a row's last line, and its fields


def read_table(
    path: Path,
    languages: tuple[str, str],
    columns: tuple[int, int] | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> Iterator[RawRow]:
    """Yield two columns of a tab-separated table, counted from 1.

    Fields may be quoted as spreadsheets do (RFC 4180). Without `columns`, a header that names both sides chooses them,
    which `log` learns; else they are the first two. The header is yielded as an UnreadableRow.

    Raises UserError if most lines lack the columns. With the first two columns, a first one without letters is an
    error, too, if the second has letters: it holds numbers or scores.
    """
    first_lines, lines = split_off(checked_lines(path, languages, log))
    rows = _rows(path, first_lines, lines)
    first_row = next(((number, fields) for number, fields in rows if any(fields)), None)
    if first_row is None:
        return
    header_columns = columns_of_header(path, first_row[1], first_lines, languages, columns, log)
    if header_columns:
        yield UnreadableRow(HEADER, b"\t".join(first_row[1]))
    elif columns is None:
        _check_first_column(path, first_lines)
    source, target = columns or header_columns or (1, 2)
    problem = f"no column {max(source, target)}"
    if (source, target) == (1, 2):
        problem = "no tab; each line needs source, tab, target"

    def select(fields: list[bytes]) -> RawRow:
        if max(source, target) <= len(fields):
            return fields[source - 1], fields[target - 1]
        return UnreadableRow(problem, b"\t".join(fields))

    body = rows if header_columns else chain([first_row], rows)
    yield from check_rows(path, ((number, select(fields)) for number, fields in body))


def columns_of_header(
    path: Path,
    first_row: Sequence[bytes],
    first_lines: Sequence[str],
    languages: tuple[str, str],
    columns: tuple[int, int] | None,
    log: Callable[[str], None],
) -> tuple[int, int] | None:
    """Return the columns that a header names, or None if the first row is a pair.

    `log` receives the choice if it differs from the user's `columns`, or from the first two. Raises LanguageMismatch
    for a header that names other languages.
    """
    fields = [field.decode("utf-8", "replace") for field in first_row]
    header = find_header(fields, languages)
    if header is None and columns:
        return columns if names_columns(fields, columns) else None
    if header is None:
        if others := other_languages(fields, median(map(len, first_lines))):
            raise LanguageMismatch(
                f"{path}: its header names {' and '.join(others[:5])}, not {format_pair(*languages)}; if this row is a "
                "pair, give --columns 1,2"
            )
        return None
    (source, target), names = header
    if columns is None and header.columns != (1, 2):
        log(f"{path}: by its header, source is column {source} ({names[0]}) and target column {target} ({names[1]})")
    elif columns not in (None, header.columns):
        log(
            f"{path}: --columns is kept, although the header names {names[0]} in column {source} and {names[1]} in "
            f"column {target}"
        )
    return header.columns


def table_rows(path: Path) -> Iterator[Row]:
    """Yield each row of a table but empty ones as the number of its last line and its fields.

    They are unquoted as in `read_table`.
    """
    first_lines, lines = split_off(read_byte_lines(path))
    return _rows(path, first_lines, lines)


def split_off(lines: Iterator[bytes]) -> tuple[list[str], Iterator[bytes]]:
    """Return the first lines of a table as text, and an iterator over all its lines; a pipe can be read only once."""
    first = [*islice(lines, SNIFFED_LINES)]
    return [line.decode("utf-8", "replace") for line in first], chain(first, lines)


def _rows(path: Path, first_lines: Sequence[str], lines: Iterable[bytes]) -> Iterator[Row]:
    """Yield the rows of a table without empty lines. Fields are unquoted if the table is quoted."""
    if _is_quoted(first_lines):
        return _quoted_rows(path, lines)
    return ((number, line.split(b"\t")) for number, line in enumerate(lines, 1) if line.strip())


def _check_first_column(path: Path, first_lines: Sequence[str]) -> None:
    """Raise UserError if, in most rows of three columns or more, the second has letters and the first has none."""
    rows = [line.split("\t") for line in first_lines]
    has_letters = [[any(c.isalpha() for c in field) for field in row[:2]] for row in rows if len(row) > 2]
    suspicious = sum(columns == [False, True] for columns in has_letters)
    if suspicious > TOLERATED_ERRORS and 2 * suspicious > len(has_letters):
        raise UserError(
            f"{path}: the first column has no letters in {suspicious:,} of the first {len(rows):,} lines; name the "
            "columns of source and target, such as --columns 2,3"
        )


def _is_quoted(first_lines: Sequence[str]) -> bool:
    """Return True if the first lines of a table have quoted fields as spreadsheets write them, and not by chance.

    All rows must have the same number of columns. Evidence that only quoted fields explain excludes chance, and so does
    a quoted first field in every row.
    """
    certain, all_start_quoted, tab_counts = False, True, set[int]()
    row = ""
    for line in first_lines:
        if not (line or row):
            continue
        row = f"{row}\n{line}" if row else line
        if row.count('"') % 2 and row.count("\n") < MAX_ROW_LINES:
            continue
        tab_counts.add(row.count("\t"))
        if len(tab_counts) > 1 or not _QUOTED_LINE.fullmatch(row):
            return False
        certain = certain or _CERTAINLY_QUOTED.search(row) is not None
        all_start_quoted = all_start_quoted and row.startswith('"')
        row = ""
    if row and len(first_lines) < SNIFFED_LINES:  # a quoted field that is never closed
        return False
    return bool(tab_counts) and (certain or all_start_quoted)


def _quoted_rows(path: Path, table: Iterable[bytes]) -> Iterator[Row]:
    """Yield the rows of a quoted table like `table_rows`, without empty lines.

    Raises UserError for a quoted field that is never closed, or that is longer than MAX_FIELD_SIZE.
    """
    csv.field_size_limit(MAX_FIELD_SIZE)
    at_end = False

    def lines() -> Iterator[str]:
        nonlocal at_end
        for line in table:
            # Latin-1 carries any bytes through csv, which takes text. It also takes a lone CR for the end of a line.
            yield line.decode("latin-1").replace("\r", " ") + "\n"
        at_end = True
        yield _SENTINEL

    reader = csv.reader(lines(), delimiter="\t")
    with suppress(csv.Error):  # a field over the size limit
        for row in reader:
            if row and not at_end:
                yield reader.line_num, [field.encode("latin-1") for field in row]
            elif row == [_SENTINEL]:
                return
    raise UserError(
        f"{path}: a quoted field has no closing quotation mark, or is longer than 1 MiB (the file was read up to line "
        f"{reader.line_num:,})"
    )
