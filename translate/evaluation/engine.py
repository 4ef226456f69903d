"""Engines and translators that compute in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from dragoman.runtime.contract import Floats, Ids
from dragoman.runtime.translation import Translation
from dragoman.runtime.translator import Translator
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.training.allocator import keep_freed_memory
from dragoman.translate.training.distributed import device_of
from dragoman.translate.training.run import Run
from dragoman.translate.training.run_metadata import metadata_of


class TorchEngine:
    """A beam search in PyTorch behind the interface of the exported file."""

    def __init__(self, search: BeamSearch) -> None:
        keep_freed_memory()
        self.search = search

    def run(
        self, source: Ids, source_length: Ids, *, beam_size: int, n_best: int, max_length: int,
        length_penalty: float, n_aligned: int,
    ) -> tuple[Ids, Floats, Floats]:  # fmt: skip
        """Translate a batch: see runtime.engine.Engine."""
        device = self.search.model.bias.device
        ids, length = torch.from_numpy(source).to(device), torch.from_numpy(np.asarray(source_length)).to(device)
        out = self.search.search(
            ids, length, beam=beam_size, n_best=n_best, max_length=max_length, length_penalty=length_penalty,
            n_aligned=n_aligned,
        )  # fmt: skip
        return out.target.cpu().numpy(), out.score.cpu().numpy(), out.attention.cpu().numpy()


def translator_of(run: Run) -> Translator:
    """Return a run as a Translator that computes in PyTorch."""
    metadata = metadata_of(run)
    return Translator(TorchEngine(run.search().to(device_of())), metadata)


def translate_all(
    translator: Translator, lines: Sequence[str], *, beam: int | None = None, batch_size: int = 32,
    length_penalty: float | None = None, progress: Callable[[int], None] | None = None,
) -> list[Translation]:  # fmt: skip
    """Return the best translation of each line.

    Lines are translated in chunks. After each chunk, `progress` is called with the number of lines done.
    """
    out: list[Translation] = []
    chunk = batch_size * 8
    for start in range(0, len(lines), chunk):
        out += translator.translate(
            lines[start : start + chunk], beam=beam, batch_size=batch_size, length_penalty=length_penalty
        )
        if progress:
            progress(len(out))
    return out
