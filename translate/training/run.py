"""A training run on disk.

config.json           the configuration, as it was trained
source.model, target.model   the SentencePiece models
run.json              facts of the data and the machine; scores once training has ended
last.safetensors      weights, optimiser, random state and position: `--resume` continues from it
step-N.safetensors    weights at a validation, kept for the average
model.safetensors     the final weights
metrics.jsonl         one object a report: the plot is drawn from it
shards/               the encoded training text (see encoding/shards.py)
lock                  the process that trains"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock
from torch import nn

from dragoman.runtime.errors import UserError
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import Config, from_tree, to_tree
from dragoman.translate.files import LOCK, hold, write_json
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.training.checkpoint import load_tensors, load_weights

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

    def lock(self) -> FileLock:
        """Hold the folder for this process. Raises UserError when another process holds it."""
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
