"""Forecast regularly sampled series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from dragoman.runtime.contract import Floats
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata, ModelFileError
from dragoman.runtime.series import Series
from dragoman.runtime.session import Maker, load_as, outputs_of, session_for

TOLERANCE = 1e-3  # of a forecast, between machines, in units of the variable's usual deviation


class SeriesEngine(Protocol):
    """Whatever computes forecasts: ONNX Runtime here, PyTorch while training."""

    def run(self, series: Floats) -> Floats:
        """(B, S, F), NaN where there is none -> (B, H, F)."""
        ...


class OnnxSeriesEngine:
    """The file itself, run by ONNX Runtime on the CPU."""

    def __init__(self, model: bytes | onnxruntime.InferenceSession, threads: int = 1) -> None:
        self.session = session_for(model, "forecast", threads)

    def run(self, series: Floats) -> Floats:
        """See SeriesEngine."""
        out: Floats = outputs_of(self.session, {"series": series})[0]
        return out


class Forecaster:
    """Forecasts how series go on.

    >>> forecaster = Forecaster.load("temperature.onnx")
    >>> forecaster.forecast(values)  # (T, F) -> (H, F)
    """

    task = "forecast"

    def __init__(self, engine: SeriesEngine, metadata: Metadata) -> None:
        self.engine, self.metadata = engine, metadata
        facts: dict[str, Any] = metadata.series
        self.names: tuple[str, ...] = tuple(facts["names"])
        self.time: str | None = facts.get("time")  # the column of times, where there was one
        self.every: str | None = facts.get("every")  # how often it was sampled
        self.window, self.horizon, self.period = int(facts["window"]), int(facts["horizon"]), int(facts["period"])

    @classmethod
    def load(cls, path: str | Path, *, threads: int = 1, self_test: bool = False) -> Forecaster:
        """Open a file made by `dragoman export`. Raises ModelFileError, a UserError, as Translator.load does."""
        makers: dict[str, Maker[Forecaster]] = {
            cls.task: lambda session, metadata: cls(OnnxSeriesEngine(session), metadata)
        }
        return load_as(path, makers, threads, self_test=self_test)

    def self_test(self) -> None:
        """Forecast the series stored in the file. Raises ModelFileError unless it gives what is stored."""
        for case in self.metadata.self_test["cases"]:
            series = np.array(case["series"], np.float32)  # None becomes NaN
            given = self.engine.run(series[None])[0]
            worst = np.abs(given - np.array(case["forecast"], np.float32)) / np.array(self.metadata.series["scale"])
            if not worst.max() <= TOLERANCE:
                raise ModelFileError(
                    "self-test failed: a series does not give the forecast that it gave when the file was made; do not "
                    "trust this runtime"
                )

    def forecast(self, values: Floats | Sequence[Sequence[float]]) -> Floats:
        """The next values (H, F) of variables (T, F), NaN where one is missing; of one variable also (T) -> (H).

        The model looks at the last `window` rows; where there are fewer, the earlier ones count as missing. Raises
        UserError for another number of variables, or when there is nothing at all to go by.
        """
        try:
            given = np.asarray(values, np.float32)
        except (ValueError, TypeError):
            raise UserError("the values are not a table of numbers, a row each time") from None
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

    def check_sampling(self, series: Series) -> None:
        """Raise UserError for a series whose times have another step than those that the model was made of."""
        clock = series.clock
        if clock and self.every and clock.every != self.every:
            raise UserError(f"a series sampled every {clock.every}, and the model was made of one every {self.every}")

    def continued(self, series: Series) -> Series:
        """How a series goes on, with its times where it has any. Raises UserError as `forecast` does, and when these

        have another step than those that the model was made of.
        """
        self.check_sampling(series)
        clock = series.clock
        if clock:
            clock = replace(clock, row=clock.row + len(series.values))
        return Series(self.names, self.forecast(series.values), clock)


def seasonal_naive(window: Floats, horizon: int, period: int) -> Floats:
    """What came a season before, (S, F) -> (H, F): the last value at each place of the season, NaN if none is there.

    The baseline that a forecast must beat (Hyndman and Athanasopoulos 2021, "ForecastingTask: principles and practice").
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
