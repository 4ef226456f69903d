"""The recurrent cells: Elman, LSTM, GRU and SRU.

Axis letters: B batch, S length, E input width, H hidden width of a cell, N size of its state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dragoman.translate.config import CellName


def recurrence(step: Callable[..., tuple[Any, Any]], state: Any, inputs: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Apply `step(state, input) -> (state, output)` along the first axis of `inputs`.

    Run eagerly this is a Python loop; while exporting, the higher-order `scan`, which becomes ONNX Scan.
    Inputs may be a tuple of tensors; while exporting, states and outputs may be tuples, too.
    Returns the last state and the outputs stacked on the first axis, in the order of the inputs.
    """
    if torch.compiler.is_exporting():
        from torch._higher_order_ops.scan import scan

        last, outputs = scan(step, state, inputs, dim=0)
        return last, outputs
    collected: list[Tensor] = []
    rows = inputs.unbind(0) if isinstance(inputs, Tensor) else zip(*(x.unbind(0) for x in inputs), strict=True)
    for row in rows:
        state, output = step(state, row)
        collected.append(output)
    return state, torch.stack(collected)


class _LinearRecurrence(torch.autograd.Function):
    """c_t = f_t c_(t-1) + u_t along the first axis, with one fused operation a step, to_left_to_right and backwards.

    Its gradient is the same recurrence run from the end: g_t = grad_t + f_(t+1) g_(t+1); then dL/du = g,
    dL/df_t = g_t c_(t-1).
    """

    @staticmethod
    def forward(forget: Tensor, update: Tensor, state: Tensor) -> Tensor:
        c = torch.empty_like(update)
        for f, u, out in zip(forget.unbind(0), update.unbind(0), c.unbind(0), strict=True):
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
        g[-1] = grad[-1]
        steps = list(zip(forget.unbind(0), grad.unbind(0), g.unbind(0), strict=True))
        for t in range(len(steps) - 2, -1, -1):
            torch.addcmul(steps[t][1], steps[t + 1][0], steps[t + 1][2], out=steps[t][2])
        previous = torch.cat((state.unsqueeze(0), c[:-1]))
        return g * previous, g, g[0] * forget[0]


