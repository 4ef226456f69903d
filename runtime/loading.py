"""Load a Dragoman file as the model that it holds: translator, classifier, tagger or forecaster."""

from __future__ import annotations

from pathlib import Path

from dragoman.runtime.engine import OnnxEngine
from dragoman.runtime.forecasting import Forecaster, OnnxSeriesEngine
from dragoman.runtime.labelling import Classifier, OnnxLabelEngine, Tagger
from dragoman.runtime.session import Maker, load_as
from dragoman.runtime.translator import Translator

Model = Translator | Classifier | Tagger | Forecaster


def load(path: str | Path, *, threads: int = 1, self_test: bool = False) -> Model:
    """Open a file made by `dragoman export`, whatever it was made for. Raises ModelFileError as Translator.load does."""
    makers: dict[str, Maker[Model]] = {
        "translate": lambda session, metadata: Translator(OnnxEngine(session), metadata),
        "classify": lambda session, metadata: Classifier(OnnxLabelEngine(session, "classify"), metadata),
        "tag": lambda session, metadata: Tagger(OnnxLabelEngine(session, "tag"), metadata),
        "forecast": lambda session, metadata: Forecaster(OnnxSeriesEngine(session), metadata),
    }
    return load_as(path, makers, threads, self_test=self_test)
