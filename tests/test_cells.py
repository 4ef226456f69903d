"""The cells against PyTorch's own, and a whole sequence against one step at a time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dragoman.translate.cells import CELLS, Recurrent, _LinearRecurrence

B, S, E, H = 3, 7, 6, 5


def everywhere(*shape: int) -> torch.Tensor:
    return torch.ones(*shape, dtype=torch.bool)


@pytest.mark.parametrize("name", CELLS)
def test_sequence_equals_chained_steps(name: str) -> None:
    torch.manual_seed(0)
    layer = Recurrent(name, E, H, 1)  # type: ignore[arg-type]
    x, state = torch.randn(B, S, E), torch.randn(B, layer.state_size)
    whole = layer.sequence(x, state, everywhere(B, S))
    for t in range(S):
        out, state = layer.step(x[:, t], state)
        torch.testing.assert_close(out, whole[:, t], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_padding_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    layer = Recurrent(name, E, H, 2)  # type: ignore[arg-type]
    x = torch.randn(B, S, E)
    alone = layer.sequence(x[:1, :4], None, everywhere(1, 4))
    keep = torch.arange(S) < torch.tensor([4, 7, 1])[:, None]
    padded = layer.sequence(torch.where(keep[..., None], x, 99.0), None, keep)
    torch.testing.assert_close(padded[:1, :4], alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_reverse_direction_is_the_forward_one_on_the_flipped_sequence(name: str) -> None:
    torch.manual_seed(0)
    both, one = Recurrent(name, E, H, 2), Recurrent(name, E, H, 1)  # type: ignore[arg-type]
    half = one.drive.out_features
    one.drive.weight.data, one.drive.bias.data = both.drive.weight.data[half:], both.drive.bias.data[half:]
    for mine, theirs in zip(one.cell.parameters(), both.cell.parameters(), strict=True):
        mine.data = theirs.data[1:]
    both.output.weight.data[:, :H] = 0  # what remains is what the reverse direction says
    one.output.weight.data, one.output.bias.data = both.output.weight.data[:, H:], both.output.bias.data
    x = torch.randn(B, S, E)
    forward = one.sequence(x.flip(1), None, everywhere(B, S)).flip(1)
    torch.testing.assert_close(both.sequence(x, None, everywhere(B, S)), forward, atol=1e-6, rtol=1e-5)


def test_linear_recurrence_gradient() -> None:
    torch.manual_seed(0)
    inputs = [torch.rand(2, 4, 1, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    state = torch.rand(2, 1, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f, u, s: _LinearRecurrence.apply(f, u, s), (*inputs, state))  # type: ignore[no-untyped-call]


def parameter(module: nn.Module, name: str) -> torch.Tensor:
    return dict(module.named_parameters())[name].data


@pytest.mark.parametrize("name", ["elman", "lstm", "gru"])
def test_cells_equal_torch(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(B, S, E)
    oracles: dict[str, type[nn.RNNBase]] = {"elman": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
    oracle = oracles[name](E, H, batch_first=True)  # type: ignore[call-arg,arg-type]  # only the base class takes a mode
    cell = CELLS[name](H)
    order = torch.arange(cell.gates * H)
    if name == "lstm":
        order = torch.cat([order.split(H)[i] for i in (0, 1, 3, 2)])  # ours: i f o g
    bias = parameter(oracle, "bias_hh_l0")
    if name == "gru":
        parameter(cell, "candidate_bias")[0] = bias[2 * H :]
        bias = bias[: 2 * H]
    bias.zero_()
    parameter(cell, "recurrent")[0] = parameter(oracle, "weight_hh_l0")[order].T
    weight, bias = parameter(oracle, "weight_ih_l0")[order], parameter(oracle, "bias_ih_l0")[order]
    drive = torch.nn.functional.linear(x, weight, bias)[:, :, None]
    mine = cell.sequence(drive, torch.zeros(B, 1, H * cell.states), everywhere(B, S, 1, 1))
    torch.testing.assert_close(mine[:, :, 0], oracle(x)[0], atol=1e-6, rtol=1e-5)
