"""Cross-entropy with label smoothing that never holds all logits at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK = 8_000_000  # scores at once: bounds the memory of a large vocabulary; fewer cost time


class SmoothedLoss:
    """Cross-entropy of scores x W^T + b with label smoothing (Szegedy et al. 2016), and without, summed over targets.

    Keeps the memory that it computes in, which is larger than anything else in a step: taken from the system anew every
    time, in another size, it would leave gaps.
    """

    def __init__(self, smoothing: float) -> None:
        self.smoothing = smoothing
        self._scratch: list[Tensor] = []

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, E), weight (V, E), bias (V), target (N) -> the loss, and the one without smoothing and gradient.

        Products are in bfloat16 under autocast.
        """
        kind, dtype = x.device.type, torch.promote_types(x.dtype, weight.dtype)
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        loss, plain = _Function.apply(x, weight, bias, target, self, dtype)  # type: ignore[no-untyped-call]  # torch's
        return loss, plain

    def scratch(self, rows: int, weight: Tensor, dtypes: tuple[torch.dtype, torch.dtype]) -> list[Tensor]:
        """Memory for so many rows of scores (rows, V) in two types; what is in it does not matter."""
        found = self._scratch
        fits = [s.dtype for s in found] == [*dtypes] and all(
            len(s) >= rows and s.shape[1] == len(weight) and s.device == weight.device for s in found
        )
        if not fits:
            found.clear()
            found += [torch.empty(rows, len(weight), dtype=dtype, device=weight.device) for dtype in dtypes]
        return [s[:rows] for s in found]


class _Function(torch.autograd.Function):
    """Product, softmax and cross-entropy, and all gradients with them, a chunk of targets at a time.

    The scores (N, V) of a large vocabulary are much larger than anything else in a step; a chunk's are turned into its
    gradients at once, so that no more than a chunk is ever held (as Liger Kernel does it on GPUs, Hsu et al. 2024).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, target: Tensor, own: SmoothedLoss, dtype: torch.dtype  # noqa: ANN401 (torch's own type)
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        exact, smoothing = torch.float32 if dtype == torch.bfloat16 else dtype, own.smoothing
        rows, W, b = x.to(dtype), weight.to(dtype), bias.to(dtype)
        grad_x = torch.empty_like(rows)
        grad_weight, grad_bias = torch.zeros_like(weight, dtype=exact), torch.zeros_like(bias, dtype=exact)
        plain = uniform = torch.zeros((), dtype=exact, device=x.device)
        size = max(1, CHUNK // len(weight))
        memory = own.scratch(min(size, len(x)), weight, (dtype, exact))
        for start in range(0, len(x), size):
            part, wanted = rows[start : start + size], target[start : start + size, None]
            scores, grad = (m[: len(part)] for m in memory)
            torch.addmm(b, part, W.t(), out=scores)
            highest = scores.amax(1, keepdim=True).to(exact)
            torch.sub(scores, highest, out=grad).exp_()
            total = grad.sum(1, keepdim=True)
            norm = highest + total.log()  # minus log-probability is this minus the score
            plain = plain + (norm - scores.gather(1, wanted)).sum()
            if smoothing:
                uniform = uniform + (norm[:, 0] - scores.mean(1, dtype=exact)).sum()
            grad /= total  # softmax, and then minus the smoothed target
            if smoothing:
                grad -= smoothing / grad.shape[1]
            grad.scatter_add_(1, wanted, grad.new_full((len(part), 1), smoothing - 1))
            grad_bias += grad.sum(0)
            if dtype == exact:
                grad_weight.addmm_(grad.t(), part)
            else:
                grad = scores.copy_(grad)
                grad_weight += grad.t() @ part
            torch.mm(grad, W, out=grad_x[start : start + size])
        ctx.save_for_backward(grad_x.to(x.dtype), grad_weight.to(weight.dtype), grad_bias.to(bias.dtype))
        ctx.mark_non_differentiable(plain)
        ctx.set_materialize_grads(False)
        return ((1 - smoothing) * plain + smoothing * uniform if smoothing else plain.clone()), plain

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        return *(saved * grad.to(saved.dtype) for saved in ctx.saved_tensors), None, None, None
