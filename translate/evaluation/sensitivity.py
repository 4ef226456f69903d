"""Sensitivity of encoder states: the norm of dh_t/dx_s."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dragoman.translate.network.seq2seq import Encoder

Sensitivity = npt.NDArray[np.float64]  # (layers, D, S, S): the place that is read, then the word that is changed


def sensitivity(
    embedding: nn.Module, encoder: Encoder, ids: Sequence[int], progress: Callable[[int], None] = lambda _: None
) -> Sensitivity:
    """The norms of the derivatives of each cell's output h_t by each embedded word x_s, of each layer and direction.

    ||dh_t/dx_s||, Frobenius (Graves 2012, "Supervised Sequence Labelling with Recurrent Neural Networks", figure 4.1,
    shades the same). Exact: a batch holds the sentence once for every unit, so that one pass backwards from h_t gives
    all rows of its Jacobian. progress: called with how many of layers * S places are done.
    """
    seen: list[Tensor] = []
    hooks = [
        layer.recurrent.output.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
        for layer in encoder.layers
    ]
    cell = encoder.layers[0].recurrent.cell
    H, D, S = cell.hidden, cell.directions, len(ids)
    try:
        with torch.no_grad():
            words = embedding(torch.tensor([*ids])[:, None])  # (S, 1, E)
        x = words.expand(S, D * H, words.shape[-1]).clone().requires_grad_()
        encoder.eval()(x, torch.ones(S, D * H, dtype=torch.bool))
    finally:
        for hook in hooks:
            hook.remove()
    out = np.zeros((len(seen), D, S, S))
    for number, h in enumerate(seen):  # (S, D*H, D*H): place, copy of the sentence, unit
        for t in range(S):
            (grad,) = torch.autograd.grad(h[t].diagonal().sum(), x, retain_graph=True)  # (S, D*H, E)
            squares = grad.double().square().sum(-1).reshape(S, D, H).sum(-1)  # (S, D)
            out[number, :, t] = squares.sqrt().t().numpy()
            progress(number * S + t + 1)
    return out


def reach(matrix: npt.NDArray[np.float64], *, backwards: bool = False) -> npt.NDArray[np.float64]:
    """How sensitivity (S, S) fades with distance: its mean over places at each distance, of that at distance 0.

    backwards: of a direction that reads from the end.
    """
    S = len(matrix)
    rows = matrix.T if backwards else matrix
    means = np.array([np.diagonal(rows, -distance).mean() for distance in range(S)])
    return means / max(float(means[0]), 1e-30)
