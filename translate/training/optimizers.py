"""Optimisers: AdamW and Muon, and the choice of bfloat16 products."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

import matplotlib
import torch
from torch import Tensor, nn

from dragoman.translate.config import TrainingConfig
from dragoman.translate.threads import one_thread


@functools.cache
def gains_by_bfloat16(device: torch.device) -> bool:
    """Whether products are quicker in bfloat16 than in float32.

    A CPU without instructions for it takes 50 times as long. One with them may take a third of the time (an EPYC) or
    twice (a Xeon whose host hides its matrix unit), which its flags do not tell: so it is timed, in some 0.1 s, by what
    one thread computes, so that other work on the machine does not count.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return False
    factors = torch.ones(1024, 256), torch.ones(256, 1024)
    best = dict.fromkeys((torch.float32, torch.bfloat16), float("inf"))
    with one_thread():
        for _ in range(10):
            for dtype in best:
                a, b = (x.to(dtype) for x in factors)
                start = time.thread_time()
                a @ b
                best[dtype] = min(best[dtype], time.thread_time() - start)
    return best[torch.bfloat16] < best[torch.float32]


def wants_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether to compute matrix products in bfloat16: when asked, or when the processor gains by it."""
    return gains_by_bfloat16(device) if precision == "auto" else precision == "bfloat16"


ITERATIONS = 5


A, B, C = 3.4445, -4.7750, 2.0315


def orthogonalized(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """The matrix (M, N) with its singular values brought near 1: about U V^T of its U S V^T, in `dtype`.

    Five Newton-Schulz iterations of fifth order, with the coefficients of Jordan et al. 2024, "Muon": values from 0.68
    to 1.14 are as good as 1 here.
    """
    x = matrix.to(dtype)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / x.norm().clamp(min=1e-7)  # no singular value above 1
    if dtype == torch.float32 and 2 * x.shape[0] <= x.shape[1]:
        x = _iterated(x @ x.T) @ x
    else:
        for _ in range(ITERATIONS):
            gram = x @ x.T
            x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x.T if tall else x


def _iterated(gram: Tensor) -> Tensor:
    """What all iterations together multiply X (M, N) by from the left, given X X^T (M, M).

    Each multiplies by a polynomial of the X X^T of then, and so do all, of the first one: small products instead of
    long ones, a sixth fewer multiplications where N is twice M ("Gram Newton-Schulz", Dao AI Lab 2026). It wants
    float32, since the squares of small singular values are lost in bfloat16.
    """
    step = total = _polynomial(gram)
    for _ in range(ITERATIONS - 1):
        gram = step @ gram @ step
        step = _polynomial(gram)
        total = step @ total
    return total


def _polynomial(gram: Tensor) -> Tensor:
    """A + B G + C G^2 of a square matrix G."""
    out = torch.addmm(gram, gram, gram, beta=B, alpha=C)
    out.diagonal().add_(A)
    return out


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) as PyTorch has it, but in the `dtype` that suits the processor, not always in bfloat16.

    Its steps have the size of AdamW's (Liu et al. 2025, "Muon is scalable"), so that one rate serves both.
    """

    def __init__(
        self, matrices: Sequence[Tensor], lr: float, weight_decay: float, dtype: torch.dtype, momentum: float = 0.95
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # nothing here evaluates the loss again
        """One update of each matrix that has a gradient: Nesterov momentum, orthogonalised."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                momentum = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p.grad))
                momentum.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalized(p.grad.lerp(momentum, group["momentum"]), self.dtype)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * 0.2 * max(p.shape) ** 0.5)


def make_optimizers(model: nn.Module, c: TrainingConfig, bfloat16: bool) -> list[torch.optim.Optimizer]:
    """The optimisers that the configuration asks for; together they have every parameter once.

    bfloat16: whether products are computed in it.
    """
    matrices: list[Tensor] = []
    if c.optimizer == "muon":
        matrices = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
    taken = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": c.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=c.lr, betas=(0.9, 0.98), eps=1e-9, fused=True)
    ]
    if matrices:
        optimizers.append(Muon(matrices, c.lr, c.weight_decay, torch.bfloat16 if bfloat16 else torch.float32))
    return optimizers


matplotlib.use("Agg")
