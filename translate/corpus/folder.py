"""Corpus folders: train, valid and test files with a line a text, and the corpus card, corpus.json.

The card records where the corpus came from, how many pairs were dropped and why.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dragoman.runtime.errors import UserError
from dragoman.runtime.normalisation import normalise
from dragoman.translate.corpus.readers.lines import decode_strict
from dragoman.translate.files import LOCK, acquire_lock, make_folder, real_path

if TYPE_CHECKING:
    from dragoman.runtime.translator import Translator

CARD = "corpus.json"
SPLITS = ("train", "valid", "test")


class Pair(NamedTuple):
    """One example: a source text and its target, which is a translation, a label or tags."""

    source: str
    target: str


Splits = Mapping[str, Iterable[Pair]]  # the pairs of each of SPLITS
SplitsAndCard = tuple[Splits, dict[str, Any]]  # a corpus that is not written yet


def check_replaceable(folder: Path, extensions: tuple[str, ...]) -> None:
    """Raise UserError unless a folder is absent, empty or a corpus whose files have these extensions."""
    if folder.exists():
        corpus_files = {CARD, *(f"{split}.{extension}" for split in SPLITS for extension in extensions)}
        if not (folder / CARD).exists():  # then the files are somebody's own, whatever their names
            corpus_files = set()
        others = sorted({p.name for p in folder.iterdir()} - corpus_files) if folder.is_dir() else [folder.name]
        if others:
            raise UserError(f"--out {folder.name} holds {others[0]}, which is not part of a corpus; name a new folder")


def check_not_in_place(out: str, corpus: str | Path) -> None:
    """Raise UserError if a command would replace the corpus it reads: runs trained on that could not be resumed."""
    if real_path(out) == real_path(corpus):
        raise UserError(f"--out {out} is the corpus that this command reads; name another folder")


def check_model_languages(name: str, translator: Translator, corpus: str | Path, languages: tuple[str, ...]) -> None:
    """Raise UserError unless the model `name` translates between the languages that a corpus needs."""
    model_languages = translator.metadata.source_language, translator.metadata.target_language
    if model_languages != languages:
        raise UserError(
            f"{name} translates {'-'.join(model_languages)}, but {corpus} needs a model for {'-'.join(languages)}"
        )


def write_corpus(
    folder: str | Path, languages: tuple[str, str], splits: Splits, card: dict[str, Any]
) -> dict[str, int]:
    """Write a corpus folder, replacing an earlier corpus there, and return the number of pairs of each split.

    Raises UserError if the folder holds anything but a corpus, or if no training pair is left.
    """

    def write(partial: Path) -> dict[str, int]:
        counts = {
            split: _write_split([partial / f"{split}.{language}" for language in languages], splits[split])
            for split in SPLITS
        }
        if not counts["train"]:
            raise UserError(f"{folder}: no usable training pair is left; dropped: {card.get('dropped')}")
        return counts

    return write_folder(folder, languages, languages, write, card)


def write_folder(
    folder: str | Path, languages: tuple[str, str], extensions: tuple[str, ...],
    write: Callable[[Path], dict[str, int]], card: dict[str, Any],
) -> dict[str, int]:  # fmt: skip
    """Write a corpus folder atomically: into `FOLDER.part`, which is then renamed. See `write_corpus`.

    `write` receives the folder to fill and returns the number of rows of each split, which this function returns, too.
    `extensions` are those of its files. A lock keeps other processes out of `FOLDER.part`.
    """
    folder = real_path(folder)
    check_replaceable(folder, extensions)
    partial = folder.with_name(folder.name + ".part")
    make_folder(partial)
    try:
        lock = acquire_lock(partial / LOCK, f"{folder} is being made", "name another folder")
    except UserError:
        with suppress(OSError):  # not empty if another process holds the lock
            partial.rmdir()
        raise
    try:
        for path in partial.iterdir():  # left behind by a process that was killed
            if path.name != LOCK:
                path.unlink()
        counts = write(partial)
        full_card = {**card, "source_language": languages[0], "target_language": languages[1], "pairs": counts}
        (partial / CARD).write_text(json.dumps(full_card, indent=2, ensure_ascii=False) + "\n", "utf-8", "replace")
        if folder.exists():
            shutil.rmtree(folder)
        (partial / LOCK).unlink()
        partial.rename(folder)
    except BaseException as error:
        # Clean up only on failure: after the rename, a folder of this name belongs to another process.
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):
            raise UserError(f"cannot write {folder}: {error.strerror or error}") from None
        raise
    finally:
        lock.release()
    return counts


def _write_split(paths: Sequence[Path], pairs: Iterable[Pair]) -> int:
    """Write pairs to a source and a target file, and return their number."""
    count = 0
    with (
        open(paths[0], "w", encoding="utf-8", newline="\n") as source,
        open(paths[1], "w", encoding="utf-8", newline="\n") as target,
    ):
        for pair in pairs:
            source.write(pair.source + "\n")
            target.write(pair.target + "\n")
            count += 1
    return count


class Lines:
    """The lines of one or more files, read again in each iteration.

    Iteration raises UserError for a file that is missing or not UTF-8.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __iter__(self) -> Iterator[str]:
        for path in self.paths:
            try:
                with open(path, "rb") as file:
                    for number, line in enumerate(file, 1):
                        yield decode_strict(line.removesuffix(b"\n"), path, number)
            except OSError as error:
                raise UserError(f"cannot read {path}: {error.strerror or error}") from None


