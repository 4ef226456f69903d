"""When the rows of a series are: times as people write them (even ones only), and written as the first one was.

Times are ISO 8601 dates, with or without a time of day and an offset from UTC, months (2024-05), compact dates
(20240531), or plain numbers.
"""

from __future__ import annotations

import math
import re
from calendar import monthrange
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import numpy as np

from dragoman.runtime.errors import UserError

LEAST = 3  # times that tell how often a series is sampled
FAR = 10  # so many times the rows of a file, and a thousand more, is a gap that is taken for a mistake
MONTH = 27 * 86400  # seconds: steps above this may be months
_TIME = re.compile(
    r"(?P<core>(\d{4})-(\d\d)(?:-(\d\d)(?P<clock>[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?)?)?)"
    r"(?P<offset>Z|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_COMPACT = re.compile(r"(?P<core>(\d{4})(\d\d)(\d\d))", re.ASCII)


@dataclass(frozen=True)
class Clock:
    """When the rows of a series are: a first time, and a step that is a duration, a number of months or a number."""

    first: datetime | float  # without the offset that it may be written with
    step: timedelta | int | float
    text: str  # the first time as it was written, whose form the others take
    row: int = 0  # how many rows after the first this series starts
    day: int = 1  # of the month, or the month's last where it has fewer: of steps that are months
    name: str = "time"  # of the column

    def at(self, row: int) -> str:
        """The time of a row, written as the first one was. Raises UserError for one that no calendar has."""
        row += self.row
        if isinstance(self.first, float):
            value = self.first + row * float(self.step)  # type: ignore[arg-type]  # numbers have numbers as steps
            return f"{value:.15g}"
        try:
            if isinstance(self.step, timedelta):
                return _written(self.first + row * self.step, self.text)
            months = self.first.year * 12 + self.first.month - 1 + row * int(self.step)
            year, month = months // 12, months % 12 + 1
            day = min(self.day, monthrange(year, month)[1])
            return _written(self.first.replace(year=year, month=month, day=day), self.text)
        except (OverflowError, ValueError):
            raise UserError(f"{row:,} rows after {self.text} is beyond the year 9999") from None


def is_time(text: str) -> bool:
    """Whether a text can be nothing but a time."""
    return _moment(text) is not None


def evenly(stamps: Sequence[str], lines: Sequence[int], where: str, name: str = "time") -> tuple[list[int], Clock]:
    """Which row each time stands for, counted from the first, and the clock of these rows.

    lines: where each stands, for errors. Raises UserError when they are not evenly spaced.
    """
    if len(stamps) < LEAST:
        raise UserError(f"{where} has {len(stamps)} times, too few to tell how often it is sampled")
    compact = [_compact(text) for text in stamps]
    moments = compact if None not in compact else [_moment(text) for text in stamps]
    first = moments[0]
    numbers = [_seconds(*row, moments[0], where) for row in zip(stamps, moments, lines, strict=True)]
    dates = [m.replace(tzinfo=None) for m in moments if m is not None]
    width = _usual(numbers)
    day = max((m.day for m in dates), default=1)
    step: timedelta | int | float = timedelta(seconds=width) if first else width
    if first and width > MONTH and all(_falls_on(m, day, dates[0]) for m in dates):
        numbers = [float(m.year * 12 + m.month) for m in dates]
        width = _usual(numbers)
        step = int(width)
    if width < 0:
        raise UserError(f"{where}: the times fall from row to row; sort the rows, the oldest first")
    places: list[int] = []
    for line, value, text in zip(lines, numbers, stamps, strict=True):
        place = (value - numbers[0]) / width if width else 0.0
        if abs(place - round(place)) > 0.01:
            every = f"{step} months" if isinstance(step, int) else str(step)
            raise UserError(f"{where}, row {line:,}: the time {text} does not fit a series sampled every {every}")
        after = round(place) - places[-1] if places else 1
        if after < 1:
            raise UserError(f"{where}, row {line:,}: the time {text} does not come after the one before it")
        if after > 1000 + FAR * len(stamps):
            raise UserError(
                f"{where}, row {line:,}: the time {text} leaves a gap of {after - 1:,} rows; is it mistyped?"
            )
        places.append(round(place))
    return places, Clock(dates[0] if first else numbers[0], step, stamps[0], day=day, name=name)


def _falls_on(time: datetime, day: int, first: datetime) -> bool:
    return time.time() == first.time() and time.day == min(day, monthrange(time.year, time.month)[1])


def _seconds(text: str, moment: datetime | None, line: int, first: datetime | None, where: str) -> float:
    """A time as a number. Raises UserError for one that is not written as the first one is."""
    if (moment is None, bool(moment and moment.tzinfo)) != (first is None, bool(first and first.tzinfo)):
        raise UserError(f"{where}, row {line:,}: the time {text!r} is not written as the first one is")
    if moment is not None:
        return (moment.replace(tzinfo=moment.tzinfo or timezone.utc) - _EPOCH).total_seconds()
    try:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError
    except ValueError:
        raise UserError(f"{where}, row {line:,}: {text!r} is not a time, such as 2024-05-31 or 7") from None
    return value


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _moment(text: str) -> datetime | None:
    found = _TIME.fullmatch(text)
    if not found or (found["offset"] and not found["clock"]):
        return None
    year, month, day, _, hour, minute, second, fraction = found.groups()[1:9]
    date = int(year), int(month), int(day or 1)
    try:
        offset, microsecond = _offset(found["offset"]), int(f"{fraction or 0:0<6}"[:6])
        return datetime(*date, int(hour or 0), int(minute or 0), int(second or 0), microsecond, offset)
    except ValueError:
        return None


def _offset(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text == "Z":
        return timezone.utc
    minutes = int(text[1:3]) * 60 + int(text[3:].lstrip(":") or 0)
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _compact(text: str) -> datetime | None:
    found = _COMPACT.fullmatch(text)
    try:
        return datetime(*map(int, found.groups()[1:])) if found else None  # type: ignore[arg-type]  # three numbers
    except ValueError:
        return None


def _written(time: datetime, like: str) -> str:
    """A time in the form of another."""
    if _COMPACT.fullmatch(like):
        return f"{time.year:04}{time.month:02}{time.day:02}"
    found = _TIME.fullmatch(like)
    assert found
    core = found["core"]
    form = time.isoformat(sep=core[10] if found["clock"] else " ", timespec="microseconds")
    return form[: len(core)] + (found["offset"] or "")


def _usual(numbers: Sequence[float]) -> float:
    """The commonest difference."""
    return float(Counter(np.diff(numbers).tolist()).most_common(1)[0][0])
