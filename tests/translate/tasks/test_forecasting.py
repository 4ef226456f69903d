"""Forecasting: batch invariance, windows, scores by hand, inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dragoman.cli import main
from dragoman.export.forecasting import forecaster_to_onnx
from dragoman.runtime.errors import UserError
from dragoman.runtime.forecasting import Forecaster, OnnxSeriesEngine, seasonal_naive
from dragoman.runtime.series import Series, read_series
from dragoman.translate.config import SeriesConfig, load
from dragoman.translate.network.heads import SeriesNetwork
from dragoman.translate.progress import format_score
from dragoman.translate.tasks.forecasting import Windows, forecaster_of, series_scores, windows_of
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer
from tiny import temperatures, tiny_config


@pytest.mark.parametrize(("variables", "window", "horizon", "period"), [(1, 30, 5, 5), (1, 48, 6, 12), (3, 28, 7, 7)])
def test_a_forecast_does_not_depend_on_its_neighbours(variables: int, window: int, horizon: int, period: int) -> None:
    """Forecasts are equal to the last bit. ONNX Runtime's own sum over an axis adds in an order that depends on B."""
    torch.manual_seed(1)
    series = SeriesConfig(window=window, horizon=horizon, period=period)
    network = SeriesNetwork(tiny_config(), series, torch.full((variables,), 8.0), torch.full((variables,), 3.0))
    torch.nn.init.normal_(network.head.weight, std=0.1)
    engine = OnnxSeriesEngine(forecaster_to_onnx(network, window).SerializeToString())
    values = 8 + 3 * np.random.default_rng(1).normal(size=(17, window, variables)).astype(np.float32)
    values[3, ::4] = np.nan
    together = engine.run(values)
    for batch in (1, 2, 3, 16):
        apart = [engine.run(values[start : start + batch]) for start in range(0, len(values), batch)]
        np.testing.assert_array_equal(np.concatenate(apart), together)


def test_an_untrained_forecaster_forecasts_the_last_season() -> None:
    network = SeriesNetwork(tiny_config(), SeriesConfig(window=12, horizon=5, period=4), torch.zeros(2), torch.ones(2))
    network.eval().recency.data[:] = torch.tensor([0.0, 15.0, 30.0])  # the last known season has nearly all weight
    series = torch.randn(3, 12, 2)
    series[1, 9, 0] = torch.nan  # here the season before has it
    found = network(series).detach().numpy()
    for b in range(3):
        np.testing.assert_allclose(found[b], seasonal_naive(series[b].numpy(), 5, 4), rtol=1e-4, atol=1e-5)


def test_windows_begin_before_their_part() -> None:
    rows = np.arange(19, dtype=np.float32)[:, None]
    places = {"train": slice(10), "valid": slice(10, 14), "test": slice(14, 19)}
    parts = {part: Series(("a",), rows[place]) for part, place in places.items()}
    for part, first in (("valid", 10), ("test", 14)):
        last = first + len(parts[part].values)
        found = [one for batch in windows_of(parts, part, 3, 2) for one in zip(batch.series, batch.ahead, strict=True)]
        assert [past.flatten().tolist() for past, _ in found] == [[t - 3, t - 2, t - 1] for t in range(first, last - 1)]
        assert [ahead.flatten().tolist() for _, ahead in found] == [[t, t + 1] for t in range(first, last - 1)]


@pytest.mark.slow
def test_inputs_of_a_forecaster(files: dict[str, Path]) -> None:
    forecaster = Forecaster.load(files["forecast"], self_test=True)
    values = read_series(temperatures().encode(), "s.csv").values
    assert forecaster.forecast(values).shape == (12, 2)
    np.testing.assert_array_equal(forecaster.forecast(values), forecaster.forecast(values[-48:]))
    short = np.vstack(
        [np.full((41, 2), np.nan, np.float32), values[-7:]]
    )  # a short series equals one that begins with a gap
    assert np.isfinite(forecaster.forecast(short)).all()
    np.testing.assert_array_equal(forecaster.forecast(values[-7:]), forecaster.forecast(short))
    for wrong, message in (
        (values[:, :1], r"the model needs \(rows, 2\), with the columns temp, wind"),
        (np.full((9, 2), np.nan), "temp has no value among the last 48 rows"),
        (np.full((9, 2), np.inf), "row 1 of temp is infinite"),
    ):
        with pytest.raises(UserError, match=message):
            forecaster.forecast(wrong)