class Cell(nn.Module):
    """A recurrent layer without its input product.

    `sequence` and `step` take the projected input: `gates * hidden` numbers a direction, computed for
    all positions at once by one large product that the owner of the cell holds.
    """

    gates: int
    states = 1

    def __init__(self, hidden: int, directions: int = 1) -> None:
        super().__init__()
        self.hidden, self.directions = hidden, directions

    def initial_bias(self) -> Tensor:
        """The bias of the input projection at the start of training, (G*H)."""
        return torch.zeros(self.gates * self.hidden)

    def precompute(self, projected: Tensor) -> tuple[Tensor, ...]:
        """What of a step depends on its projected input (..., G*H) alone: tensors (..., any)."""
        return (projected,)

    def step(self, precomputed: tuple[Tensor, ...], state: Tensor) -> Tensor:
        """What `precompute` gives and the state (..., N) -> the next state (..., N)."""
        raise NotImplementedError

    def read(self, state: Tensor) -> Tensor:
        """The part of a state that the layers above see: (..., N) -> (..., H)."""
        return state[..., : self.hidden]

    def sequence(self, projected: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        """Run along time.

        projected (S, D*B, G*H); state (D*B, N) before the first step; mask (S, D*B), false where the position is padding,
        which leaves the state as it is. Returns what `read` gives at each position, (S, D*B, H).
        """
        width = projected.shape[-1]

        def step(state: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
            new = torch.where(row[..., width:] > 0, self.step(self.precompute(row[..., :width]), state), state)
            return new, self.read(new).clone()

        rows = torch.cat((projected, mask.unsqueeze(-1).to(projected.dtype)), -1)  # (S, D*B, G*H + 1)
        outputs: Tensor = recurrence(step, state, rows)[1]
        return outputs


class MatrixCell(Cell):
    """A cell whose gates also depend on the previous output, through a square matrix a gate."""

    recurrent_bias = False

    def __init__(self, hidden: int, directions: int = 1) -> None:
        super().__init__(hidden, directions)
        self.recurrent: Sequence[nn.Linear] = nn.ModuleList(  # type: ignore[assignment]  # a list of modules
            nn.Linear(hidden, self.gates * hidden, bias=self.recurrent_bias) for _ in range(directions)
        )
        for matrix in self.recurrent:
            if self.recurrent_bias:
                nn.init.zeros_(matrix.bias)
            for gate in matrix.weight.data.split(hidden):
                nn.init.orthogonal_(gate)

    def recurrent_step(self, h: Tensor) -> Tensor:
        """(D*B, H), or (..., H) when there is one direction -> (.., G*H)."""
        if self.directions == 1:
            out: Tensor = self.recurrent[0](h)
            return out
        B = h.shape[0] // 2
        return torch.cat((self.recurrent[0](h[:B]), self.recurrent[1](h[B:])))


class Elman(MatrixCell):
    """h = tanh(W x + U h): Elman 1990, "Finding structure in time"."""

    gates = 1

    def step(self, precomputed: tuple[Tensor, ...], state: Tensor) -> Tensor:
        return torch.tanh(precomputed[0] + self.recurrent_step(state))


class LSTM(MatrixCell):
    """Hochreiter and Schmidhuber 1997, with forget gates (Gers et al. 2000). The state is (h, c)."""

    gates = 4
    states = 2

    def initial_bias(self) -> Tensor:
        bias = torch.zeros(4 * self.hidden)
        bias[self.hidden : 2 * self.hidden] = 1.0  # remember at first (Jozefowicz et al. 2015)
        return bias

    def step(self, precomputed: tuple[Tensor, ...], state: Tensor) -> Tensor:
        H = self.hidden
        gates = precomputed[0] + self.recurrent_step(state[..., :H])
        i, f, o = torch.sigmoid(gates[..., : 3 * H]).split(H, -1)
        c = f * state[..., H:] + i * torch.tanh(gates[..., 3 * H :])
        return torch.cat((o * torch.tanh(c), c), -1)


class GRU(MatrixCell):
    """Cho et al. 2014, in the form whose reset gate acts after the product (as cuDNN and PyTorch do)."""

    gates = 3
    recurrent_bias = True  # the reset gate acts on it, too

    def step(self, precomputed: tuple[Tensor, ...], state: Tensor) -> Tensor:
        H, projected = self.hidden, precomputed[0]
        recurrent = self.recurrent_step(state)
        r, z = torch.sigmoid(projected[..., : 2 * H] + recurrent[..., : 2 * H]).split(H, -1)
        n = torch.tanh(projected[..., 2 * H :] + r * recurrent[..., 2 * H :])
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

    def precompute(self, projected: Tensor) -> tuple[Tensor, ...]:
        f, z = projected.split(self.hidden, -1)
        f = torch.sigmoid(f)
        return f, z - f * z

    def step(self, precomputed: tuple[Tensor, ...], state: Tensor) -> Tensor:
        f, u = precomputed
        return f * state + u

    def sequence(self, projected: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        # In float32: a long product of bfloat16 factors would lose the state.
        f, z = projected.float().split(self.hidden, -1)
        f = torch.where(mask.unsqueeze(-1), torch.sigmoid(f), 1.0)  # then z - f z is 0, and the state stays
        if torch.compiler.is_exporting():
            c: Tensor = recurrence(_decay, state, (f, z - f * z))[1]
        else:
            c = _LinearRecurrence.apply(f, z - f * z, state.float())  # type: ignore[no-untyped-call]  # torch's
        return torch.relu(c)


def _decay(state: Tensor, row: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """One step of the linear recurrence."""
    f, u = row
    new = f * state + u
    return new, new.clone()


CELLS: dict[str, type[Cell]] = {"elman": Elman, "lstm": LSTM, "gru": GRU, "sru": SRU}


class Recurrent(nn.Module):
    """A recurrent layer: input product, cell in one or two directions, and the product of what the cell gives.

    That is as wide as the input, unless `output` says otherwise.
    """

    def __init__(self, cell: CellName, width: int, hidden: int, directions: int, output: int | None = None) -> None:
        super().__init__()
        self.cell = CELLS[cell](hidden, directions)
        self.input_projection: Sequence[nn.Linear] = nn.ModuleList(  # type: ignore[assignment]  # a list of modules
            nn.Linear(width, self.cell.gates * hidden) for _ in range(directions)
        )
        for projection in self.input_projection:
            projection.bias.data = self.cell.initial_bias()
        self.output = nn.Linear(directions * hidden, output or width)

    @property
    def state_size(self) -> int:
        """Numbers kept between steps, a direction."""
        return self.cell.hidden * self.cell.states

    def precompute(self, x: Tensor) -> tuple[Tensor, ...]:
        """What of a step depends on its input (..., E) alone."""
        return self.cell.precompute(self.input_projection[0](x))

    def step(self, precomputed: tuple[Tensor, ...], state: Tensor) -> tuple[Tensor, Tensor]:
        """One position: what `precompute` gives, (..., N) -> (..., E), (..., N)."""
        state = self.cell.step(precomputed, state)
        return self.output(self.cell.read(state)), state

    def sequence(self, x: Tensor, state: Tensor | None, mask: Tensor) -> Tensor:
        """All positions: x (S, B, E), state (B, N) or None for zeros, mask (S, B) -> (S, B, E).

        The reverse direction is more of a batch: the sequences turned round, so that their padding comes first and
        leaves the zero state as it is. No packing and no gather by length.
        """
        projected = self.input_projection[0](x)
        if self.cell.directions == 2:
            projected = torch.cat((projected, self.input_projection[1](x.flip(0))), 1)  # (S, D*B, G*H)
            mask = torch.cat((mask, mask.flip(0)), 1)
        first = x.new_zeros(projected.shape[1], self.state_size) if state is None else state.contiguous()
        h = self.cell.sequence(projected, first, mask)
        if self.cell.directions == 2:
            B = x.shape[1]
            h = torch.cat((h[:, :B], h[:, B:].flip(0)), -1)  # (S, B, D*H)
        out: Tensor = self.output(h)
        return out
