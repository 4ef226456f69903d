"""Train SentencePiece models, and draw segmentations of words (subword regularisation)."""

from __future__ import annotations

import heapq
import io
import math
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import sentencepiece

from dragoman.runtime.contract import BOS, EOS, PAD, UNK
from dragoman.runtime.errors import UserError
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import TokenizerConfig
from dragoman.translate.encoding.ragged import Ints, Ragged, ends_of, ragged, spans

SAMPLE = 1_000_000  # lines that a tokenizer is learnt from: more change little and take memory


SPACE = "\u2581"  # what SentencePiece writes for a space


def default_vocabulary(pairs: int) -> int:
    """A vocabulary for a corpus of so many pairs: 6,000 for 30,000 and 32,000 for a million, in steps of 500.

    Little data wants few, frequent pieces (Gowda and May 2020, "Finding the optimal vocabulary size").
    """
    return min(32000, max(500, round(35 * math.sqrt(pairs) / 500) * 500))


def train_tokenizer(
    lines: Iterable[str], config: TokenizerConfig, vocabulary: int, tags: Sequence[str] = (), count: int = 0
) -> Tokenizer:
    """A SentencePiece model of `lines`, which are read more than once, in which each tag is one piece.

    count: how many lines there are; of more than SAMPLE about so many are looked at, the same each time.

    Unless the configuration asked for a vocabulary by number, one that the text cannot fill is lowered, and one that
    cannot hold its characters raised by so many. Raises UserError when none will do.
    """
    for _ in range(3):
        reading = _Reading(lines, SAMPLE / count if count > SAMPLE else 1.0)
        try:
            return _train(reading, config.kind, vocabulary, tags)
        except RuntimeError as error:
            if reading.error is not None:  # which SentencePiece wraps beyond recognition
                raise reading.error from None
            message = str(error)
            most, least = re.search(r"value <= (\d+)", message), re.search(r"required_chars\. \d+ vs (\d+)", message)
            detail = f"at most {most[1]}" if most else f"at least {least[1]}" if least else "another size, or more text"
            if config.vocabulary is not None or not (most or least):
                break
            vocabulary = int(most[1]) if most else int(least[1]) + vocabulary if least else vocabulary
    raise UserError(f"tokenizer.vocabulary = {vocabulary} does not fit this corpus; {detail} would")


class _Reading:
    """A share of some lines, normalised, and what went wrong while they were read."""

    def __init__(self, lines: Iterable[str], share: float) -> None:
        self.lines, self.share = lines, share
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[str]:
        draw = random.Random(1).random  # SentencePiece could sample, too, but differently in every process
        try:
            yield from (normalise(line) for line in self.lines if self.share == 1.0 or draw() < self.share)
        except BaseException as error:
            self.error = error
            raise


def _train(lines: Iterable[str], kind: str, vocabulary: int, tags: Sequence[str]) -> Tokenizer:
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(lines),
        model_writer=out,
        model_type=kind,
        vocab_size=vocabulary,
        character_coverage=0.9995,  # the rest is spelt in bytes
        byte_fallback=True,
        split_digits=True,
        user_defined_symbols=[*tags],
        normalization_rule_name="identity",  # runtime.tokenizer.normalise does it, the same in every language
        pad_id=PAD,
        unk_id=UNK,
        bos_id=BOS,
        eos_id=EOS,
        max_sentence_length=1 << 20,
        minloglevel=2,
    )
    return Tokenizer(out.getvalue())


def encode(tokenizer: Tokenizer, lines: Sequence[str]) -> list[list[int]]:
    """The usual ids of normalised lines, each with `</s>`."""
    return [[*tokenizer.processor.EncodeAsIds(line), EOS] for line in lines]


POOL = 64  # the most segmentations of a word that are kept


class Segmentations(NamedTuple):
    """How each word of a text may be cut into pieces."""

    pieces: Ragged  # each segmentation's ids
    ends: Ints  # (words + 1): word w has the segmentations ends[w] to ends[w + 1]
    usual: Ints  # (words): how many ids each has in the usual segmentation

    def usual_lengths(self, text: Ragged) -> Ints:
        """How many ids each line of words has in the usual segmentation, `</s>` included."""
        out: Ints = np.add.reduceat(self.usual[text.flat], text.ends[:-1]) + 1
        return out

    def draw(self, text: Ragged, rng: np.random.Generator) -> Ragged:
        """Lines of words as ids that end in `</s>`, each word in one of its segmentations at random."""
        return self.drawn(text, rng)[0]

    def drawn(self, text: Ragged, rng: np.random.Generator | None) -> tuple[Ragged, Ints]:
        """The same, and at which place of its line each word begins; without a generator the first segmentations."""
        first = self.ends[text.flat]
        choices = self.ends[text.flat + 1] - first
        chosen = first + (rng.random(len(first)) * choices).astype(np.int64) if rng else first
        starts = self.pieces.ends[chosen]
        lengths = self.pieces.ends[chosen + 1] - starts
        places = ends_of(lengths)
        ends = places[text.ends]  # of each line, before it is closed
        closed = ends + np.arange(len(ends))
        out = np.full(closed[-1], EOS, np.int32)
        inside = np.ones(len(out), bool)
        inside[closed[1:] - 1] = False
        out[inside] = self.pieces.flat[spans(starts, lengths)]
        return Ragged(out, closed), places[:-1] - np.repeat(ends[:-1], text.lengths)


