"""The forecasting task: windows of a series, the forecasting network, its loss and its scores.

A forecast looks back over a window and starts at its origin, the row after the window.
Axis letters: B batch, S rows of the window, H steps ahead (the horizon), F variables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dragoman.runtime.contract import Floats
from dragoman.runtime.errors import UserError
from dragoman.runtime.forecasting import Forecaster, seasonal_naive
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.series import Series, read_series
from dragoman.translate.corpus.folder import Corpus
from dragoman.translate.corpus.readers.lines import read_bytes
from dragoman.translate.encoding.ragged import Ints
from dragoman.translate.network.heads import SeriesNetwork
from dragoman.translate.tasks.task import EpochBatches, Task
from dragoman.translate.training.allocator import keep_freed_memory
from dragoman.translate.training.distributed import BATCH_LIMITS, CPU
from dragoman.translate.training.run import Run
from dragoman.translate.training.run_metadata import card_of

# A held-out part is forecast from at most so many origins, evenly spaced.
MAX_ORIGINS = 2000

# The smallest seasonal-naive error that skill compares with, in standard deviations of the training data. A held-out
# part may be flat, and then that forecast is perfect and skill would be infinitely bad.
MIN_NAIVE_ERROR = 1e-3

# The fraction of training windows whose start is masked as missing. Young series have such windows at inference, and
# masking also regularises.
SHORTENED = 0.5


class SeriesBatch(NamedTuple):
    """Windows and the values that follow them. NaN marks missing values."""

    series: Tensor  # (B, S, F)
    ahead: Tensor  # (B, H, F)
    tokens: int  # the number of known values in `ahead`

    def tensors(self) -> tuple[Tensor, ...]:
        """Return the inputs of the objective."""
        return self[:2]

    def take(self, rows: slice) -> SeriesBatch:
        """Return some of the windows."""
        return batch_of(self.series[rows], self.ahead[rows])


def batch_of(series: Tensor, ahead: Tensor) -> SeriesBatch:
    """Return a batch of series (B, S, F) and the values ahead (B, H, F)."""
    return SeriesBatch(series, ahead, int(torch.isnan(ahead).logical_not().sum()))


class ForecastObjective(nn.Module):
    """The training loss of a forecaster: the absolute error, summed over known values.

    It is in units of each variable's standard deviation.
    """

    def __init__(self, model: SeriesNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, series: Tensor, ahead: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch (see SeriesBatch) twice, the second time without gradient."""
        error = (self.model(series) - ahead) / self.model.scale
        loss = torch.where(torch.isnan(ahead), 0.0, error.abs()).sum()
        return loss, loss.detach()


