"""Corpora from files of parallel text, and from the Multi30k folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.cleaning import scrub
from dragoman.translate.corpus.readers import Raw, read_parallel
from dragoman.translate.corpus.store import RULES, Pair, clean, split, without_held_out

HELD_OUT = 1000
Made = tuple[dict[str, list[Pair]], dict[str, Any]]  # the parts of a corpus, and its card
Listing = Callable[[str, Pair], None]


def make(
    rows: Iterable[Raw],
    languages: tuple[str, str],
    card: dict[str, Any],
    valid: int | None = None,
    test: int | None = None,
    seed: int = 1,
    off: Collection[str] = (),
    listed: Listing | None = None,
) -> Made:
    """Clean raw pairs and hold some out: by default 1,000 to validate and to test on, or a tenth of few.

    listed: called with the rule and the pair for each one that a rule of cleaning drops.
    """
    read = 0
    dropped: Counter[str] = Counter()

    def counted() -> Iterator[Raw]:
        nonlocal read
        for row in rows:
            read += 1
            yield row

    def note(rule: str, pair: Pair) -> None:
        dropped[RULES[rule]] += 1
        if listed:
            listed(rule, pair)

    pairs = list(scrub(clean(counted(), dropped), languages, off, note))
    few = max(1, len({p.source for p in pairs}) // 10)
    counts = [min(HELD_OUT, few) if n is None else n for n in (valid, test)]
    splits = split(pairs, counts[0], counts[1], seed)
    left_over = len(pairs) - sum(len(part) for part in splits.values())
    if left_over:
        dropped["another pair of the same source is held out"] = left_over
    rules = [name for name in RULES if name not in off]
    return splits, {**card, "read": read, "dropped": dict(dropped), "rules": rules, "seed": seed}


def from_multi30k(folder: str, languages: tuple[str, str]) -> tuple[dict[str, list[Pair]], dict[str, Any]]:
    """The Multi30k captions (Elliott et al. 2016), from a folder that holds the files of its task 1."""
    names = {"train": "train", "valid": "val", "test": "test_2016_flickr"}
    dropped: Counter[str] = Counter()
    splits = {}
    total = 0
    for part, name in names.items():
        paths = []
        for language in languages:
            found = [p for p in (Path(folder) / f"{name}.{language}{end}" for end in ("", ".gz")) if p.exists()]
            if not found:
                raise UserError(f"--from {folder}: {name}.{language} or {name}.{language}.gz is not there")
            paths.append(found[0])
        rows = [*read_parallel(*paths)]
        total += len(rows)
        splits[part] = list(clean(rows, dropped))
    card = {
        "corpus": "multi30k",
        "from": "Multi30k task 1: train, val, test_2016_flickr",
        "licence": "captions of Flickr30k: non-commercial research and education only",
        "read": total,
    }
    splits = without_held_out(splits, dropped)
    return splits, {**card, "dropped": {k: v for k, v in dropped.items() if v}}
