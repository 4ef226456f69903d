"""From a run that forecasts to one ONNX file, refused unless it equals PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import torch
from torch.export import Dim

from dragoman.export.onnx import PARITY_SENTENCES, SELF_TESTS, exported, finished, sealed
from dragoman.export.parity import TOLERANCE, Level, Tolerance, level, refuse_unequal
from dragoman.runtime.bundle import CONTRACTS, Bundle, read_sealed
from dragoman.runtime.errors import UserError
from dragoman.runtime.models import load
from dragoman.runtime.series import OnnxSeries, SeriesEngine
from dragoman.runtime.translator import Floats
from dragoman.translate.checkpoint import Run
from dragoman.translate.corpus.store import Corpus
from dragoman.translate.forecaster import SeriesNetwork
from dragoman.translate.forecasting import TorchSeries, read_parts, series_bundle, trained_network, windows_of


def series_to_onnx(network: SeriesNetwork, window: int) -> onnx.ModelProto:
    """A network as an ONNX model with the inputs and outputs of the contract; a window's rows are fixed."""
    module = network.eval().requires_grad_(False)
    inputs, outputs = CONTRACTS["forecast"]
    arguments = (torch.randn(3, window, len(network.mean)),)
    return finished(exported(module, arguments, [*inputs], [*outputs], ({0: Dim.DYNAMIC},)), "forecast")


def build_series(run: Run) -> tuple[bytes, list[Level]]:
    """The sealed file of a run, and how it compared with PyTorch on windows of the validation part.

    Raises UserError when they differ: then there is no file.
    """
    network, bundle, windows = trained_network(run), series_bundle(run), windows_to_compare(run)
    engine = TorchSeries(network)
    cases = []
    for window in windows[:SELF_TESTS]:
        found = engine.run(window[None])[0]
        rows = [[None if np.isnan(v) else float(v) for v in row] for row in window]
        cases.append({"series": rows, "forecast": found.astype(float).tolist()})
    model = series_to_onnx(network, bundle.series["window"])
    data = sealed(model, replace(bundle, self_test={"cases": cases}))
    levels = compare_series(engine, data, bundle, windows)
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


def verify_series(run: Run, path: str) -> list[Level]:
    """A file on disk against the run it came from. Raises UserError when it came from another."""
    data, bundle = read_sealed(path), load(path).bundle
    if bundle.series != series_bundle(run).series:
        raise UserError(f"{path} was not made from {run.folder}: their series differ")
    return compare_series(TorchSeries(trained_network(run)), data, bundle, windows_to_compare(run))


def compare_series(reference: SeriesEngine, data: bytes, bundle: Bundle, windows: Floats) -> list[Level]:
    """The file against PyTorch, one by one and in batches; and against itself, alone and in company.

    Differences are in units of each variable's usual deviation.
    """
    one, two = OnnxSeries(data), OnnxSeries(data, threads=2)
    scale = np.array(bundle.series["scale"])

    def forecasts(engine: SeriesEngine, batch: int) -> Floats:
        found = [engine.run(windows[start : start + batch]) for start in range(0, len(windows), batch)]
        out: Floats = np.concatenate(found) / scale
        return out

    alone = forecasts(one, 1)
    pairs: Sequence[tuple[str, Floats, Floats, float]] = [
        ("forecasts, batches of 1", forecasts(reference, 1), alone, TOLERANCE["float32"].inner),
        ("forecasts, batches of 16", forecasts(reference, 16), forecasts(one, 16), TOLERANCE["float32"].inner),
        ("alone and in company", alone, forecasts(one, 64), TOLERANCE["float32"].worst),
        ("one thread and two", alone, forecasts(two, 7), TOLERANCE["float32"].worst),
    ]
    levels = []
    for name, a, b, limit in pairs:
        worst = np.abs(a - b).reshape(len(windows), -1).max(1)
        equal = int((worst <= limit).sum())
        levels.append(level(name, Tolerance(1.0, limit, 0.0), len(windows), equal, float(worst.max())))
    return levels
