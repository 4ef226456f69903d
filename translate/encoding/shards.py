"""Encoded training text on disk, in shards that are memory-mapped."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from itertools import islice
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dragoman.runtime.errors import UserError
from dragoman.runtime.normalisation import normalise
from dragoman.runtime.session import return_memory
from dragoman.runtime.tokenizer import Tokenizer
from dragoman.translate.config import AS_WRITTEN, AugmentConfig, TokenizerConfig
from dragoman.translate.corpus.folder import Corpus
from dragoman.translate.encoding.augmentation import EVERY, bare, title, typo, upper
from dragoman.translate.encoding.ragged import Ints, Ragged, joined, ragged
from dragoman.translate.encoding.subwords import Segmentations, segmentations

VERSION = 2


CARD = "shards.json"


SHARD = 250_000  # rows


WORDS = 20_000  # whose segmentations one task finds


FEW = 100_000  # rows that one process encodes sooner than several have started


ARRAYS = {"words": np.int32, "ends": np.int64}  # of a shard's side


VARIANTS = ("upper", "title", "bare", "typos")  # as in AugmentConfig


TABLE = {"pieces": np.int32, "piece_ends": np.int64, "word_ends": np.int64, "usual": np.int64}  # of a tokenizer


Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much


Apply = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]  # a function and its arguments -> its results


class Shards:
    """Encoded training text. Rows are those of the corpus's training part."""

    def __init__(self, folder: Path) -> None:
        """Open what `build` wrote. Raises UserError when it is of another version, or files are missing or cut."""
        self.folder = folder
        try:
            self.card: dict[str, Any] = json.loads((folder / CARD).read_text("utf-8"))
            version, files = self.card["version"], self.card["files"]
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{folder} has no readable {CARD}, so it is no encoded text") from None
        if version != VERSION:
            raise UserError(f"{folder} was written by another version of Dragoman")
        for name, size in files.items():
            path = folder / name
            if not path.exists() or path.stat().st_size != size:
                raise UserError(f"{path} is missing or cut short")
        self.rows: int = self.card["rows"]
        self.shard_rows: int = self.card["shard_rows"]
        self.shards: int = self.card["shards"]

    def shard(self, side: int, number: int) -> Ragged:
        """One side of a shard's rows as numbers of words, mapped for as long as it is held."""
        return Ragged(*self._arrays(f"{side}-{number:05}", ARRAYS))

    def _arrays(self, name: str, kinds: dict[str, Any]) -> Iterator[Ints]:
        for key, kind in kinds.items():
            path = self.folder / f"{name}.{key}"
            empty = not path.stat().st_size  # which cannot be mapped
            yield np.zeros(0, kind) if empty else np.memmap(path, kind, "r")

    def table(self, side: int) -> Segmentations:
        """A side's segmentations of words, mapped for as long as they are held."""
        pieces, piece_ends, word_ends, usual = self._arrays(self.card["tables"][side], TABLE)
        return Segmentations(Ragged(pieces, piece_ends), word_ends, usual)

    def _variants(self, side: int) -> dict[str, Ints]:
        kinds = dict.fromkeys(VARIANTS, np.int32)
        return dict(zip(kinds, self._arrays(self.card["tables"][side], kinds), strict=True))

    def usual_lengths(self, side: int) -> Ints:
        """How many ids each row has in the usual segmentation, `</s>` included."""
        table, out = self.table(side), np.empty(self.rows, np.int32)
        for number in range(self.shards):
            start, shard = number * self.shard_rows, self.shard(side, number)
            out[start : start + shard.rows] = table.usual_lengths(shard)
        return out

    def draw(self, rows: Ints, seed: Sequence[int], augment: AugmentConfig = AS_WRITTEN) -> list[Ragged]:
        """Sources and targets of some rows as ids, each ending in `</s>`.

        Every word comes in one of its segmentations, and the share of rows that `augment` says in another spelling.
        """
        words = [self._words(side, rows) for side in (0, 1)]
        if augment != AS_WRITTEN:
            self._augment(words, augment, np.random.default_rng([*seed, 2]))
        return [self.table(side).draw(words[side], np.random.default_rng([*seed, side])) for side in (0, 1)]

    def _augment(self, words: list[Ragged], augment: AugmentConfig, rng: np.random.Generator) -> None:
        """Put other words for some, in place."""
        shares = np.cumsum([getattr(augment, kind) for kind in VARIANTS])
        kind = np.searchsorted(shares, rng.random(words[0].rows), side="right")  # len(VARIANTS): as it is
        ends = [text.ends[1:] - 1 for text in words]  # where each row's last word stands
        variants = [self._variants(side) for side in (0, 1)]
        last = [variants[side]["bare"][words[side].flat[ends[side]]] for side in (0, 1)]
        both = np.logical_and(*(last[side] != words[side].flat[ends[side]] for side in (0, 1)))
        for side, text in enumerate(words):
            of_word = np.repeat(kind, text.lengths)
            for number, name in enumerate(VARIANTS):
                chosen = of_word == number
                if name == "bare":
                    rows = both & (kind == number)
                    text.flat[ends[side][rows]] = last[side][rows]
                elif name != "typos" or side == 0:
                    if name == "typos":
                        chosen &= rng.random(len(chosen)) < 1 / EVERY
                    text.flat[chosen] = variants[side][name][text.flat[chosen]]

    def _words(self, side: int, rows: Ints) -> Ragged:
        """Some rows as numbers of words."""
        order = np.argsort(rows, kind="stable")
        shard_of, place = np.divmod(rows[order], self.shard_rows)
        parts = [self.shard(side, n).take(place[shard_of == n]) for n in np.unique(shard_of).tolist()]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return joined(parts).take(back)


