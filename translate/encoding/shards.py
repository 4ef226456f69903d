"""Encoded training text on disk, read through memory maps, so that a corpus may be larger than memory.

A folder holds three things (see shard_builder.py, which writes it):

- for each side (0 source, 1 target) the lines as numbers of words, in shards of equally many rows;
- for each tokenizer the pools of segmentations of all words, from which every epoch draws ids again;
- shards.json, the manifest: what the text was encoded from, and the size of each file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.runtime.errors import UserError
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import NO_AUGMENTATION, AugmentConfig, TokenizerConfig
from dragoman.translate.encoding.augmentation import WORDS_PER_TYPO
from dragoman.translate.encoding.ragged import Ints, Ragged, concatenate
from dragoman.translate.encoding.subwords import Segmentations
from dragoman.translate.encoding.word_index import VARIANTS

VERSION = 2  # of the format

MANIFEST = "shards.json"

# The arrays of one side of a shard, by file ending: the words of all lines (see Ragged).
LINE_ARRAYS = {"words": np.int32, "ends": np.int64}

# The arrays of one tokenizer, by file ending: the subwords and their ends, the ends of words, and the default lengths
# of its Segmentations. The endings are part of the format on disk, so they differ from the names in the code.
SEGMENTATION_ARRAYS = {"pieces": np.int32, "piece_ends": np.int64, "word_ends": np.int64, "usual": np.int64}


class Shards:
    """Encoded training text. Row i is line i of the corpus's training set."""

    def __init__(self, folder: Path) -> None:
        """Open a folder that `shard_builder.build` wrote.

        Raises UserError if its version differs, or if files are missing or cut short.
        """
        self.folder = folder
        try:
            self.manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
            version, files = self.manifest["version"], self.manifest["files"]
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{folder / MANIFEST} is missing or damaged") from None
        if version != VERSION:
            raise UserError(f"{folder} was written by another version of Dragoman")
        for name, size in files.items():
            path = folder / name
            if not path.exists() or path.stat().st_size != size:
                raise UserError(f"{path} is missing or cut short")
        self.rows: int = self.manifest["rows"]
        self.shard_rows: int = self.manifest["shard_rows"]
        self.shards: int = self.manifest["shards"]

    def shard(self, side: int, number: int) -> Ragged:
        """Return the lines of one side of a shard as numbers of words. The arrays stay mapped while they are in use."""
        return Ragged(*self._arrays(f"{side}-{number:05}", LINE_ARRAYS))

    def segmentations(self, side: int) -> Segmentations:
        """Return the segmentations of a side's words. The arrays stay mapped while they are in use."""
        name = self.manifest["tables"][side]
        subwords, subword_ends, word_ends, default_lengths = self._arrays(name, SEGMENTATION_ARRAYS)
        return Segmentations(Ragged(subwords, subword_ends), word_ends, default_lengths)

    def line_lengths(self, side: int) -> Ints:
        """Return the number of ids of every row in the default segmentation, `</s>` included."""
        segmentations, lengths = self.segmentations(side), np.empty(self.rows, np.int32)
        for number in range(self.shards):
            start, shard = number * self.shard_rows, self.shard(side, number)
            lengths[start : start + shard.rows] = segmentations.line_lengths(shard)
        return lengths

    def draw(self, rows: Ints, seed: Sequence[int], augment: AugmentConfig = NO_AUGMENTATION) -> list[Ragged]:
        """Return sources and targets of the given rows as ids that end in `</s>`, in random segmentations.

        `augment` gives the fraction of rows that appear in each variant.
        """
        words = [self._words(side, rows) for side in (0, 1)]
        if augment != NO_AUGMENTATION:
            self._augment(words, augment, np.random.default_rng([*seed, 2]))
        return [self.segmentations(side).draw(words[side], np.random.default_rng([*seed, side])) for side in (0, 1)]

    def _arrays(self, name: str, dtypes: dict[str, Any]) -> Iterator[Ints]:
        """Yield the arrays of a name, in the order of `dtypes`, which maps file endings to types."""
        for key, dtype in dtypes.items():
            path = self.folder / f"{name}.{key}"
            empty = not path.stat().st_size  # an empty file cannot be mapped
            yield np.zeros(0, dtype) if empty else np.memmap(path, dtype, "r")

    def _variants(self, side: int) -> dict[str, Ints]:
        """Return for each of VARIANTS the number of every word's variant."""
        dtypes = dict.fromkeys(VARIANTS, np.int32)
        return dict(zip(dtypes, self._arrays(self.manifest["tables"][side], dtypes), strict=True))

    def _augment(self, words: list[Ragged], augment: AugmentConfig, rng: np.random.Generator) -> None:
        """Replace words by their variants, in place.

        A row gets at most one variant. "upper" and "title" change all words of both sides. "bare" removes the final
        punctuation of both sides, if both have some. "typos" changes some words of the source.
        """
        thresholds = np.cumsum([getattr(augment, name) for name in VARIANTS])
        row_variant = np.searchsorted(thresholds, rng.random(words[0].rows), side="right")  # len(VARIANTS): unchanged
        last = [text.ends[1:] - 1 for text in words]  # the position of each row's last word
        variants = [self._variants(side) for side in (0, 1)]
        bare = [variants[side]["bare"][words[side].flat[last[side]]] for side in (0, 1)]
        both_punctuated = np.logical_and(*(bare[side] != words[side].flat[last[side]] for side in (0, 1)))
        for side, text in enumerate(words):
            word_variant = np.repeat(row_variant, text.lengths)
            for number, name in enumerate(VARIANTS):
                chosen = word_variant == number
                if name == "bare":
                    rows = both_punctuated & (row_variant == number)
                    text.flat[last[side][rows]] = bare[side][rows]
                elif name != "typos" or side == 0:
                    if name == "typos":
                        chosen &= rng.random(len(chosen)) < 1 / WORDS_PER_TYPO
                    text.flat[chosen] = variants[side][name][text.flat[chosen]]

    def _words(self, side: int, rows: Ints) -> Ragged:
        """Return the given rows of a side as numbers of words. Each shard is read once."""
        order = np.argsort(rows, kind="stable")
        shard_of, row_in_shard = np.divmod(rows[order], self.shard_rows)
        parts = [self.shard(side, n).take(row_in_shard[shard_of == n]) for n in np.unique(shard_of).tolist()]
        original_order = np.empty_like(order)
        original_order[order] = np.arange(len(order))
        return concatenate(parts).take(original_order)


def describe(
    corpus_digest: str, tokenizers: Sequence[Tokenizer], config: TokenizerConfig, augment: AugmentConfig, seed: int
) -> dict[str, Any]:
    """Return everything that encoded text depends on, as its manifest records it."""
    return {
        "augmented": augment != NO_AUGMENTATION,
        "corpus_sha256": corpus_digest,
        "tokenizers": [hashlib.sha256(t.model).hexdigest() for t in tokenizers],
        "kind": config.kind,
        "sampling": config.sampling,
        "seed": seed,
    }
