"""SentencePiece training, and subword regularisation: random segmentations of words.

Every epoch sees the training text in other segmentations: BPE-dropout (Provilkov et al. 2020) for BPE models, sampling
by probability (Kudo 2018) for unigram models. A pool of segmentations per word is drawn once, and an epoch picks from
the pools. SentencePiece can sample too, but its random numbers differ in every process whatever the seed. Neither a
run nor its resumption could then be reproduced.
"""

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

MAX_TRAINING_LINES = 1_000_000  # of a tokenizer: more lines change little and take memory

SPACE = "\u2581"  # SentencePiece's symbol for a space

POOL = 64  # segmentations kept per word, at most


def default_vocabulary(pairs: int) -> int:
    """Return the vocabulary size for a number of pairs, in steps of 500: 6,000 for 30,000, and 32,000 for a million.

    Small corpora need few, frequent subwords (Gowda and May 2020, "Finding the optimal vocabulary size").
    """
    return min(32000, max(500, round(35 * math.sqrt(pairs) / 500) * 500))


def train_tokenizer(
    lines: Iterable[str], config: TokenizerConfig, vocabulary: int, tags: Sequence[str] = (), count: int = 0
) -> Tokenizer:
    """Return a SentencePiece model of `lines`, in which each tag is one subword.

    `lines` must be iterable more than once. count: the number of lines; if there are more than MAX_TRAINING_LINES, a
    sample of about that size is used, the same one every time.

    A vocabulary that is too large for the text is lowered, and one that cannot hold all its characters is raised by
    their number. A size that the configuration sets stays. Raises UserError if no model can be trained.
    """
    for _ in range(3):
        sample = _SampledLines(lines, MAX_TRAINING_LINES / count if count > MAX_TRAINING_LINES else 1.0)
        try:
            return _train(sample, config.kind, vocabulary, tags)
        except RuntimeError as error:
            if sample.error is not None:  # SentencePiece hides it in an error of its own
                raise sample.error from None
            message = str(error)
            most, least = re.search(r"value <= (\d+)", message), re.search(r"required_chars\. \d+ vs (\d+)", message)
            detail = f"at most {most[1]}" if most else f"at least {least[1]}" if least else "another size, or more text"
            if config.vocabulary is not None or not (most or least):
                break
            vocabulary = int(most[1]) if most else int(least[1]) + vocabulary if least else vocabulary
    raise UserError(f"tokenizer.vocabulary = {vocabulary} does not fit this corpus; {detail} would")


class _SampledLines:
    """A random sample of lines, normalised. It keeps the error that interrupted the reading."""

    def __init__(self, lines: Iterable[str], fraction: float) -> None:
        self.lines, self.fraction = lines, fraction
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[str]:
        draw = random.Random(1).random  # SentencePiece's own sampling differs in every process
        try:
            yield from (normalise(line) for line in self.lines if self.fraction == 1.0 or draw() < self.fraction)
        except BaseException as error:
            self.error = error
            raise


def _train(lines: Iterable[str], kind: str, vocabulary: int, tags: Sequence[str]) -> Tokenizer:
    """Run SentencePiece's trainer. Raises RuntimeError if the vocabulary does not fit the text."""
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(lines),
        model_writer=out,
        model_type=kind,
        vocab_size=vocabulary,
        character_coverage=0.9995,  # rarer characters become bytes
        byte_fallback=True,
        split_digits=True,
        user_defined_symbols=[*tags],
        normalization_rule_name="identity",  # normalise() has done it, so that every host does the same
        pad_id=PAD,
        unk_id=UNK,
        bos_id=BOS,
        eos_id=EOS,
        max_sentence_length=1 << 20,
        minloglevel=2,
    )
    return Tokenizer(out.getvalue())


def encode(tokenizer: Tokenizer, lines: Sequence[str]) -> list[list[int]]:
    """Return the ids of normalised lines in their most likely segmentation, each with `</s>`."""
    return [[*tokenizer.processor.EncodeAsIds(line), EOS] for line in lines]


class Segmentations(NamedTuple):
    """The pools of segmentations of W words, and the length of each word's default segmentation.

    The default is SentencePiece's own segmentation. Without sampling it is the only one in the pool.
    """

    subwords: Ragged  # the ids of each segmentation
    ends: Ints  # (W + 1): word w has the segmentations ends[w] to ends[w + 1]
    default_lengths: Ints  # (W)

    def line_lengths(self, text: Ragged) -> Ints:
        """Return the number of ids of each line in the default segmentation, `</s>` included. text: lines of words."""
        out: Ints = np.add.reduceat(self.default_lengths[text.flat], text.ends[:-1]) + 1
        return out

    def draw(self, text: Ragged, rng: np.random.Generator) -> Ragged:
        """Return lines of words as lines of ids that end in `</s>`, each word in a random segmentation."""
        return self.draw_with_starts(text, rng)[0]

    def draw_with_starts(self, text: Ragged, rng: np.random.Generator | None) -> tuple[Ragged, Ints]:
        """Return lines of ids, and for every word the position of its first id in its line.

        Without a generator each word takes the first segmentation of its pool.
        """
        first = self.ends[text.flat]
        pool_sizes = self.ends[text.flat + 1] - first
        chosen = first + (rng.random(len(first)) * pool_sizes).astype(np.int64) if rng else first
        starts = self.subwords.ends[chosen]
        lengths = self.subwords.ends[chosen + 1] - starts
        word_ends = ends_of(lengths)  # in the ids of all lines, without </s>
        line_ends = word_ends[text.ends]
        ends = line_ends + np.arange(len(line_ends))  # every line has one </s> more
        flat = np.full(ends[-1], EOS, np.int32)
        is_subword = np.ones(len(flat), bool)
        is_subword[ends[1:] - 1] = False
        flat[is_subword] = self.subwords.flat[spans(starts, lengths)]
        return Ragged(flat, ends), word_ends[:-1] - np.repeat(line_ends[:-1], text.lengths)


