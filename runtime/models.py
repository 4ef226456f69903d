"""Any file, opened as what it was made for."""

from __future__ import annotations

from pathlib import Path

from dragoman.runtime.reader import Classifier, OnnxLabels, Tagger
from dragoman.runtime.series import Forecaster, OnnxSeries
from dragoman.runtime.session import load_file
from dragoman.runtime.translator import OnnxEngine, Translator

Model = Translator | Classifier | Tagger | Forecaster


def load(path: str | Path, *, threads: int = 1, self_test: bool = False) -> Model:
    """Open a file made by `dragoman export`, whatever it was made for. Raises BundleError as Translator.load does."""
    session, bundle = load_file(path, None, threads)
    model: Model
    if bundle.task == "translate":
        model = Translator(OnnxEngine(session), bundle)
    elif bundle.task == "forecast":
        model = Forecaster(OnnxSeries(session), bundle)
    else:
        model = (Classifier if bundle.task == "classify" else Tagger)(OnnxLabels(session, bundle.task), bundle)
    if self_test:
        model.self_test()
    return model
