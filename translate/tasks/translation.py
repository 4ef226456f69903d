"""The translation task: encoded pairs, the encoder-decoder, its loss and its scores."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from torch import Tensor, nn

from dragoman.runtime.contract import PAD
from dragoman.runtime.errors import UserError
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.segmentation import sentences
from dragoman.runtime.session import return_memory
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.runtime.translator import Translator
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.encoding.batching import Batch, Epoch, make_batch, plan, reversed_ids
from dragoman.translate.encoding.ragged import Ints
from dragoman.translate.encoding.shards import Shards, build, describe
from dragoman.translate.encoding.subwords import default_vocabulary, encode, train_tokenizer
from dragoman.translate.evaluation.engine import TorchEngine, metadata_of, translate_all
from dragoman.translate.evaluation.metrics import score
from dragoman.translate.files import write_atomically
from dragoman.translate.network.loss import SmoothedLoss
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.tasks.task import Task

SAMPLE = 100_000  # sources whose sentences are counted


def limit_ratio(source: Ints, target: Ints) -> int:
    """The longest translation allowed, as a multiple of the source: above nearly all lengths that training shows."""
    ratios = np.sort(target / source)
    return max(2, math.ceil(1.25 * float(ratios[int(0.999 * (len(ratios) - 1))])))


def most_sentences(sources: Iterable[str], language: str) -> int:
    """How many sentences all but a hundredth of some normalised sources have, at most."""
    counts = np.sort(np.fromiter((sentences(source, language) for source in sources), np.int32))
    return max(1, int(counts[int(0.99 * (len(counts) - 1))]))


class Objective(nn.Module):
    """What training makes small, as a module whose `forward` is all of it: what several workers share."""

    def __init__(self, model: Seq2Seq, smoothing: float) -> None:
        super().__init__()
        self.model, self.loss = model, SmoothedLoss(smoothing)

    def forward(
        self, source: Tensor, source_length: Tensor, target_in: Tensor, target_out: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A batch (see Batch) -> its smoothed and plain loss, summed over target ids."""
        x = self.model(source, source_length, target_in)
        real = target_out != PAD
        return self.loss(x[real], self.model.output.weight, self.model.bias, target_out[real])


@dataclass
class Data:
    """Text to train and to validate on, and what turns text into ids."""

    train: Shards
    kept: Ints  # the rows of `train` that are not too long
    valid: list[Pair]
    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer


