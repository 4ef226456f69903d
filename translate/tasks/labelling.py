"""The classification and tagging tasks: encoded text, the labelling network, its loss and its scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from dragoman.runtime.batching import pad
from dragoman.runtime.contract import Floats, Ids
from dragoman.runtime.errors import UserError
from dragoman.runtime.labelling import Classifier, Tagger
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import Config, TokenizerConfig
from dragoman.translate.corpus.builders.labelled import labels_of
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.encoding.batching import plan
from dragoman.translate.encoding.ragged import Ints, ragged
from dragoman.translate.encoding.shards import Words
from dragoman.translate.encoding.subwords import Segmentations, default_vocabulary, segmentations, train_tokenizer
from dragoman.translate.evaluation.engine import card_of
from dragoman.translate.evaluation.label_metrics import accuracy, entity_f1, is_chunked, macro_f1
from dragoman.translate.files import write_atomically
from dragoman.translate.network.heads import LabelNetwork, Probabilities
from dragoman.translate.network.loss import SmoothedLoss
from dragoman.translate.network.seq2seq import Encoder, Seq2Seq
from dragoman.translate.tasks.task import EpochBatches, Task
from dragoman.translate.training.allocator import keep_freed_memory
from dragoman.translate.training.run import Run

UNLABELLED = -1  # a place that has no label: within a word, behind the text


class Batch(NamedTuple):
    """Padded ids with their labels' numbers."""

    source: Tensor  # (B, S)
    source_length: Tensor  # (B)
    labels: Tensor  # (B), or (B, S) with UNLABELLED where no word begins
    tokens: int  # labels

    def tensors(self) -> tuple[Tensor, ...]:
        """All but the count."""
        return self[:3]

    def take(self, rows: slice) -> Batch:
        """Some of the rows."""
        source, length, labels = (x[rows] for x in self[:3])
        return Batch(source, length, labels, int((labels != UNLABELLED).sum()))


