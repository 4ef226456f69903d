"""Outputs of the evaluation commands: checks of file names, printed scores and recorded rows."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.runtime.errors import UserError
from dragoman.runtime.files import real_path
from dragoman.runtime.output import check_is_text
from dragoman.translate.files import read_rows

if TYPE_CHECKING:
    from dragoman.runtime.loading import Model
    from dragoman.translate.evaluation.metrics import Score


def check_writable(option: str, path: str | None, inputs: Sequence[str]) -> None:
    """Raise UserError when the file that an option names cannot be written, or is an input, before any work is done."""
    if path and not real_path(path).parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {Path(path).parent}; make it first")
    if path and real_path(path).is_dir():
        raise UserError(f"{option} {path} is a folder; name a file")
    if path and real_path(path).is_file() and real_path(path) in map(real_path, inputs):
        raise UserError(f"{option} {path} is also an input of this command; name another file")


def check_output_files(a: argparse.Namespace) -> None:
    """Raise UserError when a file that `evaluate` is asked for cannot be written."""
    in_corpus = map(str, Path(a.corpus).glob("*")) if a.corpus else ()
    inputs = [*a.model, *filter(None, [a.source]), *(a.reference or ()), *in_corpus]
    for option in ("report", "output", "record"):
        check_writable(f"--{option}", getattr(a, option), inputs)
    if a.output:
        check_is_text("--output", a.output, compresses=False)
    if a.record and Path(a.record).is_file() and Path(a.record).stat().st_size:
        rows = read_rows(Path(a.record))
        if not rows or not all(isinstance(row, dict) for row in rows):
            raise UserError(f"--record {a.record} holds something other than recorded scores; name another file")
    if a.name and not a.record:
        raise UserError("--name names the test set in the file of --record; give --record as well")


def print_task_scores(a: argparse.Namespace, model: Model, values: dict[str, float], counted: str) -> None:
    """Print the scores of a model for another task than translation, as text or JSON, and record them with --record.

    counted: the number of items that were scored, in words.
    """
    from dragoman.translate.evaluation.metrics import Score
    from dragoman.translate.progress import format_score

    if a.record:
        scores = [Score(metric, value, counted, model.metadata.task) for metric, value in values.items()]
        record_scores(a, scores, model, beam=0)
    if a.json:
        facts = {
            "model": a.model[0],
            "task": model.metadata.task,
            "counted": counted,
            **computation_facts(a, model),
            **values,
        }
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    width = max(map(len, values))
    for metric, value in values.items():
        print(f"{metric:<{width}} {format_score(value):>8}   {counted}")


def computation_facts(a: argparse.Namespace, model: Model) -> dict[str, Any]:
    """Return the precision of the computation, and a mark if the test set is not of the corpus trained on."""
    from dragoman.translate.evaluation.engine import precision_of

    return {"precision": precision_of(model), **({"other_corpus": True} if a.other_corpus else {})}


def record_scores(a: argparse.Namespace, scores: Sequence[Score], model: Model, beam: int) -> None:
    """Write the scores as one row into the file of --record. beam: 0 for a task without search."""
    from dragoman.translate.evaluation.provenance import record, score_row

    settings = {
        "set": a.name or Path(a.corpus or a.source).name.split(".")[0],
        "references": len(a.reference or [a.corpus]),
        **computation_facts(a, model),
        "beam": beam,
        "length_penalty": model.metadata.defaults.get("length_penalty", 0.0)
        if a.length_penalty is None
        else a.length_penalty,
    }
    record(Path(a.record), score_row(scores, model.metadata, settings))
