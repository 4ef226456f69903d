"""The Multi30k corpus: image captions in several languages (Elliott et al. 2016)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.cleaning import count_drops, usable_pairs
from dragoman.translate.corpus.folder import SplitsAndCard
from dragoman.translate.corpus.readers.parallel import read_parallel
from dragoman.translate.corpus.split import drop_held_out_sources

FILES = {"train": "train", "valid": "val", "test": "test_2016_flickr"}  # of task 1


def build_multi30k(folder: str, languages: tuple[str, str]) -> SplitsAndCard:
    """Return the splits of the captions and their card, from a folder with the files of Multi30k's task 1.

    Raises UserError if a file is missing.
    """
    dropped: Counter[str] = Counter()
    splits = {}
    read = 0
    for split, name in FILES.items():
        source, target = (_find_file(folder, f"{name}.{language}") for language in languages)
        rows = [*read_parallel(source, target)]
        read += len(rows)
        splits[split] = list(usable_pairs(rows, count_drops(dropped)))
    splits = drop_held_out_sources(splits, dropped)
    card = {
        "corpus": "multi30k",
        "from": "Multi30k task 1: train, val, test_2016_flickr",
        "licence": "captions of Flickr30k: non-commercial research and education only",
        "read": read,
        "dropped": {reason: count for reason, count in dropped.items() if count},
    }
    return splits, card


def _find_file(folder: str, name: str) -> Path:
    """Return the path of a file, plain or gzipped. Raises UserError if neither exists."""
    for path in (Path(folder) / name, Path(folder) / f"{name}.gz"):
        if path.exists():
            return path
    raise UserError(f"--from {folder} holds neither {name} nor {name}.gz")
