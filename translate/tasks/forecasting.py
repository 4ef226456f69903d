"""The forecasting task: windows of a series, the forecasting network, its loss and its scores."""

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
from dragoman.translate.corpus.readers.raw import read_bytes
from dragoman.translate.encoding.ragged import Ints
from dragoman.translate.evaluation.engine import card_of
from dragoman.translate.network.heads import SeriesNetwork
from dragoman.translate.tasks.task import EpochBatches, Task
from dragoman.translate.training.allocator import keep_freed_memory
from dragoman.translate.training.run import Run

ORIGINS = 2000  # places that a part of a series is forecast from, at most


FLAT = 1e-3  # deviations: a series that moves less where it is held out cannot be forecast any better


SHORTENED = 0.5  # of the windows learnt from: their start is missing, as where a series is young; it generalises, too


class Batch(NamedTuple):
    """Windows and what came after them."""

    series: Tensor  # (B, S, F)
    ahead: Tensor  # (B, H, F)
    tokens: int  # values ahead that are known

    def tensors(self) -> tuple[Tensor, ...]:
        """All but the count."""
        return self[:2]

    def take(self, rows: slice) -> Batch:
        """Some of the rows."""
        return batch_of(self.series[rows], self.ahead[rows])


def batch_of(series: Tensor, ahead: Tensor) -> Batch:
    """A batch with its count."""
    return Batch(series, ahead, int(torch.isnan(ahead).logical_not().sum()))


class Objective(nn.Module):
    """The absolute error in units of each variable's usual deviation, summed over what is known."""

    def __init__(self, model: SeriesNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, series: Tensor, ahead: Tensor) -> tuple[Tensor, Tensor]:
        """A batch (see Batch) -> its loss, twice."""
        error = (self.model(series) - ahead) / self.model.scale
        loss = torch.where(torch.isnan(ahead), 0.0, error.abs()).sum()
        return loss, loss.detach()


