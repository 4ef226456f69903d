"""Forecast regularly sampled series.

Axis letters: B batch, T rows of a series, S rows of the window that the model sees, F variables, H forecast steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from dragoman.runtime.contract import Floats
from dragoman.runtime.errors import UserError
from dragoman.runtime.loaded_model import LoadedModel
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.series import Series
from dragoman.runtime.session import ModelFactory, SelfTestError, load_as, run_session, session_for_task

# Largest difference of a forecast between machines, relative to the variable's scale in training.
TOLERANCE = 1e-3


class SeriesEngine(Protocol):
    """Anything that computes forecasts: ONNX Runtime here, PyTorch in training."""

    def run(self, series: Floats) -> Floats:
        """Return the forecasts (B, H, F) of windows (B, S, F), in which NaN is a missing value."""
        ...


class OnnxSeriesEngine:
    """A series engine that runs a Dragoman file with ONNX Runtime on the CPU."""

    def __init__(self, model: bytes | onnxruntime.InferenceSession, threads: int = 1) -> None:
        """Open the bytes of a file, or take a session that holds it."""
        self.session = session_for_task(model, "forecast", threads)

    def run(self, series: Floats) -> Floats:
        """Return forecasts; see SeriesEngine.run. Raise UserError when ONNX Runtime fails."""
        forecast: Floats = run_session(self.session, {"series": series})[0]
        return forecast


class Forecaster(LoadedModel):
    """A forecaster of regularly sampled series, loaded from a file that `dragoman export` made.

    Attributes:
        names: The F variables, in the order of their columns.
        window: Number of past rows that the model sees.
        horizon: H, the number of rows that it forecasts.
        period: Rows in a season, for example 24 for hours with a daily season.
        interval: Sampling interval of the training series, or None if it had no times.
        time: Name of the column of times in the training series, or None.

    Example:
        >>> forecaster = dragoman.Forecaster.load("temperature.onnx")
        >>> forecaster.forecast(values).shape  # values: (T, F)
        (12, 2)
    """

    task = "forecast"
    engine: SeriesEngine

    def __init__(self, engine: SeriesEngine, metadata: Metadata) -> None:
        self.engine, self.metadata = engine, metadata
        series: dict[str, Any] = metadata.series
        self.names: tuple[str, ...] = tuple(series["names"])
        self.time: str | None = series.get("time")
        self.interval: str | None = series.get("every")
        self.window, self.horizon, self.period = int(series["window"]), int(series["horizon"]), int(series["period"])

    @classmethod
    def load(cls, path: str | Path, *, threads: int = 1, self_test: bool = False) -> Forecaster:
        """Load a forecaster from a file made by `dragoman export`.

        Args:
            path: The file, usually `*.onnx`.
            threads: Threads of ONNX Runtime, from 1 to 1,024, or 0 for one per core.
            self_test: Also check that the file's test series get the forecasts that they got at export.

        Raises:
            ModelFileError: The file cannot be read, is damaged, holds no forecaster, cannot run with the installed
                onnxruntime, or fails its self-test. It is a UserError.
            UserError: `threads` is out of range.
        """
        factories: dict[str, ModelFactory[Forecaster]] = {
            cls.task: lambda session, metadata: cls(OnnxSeriesEngine(session), metadata)
        }
        return load_as(path, factories, threads, self_test=self_test)

    def self_test(self) -> None:
        """Forecast the test series stored in the file. Raise SelfTestError if forecasts differ from those stored."""
        for case in self.metadata.self_test["cases"]:
            series = np.array(case["series"], np.float32)  # None becomes NaN
            forecast = self.engine.run(series[None])[0]
            expected, scale = np.array(case["forecast"], np.float32), np.array(self.metadata.series["scale"])
            difference = np.abs(forecast - expected) / scale
            if not difference.max() <= TOLERANCE:
                raise SelfTestError("the forecast of a test series differs from the one at export")

    def forecast(self, values: Floats | Sequence[Sequence[float]]) -> Floats:
        """Forecast the rows that follow a series.

        Args:
            values: The past, oldest row first, (T, F); or (T) if there is one variable. NaN is a missing value. The
                model sees the last `window` rows. If there are fewer, the earlier ones count as missing.

        Returns:
            The next `horizon` rows, (H, F), or (H) for values (T).

        Raises:
            UserError: The values are not a table of numbers with F columns, one is infinite, a variable has no value
                within the window, or ONNX Runtime fails.

        Example:
            >>> forecaster.forecast([[20.5, 3.0], [20.1, float("nan")], [19.6, 2.5]])
        """
        try:
            table = np.asarray(values, np.float32)
        except (ValueError, TypeError):
            raise UserError("the values are not a table of numbers; give one row for each time step") from None
        rows = table[:, None] if table.ndim == 1 else table  # (T, F)
        if rows.ndim != 2 or rows.shape[1] != len(self.names):
            raise UserError(
                f"the values have the shape {table.shape}; the model needs (rows, {len(self.names)}), with the columns "
                + ", ".join(self.names)
            )
        if np.isinf(rows).any():
            row, column = np.argwhere(np.isinf(rows))[0].tolist()
            raise UserError(
                f"row {row + 1:,} of {self.names[column]} is infinite; give a finite number, or NaN for a missing value"
            )
        rows = rows[-self.window :]
        missing = np.isnan(rows).all(0)  # (F)
        if missing.any():
            name = self.names[int(missing.argmax())]
            raise UserError(f"{name} has no value among the last {self.window} rows; a forecast needs at least one")
        padding = np.full((self.window - len(rows), rows.shape[1]), np.nan, np.float32)
        window = np.concatenate([padding, rows])  # (S, F)
        forecast: Floats = self.engine.run(window[None])[0]  # (H, F)
        return forecast[:, 0] if table.ndim == 1 else forecast

    def check_sampling(self, series: Series) -> None:
        """Raise UserError if a series has another sampling interval than the training series."""
        axis = series.time_axis
        if axis and self.interval and axis.interval != self.interval:
            raise UserError(
                f"the series is sampled every {axis.interval}, and the model was trained on one sampled every "
                f"{self.interval}; resample the series"
            )

    def forecast_series(self, series: Series) -> Series:
        """Return the forecast of a series as a series, with times if it has any.

        Raises:
            UserError: As in `forecast` and `check_sampling`.
        """
        self.check_sampling(series)
        axis = series.time_axis
        if axis:
            axis = replace(axis, first_row=axis.first_row + len(series.values))
        return Series(self.names, self.forecast(series.values), axis)


def seasonal_naive(window: Floats, horizon: int, period: int) -> Floats:
    """Return the seasonal naive forecast (H, F) of a window (S, F), the baseline that a model must beat.

    Each step repeats the last value at its place in the season, or is NaN if the window has none (Hyndman and
    Athanasopoulos 2021, "Forecasting: Principles and Practice", section 5.2).
    """
    S = len(window)
    forecast = np.full((horizon, window.shape[1]), np.nan, np.float32)
    for h in range(horizon):
        row = S + h
        while row >= 0:
            row -= period
            if 0 <= row < S:
                forecast[h] = np.where(np.isnan(forecast[h]), window[row], forecast[h])
    return forecast