def describe(
    corpus: str, tokenizers: Sequence[Tokenizer], config: TokenizerConfig, augment: AugmentConfig, seed: int
) -> dict[str, Any]:
    """What encoded text depends on."""
    return {
        "augmented": augment != AS_WRITTEN,
        "corpus_sha256": corpus,
        "tokenizers": [hashlib.sha256(t.model).hexdigest() for t in tokenizers],
        "kind": config.kind,
        "sampling": config.sampling,
        "seed": seed,
    }


def build(
    folder: Path, corpus: Corpus, tokenizers: tuple[Tokenizer, Tokenizer], config: TokenizerConfig, seed: int,
    digest: str, augment: AugmentConfig = AS_WRITTEN, progress: Progress = lambda *_: None,
) -> Shards:  # fmt: skip
    """Encode a corpus's training part, on all cores where there is much, beside and renamed."""
    beside = folder.with_name(folder.name + ".part")
    described = describe(digest, tokenizers, config, augment, seed)
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        joint = tokenizers[0] is tokenizers[1]
        names = ["both", "both"] if joint else ["source", "target"]
        words: dict[str, Words] = {name: Words() for name in names}
        total = int(corpus.card.get("pairs", {}).get("train", 0))
        rows = shards = 0
        with _workers(total) as run:
            for sides in run(_number, _blocks(corpus)):
                for side, (lines, own) in enumerate(sides):
                    numbers = words[names[side]].add(own.numbers, own.counts)
                    _write(beside, f"{side}-{shards:05}", ARRAYS, (numbers[lines.flat], lines.ends))
                rows, shards = rows + sides[0][0].rows, shards + 1
                progress("encoding pairs", rows, max(total, rows))
            for name, tokenizer in zip(names, tokenizers, strict=True):
                if not (beside / f"{name}.pieces").exists():
                    if described["augmented"]:
                        variants = words[name].vary(seed, corpus.card.get("tags", []))
                        _write(beside, name, dict.fromkeys(VARIANTS, np.int32), variants)
                    _find(beside, name, tokenizer, words[name], config, seed, run, progress)
        card = {
            "version": VERSION,
            "rows": rows,
            "shards": shards,
            "shard_rows": SHARD,
            "tables": names,
            **described,
            "files": {path.name: path.stat().st_size for path in sorted(beside.iterdir())},
        }
        (beside / CARD).write_text(json.dumps(card, indent=2) + "\n", "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from None
    except BrokenProcessPool:
        raise UserError(
            f"a process that encoded {corpus.folder} was ended from outside, most often because memory ran out; a "
            'script of your own that trains needs `if __name__ == "__main__":`'
        ) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    words.clear()
    return_memory()
    return Shards(folder)


class Words:
    """Numbers for words in the order in which they come, and how often each came."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.counts: list[int] = []

    def number(self, word: str, count: int = 1) -> int:
        """The number of a word that comes so often."""
        number = self.numbers.setdefault(word, len(self.numbers))
        if number == len(self.counts):
            self.counts.append(0)
        self.counts[number] += count
        return number

    def add(self, words: Iterable[str], counts: Iterable[int]) -> npt.NDArray[np.int32]:
        """The numbers of words that come so and so often."""
        return np.fromiter(map(self.number, words, counts), np.int32)

    def vary(self, seed: int, tags: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """The numbers of each word's spellings in VARIANTS, which become words, too; their own are themselves.

        So are tags, which are not spelt, and what would be nothing at all.
        """
        changes = (upper, title, bare, lambda word: typo(word, random.Random(f"{seed} {word}")))
        words, counts = [*self.numbers], [max(1, count // 8) for count in self.counts]
        found = []
        for change in changes:
            spelt = [word if word in tags else normalise(change(word)) or word for word in words]
            found.append(self.add(spelt, counts))
        itself = np.arange(len(self.numbers), dtype=np.int32)
        return [np.concatenate([numbers, itself[len(words) :]]) for numbers in found]


def _number(blocks: tuple[bytes, bytes]) -> list[tuple[Ragged, Words]]:
    """One shard's lines of both sides, as words numbered within each."""
    out = []
    for block in blocks:
        words = Words()
        lines = block.decode("utf-8").removesuffix("\n").split("\n")
        out.append((ragged([words.number(word) for word in normalise(line).split(" ")] for line in lines), words))
    return out


def _blocks(corpus: Corpus) -> Iterator[tuple[bytes, bytes]]:
    """The training part, a shard at a time. Raises UserError when one side is longer."""
    paths = [corpus.folder / f"train.{language}" for language in corpus.languages]
    with open(paths[0], "rb") as source, open(paths[1], "rb") as target:
        while True:
            sides = [[*islice(file, SHARD)] for file in (source, target)]
            if len(sides[0]) != len(sides[1]):
                raise UserError(
                    f"{corpus.folder}: train has not as many {corpus.languages[0]} as {corpus.languages[1]} lines"
                )
            if not sides[0]:
                return
            yield b"".join(sides[0]), b"".join(sides[1])


def _segment(
    task: tuple[bytes, list[str], list[int], TokenizerConfig, int],
) -> Segmentations:
    model, words, counts, config, seed = task
    return segmentations(Tokenizer(model), words, counts, config, seed)


def _find(
    folder: Path, name: str, tokenizer: Tokenizer, words: Words, config: TokenizerConfig, seed: int, run: Apply,
    progress: Progress,
) -> None:  # fmt: skip
    """Write the arrays of TABLE for all words of a tokenizer, some words after the others."""
    every = [*words.numbers]
    tasks = (
        (tokenizer.model, every[start : start + WORDS], words.counts[start : start + WORDS], config, seed)
        for start in range(0, len(every), WORDS)
    )
    with ExitStack() as stack:
        files = {key: stack.enter_context(open(folder / f"{name}.{key}", "wb")) for key in TABLE}
        ids = pieces = found = 0
        for part in run(_segment, tasks):
            first = 1 if found else 0  # the 0 that ends start with stands there once
            arrays = part.pieces.flat, part.pieces.ends[first:] + ids, part.ends[first:] + pieces, part.usual
            for key, array in zip(TABLE, arrays, strict=True):
                files[key].write(array.astype(TABLE[key]).tobytes())
            ids, pieces, found = ids + len(part.pieces.flat), pieces + part.pieces.rows, found + len(part.usual)
            progress("segmenting words", found, len(every))


def _end_with_parent() -> None:
    """In a process of a pool: end when the one that started it does, however that ends; else it would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _workers(rows: int) -> Iterator[Apply]:
    """What applies a function to one task after the other, in order: in processes where there is much to do."""
    cores = os.cpu_count() or 1
    if rows < FEW or cores == 1:
        yield map
        return
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"), _end_with_parent) as pool:

        def apply(function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
            rest = iter(tasks)
            waiting: deque[Future[Any]] = deque()
            while True:  # a few more than there are processes, since the tasks hold the text
                waiting += [pool.submit(function, task) for task in islice(rest, cores + 2 - len(waiting))]
                if not waiting:
                    return
                yield waiting.popleft().result()

        yield apply


def _write(folder: Path, name: str, kinds: dict[str, Any], arrays: Iterable[Ints]) -> None:
    for (key, kind), array in zip(kinds.items(), arrays, strict=True):
        with open(folder / f"{name}.{key}", "wb") as file:
            file.write(np.ascontiguousarray(array, kind).data)  # unlike tofile, says what is wrong
