"""Sensitivity of encoder states to the input: the norm of dh_t/dx_s.

Shapes: S subwords, D directions, H hidden units, E embedding width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dragoman.translate.network.seq2seq import Encoder

Sensitivity = npt.NDArray[np.float64]  # (layers, D, S, S): [layer, direction, t, s] is the norm of dh_t/dx_s


def sensitivity(
    embedding: nn.Module, encoder: Encoder, ids: Sequence[int], progress: Callable[[int], None] = lambda _: None
) -> Sensitivity:
    """Return the Frobenius norm of dh_t/dx_s for each layer and direction, (layers, D, S, S).

    h_t is a cell's output at position t and x_s the embedding of subword s. Graves 2012, "Supervised Sequence
    Labelling with Recurrent Neural Networks", figure 4.1, shades the same quantity. The norms are exact: the batch
    holds one copy of the sentence for each unit, so that one backward pass from h_t yields all rows of its Jacobian.

    progress: called with the number of positions done, of layers * S.
    """
    outputs: list[Tensor] = []
    hooks = [
        layer.recurrent.output.register_forward_pre_hook(lambda module, inputs: outputs.append(inputs[0]))
        for layer in encoder.layers
    ]
    cell = encoder.layers[0].recurrent.cell
    H, D, S = cell.hidden, cell.directions, len(ids)
    try:
        with torch.no_grad():
            embedded = embedding(torch.tensor([*ids])[:, None])  # (S, 1, E)
        x = embedded.expand(S, D * H, embedded.shape[-1]).clone().requires_grad_()  # (S, D*H, E)
        encoder.eval()(x, torch.ones(S, D * H, dtype=torch.bool))
    finally:
        for hook in hooks:
            hook.remove()
    norms = np.zeros((len(outputs), D, S, S))
    for layer, h in enumerate(outputs):  # (S, D*H, D*H): position, copy of the sentence, unit
        for t in range(S):
            (grad,) = torch.autograd.grad(h[t].diagonal().sum(), x, retain_graph=True)  # (S, D*H, E)
            squares = grad.double().square().sum(-1).reshape(S, D, H).sum(-1)  # (S, D)
            norms[layer, :, t] = squares.sqrt().t().numpy()
            progress(layer * S + t + 1)
    return norms


def sensitivity_by_distance(matrix: npt.NDArray[np.float64], *, right_to_left: bool = False) -> npt.NDArray[np.float64]:
    """Return the mean sensitivity at each distance t - s, relative to distance 0: (S, S) -> (S).

    right_to_left: the matrix belongs to the direction that reads from the end; distance is then s - t.
    """
    S = len(matrix)
    rows = matrix.T if right_to_left else matrix
    means = np.array([np.diagonal(rows, -distance).mean() for distance in range(S)])
    return means / max(float(means[0]), 1e-30)
