"""The comparison of a translator's file with the run it came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dragoman.export.parity import (
    Level,
    batch_invariance,
    compare_search,
    compare_steps,
    compare_text,
    parity_batches,
)
from dragoman.export.quantize import quantised
from dragoman.runtime.errors import UserError
from dragoman.runtime.metadata import Metadata, read_model_file
from dragoman.runtime.progress import ProgressCallback
from dragoman.runtime.translator import Translator
from dragoman.translate.config import to_tree
from dragoman.translate.evaluation.engine import TorchEngine
from dragoman.translate.progress import bar
from dragoman.translate.training.run import Run

BATCH_SIZES = (1, 32)
N_BEST = 2  # hypotheses that are compared, apart from the levels of the best one alone


def verify_translator(run: Run, path: str, sentences: Sequence[str]) -> list[Level]:
    """Compare a file with PyTorch at every level, and check its batch invariance.

    An int8 file is compared with PyTorch doing the same integer arithmetic. Raises UserError if the file came from
    another run, or if no sentence is short enough.
    """
    model, translator = read_model_file(path), Translator.load(path)
    metadata = translator.metadata
    _check_origin(metadata, run, path)
    rows = [translator.source_tokenizer.encode(s) for s in sentences if s.strip()]
    rows = [row for row in rows if len(row) <= metadata.max_source]
    if not rows:
        raise UserError(
            f"none of the {len(sentences):,} sentences to compare on has from 2 to {metadata.max_source} ids; "
            "give a file of shorter ones with --source"
        )
    search = run.search(full_vocabulary=not metadata.selection)
    if metadata.precision == "int8":
        search = quantised(search, metadata.quantisation["calibration"], metadata.quantisation["target"])
    reference = TorchEngine(search)
    beam_size = metadata.defaults["beam_size"]
    settings = [(beam, batch_size) for beam in sorted({1, beam_size}) for batch_size in BATCH_SIZES]
    total = len(rows) * (len(settings) + 8)  # the n-best, six kinds of batches for the invariance, and the text
    with bar("comparing", total) as progress:
        levels = compare_steps(search, model, rows, metadata)
        for number, (beam, batch_size) in enumerate(settings):
            batches = parity_batches(rows, batch_size)
            advance = _offset(progress, number * len(rows))
            levels.append(compare_search(reference, translator.engine, batches, beam, metadata, advance))
        advance = _offset(progress, len(settings) * len(rows))
        batches = parity_batches(rows, BATCH_SIZES[-1])
        beam = max(N_BEST, beam_size)
        levels.append(compare_search(reference, translator.engine, batches, beam, metadata, advance, N_BEST))
        advance = _offset(progress, (len(settings) + 1) * len(rows))
        levels.append(batch_invariance(model, rows, beam_size, metadata, advance))
        levels.append(compare_text(Translator(reference, metadata), translator, sentences))
        progress(total)
    return levels


def _check_origin(metadata: Metadata, run: Run, path: str) -> None:
    """Raise UserError if a file's tokenizers or network settings are not those of the run."""
    tokenizers = tuple(tokenizer.model for tokenizer in run.tokenizers())
    if (metadata.source_tokenizer, metadata.target_tokenizer) != tokenizers:
        raise UserError(
            f"{path} was not exported from {run.folder}: their tokenizers differ; give the run that it came from"
        )
    for key, value in to_tree(run.config())["model"].items():
        if metadata.config["model"].get(key, value) != value:  # files of older versions lack newer keys
            raise UserError(
                f"{path} was not exported from {run.folder}: model.{key} is {metadata.config['model'][key]} in the "
                f"file and {value} in the run; give the run that it came from, or export again"
            )


def _offset(progress: ProgressCallback, start: int) -> Callable[[int], None]:
    """Return a callback that reports progress from an offset."""
    return lambda done: progress(start + done)
