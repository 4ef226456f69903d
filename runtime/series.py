"""Regularly sampled series: reading them from CSV, and forecasting how they go on."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from dragoman.runtime.bundle import Bundle, BundleError
from dragoman.runtime.errors import UserError
from dragoman.runtime.session import Maker, load_as, session_for
from dragoman.runtime.translator import Floats

MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
LEAST = 3  # times that tell how often a series is sampled
TOLERANCE = 1e-3  # of a forecast, between machines, in units of the variable's usual deviation


@dataclass(frozen=True)
class Clock:
    """When the rows of a series are: a first time, and a step that is a duration, a number of months or a number."""

    first: datetime | float
    step: timedelta | int | float
    text: str  # the first time as it was written, whose form the others take
    row: int = 0  # how many rows after the first this series starts

    def at(self, row: int) -> str:
        """The time of a row, written as the first one was."""
        row += self.row
        if isinstance(self.first, float):
            value = self.first + row * float(self.step)  # type: ignore[arg-type]  # numbers have numbers as steps
            return f"{value:.15g}"
        if isinstance(self.step, timedelta):
            time = self.first + row * self.step
        else:
            months = self.first.year * 12 + self.first.month - 1 + row * int(self.step)
            time = self.first.replace(year=months // 12, month=months % 12 + 1)
        form = time.isoformat(sep="T" if "T" in self.text else " ")
        return form[: max(len(self.text), 4)] if len(self.text) <= len(form) else form


@dataclass(frozen=True)
class Series:
    """Variables over time."""

    names: tuple[str, ...]
    values: Floats  # (T, F), NaN where there is none
    clock: Clock | None = None  # None: there was no column of times


def read_series(data: bytes, where: str, columns: Sequence[str] | None = None, time: str | None = None) -> Series:
    """A CSV table with a header. columns: the variables, all that hold numbers by default; time: the column of times.

    By default the first column is the times if it holds times, or is called time or date. A time that is missing is a
    gap. Raises UserError with the line for ragged rows, text among numbers, and times that are not evenly spaced.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{where} is not UTF-8") from None
    try:
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
    except csv.Error as error:
        raise UserError(f"{where} is not CSV: {error}") from None
    if len(rows) < 2:
        raise UserError(f"{where} needs a header and rows of numbers")
    header = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise UserError(f"{where}, row {number:,}: {len(row)} columns, and the header has {len(header)}")
    for name in [*(columns or ()), *([time] if time else ())]:
        if name not in header:
            raise UserError(f"{where} has no column {name!r}; it has {', '.join(header)}")
    first = [row[0].strip() for row in rows[1:]]
    if time is None and (header[0].lower() in ("time", "date", "datetime", "timestamp") or _is_time(first[0])):
        time = header[0]
    names = [*(columns or [name for name in header if name != time])]
    if not names:
        raise UserError(f"{where} has no column of numbers")
    values = np.array(
        [
            [_number(row[header.index(name)], where, number, name) for name in names]
            for number, row in enumerate(rows[1:], 2)
        ],
        np.float32,
    )
    if time is None:
        return Series(tuple(names), values)
    stamps = [row[header.index(time)].strip() for row in rows[1:]]
    places, clock = _evenly(stamps, where)
    out = np.full((places[-1] + 1, len(names)), np.nan, np.float32)
    out[places] = values
    return Series(tuple(names), out, clock)


