"""Training text that models make: a committee's translations for a student, and translations back."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import torch

from dragoman.runtime.translator import BATCH_SIZE, BATCH_TOKENS, Translation, Translator
from dragoman.translate.checkpoint import Run, append_row, read_rows, write_atomically
from dragoman.translate.corpus.store import Corpus, Pair, nearly
from dragoman.translate.evaluate import command, commit, sentence_chrf
from dragoman.translate.optimizers import wants_bfloat16
from dragoman.translate.workers import device_of

TAG = "<bt>"  # what a translation back starts with, so that a model can tell it from text that people wrote
CHUNK = 512  # lines translated between two entries of the journal
GPU_CHUNK, GPU_BATCH, GPU_BATCH_TOKENS = 2048, 512, 16384  # on a GPU, and lines and ids at once there

Choice = Literal["likely", "near"]


def distill(
    runs: Sequence[Run], translator: Translator, corpus: Corpus, journal: Path, *, beam: int, count: int,
    choice: Choice, keep: bool, progress: Callable[[int, int], None],
) -> tuple[dict[str, list[Pair]], dict[str, Any]]:  # fmt: skip
    """A corpus to train a student on: each training pair, and its source with what the teachers make of it.

    Sequence-level knowledge distillation (Kim and Rush 2016). likely: the `count` most likely translations; near: the
    `count` of the beam that are nearest to the reference, their sequence-level interpolation. keep: with the pairs
    themselves, too. What the longest length cut off teaches nothing, so that a source may have fewer: the card's
    `distilled` counts those, and by how many pairs there are more now than texts (`added`).
    """
    train = corpus.read("train")
    facts = _facts(runs, corpus, beam)
    made = _translate(translator, [p.source for p in train], journal, facts, beam=beam, progress=progress)
    pairs, fewer = [*train] if keep else [], 0
    for pair, candidates in zip(train, made, strict=True):
        if choice == "near":
            candidates = sorted(candidates, key=lambda text: -sentence_chrf(text, pair.target))
        chosen = [text for text in candidates if text][:count]
        pairs += [Pair(pair.source, text) for text in chosen]
        fewer += len(chosen) < count
    told = {
        "teachers": [run.config().name for run in runs],
        "weights": facts["teachers"],
        "beam": beam,
        "count": count,
        "choice": choice,
        "with_original": keep,
        "fewer": fewer,
        "added": len(pairs) - len(train) + corpus.card.get("distilled", {}).get("added", 0),
        "command": command(),
        "commit": commit(),
    }
    card = {**corpus.card, "distilled": told}
    return {"train": pairs, "valid": corpus.read("valid"), "test": corpus.read("test")}, card


def back_translate(
    run: Run, translator: Translator, corpus: Corpus, text: Sequence[str], journal: Path, *, beam: int,
    left_out: Counter[str], progress: Callable[[int, int], None],
) -> tuple[dict[str, list[Pair]], dict[str, Any]]:  # fmt: skip
    """A corpus with more of its target language: each line of `text` and, tagged, what a reverse model makes of it.

    Back-translation (Sennrich et al. 2016), tagged (Caswell et al. 2019). A line that is all but the same as one in a
    held-out part of the corpus is left out. text: normalised. left_out: counts lines by the reason, further ones here.
    """
    held_out = {nearly(p.target) for part in ("valid", "test") for p in corpus.read(part)}
    once = [*dict.fromkeys(text)]
    lines = [line for line in once if nearly(line) not in held_out]
    facts = _facts([run], corpus, beam)
    made = _translate(translator, lines, journal, facts, beam=beam, progress=progress)
    back_pairs = [Pair(f"{TAG} {found[0]}", line) for found, line in zip(made, lines, strict=True) if found[0]]
    left_out["duplicate"] += len(text) - len(once)
    left_out["in a held-out part"] += len(once) - len(lines)
    left_out["translation cut off"] += len(lines) - len(back_pairs)
    back = {
        "model": run.config().name,
        "weights": facts["teachers"][0],
        "lines": len(back_pairs),
        "left_out": {reason: count for reason, count in left_out.items() if count},
        "beam": beam,
        "command": command(),
        "commit": commit(),
    }
    pairs = corpus.read("train") + back_pairs
    card = {**corpus.card, "tags": [TAG], "back_translated": back}
    return {"train": pairs, "valid": corpus.read("valid"), "test": corpus.read("test")}, card


def _facts(runs: Sequence[Run], corpus: Corpus, beam: int) -> dict[str, Any]:
    """What the translations in a journal depend on, besides the lines themselves."""
    weights = [hashlib.sha256(run.path("model.safetensors").read_bytes()).hexdigest() for run in runs]
    return {"corpus": corpus.digest(), "teachers": weights, "beam": beam}


def _translate(
    translator: Translator, lines: Sequence[str], journal: Path, facts: dict[str, Any], *, beam: int,
    progress: Callable[[int, int], None],
) -> list[list[str]]:  # fmt: skip
    """The beam's translations of each line, best first.

    They are noted in a journal as they are made, so that work that is cut short goes on from there. Products are in
    bfloat16 where the processor gains by it: teaching can spare the digits.
    """
    device = device_of()
    here, on_gpu = (CHUNK, BATCH_SIZE, BATCH_TOKENS), (GPU_CHUNK, GPU_BATCH, GPU_BATCH_TOKENS)
    chunk, batch_size, batch_tokens = on_gpu if device.type == "cuda" else here
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=wants_bfloat16("auto", device))
    facts = {**facts, "lines": hashlib.sha256("\n".join(lines).encode()).hexdigest()}
    done = _read_journal(journal, facts)
    rows = [facts, *([number, *texts] for number, texts in enumerate(done))]
    write_atomically(journal, "".join(json.dumps(row) + "\n" for row in rows).encode())
    progress(len(done), len(lines))
    for start in range(len(done), len(lines), chunk):
        with autocast:
            results: list[Translation] = translator.translate(
                lines[start : start + chunk], beam=beam, n_best=beam, batch_size=batch_size, batch_tokens=batch_tokens
            )
        for result in results:
            # What the longest length cut off teaches nothing.
            texts = [*dict.fromkeys(h.text for h in result.hypotheses if h.complete)] or [""]
            append_row(journal, [len(done), *texts])
            done.append(texts)
        progress(len(done), len(lines))
    return done


def _read_journal(journal: Path, facts: dict[str, Any]) -> list[list[str]]:
    """What a journal of the same work holds, up to the first line out of order; nothing if it is of other work."""
    rows = read_rows(journal) if journal.exists() else []
    if not rows or rows[0] != facts:
        return []
    return [texts for _, (_, *texts) in takewhile(lambda row: row[1][0] == row[0], enumerate(rows[1:]))]
