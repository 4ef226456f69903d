"""A training run on disk.

config.json           the configuration that the run is trained with
source.model, target.model   the SentencePiece models
run.json              facts about the data and the machine; after training also the scores
last.safetensors      weights, optimizer state, random state and position, for `--resume` (see state.py)
step-N.safetensors    weights at a validation, kept for the final average
model.safetensors     the final weights
metrics.jsonl         one JSON object per report; the training curves are drawn from it
shards/               the encoded training text (see encoding/shards.py)
lock                  the process that trains
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock
from torch import nn

from dragoman.runtime.errors import UserError
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import Config, from_tree, to_tree
from dragoman.translate.files import LOCK, acquire_lock, write_json
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.training.checkpoint import load_tensors, load_weights

Network = TypeVar("Network", bound=nn.Module)


class Run:
    """The folder of a training run."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, name: str) -> Path:
        """Return the path of one of the run's files."""
        return self.folder / name

    def read_json(self, name: str) -> dict[str, Any]:
        """Read one of the run's JSON files. Raises UserError when it is missing or damaged."""
        try:
            value: dict[str, Any] = json.loads(self.path(name).read_text("utf-8"))
            return value
        except FileNotFoundError:
            raise UserError(f"{self.folder} is not a training run: it has no {name}") from None
        except NotADirectoryError:
            raise UserError(f"{self.folder} is a file; give the folder of a training run") from None
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {self.path(name)}: {error}") from None

    def lock(self) -> FileLock:
        """Lock the folder for this process. Raises UserError when another process holds the lock."""
        return acquire_lock(self.path(LOCK), f"{self.folder} is being trained", "choose another name")

    def config(self) -> Config:
        """Read the configuration that the run was trained with."""
        return from_tree(self.read_json("config.json"), str(self.path("config.json")))

    def write_config(self, config: Config) -> None:
        """Write config.json."""
        write_json(self.path("config.json"), to_tree(config))

    def source_tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the input text. Classifiers and taggers have no other."""
        return Tokenizer(self._tokenizer_model("source"))

    def tokenizers(self) -> tuple[Tokenizer, Tokenizer]:
        """Return the source and the target tokenizer, which are one object if the vocabulary is joint."""
        source, target = (self._tokenizer_model(side) for side in ("source", "target"))
        source_tokenizer = Tokenizer(source)
        return source_tokenizer, source_tokenizer if target == source else Tokenizer(target)

    def _tokenizer_model(self, side: str) -> bytes:
        try:
            return self.path(f"{side}.model").read_bytes()
        except OSError as error:
            raise UserError(f"{self.folder} has no tokenizer: {error.strerror}: {error.filename}") from None

    def trained(self, model: Network) -> Network:
        """Load the final weights into a network of this run's shape, and prepare it for inference."""
        weights = self.path("model.safetensors")
        load_weights(model, load_tensors(weights)[0], weights)
        return model.requires_grad_(False).eval()

    def search(self) -> BeamSearch:
        """Return the trained network inside its beam search, ready to translate."""
        config = self.config()
        source, target = self.tokenizers()
        model = self.trained(Seq2Seq(config.model, len(source), len(target)))
        ratio = int(self.read_json("run.json")["limit_ratio"])
        return BeamSearch(model, ratio, right_to_left=config.data.right_to_left).eval()
