"""Export a run as one ONNX file: encoder, search, tokenizer, metadata and self-test. The file must equal PyTorch."""

from __future__ import annotations

import contextlib
import io
import logging
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from onnxscript import opset20 as op
from onnxscript import optimizer
from torch import nn
from torch.export import Dim

from dragoman.export.graph_passes import bodies, simplify
from dragoman.export.int8_check import Comparison, compare_precisions
from dragoman.export.parity import TOLERANCE, Level, compare_search, own_settings, parity_batches, refuse_unequal
from dragoman.export.quantize import calibrate, product_as_onnx, quantised
from dragoman.runtime.contract import CONTRACTS, INPUTS, METADATA_PREFIX, OUTPUTS, PAD
from dragoman.runtime.engine import Engine, OnnxEngine
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata, append_checksum
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.evaluation.engine import TorchEngine, metadata_of
from dragoman.translate.network.search import EXTRA_LENGTH, BeamSearch
from dragoman.translate.training.run import Run

SELF_TESTS = 4


FOLDED = 1024  # numbers in the largest constant that the exporter computes


PARITY_SENTENCES = 64


CALIBRATION_SENTENCES = 256


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
    model = exported(search, arguments, names, [*OUTPUTS], shapes)
    _add_scalar_inputs(model.graph, search.limit_ratio)
    return finished(model, "translate")


def exported(
    module: nn.Module, arguments: tuple[torch.Tensor, ...], inputs: list[str], outputs: list[str], shapes: Any,  # noqa: ANN401
) -> onnx.ModelProto:  # fmt: skip
    """A module as an ONNX graph, simplified. shapes: as torch.onnx.export takes them."""
    translations: dict[Callable[..., object], Callable[..., object]] = {
        torch.ops.dragoman.reorder.default: _reorder_as_onnx,
        torch.ops.dragoman.integer_product.default: product_as_onnx,
    }
    with _quiet():
        program = torch.onnx.export(
            module, arguments, dynamo=True, input_names=inputs, output_names=outputs, dynamic_shapes=shapes,
            verbose=False, optimize=False, custom_translation_table=translations,
        )  # fmt: skip
        assert program is not None
        # Tables made of weights stay computations: ONNX Runtime makes them when it loads the file.
        optimizer.optimize(program.model, output_size_limit=FOLDED)
    return simplify(program.model_proto)


def finished(model: onnx.ModelProto, task: str) -> onnx.ModelProto:
    """A graph without what the exporter noted, its axes named as the task's contract has them, and checked."""
    del model.metadata_props[:]
    for graph in (model.graph, *(body for _, body, _ in bodies(model.graph))):
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
    _name_axes(model.graph, task)
    onnx.checker.check_model(model)
    return model


