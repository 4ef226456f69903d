"""The recurrent cells (Elman, LSTM, GRU, SRU) and the recurrent layer around them.

One set of weights serves two uses: `sequence` runs over all positions in training and encoding, and `step` computes one
position of the search. The input projection does not depend on the state, so it is one large product over all
positions of a sequence.

Axis letters: B batch, S length in time, D directions (1, or 2 for forward and backward), E input width, H hidden width
of a cell, G gates, N size of a cell's state (H, or 2H for the LSTM). Two directions are one batch of D*B sequences, the
forward ones first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dragoman.translate.config import CellName


def recurrence(step: Callable[..., tuple[Any, Any]], state: Any, inputs: Any) -> tuple[Any, Any]:  # noqa: ANN401 (nested tensors)
    """Apply `step(state, input) -> (state, output)` along the first axis of `inputs`.

    Return the last state, and the outputs stacked along the first axis.

    Eager code runs a Python loop. While exporting, it is the higher-order operator `scan`, which becomes ONNX Scan.
    `inputs` is a tensor or a tuple of tensors. The state and the outputs may be tuples only while exporting.
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
    """The recurrence c_t = f_t c_(t-1) + u_t along the first axis, one fused operation per step in both passes.

    The gradient is the same recurrence, run from the end: g_t = dL/dc_t + f_(t+1) g_(t+1). Then dL/du_t = g_t and
    dL/df_t = g_t c_(t-1). Autograd would record every step instead.
    """

    @staticmethod
    def forward(forget: Tensor, update: Tensor, state: Tensor) -> Tensor:  # (S, B, H), (S, B, H), (B, H) -> (S, B, H)
        c = torch.empty_like(update)
        for f, u, out in zip(forget.unbind(0), update.unbind(0), c.unbind(0), strict=True):
            state = torch.addcmul(u, f, state, out=out)
        return c

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:  # noqa: ANN401 (torch's own type)
        forget, _, state = inputs
        ctx.save_for_backward(forget, state, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401 (torch's own type)
        forget, state, c = ctx.saved_tensors
        g = torch.empty_like(grad)
        g[-1] = grad[-1]
        steps = list(zip(forget.unbind(0), grad.unbind(0), g.unbind(0), strict=True))
        for t in range(len(steps) - 2, -1, -1):
            torch.addcmul(steps[t][1], steps[t + 1][0], steps[t + 1][2], out=steps[t][2])
        previous = torch.cat((state.unsqueeze(0), c[:-1]))
        return g * previous, g, g[0] * forget[0]


class Cell(nn.Module):
    """Base of the cells: the recurrence alone, without input and output projection.

    `sequence` and `step` take the projected input, G*H features per direction. `Recurrent` holds the projection,
    because one large product for all positions is much faster than a small one per step.
    """

    gates: int
    states = 1  # vectors of width H in the state

    def __init__(self, hidden: int, directions: int = 1) -> None:
        super().__init__()
        self.hidden, self.directions = hidden, directions

    def initial_bias(self) -> Tensor:
        """Return the initial bias of the input projection, (G*H)."""
        return torch.zeros(self.gates * self.hidden)

    def step(self, projected: Tensor, state: Tensor) -> Tensor:
        """Return the next state (..., N), given the projected input (..., G*H) and the state (..., N)."""
        raise NotImplementedError

    def output_of(self, state: Tensor) -> Tensor:
        """Return the output (..., H) that a state (..., N) shows to the layer above."""
        return state[..., : self.hidden]

    def sequence(self, projected: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        """Return the outputs at all positions, (S, D*B, H).

        projected (S, D*B, G*H); state (D*B, N) before the first step; mask (S, D*B), true at real positions. Padding
        leaves the state unchanged.
        """
        width = projected.shape[-1]

        def step(state: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
            new = torch.where(row[..., width:] > 0, self.step(row[..., :width], state), state)
            return new, self.output_of(new).clone()  # scan forbids an output that aliases the state

        rows = torch.cat((projected, mask.unsqueeze(-1).to(projected.dtype)), -1)  # (S, D*B, G*H + 1)
        outputs: Tensor = recurrence(step, state, rows)[1]
        return outputs


class MatrixCell(Cell):
    """Base of the cells whose gates also depend on the previous output, through one recurrent matrix per gate.

    Recurrent matrices start orthogonal (Saxe et al. 2014), so that gradients neither vanish nor explode at first.
    """

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
        """Multiply the previous output h by the recurrent matrices: (..., H) -> (..., G*H).

        With two directions h must be (D*B, H), and each half has its own matrices.
        """
        if self.directions == 1:
            out: Tensor = self.recurrent[0](h)
            return out
        B = h.shape[0] // 2
        return torch.cat((self.recurrent[0](h[:B]), self.recurrent[1](h[B:])))


class Elman(MatrixCell):
    """The simple recurrent network h = tanh(W x + U h) (Elman 1990, "Finding structure in time")."""

    gates = 1

    def step(self, projected: Tensor, state: Tensor) -> Tensor:
        return torch.tanh(projected + self.recurrent_step(state))


class LSTM(MatrixCell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) with forget gates (Gers et al. 2000).

    The state is h and c side by side. Gates are ordered input, forget, output, candidate.
    """

    gates = 4
    states = 2

    def initial_bias(self) -> Tensor:
        bias = torch.zeros(4 * self.hidden)
        bias[self.hidden : 2 * self.hidden] = 1.0  # an open forget gate (Jozefowicz et al. 2015)
        return bias

    def step(self, projected: Tensor, state: Tensor) -> Tensor:
        H = self.hidden
        gates = projected + self.recurrent_step(state[..., :H])  # (..., 4H)
        i, f, o = torch.sigmoid(gates[..., : 3 * H]).split(H, -1)
        c = f * state[..., H:] + i * torch.tanh(gates[..., 3 * H :])  # (..., H)
        return torch.cat((o * torch.tanh(c), c), -1)  # (..., 2H)


class GRU(MatrixCell):
    """Gated recurrent unit (Cho et al. 2014), with the reset gate after the recurrent product, as in cuDNN and PyTorch.

    Gates are ordered reset, update, candidate.
    """

    gates = 3
    recurrent_bias = True  # not redundant here: the reset gate multiplies it

    def step(self, projected: Tensor, state: Tensor) -> Tensor:
        H = self.hidden
        recurrent = self.recurrent_step(state)  # (..., 3H)
        r, z = torch.sigmoid(projected[..., : 2 * H] + recurrent[..., : 2 * H]).split(H, -1)
        n = torch.tanh(projected[..., 2 * H :] + r * recurrent[..., 2 * H :])
        new: Tensor = n + z * (state - n)
        return new


class SRU(Cell):
    """Simple recurrent unit c = f c + (1 - f) z with output ReLU(c).

    It is the SSRU of Kim et al. 2019, "From Research to Production and Back". The gates depend on the input alone (Lei
    et al. 2018). A sequence is therefore one matrix product, followed by an element-wise recurrence.
    """

    gates = 2

    def initial_bias(self) -> Tensor:
        bias = torch.zeros(2 * self.hidden)
        bias[: self.hidden] = 1.0  # an open forget gate, as in the LSTM
        return bias

    def output_of(self, state: Tensor) -> Tensor:
        return torch.relu(state)

    def step(self, projected: Tensor, state: Tensor) -> Tensor:
        f, z = projected.split(self.hidden, -1)
        f = torch.sigmoid(f)
        new: Tensor = f * state + (z - f * z)
        return new

    def sequence(self, projected: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        # Always float32: the state decays as a product of many gates, which bfloat16 would round away.
        f, z = projected.float().split(self.hidden, -1)
        f = torch.where(mask.unsqueeze(-1), torch.sigmoid(f), 1.0)  # 1 at padding: z - f z is 0 and c stays
        if torch.compiler.is_exporting():
            c: Tensor = recurrence(_linear_step, state, (f, z - f * z))[1]
        else:
            c = _LinearRecurrence.apply(f, z - f * z, state.float())  # type: ignore[no-untyped-call]  # of torch
        return torch.relu(c)


def _linear_step(state: Tensor, row: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the next state and output of the linear recurrence, for `recurrence`."""
    f, u = row
    new = f * state + u
    return new, new.clone()


CELLS: dict[str, type[Cell]] = {"elman": Elman, "lstm": LSTM, "gru": GRU, "sru": SRU}


class Recurrent(nn.Module):
    """A recurrent layer: input projection, a cell in one or two directions, output projection.

    The backward direction runs in the same batch, over reversed sequences. Their padding comes first and leaves the
    zero state unchanged, so no packing and no gather by length is needed.
    """

    def __init__(self, cell: CellName, width: int, hidden: int, directions: int, output: int | None = None) -> None:
        """Create a layer from size `width` to size `output` (default: `width`).

        Its cells have size `hidden` in each of the `directions`, one or two.
        """
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
        """N, the size of the state of one direction."""
        return self.cell.hidden * self.cell.states

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output (..., E) and the next state (..., N), given the input (..., E) and the state (..., N)."""
        state = self.cell.step(self.input_projection[0](x), state)
        return self.output(self.cell.output_of(state)), state

    def sequence(self, x: Tensor, state: Tensor | None, mask: Tensor) -> Tensor:
        """Return the outputs at all positions, (S, B, E).

        x (S, B, E); state (B, N), or None for zeros; mask (S, B), true at real positions.
        """
        B = x.shape[1]
        projected = self.input_projection[0](x)  # (S, B, G*H)
        if self.cell.directions == 2:
            projected = torch.cat((projected, self.input_projection[1](x.flip(0))), 1)  # (S, D*B, G*H)
            mask = torch.cat((mask, mask.flip(0)), 1)  # (S, D*B)
        first = x.new_zeros(projected.shape[1], self.state_size) if state is None else state.contiguous()
        h = self.cell.sequence(projected, first, mask)  # (S, D*B, H)
        if self.cell.directions == 2:
            h = torch.cat((h[:, :B], h[:, B:].flip(0)), -1)  # (S, B, D*H)
        out: Tensor = self.output(h)  # (S, B, E)
        return out