class Windows:
    """Batches of windows with the given origins."""

    def __init__(
        self, values: Floats, origins: np.ndarray, window: int, horizon: int, batch_size: int,
        missing: Ints | None = None,
    ) -> None:  # fmt: skip
        """Take windows of values (rows, F). missing: how many rows to mask at the start of each window."""
        self.values, self.origins, self.window, self.horizon = values, origins, window, horizon
        self.batch_size = batch_size
        self.missing = np.zeros(len(origins), int) if missing is None else missing
        self.expected = -(-len(origins) // batch_size)

    def __iter__(self) -> Iterator[SeriesBatch]:
        return self.batches()

    def batches(self, start: int = 0) -> Iterator[SeriesBatch]:
        """Yield the batches from number `start` on."""
        for first in range(start * self.batch_size, len(self.origins), self.batch_size):
            chosen = slice(first, first + self.batch_size)
            origins, offsets = self.origins[chosen, None], np.arange(self.window)  # (B, 1), (S)
            past = self.values[origins + offsets - self.window]  # (B, S, F)
            past[offsets < self.missing[chosen, None]] = np.nan
            ahead = self.values[origins + np.arange(self.horizon)]  # (B, H, F)
            yield batch_of(torch.from_numpy(past), torch.from_numpy(ahead))


class ForecastingTask(Task):
    """Forecasting of one evenly sampled series of one or more variables."""

    metric, unit = "skill", "values"

    def prepare(self, prepared: bool) -> None:
        """Read the series and measure it (see Task).

        Raises UserError if a variable has no value in training, or if a part is shorter than a window and a forecast.
        """
        if prepared and self.workers.main:
            self.check_corpus()
        s = self.config.series
        splits = read_splits(self.corpus)
        self.names = splits["train"].names
        values = splits["train"].values
        self.values = values
        empty = np.isnan(values).all(0)
        if empty.any():
            raise UserError(f"{self.corpus.folder}: {self.names[int(empty.argmax())]} has no value to train on")
        mean, deviation = np.nanmean(values, 0, np.float64), np.nanstd(values, 0, np.float64)
        self.mean = mean.astype(np.float32)
        constant = ~(deviation > 1e-6 * np.abs(mean))
        self.scale = np.where(constant, 1, deviation).astype(np.float32)
        origins = np.arange(s.window, len(values) - s.horizon + 1)
        has_target = [bool((~np.isnan(values[o : o + s.horizon])).any()) for o in origins]
        self.origins = origins[has_target]
        if not len(self.origins):
            raise UserError(
                f"{self.corpus.folder} has {len(values):,} rows to train on, fewer than series.window = {s.window} and "
                f"series.horizon = {s.horizon} need"
            )
        self.valid_windows = windows_of(splits, "valid", s.window, s.horizon, self.workers.device)

    def network(self) -> SeriesNetwork:
        """Return a forecaster with random weights and the mean and scale of the training data."""
        mean, scale = torch.from_numpy(self.mean), torch.from_numpy(self.scale)
        return SeriesNetwork(self.config.model, self.config.series, mean, scale)

    def objective(self, model: nn.Module) -> nn.Module:
        """Return the absolute error of a forecaster."""
        assert isinstance(model, SeriesNetwork)
        return ForecastObjective(model)

    def epoch(self, number: int) -> EpochBatches:
        """Return all training windows in random order, some with their start masked."""
        s = self.config.series
        batch_size = max(1, self.config.training.batch_tokens * self.workers.world // s.window)
        rng = np.random.default_rng(self.seed_of(number))
        origins = rng.permutation(self.origins)
        shortened = rng.random(len(origins)) < SHORTENED
        missing = np.where(shortened, rng.integers(0, s.window, len(origins)), 0)
        return Windows(self.values, origins, s.window, s.horizon, batch_size, missing)

    def validation(self) -> Iterable[SeriesBatch]:
        """Return the windows of the validation part in batches."""
        return self.valid_windows

    def loss_metrics(self, loss: float) -> dict[str, float]:
        """Return no metrics: an absolute error has no perplexity."""
        return {}

    def scores(self, model: nn.Module, *, final: bool) -> dict[str, float]:
        """Return the scores of the validation set: see `series_scores`."""
        forecasts = [model(batch.series.to(self.workers.device)).cpu().numpy() for batch in self.valid_windows]
        return series_scores(self.valid_windows, forecasts, self.names, self.config.series.period, self.scale)

    def facts(self) -> dict[str, Any]:
        """Return the facts of the data that run.json records and exported files carry."""
        return {
            **super().facts(),
            "variables": self.names,
            **{key: self.corpus.card[key] for key in ("time", "every") if self.corpus.card.get(key)},
            "rows": len(self.values),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
        }


def read_splits(corpus: Corpus) -> dict[str, Series]:
    """Return the splits of a corpus of series (train, valid, test) by name, in float32."""
    paths = {split: corpus.folder / f"{split}.csv" for split in ("train", "valid", "test")}
    time = corpus.card.get("time")
    splits = {split: read_series(read_bytes(path), str(path), time=time) for split, path in paths.items()}
    return {split: replace(series, values=series.values.astype(np.float32)) for split, series in splits.items()}


def windows_of(splits: dict[str, Series], split: str, window: int, horizon: int, device: torch.device = CPU) -> Windows:
    """Return windows whose forecasts lie in a held-out split. The windows themselves may begin before it.

    split: "valid" or "test". device: of the network; it decides how large the batches are. Raises UserError if the
    split is too short or has no value.
    """
    before = [splits["train"].values, *([splits["valid"].values] if split == "test" else [])]
    start = sum(map(len, before))
    values = np.concatenate([*before, splits[split].values])
    origins = np.arange(max(start, window), len(values) - horizon + 1)
    if not len(origins):
        raise UserError(f"the part {split} has {len(splits[split].values):,} rows; a horizon of {horizon} needs more")
    if np.isnan(splits[split].values).all():
        raise UserError(f"the part {split} has no value to compare a forecast with")
    stride = -(-len(origins) // MAX_ORIGINS)
    return Windows(values, origins[::stride], window, horizon, BATCH_LIMITS[device.type].rows)


def series_scores(
    windows: Windows, forecasts: list[Floats], names: tuple[str, ...], period: int, scale: Floats
) -> dict[str, float]:
    """Return the mean absolute error (MAE) of each variable, that of the seasonal-naive forecast, and the skill.

    forecasts: one (B, H, F) per batch of windows. scale (F): the standard deviation of each variable. Skill is the
    percentage by which the MAE, scaled and summed over variables, is smaller than that of the seasonal-naive forecast.
    Variables that can be compared nowhere are left out. Raises UserError if none is left.
    """
    errors, naive_errors = [], []
    for batch, batch_forecasts in zip(windows, forecasts, strict=True):
        for past, ahead, forecast in zip(batch.series.numpy(), batch.ahead.numpy(), batch_forecasts, strict=True):
            naive = seasonal_naive(past, len(ahead), period)  # (H, F)
            errors.append(np.where(np.isnan(naive), np.nan, np.abs(forecast - ahead)))
            naive_errors.append(np.abs(naive - ahead))
    error, naive_error = np.concatenate(errors), np.concatenate(naive_errors)
    known = np.flatnonzero(~np.isnan(error).all(0))
    if not len(known):
        raise UserError(
            f"{', '.join(names)}: no held-out value has another value one season before it; the seasonal-naive "
            "forecast needs one to compare with"
        )
    mae, naive_mae = (np.nanmean(x[:, known], 0) for x in (error, naive_error))
    scores: dict[str, float] = {}
    for name, value, naive_value in zip([names[i] for i in known], mae.tolist(), naive_mae.tolist(), strict=True):
        suffix = f" {name}" if len(names) > 1 else ""
        scores |= {f"MAE{suffix}": float(f"{value:.4g}"), f"seasonal-naive MAE{suffix}": float(f"{naive_value:.4g}")}
    total, naive_total = ((x / scale[known]).sum() for x in (mae, naive_mae))
    skill = 100 * float((naive_total - total) / max(naive_total, MIN_NAIVE_ERROR * len(known)))
    return {**scores, "skill": round(skill, 2)}


class TorchSeriesEngine:
    """A SeriesEngine (see runtime.forecasting) that computes in PyTorch instead of an exported file."""

    def __init__(self, network: SeriesNetwork) -> None:
        keep_freed_memory()
        self.network = network.eval()

    @torch.no_grad()
    def run(self, series: Floats) -> Floats:
        """Return the forecasts (B, H, F) of series (B, S, F)."""
        out: Floats = self.network(torch.from_numpy(series)).numpy()
        return out


def trained_series_network(run: Run) -> SeriesNetwork:
    """Return the network of a run whose training has ended."""
    config, facts = run.config(), run.read_json("run.json")
    mean, scale = (torch.tensor(facts[key]) for key in ("mean", "scale"))
    return run.trained(SeriesNetwork(config.model, config.series, mean, scale))


def forecasting_metadata(run: Run) -> Metadata:
    """Return the metadata of a run's exported file, without its self-test."""
    facts, s = run.read_json("run.json"), run.config().series
    return Metadata(
        source_language="", target_language="", source_tokenizer=b"", target_tokenizer=b"", max_source=s.window,
        defaults={}, config=run.read_json("config.json"), card=card_of(facts), self_test={}, task="forecast",
        series={"names": facts["variables"], "window": s.window, "horizon": s.horizon, "period": s.period,
                "mean": facts["mean"], "scale": facts["scale"],
                **{key: facts[key] for key in ("time", "every") if key in facts}},
    )  # fmt: skip


def forecaster_of(run: Run) -> Forecaster:
    """Return a run as a Forecaster that computes in PyTorch."""
    return Forecaster(TorchSeriesEngine(trained_series_network(run)), forecasting_metadata(run))
