"""The optimizers against PyTorch's own, and against the properties of the method."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
import torch

from dragoman.translate.config import TrainingConfig
from dragoman.translate.training.optimizers import (
    Muon,
    bfloat16_is_faster,
    make_optimizers,
    orthogonalize,
    wants_bfloat16,
)

SHAPES = [(24, 16), (16, 24), (16, 16), (1, 8), (40, 16), (16, 32)]


def steps(optimizer: torch.optim.Optimizer, matrices: Sequence[torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(7)
    for _ in range(4):
        for m in matrices:
            m.grad = torch.randn(m.shape, generator=generator)
        optimizer.step()


def test_muon_equals_pytorchs() -> None:
    ours = [torch.nn.Parameter(torch.ones(shape)) for shape in SHAPES]
    theirs = [torch.nn.Parameter(torch.ones(shape)) for shape in SHAPES]
    steps(Muon(ours, lr=0.01, weight_decay=0.1, dtype=torch.bfloat16), ours)
    steps(torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"), theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0.01 * 0.2 * 24**0.5 * 4 * 2**-6)  # the last bits of bfloat16


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonalizing_keeps_the_singular_vectors(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.diag(u.T @ orthogonalize(matrix, torch.float32) @ vt.T)
    assert s.max() / s.min() < 100
    assert 0.6 < values.min() <= values.max() < 1.2  # Jordan et al. 2024


@pytest.mark.parametrize("shape", [(256, 512), (512, 128)])
def test_gram_newton_schulz_equals_plain_newton_schulz(shape: tuple[int, int]) -> None:
    """Noise of 0 makes a matrix of rank 1: in training, nearly all of a gradient lies in one direction."""
    generator = torch.Generator().manual_seed(3)
    rows, columns = (torch.randn(n, 1, generator=generator) for n in shape)
    for noise in (1.0, 0.02, 1e-4, 0.0):
        matrix = rows @ columns.T + noise * torch.randn(shape, generator=generator)
        exact = orthogonalize(matrix.double(), torch.float64)  # the plain iteration, which float64 always takes
        assert (orthogonalize(matrix, torch.float32) - exact).norm() < 2e-3 * exact.norm()


def test_orthogonalizing_zeros_gives_zeros() -> None:
    assert not orthogonalize(torch.zeros(4, 6), torch.float32).any()


@pytest.mark.parametrize(
    ("supported", "slow", "faster"), [(False, False, False), (True, True, False), (True, False, True)]
)
def test_bfloat16_is_used_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, supported: bool, slow: bool, faster: bool
) -> None:
    """CPU flags do not tell: one processor that supports bfloat16 takes twice the time. So products are timed."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    clock = 0.0

    class Product(torch.Tensor):
        """A factor whose product takes 1 unit of time in float32, and 2 or 0.5 in bfloat16."""

        def __matmul__(self, other: object) -> torch.Tensor:
            nonlocal clock
            clock += (2.0 if slow else 0.5) if self.dtype == torch.bfloat16 else 1.0
            return torch.empty(0)

    monkeypatch.setattr(torch, "ones", lambda *shape: Product(torch.empty(1)))
    monkeypatch.setattr(time, "thread_time", lambda: clock)
    bfloat16_is_faster.cache_clear()
    assert bfloat16_is_faster(torch.device("cpu")) == faster
    assert wants_bfloat16("auto", torch.device("cpu")) == faster
    assert wants_bfloat16("bfloat16", torch.device("cpu"))
    assert not wants_bfloat16("float32", torch.device("cpu"))
    bfloat16_is_faster.cache_clear()


@pytest.mark.parametrize("bfloat16", [False, True])
def test_muon_computes_in_the_precision_of_the_network(bfloat16: bool) -> None:
    config = TrainingConfig(optimizer="muon")
    _, muon = make_optimizers(torch.nn.Sequential(torch.nn.Linear(2, 2)), config, bfloat16)
    assert isinstance(muon, Muon)
    assert (muon.dtype == torch.bfloat16) == bfloat16
