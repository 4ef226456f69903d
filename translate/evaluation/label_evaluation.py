"""Evaluation of classifiers and taggers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dragoman.runtime.batching import BATCH_SIZE
from dragoman.runtime.errors import UserError
from dragoman.runtime.files import write_atomically
from dragoman.runtime.labelling import Classifier, Tagger
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.wording import counted
from dragoman.translate.evaluation.inputs import read_test_set
from dragoman.translate.evaluation.outputs import check_output_files, print_task_scores
from dragoman.translate.progress import bar
from dragoman.translate.tasks.labelling import label_scores

LINES_AT_ONCE = 256  # between two updates of the progress bar


def evaluate_labels(model: Classifier | Tagger, a: argparse.Namespace) -> int:
    """Run `dragoman evaluate` for a classifier or a tagger."""
    source, (reference, *others) = read_test_set(a)
    if others:
        raise UserError("labels are scored against one reference; give --reference once")
    check_output_files(a)
    predicted = _predict(model, source, a.batch_size or BATCH_SIZE)
    expected = [[line] if model.task == "classify" else line.split(" ") for line in map(normalise, reference)]
    _check_reference(predicted, expected, {*model.metadata.labels}, a.reference[0] if a.reference else a.corpus)
    if a.output:
        write_atomically(Path(a.output), "".join(" ".join(labels) + "\n" for labels in predicted).encode())
    scores = label_scores(predicted, expected, model.task, model.metadata.labels)
    print_task_scores(a, model, scores, counted(len(source), "text"))
    return 0


def _predict(model: Classifier | Tagger, source: Sequence[str], batch_size: int) -> list[list[str]]:
    """Return the labels of each text: one for a classifier, one for each word for a tagger."""
    predicted: list[list[str]] = []
    with bar("labelling", len(source)) as progress:
        for start in range(0, len(source), LINES_AT_ONCE):
            lines = source[start : start + LINES_AT_ONCE]
            if isinstance(model, Classifier):
                predicted += [[result.label] for result in model.classify(lines, batch_size=batch_size)]
            else:
                predicted += [[*result.labels] for result in model.tag(lines, batch_size=batch_size)]
            progress(len(predicted))
    return predicted


def _check_reference(
    predicted: Sequence[Sequence[str]], expected: Sequence[Sequence[str]], known: set[str], path: str
) -> None:
    """Raise UserError when a line of the reference has a wrong number of labels, or an unknown one."""
    for number, (words, labels) in enumerate(zip(predicted, expected, strict=True), 1):
        if len(words) != len(labels):
            raise UserError(
                f"{path}, line {number:,} has {counted(len(labels), 'label')} for {counted(len(words), 'word')}"
            )
        for label in labels:
            if label not in known:
                raise UserError(
                    f"{path}, line {number:,}: the model does not know the label {label!r}; "
                    "`dragoman info` lists its labels"
                )
