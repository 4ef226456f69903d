"""The optimisers: against PyTorch's own, and against what the method promises."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from dragoman.translate import optimizers
from dragoman.translate.optimizers import Muon, orthogonalized

SHAPES = [(24, 16), (16, 24), (16, 16), (1, 8)]


def steps(optimizer: torch.optim.Optimizer, matrices: Sequence[torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(7)
    for _ in range(4):
        for m in matrices:
            m.grad = torch.randn(m.shape, generator=generator)
        optimizer.step()


def test_muon_is_pytorchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers, "has_bfloat16", lambda device: True)
    ours = [torch.nn.Parameter(torch.ones(shape)) for shape in SHAPES]
    theirs = [torch.nn.Parameter(torch.ones(shape)) for shape in SHAPES]
    steps(Muon(ours, lr=0.01, weight_decay=0.1), ours)
    steps(torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"), theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0.01 * 0.2 * 24**0.5 * 4 * 2**-6)  # bfloat16's last bits


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_orthogonalised_keeps_its_directions(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.diag(u.T @ orthogonalized(matrix, torch.float32) @ vt.T)
    assert s.max() / s.min() < 100
    assert 0.6 < values.min() <= values.max() < 1.2  # Jordan et al. 2024


def test_a_matrix_of_zeros_stays_as_it_is() -> None:
    assert not orthogonalized(torch.zeros(4, 6), torch.float32).any()


def test_muon_computes_in_what_the_processor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 on a processor without it, a step took 50 times as long as in float32."""
    for there, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(optimizers, "has_bfloat16", lambda device, there=there: there)
        assert Muon([torch.nn.Parameter(torch.ones(2, 2))], 0.01, 0.0).dtype == dtype
