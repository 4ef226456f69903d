"""Marian's "tiny" model of Firefox Translations with random weights, for bench/marian.py.

The weights are random, because they do not influence speed. A folder gets four files for each vocabulary size V:

tinyV.bin     the model in Marian's binary format, 8-bit weights for intgemm
vocabV.spm    a SentencePiece model of exactly V subwords, trained on invented sentences
vocabV.words  the invented words that are one subword each, the most frequent first
lexV.bin      the lexical shortlist: for each source id the target ids that it may become
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import sentencepiece

from bench.invented import invent_words, sentences, training_size

ENCODER_LAYERS, DECODER_LAYERS, WIDTH, FEED_FORWARD = 6, 2, 256, 1536
INT8, FLOAT32, INTGEMM8 = 0x0101, 0x0404, 0x4101  # Marian's numbers of types (common/types.h)
ALIGNMENT = 256  # of the tensors in a file, in bytes
EOS, UNK = 0, 1  # ids of Marian's vocabularies
INPUT_SCALE = 16.0  # of the inputs of all products; Marian calls it alpha
FIRST, BEST = 50, 50  # target ids of every sentence, and of a source id; Firefox's shortlists have as many
SHORTLIST_MAGIC = 0xF11A48D5013417F5
ZIPF_OFFSET = 10  # of the target ids in a shortlist: frequent ones recur, as in a real lexicon

# The configuration inside the model file. Marian reads the shape of the network from it.
CONFIG = """\
bert-train-type-embeddings: true
bert-type-vocab-size: 2
dec-cell: ssru
dec-cell-base-depth: 2
dec-cell-high-depth: 1
dec-depth: {decoder_layers}
dim-emb: {width}
dim-rnn: 1024
dim-vocabs:
  - {vocabulary}
  - {vocabulary}
enc-cell: gru
enc-cell-depth: 1
enc-depth: {encoder_layers}
enc-type: bidirectional
factors-combine: sum
factors-dim-emb: 0
input-types:
  []
layer-normalization: false
lemma-dim-emb: 0
mult-attention: false
right-left: false
skip: false
tied-embeddings: false
tied-embeddings-all: true
tied-embeddings-src: false
transformer-aan-activation: swish
transformer-aan-depth: 2
transformer-aan-nogate: false
transformer-decoder-autoreg: rnn
transformer-decoder-dim-ffn: 0
transformer-decoder-ffn-depth: 0
transformer-depth-scaling: false
transformer-dim-aan: 2048
transformer-dim-ffn: {feed_forward}
transformer-ffn-activation: relu
transformer-ffn-depth: 2
transformer-guided-alignment-layer: last
transformer-heads: 8
transformer-no-projection: false
transformer-pool: false
transformer-postprocess: dan
transformer-postprocess-emb: d
transformer-postprocess-top: ""
transformer-preprocess: ""
transformer-rnn-projection: false
transformer-tied-layers:
  []
