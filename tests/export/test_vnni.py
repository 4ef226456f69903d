"""A file for `vnni` tests itself when it is loaded, and is refused where it computes something else."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import dragoman
from dragoman.cli import main
from dragoman.export.graph import serialize
from dragoman.runtime import session
from dragoman.runtime.metadata import Metadata, ModelFileError
from tiny import ROOT

FILES = ROOT / "tests" / "files" / "35c52c7"
LOADERS: dict[str, Any] = {
    "int8": dragoman.Translator,
    "classify": dragoman.Classifier,
    "tag": dragoman.Tagger,
    "forecast": dragoman.Forecaster,
}
every_kind = pytest.mark.parametrize("kind", LOADERS)


def other_numbers(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    """Return nested lists with each number doubled and raised by one, as where 8-bit products overflow."""
    return [other_numbers(item) for item in value] if isinstance(value, list) else 2 * value + 1


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a file for a target, whose expected outputs may be those of another processor."""

    def make(kind: str, target: str, *, saturates: bool) -> Path:
        model = onnx.load(FILES / f"{kind}.onnx")
        metadata = Metadata.from_props({p.key: p.value for p in model.metadata_props})
        cases = metadata.self_test["cases"]
        if saturates:
            cases = [
                {key: value if key in ("source", "series") else other_numbers(value) for key, value in case.items()}
                for case in cases
            ]
        metadata = replace(
            metadata,
            quantisation={**metadata.quantisation, "target": target},
            self_test={**metadata.self_test, "cases": cases},
        )
        path = tmp_path / f"{kind}-{target}.onnx"
        path.write_bytes(serialize(model, metadata))
        return path

    return make


@every_kind
def test_a_vnni_file_is_refused_where_it_computes_something_else(kind: str, file_of: Callable[..., Path]) -> None:
    path = file_of(kind, "vnni", saturates=True)
    for load in (dragoman.load, LOADERS[kind].load):
        with pytest.raises(ModelFileError) as error:
            load(path)
        message = str(error.value)
        assert message.startswith(f"{path}: self-test failed: {session.VNNI_REMEDY}; the ")
        assert "this installation" not in message
        assert len(message) < len(str(path)) + 500
    right = file_of(kind, "vnni", saturates=False)
    assert dragoman.load(right).metadata == LOADERS[kind].load(right, self_test=True).metadata


@every_kind
def test_a_portable_file_is_tested_only_on_request(kind: str, file_of: Callable[..., Path]) -> None:
    path = file_of(kind, "portable", saturates=True)
    dragoman.load(path)
    LOADERS[kind].load(path)
    for load in (dragoman.load, LOADERS[kind].load):
        with pytest.raises(ModelFileError, match="self-test failed") as error:
            load(path, self_test=True)
        assert str(error.value).startswith(
            f"{path}: self-test failed: do not use results of this installation of onnxruntime; the "
        )
        assert "vnni" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("int8", ["translate", "12"]), ("int8", ["info"]), ("int8", ["bench"]), ("classify", ["run", "12"]),
     ("tag", ["run", "Ada"]), ("forecast", ["info"])],
)  # fmt: skip
def test_every_command_refuses_it(
    kind: str, words: list[str], file_of: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command, *texts = words
    assert main([command, str(file_of(kind, "vnni", saturates=True)), *texts]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert "self-test failed" in printed.err


@every_kind
@pytest.mark.parametrize("sums", [65534.0, float("nan")])
def test_a_processor_that_caps_sums_is_refused(
    kind: str, sums: float, file_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The self-test of a network that is nearly always right may notice nothing."""
    paths = [file_of(kind, target, saturates=False) for target in ("vnni", "portable")]
    monkeypatch.setattr(session, "run_session", lambda *_: [np.full((3, 4), sums, np.float32)])
    said = (
        f"{paths[0]}: {session.VNNI_REMEDY}; this processor or build of onnxruntime gives {sums:.0f} for "
        "4 * 255 * 127, which is 129540"
    )
    for load in (dragoman.load, LOADERS[kind].load):
        with pytest.raises(ModelFileError, match=re.escape(said)):
            load(paths[0])
        load(paths[1])


def test_the_model_of_the_product_is_what_its_comment_says() -> None:
    value, tensor = helper.make_tensor_value_info, numpy_helper.from_array
    weight, scale = tensor(np.full((4, 4), 127, np.int8), "b"), tensor(np.array(1, np.float32), "s")
    node = helper.make_node("MatMulIntegerToFloat", ["a", "b", "s", "s"], ["y"], domain="com.microsoft")
    inputs, outputs = [value("a", TensorProto.UINT8, ["B", 4])], [value("y", TensorProto.FLOAT, ["B", 4])]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(
        helper.make_graph([node], "g", inputs, outputs, [weight, scale]), opset_imports=opsets, ir_version=10
    )
    assert onnx.load_from_string(base64.b64decode(session.PRODUCT_OF_127)) == model


def test_what_differed_is_named(file_of: Callable[..., Path]) -> None:
    ids = r"(\d+ ){0,4}\d+|(\d+ ){5}\.\.\. \(\d+ in all\)"  # the first five
    said = rf"the subword numbers ({ids}) gave ({ids}) with score \S+, and at export ({ids}) with score \S+$"
    with pytest.raises(ModelFileError, match=said):
        dragoman.load(file_of("int8", "vnni", saturates=True))