class Corpus:
    """An existing corpus folder."""

    def __init__(self, folder: str | Path) -> None:
        """Read the corpus card. Raises UserError if the folder is not a corpus."""
        self.folder = Path(folder)
        try:
            self.card: dict[str, Any] = json.loads((self.folder / CARD).read_text("utf-8"))
            self.task: str = self.card.get("task", "translate")
            self.languages: tuple[str, str] = (self.card["source_language"], self.card["target_language"])
            self.extensions = ("csv",) if self.task == "forecast" else self.languages
        except FileNotFoundError:
            raise UserError(f"{folder} is not a corpus: it has no {CARD}; make one with `dragoman corpus`") from None
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{self.folder / CARD} is not a valid corpus card; make the corpus again") from None

    def digest(self) -> str:
        """Return the SHA-256 of the training and validation files, without line feeds at their ends."""
        sha = hashlib.sha256()
        for split in ("train", "valid"):
            for extension in self.extensions:
                last_byte = b""
                for block in _read_blocks(self.folder / f"{split}.{extension}"):
                    sha.update(last_byte)
                    sha.update(block[:-1])
                    last_byte = block[-1:]
                sha.update(last_byte.removesuffix(b"\n") + b"\0")
        return sha.hexdigest()

    def lines(self, split: str, *sides: int) -> Lines:
        """Return the lines of one side (0: source, 1: target) or both, not normalised and not held in memory."""
        return Lines([self.folder / f"{split}.{self.languages[side]}" for side in sides])

    def read(self, split: str) -> list[Pair]:
        """Return the pairs of a split, normalised in case a user has edited the files."""
        return [*self.pairs(split)]

    def count(self, split: str) -> int:
        """Return the number of pairs of a split. Raises UserError if one side has more lines."""
        return sum(1 for _ in self.pairs(split))

    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield the pairs of a split, normalised, without holding them in memory.

        Raises UserError at the end if one side has more lines.
        """
        sides = [map(normalise, self.lines(split, side)) for side in (0, 1)]
        try:
            yield from (Pair(*row) for row in zip(*sides, strict=True))
        except ValueError:
            source, target = (sum(1 for _ in self.lines(split, side)) for side in (0, 1))
            raise UserError(f"{self.folder}: {split} has {source:,} source and {target:,} target lines") from None


def _read_blocks(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                yield block
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
