"""Back-translation (Sennrich et al. 2016), tagged (Caswell et al. 2019)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from dragoman.runtime.errors import UserError
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
from dragoman.translate.training.run import Run

TAG = "<bt>"  # first token of a synthetic source, by which a model can tell it from text that people wrote


def back_translate(
    run: Run, translator: Translator, corpus: Corpus, text: Iterable[str], journal: Path, *, beam: int,
    left_out: Counter[str], progress: Callable[[int, int], None],
) -> tuple[Splits, dict[str, Any]]:  # fmt: skip
    """Return the splits and the card of a corpus with additional pairs: back-translations of `text`.

    Each additional pair is a line of normalised text in the target language, and its translation by a reverse model,
    which starts with TAG. Near duplicates of held-out targets are left out. left_out: the number of lines by reason for
    leaving them out; this function adds to it, also while the training split is read. The card's `back_translated`
    holds the same numbers.

    Raises UserError when the file `journal` belongs to different work, or when no line could be translated.
    """
    held_out = {split: corpus.read(split) for split in ("valid", "test")}
    excluded = held_out_keys(held_out)
    unique: dict[str, None] = {}
    for line in text:
        left_out["duplicate"] += line in unique
        unique[line] = None
    lines = [line for line in unique if near_duplicate_key(line) not in excluded]
    left_out["in a held-out part"] += len(unique) - len(lines)
    del unique
    if not lines:
        reasons = [f"{count:,} {reason}" for reason, count in left_out.items() if count]
        raise UserError("; ".join(["there is no line to back-translate", *reasons]))
    corpus.count("train")  # raises before the long work if the training split is damaged
    sha = hashlib.sha256()
    for line in lines:
        sha.update(line.encode() + b"\n")
    facts = {**journal_facts([run], corpus, beam), "lines": sha.hexdigest()}
    translations = Journal(journal, facts)
    sources = (Pair(line, "") for line in lines)
    translate_into(
        translator, sources, len(lines), translations, lambda _, texts: texts[:1], beam=beam, progress=progress
    )
    back_translated = {
        "model": run.config().name,
        "weights": facts["teachers"][0],
        "lines": 0,
        "left_out": {},
        **translation_provenance(corpus, "back_translated", translations, facts, beam),
    }

    def pairs() -> Iterator[Pair]:
        yield from corpus.pairs("train")
        for line, texts in zip(lines, translations, strict=True):
            yield from (Pair(f"{TAG} {source}", line) for source in texts)
            back_translated["lines"] += len(texts)
        left_out["translation cut off"] += len(lines) - back_translated["lines"]
        back_translated["left_out"] = {reason: count for reason, count in left_out.items() if count}
        if not back_translated["lines"]:
            raise UserError(
                f"all back-translations of the {len(lines):,} lines were cut off at the maximum length; train the "
                "reverse model longer, or give shorter lines"
            )

    return {"train": pairs(), **held_out}, {**corpus.card, "tags": [TAG], "back_translated": back_translated}
