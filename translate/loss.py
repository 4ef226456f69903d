"""The loss of labels that a product scores, without ever holding all scores.

Axis letters: N targets, E width, V labels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 8_000_000  # scores at once: bounds the memory of a large vocabulary; fewer cost time


class _SmoothedLoss(torch.autograd.Function):
    """Product, log-softmax and cross-entropy, and all gradients with them, a chunk of targets at a time.

    The scores (N, V) of a large vocabulary are much larger than anything else in a step; a chunk's are turned into its
    gradients at once, so that no more than a chunk is ever held (as Liger Kernel does it on GPUs, Hsu et al. 2024).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, target: Tensor, smoothing: float, dtype: torch.dtype  # noqa: ANN401 (torch's own type)
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        exact = torch.float32 if dtype == torch.bfloat16 else dtype
        rows, W, b = x.to(dtype), weight.to(dtype), bias.to(dtype)
        grad_x = torch.empty_like(rows)
        grad_weight, grad_bias = torch.zeros_like(weight, dtype=exact), torch.zeros_like(bias, dtype=exact)
        plain = uniform = torch.zeros((), dtype=exact, device=x.device)
        size = max(1, CHUNK // len(weight))
        for start in range(0, len(x), size):
            part, wanted = rows[start : start + size], target[start : start + size, None]
            log_probability = torch.log_softmax(F.linear(part, W, b), -1, dtype=exact)
            plain = plain - log_probability.gather(1, wanted).sum()
            if smoothing:
                uniform = uniform - log_probability.mean(-1).sum()
            grad = log_probability.exp_()  # softmax minus the smoothed target, in the same place
            if smoothing:
                grad -= smoothing / grad.shape[1]
            grad.scatter_add_(1, wanted, grad.new_full((len(part), 1), smoothing - 1))
            grad_bias += grad.sum(0)
            grad = grad.to(dtype)
            grad_x[start : start + size] = grad @ W
            grad_weight += grad.t() @ part
        ctx.save_for_backward(grad_x.to(x.dtype), grad_weight.to(weight.dtype), grad_bias.to(bias.dtype))
        ctx.mark_non_differentiable(plain)
        ctx.set_materialize_grads(False)
        return ((1 - smoothing) * plain + smoothing * uniform if smoothing else plain.clone()), plain

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        return *(saved * grad.to(saved.dtype) for saved in ctx.saved_tensors), None, None, None


def smoothed_loss(x: Tensor, weight: Tensor, bias: Tensor, target: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy of scores x W^T + b with label smoothing (Szegedy et al. 2016), and without, summed over targets.

    x (N, E), weight (V, E), bias (V), target (N). Products are in bfloat16 under autocast. The second result has no
    gradient.
    """
    kind, dtype = x.device.type, torch.promote_types(x.dtype, weight.dtype)
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
    loss, plain = _SmoothedLoss.apply(x, weight, bias, target, smoothing, dtype)  # type: ignore[no-untyped-call]  # torch's
    return loss, plain
