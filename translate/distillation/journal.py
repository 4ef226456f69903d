"""A journal of translations, so that interrupted work continues."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from dragoman.runtime.batching import BATCH_SIZE, BATCH_TOKENS
from dragoman.runtime.errors import UserError
from dragoman.runtime.translation import Translation
from dragoman.runtime.translator import Translator
from dragoman.translate.corpus.folder import Corpus, Pair
from dragoman.translate.corpus.deduplication import near_duplicate_key
from dragoman.translate.evaluation.provenance import command, commit, machine
from dragoman.translate.files import append_row, write_atomically
from dragoman.translate.training.distributed import device_of
from dragoman.translate.training.optimizers import wants_bfloat16
from dragoman.translate.training.run import Run

CHUNK = 512  # lines translated between two entries of the journal


GPU_CHUNK, GPU_BATCH, GPU_BATCH_TOKENS = 2048, 512, 16384  # on a GPU, and lines and ids at once there


def held_out_targets(held_out: dict[str, list[Pair]]) -> set[str]:
    """What the targets of held-out parts have in common with near copies of theirs."""
    return {near_duplicate_key(pair.target) for pairs in held_out.values() for pair in pairs}


def dependencies(runs: Sequence[Run], corpus: Corpus, beam: int) -> dict[str, Any]:
    """What the translations in a journal depend on."""
    weights = [hashlib.sha256(run.path("model.safetensors").read_bytes()).hexdigest() for run in runs]
    return {"corpus": corpus.digest(), "teachers": weights, "beam": beam}


def origin(corpus: Corpus, key: str, made: Journal, beam: int) -> dict[str, Any]:
    """How text was made, for a card; with what stands under this key in that of the corpus that it was made of."""
    before = {"before": corpus.card[key]} if key in corpus.card else {}
    return {"beam": beam, "precision": made.precision, "command": command(), "commit": commit(), **before}


class Journal:
    """A file with what was made of each line, noted as it is made, so that work that is cut short goes on from there.

    Its rows are JSON: the facts that all depends on; then the machine and precision whenever these change; and of each
    line its number, from 0, and its texts. Only one row at a time is held in memory. What follows a row that is cut off
    or out of order is dropped. Raises UserError when it holds lines that depend on other facts.
    """

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path = path
        self.count = 0  # lines noted
        self._here: dict[str, Any] = {}  # the last row of a machine
        self._used: set[bool] = set()
        try:
            end = self._read(facts) if path.exists() else 0
            if end:
                os.truncate(path, end)
        except OSError as error:
            raise UserError(f"cannot go on with {path}: {error.strerror or error}") from None
        if not end:
            write_atomically(path, json.dumps(facts).encode() + b"\n")

    def _read(self, facts: dict[str, Any]) -> int:
        """Where the rows end that can be gone on from; 0 if there are none."""
        with open(self.path, "rb") as file:
            first = file.readline()
            found, end = _row(first), len(first)
            if found != facts:
                if others := sum(isinstance(_row(raw), list) for raw in file):
                    known = found if isinstance(found, dict) else {}
                    what = ", ".join(key for key in facts if known.get(key) != facts[key])
                    raise UserError(
                        f"{self.path} holds {others:,} lines of other work, which differs in its {what}; "
                        "give the command that they were made by again, or remove the file"
                    )
                return 0
            for raw in file:
                row = _row(raw)
                if isinstance(row, dict):
                    self._here = row
                elif isinstance(row, list) and row and row[0] == self.count:
                    self.count += 1
                    self._used.add(self._here.get("bfloat16", False))
                else:
                    break
                end += len(raw)
        return end

    def __iter__(self) -> Iterator[list[str]]:
        """The texts of each line."""
        with open(self.path, "rb") as file:
            for raw in islice(file, 1, None):
                if isinstance(row := _row(raw), list):
                    yield row[1:]

    @property
    def precision(self) -> str:
        """What products were computed in; both where one machine went on with another's work."""
        return ", ".join({True: "bfloat16", False: "float32"}[used] for used in sorted(self._used))

    def note(self, texts: Sequence[str]) -> None:
        """Add what was made of the next line."""
        append_row(self.path, [self.count, *texts])
        self.count += 1
        self._used.add(self._here["bfloat16"])

    def bfloat16(self, device: torch.device) -> bool:
        """Whether to compute products in bfloat16: as before on the same machine, else where it gains by it."""
        here = machine()
        if self._here.get("machine") != here:
            self._here = {"bfloat16": wants_bfloat16("auto", device), "machine": here}
            append_row(self.path, self._here)
        return bool(self._here["bfloat16"])


def _row(raw: bytes) -> Any:  # noqa: ANN401 (whatever JSON can say)
    """A row of a journal; None for one that is cut off."""
    try:
        return json.loads(raw) if raw.endswith(b"\n") else None
    except ValueError:
        return None


def translate_into(
    translator: Translator, pairs: Iterator[Pair], count: int, journal: Journal,
    chosen: Callable[[Pair, Sequence[str]], Sequence[str]], *, beam: int, progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    """Note in a journal what is chosen of the translations of each of `count` sources, likeliest first.

    What the longest length cut off teaches nothing and is left out. Products are in bfloat16 where the processor gains
    by it: teaching can spare the digits.
    """
    device = device_of()
    here, on_gpu = (CHUNK, BATCH_SIZE, BATCH_TOKENS), (GPU_CHUNK, GPU_BATCH, GPU_BATCH_TOKENS)
    chunk, batch_size, batch_tokens = on_gpu if device.type == "cuda" else here
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=journal.bfloat16(device))
    progress(journal.count, count)
    pairs = islice(pairs, journal.count, None)
    while part := [*islice(pairs, chunk)]:
        with autocast:
            results: list[Translation] = translator.translate(
                [pair.source for pair in part], beam=beam, n_best=beam, batch_size=batch_size, batch_tokens=batch_tokens
            )
        for pair, result in zip(part, results, strict=True):
            texts = dict.fromkeys(h.text for h in result.hypotheses if h.complete and h.text)
            journal.note(chosen(pair, [*texts]))
        progress(journal.count, count)
