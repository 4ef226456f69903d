"""A model file made by hand: an ONNX graph that copies its source, built without PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dragoman.runtime.contract import EOS, INPUTS, OUTPUTS
from dragoman.runtime.metadata import Metadata, append_checksum
from dragoman.translate.config import TokenizerConfig
from dragoman.translate.encoding.subwords import train_tokenizer

TOKENIZER = train_tokenizer([f"copy this line, number {i}. And that one!" for i in range(80)], TokenizerConfig(), 330)

METADATA = Metadata(
    source_language="en",
    target_language="xx",
    source_tokenizer=TOKENIZER.model,
    target_tokenizer=TOKENIZER.model,
    max_source=24,
    defaults={"beam_size": 2, "length_penalty": 1.0, "max_length": 64},
    config={"name": "copy"},
    card={"corpus": {"licence": "none"}},
    self_test={
        "settings": {"beam_size": 2, "n_best": 1, "max_length": 64, "length_penalty": 1.0},
        "cases": [{"source": [10, 11, EOS], "target": [10, 11, EOS], "score": -0.5}],
    },
)


def copying_model() -> onnx.ModelProto:
    """Return a graph whose hypotheses all copy the padded source, with scores -0.5, -1.5, ... and uniform attention."""
    kind = {"int64": TensorProto.INT64, "float32": TensorProto.FLOAT}
    inputs = [helper.make_tensor_value_info(n, kind[t], list(axes)) for n, (t, axes) in INPUTS.items()]
    outputs = [helper.make_tensor_value_info(n, kind[t], list(axes)) for n, (t, axes) in OUTPUTS.items()]

    def constant(name: str, value: object, dtype: type = np.int64) -> onnx.NodeProto:
        return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value, dtype)))

    def node(op: str, inputs: list[str], output: str, **attributes: int) -> onnx.NodeProto:
        return helper.make_node(op, inputs, [output], **attributes)  # type: ignore[arg-type]  # of the operator

    nodes = [
        constant("one", [1]), constant("zero", 0), constant("step", 1), constant("axis", [1]),
        constant("tenth", 0.1, np.float32), constant("half", 0.5, np.float32),
        node("Reshape", ["beam_size", "one"], "K"), node("Reshape", ["attended", "one"], "A"),
        node("Shape", ["source"], "BS"),
        node("Gather", ["BS", "zero"], "B.scalar"), node("Reshape", ["B.scalar", "one"], "B"),
        node("Gather", ["BS", "step"], "S.scalar"), node("Reshape", ["S.scalar", "one"], "S"),
        node("Unsqueeze", ["source", "axis"], "source.row"),
        node("Concat", ["B", "K", "S"], "BKS", axis=0), node("Expand", ["source.row", "BKS"], "target"),
        node("Range", ["zero", "beam_size", "step"], "ranks"),
        node("Cast", ["ranks"], "ranks.float", to=TensorProto.FLOAT),
        node("Add", ["ranks.float", "half"], "ranks.half"), node("Neg", ["ranks.half"], "scores"),
        node("Concat", ["B", "K"], "BK", axis=0), node("Expand", ["scores", "BK"], "score"),
        node("Concat", ["B", "A", "S", "S"], "BATS", axis=0), node("Expand", ["tenth", "BATS"], "attention"),
    ]  # fmt: skip
    graph = helper.make_graph(nodes, "copy", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def file_of(path: Path, metadata: Metadata = METADATA) -> Path:
    model = copying_model()
    helper.set_model_props(model, metadata.to_props())
    path.write_bytes(append_checksum(model.SerializeToString()))
    return path