def _reorder_as_onnx(state: Any, parent: Any) -> Any:  # noqa: ANN401 (onnxscript traces it with values of its own)
    last: Any = op.Constant(value_ints=[-1])
    return op.GatherND(state, op.Unsqueeze(parent, last), batch_dims=1)


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]  # noqa: ANN202 (a context manager without a value)
    """The exporter reports its progress and its own deprecations; neither is for the user."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(before)


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


def _name_axes(graph: onnx.GraphProto, task: str) -> None:
    """Give the dynamic axes of inputs and outputs the letters of the contract."""
    for values, contract in zip((graph.input, graph.output), CONTRACTS[task], strict=True):
        for value in values:
            for dimension, letter in zip(value.type.tensor_type.shape.dim, contract[value.name][1], strict=True):
                dimension.Clear()
                dimension.dim_param = letter


def self_test_of(engine: Engine, file: Engine, sources: Sequence[Sequence[int]], metadata: Metadata) -> dict[str, Any]:
    """A few sources with the ids and scores that PyTorch gives, and the settings that gave them.

    They are of those on which the file gives the same to TOLERANCE of float32, in int8 too, and of these the first
    that are not close calls: another processor, which rounds otherwise, is to give the same, and a wrong one is not.
    """
    settings = own_settings(metadata.defaults["beam_size"], metadata)
    second = min(2, int(settings["beam_size"]))
    cases, margins = [], []
    for source in sources:
        row, length = np.array([source], dtype=np.int64), np.array([len(source)])
        one, two = (e.run(row, length, n_aligned=0, **settings) for e in (engine, file))
        ids, theirs = ([int(i) for i in found[0][0, 0] if i != PAD] for found in (one, two))
        if ids != theirs or not abs(float(one[1][0, 0]) - float(two[1][0, 0])) <= TOLERANCE["float32"].worst:
            continue
        best = file.run(row, length, n_aligned=0, **{**settings, "n_best": second})[1][0]
        margins.append(float(best[0] - best[second - 1]))
        cases.append({"source": [int(i) for i in source], "target": ids, "score": round(float(one[1][0, 0]), 6)})
    clear = statistics.median_low(margins) if margins else 0.0
    chosen = [case for case, margin in zip(cases, margins, strict=True) if margin >= clear]
    return {"settings": settings, "cases": chosen[:SELF_TESTS]}


def build(run: Run, sentences: Sequence[str]) -> tuple[bytes, list[Level]]:
    """The sealed file of a run, in float32, and how it compared with PyTorch on the sentences.

    Raises UserError when they differ: then there is no file.
    """
    model, metadata, levels = _make(run.search(), metadata_of(run), encoded(run, sentences))
    return sealed(model, metadata), levels


def build_int8(
    run: Run, pairs: Sequence[Pair], target: str, *, force: bool = False, say: Callable[[str], None] = lambda _: None
) -> tuple[bytes, list[Level], Comparison]:
    """The sealed file of a run in int8, how it compared with PyTorch, and with its own float32 file.

    pairs: the validation set, which activations are calibrated on and which both files are scored on.
    Raises UserError when the file differs from PyTorch, or (unless forced) is slower or worse than float32.
    """
    search, rows = run.search(), encoded(run, [pair.source for pair in pairs])
    say("calibrating")

    def use() -> None:
        for source, length in parity_batches(rows[:CALIBRATION_SENTENCES], 32):
            search.search(torch.from_numpy(source), torch.from_numpy(length), beam=run.config().search.beam_size)

    calibration = calibrate(search, use)
    metadata = replace(
        metadata_of(run),
        precision="int8",
        quantisation={"target": target, "calibration": {name: [*seen] for name, seen in calibration.items()}},
    )
    say("exporting int8")
    model, metadata, levels = _make(quantised(search, calibration, target), metadata, rows[:PARITY_SENTENCES])
    say("exporting float32 beside it")
    plain = sealed(*_make(search, metadata_of(run), rows[:PARITY_SENTENCES])[:2])
    say(f"translating {len(pairs):,} sentences of the validation set with both")
    comparison = compare_precisions(plain, sealed(model, metadata), metadata, pairs, rows)
    if not force and (complaint := comparison.complaint()):
        raise UserError(f"int8 was not written: {complaint}; --force writes it all the same")
    metadata = replace(metadata, quantisation={**metadata.quantisation, "against_float32": comparison.as_dict()})
    return sealed(model, metadata), levels, comparison


def encoded(run: Run, sentences: Sequence[str]) -> list[list[int]]:
    """The ids of sentences that the model takes in one piece. Raises UserError when there are none."""
    tokenizer, longest = run.source_tokenizer(), run.read_json("run.json")["max_source"]
    rows = [row for row in (tokenizer.encode(s) for s in sentences) if len(row) <= longest]
    if not rows:
        raise UserError(
            f"{run.folder}: PyTorch and ONNX are to be compared on {len(sentences):,} sentences, but none of them has "
            f"from 1 to {longest} ids"
        )
    return rows


def _make(
    search: BeamSearch, metadata: Metadata, rows: Sequence[Sequence[int]]
) -> tuple[onnx.ModelProto, Metadata, list[Level]]:
    """The model, the metadata with its self-test, and the levels that were compared. Raises UserError when one fails."""
    engine = TorchEngine(search)
    model = to_onnx(search)
    onnx_engine = OnnxEngine(sealed(model, metadata))
    levels = [
        compare_search(engine, onnx_engine, parity_batches(rows, batch), beam, metadata)
        for beam in (1, metadata.defaults["beam_size"])
        for batch in (1, 16)
    ]
    refuse_unequal(levels)
    metadata = replace(metadata, self_test=self_test_of(engine, onnx_engine, rows[: 4 * SELF_TESTS], metadata))
    if not metadata.self_test["cases"]:
        raise UserError(
            f"the exported file gives none of {min(len(rows), 4 * SELF_TESTS)} sentences as PyTorch does, to the last "
            "digits, so it was not written"
        )
    return model, metadata, levels


def sealed(model: onnx.ModelProto, metadata: Metadata) -> bytes:
    """The bytes of a file."""
    helper.set_model_props(model, metadata.to_props())
    model.producer_name = METADATA_PREFIX.rstrip(".")
    return append_checksum(model.SerializeToString(deterministic=True))
