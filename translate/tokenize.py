"""Training a SentencePiece model, and encoding a corpus with sampled segmentations."""

from __future__ import annotations

import heapq
import io
import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import sentencepiece

from dragoman.runtime.bundle import BOS, EOS, PAD, UNK
from dragoman.runtime.errors import UserError
from dragoman.runtime.tokenizer import Tokenizer, normalise
from dragoman.translate.config import TokenizerConfig


def default_vocabulary(pairs: int) -> int:
    """A vocabulary for a corpus of so many pairs: 6,000 for 30,000 and 32,000 for a million, in steps of 500.

    Little data wants few, frequent pieces (Gowda and May 2020, "Finding the optimal vocabulary size").
    """
    return min(32000, max(500, round(35 * math.sqrt(pairs) / 500) * 500))


def train_tokenizer(
    lines: Iterable[str], config: TokenizerConfig, vocabulary: int, tags: Sequence[str] = ()
) -> Tokenizer:
    """A SentencePiece model of `lines`, in which each tag is one piece.

    Unless the configuration asked for a vocabulary by number, one that the text cannot fill is lowered, and one that
    cannot hold its characters raised. Raises UserError when none will do.
    """
    text = [normalise(line) for line in lines]
    for _ in range(3):
        try:
            return _train(text, config.kind, vocabulary, tags)
        except RuntimeError as error:
            message = str(error)
            most, least = re.search(r"value <= (\d+)", message), re.search(r"required_chars\. \d+ vs (\d+)", message)
            detail = f"at most {most[1]}" if most else f"at least {least[1]}" if least else "another size, or more text"
            if config.vocabulary is not None or not (most or least):
                break
            vocabulary = int(most[1]) if most else int(least[1]) + 300 if least else vocabulary  # room for pieces
    raise UserError(f"tokenizer.vocabulary = {vocabulary} does not fit this corpus; {detail} would")


def _train(text: Sequence[str], kind: str, vocabulary: int, tags: Sequence[str]) -> Tokenizer:
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(text),
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
        input_sentence_size=2_000_000,
        shuffle_input_sentence=True,
        minloglevel=2,
    )
    return Tokenizer(out.getvalue())


def encode(tokenizer: Tokenizer, lines: Sequence[str]) -> list[list[int]]:
    """The usual ids of normalised lines, each with `</s>`."""
    return [[*tokenizer.processor.EncodeAsIds(line), EOS] for line in lines]


class Sampler:
    """Random segmentations of a fixed text: BPE-dropout (Provilkov et al. 2020) or unigram sampling (Kudo 2018).

    SentencePiece can sample too, but its generator gives other numbers in every process, whatever the seed: neither
    a run nor its resumption could be reproduced. Words are segmented independently, as SentencePiece does, and
    each word of the text has a pool of segmentations from which its occurrences draw.
    """

    POOL = 64

    def __init__(self, tokenizer: Tokenizer, lines: Sequence[str], rate: float, kind: str, seed: int) -> None:
        """rate: the share of merges dropped (BPE), or the smoothing exponent (unigram); 0 gives the usual ids."""
        self.tokenizer, self.rate = tokenizer, rate
        p = tokenizer.processor
        if not rate:
            self.plain = encode(tokenizer, lines)
            return
        words = [line.split(" ") for line in lines]
        counts = Counter(word for line in words for word in line)
        draw = _unigram_pool if kind == "unigram" else _Dropout(tokenizer, rate).pool
        pools = {}
        for word, count in counts.items():
            rng = random.Random(f"{seed} {word}")
            pools[word] = draw(p, word, rate, rng, min(self.POOL, 4 * count))
        self.lines = [[pools[word] for word in line] for line in words]

    def encode(self, seed: int) -> list[list[int]]:
        """One random segmentation of every line, each with `</s>`. The same seed gives the same, anywhere."""
        if not self.rate:
            return self.plain
        number = random.Random(seed).random
        out = []
        for line in self.lines:
            ids: list[int] = []
            for pool in line:
                ids += pool[int(number() * len(pool))]
            ids.append(EOS)
            out.append(ids)
        return out


Processor = sentencepiece.SentencePieceProcessor


def _unigram_pool(p: Processor, word: str, rate: float, rng: random.Random, size: int) -> list[list[int]]:
    """Segmentations drawn from the n best of a word, each as likely as its probability to the power of the rate."""
    candidates: list[list[int]] = p.NBestEncodeAsIds(word, Sampler.POOL)
    scores = [sum(p.GetScore(i) for i in ids) for ids in candidates]  # log-probabilities
    return rng.choices(candidates, [math.exp(rate * (score - max(scores))) for score in scores], k=size)


class _Dropout:
    """BPE in which a merge that comes up is skipped with a probability, as in SentencePiece's own sampling."""

    def __init__(self, tokenizer: Tokenizer, rate: float) -> None:
        p = tokenizer.processor
        self.rate = rate
        self.ids = {p.IdToPiece(i): i for i in range(len(tokenizer)) if not (p.IsControl(i) or p.IsByte(i))}
        self.bytes = {i: p.PieceToId(f"<0x{i:02X}>") for i in range(256)}

    def pool(self, p: Processor, word: str, rate: float, rng: random.Random, size: int) -> list[list[int]]:
        """Segmentations of a word; only the usual one where this and SentencePiece would disagree on that."""
        usual: list[int] = p.EncodeAsIds(word)
        if len(word) == 0 or self.segment(word, None) != usual:
            return [usual]
        return [self.segment(word, rng) for _ in range(size)]

    def segment(self, word: str, rng: random.Random | None) -> list[int]:
        """Merge from characters upwards, the earliest learnt pair first, the leftmost of equals."""
        symbols: list[str] = ["\u2581", *word]
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
