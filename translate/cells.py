"""The four recurrent cells: one set of weights, applied to a whole sequence or one step at a time.

Axis letters: B batch, S length in time, D directions (1, or 2 for forward and reverse), E input width, H hidden width,
G gates, N numbers kept between steps (H, or 2H for the LSTM).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

CellName = Literal["elman", "lstm", "gru", "sru"]


def recurrence(
    step: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], state: Tensor, inputs: Tensor
) -> tuple[Tensor, Tensor]:
    """Apply `step(state, input) -> (state, output)` along the first axis of `inputs`.

    Run eagerly this is a Python loop; while exporting, the higher-order `scan`, which becomes ONNX Scan.
    Returns the last state and the outputs stacked on the first axis, in the order of the inputs.
    """
    if torch.compiler.is_exporting():
        from torch._higher_order_ops.scan import scan

        last, outputs = scan(step, state, inputs, dim=0)
        return last, outputs
    collected: list[Tensor] = []
    for row in inputs.unbind(0):
        state, output = step(state, row)
        collected.append(output)
    return state, torch.stack(collected)


class _LinearRecurrence(torch.autograd.Function):
    """c_t = f_t c_(t-1) + u_t with one fused operation a step, forwards and backwards.

    Its gradient is the same recurrence run from the end: g_t = grad_t + f_(t+1) g_(t+1); then dL/du = g,
    dL/df_t = g_t c_(t-1).
    """

    @staticmethod
    def forward(forget: Tensor, update: Tensor, state: Tensor) -> Tensor:
        c = torch.empty_like(update)
        for f, u, out in zip(forget.unbind(1), update.unbind(1), c.unbind(1), strict=True):
            state = torch.addcmul(u, f, state, out=out)
        return c

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:  # noqa: ANN401
        forget, _, state = inputs
        ctx.save_for_backward(forget, state, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401
        forget, state, c = ctx.saved_tensors
        g = torch.empty_like(grad)
        length = grad.shape[1]
        g[:, -1] = grad[:, -1]
        steps = list(zip(forget.unbind(1), grad.unbind(1), g.unbind(1), strict=True))
        for t in range(length - 2, -1, -1):
            torch.addcmul(steps[t][1], steps[t + 1][0], steps[t + 1][2], out=steps[t][2])
        previous = torch.cat((state.unsqueeze(1), c[:, :-1]), 1)
        return g * previous, g, g[:, 0] * forget[:, 0]


class Cell(nn.Module):
    """A recurrent layer without its input product.

    `sequence` and `step` take the *drive*: what the input gives to each gate, computed for all positions at once by
    one large product that the owner of the cell holds (`gates * hidden` numbers a direction).
    """

    gates: int
    states = 1

    def __init__(self, hidden: int, directions: int = 1) -> None:
        super().__init__()
        self.hidden, self.directions = hidden, directions

    def initial_bias(self) -> Tensor:
        """The drive's bias at the start of training, (G*H)."""
        return torch.zeros(self.gates * self.hidden)

    def step(self, drive: Tensor, state: Tensor) -> Tensor:
        """(..., G*H), (..., N) -> the next state (..., N)."""
        raise NotImplementedError

    def read(self, state: Tensor) -> Tensor:
        """The part of a state that the layers above see: (..., N) -> (..., H)."""
        return state[..., : self.hidden]

    def sequence(self, drive: Tensor, state: Tensor, keep: Tensor) -> Tensor:
        """Run along time.

        drive (B, S, D, G*H); state (B, D, N) before the first step; keep (B, S, D, 1), false where the position is
        padding, which leaves the state as it was. Returns what `read` gives at each position, (B, S, D, H).
        """
        width = drive.shape[-1]

        def step(state: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
            new = torch.where(row[..., width:] > 0, self.step(row[..., :width], state), state)
            return new, self.read(new).clone()

        rows = torch.cat((drive, keep.to(drive.dtype)), -1).transpose(0, 1)  # (S, B, D, G*H + 1)
        _, outputs = recurrence(step, state, rows)
        return outputs.transpose(0, 1)


class MatrixCell(Cell):
    """A cell whose gates also depend on the previous output, through a square matrix a gate."""

    def __init__(self, hidden: int, directions: int = 1) -> None:
        super().__init__(hidden, directions)
        self.recurrent = nn.Parameter(torch.empty(directions, hidden, self.gates * hidden))  # (D, H, G*H)
        for direction in self.recurrent.data:
            for gate in direction.split(hidden, dim=1):
                nn.init.orthogonal_(gate)

    def recur(self, h: Tensor) -> Tensor:
        """(B, D, H), or (..., H) when there is one direction -> (.., G*H)."""
        if self.directions == 1:
            return h @ self.recurrent[0]
        return (h.transpose(0, 1) @ self.recurrent).transpose(0, 1)


class Elman(MatrixCell):
    """h = tanh(W x + U h): Elman 1990, "Finding structure in time"."""

    gates = 1

    def step(self, drive: Tensor, state: Tensor) -> Tensor:
        return torch.tanh(drive + self.recur(state))


class LSTM(MatrixCell):
    """Hochreiter and Schmidhuber 1997, with forget gates (Gers et al. 2000). The state is (h, c)."""

    gates = 4
    states = 2

    def initial_bias(self) -> Tensor:
        bias = torch.zeros(4 * self.hidden)
        bias[self.hidden : 2 * self.hidden] = 1.0  # remember at first (Jozefowicz et al. 2015)
        return bias

    def step(self, drive: Tensor, state: Tensor) -> Tensor:
        H = self.hidden
        gates = drive + self.recur(state[..., :H])
        i, f, o = torch.sigmoid(gates[..., : 3 * H]).split(H, -1)
        c = f * state[..., H:] + i * torch.tanh(gates[..., 3 * H :])
        return torch.cat((o * torch.tanh(c), c), -1)


class GRU(MatrixCell):
    """Cho et al. 2014, in the form whose reset gate acts after the product (as cuDNN and PyTorch do)."""

    gates = 3

    def __init__(self, hidden: int, directions: int = 1) -> None:
        super().__init__(hidden, directions)
        self.candidate_bias = nn.Parameter(torch.zeros(directions, hidden))

    def step(self, drive: Tensor, state: Tensor) -> Tensor:
        H = self.hidden
        recurrent = self.recur(state)
        r, z = torch.sigmoid(drive[..., : 2 * H] + recurrent[..., : 2 * H]).split(H, -1)
        bias = self.candidate_bias[0] if self.directions == 1 else self.candidate_bias
        n = torch.tanh(drive[..., 2 * H :] + r * (recurrent[..., 2 * H :] + bias))
        new: Tensor = n + z * (state - n)
        return new


class SRU(Cell):
    """c = f c + (1 - f) z, read through a ReLU: the SSRU of Kim et al. 2019, "From Research to Production and Back".

    Both gates come from the input alone (Lei et al. 2018), so a whole sequence is one product and then an
    element-wise recurrence.
    """

    gates = 2

    def initial_bias(self) -> Tensor:
        bias = torch.zeros(2 * self.hidden)
        bias[: self.hidden] = 1.0  # as for the LSTM: remember at first
        return bias

    def read(self, state: Tensor) -> Tensor:
        return torch.relu(state)

    def _gate(self, drive: Tensor) -> tuple[Tensor, Tensor]:
        f = torch.sigmoid(drive[..., : self.hidden])
        z = drive[..., self.hidden :]
        return f, z - f * z

    def step(self, drive: Tensor, state: Tensor) -> Tensor:
        f, u = self._gate(drive)
        return f * state + u

    def sequence(self, drive: Tensor, state: Tensor, keep: Tensor) -> Tensor:
        f, u = self._gate(drive.float())  # a long product of bfloat16 factors would lose the state
        f = torch.where(keep, f, 1.0)
        u = torch.where(keep, u, 0.0)
        if not torch.compiler.is_exporting():
            c: Tensor = _LinearRecurrence.apply(f, u, state.float())  # type: ignore[no-untyped-call]  # torch's
            return torch.relu(c)
        H = self.hidden

        def step(state: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
            new = row[..., :H] * state + row[..., H:]
            return new, new.clone()

        _, c = recurrence(step, state, torch.cat((f, u), -1).transpose(0, 1))
        return torch.relu(c.transpose(0, 1))


CELLS: dict[str, type[Cell]] = {"elman": Elman, "lstm": LSTM, "gru": GRU, "sru": SRU}


class Recurrent(nn.Module):
    """A recurrent layer: input product, cell in one or two directions, and the product back to the model's width."""

    def __init__(self, cell: CellName, width: int, hidden: int, directions: int) -> None:
        super().__init__()
        self.cell = CELLS[cell](hidden, directions)
        self.drive = nn.Linear(width, directions * self.cell.gates * hidden)
        self.drive.bias.data = self.cell.initial_bias().repeat(directions)
        self.output = nn.Linear(directions * hidden, width)

    @property
    def state_size(self) -> int:
        """Numbers kept between steps, a direction."""
        return self.cell.hidden * self.cell.states

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One position: (..., E), (..., N) -> (..., E), (..., N)."""
        state = self.cell.step(self.drive(x), state)
        return self.output(self.cell.read(state)), state

    def sequence(self, x: Tensor, state: Tensor | None, keep: Tensor) -> Tensor:
        """All positions: x (B, S, E), state (B, N) or None for zeros, keep (B, S) -> (B, S, E).

        The reverse direction reads the sequence flipped, so that its padding comes first and leaves its zero state
        untouched: no packing and no gather by length.
        """
        B, S, _ = x.shape
        D = self.cell.directions
        drive = self.drive(x).reshape(B, S, D, -1)  # (B, S, D, G*H)
        mask = keep[:, :, None, None].expand(B, S, D, 1)
        if D == 2:
            drive = torch.stack((drive[:, :, 0], drive[:, :, 1].flip(1)), 2)
            mask = torch.stack((mask[:, :, 0], mask[:, :, 1].flip(1)), 2)
        first = x.new_zeros(B, D, self.state_size) if state is None else state.unsqueeze(1)
        h = self.cell.sequence(drive, first, mask)  # (B, S, D, H)
        if D == 2:
            h = torch.stack((h[:, :, 0], h[:, :, 1].flip(1)), 2)
        out: Tensor = self.output(h.reshape(B, S, -1))
        return out
