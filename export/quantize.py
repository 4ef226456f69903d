"""int8: products of 8-bit weights and activations with fixed scales, so that a sentence's result is its own.

A weight column j is stored as int8 with its own scale; a product's input x has one scale a, found on the validation
set, and is stored as uint8: q = clamp(round(x / a) + z, 0, 255), with z = 128, or 0 where x comes from a ReLU (which
the clamp then does). y_j = a * scale_j * sum_i (q_i - z) w_ij + bias_j. Sums of integers are exact, and no scale
depends on the batch: one row gives the same bits in any company. (Jacob et al. 2018, "Quantization and Training of
Neural Networks for Efficient Integer-Arithmetic-Only Inference".)

Axis letters: B batch, S source length, V vocabulary, E model width, I and O a product's input and output widths.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import onnx
import torch
import torch.nn.functional as F
from onnxscript import opset20 as op
from onnxscript.values import Op, Opset
from torch import Tensor, nn

from dragoman.translate.model import Embedding
from dragoman.translate.search import BeamSearch

BINS = 2048  # of the histogram that a clipping point is chosen from


class Range:
    """What a product's input was seen to be: a histogram of magnitudes, and whether any was negative."""

    def __init__(self) -> None:
        self.counts = torch.zeros(BINS)
        self.top = 0.0
        self.negative = False

    def see(self, x: Tensor) -> None:
        """Count the values of one input; the histogram widens by whole factors of two."""
        x = x.detach().float().flatten()
        self.negative = self.negative or bool((x < 0).any())
        largest = float(x.abs().max())
        if self.top == 0:
            self.top = max(largest, 1e-6)
        while largest > self.top:
            self.counts = torch.cat((self.counts.reshape(-1, 2).sum(1), torch.zeros(BINS // 2)))
            self.top *= 2
        self.counts += torch.histc(x.abs(), BINS, 0, self.top)

    def scale(self, levels: int) -> float:
        """The step whose `levels` steps cover the range with the least squared error, clipped values included."""
        centres = (torch.arange(BINS) + 0.5) * (self.top / BINS)
        clips = self.top * torch.linspace(0.1, 1, 91)
        inside = centres <= clips[:, None]
        rounding = (clips / levels) ** 2 / 12
        error = torch.where(inside, rounding[:, None], (centres - clips[:, None]) ** 2) @ self.counts
        return float(clips[error.argmin()]) / levels


def quantise_columns(weight: Tensor, largest: int) -> tuple[Tensor, Tensor]:
    """Rows of a weight matrix (O, I), which are the columns of its product, as int8 and their scales (O)."""
    scale = (weight.abs().amax(1) / largest).clamp(min=1e-12)
    return torch.round(weight / scale[:, None]).to(torch.int8), scale


@torch.library.custom_op("dragoman::integer_product", mutates_args=())
def integer_product(
    x: Tensor, columns: Tensor, step: Tensor, scale: Tensor, zero: Tensor, bias: Tensor | None
) -> Tensor:
    """The product of the module's docstring: x (..., I), columns int8 (I, O), scale and bias (O) -> (..., O)."""
    q = torch.clamp(torch.round(x / step) + zero.float(), 0, 255) - zero.float()
    y = (q.double() @ columns.double()).float() * (step * scale)  # in float64 sums of integers are exact
    return y if bias is None else y + bias


@integer_product.register_fake
def _(x: Tensor, columns: Tensor, step: Tensor, scale: Tensor, zero: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty((*x.shape[:-1], columns.shape[1]))


def _schema() -> onnx.defs.OpSchema:
    """ONNX Runtime's MatMulIntegerToFloat, which the onnx package does not know (its ContribOperators.md)."""
    S = onnx.defs.OpSchema
    given = [("A", "tensor(uint8)", False), ("B", "tensor(int8)", False), ("a_scale", "tensor(float)", False),
             ("b_scale", "tensor(float)", False), ("a_zero_point", "tensor(uint8)", True),
             ("b_zero_point", "tensor(int8)", True), ("bias", "tensor(float)", True)]  # fmt: skip
    kinds = S.FormalParameterOption.Single, S.FormalParameterOption.Optional
    inputs = [S.FormalParameter(name, dtype, "", param_option=kinds[optional]) for name, dtype, optional in given]
    outputs = [S.FormalParameter("Y", "tensor(float)", "")]
    return S("MatMulIntegerToFloat", "com.microsoft", 1, inputs=inputs, outputs=outputs)


_product = Op(Opset("com.microsoft", 1), "MatMulIntegerToFloat", _schema())


def product_as_onnx(x, columns, step, scale, zero, bias=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 (onnxscript traces it)
    """How the exporter writes an integer product: two nodes."""
    return _product(op.QuantizeLinear(x, step, zero), columns, step, scale, zero, None, bias)


class Int8Linear(nn.Module):
    """nn.Linear in 8 bits."""

    def __init__(self, linear: nn.Linear, seen: Range, largest: int) -> None:
        super().__init__()
        columns, scale = quantise_columns(linear.weight.detach(), largest)
        self.register_buffer("columns", columns.t().contiguous())  # (I, O)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())
        self.register_buffer("step", torch.tensor(seen.scale(127 if seen.negative else 255)))
        self.register_buffer("zero", torch.tensor(128 if seen.negative else 0, dtype=torch.uint8))

    def forward(self, x: Tensor) -> Tensor:  # (..., I) -> (..., O)
        return integer_product(x, self.columns, self.step, self.scale, self.zero, self.bias)


class Int8Embedding(nn.Module):
    """Embedding in 8 bits: one table, read by rows as an embedding and as columns of the output product."""

    def __init__(self, embedding: Embedding, seen: Range | None, largest: int) -> None:
        super().__init__()
        table, scale = quantise_columns(embedding.weight.detach(), largest)
        self.register_buffer("columns", table.t().contiguous())  # (E, V)
        self.register_buffer("scale", scale)  # (V)
        self.register_buffer("step", torch.tensor(seen.scale(127) if seen else 1.0))
        self.register_buffer("zero", torch.tensor(128, dtype=torch.uint8))
        self.factor = embedding.scale

    def table(self) -> Tensor:
        """See Embedding. ONNX Runtime makes it once, when it loads the file."""
        return self.columns.t().float() * (self.scale * self.factor)[:, None]

    def forward(self, ids: Tensor) -> Tensor:  # (..., S) -> (..., S, E)
        return F.embedding(ids, self.table())

    def logits(self, x: Tensor, bias: Tensor) -> Tensor:
        """(..., E), (V) -> (..., V)."""
        return integer_product(x, self.columns, self.step, self.scale, self.zero, bias)


def watch(search: BeamSearch, run: Callable[[], None]) -> dict[nn.Module, Range]:
    """The ranges of what enters each product of a network while `run` uses it."""
    ranges: dict[nn.Module, Range] = {}
    hooks = []

    def before(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        ranges.setdefault(module, Range()).see(arguments[0])

    hooks += [m.register_forward_pre_hook(before) for m in search.model.modules() if isinstance(m, nn.Linear)]
    output = search.model.output
    original = output.logits

    def logits(x: Tensor, bias: Tensor) -> Tensor:
        ranges.setdefault(output, Range()).see(x)
        return original(x, bias)

    output.logits = logits  # type: ignore[method-assign]  # a method, not a module: no hook sees it
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
        del output.logits
    return ranges


def quantised(search: BeamSearch, ranges: dict[nn.Module, Range], largest: int = 127) -> BeamSearch:
    """A copy of a search whose products are in 8 bits."""
    names = {name: ranges.get(module) for name, module in search.model.named_modules()}
    model = copy.deepcopy(search.model)
    made: dict[int, nn.Module] = {}
    for name, module in [*model.named_modules(remove_duplicate=False)]:
        seen = names.get(name)
        if isinstance(module, nn.Linear) and seen is not None:
            new: nn.Module = Int8Linear(module, seen, largest)
        elif isinstance(module, Embedding):
            new = made.setdefault(id(module), Int8Embedding(module, seen, largest))
        else:
            continue
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, new)
    return BeamSearch(model, search.limit_ratio).eval()
