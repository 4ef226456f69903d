"""Checkpoints: named tensors in safetensors files, written atomically and never pickled."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
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
    """Write a safetensors file, with facts as JSON in its header, to a temporary file that then replaces `path`.

    Raises UserError when the file cannot be written (a full disk). A file that was there before is kept.
    """
    temporary = path.with_name(path.name + ".part")
    kept = "; the previous checkpoint is kept" if path.exists() else ""
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the umask gives; safetensors makes files that only the owner can read
        save_file(tensors, temporary, metadata={"facts": json.dumps(facts or {})})
        temporary.chmod(mode)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write {path}: {error}{kept}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _utf8_path(path: Path) -> Iterator[str]:
    """Yield a path of a file that is UTF-8, as PyTorch requires."""
    name = str(path)
    if not any("\ud800" <= character <= "\udfff" for character in name):
        yield name
        return
    with open(path, "rb") as file:
        yield f"/dev/fd/{file.fileno()}"


def load_tensors(path: Path, remedy: str = "restore it from a copy") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote: tensors by name, and facts.

    Raises UserError when the file is missing, or with the remedy when it is not a complete safetensors file.
    """
    try:
        with _utf8_path(path) as utf8_path, safe_open(utf8_path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {current_name(key): file.get_tensor(key) for key in file.keys()}, facts  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: training has not reached that point; continue it with --resume"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; {remedy}") from None
    except (SafetensorError, ValueError):
        raise UserError(
            f"{path} is not a complete safetensors file, in which training saves weights: it is damaged or cut short; "
            f"{remedy}"
        ) from None


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters by name, a shared one once, without a copy."""
    return {name: p.detach() for name, p in model.named_parameters()}


def load_weights(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Copy weights into a model. Raises UserError when names or shapes differ; path is for the message."""
    parameters = dict(model.named_parameters())
    if parameters.keys() != tensors.keys() or any(parameters[n].shape != tensors[n].shape for n in parameters):
        raise UserError(f"{path} holds weights whose names or shapes differ from those that config.json describes")
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)
