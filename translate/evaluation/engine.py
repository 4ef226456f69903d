"""Engines and translators that compute in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from dragoman.runtime.contract import Floats, Ids
from dragoman.runtime.loading import Model
from dragoman.runtime.translation import Translation
from dragoman.runtime.translator import Translator
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.training.allocator import keep_freed_memory
from dragoman.translate.training.distributed import BATCH_LIMITS, CPU, device_of
from dragoman.translate.training.run import Run
from dragoman.translate.training.run_metadata import metadata_of, selection_facts


class TorchEngine:
    """A beam search in PyTorch behind the interface of the exported file."""

    def __init__(self, search: BeamSearch) -> None:
        keep_freed_memory()
        self.search = search

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return self.search.model.bias.device

    def run(
        self, source: Ids, source_length: Ids, *, beam_size: int, n_best: int, max_length: int,
        length_penalty: float, n_aligned: int,
    ) -> tuple[Ids, Floats, Floats]:  # fmt: skip
        """Translate a batch: see runtime.engine.Engine."""
        device = self.device
        ids, length = torch.from_numpy(source).to(device), torch.from_numpy(np.asarray(source_length)).to(device)
        out = self.search.search(
            ids, length, beam=beam_size, n_best=n_best, max_length=max_length, length_penalty=length_penalty,
            n_aligned=n_aligned,
        )  # fmt: skip
        return out.target.cpu().numpy(), out.score.cpu().numpy(), out.attention.cpu().numpy()


def precision_of(model: Model) -> str:
    """Return the precision of the matrix products with which a model computes here."""
    device: torch.device | None = getattr(model.engine, "device", None)
    return model.metadata.precision if device is None else torch_precision(device)


def torch_precision(device: torch.device) -> str:
    """Return the precision of matrix products of float32 tensors in PyTorch, under its present settings."""
    if torch.is_autocast_enabled(device.type):
        return str(torch.get_autocast_dtype(device.type)).removeprefix("torch.")
    return "tf32" if device.type == "cuda" and torch.backends.cuda.matmul.allow_tf32 else "float32"


def translator_of(run: Run) -> Translator:
    """Return a run as a Translator that computes in PyTorch."""
    metadata = metadata_of(run)  # first, because it refuses a run of another task
    search = run.search().to(device_of())
    return Translator(TorchEngine(search), replace(metadata, selection=selection_facts(search.selection)))


def translate_all(
    translator: Translator, lines: Sequence[str], *, beam: int | None = None, batch_size: int | None = None,
    length_penalty: float | None = None, progress: Callable[[int], None] | None = None,
) -> list[Translation]:  # fmt: skip
    """Return the best translation of each line.

    Lines are translated in chunks. After each chunk, `progress` is called with the number of lines done. batch_size:
    sentences; by default as many as suit the device that the translator computes on.
    """
    device = getattr(translator.engine, "device", CPU)  # an exported file runs on the CPU
    limits = BATCH_LIMITS[device.type]
    batch_size = batch_size or limits.rows
    out: list[Translation] = []
    chunk = batch_size * 8
    for start in range(0, len(lines), chunk):
        out += translator.translate(
            lines[start : start + chunk], beam=beam, batch_size=batch_size, batch_tokens=limits.tokens,
            length_penalty=length_penalty,
        )  # fmt: skip
        if progress:
            progress(len(out))
    return out
