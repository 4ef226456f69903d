"""Timestamps of a series: parse them, check that they are evenly spaced, and continue them in the same format.

Timestamps are ISO 8601 dates, with or without a time of day and an offset from UTC, months (2024-05), compact dates
(20240531), or plain numbers. All arithmetic is in integer ticks, so no time is off by a rounding error of floating
point. A tick is a microsecond, a month, or, for numbers, one unit of the last decimal.
"""

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

MIN_TIMESTAMPS = 3  # fewer do not show the sampling interval

# A file of n rows may have MAX_EMPTY_PER_ROW * n + MAX_EMPTY_ROWS rows when its gaps are filled. If it has more, a
# timestamp has a typing error.
MAX_EMPTY_PER_ROW = 10
MAX_EMPTY_ROWS = 1000

# A gap of n steps may be off by n hundredths of a step, and by a quarter of a step at most, because times are rounded.
TOLERANCE_DIVISOR = 100

MAX_DIGITS = 30  # before and after the decimal point of a timestamp that is a number
SHORTEST_MONTH = timedelta(27) // timedelta(microseconds=1)  # ticks; a longer step may be months
_ISO_TIME = re.compile(
    r"(?P<core>(\d{4})-(\d\d)(?:-(\d\d)(?P<time_of_day>[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?)?)?)"
    r"(?P<offset>Z|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_COMPACT_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)", re.ASCII)
_COMPACT_MONTH = re.compile(r"(?:1[89]|20|21)\d\d(?:0[1-9]|1[0-2])")
_EPOCH = datetime(1970, 1, 1)
_EXACT = Context(prec=4 * MAX_DIGITS)


@dataclass(frozen=True)
class TimeAxis:
    """Evenly spaced times of the rows of a series.

    Attributes:
        first: First time in the file, without its offset from UTC. A number is in ticks.
        span: Ticks from the first time in the file to the last.
        n_intervals: Sampling intervals in the span.
        interval: The sampling interval, as text for people.
        template: A timestamp in the format to write.
        months: True if ticks of dates are months; otherwise they are microseconds.
        day: Day of the month for steps of months, or the month's last day if it has fewer.
        first_row: Number of the first row of this series, counted from `first`.
        name: Name of the column of times.
    """

    first: datetime | int
    span: int
    n_intervals: int
    interval: str
    template: str
    months: bool = False
    day: int = 1
    first_row: int = 0
    name: str = "time"

    def at(self, row: int) -> str:
        """Return the timestamp of a row. Raise UserError for a time after the year 9999."""
        row += self.first_row
        ticks = (2 * row * self.span + self.n_intervals) // (2 * self.n_intervals)  # rounded to the nearest tick
        if isinstance(self.first, int):
            return _format_number(self.first + ticks, self.template)
        try:
            if not self.months:
                return _format_like(self.first + timedelta(microseconds=ticks), self.template)
            months = self.first.year * 12 + self.first.month - 1 + ticks
            year, month = months // 12, months % 12 + 1
            day = min(self.day, monthrange(year, month)[1])
            return _format_like(self.first.replace(year=year, month=month, day=day), self.template)
        except (OverflowError, ValueError):
            raise UserError(f"{row:,} rows after {self.first} is beyond the year 9999") from None


def is_timestamp(text: str) -> bool:
    """Return whether a text is an ISO 8601 timestamp. Numbers and compact dates may be values, so they are not."""
    return _parse_iso(text) is not None


