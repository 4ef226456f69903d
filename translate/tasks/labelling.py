"""The classification and tagging tasks: encoded text, the labelling network, its loss and its scores.

A classifier labels a text, a tagger labels each of its words, at the position of the word's first subword.
Axis letters: B batch, S source length, C labels.
"""

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
from dragoman.runtime.files import write_atomically
from dragoman.runtime.labelling import Classifier, Tagger
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import Config, TokenizerConfig
from dragoman.translate.corpus.builders.labelled import labels_of
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.encoding.batching import plan
from dragoman.translate.encoding.ragged import Ints, ragged
from dragoman.translate.encoding.subwords import Segmentations, default_vocabulary, segmentations, train_tokenizer
from dragoman.translate.encoding.word_index import WordIndex
from dragoman.translate.evaluation.label_metrics import accuracy, entity_f1, is_chunked, macro_f1
from dragoman.translate.network.heads import LabelNetwork, LabelProbabilities
from dragoman.translate.network.loss import LabelSmoothedCrossEntropy
from dragoman.translate.network.seq2seq import Encoder, Seq2Seq
from dragoman.translate.tasks.task import EpochBatches, Task
from dragoman.translate.training.allocator import keep_freed_memory
from dragoman.translate.training.distributed import BATCH_LIMITS
from dragoman.translate.training.run import Run
from dragoman.translate.training.run_metadata import card_of

UNLABELLED = -1  # the label of padding, and of subwords that do not begin a word


class LabelBatch(NamedTuple):
    """Padded ids with the numbers of their labels."""

    source: Tensor  # (B, S)
    source_length: Tensor  # (B)
    labels: Tensor  # (B), or (B, S) per token
    tokens: int  # the number of labels

    def tensors(self) -> tuple[Tensor, ...]:
        """Return the inputs of the objective."""
        return self[:3]

    def take(self, rows: slice) -> LabelBatch:
        """Return some of the rows."""
        source, length, labels = (x[rows] for x in self[:3])
        return LabelBatch(source, length, labels, int((labels != UNLABELLED).sum()))


