"""A run's folder: what is in it, and how it is written so that nothing is ever half there.

config.json           the configuration, as it was trained
source.model, target.model   the SentencePiece models
run.json              facts of the data and the machine; scores once training has ended
last.safetensors      weights, optimiser, random state and position: what `--resume` goes on from
step-N.safetensors    weights at a validation, kept for the average
model.safetensors     the final weights
metrics.jsonl         one object a report: what the plot is drawn from
shards/               the training text as numbers (see corpus/shards.py)
lock                  the process that trains
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dragoman.runtime.errors import UserError
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import Config, from_tree, to_tree
from dragoman.translate.folders import LOCK, hold, real
from dragoman.translate.model import Seq2Seq
from dragoman.translate.search import BeamSearch

STREAMS = {"stdout": 1, "stderr": 2}  # of /dev, and their descriptors


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file, or leave what was there before. Raises UserError."""
    with written(path) as file:
        file.write(data)


@contextlib.contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file that is written beside, made durable, then renamed. Raises UserError; what fails leaves what was there.

    A link stays one. What is no file, as /dev/null and pipes are, is written to, and stays as well; so is /dev/stdout,
    which may be a file.
    """
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; name a file")
    given, path = path, real(path)
    descriptor = descriptor_of(given)
    try:
        if descriptor is not None or (given.exists() and not path.is_file()):
            for stream in filter(None, (sys.stdout, sys.stderr)):  # what was printed comes first
                stream.flush()
            with open(given if descriptor is None else os.dup(descriptor), "wb") as file:
                yield file
            return
        beside = path.with_name(path.name + ".part")
        try:
            with open(beside, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {given}: {error.strerror or error}") from None


def descriptor_of(path: Path) -> int | None:
    """The file that /dev/stdout, /dev/fd/3 and such stand for, which is open: opened anew, it would start again."""
    if path.name in STREAMS and path.parent == Path("/dev"):
        return STREAMS[path.name]
    named = str(path.parent) in ("/dev/fd", "/proc/self/fd") and path.name.isdecimal()
    return int(path.name) if named else None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """`write_atomically` for an object, indented for people."""
    write_atomically(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


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


def append_row(path: Path, value: Any) -> None:  # noqa: ANN401 (whatever JSON can say)
    """Add a line of JSON to a file. Raises UserError."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(value) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def read_rows(path: Path) -> list[Any]:
    """The lines of JSON in a file; one that was cut by a full disk or a power cut is left out. Raises UserError."""
    rows = []
    try:
        for line in path.read_text("utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    return rows


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The inverse of `save_tensors`. Raises UserError for anything but a whole safetensors file."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {key: file.get_tensor(key) for key in file.keys()}, facts  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: the training has not come that far; go on with --resume") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path} is not a whole safetensors checkpoint: {error}") from None


Network = TypeVar("Network", bound=nn.Module)


class Run:
    """A training run on disk."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, name: str) -> Path:
        """A file of the run."""
        return self.folder / name

    def read_json(self, name: str) -> dict[str, Any]:
        """One of its JSON files. Raises UserError when it is missing or broken."""
        try:
            value: dict[str, Any] = json.loads(self.path(name).read_text("utf-8"))
            return value
        except FileNotFoundError:
            raise UserError(f"{self.folder} is not a training run: it has no {name}") from None
        except NotADirectoryError:
            raise UserError(f"{self.folder} is a file; this needs the folder of a training run") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path(name)} cannot be read: {error}") from None

    def lock(self) -> int:
        """Hold the folder for this process until the file that is returned is closed, or the process ends.

        Raises UserError when another process holds it.
        """
        return hold(self.path(LOCK), f"{self.folder} is being trained", "choose another name")

    def config(self) -> Config:
        """The configuration it was trained with."""
        return from_tree(self.read_json("config.json"), str(self.path("config.json")))

    def write_config(self, config: Config) -> None:
        """Record the configuration."""
        write_json(self.path("config.json"), to_tree(config))

    def source_tokenizer(self) -> Tokenizer:
        """The source's tokenizer, which is all that a reader has."""
        return Tokenizer(self._tokenizer_model("source"))

    def tokenizers(self) -> tuple[Tokenizer, Tokenizer]:
        """Source and target tokenizer; one object when joint."""
        source, target = (self._tokenizer_model(side) for side in ("source", "target"))
        first = Tokenizer(source)
        return first, first if target == source else Tokenizer(target)

    def _tokenizer_model(self, side: str) -> bytes:
        try:
            return self.path(f"{side}.model").read_bytes()
        except OSError as error:
            raise UserError(f"{self.folder} has no tokenizer: {error.strerror}: {error.filename}") from None

    def trained(self, model: Network) -> Network:
        """A network of this run's shape with the weights that training ended with, for use alone."""
        weights = self.path("model.safetensors")
        load_weights(model, load_tensors(weights)[0], weights)
        return model.requires_grad_(False).eval()

    def search(self) -> BeamSearch:
        """The trained network inside its search, ready to translate."""
        config = self.config()
        source, target = self.tokenizers()
        model = self.trained(Seq2Seq(config.model, len(source), len(target)))
        ratio = int(self.read_json("run.json")["limit_ratio"])
        return BeamSearch(model, ratio, right_to_left=config.data.right_to_left).eval()


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


def differing_keys(a: Config, b: Config) -> list[str]:
    """Dotted keys whose values differ."""

    def walk(x: Any, y: Any, prefix: str) -> list[str]:  # noqa: ANN401 (a tree of plain values)
        if isinstance(x, dict) and isinstance(y, dict):
            return [k for key in x for k in walk(x[key], y.get(key), f"{prefix}.{key}" if prefix else key)]
        return [] if x == y else [prefix]

    return walk(msgspec.to_builtins(a), msgspec.to_builtins(b), "")
