"""Sequence-level knowledge distillation (Kim and Rush 2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from dragoman.runtime.translator import Translator
from dragoman.translate.corpus.folder import Corpus, Pair, Parts
from dragoman.translate.corpus.split import nearly
from dragoman.translate.distillation.journal import Journal, dependencies, held_out_targets, origin, translate_into
from dragoman.translate.evaluation.metrics import sentence_chrf
from dragoman.translate.training.run import Run

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
    held_out_lines = held_out_targets(held_out)
    lines = corpus.count("train")
    facts = {**dependencies(runs, corpus, beam), "choice": choice, "count": count}

    def chosen(pair: Pair, candidates: Sequence[str]) -> Sequence[str]:
        if choice == "near":
            candidates = sorted(candidates, key=lambda text: -sentence_chrf(text, pair.target))
        return candidates[:count]

    made = Journal(journal, facts)
    translate_into(translator, corpus.pairs("train"), lines, made, chosen, beam=beam, progress=progress)
    told = {
        "teachers": [run.config().name for run in runs],
        "weights": facts["teachers"],
        "count": count,
        "choice": choice,
        "with_original": keep,
        "fewer": 0,
        "held_out": 0,
        "added": (0 if keep else -lines) + corpus.card.get("distilled", {}).get("added", 0),
        **origin(corpus, "distilled", made, beam),
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
