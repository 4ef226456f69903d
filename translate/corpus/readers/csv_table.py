"""CSV (RFC 4180), as spreadsheets write it: separated by commas, or by semicolons where the comma is in numbers."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.readers.headers import find_header
from dragoman.translate.corpus.readers.legacy_encodings import checked_lines
from dragoman.translate.corpus.readers.rows import RawRow, UnreadableRow, check_rows
from dragoman.translate.corpus.readers.tsv import HEADER, MAX_FIELD_SIZE, columns_of_header, split_off

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
SEPARATOR_LINE = re.compile("sep=([,;\t])")  # the first line of some files that Excel writes

# The share of rows that must have the same number of columns. A comma or semicolon of the text changes the number.
MIN_REGULAR = 0.9


def read_csv(
    path: Path,
    languages: tuple[str, str],
    columns: tuple[int, int] | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> Iterator[RawRow]:
    """Yield two columns of a CSV file: `columns`, counted from 1, those that its header names, or the only two.

    The header is yielded as an UnreadableRow, as are rows with another number of columns, because a separator that is
    not quoted would cut their text. Raises UserError if the columns or the separator are not clear.
    """
    first_lines, lines = split_off(checked_lines(path, languages, log))
    layout = _find_layout(path, first_lines, languages)
    if layout is None:
        return
    rows = _rows(lines, layout.separator)
    first = next(rows)
    header_columns = None
    if not isinstance(first[1], UnreadableRow):
        header_columns = columns_of_header(path, first[1], first_lines, languages, columns, log)
        if header_columns:
            yield UnreadableRow(HEADER, layout.separator.encode().join(first[1]))
    body = rows if header_columns else chain([first], rows)
    if not (columns or header_columns or layout.columns == 2):
        raise UserError(
            f"{path} has {layout.columns} columns, and no header that names the source and the target; give their "
            "columns, such as --columns 1,2"
        )
    source, target = columns or header_columns or (1, 2)
    if max(source, target) > layout.columns:
        found = f"it has {layout.columns}, between {SEPARATORS[layout.separator]}"
        raise UserError(f"{path}: no column {max(source, target)}; {found}")

    def select(fields: list[bytes] | UnreadableRow) -> RawRow:
        if isinstance(fields, UnreadableRow):
            return fields
        if len(fields) != layout.columns:
            problem = f"not {layout.columns} columns; a field that holds the separator must be quoted"
            return UnreadableRow(problem, layout.separator.encode().join(fields))
        return fields[source - 1], fields[target - 1]

    yield from check_rows(path, ((number, select(fields)) for number, fields in body))


class _Layout(NamedTuple):
    """The separator of a table, its number of columns, and the share of its rows that have so many."""

    separator: str
    columns: int
    regular: float
    has_header: bool


def _find_layout(path: Path, first_lines: Sequence[str], languages: tuple[str, str]) -> _Layout | None:
    """Return the layout of a table by its header, or else by its columns, or None if it is empty.

    Raises UserError if it is not clear.
    """
    separators = [separator_line[1]] if (separator_line := _separator_line(first_lines)) else [*SEPARATORS]
    layouts = [layout for separator in separators if (layout := _layout(first_lines, separator, languages))]
    if not layouts:
        return None
    candidates = [layout for layout in layouts if layout.has_header]
    if not candidates:
        regular = [layout for layout in layouts if layout.columns > 1 and layout.regular >= MIN_REGULAR]
        candidates = [layout for layout in regular if layout.columns == 2] or regular
    names = " or ".join(SEPARATORS[layout.separator] for layout in candidates or layouts)
    if not candidates:
        raise UserError(
            f"{path}: its rows have different numbers of columns, or one, between {names}; quote the fields, or save "
            "it as text with tabs (.tsv)"
        )
    best = max(candidates, key=lambda layout: layout.regular)
    if sum(layout.regular == best.regular for layout in candidates) > 1:
        raise UserError(
            f"{path}: its columns may be between {names}; quote the fields, or save it as text with tabs (.tsv)"
        )
    return best


def _separator_line(first_lines: Sequence[str]) -> re.Match[str] | None:
    return SEPARATOR_LINE.fullmatch(first_lines[0]) if first_lines else None


def _layout(first_lines: Sequence[str], separator: str, languages: tuple[str, str]) -> _Layout | None:
    """Return the layout that the first lines have with a separator, or None if they are empty."""
    rows = [row for _, row in _rows((line.encode() for line in first_lines), separator)]
    if not rows:
        return None
    widths = Counter(0 if isinstance(row, UnreadableRow) else len(row) for row in rows)
    columns, first = max(widths, key=lambda width: (widths[width], width)), rows[0]
    has_header = not isinstance(first, UnreadableRow) and bool(find_header([f.decode() for f in first], languages))
    if has_header:
        columns = len(first)
    return _Layout(separator, columns, widths[columns] / len(rows), has_header)


def _rows(lines: Iterable[bytes], separator: str) -> Iterator[tuple[int, list[bytes] | UnreadableRow]]:
    """Yield each row but empty ones with the number of its last line. A row that breaks RFC 4180 is unreadable."""
    csv.field_size_limit(MAX_FIELD_SIZE)
    row_lines: list[bytes] = []

    def texts() -> Iterator[str]:
        for number, line in enumerate(lines):
            if number == 0 and SEPARATOR_LINE.fullmatch(line.decode("latin-1")):
                line = b""
            row_lines.append(line)
            # Latin-1 carries any bytes through csv, which takes text. It also takes a lone CR for the end of a line.
            yield line.decode("latin-1").replace("\r", " ") + "\n"

    reader = csv.reader(texts(), delimiter=separator, strict=True)
    while True:
        try:
            row = next(reader, None)
            if row is None:
                return
            if any(field.strip() for field in row):
                yield reader.line_num, [field.encode("latin-1") for field in row]
        except csv.Error as error:
            problem = "not valid CSV, perhaps because of a quotation mark in the wrong place"
            if "larger than" in str(error):
                problem = "a field of more than 1 MiB, perhaps because its closing quotation mark is missing"
            yield reader.line_num, UnreadableRow(problem, b"\n".join(row_lines)[:MAX_FIELD_SIZE])
        row_lines.clear()
