"""Tables with tab-separated columns, as written by programs (TSV) or spreadsheets (RFC 4180 quotation)."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.readers.raw import ODD, Raw, Unread, read_raw, rows_by_line

SNIFFED, CELL = 1000, 100  # lines of a table from which its kind is found, and those of a row in it, at the most


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
    return rows_by_line(path, lambda line: sides(line.split(b"\t")))


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
