"""Training text that models make: a committee's translations for a student, and translations back."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch

from dragoman.runtime.errors import UserError
from dragoman.runtime.translator import BATCH_SIZE, BATCH_TOKENS, Translation, Translator
from dragoman.translate.checkpoint import Run, append_row, write_atomically
from dragoman.translate.corpus.store import Corpus, Pair, Parts, nearly
from dragoman.translate.evaluate import command, commit, machine, sentence_chrf
from dragoman.translate.optimizers import wants_bfloat16
from dragoman.translate.workers import device_of

TAG = "<bt>"  # what a translation back starts with, so that a model can tell it from text that people wrote
CHUNK = 512  # lines translated between two entries of the journal
GPU_CHUNK, GPU_BATCH, GPU_BATCH_TOKENS = 2048, 512, 16384  # on a GPU, and lines and ids at once there

Choice = Literal["likely", "near"]


def distill(
    runs: Sequence[Run], translator: Translator, corpus: Corpus, journal: Path, *, beam: int, count: int,
    choice: Choice, keep: bool, progress: Callable[[int, int], None],
) -> tuple[Parts, dict[str, Any]]:  # fmt: skip
    """A corpus to train a student on: each training pair, and its source with what the teachers make of it.

    Sequence-level knowledge distillation (Kim and Rush 2016). likely: the `count` most likely translations; near: the
    `count` of the beam that are nearest to the reference, their sequence-level interpolation. keep: with the pairs
    themselves, too. What the longest length cut off teaches nothing, so that a source may have fewer: the card's
    `distilled` counts those, by how many pairs there are more now than texts (`added`), and how many translations were
    left out because they are all but a target of a held-out part and not to the letter that of their own source
    (`held_out`), once the parts have been gone through. Raises UserError when the journal holds other work.
    """
    held_out = {part: corpus.read(part) for part in ("valid", "test")}
    held_out_lines = _targets(held_out)
    lines = corpus.count("train")
    facts = {**_facts(runs, corpus, beam), "choice": choice, "count": count}

    def chosen(pair: Pair, candidates: Sequence[str]) -> Sequence[str]:
        if choice == "near":
            candidates = sorted(candidates, key=lambda text: -sentence_chrf(text, pair.target))
        return candidates[:count]

    made = Journal(journal, facts)
    _translate(translator, corpus.pairs("train"), lines, made, chosen, beam=beam, progress=progress)
    told = {
        "teachers": [run.config().name for run in runs],
        "weights": facts["teachers"],
        "count": count,
        "choice": choice,
        "with_original": keep,
        "fewer": 0,
        "held_out": 0,
        "added": (0 if keep else -lines) + corpus.card.get("distilled", {}).get("added", 0),
        **_origin(corpus, "distilled", made, beam),
    }

    def pairs() -> Iterator[Pair]:
        if keep:
            yield from corpus.pairs("train")
        for pair, texts in zip(corpus.pairs("train"), made, strict=True):
            free = [text for text in texts if text == pair.target or nearly(text) not in held_out_lines]
            yield from (Pair(pair.source, text) for text in free)
            told["fewer"] += len(texts) < count
            told["held_out"] += len(texts) - len(free)
            told["added"] += len(free)

    return {"train": pairs(), **held_out}, {**corpus.card, "distilled": told}


def back_translate(
    run: Run, translator: Translator, corpus: Corpus, text: Iterable[str], journal: Path, *, beam: int,
    left_out: Counter[str], progress: Callable[[int, int], None],
) -> tuple[Parts, dict[str, Any]]:  # fmt: skip
    """A corpus with more of its target language: each line of `text` and, tagged, what a reverse model makes of it.

    Back-translation (Sennrich et al. 2016), tagged (Caswell et al. 2019). A line that is all but the same as one in a
    held-out part of the corpus is left out. text: normalised. left_out: counts lines by the reason, further ones here
    and once the parts have been gone through, as the card's `back_translated` does. Raises UserError when the journal
    holds other work, and when nothing could be translated back.
    """
    held_out = {part: corpus.read(part) for part in ("valid", "test")}
    held_out_lines = _targets(held_out)
    once: dict[str, None] = {}
    for line in text:
        left_out["duplicate"] += line in once
        once[line] = None
    lines = [line for line in once if nearly(line) not in held_out_lines]
    left_out["in a held-out part"] += len(once) - len(lines)
    del once
    if not lines:
        reasons = [f"{count:,} {reason}" for reason, count in left_out.items() if count]
        raise UserError("; ".join(["there is no line to translate back", *reasons]))
    corpus.count("train")  # what is wrong with it is said before the work, too
    sha = hashlib.sha256()
    for line in lines:
        sha.update(line.encode() + b"\n")
    facts = {**_facts([run], corpus, beam), "lines": sha.hexdigest()}
    made = Journal(journal, facts)
    todo = (Pair(line, "") for line in lines)
    _translate(translator, todo, len(lines), made, lambda _, found: found[:1], beam=beam, progress=progress)
    told = {
        "model": run.config().name,
        "weights": facts["teachers"][0],
        "lines": 0,
        "left_out": {},
        **_origin(corpus, "back_translated", made, beam),
    }

    def pairs() -> Iterator[Pair]:
        yield from corpus.pairs("train")
        for line, texts in zip(lines, made, strict=True):
            yield from (Pair(f"{TAG} {found}", line) for found in texts)
            told["lines"] += len(texts)
        left_out["translation cut off"] += len(lines) - told["lines"]
        told["left_out"] = {reason: count for reason, count in left_out.items() if count}
        if not told["lines"]:
            raise UserError(f"no translation back of {len(lines):,} lines came to an end")

    return {"train": pairs(), **held_out}, {**corpus.card, "tags": [TAG], "back_translated": told}


def _targets(held_out: dict[str, list[Pair]]) -> set[str]:
    """What the targets of held-out parts have in common with near copies of theirs."""
    return {nearly(pair.target) for pairs in held_out.values() for pair in pairs}


def _facts(runs: Sequence[Run], corpus: Corpus, beam: int) -> dict[str, Any]:
    """What the translations in a journal depend on."""
    weights = [hashlib.sha256(run.path("model.safetensors").read_bytes()).hexdigest() for run in runs]
    return {"corpus": corpus.digest(), "teachers": weights, "beam": beam}


def _origin(corpus: Corpus, key: str, made: Journal, beam: int) -> dict[str, Any]:
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


def _translate(
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
