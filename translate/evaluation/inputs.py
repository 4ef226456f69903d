"""Inputs of the evaluation commands: models, test sets, and the files to write."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.runtime.errors import UserError
from dragoman.translate.files import real

if TYPE_CHECKING:
    from dragoman.runtime.loading import Model
    from dragoman.runtime.translator import Translation, Translator


def check_writable(option: str, path: str | None) -> None:
    """Raise UserError for a file to write where it cannot be, before work is done for it."""
    if path and not real(path).parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {Path(path).parent}")
    if path and real(path).is_dir():
        raise UserError(f"{option} {path} is a folder; name a file")


def read_test_set(a: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The lines of --source and --reference, or of a corpus, normalised as a translation is.

    Raises UserError when they do not match.
    """
    from dragoman.translate.corpus.folder import Corpus

    if getattr(a, "corpus", None):
        if a.source or a.reference:
            raise UserError("--corpus is given instead of --source and --reference")
        pairs = Corpus(a.corpus).read("test")
        if not pairs:
            raise UserError(f"{a.corpus} has an empty test part")
        return [p.source for p in pairs], [p.target for p in pairs]
    if not (a.source and a.reference):
        corpus = ", or --corpus, a folder with a test part" if hasattr(a, "corpus") else ""
        raise UserError(f"give --source and --reference, the text and what is expected for it{corpus}")
    source, reference = read_lines(a.source), read_lines(a.reference)
    if len(source) != len(reference):
        raise UserError(f"{a.source} has {len(source):,} lines and {a.reference} has {len(reference):,}")
    if not source:
        raise UserError(f"{a.source} has no lines")
    return source, reference


def read_lines(path: str) -> list[str]:
    """The lines of a text file, normalised as a translation is. Raises UserError for what is not UTF-8."""
    from dragoman.runtime.normalisation import normalise
    from dragoman.translate.corpus.readers.raw import read_strict

    return [*map(normalise, read_strict(path))]


def translate_lines(
    translator: Translator, source: Sequence[str], a: argparse.Namespace, what: str
) -> list[Translation]:
    """Translations with a bar on stderr."""
    from dragoman.translate.evaluation.engine import translate_all
    from dragoman.translate.progress import bar

    with bar(what, len(source)) as progress:
        return translate_all(
            translator, source, beam=a.beam, batch_size=a.batch_size, length_penalty=a.length_penalty,
            progress=progress,
        )  # fmt: skip


def load_model(models: Sequence[str]) -> Model:
    """Whatever was named: one .onnx file, or runs, which translate together. Raises UserError for a mix."""
    from dragoman.runtime.loading import load
    from dragoman.translate.evaluation.reranking import assemble
    from dragoman.translate.tasks.forecasting import forecaster_of
    from dragoman.translate.tasks.labelling import label_model_of
    from dragoman.translate.training.run import Run

    if len(models) == 1 and not Path(models[0]).is_dir():
        return load(models[0])
    for model in models:
        if not Path(model).is_dir():
            raise UserError(f"{model} is not a run's folder; only runs can translate together")
    runs = [Run(model) for model in models]
    tasks = {run.config().task for run in runs}
    if tasks == {"translate"}:
        return assemble(runs)
    if len(runs) > 1:
        raise UserError(f"{', '.join(models)}: only translators work together")
    return forecaster_of(runs[0]) if tasks == {"forecast"} else label_model_of(runs[0])


def load_translator(models: Sequence[str]) -> Translator:
    """The same, which must translate."""
    from dragoman.runtime.translator import Translator

    model = load_model(models)
    if not isinstance(model, Translator):
        raise UserError(f"{models[0]}: the model was made to {model.task}, not to translate; `dragoman run` runs any")
    return model