class Windows:
    """Batches of windows, by the row that their forecast starts at."""

    def __init__(
        self, values: Floats, origins: np.ndarray, window: int, horizon: int, rows: int, missing: Ints | None = None
    ) -> None:
        """rows: windows in a batch. missing: how many rows are, at the start of each window."""
        self.values, self.origins, self.window, self.horizon, self.rows = values, origins, window, horizon, rows
        self.missing = np.zeros(len(origins), int) if missing is None else missing
        self.expected = -(-len(origins) // rows)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """From the batch of this number on."""
        for first in range(start * self.rows, len(self.origins), self.rows):
            chosen = slice(first, first + self.rows)
            origins, places = self.origins[chosen, None], np.arange(self.window)
            past = self.values[origins + places - self.window]  # (B, S, F)
            past[places < self.missing[chosen, None]] = np.nan
            yield batch_of(*map(torch.from_numpy, (past, self.values[origins + np.arange(self.horizon)])))


class ForecastingTask(Task):
    """One series, regularly sampled, of one or more variables."""

    metric, counted = "skill", "values"

    def prepare(self, prepared: bool) -> None:
        if prepared and self.workers.main:
            self.check_corpus()
        s = self.config.series
        parts = read_parts(self.corpus)
        self.names = parts["train"].names
        values = parts["train"].values
        self.values = values
        empty = np.isnan(values).all(0)
        if empty.any():
            raise UserError(f"{self.corpus.folder}: {self.names[int(empty.argmax())]} has no value to train on")
        mean, deviation = np.nanmean(values, 0, np.float64), np.nanstd(values, 0, np.float64)
        self.mean = mean.astype(np.float32)
        self.scale = np.where(deviation > 1e-6 * np.abs(mean), deviation, 1).astype(np.float32)  # 1: it never changes
        origins = np.arange(s.window, len(values) - s.horizon + 1)
        known = [bool((~np.isnan(values[o : o + s.horizon])).any()) for o in origins]
        self.origins = origins[known]
        if not len(self.origins):
            raise UserError(
                f"{self.corpus.folder} has {len(values):,} rows to train on, fewer than series.window = {s.window} and "
                f"series.horizon = {s.horizon} need"
            )
        self.held_out = windows_of(parts, "valid", s.window, s.horizon)

    def network(self) -> SeriesNetwork:
        """A network that knows what values are usual."""
        mean, scale = torch.from_numpy(self.mean), torch.from_numpy(self.scale)
        return SeriesNetwork(self.config.model, self.config.series, mean, scale)

    def objective(self, model: nn.Module) -> nn.Module:
        assert isinstance(model, SeriesNetwork)
        return Objective(model)

    def epoch(self, number: int) -> EpochBatches:
        s = self.config.series
        rows = max(1, self.config.training.batch_tokens * self.workers.world // s.window)
        rng = np.random.default_rng(self.seed_of(number))
        order = rng.permutation(self.origins)
        shortened = rng.random(len(order)) < SHORTENED
        missing = np.where(shortened, rng.integers(0, s.window, len(order)), 0)
        return Windows(self.values, order, s.window, s.horizon, rows, missing)

    def validation(self) -> Iterable[Batch]:
        return self.held_out

    def measures(self, loss: float) -> dict[str, float]:
        return {}

    def scores(self, model: nn.Module, *, final: bool) -> dict[str, float]:
        """See `series_scores`."""
        found = [model(batch.series.to(self.workers.device)).cpu().numpy() for batch in self.held_out]
        return series_scores(self.held_out, found, self.names, self.config.series.period, self.scale)

    def facts(self) -> dict[str, Any]:
        return {
            **super().facts(),
            "variables": self.names,
            **{key: self.corpus.card[key] for key in ("time", "every") if self.corpus.card.get(key)},
            "rows": len(self.values),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
        }


def read_parts(corpus: Corpus) -> dict[str, Series]:
    """The parts of a corpus of series, by name."""
    paths = {part: corpus.folder / f"{part}.csv" for part in ("train", "valid", "test")}
    time = corpus.card.get("time")
    parts = {part: read_series(read_bytes(path), str(path), time=time) for part, path in paths.items()}
    return {part: replace(series, values=series.values.astype(np.float32)) for part, series in parts.items()}


def windows_of(parts: dict[str, Series], part: str, window: int, horizon: int) -> Windows:
    """Windows whose forecasts lie in a held-out part; what they look at may lie before it.

    Raises UserError when the part is too short, or holds no value.
    """
    before = [parts["train"].values, *([parts["valid"].values] if part == "test" else [])]
    start = sum(map(len, before))
    values = np.concatenate([*before, parts[part].values])
    origins = np.arange(max(start, window), len(values) - horizon + 1)
    if not len(origins):
        raise UserError(f"the part {part} has {len(parts[part].values):,} rows, too few for a horizon of {horizon}")
    if np.isnan(parts[part].values).all():
        raise UserError(f"the part {part} has no value to compare a forecast with")
    every = -(-len(origins) // ORIGINS)
    return Windows(values, origins[::every], window, horizon, 64)


def series_scores(
    windows: Windows, found: list[Floats], names: tuple[str, ...], period: int, scale: Floats
) -> dict[str, float]:
    """The mean absolute error of each variable, that of the seasonal-naive forecast, and the skill.

    scale: each variable's usual deviation (F). skill: by how much of 100 the error, in these units and summed over the
    variables, is smaller than that forecast's. A variable that cannot be compared anywhere is left out.
    """
    errors, naive = [], []
    for batch, given in zip(windows, found, strict=True):
        for past, ahead, guess in zip(batch.series.numpy(), batch.ahead.numpy(), given, strict=True):
            plain = seasonal_naive(past, len(ahead), period)
            errors.append(np.where(np.isnan(plain), np.nan, np.abs(guess - ahead)))
            naive.append(np.abs(plain - ahead))
    mine, theirs = np.concatenate(errors), np.concatenate(naive)
    known = np.flatnonzero(~np.isnan(mine).all(0))
    if not len(known):
        raise UserError(f"{', '.join(names)}: no value is held out that has another a season before it")
    mine, theirs = (np.nanmean(x[:, known], 0) for x in (mine, theirs))
    out: dict[str, float] = {}
    for name, a, b in zip([names[i] for i in known], mine.tolist(), theirs.tolist(), strict=True):
        of = f" {name}" if len(names) > 1 else ""
        out |= {f"MAE{of}": float(f"{a:.4g}"), f"seasonal-naive MAE{of}": float(f"{b:.4g}")}
    mine, theirs = ((x / scale[known]).sum() for x in (mine, theirs))
    return {**out, "skill": round(100 * float((theirs - mine) / max(theirs, FLAT * len(known))), 2)}


class TorchSeriesEngine:
    """A trained network in PyTorch, behind the same door as the exported file."""

    def __init__(self, network: SeriesNetwork) -> None:
        keep_freed_memory()
        self.network = network.eval()

    @torch.no_grad()
    def run(self, series: Floats) -> Floats:
        """See runtime.series.SeriesEngine."""
        out: Floats = self.network(torch.from_numpy(series)).numpy()
        return out


def trained_network(run: Run) -> SeriesNetwork:
    """The network of a run whose training has ended."""
    config, facts = run.config(), run.read_json("run.json")
    mean, scale = (torch.tensor(facts[key]) for key in ("mean", "scale"))
    return run.trained(SeriesNetwork(config.model, config.series, mean, scale))


def forecasting_metadata(run: Run) -> Metadata:
    """What an exported file says about a run, but for its self-test."""
    facts, s = run.read_json("run.json"), run.config().series
    return Metadata(
        source_language="", target_language="", source_tokenizer=b"", target_tokenizer=b"", max_source=s.window,
        defaults={}, config=run.read_json("config.json"), card=card_of(facts), self_test={}, task="forecast",
        series={"names": facts["variables"], "window": s.window, "horizon": s.horizon, "period": s.period,
                "mean": facts["mean"], "scale": facts["scale"],
                **{key: facts[key] for key in ("time", "every") if key in facts}},
    )  # fmt: skip


def forecaster_of(run: Run) -> Forecaster:
    """A run as a Forecaster that computes in PyTorch."""
    return Forecaster(TorchSeriesEngine(trained_network(run)), forecasting_metadata(run))
