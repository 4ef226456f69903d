"""The task interface that the trainer sees: data, network, loss and scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from torch import nn

from dragoman.runtime.errors import UserError
from dragoman.translate.config import Config
from dragoman.translate.corpus.folder import Corpus
from dragoman.translate.encoding.batching import AnyBatch
from dragoman.translate.encoding.ragged import Ints
from dragoman.translate.training.display import Display
from dragoman.translate.training.distributed import Workers
from dragoman.translate.training.run import Run


class EpochBatches(Protocol):
    """The batches of one pass over what is learnt from."""

    expected: int  # how many there are, about

    def batches(self, start: int = 0) -> Iterator[AnyBatch]:
        """From the batch of this number on: the same for the same seed, however often and wherever asked."""
        ...

    def __iter__(self) -> Iterator[AnyBatch]:
        """All of them."""
        ...


class Task:
    """The corpus of a run and what is done with it."""

    metric: str  # of `scores`, by which weights are chosen: more is better
    counted: str  # what a loss is the mean of

    def __init__(self, config: Config, run: Run, workers: Workers, display: Display) -> None:
        """Raises UserError when the corpus is not there, or is one for another task."""
        self.config, self.run, self.workers, self.display = config, run, workers, display
        self.corpus = Corpus(config.data.corpus)
        if self.corpus.task != config.task:
            raise UserError(
                f"{self.corpus.folder} is a corpus to {self.corpus.task}, and the configuration has "
                f'task = "{config.task}"; set one to the other'
            )
        self.digest = self.corpus.digest()

    def prepare(self, prepared: bool) -> None:
        """Read the corpus; what it is turned into is made in the run's folder unless it is prepared."""
        raise NotImplementedError

    def network(self) -> nn.Module:
        """A network for it, with random weights."""
        raise NotImplementedError

    def objective(self, model: nn.Module) -> nn.Module:
        """What training makes small: the tensors of a batch -> a loss to learn from and a plain one, summed."""
        raise NotImplementedError

    def epoch(self, number: int) -> EpochBatches:
        """The batches of an epoch."""
        raise NotImplementedError

    def validation(self) -> Iterable[AnyBatch]:
        """The validation set in batches."""
        raise NotImplementedError

    def measures(self, loss: float) -> dict[str, float]:
        """What the plain loss on the validation set, a target's mean, means."""
        return {"perplexity": round(math.exp(min(loss, 50)), 3)}

    def scores(self, model: nn.Module, *, final: bool) -> dict[str, float]:
        """Scores of the validation set; final: as they are reported, however long it takes."""
        raise NotImplementedError

    def evaluation_settings(self) -> dict[str, Any]:
        """How final scores were found."""
        return {}

    def facts(self) -> dict[str, Any]:
        """What run.json says of the data."""
        return {"corpus": self.corpus.card, "corpus_sha256": self.digest}

    def short_enough(self, lengths: Ints, use: str = "train on") -> Ints:
        """The rows to use, given how many ids each has; says how many are left out. Raises UserError for none."""
        limit = self.config.data.max_length
        kept = np.flatnonzero(lengths <= limit)
        if not len(kept):
            raise UserError(f"data.max_length = {limit}: everything to {use} is longer")
        if len(kept) < len(lengths):
            left_out = f"{len(lengths) - len(kept):,} of {len(lengths):,} rows to {use}"
            self.display.message(f"{left_out} are longer than data.max_length = {limit} ids, and are left out")
        return kept

    def seed_of(self, epoch: int) -> int:
        """The seed of an epoch's batches."""
        return (self.config.training.seed * 100_003 + epoch) % 2**31

    def check_corpus(self) -> None:
        """Raise UserError if the corpus is not the one that the run was started with."""
        if self.run.read_json("run.json").get("corpus_sha256") != self.digest:
            raise UserError(
                f"{self.corpus.folder} is not the corpus that {self.run.folder} was started with; "
                "resume with that corpus, or start a run of another name"
            )