def segmentations(
    tokenizer: Tokenizer, words: Sequence[str], counts: Sequence[int], config: TokenizerConfig, seed: int
) -> Segmentations:
    """Return a pool of segmentations for each word: only the default one without sampling, else random ones.

    counts: how often each word occurs in the text. A pool has four segmentations per occurrence, at most POOL.
    """
    processor, rate = tokenizer.processor, config.sampling
    defaults: list[list[int]] = processor.EncodeAsIds([*words])
    lengths = np.fromiter(map(len, defaults), np.int64, len(defaults))
    if not rate:
        return Segmentations(ragged(defaults), np.arange(len(words) + 1), lengths)
    unigram = config.kind == "unigram"
    draw_pool = partial(_unigram_pool, processor, rate) if unigram else BPEDropout(tokenizer, rate).pool
    pools = []
    for word, default, count in zip(words, defaults, counts, strict=True):
        pools.append(draw_pool(word, default, random.Random(f"{seed} {word}"), min(POOL, 4 * count)))
    return Segmentations(
        ragged(ids for pool in pools for ids in pool), ends_of(np.array([len(pool) for pool in pools])), lengths
    )


Processor = sentencepiece.SentencePieceProcessor


def _unigram_pool(
    processor: Processor, rate: float, word: str, default: list[int], rng: random.Random, size: int
) -> list[list[int]]:
    """Return segmentations of a word: the default one, or one of the next best in proportion to its probability.

    The rate means the same as for BPE-dropout: the default is replaced as often as one of its merges would be skipped.
    (Kudo samples from a power of the probabilities, which samples most at 0 and not at all at infinity.)
    """
    others: list[list[int]] = [ids for ids in processor.NBestEncodeAsIds(word, POOL) if ids != default]
    if not others:
        return [default]
    merges = max(0, len(word) + 1 - len(default))
    replacement_rate = 1 - (1 - rate) ** merges
    scores = [sum(processor.GetScore(i) for i in ids) for ids in others]  # log-probabilities
    weights = [math.exp(score - max(scores)) for score in scores]
    return [rng.choices(others, weights)[0] if rng.random() < replacement_rate else default for _ in range(size)]


class BPEDropout:
    """BPE segmentation that skips each merge with a probability, as SentencePiece's own sampling does."""

    def __init__(self, tokenizer: Tokenizer, rate: float) -> None:
        p = tokenizer.processor
        self.rate = rate
        self.ids = {p.IdToPiece(i): i for i in range(len(tokenizer)) if not (p.IsControl(i) or p.IsByte(i))}
        self.bytes = {i: p.PieceToId(f"<0x{i:02X}>") for i in range(256)}

    def pool(self, word: str, default: list[int], rng: random.Random, size: int) -> list[list[int]]:
        """Return random segmentations of a word, or the default alone if SentencePiece's differs from ours."""
        if len(word) == 0 or self.segment(word, None) != default:
            return [default]
        return [self.segment(word, rng) for _ in range(size)]

    def segment(self, word: str, rng: random.Random | None) -> list[int]:
        """Return the ids of a word. Without a generator no merge is skipped.

        Start from characters and repeat the best merge: the one learnt first, the leftmost of equals. The symbols form
        a linked list. A merge writes to the left symbol and empties the right one.
        """
        symbols: list[str] = [SPACE, *word]
        right_of, left_of = [*range(1, len(symbols)), -1], [*range(-1, len(symbols) - 1)]
        merges: list[tuple[int, int, int, int]] = []  # a heap of (merged id, left, right, characters in both)

        def add_merge(left: int, right: int) -> None:
            if left >= 0 and right >= 0:
                merged = self.ids.get(symbols[left] + symbols[right])
                if merged is not None:  # ids rise in the order in which merges were learnt
                    heapq.heappush(merges, (merged, left, right, len(symbols[left]) + len(symbols[right])))

        for i in range(len(symbols) - 1):
            add_merge(i, i + 1)
        while merges:
            _, left, right, size = heapq.heappop(merges)
            if not symbols[left] or not symbols[right] or len(symbols[left]) + len(symbols[right]) != size:
                continue  # an earlier merge has changed one of them
            if rng is not None and rng.random() < self.rate:
                continue
            symbols[left], symbols[right] = symbols[left] + symbols[right], ""
            right_of[left] = right_of[right]
            if right_of[left] >= 0:
                left_of[right_of[left]] = left
            add_merge(left_of[left], left)
            add_merge(left, right_of[left])
        ids = []
        for symbol in filter(None, symbols):
            if symbol in self.ids:
                ids.append(self.ids[symbol])
            else:
                ids += [self.bytes[byte] for byte in symbol.encode()]
        return ids
