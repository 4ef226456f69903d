"""Timestamps of a series: parse them, check that they are evenly spaced, and continue them."""

from __future__ import annotations

import re
from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Context, Decimal, InvalidOperation
from itertools import pairwise

from dragoman.runtime.errors import UserError

LEAST = 3  # times that tell how often a series is sampled


FAR = 10  # so many times the rows of a file, and a thousand more, may be empty: beyond, something is mistyped


UNEVEN = 100  # a step may be off by this part of it, since times are rounded


LONGEST = 30  # digits before and behind the point of a time that is a number


MONTH = timedelta(27) // timedelta(microseconds=1)  # steps above this may be months


_TIME = re.compile(
    r"(?P<core>(\d{4})-(\d\d)(?:-(\d\d)(?P<clock>[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?)?)?)"
    r"(?P<offset>Z|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)


_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)", re.ASCII)


_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Clock:
    """When the rows of a series are: evenly from a first time on."""

    first: datetime | int  # without the offset that it is written with; a number is in units of the last decimal
    span: int  # ticks from the first time of a file to its last
    count: int  # rows that this takes
    every: str  # the usual step, for people
    form: str  # a time as it is written
    months: bool = False  # what ticks are, of dates: else microseconds
    day: int = 1  # of the month, or the month's last where it has fewer: of steps that are months
    row: int = 0  # how many rows after the first this series starts
    name: str = "time"  # of the column

    def at(self, row: int) -> str:
        """The time of a row. Raises UserError for one that no calendar has."""
        ticks = (2 * (self.row + row) * self.span + self.count) // (2 * self.count)  # rounded
        if isinstance(self.first, int):
            return _number_written(self.first + ticks, self.form)
        try:
            if not self.months:
                return _written(self.first + timedelta(microseconds=ticks), self.form)
            months = self.first.year * 12 + self.first.month - 1 + ticks
            year, month = months // 12, months % 12 + 1
            day = min(self.day, monthrange(year, month)[1])
            return _written(self.first.replace(year=year, month=month, day=day), self.form)
        except (OverflowError, ValueError):
            raise UserError(f"{self.row + row:,} rows after {self.first} is beyond the year 9999") from None


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
    for line, text, moment in zip(lines, stamps, moments, strict=True):
        if _kind(moment) != _kind(moments[0]):
            raise UserError(f"{where}, row {line:,}: the time {text!r} is not written as the first one is")
    form = max(stamps, key=len)  # the first may leave out what is zero
    dates = [m for m in moments if m is not None]
    if not dates:
        numbers, form = _numbers(stamps, lines, where)
        if all(map(_YEAR_MONTH.fullmatch, stamps)) and any(b - a > 80 for a, b in pairwise(numbers)):
            raise UserError(
                f"{where}: the times {stamps[0]}, {stamps[1]} look like years and months: write them as 2024-05"
            )
        places, every = _places(numbers, stamps, lines, where, lambda width: _plain(width, form))
        return places, Clock(numbers[0], numbers[-1] - numbers[0], places[-1], every, form, name=name)
    zone = dates[stamps.index(form)].tzinfo  # others may have another
    ticks, local = [], []
    for line, text, moment in zip(lines, stamps, dates, strict=True):
        try:
            ticks.append(_ticks(moment))
            local.append((moment.astimezone(zone) if zone else moment).replace(tzinfo=None))
        except OverflowError:
            raise UserError(
                f"{where}, row {line:,}: the time {text} is in no year from 1 to 9999 in UTC or by the offset of {form}"
            ) from None
    day = max(m.day for m in local)
    offsets = {m.utcoffset() for m in dates}
    months = _usual(ticks) > MONTH and len(offsets) == 1 and all(_falls_on(m, day, local[0]) for m in local)
    if months:
        ticks = [m.year * 12 + m.month for m in local]
    try:
        places, every = _places(ticks, stamps, lines, where, _months if months else _duration)
    except UserError as error:
        if len(offsets) > 1:
            raise UserError(f"{error}; the offsets from UTC differ, so give all times in UTC") from None
        raise
    return places, Clock(local[0], ticks[-1] - ticks[0], places[-1], every, form, months, day, name=name)


