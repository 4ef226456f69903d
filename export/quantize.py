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

import onnx
import torch
import torch.nn.functional as F
from onnxscript import opset20 as op
from onnxscript.values import Op, Opset
from torch import Tensor, nn

from dragoman.translate.network.layers import Embedding
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
    original = output.logits

    def logits(x: Tensor, bias: Tensor) -> Tensor:
        histograms.setdefault("output", Histogram()).update(x)
        return original(x, bias)

    output.logits = logits  # type: ignore[method-assign]  # a method, not a module, so hooks do not see it
    try:
        translate()
    finally:
        for hook in hooks:
            hook.remove()
        del output.logits
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
    int8_search = BeamSearch(model, search.limit_ratio, right_to_left=search.right_to_left)
    return int8_search.eval().requires_grad_(False)


def quantise_rows(weight: Tensor, max_weight: int) -> tuple[Tensor, Tensor]:
    """Return a weight matrix (O, I) as int8, and the scale of each row (O).

    A row of the matrix is a column of its product.
    """
    scale = (weight.abs().amax(1) / max_weight).clamp(min=1e-12)
    return torch.round(weight / scale[:, None]).to(torch.int8), scale


class _Int8Product(nn.Module):
    """Base of modules that compute an int8 product.

    The names of the buffers are part of the names of initializers in exported files.
    """

    columns: Tensor  # int8 (I, O)
    scale: Tensor  # scales of the weights (O)
    step: Tensor  # scale of the input
    zero: Tensor  # zero point of the input

    def __init__(self, weight: Tensor, scale_and_zero_point: tuple[float, int], max_weight: int) -> None:
        super().__init__()
        input_scale, zero_point = scale_and_zero_point
        rows, weight_scale = quantise_rows(weight.detach(), max_weight)
        self.register_buffer("columns", rows.t().contiguous())
        self.register_buffer("scale", weight_scale)
        self.register_buffer("step", torch.tensor(input_scale))
        self.register_buffer("zero", torch.tensor(zero_point, dtype=torch.uint8))

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Return the product of x (..., I) plus the bias (O): (..., O)."""
        out: Tensor = integer_product(x, self.columns, self.step, self.scale, self.zero, bias)
        return out


class Int8Linear(_Int8Product):
    """nn.Linear in 8 bits."""

    bias: Tensor | None

    def __init__(self, linear: nn.Linear, scale_and_zero_point: tuple[float, int], max_weight: int) -> None:
        super().__init__(linear.weight, scale_and_zero_point, max_weight)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return x W^T + b: x (..., I) to (..., O)."""
        return self.product(x, self.bias)


class Int8Embedding(_Int8Product):
    """Embedding in 8 bits: one table, read by rows as an embedding and by columns as the output product."""

    def __init__(self, embedding: Embedding, scale_and_zero_point: tuple[float, int] | None, max_weight: int) -> None:
        super().__init__(embedding.weight, scale_and_zero_point or (1.0, 128), max_weight)
        self.factor = embedding.scale

    def table(self) -> Tensor:
        """Return the embeddings (V, E) in float32. ONNX Runtime computes them once, when it loads the file."""
        return self.columns.t().float() * (self.scale * self.factor)[:, None]

    def forward(self, ids: Tensor) -> Tensor:
        """Return the embeddings (..., S, E) of ids (..., S)."""
        return F.embedding(ids, self.table())

    def logits(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return the logits (..., V) of x (..., E), given the bias (V)."""
        return self.product(x, bias)


@torch.library.custom_op("dragoman::integer_product", mutates_args=())
def integer_product(
    x: Tensor, columns: Tensor, input_scale: Tensor, weight_scale: Tensor, zero_point: Tensor, bias: Tensor | None
) -> Tensor:
    """Return the product (..., O) that the module's docstring defines.

    x (..., I), columns int8 (I, O), weight_scale and bias (O); input_scale and zero_point are scalars.
    """
    q = torch.clamp(torch.round(x / input_scale) + zero_point.float(), 0, 255) - zero_point.float()
    # Floats represent integers, and therefore sums of integers, exactly up to the bits of their mantissa.
    exact = torch.float32 if columns.shape[0] * 255 * 127 < 2**24 else torch.float64
    y = (q.to(exact) @ columns.to(exact)).float() * (input_scale * weight_scale)
    return y if bias is None else y + bias


@integer_product.register_fake
def _(
    x: Tensor, columns: Tensor, input_scale: Tensor, weight_scale: Tensor, zero_point: Tensor, bias: Tensor | None
) -> Tensor:
    return x.new_empty((*x.shape[:-1], columns.shape[1]))


def _schema() -> onnx.defs.OpSchema:
    """Return the schema of ONNX Runtime's MatMulIntegerToFloat (its ContribOperators.md), which onnx does not know."""
    S = onnx.defs.OpSchema
    parameters = [("A", "tensor(uint8)", False), ("B", "tensor(int8)", False), ("a_scale", "tensor(float)", False),
                  ("b_scale", "tensor(float)", False), ("a_zero_point", "tensor(uint8)", True),
                  ("b_zero_point", "tensor(int8)", True), ("bias", "tensor(float)", True)]  # fmt: skip
    options = S.FormalParameterOption.Single, S.FormalParameterOption.Optional
    inputs = [
        S.FormalParameter(name, dtype, "", param_option=options[optional]) for name, dtype, optional in parameters
    ]
    outputs = [S.FormalParameter("Y", "tensor(float)", "")]
    return S("MatMulIntegerToFloat", "com.microsoft", 1, inputs=inputs, outputs=outputs)


_product = Op(Opset("com.microsoft", 1), "MatMulIntegerToFloat", _schema())


def product_as_onnx(
    x: Traced, columns: Traced, input_scale: Traced, weight_scale: Traced, zero_point: Traced, bias: Traced = None
) -> Traced:
    """Write an integer product as two ONNX nodes."""
    x_uint8 = op.QuantizeLinear(x, input_scale, zero_point)
    return _product(x_uint8, columns, input_scale, weight_scale, zero_point, None, bias)
