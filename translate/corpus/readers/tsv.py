"""Tables with tab-separated columns, as programs (plain TSV) and spreadsheets (RFC 4180 quoting) write them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.readers.lines import read_byte_lines
from dragoman.translate.corpus.readers.rows import TOLERATED_ERRORS, RawRow, UnreadableRow, parse_lines

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


def read_tsv(path: Path, languages: tuple[str, str], explicit: bool = True) -> Iterator[RawRow]:
    """Yield the first two columns of a table as source and target. See `read_table`."""
    return read_table(path)


def read_table(path: Path, columns: tuple[int, int] | None = None) -> Iterator[RawRow]:
    """Yield two columns of a tab-separated table, counted from 1; by default the first two.

    Fields may be quoted as spreadsheets do (RFC 4180).

    Raises UserError if most lines lack the columns. With the default columns, a first column without letters is an
    error, too, if the second has letters: it holds numbers or scores.
    """
    source, target = columns or (1, 2)
    problem = "no tab; each line needs source, tab, target" if columns is None else f"no column {max(source, target)}"

    def select(fields: list[bytes]) -> RawRow:
        if max(source, target) <= len(fields):
            return fields[source - 1], fields[target - 1]
        return UnreadableRow(problem, b"\t".join(fields))

    first_lines = _first_lines(path)
    if columns is None:
        _check_first_column(path, first_lines)
    if _is_quoted(first_lines):
        return (select(fields) for _, fields in _quoted_rows(path))
    return parse_lines(path, lambda line: select(line.split(b"\t")))


def table_rows(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Yield each row of a table as the number of its last line and its fields, unquoted as in `read_table`."""
    if _is_quoted(_first_lines(path)):
        return _quoted_rows(path)
    return ((number, line.split(b"\t")) for number, line in enumerate(read_byte_lines(path), 1))


def _first_lines(path: Path) -> list[str]:
    return [line.decode("utf-8", "replace") for line in islice(read_byte_lines(path), SNIFFED_LINES)]


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


def _quoted_rows(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the rows of a quoted table like `table_rows`, without empty lines.

    Raises UserError for a quoted field that is never closed, or that is longer than MAX_FIELD_SIZE.
    """
    csv.field_size_limit(MAX_FIELD_SIZE)
    at_end = False

    def lines() -> Iterator[str]:
        nonlocal at_end
        for line in read_byte_lines(path):
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
