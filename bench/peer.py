"""Time CTranslate2's int8 Transformer "tiny" for `make bench`, in a virtual environment of its own.

The script reads requests from standard input, one JSON object per line with the keys batch, beam, source and length.
For each it translates a batch of random sentences of `source` ids to outputs of exactly `length` ids, and prints the
milliseconds.

The weights are random, because they do not influence speed. The shape is that of "tiny": 6 encoder and 2 decoder
layers, width 256, feed-forward width 1024, 8 heads.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import ctranslate2  # type: ignore[import-not-found]  # installed in the peer's environment only
import numpy as np
from ctranslate2.specs import transformer_spec  # type: ignore[import-not-found]  # as above

ENCODER_LAYERS, DECODER_LAYERS, WIDTH, FEED_FORWARD, HEADS = 6, 2, 256, 1024, 8
POSITIONS = 600
END = 2  # id of the end of a sentence
CERTAIN = np.float32(30)  # far larger than the random weights


def build(subwords: Sequence[str], folder: str, *, length: int | None = None) -> None:
    """Write a model with random weights.

    Args:
        subwords: The vocabulary, whose third entry ends a sentence.
        folder: Folder to write it to.
        length: Number of ids after which it ends every translation; by default, that is left to chance.
    """
    vocabulary = len(subwords)
    rng = np.random.default_rng(0)
    spec = transformer_spec.TransformerSpec.from_config((ENCODER_LAYERS, DECODER_LAYERS), HEADS)

    def matrix(rows: int, columns: int) -> Any:  # noqa: ANN401 (an array)
        return rng.normal(0, 0.02, (rows, columns)).astype(np.float32)

    def fill(target: Any, rows: int, columns: int) -> None:  # noqa: ANN401 (CTranslate2's specs are untyped)
        target.weight, target.bias = matrix(rows, columns), np.zeros(rows, np.float32)

    def norm(target: Any) -> None:  # noqa: ANN401 (as above)
        target.gamma, target.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    table = matrix(vocabulary, WIDTH)
    for side in (spec.encoder, spec.decoder):
        embeddings = side.embeddings
        (embeddings[0] if isinstance(embeddings, list) else embeddings).weight = table
        side.position_encodings.encodings = matrix(POSITIONS, WIDTH)
        norm(side.layer_norm)
        for layer in side.layer:
            norm(layer.self_attention.layer_norm)
            fill(layer.self_attention.linear[0], 3 * WIDTH, WIDTH)
            fill(layer.self_attention.linear[1], WIDTH, WIDTH)
            norm(layer.ffn.layer_norm)
            fill(layer.ffn.linear_0, FEED_FORWARD, WIDTH)
            fill(layer.ffn.linear_1, WIDTH, FEED_FORWARD)
    for layer in spec.decoder.layer:
        norm(layer.attention.layer_norm)
        fill(layer.attention.linear[0], WIDTH, WIDTH)
        fill(layer.attention.linear[1], 2 * WIDTH, WIDTH)
        fill(layer.attention.linear[2], WIDTH, WIDTH)
    scores = table.copy()
    if length is not None:  # one feature tells the end of the sentence from the position, and no other id depends on it
        spec.decoder.position_encodings.encodings[:, 0] = np.where(np.arange(POSITIONS) < length, -CERTAIN, CERTAIN)
        scores[:, 0] = 0
        scores[END] = np.eye(WIDTH, dtype=np.float32)[0]
    spec.decoder.projection.weight, spec.decoder.projection.bias = scores, np.zeros(vocabulary, np.float32)
    spec.register_source_vocabulary(subwords)
    spec.register_target_vocabulary(subwords)
    spec.validate()
    spec.optimize()
    spec.save(folder)


def main() -> None:
    """Answer requests until standard input ends."""
    vocabulary = int(sys.argv[1])
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        build(["<unk>", "<s>", "</s>", *(f"t{i}" for i in range(vocabulary - 3))], folder)
        translator = ctranslate2.Translator(folder, compute_type="int8", inter_threads=1, intra_threads=1)
        print(json.dumps({"peer": f"ctranslate2 {ctranslate2.__version__} int8 tiny"}), flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            batch, length = request["batch"], request["length"]
            source = [[f"t{i}" for i in rng.integers(0, vocabulary - 3, request["source"])] for _ in range(batch)]
            start = time.perf_counter()
            results = translator.translate_batch(
                source, beam_size=request["beam"], max_batch_size=batch, min_decoding_length=length,
                max_decoding_length=length,
            )  # fmt: skip
            seconds = time.perf_counter() - start
            assert all(len(result.hypotheses[0]) == length for result in results)
            print(json.dumps({"ms": seconds * 1e3}), flush=True)


if __name__ == "__main__":
    main()
