"""The interface of a task: data, network, loss and scores.

The trainer uses a task only through this interface. Each task implements it in its own module of this folder.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from torch import nn

from dragoman.runtime.errors import UserError
from dragoman.translate.config import Config
from dragoman.translate.encoding.batching import Batch
from dragoman.translate.encoding.ragged import Ints
from dragoman.translate.evaluation.engine import torch_precision
from dragoman.translate.training.display import Display
from dragoman.translate.training.distributed import Workers
from dragoman.translate.training.run import Run


class EpochBatches(Protocol):
    """The batches of one epoch. They depend on the seed alone, so that a resumed epoch continues exactly."""

    expected: int  # the number of batches, perhaps an estimate

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """Yield the batches from number `start` on."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """Yield all batches."""
        ...


class Task:
    """A task on the corpus of a run."""

    metric: str  # the key of `scores` that selects the best weights; larger is better
    unit: str  # the plural of what the loss is a mean over, such as tokens

    def __init__(self, config: Config, run: Run, workers: Workers, display: Display) -> None:
        """Open the corpus of a configuration.

        Raises UserError if there is no corpus, or if it is for another task.
        """
        self.config, self.run, self.workers, self.display = config, run, workers, display
        self.corpus = run.find_corpus(config.data.corpus)
        if self.corpus.task != config.task:
            raise UserError(
                f"{self.corpus.folder} is a corpus to {self.corpus.task}, and the configuration has "
                f'task = "{config.task}"; both need the same task'
            )
        self.stamp = self.corpus.stamp()
        self.digest = self.corpus.digest()

    def prepare(self, prepared: bool) -> None:
        """Read the corpus and encode it for training.

        prepared: an earlier start, or the main process, has already written tokenizers to the run's folder.
        """
        raise NotImplementedError

    def network(self) -> nn.Module:
        """Return a network with random weights."""
        raise NotImplementedError

    def objective(self, model: nn.Module) -> nn.Module:
        """Return the training objective, a module from the tensors of a batch to two losses.

        The first is to be minimised. The second is without regularisation and gradient. Both are sums over targets.
        """
        raise NotImplementedError

    def epoch(self, number: int) -> EpochBatches:
        """Return the training batches of an epoch."""
        raise NotImplementedError

    def validation(self) -> Iterable[Batch]:
        """Return the validation set in batches."""
        raise NotImplementedError

    def loss_metrics(self, loss: float) -> dict[str, float]:
        """Return metrics that follow from the mean validation loss, by default its perplexity."""
        return {"perplexity": round(math.exp(min(loss, 50)), 3)}

    def scores(self, model: nn.Module, *, final: bool) -> dict[str, float]:
        """Return the scores of a network on the validation set.

        final: compute the scores that are reported, even if it takes long.
        """
        raise NotImplementedError

    def prepare_search(self, model: nn.Module) -> bool:
        """Learn what the search takes from the final weights, and write it to the run.

        Return whether there is something, so that the final scores have to be computed again.
        """
        return False

    def evaluation_settings(self) -> dict[str, Any]:
        """Return the settings of the final scores, for the run's record: at least the precision of the computation."""
        return {"precision": torch_precision(self.workers.device)}

    def facts(self) -> dict[str, Any]:
        """Return the facts of the data that run.json records."""
        place = self.run.corpus_place(self.config.data.corpus, self.corpus)
        return {"corpus": self.corpus.card, "corpus_sha256": self.digest, "corpus_place": place}

    def short_rows(self, lengths: Ints, use: str = "train on") -> Ints:
        """Return the rows of at most data.max_length ids, given the lengths of all, and report how many are left out.

        Raises UserError if all are too long.
        """
        limit = self.config.data.max_length
        kept = np.flatnonzero(lengths <= limit)
        if not len(kept):
            raise UserError(f"data.max_length = {limit} is too small: all rows to {use} are longer")
        if len(kept) < len(lengths):
            too_long = f"{len(lengths) - len(kept):,} of {len(lengths):,} rows to {use}"
            self.display.message(f"{too_long} are longer than data.max_length = {limit} ids, and are left out")
        return kept

    def seed_of(self, epoch: int) -> int:
        """Return the seed of the batches of an epoch."""
        return (self.config.training.seed * 100_003 + epoch) % 2**31

    def check_corpus(self) -> None:
        """Raise UserError if the corpus differs from the one that the run was started with."""
        if self.run.read_json("run.json").get("corpus_sha256") != self.digest:
            raise UserError(
                f"{self.corpus.folder} is not the corpus that {self.run.folder} was started with; "
                "resume with that corpus, or start a new run under another name"
            )

    def check_unchanged(self) -> None:
        """Raise UserError if the corpus was changed or replaced while it was read: the run might mix two corpora."""
        if self.corpus.stamp() != self.stamp:
            if self.workers.main:
                shutil.rmtree(self.run.path("shards"), ignore_errors=True)  # of text that `digest` may not describe
            raise UserError(f"{self.corpus.folder} was changed while it was read; start the training again")
