"""Any file, opened as what it was made for."""

from __future__ import annotations

from pathlib import Path

from dragoman.runtime.reader import Classifier, OnnxLabels, Tagger
from dragoman.runtime.series import Forecaster, OnnxSeries
from dragoman.runtime.session import Maker, load_as
from dragoman.runtime.translator import OnnxEngine, Translator

Model = Translator | Classifier | Tagger | Forecaster


def load(path: str | Path, *, threads: int = 1, self_test: bool = False) -> Model:
    """Open a file made by `dragoman export`, whatever it was made for. Raises BundleError as Translator.load does."""
    makers: dict[str, Maker[Model]] = {
        "translate": lambda session, bundle: Translator(OnnxEngine(session), bundle),
        "classify": lambda session, bundle: Classifier(OnnxLabels(session, "classify"), bundle),
        "tag": lambda session, bundle: Tagger(OnnxLabels(session, "tag"), bundle),
        "forecast": lambda session, bundle: Forecaster(OnnxSeries(session), bundle),
    }
    return load_as(path, makers, threads, self_test=self_test)
