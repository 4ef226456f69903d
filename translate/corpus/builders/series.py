"""Corpora of regularly sampled series."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.runtime.errors import UserError
from dragoman.runtime.series import Series, write_series
from dragoman.runtime.timestamps import LEAST as LEAST_HELD_OUT
from dragoman.translate.corpus.folder import SPLITS, write_folder

LEAST = 8  # rows of a part


COARSE = 16  # deviations below so many of the smallest steps of 32 bits are noise


def write_series_corpus(
    folder: str, series: Series, valid: int | None, test: int | None, card: dict[str, Any]
) -> dict[str, int]:
    """Cut a series in time and write it as a corpus folder. Returns the rows of each part.

    Raises UserError when too little is left to train on.
    """
    T = len(series.values)
    tenth = max(LEAST, T // 10)
    ends = [T - (valid or tenth) - (test or tenth), T - (test or tenth), T]
    for name, count in (("valid", valid), ("test", test)):
        if count is not None and count < LEAST_HELD_OUT:
            raise UserError(f"--{name} {count}: hold out {LEAST_HELD_OUT} rows at least")
    if ends[0] < LEAST:
        raise UserError(f"{T:,} rows are too few to hold out {valid or tenth:,} and {test or tenth:,}")
    for name, column in zip(series.names, series.values.T, strict=True):
        if np.isnan(column[: ends[0]]).all():
            raise UserError(f"{name} has no value in the first {ends[0]:,} rows, which are to be trained on")
        finest = np.spacing(np.float32(np.nanmax(np.abs(column), initial=0)))
        if 0 < np.nanstd(column) < COARSE * finest:
            raise UserError(
                f"{name} has values such as {column[np.flatnonzero(~np.isnan(column))[0]]:.15g} that differ too little "
                "to be told apart in 32 bits; subtract what they have in common"
            )
    starts = [0, *ends[:2]]

    def write(beside: Path) -> dict[str, int]:
        for part, start, end in zip(SPLITS, starts, ends, strict=True):
            clock = series.clock and replace(series.clock, row=series.clock.row + start)
            rows = replace(series, values=series.values[start:end], clock=clock)
            (beside / f"{part}.csv").write_text(write_series(rows), "utf-8", newline="\n")
        return {part: end - start for part, start, end in zip(SPLITS, starts, ends, strict=True)}

    facts = {"task": "forecast", "variables": series.names, "time": series.clock and series.clock.name}
    if series.clock:
        facts["every"] = series.clock.every
    return write_folder(folder, ("", ""), ("csv",), write, {**card, **facts})
