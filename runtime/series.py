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
from dragoman.runtime.timestamps import Clock, evenly, is_time

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}


@dataclass(frozen=True)
class Series:
    """Variables over time."""

    names: tuple[str, ...]
    values: npt.NDArray[np.floating[Any]]  # (T, F), NaN where there is none
    clock: Clock | None = None  # None: there was no column of times


def read_series(
    data: bytes, where: str, columns: Sequence[str] | None = None, time: str | None = None, likely: str | None = None
) -> Series:
    """A table with a header, its columns separated by commas, semicolons or tabs.

    columns: the variables, all that hold numbers by default. time: the column of times. Otherwise that is the one named
    as in `likely`, if there is one, or the first, if it holds times or is called time or date. A time that is missing
    is a gap. Raises UserError with the row for ragged rows, text among numbers, and times that are not evenly spaced.
    """
    lines, header, rows = _table(data, where)
    for name in [*(columns or ()), *([time] if time else ())]:
        if name not in header:
            raise UserError(f"{where} has no column {name!r}; it has {', '.join(header)}")
    time = time or (likely if likely in header else None)
    first = header[0]
    if time is None and (first.lower() in ("time", "date", "datetime", "timestamp") or is_time(rows[0][0].strip())):
        time = first
    names = [*(columns or [name for name in header if name != time])]
    if not names:
        raise UserError(f"{where} has no column of numbers")
    for name in (*names, *([time] if time else ())):
        if not name:
            raise UserError(f"{where}: the column {header.index(name) + 1} has no name; give it one in the first row")
        if header.count(name) > 1:
            count = header.count(name)
            raise UserError(f"{where} has {count} columns of the name {name!r}; give each a name of its own")
        if (*names, time).count(name) > 1:
            raise UserError(f"{where}: the column {name!r} is asked for twice")
    places_of = [(header.index(name), name) for name in names]
    values = np.array(
        [
            [_number_at(row[place], where, line, name) for place, name in places_of]
            for line, row in zip(lines, rows, strict=True)
        ],
        np.float64,
    )
    for place, name in places_of:
        _check_points([row[place].strip() for row in rows], lines, where, name)
    if time is None:
        return Series(tuple(names), values)
    at = header.index(time)
    places, clock = evenly([row[at].strip() for row in rows], lines, where, time)
    out = np.full((places[-1] + 1, len(names)), np.nan)
    out[places] = values
    return Series(tuple(names), out, clock)


_THOUSANDS = re.compile(r"-?[1-9]\d{0,2}(\.\d{3})+")


_WHOLE = re.compile(r"-?\d{1,3}")


def _check_points(fields: Sequence[str], lines: Sequence[int], where: str, name: str) -> None:
    """Raise UserError where 980 is followed by 1.000, or the other way round: points that group digits.

    It is so where all points of a column could, several do, and no number without one has more than three digits.
    """
    pointed = [field for field in fields if "." in field]
    if len(pointed) < 3 or not all(
        (_THOUSANDS if "." in field else _WHOLE).fullmatch(field) for field in fields if field
    ):
        return
    for n, pair in enumerate(pairwise(fields)):
        values = [abs(float(field.replace(".", ""))) for field in pair if field]
        if len(values) == 2 and ("." in pair[0]) != ("." in pair[1]) and max(values) <= 2 * min(values):
            raise UserError(
                f"{where}, rows {lines[n]:,} and {lines[n + 1]:,}: {pair[0]} and {pair[1]} in the column {name}: "
                "if the point groups thousands, write the numbers without it"
            )


def counts_up(series: Series) -> str | None:
    """The first of several variables, if it rises as times do: evenly, or as 202412, 202501."""
    steps = np.diff(series.values[:, 0])
    even = len(steps) > 1 and steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-9)
    even = even or (len(steps) > 12 and set(steps.tolist()) == {1.0, 89.0})
    return series.names[0] if even and len(series.names) > 1 else None


def _table(data: bytes, where: str) -> tuple[list[int], list[str], list[list[str]]]:
    """Where each row stands, the header, and the rows. Raises UserError."""
    utf16 = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # as spreadsheets write it
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{where} is not UTF-8") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    filled = max((_rows(text, where, separator) for separator in ",;\t"), key=_shape)
    if len(filled) < 2:
        raise UserError(f"{where} needs a header and rows of numbers")
    header = [name.strip() for name in filled[0][1]]
    for line, row in filled[1:]:
        if len(row) != len(header):
            raise UserError(f"{where}, row {line:,}: {len(row)} columns, and the header has {len(header)}")
    if all(is_time(name) or _number(name) is not None for name in header):
        raise UserError(f"{where} starts with {', '.join(header)}; its first row must name the columns")
    return [line for line, _ in filled[1:]], header, [row for _, row in filled[1:]]


def _rows(text: str, where: str, separator: str) -> list[tuple[int, list[str]]]:
    """The rows that a separator makes of a text, each with its number. Raises UserError."""
    try:
        found = [*enumerate(csv.reader(io.StringIO(text), delimiter=separator), 1)]
    except csv.Error as error:
        raise UserError(f"{where} is not CSV: {error}") from None
    while found and not found[-1][1]:
        found.pop()
    if found and len(found[0][1]) == 1:  # an empty line of a single column is a gap
        return [(line, row or [""]) for line, row in found]
    return [(line, row) for line, row in found if row]


def _shape(rows: list[tuple[int, list[str]]]) -> tuple[bool, int]:
    """How likely rows were separated as they were meant: all as long as the header, and that long."""
    columns = [len(row) for _, row in rows]
    return len({*columns}) == 1 and columns[0] > 1, columns[0] if columns else 0


def write_series(series: Series) -> str:
    """The inverse of `read_series`: CSV, with nothing where there is a gap."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*([series.clock.name] if series.clock else []), *series.names])
    for number, row in enumerate(series.values):
        values = ["" if math.isnan(value) else np.format_float_positional(value, trim="-") for value in row]
        writer.writerow([*([series.clock.at(number)] if series.clock else []), *values])
    return out.getvalue()


def _number(text: str) -> float | None:
    """The number that a field holds, NaN where it is missing, None for anything else."""
    text = text.strip()
    if text.lower() in MISSING:
        return math.nan
    try:
        value = math.inf if "_" in text else float(text)  # Python's own way of grouping digits
    except ValueError:
        return None
    return value if abs(value) < 1e30 else None


def _number_at(text: str, where: str, row: int, name: str) -> float:
    value = _number(text)
    if value is None:
        raise UserError(f"{where}, row {row:,}: {text.strip()!r} in the column {name} is not a number")
    return value
