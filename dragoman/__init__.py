"""Train a small recurrent translator on your own parallel text and run it as one ONNX file on any CPU.

>>> import dragoman
>>> translator = dragoman.load("en-de.onnx")
>>> translator.translate("two dogs run").text

Importing this package is cheap: the names below load numpy, onnxruntime and sentencepiece when they are first used, and
none of them loads PyTorch.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dragoman import documents
    from dragoman.runtime.alignment import AttentionMap
    from dragoman.runtime.errors import UserError
    from dragoman.runtime.forecasting import Forecaster
    from dragoman.runtime.labelling import Classification, Classifier, Tagged, Tagger
    from dragoman.runtime.loading import load
    from dragoman.runtime.metadata import ModelFileError
    from dragoman.runtime.series import Series
    from dragoman.runtime.translation import Hypothesis, Translation
    from dragoman.runtime.translator import Translator

# Imported without this variable, onnxruntime 1.29 or newer writes a device id to the home folder and looks up a host.
# A program that imports onnxruntime before dragoman sets it itself.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.2.0"
__all__ = [
    "AttentionMap",
    "Classification",
    "Classifier",
    "Forecaster",
    "Hypothesis",
    "ModelFileError",
    "Series",
    "Tagged",
    "Tagger",
    "Translation",
    "Translator",
    "UserError",
    "__version__",
    "documents",
    "load",
]

_MODULES = {
    "AttentionMap": "alignment",
    "Classification": "labelling",
    "Classifier": "labelling",
    "Forecaster": "forecasting",
    "Hypothesis": "translation",
    "ModelFileError": "metadata",
    "Series": "series",
    "Tagged": "labelling",
    "Tagger": "labelling",
    "Translation": "translation",
    "Translator": "translator",
    "UserError": "errors",
    "load": "loading",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562)."""
    if name == "documents":
        return import_module("dragoman.documents")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"dragoman.runtime.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
