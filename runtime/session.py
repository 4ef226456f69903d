"""Opening a file: its checksum, its place in ONNX Runtime, and what it says about itself."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import onnxruntime

from dragoman.runtime.bundle import CONTRACTS, METADATA_PREFIX, Bundle, BundleError, read_sealed

MINIMUM_ONNXRUNTIME = "1.20"  # as in pyproject.toml
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


def open_session(model: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session on the CPU. Raises BundleError when this onnxruntime cannot run the model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it grows with every new shape and brings no speed
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads sleep
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common base class for its errors
        raise BundleError(_why_not(str(error))) from None


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


def check_contract(session: onnxruntime.InferenceSession, task: str) -> None:
    """Raise BundleError unless a session takes and gives what a model for this task does."""
    own = session.get_modelmeta().custom_metadata_map.get(f"{METADATA_PREFIX}task", "translate")
    if own != task:
        raise BundleError(f"the model was made to {own}, not to {task}; `dragoman run` runs any")
    found = [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]
    if found != tuple([*names] for names in CONTRACTS[task]):
        raise BundleError(f"the model's inputs and outputs are {found}, not those of a Dragoman model")


def load_file(path: str | Path, task: str | None, threads: int = 1) -> tuple[onnxruntime.InferenceSession, Bundle]:
    """A file made by `dragoman export`, opened, and what it says about itself; task: what it must be made for.

    Raises BundleError when it is not one, is damaged, cannot run here, or is made for something else.
    """
    session = open_session(read_sealed(path), threads)
    try:
        bundle = Bundle.from_metadata(session.get_modelmeta().custom_metadata_map)
        check_contract(session, task or bundle.task)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None
    return_memory()
    return session, bundle