class Objective(nn.Module):
    """The loss of a reader's labels."""

    def __init__(self, model: LabelNetwork, smoothing: float) -> None:
        super().__init__()
        self.model, self.loss = model, SmoothedLoss(smoothing)

    def forward(self, source: Tensor, source_length: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """A batch (see Batch) -> its smoothed and plain loss, summed over labels."""
        real, head = labels != UNLABELLED, self.model.head
        x = self.model.features(source, source_length)
        return self.loss(x[real], head.weight, head.bias, labels[real])


class Text:
    """Labelled texts as numbers of words, from which ids are drawn anew in every epoch."""

    def __init__(self, pairs: Sequence[Pair], names: Sequence[str], task: str) -> None:
        numbers = {name: i for i, name in enumerate(names)}
        self.each = task == "tag"
        self.words = Words()
        self.rows = ragged([self.words.number(word) for word in p.source.split(" ")] for p in pairs)
        self.labels = ragged([numbers[label] for label in labels_of(task, p)] for p in pairs)

    def batch(self, table: Segmentations, rows: Sequence[int], rng: np.random.Generator | None = None) -> Batch:
        """Some rows, each word in one of its segmentations at random; without a generator in its usual one."""
        chosen = np.array(rows)
        words = self.rows.take(chosen)
        ids, starts = table.drawn(words, rng)
        source, length = pad([ids.row(i) for i in range(ids.rows)])
        own = self.labels.take(chosen)
        if not self.each:
            labels = own.flat.astype(np.int64)
        else:
            labels = np.full(source.shape, UNLABELLED, np.int64)
            labels[np.repeat(np.arange(len(rows)), words.lengths), starts] = own.flat
        return Batch(*map(torch.from_numpy, (source, length, labels)), len(own.flat))  # type: ignore[call-arg,arg-type]  # three tensors


class Epoch:
    """The batches of one pass over labelled text."""

    def __init__(self, text: Text, table: Segmentations, kept: Ints, lengths: Ints, tokens: int, seed: int) -> None:
        self.text, self.table, self.kept, self.seed = text, table, kept, seed
        own = lengths[kept].tolist()
        self.plan = plan(own, own, tokens, seed)
        self.expected = len(self.plan)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """From the batch of this number on."""
        for number, rows in enumerate(self.plan[start:], start):
            yield self.text.batch(self.table, self.kept[rows].tolist(), np.random.default_rng([self.seed, number]))


class LabellingTask(Task):
    """Labels of texts (`classify`) or of their words (`tag`)."""

    def prepare(self, prepared: bool) -> None:
        c, task = self.config, self.config.task
        self.names: list[str] = self.corpus.card["labels"]
        self.counted = "texts" if task == "classify" else "words"
        self.metric = "macro-F1" if task == "classify" else "entity F1" if is_chunked(self.names) else "accuracy"
        train, valid = ([*self._checked(part)] for part in ("train", "valid"))
        if not valid:
            raise UserError(f"{self.corpus.folder} has no validation texts, by which training chooses its weights")
        if prepared:
            if self.workers.main:
                self.check_corpus()
            self.tokenizer = self.run.source_tokenizer()
        else:
            vocabulary = c.tokenizer.vocabulary or default_vocabulary(len(train))
            self.tokenizer = train_tokenizer(self.corpus.lines("train", 0), c.tokenizer, vocabulary, (), len(train))
            write_atomically(self.run.path("source.model"), self.tokenizer.model)
        self.text = Text(train, self.names, task)
        self.table = self._table(self.text, c.tokenizer)
        self.held_out = Text(valid, self.names, task)
        self.held_out_table = self._table(self.held_out, msgspec.structs.replace(c.tokenizer, sampling=0.0))
        self.lengths = self.table.usual_lengths(self.text.rows)
        self.kept = self.short_enough(self.lengths)
        self.held_out_kept = self.short_enough(self.held_out_table.usual_lengths(self.held_out.rows), "validate on")

    def _checked(self, part: str) -> Iterator[Pair]:
        """Raise UserError for labels that cannot be: a hand may have edited the files."""
        known, task = {*self.names}, self.config.task
        for number, pair in enumerate(self.corpus.read(part), 1):
            words, labels = len(pair.source.split(" ")), labels_of(task, pair)
            place = f"{self.corpus.folder}: line {number:,} of {part}"
            if task == "tag" and words != len(labels):
                raise UserError(f"{place} has {words} words and {len(labels)} labels")
            for label in labels:
                if label not in known:
                    raise UserError(f"{place} has the label {label!r}, which the corpus was not made with")
            yield pair

    def _table(self, text: Text, config: TokenizerConfig) -> Segmentations:
        seed = self.config.training.seed
        return segmentations(self.tokenizer, [*text.words.numbers], text.words.counts, config, seed)

    def network(self) -> LabelNetwork:
        """A reader for the vocabulary and the labels."""
        return label_network(self.config, self.tokenizer, self.names)

    def objective(self, model: nn.Module) -> nn.Module:
        assert isinstance(model, LabelNetwork)
        return Objective(model, self.config.training.label_smoothing)

    def epoch(self, number: int) -> EpochBatches:
        tokens = self.config.training.batch_tokens * self.workers.world
        return Epoch(self.text, self.table, self.kept, self.lengths, tokens, self.seed_of(number))

    def validation(self) -> Iterable[Batch]:
        for start in range(0, len(self.held_out_kept), 64):
            yield self.held_out.batch(self.held_out_table, self.held_out_kept[start : start + 64].tolist())

    def scores(self, model: nn.Module, *, final: bool) -> dict[str, float]:
        """Accuracy with macro-F1, or with entity F1 where labels say where entities begin."""
        found: list[list[str]] = []
        expected: list[list[str]] = []
        for batch in self.validation():
            device = self.workers.device
            best = model(batch.source.to(device), batch.source_length.to(device)).argmax(-1).cpu()
            for ids, labels in zip(best, batch.labels, strict=True):
                real = labels != UNLABELLED
                for into, numbers in ((found, ids[real]), (expected, labels[real])):
                    into.append([self.names[i] for i in numbers.reshape(-1).tolist()])
        return label_scores(found, expected, self.config.task, self.names)

    def facts(self) -> dict[str, Any]:
        return {
            "source_language": self.corpus.languages[0],
            **super().facts(),
            "too_long": len(self.lengths) - len(self.kept),
            "max_source": self.config.data.max_length,
        }


def label_network(config: Config, tokenizer: Tokenizer, names: Sequence[str]) -> LabelNetwork:
    """The network of a configuration, with random weights."""
    return LabelNetwork(config.model, len(tokenizer), len(names), each=config.task == "tag")


def trained_label_network(run: Run) -> LabelNetwork:
    """The network of a run whose training has ended."""
    names = run.read_json("run.json")["corpus"]["labels"]
    return run.trained(label_network(run.config(), run.source_tokenizer(), names))


def encoder_of(run: Run) -> tuple[nn.Module, Encoder]:
    """The embedding of a run's source and its encoder. Raises UserError for a run that reads no text."""
    task = run.config().task
    if task == "forecast":
        raise UserError(f"{run.folder} reads numbers, not words")
    if task == "translate":
        model = run.search().model
        assert isinstance(model, Seq2Seq)
        return model.source_embedding, model.encoder
    reader = trained_label_network(run)
    return reader.embedding, reader.encoder


def label_scores(
    found: Sequence[Sequence[str]], expected: Sequence[Sequence[str]], task: str, names: Sequence[str]
) -> dict[str, float]:
    """The scores that fit a task, by name, of 100."""
    flat = [[label for row in rows for label in row] for rows in (found, expected)]
    out = {"accuracy": accuracy(*flat)}
    if task == "tag" and is_chunked(names):
        out["entity F1"] = entity_f1(found, expected)
    else:
        out["macro-F1"] = macro_f1(*flat)
    return {name: round(value, 2) for name, value in out.items()}


class TorchLabelEngine:
    """A trained reader in PyTorch, behind the same door as the exported file."""

    def __init__(self, reader: LabelNetwork) -> None:
        keep_freed_memory()
        self.model = Probabilities(reader).eval()

    @torch.no_grad()
    def run(self, source: Ids, source_length: Ids) -> Floats:
        """See runtime.reader.LabelEngine."""
        out: Floats = self.model(torch.from_numpy(source), torch.from_numpy(np.asarray(source_length))).numpy()
        return out


def labelling_metadata(run: Run) -> Metadata:
    """What an exported file says about a run, but for its self-test."""
    facts = run.read_json("run.json")
    return Metadata(
        source_language=facts["source_language"],
        target_language="",
        source_tokenizer=run.source_tokenizer().model,
        target_tokenizer=b"",
        max_source=facts["max_source"],
        defaults={},
        config=run.read_json("config.json"),
        card=card_of(facts),
        self_test={},
        task=run.config().task,
        labels=facts["corpus"]["labels"],
    )


def label_model_of(run: Run) -> Classifier | Tagger:
    """A run as a Classifier or Tagger that computes in PyTorch."""
    kind = Classifier if run.config().task == "classify" else Tagger
    return kind(TorchLabelEngine(trained_label_network(run)), labelling_metadata(run))
