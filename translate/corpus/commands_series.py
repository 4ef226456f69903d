"""The kind `series` of `dragoman corpus`."""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.runtime.console import Commands, positive
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.commands_common import add_kind, add_out, format_counts, log, reported_corpus

if TYPE_CHECKING:
    from dragoman.runtime.series import Series


def add_series(kinds: Commands) -> None:
    """Register `dragoman corpus series`."""
    p = add_kind(kinds, "series", "Read a regularly sampled series from a CSV file, and hold out its last rows.")
    p.add_argument("file", metavar="FILE", help="CSV: a header, then one row per time; missing values are empty")
    p.add_argument(
        "--columns", metavar="NAME,NAME",
        help='the variables, as a row of CSV: "Temp, C",Wind (default: all columns except the times)',
    )  # fmt: skip
    p.add_argument("--time", metavar="NAME", help="the column of times (default: the first column, if it holds times)")
    p.add_argument("--valid", type=positive, metavar="N", help="rows to hold out for validation (default: a tenth)")
    p.add_argument(
        "--test", type=positive, metavar="N", help="rows to hold out for testing, the last ones (default: a tenth)"
    )
    add_out(p)
    p.set_defaults(run=corpus_series)


def corpus_series(a: argparse.Namespace) -> int:
    """Run `dragoman corpus series`."""
    from dragoman.runtime.series import evenly_rising_column, read_series
    from dragoman.translate.corpus.builders.series import EXTENSIONS, write_series_corpus
    from dragoman.translate.corpus.readers.lines import read_bytes

    card = {"corpus": Path(a.out).name, "from": [Path(a.file).name]}
    columns = [name.strip() for name in next(csv.reader([a.columns], skipinitialspace=True))] if a.columns else None
    with reported_corpus(a.out, EXTENSIONS, a.file) as partial:
        series = read_series(read_bytes(a.file), a.file, columns, a.time)
        if not (columns or series.time_axis) and (rising := evenly_rising_column(series)):
            raise UserError(
                f"{a.file}: the column {rising!r} rises evenly, as times do; if it holds times, give --time {rising}, "
                "and if not, name the variables with --columns"
            )
        counts = write_series_corpus(partial, series, a.valid, a.test, card)
    print(f"{a.out}: {', '.join(series.names)}; rows: {format_counts(counts)}")
    _warn_about_values(series, counts["train"])
    return 0


def _warn_about_values(series: Series, training_rows: int) -> None:
    """Report rows without values, and variables that are constant in the training rows."""
    import numpy as np

    if empty := int(np.isnan(series.values).all(1).sum()):
        log(
            f"dragoman: {empty:,} of {len(series.values):,} rows hold no value, such as times missing from the file; "
            "series.period, window and horizon count these rows, too"
        )
    for name, column in zip(series.names, series.values[:training_rows].T, strict=True):
        values = [value for value in column.tolist() if not math.isnan(value)]
        if min(values) == max(values):
            log(f"dragoman: {name} is always {values[0]:.15g} in training, so nothing can be learnt about it")
