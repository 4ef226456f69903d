"""Back-translation (Sennrich et al. 2016), tagged (Caswell et al. 2019)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from dragoman.runtime.errors import UserError
from dragoman.runtime.translator import Translator
from dragoman.translate.corpus.folder import Corpus, Pair, Parts
from dragoman.translate.corpus.split import nearly
from dragoman.translate.distillation.journal import Journal, dependencies, held_out_targets, origin, translate_into
from dragoman.translate.training.run import Run

TAG = "<bt>"  # what a translation back starts with, so that a model can tell it from text that people wrote


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
    held_out_lines = held_out_targets(held_out)
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
    facts = {**dependencies([run], corpus, beam), "lines": sha.hexdigest()}
    made = Journal(journal, facts)
    todo = (Pair(line, "") for line in lines)
    translate_into(translator, todo, len(lines), made, lambda _, found: found[:1], beam=beam, progress=progress)
    told = {
        "model": run.config().name,
        "weights": facts["teachers"][0],
        "lines": 0,
        "left_out": {},
        **origin(corpus, "back_translated", made, beam),
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