def _places(
    ticks: Sequence[int], stamps: Sequence[str], lines: Sequence[int], where: str, spelt: Callable[[int], str]
) -> tuple[list[int], str]:
    """Which row each of some times stands for, and the usual step. Raises UserError when they are not even."""
    width = _usual(ticks)
    if width < 0:
        raise UserError(f"{where}: the times fall from row to row; sort the rows, the oldest first")

    def here(number: int) -> str:
        return f"{where}, row {lines[number]:,}: the time {stamps[number]}"

    for number in range(1, len(ticks)):
        if ticks[number] <= ticks[number - 1]:
            raise UserError(f"{here(number)} does not come after the one before it")
    places = [0]
    for number in range(1, len(ticks)):
        after = ticks[number] - ticks[number - 1]
        rows = (2 * after + width) // (2 * width)
        if UNEVEN * abs(after - rows * width) > min(rows, UNEVEN // 4) * width:
            raise UserError(f"{here(number)} does not fit a series sampled every {spelt(width)}")
        places.append(places[-1] + rows)
        if places[-1] > 1000 + FAR * len(ticks):
            empty = places[-1] - number
            gap = f"{places[-1]:,} rows of {spelt(width)} after the first, {empty:,} of them empty"
            raise UserError(f"{here(number)} is {gap}; is it mistyped?")
    return places, spelt(width)


def _usual(ticks: Sequence[int]) -> int:
    """The commonest difference."""
    return Counter(b - a for a, b in pairwise(ticks)).most_common(1)[0][0]


def _duration(ticks: int) -> str:
    return str(timedelta(microseconds=ticks))


def _months(ticks: int) -> str:
    return "month" if ticks == 1 else f"{ticks} months"


def _kind(moment: datetime | None) -> str:
    return "number" if moment is None else "local" if moment.tzinfo is None else "absolute"


def _ticks(time: datetime) -> int:
    if time.tzinfo is not None:
        time = time.astimezone(timezone.utc).replace(tzinfo=None)
    return (time - _EPOCH) // timedelta(microseconds=1)


def _falls_on(time: datetime, day: int, first: datetime) -> bool:
    return time.time() == first.time() and time.day == min(day, monthrange(time.year, time.month)[1])


def _numbers(stamps: Sequence[str], lines: Sequence[int], where: str) -> tuple[list[int], str]:
    """Times that are numbers in units of their last decimal, and a form that shows as many decimals."""
    values = []
    for line, text in zip(lines, stamps, strict=True):
        try:
            value = Decimal(text)
            exponent = value.as_tuple().exponent
            if isinstance(exponent, str) or abs(exponent) > 4 * LONGEST or not -LONGEST <= value.adjusted() < LONGEST:
                raise ValueError
        except (InvalidOperation, ValueError):
            raise UserError(f"{where}, row {line:,}: {text!r} is not a time, such as 2024-05-31 or 7") from None
        values.append(value)
    decimals = max(0, *(-int(value.as_tuple().exponent) for value in values))
    form = "0" if not decimals else "0." + "0" * decimals
    return [int(value.scaleb(decimals, _EXACT)) for value in values], form


_YEAR_MONTH = re.compile(r"(?:1[89]|20|21)\d\d(?:0[1-9]|1[0-2])")


_EXACT = Context(prec=4 * LONGEST)


def _number_written(units: int, form: str) -> str:
    decimals = len(form.partition(".")[2])
    digits = f"{abs(units):0{decimals + 1}}"
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    return ("-" if units < 0 else "") + whole + ("." + fraction if decimals else "")


def _plain(units: int, form: str) -> str:
    """Without the zeros at the end that other times have need of."""
    text = _number_written(units, form)
    return text.rstrip("0").rstrip(".") if "." in text else text


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
        return datetime(*map(int, found.groups())) if found else None  # type: ignore[arg-type]  # three numbers
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