def parse_regular_times(
    stamps: Sequence[str], lines: Sequence[int], source: str, name: str = "time"
) -> tuple[list[int], TimeAxis]:
    """Parse timestamps that are evenly spaced, except for gaps of whole intervals.

    Args:
        stamps: Timestamps in order of the rows.
        lines: The row of each in the file, for error messages.
        source: Name of the file, for error messages.
        name: Name of the column.

    Returns:
        The row number of each timestamp, from 0, and the TimeAxis of all rows. A gap skips row numbers.

    Raises:
        UserError: There are fewer than MIN_TIMESTAMPS timestamps, or one is invalid, in another format than the first,
            off the sampling interval, or out of order.
    """
    if len(stamps) < MIN_TIMESTAMPS:
        raise UserError(
            f"{source} has {len(stamps)} times; at least {MIN_TIMESTAMPS} are needed to find the sampling interval"
        )
    compact_dates = [_parse_compact_date(text) for text in stamps]
    parsed = compact_dates if None not in compact_dates else [_parse_iso(text) for text in stamps]
    for line, text, time in zip(lines, stamps, parsed, strict=True):
        if _kind(time) != _kind(parsed[0]):
            raise UserError(
                f"{source}, row {line:,}: the time {text!r} is not in the format of the first, {stamps[0]!r}"
            )
    template = max(stamps, key=len)  # shorter ones leave out zeros
    dates = [time for time in parsed if time is not None]
    if not dates:
        return _regular_numbers(stamps, lines, source, name)
    zone = dates[stamps.index(template)].tzinfo  # other timestamps may have another offset
    ticks, local_times = [], []
    for line, text, date in zip(lines, stamps, dates, strict=True):
        try:
            ticks.append(_microseconds(date))
            local_times.append((date.astimezone(zone) if zone else date).replace(tzinfo=None))
        except OverflowError:
            raise UserError(
                f"{source}, row {line:,}: the time {text} is outside the years 1 to 9999 in UTC or with the offset of "
                f"{template}"
            ) from None
    day = max(time.day for time in local_times)
    offsets = {date.utcoffset() for date in dates}
    months = (
        _most_common_step(ticks) > SHORTEST_MONTH
        and len(offsets) == 1
        and all(_is_on_day(time, day, local_times[0]) for time in local_times)
    )
    if months:
        ticks = [time.year * 12 + time.month for time in local_times]
    try:
        rows, interval = _row_numbers(ticks, stamps, lines, source, _describe_months if months else _describe_duration)
    except UserError as error:
        if len(offsets) > 1:
            raise UserError(f"{error}; the offsets from UTC differ, so give all times in UTC") from None
        raise
    return rows, TimeAxis(local_times[0], ticks[-1] - ticks[0], rows[-1], interval, template, months, day, name=name)


def _regular_numbers(stamps: Sequence[str], lines: Sequence[int], source: str, name: str) -> tuple[list[int], TimeAxis]:
    """Parse evenly spaced timestamps that are numbers; see parse_regular_times."""
    ticks, template = _parse_numbers(stamps, lines, source)
    if all(map(_COMPACT_MONTH.fullmatch, stamps)) and any(b - a > 80 for a, b in pairwise(ticks)):
        raise UserError(
            f"{source}: the times {stamps[0]}, {stamps[1]} look like years and months; write them as 2024-05"
        )
    rows, interval = _row_numbers(ticks, stamps, lines, source, lambda step: _format_short_number(step, template))
    return rows, TimeAxis(ticks[0], ticks[-1] - ticks[0], rows[-1], interval, template, name=name)


