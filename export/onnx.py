"""From a run to one ONNX file: encoder, search, tokenizer, card and self-test; refused unless it equals PyTorch."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from onnxscript import opset20 as op
from torch.export import Dim

from dragoman.export.simplify import simplify
from dragoman.export.quantize import product_as_onnx
from dragoman.export.parity import Level, compare_search, parity_batches
from dragoman.runtime.bundle import INPUTS, METADATA_PREFIX, OUTPUTS, PAD, Bundle, seal
from dragoman.runtime.errors import UserError
from dragoman.runtime.translator import OnnxEngine
from dragoman.translate.checkpoint import Run
from dragoman.translate.evaluate import TorchEngine, bundle_of
from dragoman.translate.search import EXTRA_LENGTH, BeamSearch

SELF_TESTS = 4


def to_onnx(search: BeamSearch) -> onnx.ModelProto:
    """The search as an ONNX model with the inputs and outputs of the tensor contract.

    The graph takes sizes as the lengths of vectors; nodes in front of it make these from scalars, since an exported
    graph cannot take a tensor's value as a size.
    """
    search = search.eval().requires_grad_(False)
    vocabulary = search.model.bias.shape[0]
    source = torch.randint(4, vocabulary, (3, 7))
    arguments = (
        source,
        torch.tensor([7, 3, 5]),
        torch.zeros(4, dtype=torch.int64),
        torch.tensor(1),
        torch.zeros(25, dtype=torch.int64),
        torch.tensor(1.0),
        torch.zeros(2, dtype=torch.int64),
    )
    d = Dim.DYNAMIC
    shapes = ({0: d, 1: d}, {0: d}, {0: d}, None, {0: d}, None, {0: d})
    names = ["source", "source_length", "beam", "n_best", "room", "length_penalty", "attended_rows"]
    translations: dict[Callable[..., object], Callable[..., object]] = {
        torch.ops.dragoman.reorder.default: _reorder_as_onnx,
        torch.ops.dragoman.integer_product.default: product_as_onnx,
    }
    with _quiet():
        program = torch.onnx.export(
            search, arguments, dynamo=True, input_names=names, output_names=[*OUTPUTS], dynamic_shapes=shapes,
            verbose=False, optimize=True, custom_translation_table=translations,
        )  # fmt: skip
    assert program is not None
    model = simplify(program.model_proto)
    _add_scalar_inputs(model.graph, search.limit_ratio)
    del model.metadata_props[:]
    for node in _all_nodes(model.graph):
        node.doc_string = ""
        del node.metadata_props[:]
    _name_axes(model.graph)
    onnx.checker.check_model(model)
    return model


def _reorder_as_onnx(state, parent):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 (onnxscript traces it)
    return op.GatherND(state, op.Unsqueeze(parent, op.Constant(value_ints=[-1])), batch_dims=1)


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]  # noqa: ANN202 (a context manager without a value)
    """The exporter reports its progress and its own deprecations; neither is for the user."""
    level = logging.getLogger("torch").level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("torch").setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logging.getLogger("torch").setLevel(level)


def _all_nodes(graph: onnx.GraphProto):  # type: ignore[no-untyped-def]  # noqa: ANN202 (a generator of nodes)
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _all_nodes(attribute.g)


def _add_scalar_inputs(graph: onnx.GraphProto, limit_ratio: int) -> None:
    """Feed `beam`, `room` and `attended_rows` from scalar inputs: vectors of the asked length, of zeros.

    room is as long as the longest translation that this batch may need: no buffer is larger than that.
    """

    def constant(name: str, value: int | list[int]) -> onnx.NodeProto:
        return helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(np.array(value, np.int64)))

    def vector(size: str, name: str) -> list[onnx.NodeProto]:
        zero = helper.make_tensor("zero", TensorProto.INT64, [1], [0])
        return [
            helper.make_node("Reshape", [size, "scalar.shape"], [f"{name}.shape"]),
            helper.make_node("ConstantOfShape", [f"{name}.shape"], [name], value=zero),
        ]

    nodes = [
        constant("scalar.shape", [1]),
        constant("limit.ratio", limit_ratio),
        constant("limit.extra", EXTRA_LENGTH),
        helper.make_node("ReduceMax", ["source_length"], ["longest.source"], keepdims=0),
        helper.make_node("Mul", ["longest.source", "limit.ratio"], ["longest.scaled"]),
        helper.make_node("Add", ["longest.scaled", "limit.extra"], ["longest.target"]),
        helper.make_node("Min", ["longest.target", "max_length"], ["room.length"]),
        *vector("beam_size", "beam"),
        *vector("room.length", "room"),
        *vector("attended", "attended_rows"),
    ]
    body = list(graph.node)
    kept = {value.name: value for value in graph.input}
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes + body)
    for name, (dtype, axes) in INPUTS.items():
        if name in kept:
            graph.input.append(kept[name])
        else:
            kind = TensorProto.INT64 if dtype == "int64" else TensorProto.FLOAT
            graph.input.append(helper.make_tensor_value_info(name, kind, list(axes)))


def _name_axes(graph: onnx.GraphProto) -> None:
    """Give the dynamic axes of inputs and outputs the letters of the contract."""
    for values, contract in ((graph.input, INPUTS), (graph.output, OUTPUTS)):
        for value in values:
            for dimension, letter in zip(value.type.tensor_type.shape.dim, contract[value.name][1], strict=True):
                dimension.Clear()
                dimension.dim_param = letter


def self_test_of(engine: TorchEngine, sources: Sequence[Sequence[int]], bundle: Bundle) -> dict[str, object]:
    """A few sources with the ids and scores that PyTorch gives, and the settings that gave them."""
    settings = {
        "beam_size": bundle.defaults["beam_size"],
        "n_best": 1,
        "max_length": bundle.defaults["max_length"],
        "length_penalty": bundle.defaults["length_penalty"],
    }
    cases = []
    for source in sources:
        row = np.array([source], dtype=np.int64)
        target, score, _ = engine.run(row, np.array([len(source)]), attended=0, **settings)
        ids = [int(i) for i in target[0, 0] if i != PAD]
        cases.append({"source": [int(i) for i in source], "target": ids, "score": round(float(score[0, 0]), 6)})
    return {"settings": settings, "cases": cases}


def build(run: Run, sentences: Sequence[str]) -> tuple[bytes, list[Level]]:
    """The sealed file of a run, and how it compared with PyTorch on the sentences.

    Raises UserError when they differ: then there is no file.
    """
    search = run.search()
    engine = TorchEngine(search)
    bundle = bundle_of(run)
    source_tokenizer, _ = run.tokenizers()
    ids = [source_tokenizer.encode(s) for s in sentences]
    ids = [row for row in ids if len(row) <= bundle.max_source]
    if not ids:
        raise UserError("no validation sentence to compare PyTorch and ONNX on; the corpus of the run is empty")
    bundle = replace(bundle, self_test=self_test_of(engine, ids[:SELF_TESTS], bundle))
    model = to_onnx(search)
    helper.set_model_props(model, bundle.to_metadata())
    model.producer_name = METADATA_PREFIX.rstrip(".")
    data = seal(model.SerializeToString(deterministic=True))
    onnx_engine = OnnxEngine(data)
    levels = [
        compare_search(engine, onnx_engine, parity_batches(ids, batch), beam, bundle)
        for beam in (1, bundle.defaults["beam_size"])
        for batch in (1, 16)
    ]
    failed = [level for level in levels if not level.passed]
    if failed:
        raise UserError(f"the exported file differs from PyTorch, so it was not written: {failed[0].describe()}")
    return data, levels
