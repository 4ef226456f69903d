"""Encode the training text of a corpus into a folder of shards (see shards.py)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.runtime.errors import UserError
from dragoman.runtime.memory import return_memory
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.process_pool import Map, ordered_map
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import NO_AUGMENTATION, AugmentConfig, TokenizerConfig
from dragoman.translate.corpus.folder import Corpus
from dragoman.translate.encoding.placeholders import with_placeholders
from dragoman.translate.encoding.ragged import Ints, Ragged, ragged
from dragoman.translate.encoding.shards import LINE_ARRAYS, MANIFEST, SEGMENTATION_ARRAYS, VERSION, Shards, describe
from dragoman.translate.encoding.subwords import Segmentations, segmentations
from dragoman.translate.encoding.word_index import VARIANTS, WordIndex

SHARD_ROWS = 250_000

# Encoding fewer rows takes one process less time than several processes need to start.
MIN_ROWS = 100_000

WORDS_PER_TASK = 20_000  # words that one process segments at a time

Progress = Callable[[str, int, int], None]  # called with what is being done, how much is done, and how much in all


def build(
    folder: Path, corpus: Corpus, tokenizers: tuple[Tokenizer, Tokenizer], config: TokenizerConfig, seed: int,
    digest: str, augment: AugmentConfig = NO_AUGMENTATION, progress: Progress = lambda *_: None,
) -> Shards:  # fmt: skip
    """Encode the training set of a corpus into `folder` and return it opened.

    The files are written to a folder beside it, which is renamed at the end, so that a folder is complete or absent.
    Large corpora are encoded on all cores, with the same result. digest: of the corpus. Raises UserError if the sides
    have different numbers of lines, the folder cannot be written, or something ends a process.
    """
    beside = folder.with_name(folder.name + ".part")
    description = describe(digest, tokenizers, config, augment, seed)
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        joint = tokenizers[0] is tokenizers[1]
        names = ["both", "both"] if joint else ["source", "target"]
        words: dict[str, WordIndex] = {name: WordIndex() for name in names}
        total = int(corpus.card.get("pairs", {}).get("train", 0))
        rows = shards = 0
        with ordered_map((os.cpu_count() or 1) if total >= MIN_ROWS else 1) as map_:
            normalisation = tokenizers[0].normalisation
            placeholders = all(tokenizer.has_placeholders for tokenizer in tokenizers)
            index = partial(_index_words, normalisation=normalisation, placeholders=placeholders)
            for sides in map_(index, _read_shards(corpus)):
                for side, (lines, shard_words) in enumerate(sides):
                    numbers = words[names[side]].add(shard_words.numbers, shard_words.counts)
                    _write(beside, f"{side}-{shards:05}", LINE_ARRAYS, (numbers[lines.flat], lines.ends))
                rows, shards = rows + sides[0][0].rows, shards + 1
                progress("encoding pairs", rows, max(total, rows))
            for name, tokenizer in zip(names, tokenizers, strict=True):
                if not (beside / f"{name}.pieces").exists():
                    if description["augmented"]:
                        variants = words[name].add_variants(seed, corpus.card.get("tags", []), tokenizer.normalise)
                        _write(beside, name, dict.fromkeys(VARIANTS, np.int32), variants)
                    _write_segmentations(beside, name, tokenizer, words[name], config, seed, map_, progress)
        manifest = {
            "version": VERSION,
            "rows": rows,
            "shards": shards,
            "shard_rows": SHARD_ROWS,
            "tables": names,
            **description,
            "files": {path.name: path.stat().st_size for path in sorted(beside.iterdir())},
        }
        (beside / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    words.clear()
    return_memory()
    return Shards(folder)


def _read_shards(corpus: Corpus) -> Iterator[tuple[bytes, bytes]]:
    """Yield both sides of the training set, a shard at a time. Raises UserError if one side has more lines."""
    paths = [corpus.folder / f"train.{language}" for language in corpus.languages]
    with open(paths[0], "rb") as source, open(paths[1], "rb") as target:
        while True:
            sides = [[*islice(file, SHARD_ROWS)] for file in (source, target)]
            if len(sides[0]) != len(sides[1]):
                raise UserError(
                    f"{paths[0]} and {paths[1].name} have different numbers of lines; each line needs its translation"
                )
            if not sides[0]:
                return
            yield b"".join(sides[0]), b"".join(sides[1])


def _index_words(sides: tuple[bytes, bytes], normalisation: int, placeholders: bool) -> list[tuple[Ragged, WordIndex]]:
    """Return the lines of each side as numbers of words, and the index of those words. It runs in a pool process."""
    texts = [
        [normalise(line, normalisation) for line in side.decode("utf-8").removesuffix("\n").split("\n")]
        for side in sides
    ]
    if placeholders:
        texts = [[*side] for side in zip(*map(with_placeholders, *texts), strict=True)]
    out = []
    for lines in texts:
        words = WordIndex()
        out.append((ragged([words.number(word) for word in line.split(" ")] for line in lines), words))
    return out


def _segment(task: tuple[bytes, list[str], list[int], TokenizerConfig, int]) -> Segmentations:
    """Return the segmentations of some words. It runs in a pool process."""
    model, words, counts, config, seed = task
    return segmentations(Tokenizer(model), words, counts, config, seed)


def _write_segmentations(
    folder: Path, name: str, tokenizer: Tokenizer, words: WordIndex, config: TokenizerConfig, seed: int, map_: Map,
    progress: Progress,
) -> None:  # fmt: skip
    """Write SEGMENTATION_ARRAYS for all words of a tokenizer, one task after the other."""
    all_words = [*words.numbers]
    tasks = (
        (tokenizer.model, all_words[start : start + WORDS_PER_TASK], words.counts[start : start + WORDS_PER_TASK],
         config, seed)
        for start in range(0, len(all_words), WORDS_PER_TASK)
    )  # fmt: skip
    with ExitStack() as stack:
        files = {key: stack.enter_context(open(folder / f"{name}.{key}", "wb")) for key in SEGMENTATION_ARRAYS}
        subwords = segmentation_count = done = 0  # in the parts before; done: words
        for part in map_(_segment, tasks):
            first = 1 if done else 0  # only the first part keeps the 0 that ends start with
            arrays = (
                part.subwords.flat, part.subwords.ends[first:] + subwords, part.ends[first:] + segmentation_count,
                part.default_lengths,
            )  # fmt: skip
            for key, array in zip(SEGMENTATION_ARRAYS, arrays, strict=True):
                files[key].write(array.astype(SEGMENTATION_ARRAYS[key]).tobytes())
            subwords += len(part.subwords.flat)
            segmentation_count += part.subwords.rows
            done += len(part.default_lengths)
            progress("segmenting words", done, len(all_words))


def _write(folder: Path, name: str, dtypes: dict[str, Any], arrays: Iterable[Ints]) -> None:
    """Write arrays as files `name.key`, in the order of `dtypes`, which maps keys to types."""
    for (key, dtype), array in zip(dtypes.items(), arrays, strict=True):
        with open(folder / f"{name}.{key}", "wb") as file:
            file.write(
                np.ascontiguousarray(array, dtype).data
            )  # unlike tofile, it reports the operating system's error
