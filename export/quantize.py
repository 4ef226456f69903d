"""The int8 network: integer products in place of float ones, in PyTorch."""

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

# Processors without VNNI or its like (x86 before 2019) add two products in 16 bits, and 255 * 127 * 2 does not fit:
# files for any processor keep to 7-bit weights, for which it always fits.
Target = Literal["portable", "vnni"]


LARGEST: dict[str, int] = {"portable": 63, "vnni": 127}


BINS = 2048  # of the histogram that a clipping point is chosen from


# A product's step and zero point, by the product's name in the network: all that calibration finds.
Calibration = Mapping[str, tuple[float, int]]


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

    def step(self) -> tuple[float, int]:
        """The step that covers the range with the least squared error, clipped values included; and the zero point."""
        levels, zero = (127, 128) if self.negative else (255, 0)
        centres = (torch.arange(BINS) + 0.5) * (self.top / BINS)
        clips = self.top * torch.linspace(0.1, 1, 91)
        rounding = (clips / levels) ** 2 / 12
        clipping = (centres - clips[:, None]) ** 2
        error = torch.where(centres <= clips[:, None], rounding[:, None], clipping) @ self.counts
        return float(clips[error.argmin()]) / levels, zero


def calibrate(search: BeamSearch, use: Callable[[], None]) -> Calibration:
    """Steps and zero points of a network's products, from what enters them while `use` runs the search."""
    ranges: dict[str, Range] = {}
    hooks = []
    for name, module in search.model.named_modules():
        if isinstance(module, nn.Linear):

            def before(_: nn.Module, arguments: tuple[Tensor, ...], name: str = name) -> None:
                ranges.setdefault(name, Range()).see(arguments[0])

            hooks.append(module.register_forward_pre_hook(before))
    assert isinstance(search.model, Seq2Seq)
    output = search.model.output
    original = output.logits

    def logits(x: Tensor, bias: Tensor) -> Tensor:
        ranges.setdefault("output", Range()).see(x)
        return original(x, bias)

    output.logits = logits  # type: ignore[method-assign]  # a method, not a module: no hook sees it
    try:
        use()
    finally:
        for hook in hooks:
            hook.remove()
        del output.logits
    return {name: seen.step() for name, seen in ranges.items()}


def quantised(search: BeamSearch, calibration: Calibration, target: str) -> BeamSearch:
    """A copy of a search whose products are in 8 bits."""
    model, largest = copy.deepcopy(search.model), LARGEST[target]
    calibration = {current_name(name): found for name, found in calibration.items()}
    made: dict[int, Int8Embedding] = {}  # a shared table stays one
    for name, module in [*model.named_modules(remove_duplicate=False)]:
        if isinstance(module, nn.Linear):
            new: nn.Module = Int8Linear(module, calibration[name], largest)
        elif isinstance(module, Embedding):
            seen = calibration["output"] if module is model.output else None
            new = made.setdefault(id(module), Int8Embedding(module, seen, largest))
        else:
            continue
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, new)
    small = BeamSearch(model, search.limit_ratio, right_to_left=search.right_to_left)
    return small.eval().requires_grad_(False)


def quantise_rows(weight: Tensor, largest: int) -> tuple[Tensor, Tensor]:
    """Rows of a weight matrix (O, I), which are the columns of its product, as int8 and their scales (O)."""
    scale = (weight.abs().amax(1) / largest).clamp(min=1e-12)
    return torch.round(weight / scale[:, None]).to(torch.int8), scale


class _Int8Product(nn.Module):
    """What an integer product needs."""

    columns: Tensor  # int8 (I, O)
    scale: Tensor  # (O)
    step: Tensor
    zero: Tensor

    def __init__(self, weight: Tensor, seen: tuple[float, int], largest: int) -> None:
        super().__init__()
        rows, scale = quantise_rows(weight.detach(), largest)
        self.register_buffer("columns", rows.t().contiguous())
        self.register_buffer("scale", scale)
        self.register_buffer("step", torch.tensor(seen[0]))
        self.register_buffer("zero", torch.tensor(seen[1], dtype=torch.uint8))

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """(..., I), (O) -> (..., O)."""
        out: Tensor = integer_product(x, self.columns, self.step, self.scale, self.zero, bias)
        return out


class Int8Linear(_Int8Product):
    """nn.Linear in 8 bits."""

    bias: Tensor | None

    def __init__(self, linear: nn.Linear, seen: tuple[float, int], largest: int) -> None:
        super().__init__(linear.weight, seen, largest)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:  # (..., I) -> (..., O)
        return self.product(x, self.bias)


class Int8Embedding(_Int8Product):
    """Embedding in 8 bits: one table, read by rows as an embedding and by columns as the output product."""

    def __init__(self, embedding: Embedding, seen: tuple[float, int] | None, largest: int) -> None:
        super().__init__(embedding.weight, seen or (1.0, 128), largest)
        self.factor = embedding.scale

    def table(self) -> Tensor:
        """See Embedding. ONNX Runtime makes it once, when it loads the file."""
        return self.columns.t().float() * (self.scale * self.factor)[:, None]

    def forward(self, ids: Tensor) -> Tensor:  # (..., S) -> (..., S, E)
        return F.embedding(ids, self.table())

    def logits(self, x: Tensor, bias: Tensor) -> Tensor:
        """(..., E), (V) -> (..., V)."""
        return self.product(x, bias)


@torch.library.custom_op("dragoman::integer_product", mutates_args=())
def integer_product(
    x: Tensor, columns: Tensor, step: Tensor, scale: Tensor, zero: Tensor, bias: Tensor | None
) -> Tensor:
    """The product of the module's docstring: x (..., I), columns int8 (I, O), scale and bias (O) -> (..., O)."""
    q = torch.clamp(torch.round(x / step) + zero.float(), 0, 255) - zero.float()
    # A float holds whole numbers up to its mantissa's bits exactly, and so do sums of them.
    exact = torch.float32 if columns.shape[0] * 255 * 127 < 2**24 else torch.float64
    y = (q.to(exact) @ columns.to(exact)).float() * (step * scale)
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


def product_as_onnx(x: Any, columns: Any, step: Any, scale: Any, zero: Any, bias: Any = None) -> Any:  # noqa: ANN401
    """How the exporter writes an integer product, two nodes; onnxscript traces it with values of its own."""
    return _product(op.QuantizeLinear(x, step, zero), columns, step, scale, zero, None, bias)
