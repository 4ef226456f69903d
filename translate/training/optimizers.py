"""Optimizers, and the choice of precision.

With `optimizer = "muon"`, Muon updates the weight matrices of linear layers, and AdamW the embeddings, biases and
gains. Otherwise AdamW updates everything.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dragoman.translate.config import TrainingConfig
from dragoman.translate.threads import one_thread


@functools.cache
def bfloat16_is_faster(device: torch.device) -> bool:
    """Return True if matrix products are faster in bfloat16 than in float32.

    A CPU without bfloat16 instructions takes 50 times as long. With them it may take a third of the time (an EPYC) or
    twice the time (a Xeon whose hypervisor hides its matrix unit). The CPU flags do not tell these apart, so this
    function times both, in about 0.1 s. It uses the CPU time of one thread: other load on the machine does not count.
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
    """Return True if matrix products shall be computed in bfloat16, given `training.precision`."""
    return bfloat16_is_faster(device) if precision == "auto" else precision == "bfloat16"


# Newton-Schulz iterations and the coefficients of their polynomial: Jordan et al. 2024, "Muon".
ITERATIONS = 5
A, B, C = 3.4445, -4.7750, 2.0315


def orthogonalize(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a matrix (M, N) with all singular values near 1: about U V^T, where the matrix is U S V^T.

    Computes five Newton-Schulz iterations of fifth order in `dtype`. They bring the singular values between 0.68 and
    1.14, which is enough here.
    """
    x = matrix.to(dtype)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    x = x / x.norm().clamp(min=1e-7)  # no singular value above 1
    if dtype == torch.float32 and 2 * x.shape[0] <= x.shape[1]:
        x = _newton_schulz_factor(x @ x.T) @ x
    else:
        for _ in range(ITERATIONS):
            gram = x @ x.T
            x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return x.T if tall else x


def _newton_schulz_factor(gram: Tensor) -> Tensor:
    """Return the matrix (M, M) by which all iterations together multiply X (M, N) from the left, given X X^T (M, M).

    Each iteration multiplies X by a polynomial of its current X X^T, so all of them together multiply by a polynomial
    of the first X X^T. This replaces products over N by products over M: a sixth fewer multiplications where N is 2 M
    ("Gram Newton-Schulz", Dao AI Lab 2026). It needs float32: bfloat16 loses the squares of small singular values.
    """
    step = total = _polynomial(gram)
    for _ in range(ITERATIONS - 1):
        gram = step @ gram @ step
        step = _polynomial(gram)
        total = step @ total
    return total


def _polynomial(gram: Tensor) -> Tensor:
    """Return A I + B G + C G^2 of a square matrix G."""
    out = torch.addmm(gram, gram, gram, beta=B, alpha=C)
    out.diagonal().add_(A)
    return out


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) like PyTorch's, but in the `dtype` that suits the processor, not always bfloat16.

    Its updates are scaled to the size of AdamW's (Liu et al. 2025, "Muon is scalable"), so one rate serves both.
    """

    def __init__(
        self, matrices: Sequence[Tensor], lr: float, weight_decay: float, dtype: torch.dtype, momentum: float = 0.95
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure is needed
        """Update each matrix that has a gradient by its orthogonalized Nesterov momentum."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                momentum = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p.grad))
                momentum.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalize(p.grad.lerp(momentum, group["momentum"]), self.dtype)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * 0.2 * max(p.shape) ** 0.5)


def make_optimizers(model: nn.Module, c: TrainingConfig, bfloat16: bool) -> list[torch.optim.Optimizer]:
    """Return the optimizers of a configuration. Together they hold every parameter once.

    Biases, gains and other vectors have no weight decay. bfloat16: Muon computes its products in bfloat16.
    """
    matrices: list[Tensor] = []
    if c.optimizer == "muon":
        matrices = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
    of_muon = {id(p) for p in matrices}
    of_adamw = [p for p in model.parameters() if id(p) not in of_muon]
    groups = [
        {"params": [p for p in of_adamw if p.ndim > 1], "weight_decay": c.weight_decay},
        {"params": [p for p in of_adamw if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=c.lr, betas=(0.9, 0.98), eps=1e-9, fused=True)
    ]
    if matrices:
        optimizers.append(Muon(matrices, c.lr, c.weight_decay, torch.bfloat16 if bfloat16 else torch.float32))
    return optimizers
