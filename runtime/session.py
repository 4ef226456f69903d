"""Open a file in ONNX Runtime."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import onnxruntime

from dragoman.runtime.contract import CONTRACTS
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata, ModelFileError, read_model_file

MINIMUM_ONNXRUNTIME = "1.20"  # as in pyproject.toml


MOST_THREADS = 1024


_MISSING = (
    r"Could not find an implementation for ([\w.:]+)",
    r"No Op registered for ([\w.:]+)",
    r"([\w.:]+)\(-?\d+\) is not a registered function/op",
)


def return_memory() -> None:
    """Let the C library give what it holds free back to the system, where it can: loading takes much for a moment."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # glibc's
    except (AttributeError, OSError, TypeError):  # another library, another system
        return


def texts_of(text: str | Sequence[str]) -> list[str]:
    """One text or several, as a list. Raises UserError for what is no text."""
    texts = [text] if isinstance(text, str | bytes) else list(text)
    for number, one in enumerate(texts, 1):
        if not isinstance(one, str):
            raise UserError(f"text {number} of {len(texts)} is of type {type(one).__name__}: give a str")
    return texts


def open_session(model: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session on the CPU. Raises ModelFileError when this onnxruntime cannot run it, UserError for too many threads."""
    if not 0 <= threads <= MOST_THREADS:
        raise UserError(f"{threads} threads: give 1 to {MOST_THREADS:,}, or 0 for all cores")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it grows with every new shape and brings no speed
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads sleep
    options.log_severity_level = 4  # what goes wrong is raised, and said once
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common base class for its errors
        raise ModelFileError(_why_not(str(error))) from None


def _why_not(error: str) -> str:
    """A sentence for what onnxruntime says when it cannot load a model."""
    here, needed = f"onnxruntime {onnxruntime.__version__}", f"onnxruntime {MINIMUM_ONNXRUNTIME} or newer"
    for pattern in _MISSING:
        if found := re.search(pattern, error):
            return f"{here} lacks the operator {found[1]}, which this model needs; install {needed}, a full build"
    if re.search("IR version|opset", error):
        return f"{here} is too old for this model; install {needed}"
    reason = error.strip().splitlines()[-1] if error.strip() else "it gives no reason"
    return f"{here} cannot run this model: {reason}; it needs {needed}"


def outputs_of(session: onnxruntime.InferenceSession, inputs: dict[str, Any]) -> list[Any]:
    """What a session makes of its inputs. Raises UserError when ONNX Runtime cannot, as where memory ends."""
    try:
        out: list[Any] = session.run(None, inputs)
    except Exception as error:  # onnxruntime has no common base class for its errors
        sizes = ", ".join(f"{name} {'x'.join(map(str, value.shape)) or value}" for name, value in inputs.items())
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise UserError(
            f"ONNX Runtime could not compute this batch ({sizes}): {reason[0]}; "
            "a smaller batch or beam takes less memory"
        ) from None
    return out


def session_for(
    model: bytes | onnxruntime.InferenceSession, task: str, threads: int = 1
) -> onnxruntime.InferenceSession:
    """A session that takes and gives what a model for a task does; model: a file's bytes, or their session.

    Raises ModelFileError for any other model.
    """
    session = open_session(model, threads) if isinstance(model, bytes) else model
    found = [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]
    if found != tuple([*names] for names in CONTRACTS[task]):
        raise ModelFileError(f"the model's inputs and outputs are {found}, not those of a Dragoman model")
    return session


class Model(Protocol):
    """What a file is opened as."""

    def self_test(self) -> None:
        """Raise ModelFileError unless it computes here what it did when it was made."""
        ...


Opened = TypeVar("Opened", bound=Model)


Maker = Callable[[onnxruntime.InferenceSession, Metadata], Opened]


def load_as(path: str | Path, makers: Mapping[str, Maker[Opened]], threads: int, *, self_test: bool) -> Opened:
    """A file made by `dragoman export`, opened by the maker for what it was made to do.

    Raises ModelFileError when it is not one, is damaged, cannot run here, is made for something else, or (with self_test)
    does not compute what it computed when it was made.
    """
    session = open_session(read_model_file(path), threads)
    try:
        metadata = Metadata.from_props(session.get_modelmeta().custom_metadata_map)
        if metadata.task not in makers:
            raise ModelFileError(
                f"the model was made to {metadata.task}, not to {', '.join(makers)}; `dragoman run` runs any"
            )
        model = makers[metadata.task](session, metadata)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    return_memory()
    if self_test:
        model.self_test()
    return model
