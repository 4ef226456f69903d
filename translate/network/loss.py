"""Label-smoothed cross-entropy that never holds all logits at once.

The logits of a batch over a large vocabulary are larger than anything else in a training step. This loss computes them
in chunks and turns each chunk into its gradients at once, as Liger Kernel does on GPUs (Hsu et al. 2024). It computes
no gradients where nothing asks for them, as in validation.

Axis letters: N targets, E model width, V vocabulary (or labels), n targets of a chunk.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK = 8_000_000  # logits computed at once: more take memory, fewer take time


class LabelSmoothedCrossEntropy:
    """Cross-entropy of the logits x W^T + b, with and without label smoothing (Szegedy et al. 2016).

    Both losses are sums over targets. The object keeps its buffers from call to call. They are the largest tensors of a
    training step and vary in size, so fresh ones would fragment the heap.
    """

    def __init__(self, smoothing: float) -> None:
        self.smoothing = smoothing
        self._buffers: list[Tensor] = []

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the smoothed loss, and the plain one without gradient: x (N, E), weight (V, E), bias (V), target (N).

        Under autocast the products are computed in its type (bfloat16) and the sums in float32.
        """
        device, dtype = x.device.type, torch.promote_types(x.dtype, weight.dtype)
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        if torch.is_grad_enabled() and any(t.requires_grad for t in (x, weight, bias)):
            loss, plain = _ChunkedCrossEntropy.apply(x, weight, bias, target, self, dtype)  # type: ignore[no-untyped-call]  # of torch
            return loss, plain
        return _compute(x, weight, bias, target, self, dtype)

    def buffers(self, rows: int, weight: Tensor, dtypes: tuple[torch.dtype, torch.dtype]) -> list[Tensor]:
        """Return two uninitialised buffers (rows, V) of the given types."""
        buffers = self._buffers
        fit = [b.dtype for b in buffers] == [*dtypes] and all(
            len(b) >= rows and b.shape[1] == len(weight) and b.device == weight.device for b in buffers
        )
        if not fit:
            buffers.clear()
            buffers += [torch.empty(rows, len(weight), dtype=dtype, device=weight.device) for dtype in dtypes]
        return [b[:rows] for b in buffers]


def _sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the type of sums over products of a type."""
    return torch.float32 if dtype == torch.bfloat16 else dtype


class _Gradients:
    """The gradients of the smoothed loss, summed chunk by chunk."""

    def __init__(self, x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        sum_dtype = _sum_dtype(dtype)
        self.x = torch.empty_like(x, dtype=dtype)  # (N, E)
        self.weight, self.bias = torch.zeros_like(weight, dtype=sum_dtype), torch.zeros_like(bias, dtype=sum_dtype)

    def add(
        self, start: int, chunk: Tensor, W: Tensor, ids: Tensor, softmax: Tensor, logits: Tensor, smoothing: float
    ) -> None:
        """Add a chunk (n, E) that begins at target `start`, given its ids (n, 1), and softmax and logits (n, V).

        Overwrites softmax and logits.
        """
        grad = softmax  # minus the smoothed target, the softmax is the gradient of the logits
        if smoothing:
            grad -= smoothing / grad.shape[1]
        grad.scatter_add_(1, ids, grad.new_full((len(chunk), 1), smoothing - 1))
        self.bias += grad.sum(0)
        if logits.dtype == grad.dtype:
            self.weight.addmm_(grad.t(), chunk)
        else:
            grad = logits.copy_(grad)
            self.weight += grad.t() @ chunk
        torch.mm(grad, W, out=self.x[start : start + len(chunk)])


def _compute(
    x: Tensor, weight: Tensor, bias: Tensor, target: Tensor, loss: LabelSmoothedCrossEntropy, dtype: torch.dtype,
    gradients: _Gradients | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the smoothed and the plain loss, and add to the gradients, if there are any."""
    smoothing, sum_dtype = loss.smoothing, _sum_dtype(dtype)
    rows, W, b = x.to(dtype), weight.to(dtype), bias.to(dtype)
    plain = uniform = torch.zeros((), dtype=sum_dtype, device=x.device)
    size = max(1, CHUNK // len(weight))
    buffers = loss.buffers(min(size, len(x)), weight, (dtype, sum_dtype))
    for start in range(0, len(x), size):
        chunk, ids = rows[start : start + size], target[start : start + size, None]  # (n, E), (n, 1)
        logits, exponentials = (buffer[: len(chunk)] for buffer in buffers)  # (n, V)
        torch.addmm(b, chunk, W.t(), out=logits)
        largest = logits.amax(1, keepdim=True).to(sum_dtype)  # (n, 1)
        torch.sub(logits, largest, out=exponentials).exp_()
        total = exponentials.sum(1, keepdim=True)  # (n, 1)
        log_partition = largest + total.log()  # (n, 1): the log of the softmax's denominator
        plain = plain + (log_partition - logits.gather(1, ids)).sum()
        if smoothing:
            uniform = uniform + (log_partition[:, 0] - logits.mean(1, dtype=sum_dtype)).sum()
        if gradients:
            gradients.add(start, chunk, W, ids, exponentials.div_(total), logits, smoothing)
    return ((1 - smoothing) * plain + smoothing * uniform if smoothing else plain.clone()), plain


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Projection, softmax and cross-entropy with all gradients, computed together in the forward pass.

    The loss is linear in the gradient that arrives from above, so `backward` only scales what `forward` has saved.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, target: Tensor, loss: LabelSmoothedCrossEntropy,  # noqa: ANN401 (torch's own type)
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        gradients = _Gradients(x, weight, bias, dtype)
        smoothed, plain = _compute(x, weight, bias, target, loss, dtype, gradients)
        ctx.save_for_backward(gradients.x.to(x.dtype), gradients.weight.to(weight.dtype), gradients.bias.to(bias.dtype))
        ctx.mark_non_differentiable(plain)
        ctx.set_materialize_grads(False)
        return smoothed, plain

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 (torch's own type)
        return *(saved * grad.to(saved.dtype) for saved in ctx.saved_tensors), None, None, None
