"""Export classifiers and taggers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx
import torch
from torch.export import Dim

from dragoman.export.exporter import SELF_TESTS, encoded, exported, finished, sealed
from dragoman.export.parity import TOLERANCE, Level, Tolerance, further, level, parity_batches, refuse_unequal
from dragoman.runtime.batching import pad
from dragoman.runtime.contract import CONTRACTS
from dragoman.runtime.errors import UserError
from dragoman.runtime.labelling import LabelEngine, OnnxLabelEngine
from dragoman.runtime.loading import load
from dragoman.runtime.metadata import read_model_file
from dragoman.translate.network.heads import LabelNetwork, Probabilities
from dragoman.translate.tasks.labelling import TorchLabelEngine, labelling_metadata, trained_label_network
from dragoman.translate.training.run import Run


def labelling_to_onnx(reader: LabelNetwork, task: str) -> onnx.ModelProto:
    """A reader as an ONNX model with the inputs and outputs of its task's contract."""
    module = Probabilities(reader).eval().requires_grad_(False)
    arguments = torch.randint(4, len(reader.embedding.weight), (3, 7)), torch.tensor([7, 3, 5])
    inputs, outputs = CONTRACTS[task]
    shapes = ({0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, {0: Dim.DYNAMIC})
    return finished(exported(module, arguments, [*inputs], [*outputs], shapes), task)


def build_labelling(run: Run, texts: Sequence[str]) -> tuple[bytes, list[Level]]:
    """The sealed file of a run, and how it compared with PyTorch on the texts.

    Raises UserError when they differ: then there is no file.
    """
    reader, metadata = trained_label_network(run), labelling_metadata(run)
    rows, engine = encoded(run, texts), TorchLabelEngine(reader)
    cases = []
    for row in rows[:SELF_TESTS]:
        found = engine.run(np.array([row]), np.array([len(row)]))[0]
        cases.append({"source": row, "probability": np.round(found.astype(float), 6).tolist()})
    data = sealed(labelling_to_onnx(reader, metadata.task), replace(metadata, self_test={"cases": cases}))
    levels = compare_labelling(engine, data, metadata.task, rows)
    refuse_unequal(levels)
    return data, levels


def verify_labelling(run: Run, path: str, texts: Sequence[str]) -> list[Level]:
    """A file on disk against the run it came from. Raises UserError when it came from another."""
    data, task = read_model_file(path), run.config().task
    metadata = load(path).metadata
    if (metadata.task, metadata.source_tokenizer) != (task, run.source_tokenizer().model):
        raise UserError(f"{path} was not made from {run.folder}: their tasks or tokenizers differ")
    rows = encoded(run, [text for text in texts if text.strip()])
    return compare_labelling(TorchLabelEngine(trained_label_network(run)), data, task, rows)


def compare_labelling(reference: LabelEngine, data: bytes, task: str, rows: Sequence[Sequence[int]]) -> list[Level]:
    """The file against PyTorch, one by one and in ragged batches; and against itself, batch invariance."""
    one, two = OnnxLabelEngine(data, task), OnnxLabelEngine(data, task, threads=2)
    levels = [_compared(reference, one, rows, batch) for batch in (1, 16)]
    alone = _results(one, rows, 1, 0)
    equal, worst = np.ones(len(rows), bool), 0.0
    for engine, batch, wider in ((one, 7, 0), (one, 64, 13), (two, 1, 0), (two, 64, 40)):
        for i, (a, b) in enumerate(zip(alone, _results(engine, rows, batch, wider), strict=True)):
            equal[i] &= bool(np.array_equal(a.argmax(-1), b.argmax(-1)))
            worst = further(worst, float(np.abs(a - b).max()))
    exact = Tolerance(1.0, TOLERANCE["float32"].worst, 0.0)
    return [*levels, level("batch invariance", exact, len(rows), int(equal.sum()), worst)]


def _results(engine: LabelEngine, rows: Sequence[Sequence[int]], batch: int, wider: int) -> list[np.ndarray]:
    out = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        ids, length = pad(part)
        found = engine.run(np.pad(ids, ((0, 0), (0, wider))), length)
        out += [f[: len(row)] if f.ndim == 2 else f for f, row in zip(found, part, strict=True)]
    return out


def _compared(reference: LabelEngine, other: LabelEngine, rows: Sequence[Sequence[int]], batch: int) -> Level:
    equal, worst, example, number = 0, 0.0, "", 0
    for source, length in parity_batches(rows, batch):
        found = [engine.run(source, length) for engine in (reference, other)]
        for b, size in enumerate(length):
            number += 1
            mine, theirs = (f[b, :size] if f.ndim == 3 else f[b] for f in found)
            same = bool(np.array_equal(mine.argmax(-1), theirs.argmax(-1)))
            equal += same
            worst = further(worst, float(np.abs(mine - theirs).max()))
            if not same and not example:
                example = f"text {number} gives {mine.argmax(-1)} and {theirs.argmax(-1)}"
    return level(f"labels, batches of {batch}", TOLERANCE["float32"], len(rows), equal, worst, example)
