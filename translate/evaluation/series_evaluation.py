"""Evaluation of forecasters."""

from __future__ import annotations

import argparse

import numpy as np

from dragoman.runtime.errors import UserError
from dragoman.runtime.forecasting import Forecaster
from dragoman.runtime.wording import counted
from dragoman.translate.corpus.folder import Corpus
from dragoman.translate.evaluation.outputs import check_output_files, print_task_scores
from dragoman.translate.tasks.forecasting import read_splits, series_scores, windows_of


def evaluate_forecasts(model: Forecaster, a: argparse.Namespace) -> int:
    """Run `dragoman evaluate` for a forecaster."""
    if not a.corpus or a.source or a.reference or a.output:
        raise UserError("a forecaster is scored on the test part of a corpus; give --corpus alone")
    splits = read_splits(Corpus(a.corpus))
    test = splits["test"]
    if test.names != model.names:
        raise UserError(
            f"{a.corpus} has the variables {', '.join(test.names)}, but {a.model[0]} forecasts "
            f"{', '.join(model.names)}; both need the same variables in the same order"
        )
    try:
        model.check_sampling(test)
    except UserError as error:
        raise UserError(f"{a.corpus}: {error}") from None
    check_output_files(a)
    windows = windows_of(splits, "test", model.window, model.horizon)
    forecasts = [model.engine.run(batch.series.numpy()) for batch in windows]
    scale = np.array(model.metadata.series["scale"])
    scores = series_scores(windows, forecasts, model.names, model.period, scale)
    print_task_scores(
        a, model, scores, f"{counted(len(windows.origins), 'forecast')} of {counted(model.horizon, 'row')}"
    )
    return 0
