"""The Multi30k corpus."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.cleaning import clean, counting
from dragoman.translate.corpus.folder import Made
from dragoman.translate.corpus.readers.raw import read_parallel
from dragoman.translate.corpus.split import without_held_out


def from_multi30k(folder: str, languages: tuple[str, str]) -> Made:
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
        splits[part] = list(clean(rows, counting(dropped)))
    card = {
        "corpus": "multi30k",
        "from": "Multi30k task 1: train, val, test_2016_flickr",
        "licence": "captions of Flickr30k: non-commercial research and education only",
        "read": total,
    }
    splits = without_held_out(splits, dropped)
    return splits, {**card, "dropped": {k: v for k, v in dropped.items() if v}}
