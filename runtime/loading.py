"""Load a Dragoman file as the model that it holds: translator, classifier, tagger or forecaster."""

from __future__ import annotations

from pathlib import Path

from dragoman.runtime.engine import OnnxEngine
from dragoman.runtime.forecasting import Forecaster, OnnxSeriesEngine
from dragoman.runtime.labelling import Classifier, OnnxLabelEngine, Tagger
from dragoman.runtime.session import ModelFactory, load_as
from dragoman.runtime.translator import Translator

Model = Translator | Classifier | Tagger | Forecaster


def load(path: str | Path, *, threads: int = 1, self_test: bool = False) -> Model:
    """Load a file made by `dragoman export`, for any task.

    Use `Translator.load`, `Classifier.load`, `Tagger.load` or `Forecaster.load` where the task is known.

    Args:
        path: The file, usually `*.onnx`.
        threads: Threads of ONNX Runtime, from 1 to 1,024, or 0 for one per core.
        self_test: Also run the file's self-test, which takes about as long as translating a few sentences. A file for
            `vnni` always runs it.

    Returns:
        A Translator, Classifier, Tagger or Forecaster, according to the file.

    Raises:
        ModelFileError: The file cannot be read, is damaged, is not a Dragoman model, cannot run with the installed
            onnxruntime, or fails its self-test. It is a UserError.
        UserError: `threads` is out of range.

    Example:
        >>> model = dragoman.load("en-de.onnx")
        >>> if isinstance(model, dragoman.Translator):
        ...     print(model.translate("two dogs run").text)
    """
    factories: dict[str, ModelFactory[Model]] = {
        "translate": lambda session, metadata: Translator(OnnxEngine(session), metadata),
        "classify": lambda session, metadata: Classifier(OnnxLabelEngine(session, "classify"), metadata),
        "tag": lambda session, metadata: Tagger(OnnxLabelEngine(session, "tag"), metadata),
        "forecast": lambda session, metadata: Forecaster(OnnxSeriesEngine(session), metadata),
    }
    return load_as(path, factories, threads, self_test=self_test)
