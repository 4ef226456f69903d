"""A journal of translations, by which an interrupted command continues where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from dragoman.runtime.errors import UserError
from dragoman.runtime.files import write_atomically
from dragoman.runtime.translation import Translation
from dragoman.runtime.translator import Translator
from dragoman.translate.corpus.deduplication import near_duplicate_key
from dragoman.translate.corpus.folder import Corpus, Pair
from dragoman.translate.evaluation.provenance import command, commit, machine
from dragoman.translate.files import append_row
from dragoman.translate.training.distributed import BATCH_LIMITS, device_of
from dragoman.translate.training.optimizers import wants_bfloat16
from dragoman.translate.training.run import Run

CHUNK, GPU_CHUNK = 512, 2048  # lines that are translated between two writes to the journal


def held_out_keys(held_out: dict[str, list[Pair]]) -> set[str]:
    """Return the near-duplicate keys of all held-out targets."""
    return {near_duplicate_key(pair.target) for pairs in held_out.values() for pair in pairs}


def journal_facts(runs: Sequence[Run], corpus: Corpus, beam: int) -> dict[str, Any]:
    """Return what the translations in a journal depend on."""
    weights = [hashlib.sha256(run.path("model.safetensors").read_bytes()).hexdigest() for run in runs]
    return {"corpus": corpus.digest(), "teachers": weights, "beam": beam}


def translation_provenance(
    corpus: Corpus, key: str, journal: Journal, facts: dict[str, Any], beam: int
) -> dict[str, Any]:
    """Return the provenance of synthetic text for a corpus card, given the facts of its journal.

    If the card of the original corpus has an entry under `key`, it is kept under `before`.
    """
    return {
        "beam": beam,
        "precision": journal.precision,
        "corpus_sha256": facts["corpus"],
        "command": command(),
        "commit": commit(),
        **({"before": corpus.card[key]} if key in corpus.card else {}),
    }


class Journal:
    """A JSON Lines file of translations, written as they are made.

    The first row holds the facts that all translations depend on. A row with machine and precision follows whenever
    these change. Every other row holds the number of a line, from 0, and its translations. Iteration yields the
    translations of each line and keeps only one row in memory.
    """

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        """Open or create a journal. Rows after a row that is cut off or out of order are removed.

        Raises UserError when the file holds lines that depend on other facts, or cannot be read or written.
        """
        self.path = path
        self.count = 0  # lines in the journal
        self._setting: dict[str, Any] = {}  # the last row with machine and precision
        self._bfloat16: set[bool] = set()  # the precisions of all lines
        try:
            end = self._read(facts) if path.exists() else 0
            if end:
                os.truncate(path, end)
        except OSError as error:
            raise UserError(f"cannot continue {path}: {error.strerror or error}") from None
        if not end:
            write_atomically(path, json.dumps(facts).encode() + b"\n")

    def _read(self, facts: dict[str, Any]) -> int:
        """Return the byte offset up to which the journal can be continued, or 0 if it must start again."""
        with open(self.path, "rb") as file:
            first = file.readline()
            recorded, end = _row(first), len(first)
            if recorded != facts:
                if lines := sum(isinstance(_row(raw), list) for raw in file):
                    known = recorded if isinstance(recorded, dict) else {}
                    keys = ", ".join(key for key in facts if known.get(key) != facts[key])
                    raise UserError(
                        f"{self.path} holds {lines:,} lines made with different settings ({keys}); "
                        "repeat the command that made them, or remove the file"
                    )
                return 0
            for raw in file:
                row = _row(raw)
                if isinstance(row, dict):
                    self._setting = row
                elif isinstance(row, list) and row and row[0] == self.count:
                    self.count += 1
                    self._bfloat16.add(self._setting.get("bfloat16", False))
                else:
                    break
                end += len(raw)
        return end

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the translations of each line."""
        with open(self.path, "rb") as file:
            for raw in islice(file, 1, None):
                if isinstance(row := _row(raw), list):
                    yield row[1:]

    @property
    def precision(self) -> str:
        """The precision of the matrix products; both if two machines that differ in it shared the work."""
        return ", ".join({True: "bfloat16", False: "float32"}[used] for used in sorted(self._bfloat16))

    def append(self, texts: Sequence[str]) -> None:
        """Write the translations of the next line. Call `bfloat16` before."""
        append_row(self.path, [self.count, *texts])
        self.count += 1
        self._bfloat16.add(self._setting["bfloat16"])

    def bfloat16(self, device: torch.device) -> bool:
        """Return True to compute in bfloat16: as before on the same machine, otherwise where it is faster."""
        this_machine = machine()
        if self._setting.get("machine") != this_machine:
            self._setting = {"bfloat16": wants_bfloat16("auto", device), "machine": this_machine}
            append_row(self.path, self._setting)
        return bool(self._setting["bfloat16"])


def _row(raw: bytes) -> Any:  # noqa: ANN401 (any JSON value)
    """Parse a row of a journal. Return None if it is damaged."""
    try:
        return json.loads(raw) if raw.endswith(b"\n") else None
    except ValueError:
        return None


def translate_into(
    translator: Translator, pairs: Iterator[Pair], count: int, journal: Journal,
    select: Callable[[Pair, Sequence[str]], Sequence[str]], *, beam: int, progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    """Translate the sources of `count` pairs, and write the selected translations of each to a journal.

    `select` gets a pair and the complete, distinct translations of its source, most likely first. Translations that the
    maximum length cut off are left out. Matrix products are in bfloat16 where that is faster: the lost precision does
    not matter for training text.
    """
    device = device_of()
    limits, chunk = BATCH_LIMITS[device.type], GPU_CHUNK if device.type == "cuda" else CHUNK
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=journal.bfloat16(device))
    progress(journal.count, count)
    pairs = islice(pairs, journal.count, None)
    while block := [*islice(pairs, chunk)]:
        with autocast:
            results: list[Translation] = translator.translate(
                [pair.source for pair in block],
                beam=beam,
                n_best=beam,
                batch_size=limits.rows,
                batch_tokens=limits.tokens,
            )
        for pair, result in zip(block, results, strict=True):
            texts = dict.fromkeys(h.text for h in result.hypotheses if h.complete and h.text)
            journal.append(select(pair, [*texts]))
        progress(journal.count, count)
