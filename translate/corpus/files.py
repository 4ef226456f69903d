"""Corpora from files: two parallel files or one TSV, plain or gzipped, and the Multi30k folder."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.store import Pair, clean, split, without_held_out

HELD_OUT = 1000


def read_raw(path: str | Path) -> list[bytes]:
    """The lines of a file, plain or gzipped, as bytes; split at line feeds, a closing carriage return left out."""
    try:
        data = Path(path).read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    if not data:
        return []
    return [line.removesuffix(b"\r") for line in data.removesuffix(b"\n").split(b"\n")]


def _parallel(source: str | Path, target: str | Path) -> list[tuple[bytes, bytes]]:
    left, right = read_raw(source), read_raw(target)
    if len(left) != len(right):
        raise UserError(
            f"{source} has {len(left):,} lines and {target} has {len(right):,}: "
            "line N of one must be the translation of line N of the other"
        )
    return list(zip(left, right, strict=True))


def _tsv(path: str | Path) -> list[tuple[bytes, bytes]]:
    rows = []
    for number, line in enumerate(read_raw(path), 1):
        fields = line.split(b"\t")
        if len(fields) < 2 and line.strip():
            raise UserError(f"{path}, line {number}: no tab; each line needs source, tab, target")
        rows.append((fields[0], fields[1]) if len(fields) > 1 else (b"", b""))
    return rows


def from_files(
    paths: list[str], valid: int | None, test: int | None, seed: int = 1
) -> tuple[dict[str, list[Pair]], dict[str, Any]]:
    """A corpus from two parallel files or one TSV. Held-out parts default to 1,000 pairs, or a tenth of few."""
    if len(paths) > 2:
        raise UserError(f"{len(paths)} files were given: name a source and a target file, or one TSV")
    rows = _tsv(paths[0]) if len(paths) == 1 else _parallel(paths[0], paths[1])
    dropped: Counter[str] = Counter()
    pairs = list(clean(rows, dropped))
    few = max(1, len({p.source for p in pairs}) // 10)
    counts = [min(HELD_OUT, few) if n is None else n for n in (valid, test)]
    splits = split(pairs, counts[0], counts[1], seed)
    left_over = len(pairs) - sum(len(part) for part in splits.values())
    if left_over:
        dropped["another pair of the same source is held out"] = left_over
    card = {
        "corpus": "files",
        "from": [Path(p).name for p in paths],
        "read": len(rows),
        "dropped": dict(dropped),
        "seed": seed,
    }
    return splits, card


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
        rows = _parallel(*paths)
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
