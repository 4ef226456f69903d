"""Read and write regularly sampled series as CSV."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from dragoman.runtime.errors import UserError
from dragoman.runtime.timestamps import TimeAxis, is_timestamp, parse_regular_times

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}  # lower-case fields that mean a missing value
TIME_COLUMNS = ("time", "date", "datetime", "timestamp")  # lower-case names of a first column that holds times

# Numbers that may be written with the point as a thousands separator.
_WITH_THOUSANDS_POINT = re.compile(r"-?[1-9]\d{0,2}(\.\d{3})+")
_BELOW_THOUSAND = re.compile(r"-?\d{1,3}")


@dataclass(frozen=True)
class Series:
    """Values of variables over time.

    Attributes:
        names: Names of the F variables.
        values: One row for each time step, NaN for a missing value, (T, F).
        time_axis: Times of the rows, or None if there was no column of times.
    """

    names: tuple[str, ...]
    values: npt.NDArray[np.floating[Any]]
    time_axis: TimeAxis | None = None


def read_series(
    data: bytes,
    source: str,
    columns: Sequence[str] | None = None,
    time: str | None = None,
    preferred_time: str | None = None,
) -> Series:
    """Return the series in a CSV table with a header.

    The separator is a comma, a semicolon or a tab. The encoding is UTF-8 or UTF-16 with a byte order mark. A time that
    is missing between two others becomes a row of missing values.

    Args:
        data: The file.
        source: Its name, for error messages.
        columns: Names of the variables. Default: all columns but the times.
        time: Name of the column of times. Default: the column named `preferred_time`, if there is one. Otherwise the
            first column, if it holds dates or is named time, date, datetime or timestamp. Otherwise none.
        preferred_time: Usual name of the column of times.

    Raises:
        UserError: The table cannot be read, or a column is missing or has no unique name. A row has another number of
            columns than the header. A value is not a number, or the times are not evenly spaced.
    """
    lines, header, rows = _read_table(data, source)
    for name in [*(columns or ()), *([time] if time else ())]:
        if name not in header:
            raise UserError(f"{source} has no column {name!r}; its columns are {', '.join(header)}")
    time = time or (preferred_time if preferred_time in header else None)
    first = header[0]
    if time is None and (first.lower() in TIME_COLUMNS or is_timestamp(rows[0][0].strip())):
        time = first
    names = [*(columns or [name for name in header if name != time])]
    if not names:
        raise UserError(f"{source} has no column of numbers")
    _check_names(names, time, header, source)
    positions = [(header.index(name), name) for name in names]
    values = np.array(
        [
            [_parse_value(row[position], source, line, name) for position, name in positions]
            for line, row in zip(lines, rows, strict=True)
        ],
        np.float64,
    )  # (rows of the file, F)
    for position, name in positions:
        _check_thousands([row[position].strip() for row in rows], lines, source, name)
    if time is None:
        return Series(tuple(names), values)
    time_position = header.index(time)
    row_numbers, axis = parse_regular_times([row[time_position].strip() for row in rows], lines, source, time)
    with_gaps = np.full((row_numbers[-1] + 1, len(names)), np.nan)  # (T, F)
    with_gaps[row_numbers] = values
    return Series(tuple(names), with_gaps, axis)


def _check_names(names: Sequence[str], time: str | None, header: Sequence[str], source: str) -> None:
    """Raise UserError for a column without a name of its own, or one that is requested twice."""
    requested = [*names, *([time] if time else ())]
    for name in requested:
        if not name:
            raise UserError(f"{source}: column {header.index(name) + 1} has no name; give it one in the header")
        if header.count(name) > 1:
            raise UserError(f"{source} has {header.count(name)} columns named {name!r}; give each its own name")
        if requested.count(name) > 1:
            raise UserError(f"{source}: the column {name!r} is requested twice; name each column once")


def _check_thousands(fields: Sequence[str], lines: Sequence[int], source: str, name: str) -> None:
    """Raise UserError if the points of a column seem to be thousands separators: 980 is followed by 1.000.

    All fields must allow it: each point is followed by groups of three digits, and no number without a point has more
    than three digits. At least three fields must have a point. Somewhere a field with a point must stand next to one
    without, and without its point it must be at most twice as large or half as large.
    """
    with_point = [field for field in fields if "." in field]
    if len(with_point) < 3 or not all(
        (_WITH_THOUSANDS_POINT if "." in field else _BELOW_THOUSAND).fullmatch(field) for field in fields if field
    ):
        return
    for i, pair in enumerate(pairwise(fields)):
        values = [abs(float(field.replace(".", ""))) for field in pair if field]
        if len(values) == 2 and ("." in pair[0]) != ("." in pair[1]) and max(values) <= 2 * min(values):
            without_point = pair[0] if "." in pair[1] else pair[1]
            raise UserError(
                f"{source}, rows {lines[i]:,} and {lines[i + 1]:,}: {pair[0]} and {pair[1]} in the column {name}: the "
                "point looks like a thousands separator. If it is, remove it. If it is a decimal point, write "
                f"{without_point} as {without_point}.0."
            )


def evenly_rising_column(series: Series) -> str | None:
    """Return the name of the first of several variables if it rises as times do: evenly, or as 202412, 202501."""
    steps = np.diff(series.values[:, 0])
    even = len(steps) > 1 and steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-9)
    year_months = len(steps) > 12 and set(steps.tolist()) == {1.0, 89.0}  # 89 from December to January
    return series.names[0] if (even or year_months) and len(series.names) > 1 else None


def _read_table(data: bytes, source: str) -> tuple[list[int], list[str], list[list[str]]]:
    """Return the number of each row in the file, the header, and the rows below it."""
    utf16 = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # spreadsheets write it
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{source} is not UTF-8; save it as UTF-8") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    candidates = (_read_rows(text, source, separator) for separator in ",;\t")
    table = max(candidates, key=_separator_score)
    if len(table) < 2:
        raise UserError(f"{source} needs a header and rows of numbers below it")
    header = [name.strip() for name in table[0][1]]
    for line, row in table[1:]:
        if len(row) != len(header):
            raise UserError(f"{source}, row {line:,}: the row has {len(row)} columns, and the header has {len(header)}")
    if all(is_timestamp(name) or _parse_number(name) is not None for name in header):
        raise UserError(f"{source} starts with {', '.join(header)}; its first row must name the columns")
    return [line for line, _ in table[1:]], header, [row for _, row in table[1:]]


def _read_rows(text: str, source: str, separator: str) -> list[tuple[int, list[str]]]:
    """Return the rows of a text for one separator, each with its number."""
    try:
        rows = [*enumerate(csv.reader(io.StringIO(text), delimiter=separator), 1)]
    except csv.Error as error:
        raise UserError(f"{source} is not CSV: {error}") from None
    while rows and not rows[-1][1]:
        rows.pop()
    if rows and len(rows[0][1]) == 1:  # in a table with one column, an empty line is a missing value
        return [(line, row or [""]) for line, row in rows]
    return [(line, row) for line, row in rows if row]


def _separator_score(rows: list[tuple[int, list[str]]]) -> tuple[bool, int]:
    """Return a sort key for candidate separators: whether all rows have as many columns, more than one; how many."""
    columns = [len(row) for _, row in rows]
    return len({*columns}) == 1 and columns[0] > 1, columns[0] if columns else 0


def write_series(series: Series) -> str:
    """Return a series as CSV that `read_series` reads; a missing value is an empty field."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    axis = series.time_axis
    writer.writerow([*([axis.name] if axis else []), *series.names])
    for number, row in enumerate(series.values):
        fields = ["" if math.isnan(value) else np.format_float_positional(value, trim="-") for value in row]
        writer.writerow([*([axis.at(number)] if axis else []), *fields])
    return out.getvalue()


def _parse_number(text: str) -> float | None:
    """Return the number in a field, NaN for a missing value, or None for anything else."""
    text = text.strip()
    if text.lower() in MISSING:
        return math.nan
    try:
        value = math.inf if "_" in text else float(text)  # float() accepts 1_000, which is not a number in CSV
    except ValueError:
        return None
    return value if abs(value) < 1e30 else None


def _parse_value(text: str, source: str, line: int, name: str) -> float:
    value = _parse_number(text)
    if value is None:
        raise UserError(f"{source}, row {line:,}: {text.strip()!r} in the column {name} is not a number")
    return value
