"""Export a translator: one file from a run, in float32 or int8, that agrees with PyTorch token for token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import onnx
import torch

from dragoman.export.graph import serialize, to_onnx
from dragoman.export.int8_check import Comparison, compare_files, compare_losses
from dragoman.export.parity import Level, compare_search, parity_batches, require_parity
from dragoman.export.quantize import calibrate, quantised
from dragoman.export.self_test import SELF_TESTS, self_test_of
from dragoman.runtime.engine import Engine, OnnxEngine
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.session import check_products
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.encoding.batching import reversed_ids
from dragoman.translate.evaluation.engine import TorchEngine
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.progress import bar
from dragoman.translate.training.run import Run
from dragoman.translate.training.run_metadata import metadata_of

PARITY_SENTENCES = 64
# For a second comparison in int8, if the first fails. In a good file some 0.6 % of the sentences differ. So two of 64
# do in one export of fifteen, which is more than the 2 % that are allowed.
MORE_PARITY_SENTENCES = 512
CALIBRATION_SENTENCES = 256


def build(run: Run, sentences: Sequence[str], *, full_vocabulary: bool = False) -> tuple[bytes, list[Level]]:
    """Return the float32 file of a run, and its comparison with PyTorch on the sentences.

    full_vocabulary: leave out the run's vocabulary selection. Raises UserError if the two differ.
    """
    search = run.search(full_vocabulary=full_vocabulary)
    metadata, rows = metadata_of(run, search.selection), encode_sentences(run, sentences)
    model, metadata, levels = _export_search(search, metadata, rows)
    return serialize(model, metadata), levels


def build_int8(
    run: Run,
    pairs: Sequence[Pair],
    target: str,
    *,
    full_vocabulary: bool = False,
    check_loss: bool = True,
    log: Callable[[str], None] = lambda _: None,
) -> tuple[bytes, list[Level], Comparison]:
    """Return the int8 file of a run, its comparison with PyTorch, and its comparison with the float32 file.

    pairs: the validation set, which calibrates the activations and scores both files. target: see quantize.Target.
    full_vocabulary: leave out the run's vocabulary selection.
    Raises UserError if the file differs from PyTorch, if this processor cannot run files for the target, or, with
    `check_loss`, if int8 raises the loss too much.
    """
    if target == "vnni":
        check_products()  # the comparison with PyTorch would fail, after minutes
    search = run.search(full_vocabulary=full_vocabulary)
    float32_metadata = metadata_of(run, search.selection)
    rows = encode_sentences(run, [pair.source for pair in pairs])
    log(f"calibrating on up to {CALIBRATION_SENTENCES} sentences of the validation set")

    def translate() -> None:
        beam = run.config().search.beam_size
        with bar("calibrating", len(rows[:CALIBRATION_SENTENCES])) as progress:
            done = 0
            for source, length in parity_batches(rows[:CALIBRATION_SENTENCES], 32):
                search.search(torch.from_numpy(source), torch.from_numpy(length), beam=beam)
                done += len(length)
                progress(done)

    calibration = calibrate(search, translate)
    int8_search = quantised(search, calibration, target)
    log(f"comparing the losses of {len(pairs):,} references of the validation set")
    loss = compare_losses(search, int8_search, *encode_pairs(run, pairs))
    if check_loss and (complaint := loss.complaint()):
        raise UserError(
            f"int8 was not written: {complaint}; leave out --int8 for a float32 file, or override this check with "
            "--force loss"
        )
    metadata = replace(
        float32_metadata,
        precision="int8",
        quantisation={"target": target, "calibration": {name: [*values] for name, values in calibration.items()}},
    )
    log("exporting int8")
    model, metadata, levels = _export_search(int8_search, metadata, rows)
    log("exporting float32 for comparison")
    float32_model, float32_metadata, _ = _export_search(search, float32_metadata, rows)
    log(f"translating {len(pairs):,} sentences of the validation set with both")
    float32, int8 = serialize(float32_model, float32_metadata), serialize(model, metadata)
    comparison = compare_files(float32, int8, metadata, pairs, rows, loss)
    metadata = replace(metadata, quantisation={**metadata.quantisation, "against_float32": comparison.as_dict()})
    return serialize(model, metadata), levels, comparison


def encode_pairs(run: Run, pairs: Sequence[Pair]) -> tuple[list[list[int]], list[list[int]]]:
    """Return the source ids, and the target ids in decoding order, of the pairs as short as those of the training."""
    tokenizers, longest = run.tokenizers(), run.read_json("run.json")["max_source"]
    encoded = [[t.encode(text) for t, text in zip(tokenizers, pair, strict=True)] for pair in pairs]
    short = [(source, target) for source, target in encoded if max(len(source), len(target)) <= longest]
    backwards = run.config().data.right_to_left
    return [s for s, _ in short], [reversed_ids(t) if backwards else t for _, t in short]


def encode_sentences(run: Run, sentences: Sequence[str]) -> list[list[int]]:
    """Return the ids of the sentences that fit the model's longest source.

    Raises UserError if none fits.
    """
    tokenizer, longest = run.source_tokenizer(), run.read_json("run.json")["max_source"]
    rows = [row for row in (tokenizer.encode(s) for s in sentences) if len(row) <= longest]
    if not rows:
        raise UserError(
            f"{run.folder}: none of the {len(sentences):,} sentences for the comparison of PyTorch and ONNX has from 1 "
            f"to {longest} ids; use a validation set with shorter sentences"
        )
    return rows


def _export_search(
    search: BeamSearch, metadata: Metadata, rows: Sequence[Sequence[int]]
) -> tuple[onnx.ModelProto, Metadata, list[Level]]:
    """Return the model of a search, the metadata with a self-test, and the comparison with PyTorch.

    Raises UserError if the model differs from PyTorch.
    """
    reference = TorchEngine(search)
    model = to_onnx(search)
    engine = OnnxEngine(serialize(model, metadata))
    levels = compare_searches(reference, engine, rows, metadata)
    require_parity(levels)
    candidates = rows[: 4 * SELF_TESTS]
    metadata = replace(metadata, self_test=self_test_of(reference, engine, candidates, metadata))
    if not metadata.self_test["cases"]:
        raise UserError(
            f"the exported file reproduces PyTorch's scores on none of {len(candidates)} sentences, so it was not "
            "written"
        )
    return model, metadata, levels


def compare_searches(
    reference: Engine, engine: Engine, rows: Sequence[Sequence[int]], metadata: Metadata
) -> list[Level]:
    """Return the comparison of two engines' searches, with beam 1 and the default, and in two sizes of batches."""

    def compare(rows: Sequence[Sequence[int]]) -> list[Level]:
        return [
            compare_search(reference, engine, parity_batches(rows, batch_size), beam, metadata)
            for beam in (1, metadata.defaults["beam_size"])
            for batch_size in (1, 16)
        ]

    levels = compare(rows[:PARITY_SENTENCES])
    if metadata.precision == "int8" and not all(level.passed for level in levels):
        levels = compare(rows[:MORE_PARITY_SENTENCES])
    return levels
