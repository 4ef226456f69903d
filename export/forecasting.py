"""Export forecasters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import torch
from torch.export import Dim

from dragoman.export.exporter import PARITY_SENTENCES, SELF_TESTS, exported, finished, sealed
from dragoman.export.parity import TOLERANCE, Level, Tolerance, level, refuse_unequal
from dragoman.runtime.contract import CONTRACTS, Floats
from dragoman.runtime.errors import UserError
from dragoman.runtime.forecasting import OnnxSeriesEngine, SeriesEngine
from dragoman.runtime.loading import load
from dragoman.runtime.metadata import Metadata, read_model_file
from dragoman.translate.corpus.folder import Corpus
from dragoman.translate.network.heads import SeriesNetwork
from dragoman.translate.tasks.forecasting import (
    TorchSeriesEngine,
    forecasting_metadata,
    read_parts,
    trained_network,
    windows_of,
)
from dragoman.translate.training.run import Run


def forecaster_to_onnx(network: SeriesNetwork, window: int) -> onnx.ModelProto:
    """A network as an ONNX model with the inputs and outputs of the contract; a window's rows are fixed."""
    module = network.eval().requires_grad_(False)
    inputs, outputs = CONTRACTS["forecast"]
    arguments = (torch.randn(3, window, len(network.mean)),)
    return finished(exported(module, arguments, [*inputs], [*outputs], ({0: Dim.DYNAMIC},)), "forecast")


def build_forecaster(run: Run) -> tuple[bytes, list[Level]]:
    """The sealed file of a run, and how it compared with PyTorch on windows of the validation part.

    Raises UserError when they differ: then there is no file.
    """
    network, metadata, windows = trained_network(run), forecasting_metadata(run), windows_to_compare(run)
    engine = TorchSeriesEngine(network)
    cases = []
    for window in windows[:SELF_TESTS]:
        found = engine.run(window[None])[0]
        rows = [[None if np.isnan(v) else float(v) for v in row] for row in window]
        cases.append({"series": rows, "forecast": found.astype(float).tolist()})
    model = forecaster_to_onnx(network, metadata.series["window"])
    data = sealed(model, replace(metadata, self_test={"cases": cases}))
    levels = compare_forecaster(engine, data, metadata, windows)
    refuse_unequal(levels)
    return data, levels


def windows_to_compare(run: Run) -> Floats:
    """Windows (B, S, F) of the run's validation part; one has gaps, as any may."""
    config = run.config()
    parts = read_parts(Corpus(config.data.corpus))
    found = [batch.series.numpy() for batch in windows_of(parts, "valid", config.series.window, config.series.horizon)]
    windows = np.concatenate(found)[:PARITY_SENTENCES].copy()
    windows[0, ::3] = np.nan
    return windows


def verify_forecaster(run: Run, path: str) -> list[Level]:
    """A file on disk against the run it came from. Raises UserError when it came from another."""
    data, metadata = read_model_file(path), load(path).metadata
    if metadata.series != forecasting_metadata(run).series:
        raise UserError(f"{path} was not made from {run.folder}: their series differ")
    return compare_forecaster(TorchSeriesEngine(trained_network(run)), data, metadata, windows_to_compare(run))


def compare_forecaster(reference: SeriesEngine, data: bytes, metadata: Metadata, windows: Floats) -> list[Level]:
    """The file against PyTorch, one by one and in batches; and against itself, batch invariance.

    Differences are in units of each variable's usual deviation.
    """
    one, two = OnnxSeriesEngine(data), OnnxSeriesEngine(data, threads=2)
    scale = np.array(metadata.series["scale"])

    def forecasts(engine: SeriesEngine, batch: int) -> Floats:
        found = [engine.run(windows[start : start + batch]) for start in range(0, len(windows), batch)]
        out: Floats = np.concatenate(found) / scale
        return out

    alone = forecasts(one, 1)
    pairs: Sequence[tuple[str, Floats, Floats, float]] = [
        ("forecasts, batches of 1", forecasts(reference, 1), alone, TOLERANCE["float32"].inner),
        ("forecasts, batches of 16", forecasts(reference, 16), forecasts(one, 16), TOLERANCE["float32"].inner),
        ("batch invariance", alone, forecasts(one, 64), TOLERANCE["float32"].worst),
        ("one thread and two", alone, forecasts(two, 7), TOLERANCE["float32"].worst),
    ]
    levels = []
    for name, a, b, limit in pairs:
        worst = np.abs(a - b).reshape(len(windows), -1).max(1)
        equal = int((worst <= limit).sum())
        levels.append(level(name, Tolerance(1.0, limit, 0.0), len(windows), equal, float(worst.max())))
    return levels
