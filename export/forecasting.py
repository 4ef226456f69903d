"""Export forecasters.

Axis letters: B batch, S window, F variables, H steps ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import torch
from torch.export import Dim

from dragoman.export.exporter import PARITY_SENTENCES
from dragoman.export.graph import module_to_onnx, serialize
from dragoman.export.parity import TOLERANCE, Level, require_parity
from dragoman.export.self_test import SELF_TESTS
from dragoman.runtime.contract import Floats
from dragoman.runtime.errors import UserError
from dragoman.runtime.forecasting import OnnxSeriesEngine, SeriesEngine
from dragoman.runtime.loading import load
from dragoman.runtime.metadata import Metadata, read_model_file
from dragoman.translate.network.heads import SeriesNetwork
from dragoman.translate.tasks.forecasting import (
    TorchSeriesEngine,
    forecasting_metadata,
    read_splits,
    trained_series_network,
    windows_of,
)
from dragoman.translate.training.run import Run


def forecaster_to_onnx(network: SeriesNetwork, window: int) -> onnx.ModelProto:
    """Return a forecaster as an ONNX model of the task `forecast`, with a fixed window size."""
    arguments = (torch.randn(3, window, len(network.mean)),)
    return module_to_onnx(network, arguments, ({0: Dim.DYNAMIC},), "forecast")


def build_forecaster(run: Run) -> tuple[bytes, list[Level]]:
    """Return the file of a run, and its comparison with PyTorch on windows of the validation part.

    Raises UserError if the two differ.
    """
    network, metadata, windows = trained_series_network(run), forecasting_metadata(run), validation_windows(run)
    reference = TorchSeriesEngine(network)
    cases = []
    for window in windows[:SELF_TESTS]:
        forecast = reference.run(window[None])[0]
        rows = [[None if np.isnan(v) else float(v) for v in row] for row in window]
        cases.append({"series": rows, "forecast": forecast.astype(float).tolist()})
    model = forecaster_to_onnx(network, metadata.series["window"])
    data = serialize(model, replace(metadata, self_test={"cases": cases}))
    levels = compare_forecaster(reference, data, metadata, windows)
    require_parity(levels)
    return data, levels


def validation_windows(run: Run) -> Floats:
    """Return up to PARITY_SENTENCES windows (B, S, F) of the validation part; the first has gaps (NaN)."""
    config = run.config()
    splits = read_splits(run.corpus())
    batches = [
        batch.series.numpy() for batch in windows_of(splits, "valid", config.series.window, config.series.horizon)
    ]
    windows = np.concatenate(batches)[:PARITY_SENTENCES].copy()
    windows[0, ::3] = np.nan
    return windows


def verify_forecaster(run: Run, path: str) -> list[Level]:
    """Compare a file with the run it came from. Raises UserError if it came from another run."""
    data, metadata = read_model_file(path), load(path).metadata
    if metadata.series != forecasting_metadata(run).series:
        raise UserError(f"{path} was not made from {run.folder}: their series differ")
    return compare_forecaster(TorchSeriesEngine(trained_series_network(run)), data, metadata, validation_windows(run))


def compare_forecaster(reference: SeriesEngine, data: bytes, metadata: Metadata, windows: Floats) -> list[Level]:
    """Compare a file with PyTorch, one window at a time and in batches, and check its batch invariance.

    Differences are in units of each variable's standard deviation (the `scale` of the metadata).
    """
    one_thread, two_threads = OnnxSeriesEngine(data), OnnxSeriesEngine(data, threads=2)
    scale = np.array(metadata.series["scale"])

    def forecasts(engine: SeriesEngine, batch_size: int) -> Floats:
        batches = [engine.run(windows[start : start + batch_size]) for start in range(0, len(windows), batch_size)]
        out: Floats = np.concatenate(batches) / scale
        return out

    alone = forecasts(one_thread, 1)
    limit = TOLERANCE["float32"]
    comparisons: Sequence[tuple[str, Floats, Floats, float]] = [
        ("forecasts, batches of 1", forecasts(reference, 1), alone, limit.encoder),
        ("forecasts, batches of 16", forecasts(reference, 16), forecasts(one_thread, 16), limit.encoder),
        ("batch invariance", alone, forecasts(one_thread, 64), limit.score),
        ("one thread and two", alone, forecasts(two_threads, 7), limit.score),
    ]
    levels = []
    for name, a, b, tolerance in comparisons:
        worst = np.abs(a - b).reshape(len(windows), -1).max(1)
        equal = int((worst <= tolerance).sum())
        levels.append(Level.of(name, len(windows), equal, float(worst.max()), share=1.0, tolerance=tolerance))
    return levels
