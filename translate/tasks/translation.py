"""The translation task: encoded pairs, the encoder-decoder, its loss and its scores.

Axis letters: B batch, S source length, T target length.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dragoman.runtime.batching import BATCH_SIZE, pad
from dragoman.runtime.contract import PAD
from dragoman.runtime.errors import UserError
from dragoman.runtime.files import write_atomically
from dragoman.runtime.memory import return_memory
from dragoman.runtime.protection import PLACEHOLDERS
from dragoman.runtime.segmentation import count_sentences
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.runtime.translator import Translator
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.encoding.batching import TranslationBatch, TranslationEpoch, make_batch, plan, reversed_ids
from dragoman.translate.encoding.placeholders import has_enough_placeholders, with_placeholders
from dragoman.translate.encoding.ragged import Ints
from dragoman.translate.encoding.shard_builder import build
from dragoman.translate.encoding.shards import Shards, describe
from dragoman.translate.encoding.subwords import default_vocabulary, encode, train_tokenizer
from dragoman.translate.evaluation.engine import TorchEngine, translate_all
from dragoman.translate.evaluation.metrics import score
from dragoman.translate.network.loss import LabelSmoothedCrossEntropy
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.selection import VocabularySelection
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.progress import bar
from dragoman.translate.tasks.task import Task
from dragoman.translate.training.candidates import SELECTION, SENTENCES, learn_selection, save_selection
from dragoman.translate.training.distributed import BATCH_LIMITS
from dragoman.translate.training.run_metadata import metadata_of

SENTENCE_SAMPLE = 100_000  # sources whose sentences `max_sentences` counts


def limit_ratio(source: Ints, target: Ints) -> int:
    """Return the longest translation that the search may write, as a multiple of the source length.

    It is 1.25 times the 99.9th percentile of the training pairs, rounded up, and at least 2. The percentile ignores a
    few misaligned pairs.
    """
    ratios = np.sort(target / source)
    return max(2, math.ceil(1.25 * float(ratios[int(0.999 * (len(ratios) - 1))])))


def max_sentences(sources: Iterable[str], language: str) -> int:
    """Return the 99th percentile of the number of sentences in normalised sources.

    The runtime splits longer text into parts, so that a network sees inputs like those it was trained on.
    """
    counts = np.sort(np.fromiter((count_sentences(source, language) for source in sources), np.int32))
    return max(1, int(counts[int(0.99 * (len(counts) - 1))]))


class TranslationObjective(nn.Module):
    """An encoder-decoder with its training loss, as one module that DistributedDataParallel can wrap."""

    def __init__(self, model: Seq2Seq, smoothing: float) -> None:
        super().__init__()
        self.model, self.loss = model, LabelSmoothedCrossEntropy(smoothing)

    def forward(
        self, source: Tensor, source_length: Tensor, target_in: Tensor, target_out: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the smoothed and the plain loss of a batch (see TranslationBatch), summed over target ids."""
        x = self.model(source, source_length, target_in)  # (B, T, E)
        mask = target_out != PAD  # (B, T)
        return self.loss(x[mask], self.model.output.weight, self.model.bias, target_out[mask])


@dataclass
class TranslationData:
    """Encoded training text, validation pairs, and their tokenizers."""

    train: Shards
    train_rows: Ints  # the rows of `train` within data.max_length
    valid: list[Pair]
    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer


