"""The state of a training run in one checkpoint: weights, optimizer state, random generators and position.

`save_state` writes last.safetensors and `load_state` reads it. Together they make resumption exact: 10 steps, a restart
and 10 more steps give the same weights as 20 steps, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dragoman.runtime.errors import UserError
from dragoman.translate.training.checkpoint import load_tensors, load_weights, save_tensors, weights_of

MODEL, OPTIMIZER = "model.", "optimizer."  # prefixes of tensor names


@dataclass
class Position:
    """Position in a training run: all state except weights, optimizer state and random generators."""

    step: int = 0  # optimizer steps
    epoch: int = 0  # completed epochs, so also the number of the current one, from 0
    batch: int = 0  # batches of the current epoch
    seconds: float = 0.0  # wall-clock time, including that of earlier processes of this run
    prepared: float = 0.0  # the part of `seconds` before the first step: reading and encoding the corpus
    restarts: float = 0.0  # the part of `seconds` in which resumed sessions started, first step included
    tokens: int = 0  # target tokens, without padding
    skipped: float = 0.0  # epochs, as a fraction, that `training.minutes` cut off
    skipped_steps: int = 0  # steps whose gradient was not finite, so that they changed nothing
    skipped_in_a_row: int = 0  # those since the last step that changed the weights
    world: int = 1  # worker processes
    history: list[dict[str, Any]] = field(default_factory=list)  # one entry per validation: step, epoch, loss, scores

    def count_step(self, tokens: int, *, skipped: bool) -> None:
        """Move on by one step, given its target tokens. skipped: its gradient was not finite."""
        self.step, self.batch, self.tokens = self.step + 1, self.batch + 1, self.tokens + tokens
        self.skipped_steps += skipped
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if skipped else 0


def save_state(
    path: Path, model: nn.Module, optimizers: Sequence[Optimizer], position: Position, device: torch.device
) -> None:
    """Write everything that an exact resumption needs. Raises UserError when the file cannot be written.

    Only this process's random state is saved, so other workers draw new dropout masks after a resumption.
    """
    tensors = {f"{MODEL}{name}": tensor for name, tensor in weights_of(model).items()}
    names = {id(p): name for name, p in model.named_parameters()}
    for optimizer in optimizers:
        for p, state in optimizer.state.items():
            for key, value in state.items():
                tensors[f"{OPTIMIZER}{key}.{names[id(p)]}"] = value
    tensors["random"] = torch.get_rng_state()
    if device.type == "cuda":
        tensors["random_cuda"] = torch.cuda.get_rng_state(device)
    save_tensors(path, tensors, vars(position))


def load_state(path: Path, model: nn.Module, optimizers: Sequence[Optimizer], device: torch.device) -> Position:
    """Restore weights, optimizer state and random generators in place, and return the position.

    Raises UserError when the file is damaged or describes another network.
    """
    tensors, facts = load_tensors(path, "restore it from a copy, or train under another name")
    if unknown := facts.keys() - {field.name for field in fields(Position)}:
        raise UserError(
            f"{path} holds {', '.join(sorted(unknown))}: it is of a newer version of Dragoman; resume with that"
        )
    weights = {name.removeprefix(MODEL): t for name, t in tensors.items() if name.startswith(MODEL)}
    load_weights(model, weights, path)
    _load_optimizer_state(tensors, model, optimizers)
    torch.set_rng_state(tensors["random"])
    if device.type == "cuda" and "random_cuda" in tensors:  # a checkpoint of a CPU has none
        torch.cuda.set_rng_state(tensors["random_cuda"], device)
    return Position(**facts)


def _load_optimizer_state(tensors: dict[str, Tensor], model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
    parameters = dict(model.named_parameters())
    optimizer_of = {id(p): o for o in optimizers for group in o.param_groups for p in group["params"]}
    for name, tensor in tensors.items():
        if name.startswith(OPTIMIZER):
            _, key, parameter = name.split(".", 2)
            p = parameters[parameter]
            optimizer_of[id(p)].state[p][key] = tensor.to(p.device, copy=True)
