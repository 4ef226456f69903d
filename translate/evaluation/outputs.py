"""Outputs of the evaluation commands: checks of file names, printed scores and recorded rows."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.runtime.errors import UserError
from dragoman.runtime.files import real_path

if TYPE_CHECKING:
    from dragoman.runtime.metadata import Metadata
    from dragoman.translate.evaluation.metrics import Score


def check_writable(option: str, path: str | None) -> None:
    """Raise UserError when the file that an option names cannot be written, before any work is done for it."""
    if path and not real_path(path).parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {Path(path).parent}; make it first")
    if path and real_path(path).is_dir():
        raise UserError(f"{option} {path} is a folder; name a file")


def check_output_files(a: argparse.Namespace) -> None:
    """Raise UserError when a file that `evaluate` is asked for cannot be written."""
    for option in ("report", "output", "record"):
        check_writable(f"--{option}", getattr(a, option))
    if a.name and not a.record:
        raise UserError("--name names the test set in the file of --record; give --record as well")


def print_task_scores(a: argparse.Namespace, metadata: Metadata, values: dict[str, float], counted: str) -> None:
    """Print the scores of a task other than translation, as text or JSON, and record them with --record.

    counted: the number of items that were scored, in words.
    """
    from dragoman.translate.evaluation.metrics import Score
    from dragoman.translate.progress import format_score

    if a.record:
        scores = [Score(metric, value, counted, metadata.task) for metric, value in values.items()]
        record_scores(a, scores, metadata, beam=0)
    if a.json:
        facts = {"model": a.model[0], "task": metadata.task, "counted": counted, **values}
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    width = max(map(len, values))
    for metric, value in values.items():
        print(f"{metric:<{width}} {format_score(value):>8}   {counted}")


def record_scores(a: argparse.Namespace, scores: Sequence[Score], metadata: Metadata, beam: int) -> None:
    """Write the scores as one row into the file of --record. beam: 0 for a task without search."""
    from dragoman.translate.evaluation.provenance import record, score_row

    test_set = a.name or Path(a.corpus or a.source).name.split(".")[0]
    penalty = metadata.defaults.get("length_penalty", 0.0) if a.length_penalty is None else a.length_penalty
    record(Path(a.record), score_row(scores, metadata, name=test_set, beam=beam, length_penalty=penalty))