def write_series(series: Series) -> str:
    """The inverse of `read_series`: CSV, with nothing where there is a gap."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*(["time"] if series.clock else []), *series.names])
    for number, row in enumerate(series.values):
        values = ["" if math.isnan(value) else f"{value:.7g}" for value in row.tolist()]
        writer.writerow([*([series.clock.at(number)] if series.clock else []), *values])
    return out.getvalue()


def _number(text: str, where: str, row: int, name: str) -> float:
    if text.strip().lower() in MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not abs(value) < 1e30:
        raise UserError(f"{where}, row {row:,}: {text.strip()!r} in the column {name} is not a number")
    return value


def _moment(text: str) -> datetime | None:
    if len(text) == 7 and text[4] == "-":  # a month, which fromisoformat leaves out
        text += "-01"
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).replace(tzinfo=None)
    except ValueError:
        return None


def _is_time(text: str) -> bool:
    return not text.isdecimal() and _moment(text) is not None


def _evenly(stamps: Sequence[str], where: str) -> tuple[list[int], Clock]:
    """Which row each time stands for, counted from the first. Raises UserError when they are not evenly spaced."""
    if len(stamps) < LEAST:
        raise UserError(f"{where} has {len(stamps)} times, too few to tell how often it is sampled")
    moments = [None if text.isdecimal() else _moment(text) for text in stamps]
    numbers: list[float] = []
    for number, (text, moment) in enumerate(zip(stamps, moments, strict=True), 2):
        if (moment is None) != (moments[0] is None):
            raise UserError(f"{where}, row {number:,}: the time {text!r} is not written as the first one is")
        if moment is not None:
            numbers.append((moment - datetime(1970, 1, 1)).total_seconds())
            continue
        try:
            numbers.append(float(text))
            if not math.isfinite(numbers[-1]):
                raise ValueError
        except ValueError:
            raise UserError(f"{where}, row {number:,}: {text!r} is not a time, such as 2024-05-31 or 7") from None
    first = moments[0]
    step: timedelta | int | float
    dates = [m for m in moments if m is not None]
    width = _usual(numbers)
    if first and all((m.day, m.time()) == (first.day, first.time()) for m in dates) and width > 27 * 86400:
        numbers = [float(m.year * 12 + m.month) for m in dates]
        width = _usual(numbers)
        step = int(width)
    else:
        step = timedelta(seconds=width) if first else width
    if width < 0:
        raise UserError(f"{where}: the times fall from row to row; sort the rows, the oldest first")
    places: list[int] = []
    for number, (value, text) in enumerate(zip(numbers, stamps, strict=True), 2):
        place = (value - numbers[0]) / width if width else 0.0
        if abs(place - round(place)) > 0.01:
            every = f"{step} months" if isinstance(step, int) else str(step)
            raise UserError(f"{where}, row {number:,}: the time {text} does not fit a series sampled every {every}")
        if places and round(place) <= places[-1]:
            raise UserError(f"{where}, row {number:,}: the time {text} does not come after the one before it")
        places.append(round(place))
    return places, Clock(first or numbers[0], step, stamps[0])


def _usual(numbers: Sequence[float]) -> float:
    """The commonest difference."""
    differences = np.diff(numbers).tolist()
    return float(Counter(differences).most_common(1)[0][0])


class SeriesEngine(Protocol):
    """Whatever computes forecasts: ONNX Runtime here, PyTorch while training."""

    def run(self, series: Floats) -> Floats:
        """(B, S, F), NaN where there is none -> (B, H, F)."""
        ...


class OnnxSeries:
    """The file itself, run by ONNX Runtime on the CPU."""

    def __init__(self, model: bytes | onnxruntime.InferenceSession, threads: int = 1) -> None:
        self.session = session_for(model, "forecast", threads)

    def run(self, series: Floats) -> Floats:
        """See SeriesEngine."""
        out: Floats = self.session.run(None, {"series": series})[0]
        return out


class Forecaster:
    """Forecasts how series go on.

    >>> forecaster = Forecaster.load("temperature.onnx")
    >>> forecaster.forecast(values)  # (T, F) -> (H, F)
    """

    task = "forecast"

    def __init__(self, engine: SeriesEngine, bundle: Bundle) -> None:
        self.engine, self.bundle = engine, bundle
        facts: dict[str, Any] = bundle.series
        self.names: tuple[str, ...] = tuple(facts["names"])
        self.window, self.horizon, self.period = int(facts["window"]), int(facts["horizon"]), int(facts["period"])

    @classmethod
    def load(cls, path: str | Path, *, threads: int = 1, self_test: bool = False) -> Forecaster:
        """Open a file made by `dragoman export`. Raises BundleError, a UserError, as Translator.load does."""
        makers: dict[str, Maker[Forecaster]] = {cls.task: lambda session, bundle: cls(OnnxSeries(session), bundle)}
        return load_as(path, makers, threads, self_test=self_test)

    def self_test(self) -> None:
        """Forecast the series stored in the file. Raises BundleError unless it gives what is stored."""
        for case in self.bundle.self_test["cases"]:
            series = np.array(case["series"], np.float32)  # None becomes NaN
            given = self.engine.run(series[None])[0]
            worst = np.abs(given - np.array(case["forecast"], np.float32)) / np.array(self.bundle.series["scale"])
            if not worst.max() <= TOLERANCE:
                raise BundleError(
                    "self-test failed: a series does not give the forecast that it gave when the file was made; do not "
                    "trust this runtime"
                )

    def forecast(self, values: Floats | Sequence[Sequence[float]]) -> Floats:
        """The next values (H, F) of variables (T, F), NaN where one is missing; of one variable also (T) -> (H).

        The model looks at the last `window` rows; where there are fewer, the earlier ones count as missing. Raises
        UserError for another number of variables, or when there is nothing at all to go by.
        """
        given = np.asarray(values, np.float32)
        rows = given[:, None] if given.ndim == 1 else given
        if rows.ndim != 2 or rows.shape[1] != len(self.names):
            names = ", ".join(self.names)
            raise UserError(f"values of shape {given.shape}: the model forecasts {names}, a column each")
        if np.isinf(rows).any():
            raise UserError("a value is infinite")
        rows = rows[-self.window :]
        if np.isnan(rows).all(0).any():
            name = self.names[int(np.isnan(rows).all(0).argmax())]
            raise UserError(f"{name} has no value among the last {self.window} rows to go by")
        gap = np.full((self.window - len(rows), rows.shape[1]), np.nan, np.float32)
        out: Floats = self.engine.run(np.concatenate([gap, rows])[None])[0]
        return out[:, 0] if given.ndim == 1 else out

    def continued(self, series: Series) -> Series:
        """How a series goes on, with its times where it has any."""
        clock = series.clock
        if clock:
            clock = replace(clock, row=clock.row + len(series.values))
        return Series(self.names, self.forecast(series.values), clock)


def seasonal_naive(window: Floats, horizon: int, period: int) -> Floats:
    """What came a season before, (S, F) -> (H, F): the last value at each place of the season, NaN if none is there.

    The baseline that a forecast must beat (Hyndman and Athanasopoulos 2021, "Forecasting: principles and practice").
    """
    S = len(window)
    out = np.full((horizon, window.shape[1]), np.nan, np.float32)
    for h in range(horizon):
        place = S + h
        while place >= 0:
            place -= period
            if 0 <= place < S:
                out[h] = np.where(np.isnan(out[h]), window[place], out[h])
    return out