def test_series_sampled_otherwise_are_rejected(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forecaster = forecaster_of(Run(runs["forecast"]))
    assert len(forecaster.forecast_series(read_series(temperatures().encode(), "x")).values) == 12
    days = [f"2024-{month:02}-{day + 1:02}" for month, length in ((1, 31), (2, 29)) for day in range(length)]
    daily = "time,temp,wind\n" + "".join(f"{day},{i},{i}\n" for i, day in enumerate(days))
    with pytest.raises(UserError, match="every 1 day, 0:00:00, and the model was trained on one sampled every 1:00:00"):
        forecaster.forecast_series(read_series(daily.encode(), "x"))
    (tmp_path / "a.csv").write_text(daily)
    assert main(["corpus", "series", str(tmp_path / "a.csv"), "--out", str(tmp_path / "daily")]) == 0
    assert main(["evaluate", str(runs["forecast"]), "--corpus", str(tmp_path / "daily")]) == 2
    assert "the series is sampled every 1 day" in capsys.readouterr().err


def two_windows(values: list[list[float]]) -> Windows:
    return Windows(np.array(values, np.float32), np.array([2, 3]), window=2, horizon=1, batch_size=2)


def test_series_scores_by_hand() -> None:
    """Variable a has errors 1 and 3, against 10 and 10. Variable b is constant, and c has no value."""
    windows = two_windows([[0, 5, np.nan], [0, 5, np.nan], [10, 5, np.nan], [20, 5, np.nan]])
    found = [np.array([[[11.0, 5.0, 0.0]], [[17.0, 5.0, 0.0]]], np.float32)]
    scores = series_scores(windows, found, ("a", "b", "c"), 1, np.array([2, 1, 1], np.float32))
    assert scores == {"MAE a": 2, "seasonal-naive MAE a": 10, "MAE b": 0, "seasonal-naive MAE b": 0, "skill": 80}
    ones = np.ones(1, np.float32)
    scores = series_scores(two_windows([[5], [5], [5], [5]]), [np.full((2, 1, 1), 5.01, np.float32)], ("b",), 1, ones)
    assert scores["MAE"] == pytest.approx(0.01, rel=1e-3)
    assert scores["skill"] == pytest.approx(-1000, rel=1e-3)  # the naive forecast is perfect, and skill stays finite
    for error, skill in ((0, 0), (1e-4, -10)):  # a tiny error beside a perfect forecast
        forecast = [np.full((2, 1, 1), 5 + error, np.float32)]
        scores = series_scores(two_windows([[5], [5], [5], [5]]), forecast, ("b",), 1, ones)
        assert scores["skill"] == pytest.approx(skill, abs=0.1)
    with pytest.raises(UserError, match="c: no held-out value has another value one season before it"):
        series_scores(two_windows([[np.nan]] * 4), [np.zeros((2, 1, 1), np.float32)], ("c",), 1, ones)
    assert [format_score(v) for v in (0.0, 12.345, 0.00123456, -0.5)] == ["0.00", "12.35", "0.001235", "-0.5"]


def test_some_training_windows_are_shortened(runs: dict[str, Path], tmp_path: Path) -> None:
    """About half of the windows have a masked start, as in forecasts of young series."""
    config = load(runs["forecast"].parents[1] / "forecast.toml")
    trainer = Trainer(config, tmp_path / "run")
    series = torch.cat([batch.tensors()[0] for batch in trainer.task.epoch(0)])
    missing = torch.isnan(series).all(2).int().cumprod(1).sum(1)
    assert 0.4 < (missing < 3).float().mean() < 0.7
    assert missing.max() > 40