class LabelObjective(nn.Module):
    """The training loss of a labelling network."""

    def __init__(self, model: LabelNetwork, smoothing: float) -> None:
        super().__init__()
        self.model, self.loss = model, LabelSmoothedCrossEntropy(smoothing)

    def forward(self, source: Tensor, source_length: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the smoothed and the plain loss of a batch (see LabelBatch), summed over labels."""
        mask, head = labels != UNLABELLED, self.model.head
        x = self.model.features(source, source_length)
        return self.loss(x[mask], head.weight, head.bias, labels[mask])


class LabelledText:
    """Labelled texts as numbers of words, from which every epoch draws ids in new segmentations."""

    def __init__(self, pairs: Sequence[Pair], names: Sequence[str], task: str) -> None:
        """Index the words of pairs of text and labels. names: all labels, in the order of their numbers."""
        numbers = {name: i for i, name in enumerate(names)}
        self.per_token = task == "tag"
        self.word_index = WordIndex()
        self.words = ragged([self.word_index.number(word) for word in p.source.split(" ")] for p in pairs)
        self.labels = ragged([numbers[label] for label in labels_of(task, p)] for p in pairs)

    def batch(self, pools: Segmentations, rows: Sequence[int], rng: np.random.Generator | None = None) -> LabelBatch:
        """Return some rows, each word in a random segmentation, or in the first of its pool without a generator."""
        chosen = np.array(rows)
        words, label_rows = self.words.take(chosen), self.labels.take(chosen)
        ids, word_starts = pools.draw_with_starts(words, rng)
        source, length = pad([ids.row(i) for i in range(ids.rows)])  # (B, S), (B)
        if not self.per_token:
            labels = label_rows.flat.astype(np.int64)  # (B)
        else:
            labels = np.full(source.shape, UNLABELLED, np.int64)  # (B, S)
            labels[np.repeat(np.arange(len(rows)), words.lengths), word_starts] = label_rows.flat
        return LabelBatch(
            torch.from_numpy(source), torch.from_numpy(length), torch.from_numpy(labels), len(label_rows.flat)
        )


class LabelEpoch:
    """The batches of one epoch over labelled text."""

    def __init__(
        self, text: LabelledText, pools: Segmentations, rows: Ints, lengths: Ints, batch_tokens: int, seed: int
    ) -> None:
        """Plan the batches of some rows. lengths: the number of ids of every row of the text."""
        self.text, self.pools, self.rows, self.seed = text, pools, rows, seed
        row_lengths = lengths[rows].tolist()
        self.plan = plan(row_lengths, row_lengths, batch_tokens, seed)
        self.expected = len(self.plan)

    def __iter__(self) -> Iterator[LabelBatch]:
        return self.batches()

    def batches(self, start: int = 0) -> Iterator[LabelBatch]:
        """Yield the batches from number `start` on."""
        for number, rows in enumerate(self.plan[start:], start):
            yield self.text.batch(self.pools, self.rows[rows].tolist(), np.random.default_rng([self.seed, number]))


class LabellingTask(Task):
    """Labels for texts (`classify`) or for their words (`tag`)."""

    def prepare(self, prepared: bool) -> None:
        """Read and check the texts, and train or read the tokenizer (see Task).

        Raises UserError if there are no validation texts, or if labels do not fit.
        """
        c, task = self.config, self.config.task
        self.labels = self.corpus.labels
        self.unit = "texts" if task == "classify" else "words"
        self.metric = "macro-F1" if task == "classify" else "entity F1" if is_chunked(self.labels) else "accuracy"
        train, valid = ([*self._read_checked(part)] for part in ("train", "valid"))
        if not (train and valid):
            part = "validation texts; training needs some to select its weights" if train else "training texts"
            raise UserError(f"{self.corpus.folder} has no {part}")
        if prepared:
            if self.workers.main:
                self.check_corpus()
            self.tokenizer = self.run.source_tokenizer()
        else:
            vocabulary = c.tokenizer.vocabulary or default_vocabulary(len(train))
            self.tokenizer = train_tokenizer(self.corpus.lines("train", 0), c.tokenizer, vocabulary, (), len(train))
            write_atomically(self.run.path("source.model"), self.tokenizer.model)
        self.train_text = LabelledText(train, self.labels, task)
        self.train_pools = self._segmentations(self.train_text, c.tokenizer)
        self.valid_text = LabelledText(valid, self.labels, task)
        self.valid_pools = self._segmentations(self.valid_text, msgspec.structs.replace(c.tokenizer, sampling=0.0))
        self.train_lengths = self.train_pools.line_lengths(self.train_text.words)
        self.train_rows = self.short_rows(self.train_lengths)
        self.valid_rows = self.short_rows(self.valid_pools.line_lengths(self.valid_text.words), "validate on")

    def _read_checked(self, part: str) -> Iterator[Pair]:
        """Yield the pairs of a part of the corpus. Raises UserError for invalid labels: users may edit the files."""
        known, task = {*self.labels}, self.config.task
        for number, pair in enumerate(self.corpus.read(part), 1):
            words, labels = len(pair.source.split(" ")), labels_of(task, pair)
            place = f"{self.corpus.folder}: line {number:,} of {part}"
            if task == "tag" and words != len(labels):
                raise UserError(f"{place} has {words} words and {len(labels)} labels; each word needs one label")
            for label in labels:
                if label not in known:
                    raise UserError(f"{place} has the label {label!r}, which is not in the corpus card; correct it")
            yield pair

    def _segmentations(self, text: LabelledText, config: TokenizerConfig) -> Segmentations:
        """Return the segmentations of the words of a text."""
        seed, index = self.config.training.seed, text.word_index
        return segmentations(self.tokenizer, [*index.numbers], index.counts, config, seed)

    def network(self) -> LabelNetwork:
        """Return a labelling network, with random weights."""
        return label_network(self.config, self.tokenizer, self.labels)

    def objective(self, model: nn.Module) -> nn.Module:
        """Return the label-smoothed cross-entropy of a labelling network."""
        assert isinstance(model, LabelNetwork)
        return LabelObjective(model, self.config.training.label_smoothing)

    def epoch(self, number: int) -> EpochBatches:
        """Return the training batches of an epoch, in new segmentations."""
        batch_tokens = self.config.training.batch_tokens * self.workers.world
        return LabelEpoch(
            self.train_text, self.train_pools, self.train_rows, self.train_lengths, batch_tokens, self.seed_of(number)
        )

    def validation(self) -> Iterable[LabelBatch]:
        """Yield the validation set in batches, in the default segmentation."""
        size = BATCH_LIMITS[self.workers.device.type].rows
        for start in range(0, len(self.valid_rows), size):
            yield self.valid_text.batch(self.valid_pools, self.valid_rows[start : start + size].tolist())

    def scores(self, model: nn.Module, *, final: bool) -> dict[str, float]:
        """Return the scores of the validation set: see `label_scores`."""
        predicted: list[list[str]] = []
        expected: list[list[str]] = []
        for batch in self.validation():
            device = self.workers.device
            best = model(batch.source.to(device), batch.source_length.to(device)).argmax(-1).cpu()  # (B) or (B, S)
            for best_row, label_row in zip(best, batch.labels, strict=True):
                mask = label_row != UNLABELLED
                for rows, numbers in ((predicted, best_row[mask]), (expected, label_row[mask])):
                    rows.append([self.labels[i] for i in numbers.reshape(-1).tolist()])
        return label_scores(predicted, expected, self.config.task, self.labels)

    def facts(self) -> dict[str, Any]:
        """Return the facts of the data that run.json records and exported files carry."""
        return {
            "source_language": self.corpus.languages[0],
            **super().facts(),
            "too_long": len(self.train_lengths) - len(self.train_rows),
            "max_source": self.config.data.max_length,
            "normalisation": self.tokenizer.normalisation,
        }


def label_network(config: Config, tokenizer: Tokenizer, labels: Sequence[str]) -> LabelNetwork:
    """Return the network of a configuration, with random weights."""
    return LabelNetwork(config.model, len(tokenizer), len(labels), per_token=config.task == "tag")


def trained_label_network(run: Run) -> LabelNetwork:
    """Return the network of a run whose training has ended."""
    labels = run.read_json("run.json")["corpus"]["labels"]
    return run.trained(label_network(run.config(), run.source_tokenizer(), labels))


def encoder_of(run: Run) -> tuple[nn.Module, Encoder]:
    """Return the source embedding and the encoder of a run. Raises UserError for a forecaster."""
    task = run.config().task
    if task == "forecast":
        raise UserError(f"{run.folder} is a forecaster; give a run that reads text")
    if task == "translate":
        model = run.search().model
        assert isinstance(model, Seq2Seq)
        return model.source_embedding, model.encoder
    network = trained_label_network(run)
    return network.embedding, network.encoder


def label_scores(
    predicted: Sequence[Sequence[str]], expected: Sequence[Sequence[str]], task: str, labels: Sequence[str]
) -> dict[str, float]:
    """Return the scores of predicted labels by name, in percent.

    predicted and expected have one row per text. labels: all labels of the model. The scores are accuracy and entity F1
    for taggers whose labels mark entities (see `is_chunked`), else accuracy and macro-F1.
    """
    flat = [[label for row in rows for label in row] for rows in (predicted, expected)]
    scores = {"accuracy": accuracy(*flat)}
    if task == "tag" and is_chunked(labels):
        scores["entity F1"] = entity_f1(predicted, expected)
    else:
        scores["macro-F1"] = macro_f1(*flat)
    return {name: round(value, 2) for name, value in scores.items()}


class TorchLabelEngine:
    """A LabelEngine (see runtime.labelling) that computes in PyTorch instead of an exported file."""

    def __init__(self, network: LabelNetwork) -> None:
        keep_freed_memory()
        self.model = LabelProbabilities(network).eval()

    @torch.no_grad()
    def run(self, source: Ids, source_length: Ids) -> Floats:
        """Return the probabilities (B, C) or (B, S, C) of source (B, S), source_length (B)."""
        out: Floats = self.model(torch.from_numpy(source), torch.from_numpy(np.asarray(source_length))).numpy()
        return out


def labelling_metadata(run: Run) -> Metadata:
    """Return the metadata of a run's exported file, without its self-test."""
    facts, tokenizer = run.read_json("run.json"), run.source_tokenizer()
    return Metadata(
        source_language=facts["source_language"],
        target_language="",
        source_tokenizer=tokenizer.model,
        target_tokenizer=b"",
        max_source=facts["max_source"],
        defaults={},
        config=run.read_json("config.json"),
        card=card_of(facts),
        self_test={},
        task=run.config().task,
        labels=facts["corpus"]["labels"],
        normalisation=tokenizer.normalisation,
    )


def label_model_of(run: Run) -> Classifier | Tagger:
    """Return a run as a Classifier or Tagger that computes in PyTorch."""
    kind = Classifier if run.config().task == "classify" else Tagger
    return kind(TorchLabelEngine(trained_label_network(run)), labelling_metadata(run))
