"""Export classifiers and taggers.

Axis letters: B batch, S source length, C labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import torch
from torch.export import Dim

from dragoman.export.exporter import encode_sentences
from dragoman.export.graph import module_to_onnx, serialize
from dragoman.export.parity import TOLERANCE, Level, larger_difference, parity_batches, require_parity
from dragoman.export.self_test import SELF_TESTS
from dragoman.runtime.batching import pad
from dragoman.runtime.contract import Floats
from dragoman.runtime.errors import UserError
from dragoman.runtime.labelling import LabelEngine, OnnxLabelEngine
from dragoman.runtime.loading import load
from dragoman.runtime.metadata import read_model_file
from dragoman.translate.network.heads import LabelNetwork, LabelProbabilities
from dragoman.translate.tasks.labelling import TorchLabelEngine, labelling_metadata, trained_label_network
from dragoman.translate.training.run import Run


def labelling_to_onnx(network: LabelNetwork, task: str) -> onnx.ModelProto:
    """Return a classifier or tagger as an ONNX model of its task."""
    arguments = torch.randint(4, len(network.embedding.weight), (3, 7)), torch.tensor([7, 3, 5])
    shapes = ({0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, {0: Dim.DYNAMIC})
    return module_to_onnx(LabelProbabilities(network), arguments, shapes, task)


def build_labelling(run: Run, texts: Sequence[str]) -> tuple[bytes, list[Level]]:
    """Return the file of a run, and its comparison with PyTorch on the texts.

    Raises UserError if the two differ.
    """
    network, metadata = trained_label_network(run), labelling_metadata(run)
    rows, reference = encode_sentences(run, texts), TorchLabelEngine(network)
    cases = []
    for row in rows[:SELF_TESTS]:
        probability = reference.run(np.array([row]), np.array([len(row)]))[0]
        cases.append({"source": row, "probability": np.round(probability.astype(float), 6).tolist()})
    data = serialize(labelling_to_onnx(network, metadata.task), replace(metadata, self_test={"cases": cases}))
    levels = compare_labelling(reference, data, metadata.task, rows)
    require_parity(levels)
    return data, levels


def verify_labelling(run: Run, path: str, texts: Sequence[str]) -> list[Level]:
    """Compare a file with the run it came from. Raises UserError if it came from another run."""
    data, task = read_model_file(path), run.config().task
    metadata = load(path).metadata
    if (metadata.task, metadata.source_tokenizer) != (task, run.source_tokenizer().model):
        raise UserError(f"{path} was not made from {run.folder}: their tasks or tokenizers differ")
    rows = encode_sentences(run, [text for text in texts if text.strip()])
    return compare_labelling(TorchLabelEngine(trained_label_network(run)), data, task, rows)


def compare_labelling(reference: LabelEngine, data: bytes, task: str, rows: Sequence[Sequence[int]]) -> list[Level]:
    """Compare a file with PyTorch, one text at a time and in ragged batches, and check its batch invariance."""
    one_thread, two_threads = OnnxLabelEngine(data, task), OnnxLabelEngine(data, task, threads=2)
    levels = [compare_labels(reference, one_thread, rows, batch_size) for batch_size in (1, 16)]
    alone = _probabilities(one_thread, rows, 1, 0)
    equal, worst = np.ones(len(rows), bool), 0.0
    for engine, batch_size, extra_padding in (
        (one_thread, 7, 0), (one_thread, 64, 13), (two_threads, 1, 0), (two_threads, 64, 40),
    ):  # fmt: skip
        batched = _probabilities(engine, rows, batch_size, extra_padding)
        for i, (a, b) in enumerate(zip(alone, batched, strict=True)):
            equal[i] &= bool(np.array_equal(a.argmax(-1), b.argmax(-1)))
            worst = larger_difference(worst, float(np.abs(a - b).max()))
    tolerance = TOLERANCE["float32"].score
    invariance = Level.of("batch invariance", len(rows), int(equal.sum()), worst, share=1.0, tolerance=tolerance)
    return [*levels, invariance]


def _probabilities(
    engine: LabelEngine, rows: Sequence[Sequence[int]], batch_size: int, extra_padding: int
) -> list[Floats]:
    """Return the probabilities of each row: (C), or (S, C) for a tagger."""
    out: list[Floats] = []
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        ids, length = pad(part)
        probability = engine.run(np.pad(ids, ((0, 0), (0, extra_padding))), length)
        out += [p[: len(row)] if p.ndim == 2 else p for p, row in zip(probability, part, strict=True)]
    return out


def compare_labels(
    reference: LabelEngine, engine: LabelEngine, rows: Sequence[Sequence[int]], batch_size: int
) -> Level:
    """Compare the labels and probabilities of two engines on the same batches."""
    texts = equal = 0
    worst, example = 0.0, ""
    for source, length in parity_batches(rows, batch_size):
        probability, other_probability = (e.run(source, length) for e in (reference, engine))
        for p, q, size in zip(probability, other_probability, length, strict=True):
            p, q = (x[:size] if x.ndim == 2 else x for x in (p, q))  # a tagger's padding has no labels
            texts += 1
            same = bool(np.array_equal(p.argmax(-1), q.argmax(-1)))
            equal += same
            worst = larger_difference(worst, float(np.abs(p - q).max()))
            if not same and not example:
                example = f"text {texts} gives {p.argmax(-1)} and {q.argmax(-1)}"
    limit = TOLERANCE["float32"]
    name = f"labels, batches of {batch_size}"
    return Level.of(name, len(rows), equal, worst, share=limit.share, tolerance=limit.score, example=example)