def _row_numbers(
    ticks: Sequence[int], stamps: Sequence[str], lines: Sequence[int], source: str, describe: Callable[[int], str]
) -> tuple[list[int], str]:
    """Return the row number of each time and a description of the interval. Raise UserError for uneven times."""
    step = _most_common_step(ticks)
    if step < 0:
        raise UserError(f"{source}: the times decrease from row to row; sort the rows, oldest first")

    def time_in_row(i: int) -> str:
        return f"{source}, row {lines[i]:,}: the time {stamps[i]}"

    for i in range(1, len(ticks)):
        if ticks[i] <= ticks[i - 1]:
            raise UserError(f"{time_in_row(i)} does not come after the one before it; sort the rows, oldest first")
    rows = [0]
    for i in range(1, len(ticks)):
        gap = ticks[i] - ticks[i - 1]
        n_steps = (2 * gap + step) // (2 * step)
        if TOLERANCE_DIVISOR * abs(gap - n_steps * step) > min(n_steps, TOLERANCE_DIVISOR // 4) * step:
            raise UserError(f"{time_in_row(i)} does not fit a series sampled every {describe(step)}")
        rows.append(rows[-1] + n_steps)
        if rows[-1] > MAX_EMPTY_ROWS + MAX_EMPTY_PER_ROW * len(ticks):
            raise UserError(
                f"{time_in_row(i)} is {rows[-1]:,} rows of {describe(step)} after the first, and {rows[-1] - i:,} of "
                "them would be empty; check the time for a typing error"
            )
    return rows, describe(step)


def _most_common_step(ticks: Sequence[int]) -> int:
    return Counter(b - a for a, b in pairwise(ticks)).most_common(1)[0][0]


def _describe_duration(microseconds: int) -> str:
    return str(timedelta(microseconds=microseconds))


def _describe_months(months: int) -> str:
    return "month" if months == 1 else f"{months} months"


def _kind(time: datetime | None) -> str:
    """Return what a parsed timestamp is; None is a number."""
    return "number" if time is None else "local" if time.tzinfo is None else "absolute"


def _microseconds(time: datetime) -> int:
    """Return the microseconds since 1970, in UTC if the time has an offset."""
    if time.tzinfo is not None:
        time = time.astimezone(timezone.utc).replace(tzinfo=None)
    return (time - _EPOCH) // timedelta(microseconds=1)


def _is_on_day(time: datetime, day: int, first: datetime) -> bool:
    """Return whether a time has the first one's time of day and is on a day of the month, or on its last day."""
    return time.time() == first.time() and time.day == min(day, monthrange(time.year, time.month)[1])


def _parse_numbers(stamps: Sequence[str], lines: Sequence[int], source: str) -> tuple[list[int], str]:
    """Return numbers in units of their last decimal, and a template that shows as many decimals."""
    values = []
    for line, text in zip(lines, stamps, strict=True):
        try:
            value = Decimal(text)
            exponent = value.as_tuple().exponent
            too_many_decimals = isinstance(exponent, str) or abs(exponent) > 4 * MAX_DIGITS
            if too_many_decimals or not -MAX_DIGITS <= value.adjusted() < MAX_DIGITS:
                raise ValueError
        except (InvalidOperation, ValueError):
            raise UserError(
                f"{source}, row {line:,}: {text!r} is not a time; write it as 2024-05-31, 2024-05-31T18:30 or a number"
            ) from None
        values.append(value)
    decimals = max(0, *(-int(value.as_tuple().exponent) for value in values))
    template = "0" if not decimals else "0." + "0" * decimals
    return [int(value.scaleb(decimals, _EXACT)) for value in values], template


def _format_number(ticks: int, template: str) -> str:
    """Return a number in ticks with as many decimals as the template."""
    decimals = len(template.partition(".")[2])
    digits = f"{abs(ticks):0{decimals + 1}}"
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    return ("-" if ticks < 0 else "") + whole + ("." + fraction if decimals else "")


def _format_short_number(ticks: int, template: str) -> str:
    """Return a number in ticks without trailing zeros."""
    text = _format_number(ticks, template)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _parse_iso(text: str) -> datetime | None:
    match = _ISO_TIME.fullmatch(text)
    if not match or (match["offset"] and not match["time_of_day"]):
        return None
    year, month, day, _, hour, minute, second, fraction = match.groups()[1:9]
    date = int(year), int(month), int(day or 1)
    try:
        offset, microsecond = _parse_offset(match["offset"]), int(f"{fraction or 0:0<6}"[:6])
        return datetime(*date, int(hour or 0), int(minute or 0), int(second or 0), microsecond, offset)
    except ValueError:
        return None


def _parse_offset(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text == "Z":
        return timezone.utc
    minutes = int(text[1:3]) * 60 + int(text[3:].lstrip(":") or 0)
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _parse_compact_date(text: str) -> datetime | None:
    match = _COMPACT_DATE.fullmatch(text)
    try:
        return datetime(*map(int, match.groups())) if match else None  # type: ignore[arg-type]  # three numbers
    except ValueError:
        return None


def _format_like(time: datetime, template: str) -> str:
    """Return a time in the format of the template, with the template's offset."""
    if _COMPACT_DATE.fullmatch(template):
        return f"{time.year:04}{time.month:02}{time.day:02}"
    match = _ISO_TIME.fullmatch(template)
    assert match
    core = match["core"]
    iso = time.isoformat(sep=core[10] if match["time_of_day"] else " ", timespec="microseconds")
    return iso[: len(core)] + (match["offset"] or "")
