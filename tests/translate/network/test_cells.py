"""Recurrent cells: against PyTorch's, sequences against chained steps, padding, gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dragoman.translate.network.cells import CELLS, MatrixCell, Recurrent, _LinearRecurrence

B, S, E, H = 3, 7, 6, 5


def no_padding(*shape: int) -> torch.Tensor:
    """Return a mask that is true everywhere."""
    return torch.ones(*shape, dtype=torch.bool)


@pytest.mark.parametrize("name", CELLS)
def test_sequence_equals_chained_steps(name: str) -> None:
    torch.manual_seed(0)
    layer = Recurrent(name, E, H, 1)  # type: ignore[arg-type]
    x, state = torch.randn(S, B, E), torch.randn(B, layer.state_size)
    whole = layer.sequence(x, state, no_padding(S, B))
    for t in range(S):
        out, state = layer.step(x[t], state)
        torch.testing.assert_close(out, whole[t], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_padding_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    layer = Recurrent(name, E, H, 2)  # type: ignore[arg-type]
    x = torch.randn(S, B, E)
    alone = layer.sequence(x[:4, :1], None, no_padding(4, 1))
    mask = torch.arange(S)[:, None] < torch.tensor([4, 7, 1])
    padded = layer.sequence(torch.where(mask[..., None], x, 99.0), None, mask)
    torch.testing.assert_close(padded[:4, :1], alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_backward_direction_is_forward_on_the_reversed_sequence(name: str) -> None:
    torch.manual_seed(0)
    both, one = Recurrent(name, E, H, 2), Recurrent(name, E, H, 1)  # type: ignore[arg-type]
    one.input_projection[0].load_state_dict(both.input_projection[1].state_dict())
    if isinstance(one.cell, MatrixCell) and isinstance(both.cell, MatrixCell):
        one.cell.recurrent[0].load_state_dict(both.cell.recurrent[1].state_dict())
    both.output.weight.data[:, :H] = 0  # only the backward direction remains
    one.output.weight.data, one.output.bias.data = both.output.weight.data[:, H:], both.output.bias.data
    x = torch.randn(S, B, E)
    forward = one.sequence(x.flip(0), None, no_padding(S, B)).flip(0)
    torch.testing.assert_close(both.sequence(x, None, no_padding(S, B)), forward, atol=1e-6, rtol=1e-5)


def test_linear_recurrence_gradient() -> None:
    torch.manual_seed(0)
    inputs = [torch.rand(4, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    state = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f, u, s: _LinearRecurrence.apply(f, u, s), (*inputs, state))  # type: ignore[no-untyped-call]


def parameter(module: nn.Module, name: str) -> torch.Tensor:
    return dict(module.named_parameters())[name].data


@pytest.mark.parametrize("name", ["elman", "lstm", "gru"])
def test_cells_equal_torch(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(S, B, E)
    oracles: dict[str, type[nn.RNNBase]] = {"elman": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
    oracle = oracles[name](E, H)  # type: ignore[call-arg,arg-type]  # only the base class takes a mode
    cell = CELLS[name](H)
    order = torch.arange(cell.gates * H)
    if name == "lstm":
        order = torch.cat([order.split(H)[i] for i in (0, 1, 3, 2)])  # PyTorch's order is i f g o, ours i f o g
    if name == "gru":
        parameter(cell, "recurrent.0.bias")[:] = parameter(oracle, "bias_hh_l0")
    else:
        parameter(oracle, "bias_hh_l0").zero_()
    parameter(cell, "recurrent.0.weight")[:] = parameter(oracle, "weight_hh_l0")[order]
    weight, bias = parameter(oracle, "weight_ih_l0")[order], parameter(oracle, "bias_ih_l0")[order]
    projected = torch.nn.functional.linear(x, weight, bias)
    mine = cell.sequence(projected, torch.zeros(B, H * cell.states), no_padding(S, B))
    torch.testing.assert_close(mine, oracle(x)[0], atol=1e-6, rtol=1e-5)