def segmentations(
    tokenizer: Tokenizer, words: Sequence[str], counts: Sequence[int], config: TokenizerConfig, seed: int
) -> Segmentations:
    """BPE-dropout (Provilkov et al. 2020) or unigram sampling (Kudo 2018): a pool of segmentations for each word.

    As many are drawn as its count asks for, up to POOL; just the usual one without sampling. SentencePiece can sample
    too, but its generator gives other numbers in every process, whatever the seed: neither a run nor its resumption
    could be reproduced.
    """
    p, rate = tokenizer.processor, config.sampling
    usual: list[list[int]] = p.EncodeAsIds([*words])
    lengths = np.fromiter(map(len, usual), np.int64, len(usual))
    if not rate:
        return Segmentations(ragged(usual), np.arange(len(words) + 1), lengths)
    draw = partial(_unigram_pool, p, rate) if config.kind == "unigram" else _Dropout(tokenizer, rate).pool
    pools = []
    for word, best, count in zip(words, usual, counts, strict=True):
        pools.append(draw(word, best, random.Random(f"{seed} {word}"), min(POOL, 4 * count)))
    return Segmentations(
        ragged(ids for pool in pools for ids in pool), ends_of(np.array([len(pool) for pool in pools])), lengths
    )


Processor = sentencepiece.SentencePieceProcessor


def _unigram_pool(
    p: Processor, rate: float, word: str, usual: list[int], rng: random.Random, size: int
) -> list[list[int]]:
    """The usual segmentation of a word, or one of the next best, as likely next to one another as the model has them.

    How often, the rate says as it does for BPE-dropout: as often as one of as many merges would be skipped. (Kudo's
    own measure, a power of the probabilities, has its most at 0 and none at infinity.)
    """
    others: list[list[int]] = [ids for ids in p.NBestEncodeAsIds(word, POOL) if ids != usual]
    if not others:
        return [usual]
    chance = 1 - (1 - rate) ** max(0, len(word) + 1 - len(usual))
    scores = [sum(p.GetScore(i) for i in ids) for ids in others]  # log-probabilities
    weights = [math.exp(score - max(scores)) for score in scores]
    return [rng.choices(others, weights)[0] if rng.random() < chance else usual for _ in range(size)]


class _Dropout:
    """BPE in which a merge that comes up is skipped with a probability, as in SentencePiece's own sampling."""

    def __init__(self, tokenizer: Tokenizer, rate: float) -> None:
        p = tokenizer.processor
        self.rate = rate
        self.ids = {p.IdToPiece(i): i for i in range(len(tokenizer)) if not (p.IsControl(i) or p.IsByte(i))}
        self.bytes = {i: p.PieceToId(f"<0x{i:02X}>") for i in range(256)}

    def pool(self, word: str, usual: list[int], rng: random.Random, size: int) -> list[list[int]]:
        """Segmentations of a word; only the usual one where this and SentencePiece would disagree on that."""
        if len(word) == 0 or self.segment(word, None) != usual:
            return [usual]
        return [self.segment(word, rng) for _ in range(size)]

    def segment(self, word: str, rng: random.Random | None) -> list[int]:
        """Merge from characters upwards, the earliest learnt pair first, the leftmost of equals."""
        symbols: list[str] = [SPACE, *word]
        following, before = [*range(1, len(symbols)), -1], [*range(-1, len(symbols) - 1)]
        agenda: list[tuple[int, int, int, int]] = []

        def consider(left: int, right: int) -> None:
            if left >= 0 and right >= 0:
                rank = self.ids.get(symbols[left] + symbols[right])
                if rank is not None:
                    heapq.heappush(agenda, (rank, left, right, len(symbols[left]) + len(symbols[right])))

        for i in range(len(symbols) - 1):
            consider(i, i + 1)
        while agenda:
            _, left, right, size = heapq.heappop(agenda)
            if not symbols[left] or not symbols[right] or len(symbols[left]) + len(symbols[right]) != size:
                continue  # one of them has been merged since
            if rng is not None and rng.random() < self.rate:
                continue
            symbols[left], symbols[right] = symbols[left] + symbols[right], ""
            following[left] = following[right]
            if following[left] >= 0:
                before[following[left]] = left
            consider(before[left], left)
            consider(left, following[left])
        ids = []
        for symbol in filter(None, symbols):
            if symbol in self.ids:
                ids.append(self.ids[symbol])
            else:
                ids += [self.bytes[byte] for byte in symbol.encode()]
        return ids
