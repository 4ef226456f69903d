"""The int8 network, in PyTorch: products of 8-bit weights and activations whose scales are fixed in advance.

Each output column j of a weight matrix is stored as int8 with its own scale. The input x of a product has one scale
a, which calibration finds on the validation set, and is quantised to uint8:

    q = clamp(round(x / a) + z, 0, 255), with the zero point z = 128, or z = 0 if x comes from a ReLU
    y_j = a * scale_j * sum_i (q_i - z) w_ij + bias_j

With z = 0 the clamp does the work of the ReLU. Sums of integers are exact and no scale depends on the batch, so a row
gives the same bits in every batch. (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference".)

Axis letters: V vocabulary, E model width, I and O input and output width of a product.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from onnxscript import opset20 as op
from torch import Tensor, nn

from dragoman.export.operators import operator
from dragoman.translate.network.layers import Column, Embedding
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.training.checkpoint import current_name

# The processors that a file is made for. Without VNNI (x86 before 2019), an instruction adds two products in 16 bits,
# and 255 * 127 * 2 overflows. The portable target therefore has 7-bit weights, which never overflow.
Target = Literal["portable", "vnni"]

MAX_WEIGHT: dict[str, int] = {"portable": 63, "vnni": 127}

BINS = 2048  # of the histogram from which the clipping point is chosen

Traced = Any  # a value of onnxscript, which traces functions with its own types

# Scale and zero point of the input of each product, by the name of its module in the network.
Calibration = Mapping[str, tuple[float, int]]


class Histogram:
    """Histogram of the magnitudes of a product's inputs, with a note whether any was negative."""

    def __init__(self) -> None:
        self.counts = torch.zeros(BINS)
        self.top = 0.0  # upper edge of the last bin
        self.negative = False

    def update(self, x: Tensor) -> None:
        """Count the values of one input. The histogram widens by factors of two."""
        x = x.detach().float().flatten()
        self.negative = self.negative or bool((x < 0).any())
        largest = float(x.abs().max())
        if self.top == 0:
            self.top = max(largest, 1e-6)
        while largest > self.top:
            self.counts = torch.cat((self.counts.reshape(-1, 2).sum(1), torch.zeros(BINS // 2)))
            self.top *= 2
        self.counts += torch.histc(x.abs(), BINS, 0, self.top)

    def scale_and_zero_point(self) -> tuple[float, int]:
        """Return the scale with the least squared error of rounding and clipping together, and the zero point."""
        levels, zero_point = (127, 128) if self.negative else (255, 0)
        centres = (torch.arange(BINS) + 0.5) * (self.top / BINS)
        clips = self.top * torch.linspace(0.1, 1, 91)
        rounding = (clips / levels) ** 2 / 12  # variance of a uniform distribution as wide as the scale
        clipping = (centres - clips[:, None]) ** 2
        error = torch.where(centres <= clips[:, None], rounding[:, None], clipping) @ self.counts
        return float(clips[error.argmin()]) / levels, zero_point


def calibrate(search: BeamSearch, translate: Callable[[], None]) -> Calibration:
    """Return the scale and zero point of the input of each linear layer, by the layer's name.

    They come from the inputs that the layers get while `translate` runs the search. The key "output" is the output
    product.
    """
    histograms: dict[str, Histogram] = {}
    hooks = []
    for name, module in search.model.named_modules():
        if isinstance(module, nn.Linear):

            def update(_: nn.Module, arguments: tuple[Tensor, ...], name: str = name) -> None:
                histograms.setdefault(name, Histogram()).update(arguments[0])

            hooks.append(module.register_forward_pre_hook(update))
    assert isinstance(search.model, Seq2Seq)
    output = search.model.output
    original = output.project

    def project(x: Tensor, shared: tuple[Tensor, ...], own: tuple[Tensor, ...] = ()) -> Tensor:
        histograms.setdefault("output", Histogram()).update(x)
        return original(x, shared, own)

    output.project = project  # type: ignore[method-assign]  # a method, not a module, so hooks do not see it
    try:
        translate()
    finally:
        for hook in hooks:
            hook.remove()
        del output.project
    return {name: histogram.scale_and_zero_point() for name, histogram in histograms.items()}


def quantised(search: BeamSearch, calibration: Calibration, target: str) -> BeamSearch:
    """Return a copy of a search whose products are computed in 8 bits."""
    model, max_weight = copy.deepcopy(search.model), MAX_WEIGHT[target]
    calibration = {current_name(name): scale_and_zero_point for name, scale_and_zero_point in calibration.items()}
    embeddings: dict[int, Int8Embedding] = {}  # by identity, so that a shared table stays shared
    for name, module in [*model.named_modules(remove_duplicate=False)]:
        if isinstance(module, nn.Linear):
            replacement: nn.Module = Int8Linear(module, calibration[name], max_weight)
        elif isinstance(module, Embedding):
            scale_and_zero_point = calibration["output"] if module is model.output else None
            replacement = embeddings.setdefault(id(module), Int8Embedding(module, scale_and_zero_point, max_weight))
        else:
            continue
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, replacement)
    int8_search = BeamSearch(model, search.limit_ratio, right_to_left=search.right_to_left, selection=search.selection)
    return int8_search.eval().requires_grad_(False)


def quantise_rows(weight: Tensor, max_weight: int) -> tuple[Tensor, Tensor]:
    """Return a weight matrix (O, I) as int8, and the scale of each row (O).

    A row of the matrix is a column of its product.
    """
    scale = (weight.abs().amax(1) / max_weight).clamp(min=1e-12)
    return torch.round(weight / scale[:, None]).to(torch.int8), scale


class Int8Linear(nn.Module):
    """nn.Linear in 8 bits. The names of the buffers are part of the names of initializers in exported files."""

    columns: Tensor  # int8 (I, O)
    scale: Tensor  # scales of the weights (O)
    step: Tensor  # scale of the input
    zero: Tensor  # zero point of the input
    bias: Tensor | None

    def __init__(self, linear: nn.Linear, scale_and_zero_point: tuple[float, int], max_weight: int) -> None:
        super().__init__()
        input_scale, zero_point = scale_and_zero_point
        rows, weight_scale = quantise_rows(linear.weight.detach(), max_weight)
        self.register_buffer("columns", rows.t().contiguous())
        self.register_buffer("scale", weight_scale)
        self.register_buffer("step", torch.tensor(input_scale))
        self.register_buffer("zero", torch.tensor(zero_point, dtype=torch.uint8))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return x W^T + b: x (..., I) to (..., O)."""
        out: Tensor = integer_product(x, self.columns, self.step, self.scale, self.zero, self.bias)
        return out


class Int8Embedding(nn.Module):
    """Embedding in 8 bits: one matrix, whose rows are the embeddings and the columns of the output product."""

    rows: Tensor  # int8 (V, E)
    scale: Tensor  # scales of the weights (V)
    step: Tensor  # scale of the input of the output product
    zero: Tensor  # zero point of that input

    def __init__(self, embedding: Embedding, scale_and_zero_point: tuple[float, int] | None, max_weight: int) -> None:
        super().__init__()
        input_scale, zero_point = scale_and_zero_point or (1.0, 128)
        rows, weight_scale = quantise_rows(embedding.weight.detach(), max_weight)
        self.register_buffer("rows", rows)
        self.register_buffer("scale", weight_scale)
        self.register_buffer("step", torch.tensor(input_scale))
        self.register_buffer("zero", torch.tensor(zero_point, dtype=torch.uint8))
        self.factor, self.max_weight = embedding.scale, max_weight

    def forward(self, ids: Tensor) -> Tensor:
        """Return the embeddings (..., E) of ids (...)."""
        scale = F.embedding(ids, (self.scale * self.factor)[:, None])  # (..., 1)
        return F.embedding(ids, self.rows).float() * scale

    def logits(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return the logits (..., V) of x (..., E), given the bias (V)."""
        return self.project(x, self.shared_columns(None, bias))

    def shared_columns(self, ids: Tensor | None, bias: Tensor, first: Column | None = None) -> tuple[Tensor, ...]:
        """Return what `project` needs for the shared columns: see Embedding."""
        if ids is None:
            return self.rows.t().contiguous(), self.scale, bias
        rows, scale, bias = F.embedding(ids, self.rows), self.scale.index_select(0, ids), bias.index_select(0, ids)
        if first is not None:
            row, row_scale = quantise_rows(first.weight[None], self.max_weight)
            rows, scale, bias = torch.cat((row, rows)), torch.cat((row_scale, scale)), torch.cat((first.bias, bias))
        return rows.t().contiguous(), scale, bias

    def own_columns(self, ids: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        """Return what `project` needs for the columns of each sentence's own: ids (B, N), bias (V).

        The zero point of x is a part of the bias.
        """
        columns = F.embedding(ids, self.rows).transpose(1, 2).contiguous()  # (B, E, N)
        scale_and_bias = F.embedding(ids, torch.stack((self.scale * self.step, bias), 1))  # (B, N, 2)
        scale, own_bias = scale_and_bias.transpose(1, 2).contiguous().split(1, 1)  # (B, 1, N)
        zeros = integer_sums(self.zero.expand(1, columns.shape[1]), columns)  # (B, 1, N)
        return columns, scale, own_bias - zeros.float() * scale

    def project(self, x: Tensor, shared: tuple[Tensor, ...], own: tuple[Tensor, ...] = ()) -> Tensor:
        """Project x (B, K, E), or (..., E) if `own` is empty, onto the columns: (B, K, C), the shared ones first."""
        columns, weight_scale, bias = shared
        logits: Tensor = integer_product(x, columns, self.step, weight_scale, self.zero, bias)
        if not own:
            return logits
        columns, scale, bias = own
        sums = integer_sums(quantise(x, self.step, self.zero), columns)  # (B, K, N)
        return torch.cat((logits, sums.float() * scale + bias), -1)


@torch.library.custom_op("dragoman::integer_product", mutates_args=())
def integer_product(
    x: Tensor, columns: Tensor, input_scale: Tensor, weight_scale: Tensor, zero_point: Tensor, bias: Tensor | None
) -> Tensor:
    """Return the product (..., O) that the module's docstring defines.

    x (..., I), columns int8 (I, O), weight_scale and bias (O); input_scale and zero_point are scalars.
    """
    q = _levels(x, input_scale, zero_point) - zero_point.float()
    y = _exact_product(q, columns).float() * (input_scale * weight_scale)
    return y if bias is None else y + bias


def _levels(x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Return the integers from 0 to 255 that x is quantised to, as floats."""
    return torch.clamp(torch.round(x / scale) + zero_point.float(), 0, 255)


def _exact_product(x: Tensor, columns: Tensor) -> Tensor:
    """Return x (..., I) @ columns (..., I, O), both integers of 8 bits, without rounding."""
    # Floats represent integers, and therefore sums of integers, exactly up to the bits of their mantissa.
    exact = torch.float32 if columns.shape[-2] * 255 * 127 < 2**24 else torch.float64
    return x.to(exact) @ columns.to(exact)


@integer_product.register_fake
def _(
    x: Tensor, columns: Tensor, input_scale: Tensor, weight_scale: Tensor, zero_point: Tensor, bias: Tensor | None
) -> Tensor:
    return x.new_empty((*x.shape[:-1], columns.shape[1]))


# ONNX Runtime's product (its ContribOperators.md), which onnx does not know.
_product = operator(
    "com.microsoft", "MatMulIntegerToFloat",
    {"A": "tensor(uint8)", "B": "tensor(int8)", "a_scale": "tensor(float)", "b_scale": "tensor(float)",
     "a_zero_point": "tensor(uint8)", "b_zero_point": "tensor(int8)", "bias": "tensor(float)"},
    "tensor(float)", required=4,
)  # fmt: skip


def product_as_onnx(
    x: Traced, columns: Traced, input_scale: Traced, weight_scale: Traced, zero_point: Traced, bias: Traced = None
) -> Traced:
    """Write an integer product as two ONNX nodes."""
    x_uint8 = quantisation_as_onnx(x, input_scale, zero_point)
    return _product(x_uint8, columns, input_scale, weight_scale, zero_point, None, bias)


@torch.library.custom_op("dragoman::quantise", mutates_args=())
def quantise(x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Return x as uint8: clamp(round(x / scale) + zero_point, 0, 255)."""
    return _levels(x, scale, zero_point).to(torch.uint8)


@quantise.register_fake
def _(x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    return torch.empty_like(x, dtype=torch.uint8)


@torch.library.custom_op("dragoman::integer_sums", mutates_args=())
def integer_sums(x: Tensor, columns: Tensor) -> Tensor:
    """Return x @ columns as int32 (B, K, N): uint8 x (B, K, E) or (K, E), int8 columns (B, E, N)."""
    return _exact_product(x, columns).to(torch.int32)


@integer_sums.register_fake
def _(x: Tensor, columns: Tensor) -> Tensor:
    return x.new_empty((columns.shape[0], x.shape[-2], columns.shape[-1]), dtype=torch.int32)


def quantisation_as_onnx(x: Traced, scale: Traced, zero_point: Traced) -> Traced:
    """Write `quantise` as one ONNX node."""
    return op.QuantizeLinear(x, scale, zero_point)


def sums_as_onnx(x: Traced, columns: Traced) -> Traced:
    """Write integer sums as one ONNX node. Without a zero point, one row has a fast kernel in ONNX Runtime."""
    return op.MatMulInteger(x, columns)
