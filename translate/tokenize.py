"""Training a SentencePiece model, and encoding a corpus with sampled segmentations."""

from __future__ import annotations

import io
import math
import re
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


def train_tokenizer(lines: Iterable[str], config: TokenizerConfig, vocabulary: int) -> Tokenizer:
    """A SentencePiece model of `lines`. Unless the configuration asked for a vocabulary by number, one that the text
    cannot fill is lowered, and one that cannot hold its characters raised. Raises UserError when none will do.
    """
    text = [normalise(line) for line in lines]
    for _ in range(3):
        try:
            return _train(text, config.kind, vocabulary)
        except RuntimeError as error:
            message = str(error)
            most, least = re.search(r"value <= (\d+)", message), re.search(r"required_chars\. \d+ vs (\d+)", message)
            detail = f"at most {most[1]}" if most else f"at least {least[1]}" if least else "another size, or more text"
            if config.vocabulary is not None or not (most or least):
                break
            vocabulary = int(most[1]) if most else int(least[1]) + 300 if least else vocabulary  # room for pieces
    raise UserError(f"tokenizer.vocabulary = {vocabulary} does not fit this corpus; {detail} would")


def _train(text: Sequence[str], kind: str, vocabulary: int) -> Tokenizer:
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(text),
        model_writer=out,
        model_type=kind,
        vocab_size=vocabulary,
        character_coverage=0.9995,  # the rest is spelt in bytes
        byte_fallback=True,
        split_digits=True,
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


def sample(tokenizer: Tokenizer, lines: Sequence[str], rate: float, seed: int) -> list[list[int]]:
    """Encode normalised lines, each with one random segmentation; a rate of 0 gives the usual one.

    The rate is the share of merges dropped (BPE) or the smoothing exponent (unigram). The same seed gives the same.
    """
    p = tokenizer.processor
    if rate:
        sentencepiece.set_random_generator_seed(seed)
        encoded = [p.EncodeAsIds(line, enable_sampling=True, alpha=rate, nbest_size=-1) for line in lines]
    else:
        encoded = [p.EncodeAsIds(line) for line in lines]
    for ids in encoded:
        ids.append(EOS)
    return encoded
