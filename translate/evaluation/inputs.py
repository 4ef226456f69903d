"""Inputs of the evaluation commands: models, test sets and translations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.runtime.errors import UserError
from dragoman.runtime.wording import counted

if TYPE_CHECKING:
    from dragoman.runtime.loading import Model
    from dragoman.runtime.translation import Translation
    from dragoman.runtime.translator import Translator


def read_test_set(a: argparse.Namespace) -> tuple[list[str], list[list[str]]]:
    """Return the lines of --source and of each --reference, or of a corpus's test part.

    Scores depend on the text as it is in the files. So it is not normalised: a translator normalises its input itself.

    Raises UserError when there are no lines, or not equally many in all files.
    """
    from dragoman.translate.corpus.folder import Corpus

    if not a.corpus:
        if not (a.source and a.reference):
            raise UserError("give --source and --reference, a text and its expected output, or --corpus")
        source, *references = read_parallel_lines([a.source, *a.reference])
        return source, references
    if a.source or a.reference:
        raise UserError("give either --corpus or --source and --reference, not both")
    corpus = Corpus(a.corpus)
    source, reference = read_parallel_lines([str(corpus.folder / f"test.{language}") for language in corpus.languages])
    return source, [reference]


def read_parallel_lines(paths: Sequence[str]) -> list[list[str]]:
    """Return the lines of text files, as they are in the files.

    Raises UserError when a file is not UTF-8, when they are empty, or when they have different numbers of lines.
    """
    from dragoman.translate.corpus.readers.lines import read_strict

    texts: list[list[str]] = []
    for path in paths:
        texts.append(read_strict(path))
        if len(texts[-1]) != len(texts[0]):
            raise UserError(
                f"{path} has {counted(len(texts[-1]), 'line')} and {paths[0]} has {len(texts[0]):,}; "
                "both need the same number of lines"
            )
    if not texts[0]:
        raise UserError(f"{paths[0]} is empty; give a file with at least one line")
    return texts


def translate_lines(
    translator: Translator, source: Sequence[str], a: argparse.Namespace, description: str
) -> list[Translation]:
    """Return the best translation of each line, with a progress bar on stderr."""
    from dragoman.translate.evaluation.engine import translate_all
    from dragoman.translate.progress import bar

    with bar(description, len(source)) as progress:
        return translate_all(
            translator, source, beam=a.beam, batch_size=a.batch_size, length_penalty=a.length_penalty,
            progress=progress,
        )  # fmt: skip


def load_model(models: Sequence[str]) -> Model:
    """Return the model in an .onnx file or in one or more runs' folders. Several runs translate together.

    Raises UserError when an .onnx file is combined with other models, or runs that do not all translate are combined.
    """
    from dragoman.runtime.loading import load
    from dragoman.translate.evaluation.reranking import assemble
    from dragoman.translate.tasks.forecasting import forecaster_of
    from dragoman.translate.tasks.labelling import label_model_of
    from dragoman.translate.training.run import Run

    if len(models) == 1 and not Path(models[0]).is_dir():
        return load(models[0])
    for model in models:
        if not Path(model).is_dir():
            raise UserError(f"{model} is not a run's folder; only folders of runs can be combined")
    runs = [Run(model) for model in models]
    tasks = {run.config().task for run in runs}
    if tasks == {"translate"}:
        return assemble(runs)
    if len(runs) > 1:
        raise UserError(f"{', '.join(models)}: only runs that translate can be combined")
    return forecaster_of(runs[0]) if tasks == {"forecast"} else label_model_of(runs[0])


def load_translator(models: Sequence[str]) -> Translator:
    """Return the model of `load_model`. Raises UserError when its task is not translation."""
    from dragoman.runtime.translator import Translator

    model = load_model(models)
    if not isinstance(model, Translator):
        raise UserError(
            f"{models[0]} was trained to {model.task}; this command needs a translator. `dragoman evaluate` accepts "
            "models for every task"
        )
    return model