transformer-train-position-embeddings: false
type: transformer
ulr: false
ulr-dim-emb: 0
ulr-trainable-transformation: false
version: v1.9.56 random
"""


class Item(NamedTuple):
    """A tensor of a model file."""

    name: str
    kind: int
    shape: tuple[int, ...]
    data: bytes


class RandomWeights:
    """The tensors of a model with random weights, under the names that Marian gives them."""

    def __init__(self, vocabulary: int) -> None:
        self.rng = np.random.default_rng(0)
        self.items: list[Item] = []
        self.matrix("Wemb", vocabulary, WIDTH, WIDTH**-0.5)
        self.vector("none_QuantMultA", [INPUT_SCALE])
        bias = self.rng.normal(0, 0.02, vocabulary)
        bias[[EOS, UNK]] = -1e4  # they cannot win, so the length of the output is forced
        self.vector("decoder_ff_logit_out_b", bias)
        for n in range(1, ENCODER_LAYERS + 1):
            self.attention(f"encoder_l{n}_self")
            self.feed_forward(f"encoder_l{n}")
        for n in range(1, DECODER_LAYERS + 1):
            self.recurrent(f"decoder_l{n}_rnn")
            self.attention(f"decoder_l{n}_context")
            self.feed_forward(f"decoder_l{n}")

    def vector(self, name: str, values: npt.ArrayLike) -> None:
        """Add a row of float32 values."""
        row = np.asarray(values, np.float32)
        self.items.append(Item(name, FLOAT32, (1, row.size), _padded(row.tobytes())))

    def matrix(self, name: str, rows: int, columns: int, deviation: float | None = None) -> None:
        """Add an 8-bit matrix with its scale. Its bytes are those of the transposed matrix, random like the others."""
        weight = self.rng.normal(0, deviation or (2 / (rows + columns)) ** 0.5, (rows, columns))
        scale = 127 / np.abs(weight).max()
        data = np.clip(np.rint(weight * scale), -127, 127).astype(np.int8).tobytes() + struct.pack("<f", scale)
        self.items.append(Item(name, INTGEMM8, (rows, columns), _padded(data)))
        self.vector(name + "_QuantMultA", [INPUT_SCALE])

    def layer_norm(self, name: str) -> None:
        """Add a layer normalisation."""
        self.vector(name + "_ln_scale", np.ones(WIDTH))
        self.vector(name + "_ln_bias", np.zeros(WIDTH))

    def linear(self, weight: str, bias: str, rows: int, columns: int) -> None:
        """Add a matrix and a bias."""
        self.matrix(weight, rows, columns)
        self.vector(bias, self.rng.normal(0, 0.02, columns))

    def attention(self, name: str) -> None:
        """Add an attention block."""
        for part in "qkvo":
            self.linear(f"{name}_W{part}", f"{name}_b{part}", WIDTH, WIDTH)
        self.layer_norm(f"{name}_Wo")

    def feed_forward(self, name: str) -> None:
        """Add a feed-forward block."""
        self.linear(f"{name}_ffn_W1", f"{name}_ffn_b1", WIDTH, FEED_FORWARD)
        self.linear(f"{name}_ffn_W2", f"{name}_ffn_b2", FEED_FORWARD, WIDTH)
        self.layer_norm(f"{name}_ffn_ffn")

    def recurrent(self, name: str) -> None:
        """Add an SSRU block."""
        self.matrix(f"{name}_W", WIDTH, WIDTH)
        self.linear(f"{name}_Wf", f"{name}_bf", WIDTH, WIDTH)
        self.layer_norm(f"{name}_ffn")


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % ALIGNMENT)


def model_file(vocabulary: int) -> bytes:
    """Return a model in Marian's binary format (common/binary.cpp): headers, names, shapes, then aligned tensors."""
    config = CONFIG.format(
        vocabulary=vocabulary, width=WIDTH, feed_forward=FEED_FORWARD,
        encoder_layers=ENCODER_LAYERS, decoder_layers=DECODER_LAYERS,
    ).encode() + b"\0"  # fmt: skip
    items = [*sorted(RandomWeights(vocabulary).items), Item("special:model.yml", INT8, (len(config),), config)]
    out = io.BytesIO()
    out.write(struct.pack("<QQ", 1, len(items)))  # the version of the format
    for item in items:
        out.write(struct.pack("<QQQQ", len(item.name) + 1, item.kind, len(item.shape), len(item.data)))
    for item in items:
        out.write(item.name.encode() + b"\0")
    for item in items:
        out.write(struct.pack(f"<{len(item.shape)}i", *item.shape))
    start = out.tell() + 8
    offset = (start // ALIGNMENT + 1) * ALIGNMENT - start
    out.write(struct.pack("<Q", offset) + b"\0" * offset)
    for item in items:
        out.write(item.data)
    return out.getvalue()


def hash_of(words: Sequence[int]) -> int:
    """Return Marian's hash of 64-bit words (util::hashMem), the checksum of a shortlist."""
    mask, seed = (1 << 64) - 1, 0
    for word in words:
        seed ^= (word + 0x9E3779B9 + ((seed << 6) & mask) + (seed >> 2)) & mask
    return seed


def shortlist_file(vocabulary: int) -> bytes:
    """Return a shortlist: up to BEST random target ids for each source id."""
    rng = np.random.default_rng(1)
    weights = 1.0 / (np.arange(vocabulary) + ZIPF_OFFSET)
    weights[[EOS, UNK]] = 0
    cumulative = np.cumsum(weights / weights.sum())
    lists = [
        np.unique(np.searchsorted(cumulative, rng.random(BEST), side="right").clip(UNK + 1, vocabulary - 1))
        for _ in range(vocabulary)
    ]
    offsets = np.cumsum([0, *map(len, lists)])
    header = struct.pack("<QQQQ", FIRST, BEST, len(offsets), offsets[-1])
    body = header + offsets.astype(np.uint64).tobytes() + np.concatenate(lists).astype(np.uint32).tobytes()
    words: Any = np.frombuffer(body[: len(body) // 8 * 8], np.uint64).tolist()
    return struct.pack("<QQ", SHORTLIST_MAGIC, hash_of(words)) + body


def tokenizer_file(vocabulary: int) -> tuple[bytes, list[str]]:
    """Return a SentencePiece model trained as Firefox's, and the invented words that are one subword each."""
    n_words, n_sentences = training_size(vocabulary)
    words, out = invent_words(n_words), io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=islice(sentences(words), n_sentences), model_writer=out, vocab_size=vocabulary,
        bos_id=-1, eos_id=EOS, unk_id=UNK, model_type="unigram", character_coverage=1.0, num_threads=1, minloglevel=2,
    )  # fmt: skip
    processor = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
    return out.getvalue(), [word for word in words if len(processor.encode(word)) == 1]


def build(folder: Path, vocabulary: int) -> None:
    """Write the four files of a vocabulary size. The model comes last: a folder that has it has all."""
    folder.mkdir(parents=True, exist_ok=True)
    model, words = tokenizer_file(vocabulary)
    (folder / f"vocab{vocabulary}.spm").write_bytes(model)
    (folder / f"vocab{vocabulary}.words").write_text("\n".join(words), "utf-8")
    (folder / f"lex{vocabulary}.bin").write_bytes(shortlist_file(vocabulary))
    partial = folder / f"tiny{vocabulary}.partial"
    partial.write_bytes(model_file(vocabulary))
    partial.replace(folder / f"tiny{vocabulary}.bin")
