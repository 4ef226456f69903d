"""Corpora of regularly sampled series, split in time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.runtime.errors import UserError
from dragoman.runtime.series import Series, write_series
from dragoman.runtime.timestamps import MIN_TIMESTAMPS
from dragoman.runtime.wording import counted
from dragoman.translate.corpus.folder import SPLITS, write_card

EXTENSIONS = ("csv",)  # of the files

MIN_ROWS = 8  # of the training set, and of held-out sets by default

MIN_STEPS = 16  # a standard deviation below this many float32 steps is rounding noise


def write_series_corpus(
    folder: Path, series: Series, valid: int | None, test: int | None, card: dict[str, Any]
) -> dict[str, int]:
    """Write a series as a corpus into an empty folder, and return the number of rows of each split.

    The series is cut in time: training comes first, then validation, then testing. `valid` and `test` are rows; each
    defaults to a tenth.

    Raises UserError if too few rows are left to train on, or if a variable has no value there or varies too little for
    float32.
    """
    rows = len(series.values)
    tenth = max(MIN_ROWS, rows // 10)
    for name, count in (("valid", valid), ("test", test)):
        if count is not None and count < MIN_TIMESTAMPS:  # a reader finds the sampling interval of each file
            raise UserError(f"--{name} {count}: hold out at least {MIN_TIMESTAMPS} rows")
    valid, test = valid or tenth, test or tenth
    ends = [rows - valid - test, rows - test, rows]
    starts = [0, *ends[:2]]
    if ends[0] < MIN_ROWS:
        raise UserError(
            f"{counted(rows, 'row')} {'is' if rows == 1 else 'are'} too few to hold out {valid:,} for validation and "
            f"{test:,} for testing and to train on "
            f"at least {MIN_ROWS}"
        )
    _check_values(series, ends[0])
    for split, start, end in zip(SPLITS, starts, ends, strict=True):
        time_axis = series.time_axis and replace(series.time_axis, first_row=series.time_axis.first_row + start)
        part = replace(series, values=series.values[start:end], time_axis=time_axis)
        (folder / f"{split}.csv").write_text(write_series(part), "utf-8", newline="\n")
    counts = {split: end - start for split, start, end in zip(SPLITS, starts, ends, strict=True)}
    facts = {"task": "forecast", "variables": series.names, "time": series.time_axis and series.time_axis.name}
    if series.time_axis:
        facts["every"] = series.time_axis.interval
    write_card(folder, ("", ""), counts, {**card, **facts})
    return counts


def _check_values(series: Series, training_rows: int) -> None:
    """Raise UserError for a variable without a value in the training rows, or one that varies too little."""
    for name, column in zip(series.names, series.values.T, strict=True):
        if np.isnan(column[:training_rows]).all():
            raise UserError(f"{name} has no value in the first {training_rows:,} rows, the training set")
        float32_step = np.spacing(np.float32(np.nanmax(np.abs(column), initial=0)))
        if 0 < np.nanstd(column) < MIN_STEPS * float32_step:
            example = column[np.flatnonzero(~np.isnan(column))[0]]
            raise UserError(
                f"{name} has values such as {example:.15g} that differ too little for float32; subtract a constant "
                "from all of them"
            )
