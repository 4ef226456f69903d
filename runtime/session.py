"""Open a Dragoman file in ONNX Runtime, run it, and explain failures in one line."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import onnxruntime

from dragoman.runtime.arguments import check_is_path, whole_number
from dragoman.runtime.contract import CONTRACTS
from dragoman.runtime.errors import UserError
from dragoman.runtime.memory import keep_memory, return_memory
from dragoman.runtime.metadata import Metadata, ModelFileError, read_model_file

MINIMUM_ONNXRUNTIME = "1.20"  # as in pyproject.toml
MAX_THREADS = 1024

# An ONNX model, which tests/export/test_vnni.py builds again: one MatMulIntegerToFloat of `a`, uint8 (B, 4), and 127s.
PRODUCT_OF_127 = (
    "CAo6jwEKNAoBYQoBYgoBcwoBcxIBeSIUTWF0TXVsSW50ZWdlclRvRmxvYXQ6DWNvbS5taWNyb3NvZnQSAWcqGwgECAQQA0IBYkoQf39/f39/f39/"
    "f39/f39/fyoLEAFCAXNKBAAAgD9aFAoBYRIPCg0IAhIJCgMSAUIKAggEYhQKAXkSDwoNCAESCQoDEgFCCgIIBEIECgAQFEIRCg1jb20ubWljcm9z"
    "b2Z0EAE="
)

VNNI_REMEDY = (
    "files of `--target vnni` need a processor with VNNI, so export the run with `--int8` alone, which makes a file "
    "for any processor"
)

# ONNX Runtime's messages about an operator that a build lacks.
_MISSING_OPERATOR = (
    r"Could not find an implementation for ([\w.:]+)",
    r"No Op registered for ([\w.:]+)",
    r"([\w.:]+)\(-?\d+\) is not a registered function/op",
)


def open_session(model: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """Return an ONNX Runtime session on the CPU.

    Raises:
        ModelFileError: The installed onnxruntime cannot load the model.
        UserError: `threads` is out of range.
    """
    threads = whole_number("threads", threads, 0, MAX_THREADS, "where 0 is one thread per core")
    keep_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # the arena grows with every new shape and is not faster
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads sleep
    options.log_severity_level = 4  # errors are raised; logging them, too, would print them twice
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common base class for its errors
        raise ModelFileError(_explain_load_error(str(error))) from None


def _explain_load_error(error: str) -> str:
    """Return one line for the user from onnxruntime's message about a model that it cannot load."""
    installed, required = f"onnxruntime {onnxruntime.__version__}", f"onnxruntime {MINIMUM_ONNXRUNTIME} or newer"
    for pattern in _MISSING_OPERATOR:
        if match := re.search(pattern, error):
            return (
                f"{installed} lacks the operator {match[1]}, which this model needs; install a full build of {required}"
            )
    if re.search("IR version|opset", error):
        return f"{installed} is too old for this model; install {required}"
    reason = error.strip().splitlines()[-1] if error.strip() else "it gives no reason"
    return f"{installed} cannot run this model: {reason}; the model needs {required}"


def run_session(session: onnxruntime.InferenceSession, inputs: dict[str, Any]) -> list[Any]:
    """Return the outputs of a session. Raise UserError when ONNX Runtime fails, for example out of memory."""
    try:
        outputs: list[Any] = session.run(None, inputs)
    except Exception as error:  # onnxruntime has no common base class for its errors
        sizes = ", ".join(f"{name} {'x'.join(map(str, value.shape)) or value}" for name, value in inputs.items())
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise UserError(
            f"ONNX Runtime could not compute this batch ({sizes}): {reason[0]}; "
            "if memory ran out, use a smaller batch or beam"
        ) from None
    return outputs


def session_for_task(
    model: bytes | onnxruntime.InferenceSession, task: str, threads: int = 1
) -> onnxruntime.InferenceSession:
    """Return a session whose inputs and outputs are those of a task.

    Args:
        model: The bytes of a file, or a session that holds it.
        task: A key of CONTRACTS.
        threads: Threads for a session that is opened here.

    Raises:
        ModelFileError: The model has other inputs or outputs, or cannot be loaded.
    """
    session = open_session(model, threads) if isinstance(model, bytes) else model
    names = [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]
    expected = tuple([*tensors] for tensors in CONTRACTS[task])
    if names != expected:
        differences = []
        for side, given, required in zip(("input", "output"), names, expected, strict=True):
            differences += [f"missing {side} `{name}`" for name in required if name not in given]
            differences += [f"unexpected {side} `{name}`" for name in given if name not in required]
        raise ModelFileError(
            f"the file does not match the tensor contract for the task `{task}`: "
            f"{', '.join(differences) or 'inputs or outputs in another order'}"
        )
    return session


class SelfTestError(ModelFileError):
    """A file that gives other results here than at export.

    Attributes:
        difference: The results here and at export.
    """

    def __init__(self, difference: str, remedy: str = "do not use results of this installation of onnxruntime") -> None:
        super().__init__(f"self-test failed: {remedy}; {difference}")
        self.difference = difference


class Loadable(Protocol):
    """A model that a file is loaded as."""

    path: str | None

    def self_test(self) -> None:
        """Raise SelfTestError unless the file's outputs are those that it gave at export."""
        ...


Loaded = TypeVar("Loaded", bound=Loadable)
ModelFactory = Callable[[onnxruntime.InferenceSession, Metadata], Loaded]


def load_as(
    path: str | Path, factories: Mapping[str, ModelFactory[Loaded]], threads: int, *, self_test: bool
) -> Loaded:
    """Load a file made by `dragoman export` with the factory for its task.

    A file for `vnni` is always tested, because other processors compute something else without an error.

    Raises:
        ModelFileError: The file cannot be read, is damaged, is not a Dragoman model, cannot run here, is for a task
            without a factory, or fails its self-test.
    """
    check_is_path(path)
    session = open_session(read_model_file(path), threads)
    try:
        metadata = Metadata.from_props(session.get_modelmeta().custom_metadata_map)
        if metadata.task not in factories:
            raise ModelFileError(
                f"the model was trained to {metadata.task}, not to {', '.join(factories)}; "
                "`dragoman run` and `dragoman.load` take a model for any task"
            )
        model = factories[metadata.task](session, metadata)
        model.path = os.path.abspath(path)
        for_vnni = metadata.quantisation.get("target") == "vnni"
        if for_vnni:
            check_products()
        if self_test or for_vnni:
            _run_self_test(model, for_vnni=for_vnni)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    return_memory()
    return model


def check_products() -> None:
    """Raise ModelFileError unless sums of 8-bit products are exact here, as files for `vnni` need them.

    A processor without VNNI caps the sum of two products at 16 bits. That can change a score too little for the
    self-test, and other sentences more.
    """
    numbers = np.full((3, 4), 255, np.uint8)
    (sums,) = run_session(open_session(base64.b64decode(PRODUCT_OF_127)), {"a": numbers})
    right = 4 * 255 * 127
    if not (sums == right).all():
        raise ModelFileError(
            f"{VNNI_REMEDY}; this processor or build of onnxruntime gives {sums.flat[0]:.0f} for 4 * 255 * 127, which "
            f"is {right}"
        )


def _run_self_test(model: Loadable, *, for_vnni: bool) -> None:
    """Run a model's self-test. Raise SelfTestError, with the remedy for the file, if it fails."""
    try:
        model.self_test()
    except SelfTestError as error:
        if for_vnni:
            raise SelfTestError(error.difference, VNNI_REMEDY) from None
        raise
