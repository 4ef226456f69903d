"""Sequence-level knowledge distillation (Kim and Rush 2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from dragoman.runtime.translator import Translator
from dragoman.translate.corpus.deduplication import near_duplicate_key
from dragoman.translate.corpus.folder import Corpus, Pair, Splits
from dragoman.translate.distillation.journal import (
    Journal,
    held_out_keys,
    journal_facts,
    translate_into,
    translation_provenance,
)
from dragoman.translate.evaluation.metrics import sentence_chrf
from dragoman.translate.training.run import Run

Choice = Literal["likely", "near"]  # by score, or by similarity to the reference


def distilled_corpus(
    runs: Sequence[Run], translator: Translator, corpus: Corpus, journal: Path, *, beam: int, count: int,
    choice: Choice, with_original: bool, progress: Callable[[int, int], None],
) -> tuple[Splits, dict[str, Any]]:  # fmt: skip
    """Return the splits and the card of a distilled corpus: the training sources with the teachers' translations.

    This is sequence-level knowledge distillation (Kim and Rush 2016). `translator` is the ensemble of `runs`. From each
    beam come up to `count` translations: by choice "likely" the most likely ones, and by choice "near" those nearest to
    the reference (the paper's sequence-level interpolation). with_original: keep the original pairs, too.

    Two kinds of translations are left out: those that the maximum length cut off, and near duplicates of a held-out
    target, unless equal to the target of their own pair. The card's `distilled` counts them once the training split has
    been read: `fewer` is the number of sources with fewer than `count` translations, `held_out` that of near
    duplicates, and `added` the number of pairs beyond those of the original corpus.

    Raises UserError when the file `journal` belongs to different work.
    """
    held_out = {split: corpus.read(split) for split in ("valid", "test")}
    excluded = held_out_keys(held_out)
    lines = corpus.count("train")
    facts = {**journal_facts(runs, corpus, beam), "choice": choice, "count": count}

    def select(pair: Pair, candidates: Sequence[str]) -> Sequence[str]:
        if choice == "near":
            candidates = sorted(candidates, key=lambda text: -sentence_chrf(text, pair.target))
        return candidates[:count]

    translations = Journal(journal, facts)
    translate_into(translator, corpus.pairs("train"), lines, translations, select, beam=beam, progress=progress)
    distilled = {
        "teachers": [run.config().name for run in runs],
        "weights": facts["teachers"],
        "count": count,
        "choice": choice,
        "with_original": with_original,
        "fewer": 0,
        "held_out": 0,
        "added": (0 if with_original else -lines) + corpus.card.get("distilled", {}).get("added", 0),
        **translation_provenance(corpus, "distilled", translations, facts, beam),
    }

    def pairs() -> Iterator[Pair]:
        if with_original:
            yield from corpus.pairs("train")
        for pair, texts in zip(corpus.pairs("train"), translations, strict=True):
            allowed = [text for text in texts if text == pair.target or near_duplicate_key(text) not in excluded]
            yield from (Pair(pair.source, text) for text in allowed)
            distilled["fewer"] += len(texts) < count
            distilled["held_out"] += len(texts) - len(allowed)
            distilled["added"] += len(allowed)

    return {"train": pairs(), **held_out}, {**corpus.card, "distilled": distilled}
