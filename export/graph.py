"""PyTorch to ONNX: the graph of a network, with the inputs and outputs of the tensor contract.

Axis letters: B batch, S source length, T target length, K beam, A hypotheses to align.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxscript import opset20 as op
from onnxscript import optimizer
from torch import Tensor, nn
from torch.export import Dim
from torch.fx.experimental import _config as fx_config

from dragoman.export.graph_passes import CHOOSE, simplify
from dragoman.export.operators import operator
from dragoman.export.quantize import product_as_onnx, quantisation_as_onnx, sums_as_onnx
from dragoman.runtime.contract import CONTRACTS, INPUTS, METADATA_PREFIX, OUTPUTS
from dragoman.runtime.metadata import Metadata, append_checksum
from dragoman.translate.network.search import EXTRA_LENGTH, BeamSearch

# Constants with more values than this stay computations. ONNX Runtime computes them once, when it loads the file, so
# that tables made of weights are not stored twice.
FOLD_LIMIT = 1024


def to_onnx(search: BeamSearch) -> onnx.ModelProto:
    """Return a search as an ONNX model of the task `translate`.

    `BeamSearch.forward` takes three sizes as lengths of vectors, because an exported graph cannot use the value of a
    tensor as a size. The model takes them as scalars and makes the vectors first.
    """
    search = search.eval().requires_grad_(False)
    vocabulary = search.model.bias.shape[0]
    arguments = (
        torch.randint(4, vocabulary, (3, 7)),
        torch.tensor([7, 3, 5]),
        torch.zeros(4, dtype=torch.int64),
        torch.tensor(1),
        torch.zeros(25, dtype=torch.int64),
        torch.tensor(1.0),
        torch.zeros(2, dtype=torch.int64),
    )
    names = ["source", "source_length", "beam", "n_best", "max_length_rows", "length_penalty", "n_aligned_rows"]
    d = Dim.DYNAMIC
    shapes = ({0: d, 1: d}, {0: d}, {0: d}, None, {0: d}, None, {0: d})
    model = _export(search, arguments, names, [*OUTPUTS], shapes)
    _add_scalar_inputs(model.graph, search.limit_ratio)
    return _finish(model, "translate")


def module_to_onnx(module: nn.Module, arguments: tuple[Tensor, ...], shapes: Any, task: str) -> onnx.ModelProto:  # noqa: ANN401 (PyTorch's type)
    """Return a module as an ONNX model whose inputs and outputs are named by the contract of its task.

    arguments: example inputs. shapes: their dynamic axes, as torch.onnx.export takes them.
    """
    inputs, outputs = CONTRACTS[task]
    module = module.eval().requires_grad_(False)
    return _finish(_export(module, arguments, [*inputs], [*outputs], shapes), task)


def serialize(model: onnx.ModelProto, metadata: Metadata) -> bytes:
    """Return the bytes of a Dragoman file: a model with its metadata and checksum."""
    helper.set_model_props(model, metadata.to_props())
    model.producer_name = METADATA_PREFIX.rstrip(".")
    return append_checksum(model.SerializeToString(deterministic=True))


def _export(
    module: nn.Module, arguments: tuple[Tensor, ...], inputs: Sequence[str], outputs: Sequence[str], shapes: Any,  # noqa: ANN401 (PyTorch's type)
) -> onnx.ModelProto:  # fmt: skip
    """Return a module as a simplified ONNX model."""
    translations: dict[Callable[..., object], Callable[..., object]] = {
        torch.ops.dragoman.reorder.default: _reorder_as_onnx,
        torch.ops.dragoman.choose.default: choice_as_onnx,
        torch.ops.dragoman.trim.default: _trim_as_onnx,
        torch.ops.dragoman.integer_product.default: product_as_onnx,
        torch.ops.dragoman.quantise.default: quantisation_as_onnx,
        torch.ops.dragoman.integer_sums.default: sums_as_onnx,
    }
    # `torch.onnx.export` would try a non-strict capture first, which fails at the loops after half of the time.
    # An axis of size 0 or 1 is like any other. (The module has `patch` once it is loaded.)
    with _silence(), fx_config.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
        captured = torch.export.export(module, arguments, dynamic_shapes=shapes, strict=True)
        program = torch.onnx.export(
            captured, dynamo=True, input_names=inputs, output_names=outputs,
            verbose=False, optimize=False, custom_translation_table=translations,
        )  # fmt: skip
        assert program is not None
        optimizer.optimize(program.model, output_size_limit=FOLD_LIMIT)
    return simplify(program.model)


def _reorder_as_onnx(state: Any, parent: Any) -> Any:  # noqa: ANN401 (onnxscript traces it with its own values)
    last: Any = op.Constant(value_ints=[-1])
    return op.GatherND(state, op.Unsqueeze(parent, last), batch_dims=1)


def _trim_as_onnx(ids: Any) -> Any:  # noqa: ANN401 (as above)
    onnx_op: Any = op  # its types allow fewer values than the operators
    zero, one, axis = (onnx_op.Constant(value_ints=[i]) for i in (0, 1, 1))
    used = onnx_op.ReduceSum(onnx_op.Cast(onnx_op.Greater(ids, zero), to=TensorProto.INT64), axis, keepdims=0)
    return onnx_op.Slice(ids, zero, onnx_op.Max(onnx_op.ReduceMax(used, keepdims=1), one), axis)


choice_as_onnx = operator(
    *CHOOSE, {"condition": "tensor(bool)", "then": "T", "otherwise": "T"}, "T", ["tensor(float)", "tensor(int64)"]
)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Hide the exporter's progress and deprecation warnings, which a user can do nothing about."""
    disabled = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(disabled)


def _add_scalar_inputs(graph: onnx.GraphProto, limit_ratio: int) -> None:
    """Make `beam`, `max_length_rows` and `n_aligned_rows` from scalar inputs: vectors of zeros of that length.

    max_length_rows has one row for each id of the longest translation that the batch may need, so that no buffer is
    larger.
    """

    def constant(name: str, value: int | list[int]) -> onnx.NodeProto:
        return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value, np.int64)))

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
        helper.make_node("Min", ["longest.target", "max_length"], ["longest.allowed"]),
        *vector("beam_size", "beam"),
        *vector("longest.allowed", "max_length_rows"),
        *vector("attended", "n_aligned_rows"),
    ]
    body = list(graph.node)
    exported = {value.name: value for value in graph.input}
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes + body)
    for name, (dtype, axes) in INPUTS.items():
        if name in exported:
            graph.input.append(exported[name])
        else:
            element_type = TensorProto.INT64 if dtype == "int64" else TensorProto.FLOAT
            graph.input.append(helper.make_tensor_value_info(name, element_type, list(axes)))


def _finish(model: onnx.ModelProto, task: str) -> onnx.ModelProto:
    """Name the dynamic axes by the letters of the task's contract, and check the model."""
    for values, contract in zip((model.graph.input, model.graph.output), CONTRACTS[task], strict=True):
        for value in values:
            for dimension, letter in zip(value.type.tensor_type.shape.dim, contract[value.name][1], strict=True):
                dimension.Clear()
                dimension.dim_param = letter
    del model.graph.value_info[:]  # ONNX Runtime infers the shapes in between itself
    onnx.checker.check_model(model)
    return model
