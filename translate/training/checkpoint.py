"""Checkpoints: named tensors in safetensors files."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dragoman.runtime.errors import UserError

# Parts of tensor names in run folders and int8 files of 0.1, and their names today.
RENAMED = {".drive.": ".input_projection."}


def current_name(name: str) -> str:
    """Return the name that a tensor or module has today, given its name when a file was written."""
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    return name


def save_tensors(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any] | None = None) -> None:
    """A safetensors file with facts as JSON in its header, written beside and renamed.

    Raises UserError when it cannot be written (a full disk); the file that was there before stays.
    """
    beside = path.with_name(path.name + ".part")
    stays = "; the checkpoint before it stays as it was" if path.exists() else ""
    try:
        beside.touch()
        mode = beside.stat().st_mode  # as the user's other files have it; safetensors makes private ones
        save_file(tensors, beside, metadata={"facts": json.dumps(facts or {})})
        beside.chmod(mode)
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write {path}: {error}{stays}") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The inverse of `save_tensors`. Raises UserError for anything but a whole safetensors file."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {current_name(key): file.get_tensor(key) for key in file.keys()}, facts  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: the training has not come that far; go on with --resume") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path} is not a whole safetensors checkpoint: {error}") from None


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The parameters by name, a shared one once."""
    return {name: p.detach() for name, p in model.named_parameters()}


def load_weights(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Copy weights into a model. Raises UserError when names or shapes differ."""
    own = dict(model.named_parameters())
    if own.keys() != tensors.keys() or any(own[n].shape != tensors[n].shape for n in own):
        raise UserError(f"{path} holds the weights of another network than config.json describes")
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