class TranslationTask(Task):
    """Translation, learnt from pairs of sentences."""

    metric, unit = "BLEU", "tokens"
    data: TranslationData
    selection: VocabularySelection | None = None  # of the final weights; the whole vocabulary until they are chosen

    def prepare(self, prepared: bool) -> None:
        """Train or read the tokenizers, encode the text, and measure it (see Task).

        Raises UserError if there are no validation pairs.
        """
        valid = self.corpus.read("valid")
        if not valid:
            raise UserError(f"{self.corpus.folder} has no validation pairs; training needs some to select its weights")
        if prepared:
            if self.workers.main:
                self.check_corpus()
            tokenizers = self.run.tokenizers()
        else:
            tokenizers = self._train_tokenizers()
        pairs: Sequence[tuple[str, str]] = valid
        if all(tokenizer.has_placeholders for tokenizer in tokenizers):
            pairs = [with_placeholders(*pair) for pair in valid]
        encoded = [encode(t, lines) for t, lines in zip(tokenizers, zip(*pairs, strict=True), strict=True)]
        lengths = np.array([max(map(len, pair)) for pair in zip(*encoded, strict=True)])
        short = self.short_rows(lengths, "validate on").tolist()
        self.valid_ids = [[side[i] for i in short] for side in encoded]
        train = self._encode_training_text(tokenizers)
        source_lengths, target_lengths = (train.line_lengths(side) for side in (0, 1))
        train_rows = self.short_rows(np.maximum(source_lengths, target_lengths))
        self.limit_ratio = limit_ratio(source_lengths[train_rows], target_lengths[train_rows])
        in_sample = np.zeros(train.rows, bool)
        in_sample[train_rows[:: -(-len(train_rows) // SENTENCE_SAMPLE)]] = True
        sample = compress(self.corpus.lines("train", 0), in_sample)
        self.max_sentences = max_sentences(map(tokenizers[0].normalise, sample), self.corpus.languages[0])
        self.too_long = train.rows - len(train_rows)
        self.data = TranslationData(train, train_rows, valid, *tokenizers)

    def _encode_training_text(self, tokenizers: tuple[Tokenizer, Tokenizer]) -> Shards:
        """Return the encoded training text: that of an earlier start if it fits, else encoded now."""
        c, folder = self.config, self.run.path("shards")
        expected = describe(self.digest, tokenizers, c.tokenizer, c.augment, c.training.seed)
        if folder.exists():
            try:
                shards = Shards(folder)
                if all(shards.manifest.get(key) == value for key, value in expected.items()):
                    return shards
                problem = f"{folder} holds other text"
            except UserError as error:
                problem = str(error)
            self.display.message(f"{problem}; encoding the text again")
        seed, progress = c.training.seed, self.display.preparing
        return build(folder, self.corpus, tokenizers, c.tokenizer, seed, self.digest, c.augment, progress)

    def _train_tokenizers(self) -> tuple[Tokenizer, Tokenizer]:
        """Train the source and target tokenizers, one for both if joint, and write them to the run's folder."""
        c = self.config.tokenizer
        lines = self.corpus.lines
        count = self.corpus.count("train")
        if not count:
            raise UserError(f"{self.corpus.folder} has no training pairs; make the corpus from text that has some")
        card = self.corpus.card
        # Distillation adds pairs and no words, so a student gets the vocabulary size of its teachers.
        vocabulary = c.vocabulary or default_vocabulary(count - card.get("distilled", {}).get("added", 0))
        tags = card.get("tags", [])
        symbols: Sequence[str] = ()
        if c.placeholders:
            if has_enough_placeholders(zip(lines("train", 0), lines("train", 1), strict=False)):
                symbols = PLACEHOLDERS
            else:
                self.display.message(
                    "too few pairs have the same URL, name or number on both sides, so placeholders are left out"
                )
        if c.joint:
            both = train_tokenizer(lines("train", 0, 1), c, vocabulary, [*tags, *symbols], 2 * count)
            tokenizers = both, both
        else:
            tokenizers = (
                train_tokenizer(lines("train", 0), c, vocabulary, [*tags, *symbols], count),
                train_tokenizer(lines("train", 1), c, vocabulary, symbols, count),
            )
        for name, tokenizer in zip(("source", "target"), tokenizers, strict=True):
            write_atomically(self.run.path(f"{name}.model"), tokenizer.model)
        return_memory()  # SentencePiece has freed a lot
        return tokenizers

    def network(self) -> Seq2Seq:
        """Return an encoder-decoder for the two vocabularies, with random weights."""
        d = self.data
        return Seq2Seq(self.config.model, len(d.source_tokenizer), len(d.target_tokenizer))

    def objective(self, model: nn.Module) -> nn.Module:
        """Return the label-smoothed cross-entropy of an encoder-decoder."""
        assert isinstance(model, Seq2Seq)
        return TranslationObjective(model, self.config.training.label_smoothing)

    def epoch(self, number: int) -> TranslationEpoch:
        """Return the training batches of an epoch, in new segmentations and augmented."""
        c, data = self.config, self.data
        batch_tokens = c.training.batch_tokens * self.workers.world
        return TranslationEpoch(
            data.train, data.train_rows, batch_tokens, self.seed_of(number), augment=c.augment,
            right_to_left=c.data.right_to_left,
        )  # fmt: skip

    def validation(self) -> Iterable[TranslationBatch]:
        """Yield the validation set in batches, in the default segmentation."""
        source, target = self.valid_ids
        if self.config.data.right_to_left:
            target = [reversed_ids(ids) for ids in target]
        batch_tokens = 2 * self.config.training.batch_tokens
        if self.workers.device.type != "cpu":
            batch_tokens = max(batch_tokens, BATCH_LIMITS[self.workers.device.type].tokens)
        for rows in plan([len(s) for s in source], [len(t) for t in target], batch_tokens, 0):
            yield make_batch([source[i] for i in rows], [target[i] for i in rows])

    def scores(self, model: nn.Module, *, final: bool) -> dict[str, float]:
        """Return BLEU and chrF of the first validation pairs: with beam search if final, else greedy."""
        assert isinstance(model, Seq2Seq)
        search = BeamSearch(
            model, self.limit_ratio, right_to_left=self.config.data.right_to_left, selection=self.selection
        )
        translator = Translator(TorchEngine(search.eval()), metadata_of(self.run, self.selection))
        pairs = self._scored_pairs
        beam = self.config.search.beam_size if final else 1
        results = translate_all(translator, [p.source for p in pairs], beam=beam)
        scores = score([r.text for r in results], [[p.target for p in pairs]], self.corpus.languages[1], ter=False)
        return {s.metric: round(s.score, 2) for s in scores}

    def prepare_search(self, model: nn.Module) -> bool:
        """Learn the vocabulary selection (see training/candidates.py) and write it to the run."""
        assert isinstance(model, Seq2Seq)
        epoch = self.epoch(self.config.training.epochs)
        total = min(SENTENCES, len(self.data.train_rows))
        with bar("learning which subwords translate which", total) as progress:
            self.selection = learn_selection(
                model, epoch, self.data.source_tokenizer, self.data.target_tokenizer,
                lambda: self._translated(model), progress,
            )  # fmt: skip
        save_selection(self.run.path(SELECTION), self.selection)
        return self.selection is not None

    def _translated(self, model: Seq2Seq) -> Iterator[tuple[list[int], list[int]]]:
        """Yield ids of sources of the validation set, and of their translations, greedily."""
        search = BeamSearch(model, self.limit_ratio).eval()
        rows = sorted(self.valid_ids[0][: self.config.training.validation_sentences], key=len)
        for start in range(0, len(rows), BATCH_SIZE):
            source, length = (torch.from_numpy(x).to(model.bias.device) for x in pad(rows[start : start + BATCH_SIZE]))
            out = search.search(source, length, beam=1, max_length=self.config.search.max_length)
            for row, target in zip(rows[start : start + BATCH_SIZE], out.target[:, 0].tolist(), strict=True):
                yield row, [i for i in target if i != PAD]

    def evaluation_settings(self) -> dict[str, Any]:
        """Return beam, evaluation protocol, number of sentences and precision of the final scores."""
        return {
            **super().evaluation_settings(),
            "beam": self.config.search.beam_size,
            "protocol": "cased",
            "sentences": len(self._scored_pairs),
        }

    @property
    def _scored_pairs(self) -> list[Pair]:
        """The validation pairs that BLEU is computed on."""
        return self.data.valid[: self.config.training.validation_sentences]

    def facts(self) -> dict[str, Any]:
        """Return the facts of the data that run.json records and exported files carry."""
        return {
            "source_language": self.corpus.languages[0],
            "target_language": self.corpus.languages[1],
            **super().facts(),
            "too_long": self.too_long,
            "max_source": self.config.data.max_length,
            "max_sentences": self.max_sentences,
            "limit_ratio": self.limit_ratio,
            "normalisation": self.data.source_tokenizer.normalisation,
        }