class TranslationTask(Task):
    """Pairs of sentences."""

    metric, counted = "BLEU", "tokens"
    data: Data

    def prepare(self, prepared: bool) -> None:
        """Tokenizers and encoded text; prepared: the tokenizers are there already."""
        valid = self.corpus.read("valid")
        if not valid:
            raise UserError(f"{self.corpus.folder} has no validation pairs, by which training chooses its weights")
        if prepared:
            if self.workers.main:
                self.check_corpus()
            tokenizers = self.run.tokenizers()
        else:
            tokenizers = self._train_tokenizers()
        encoded = [encode(t, lines) for t, lines in zip(tokenizers, zip(*valid, strict=True), strict=True)]
        longest = np.array([max(map(len, pair)) for pair in zip(*encoded, strict=True)])
        short = self.short_enough(longest, "validate on").tolist()
        self.held_out = [[side[i] for i in short] for side in encoded]
        train = self._encoded(tokenizers)
        source, target = (train.usual_lengths(side) for side in (0, 1))
        kept = self.short_enough(np.maximum(source, target))
        self.limit_ratio = limit_ratio(source[kept], target[kept])
        sample = np.zeros(train.rows, bool)
        sample[kept[:: -(-len(kept) // SAMPLE)]] = True
        lines = compress(self.corpus.lines("train", 0), sample)
        self.max_sentences = most_sentences(map(normalise, lines), self.corpus.languages[0])
        self.too_long = train.rows - len(kept)
        self.data = Data(train, kept, valid, *tokenizers)

    def _encoded(self, tokenizers: tuple[Tokenizer, Tokenizer]) -> Shards:
        """The training text as numbers on disk: what an earlier start of this run left, or made now."""
        c, folder = self.config, self.run.path("shards")
        asked = describe(self.digest, tokenizers, c.tokenizer, c.augment, c.training.seed)
        if folder.exists():
            try:
                found = Shards(folder)
                if all(found.card.get(key) == value for key, value in asked.items()):
                    return found
                problem = f"{folder} holds other text"
            except UserError as error:
                problem = str(error)
            self.display.message(f"{problem}; it is made again")
        seed, progress = c.training.seed, self.display.preparing
        return build(folder, self.corpus, tokenizers, c.tokenizer, seed, self.digest, c.augment, progress)

    def _train_tokenizers(self) -> tuple[Tokenizer, Tokenizer]:
        c = self.config.tokenizer
        lines = self.corpus.lines
        count = sum(1 for _ in lines("train", 0))
        card = self.corpus.card
        # What teachers make of a text adds pairs to learn from, and no words: a student is no larger than they are.
        vocabulary = c.vocabulary or default_vocabulary(count - card.get("distilled", {}).get("added", 0))
        tags = card.get("tags", [])
        if c.joint:
            both = train_tokenizer(lines("train", 0, 1), c, vocabulary, tags, 2 * count)
            tokenizers = both, both
        else:
            tokenizers = (
                train_tokenizer(lines("train", 0), c, vocabulary, tags, count),
                train_tokenizer(lines("train", 1), c, vocabulary, count=count),
            )
        for name, tokenizer in zip(("source", "target"), tokenizers, strict=True):
            write_atomically(self.run.path(f"{name}.model"), tokenizer.model)
        return_memory()  # what SentencePiece took
        return tokenizers

    def network(self) -> Seq2Seq:
        """An encoder-decoder for the two vocabularies."""
        d = self.data
        return Seq2Seq(self.config.model, len(d.source_tokenizer), len(d.target_tokenizer))

    def objective(self, model: nn.Module) -> nn.Module:
        assert isinstance(model, Seq2Seq)
        return Objective(model, self.config.training.label_smoothing)

    def epoch(self, number: int) -> Epoch:
        c, seed = self.config, self.seed_of(number)
        tokens = c.training.batch_tokens * self.workers.world
        turned = c.data.right_to_left
        return Epoch(self.data.train, self.data.kept, tokens, seed, augment=c.augment, turned=turned)

    def validation(self) -> Iterable[Batch]:
        source, target = self.held_out
        if self.config.data.right_to_left:
            target = [reversed_ids(row) for row in target]
        tokens = self.config.training.batch_tokens * 2
        for rows in plan([len(s) for s in source], [len(t) for t in target], tokens, 0):
            yield make_batch([source[i] for i in rows], [target[i] for i in rows])

    def scores(self, model: nn.Module, *, final: bool) -> dict[str, float]:
        """BLEU and chrF, greedily, and at last with the beam."""
        assert isinstance(model, Seq2Seq)
        search = BeamSearch(model, self.limit_ratio, right_to_left=self.config.data.right_to_left)
        translator = Translator(TorchEngine(search.eval()), metadata_of(self.run))
        valid = self._scored
        beam = self.config.search.beam_size if final else 1
        results = translate_all(translator, [p.source for p in valid], beam=beam, batch_size=64)
        scores = score([r.text for r in results], [p.target for p in valid], self.corpus.languages[1], ter=False)
        return {s.metric: round(s.score, 2) for s in scores}

    def evaluation_settings(self) -> dict[str, Any]:
        return {"beam": self.config.search.beam_size, "protocol": "cased", "sentences": len(self._scored)}

    @property
    def _scored(self) -> list[Pair]:
        """What of the validation set BLEU is of."""
        return self.data.valid[: self.config.training.validation_sentences]

    def facts(self) -> dict[str, Any]:
        return {
            "source_language": self.corpus.languages[0],
            "target_language": self.corpus.languages[1],
            **super().facts(),
            "too_long": self.too_long,
            "max_source": self.config.data.max_length,
            "max_sentences": self.max_sentences,
            "limit_ratio": self.limit_ratio,
        }
