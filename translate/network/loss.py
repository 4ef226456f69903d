"""Label-smoothed cross-entropy that never holds all logits at once.

The logits of a batch over a large vocabulary are larger than anything else in a training step. This loss computes them
in chunks and turns each chunk into its gradients at once, as Liger Kernel does on GPUs (Hsu et al. 2024).

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
        loss, plain = _ChunkedCrossEntropy.apply(x, weight, bias, target, self, dtype)  # type: ignore[no-untyped-call]  # of torch
        return loss, plain

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


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Projection, softmax and cross-entropy with all gradients, computed together in the forward pass.

    The loss is linear in the gradient that arrives from above, so `backward` only scales what `forward` has saved.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, target: Tensor, loss: LabelSmoothedCrossEntropy,  # noqa: ANN401 (torch's own type)
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        smoothing = loss.smoothing
        sum_dtype = torch.float32 if dtype == torch.bfloat16 else dtype
        rows, W, b = x.to(dtype), weight.to(dtype), bias.to(dtype)
        grad_x = torch.empty_like(rows)  # (N, E)
        grad_weight, grad_bias = torch.zeros_like(weight, dtype=sum_dtype), torch.zeros_like(bias, dtype=sum_dtype)
        plain = uniform = torch.zeros((), dtype=sum_dtype, device=x.device)
        size = max(1, CHUNK // len(weight))
        buffers = loss.buffers(min(size, len(x)), weight, (dtype, sum_dtype))
        for start in range(0, len(x), size):
            chunk, ids = rows[start : start + size], target[start : start + size, None]  # (n, E), (n, 1)
            logits, grad = (buffer[: len(chunk)] for buffer in buffers)  # (n, V)
            torch.addmm(b, chunk, W.t(), out=logits)
            largest = logits.amax(1, keepdim=True).to(sum_dtype)  # (n, 1)
            torch.sub(logits, largest, out=grad).exp_()
            total = grad.sum(1, keepdim=True)  # (n, 1)
            log_partition = largest + total.log()  # (n, 1): the log of the softmax's denominator
            plain = plain + (log_partition - logits.gather(1, ids)).sum()
            if smoothing:
                uniform = uniform + (log_partition[:, 0] - logits.mean(1, dtype=sum_dtype)).sum()
            grad /= total  # now the softmax; minus the smoothed target it is the gradient of the logits
            if smoothing:
                grad -= smoothing / grad.shape[1]
            grad.scatter_add_(1, ids, grad.new_full((len(chunk), 1), smoothing - 1))
            grad_bias += grad.sum(0)
            if dtype == sum_dtype:
                grad_weight.addmm_(grad.t(), chunk)
            else:
                grad = logits.copy_(grad)
                grad_weight += grad.t() @ chunk
            torch.mm(grad, W, out=grad_x[start : start + size])
        ctx.save_for_backward(grad_x.to(x.dtype), grad_weight.to(weight.dtype), grad_bias.to(bias.dtype))
        ctx.mark_non_differentiable(plain)
        ctx.set_materialize_grads(False)
        return ((1 - smoothing) * plain + smoothing * uniform if smoothing else plain.clone()), plain

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 (torch's own type)
        return *(saved * grad.to(saved.dtype) for saved in ctx.saved_tensors), None, None, None
