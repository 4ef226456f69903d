"""A corpus folder: train, valid and test as plain lines in two languages, and corpus.json with their origin."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dragoman.runtime.errors import UserError
from dragoman.runtime.normalisation import normalise
from dragoman.translate.corpus.readers.raw import decoded
from dragoman.translate.files import LOCK, hold, make_folder, real

CARD = "corpus.json"


SPLITS = ("train", "valid", "test")


class Pair(NamedTuple):
    """A line and its translation."""

    source: str
    target: str


Parts = Mapping[str, Iterable[Pair]]  # train, valid and test
Made = tuple[Parts, dict[str, Any]]  # the parts of a corpus, and its card


def check_free(folder: Path, endings: tuple[str, ...]) -> None:
    """Raise UserError if a folder holds anything but a corpus with these endings of files, which would be replaced."""
    if folder.exists():
        own = {CARD, *(f"{part}.{ending}" for part in SPLITS for ending in endings)}
        others = sorted({p.name for p in folder.iterdir()} - own) if folder.is_dir() else [folder.name]
        if others:
            raise UserError(f"--out {folder.name} holds something else, {others[0]}; name a new folder")


def write_corpus(folder: str | Path, languages: tuple[str, str], splits: Parts, card: dict[str, Any]) -> dict[str, int]:
    """Write a corpus folder beside and rename it. Returns how many pairs each part has.

    An earlier corpus there is replaced. Raises UserError for anything else, and when nothing is left to train on.
    """

    def write(beside: Path) -> dict[str, int]:
        counts = {part: _write_part([beside / f"{part}.{code}" for code in languages], splits[part]) for part in SPLITS}
        if not counts["train"]:
            raise UserError(f"no usable pair is left for training in {folder}; dropped: {card.get('dropped')}")
        return counts

    return write_folder(folder, languages, languages, write, card)


def write_folder(
    folder: str | Path, languages: tuple[str, str], endings: tuple[str, ...],
    write: Callable[[Path], dict[str, int]], card: dict[str, Any],
) -> dict[str, int]:  # fmt: skip
    """What `write` writes, which returns how much each part has, with a card: beside, then renamed. See write_corpus.

    endings: of the parts' files.
    """
    folder = real(folder)
    check_free(folder, endings)
    beside = folder.with_name(folder.name + ".part")
    make_folder(beside)
    try:
        held = hold(beside / LOCK, f"{folder} is being made", "name another folder")
    except UserError:
        with suppress(OSError):  # where another process has begun, it is not empty
            beside.rmdir()
        raise
    try:
        for path in beside.iterdir():  # left by a process that was killed
            if path.name != LOCK:
                path.unlink()
        counts = write(beside)
        full = {**card, "source_language": languages[0], "target_language": languages[1], "pairs": counts}
        (beside / CARD).write_text(json.dumps(full, indent=2, ensure_ascii=False) + "\n", "utf-8", "replace")
        if folder.exists():
            shutil.rmtree(folder)
        (beside / LOCK).unlink()
        beside.rename(folder)
    except BaseException as error:  # and only then: what is called so after it was renamed is another process's
        shutil.rmtree(beside, ignore_errors=True)
        if isinstance(error, OSError):
            raise UserError(f"cannot write {folder}: {error.strerror or error}") from None
        raise
    finally:
        held.release()
    return counts


def _write_part(paths: Sequence[Path], pairs: Iterable[Pair]) -> int:
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
    """The lines of files, which are read anew each time. Raises UserError for what is not there or not UTF-8."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __iter__(self) -> Iterator[str]:
        for path in self.paths:
            try:
                with open(path, "rb") as file:
                    for number, line in enumerate(file, 1):
                        yield decoded(line.removesuffix(b"\n"), path, number)
            except OSError as error:
                raise UserError(f"cannot read {path}: {error.strerror or error}") from None


class Corpus:
    """A corpus folder that exists. Raises UserError when it does not."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.card: dict[str, Any] = json.loads((self.folder / CARD).read_text("utf-8"))
            self.task: str = self.card.get("task", "translate")
            self.languages: tuple[str, str] = (self.card["source_language"], self.card["target_language"])
            self.endings = ("csv",) if self.task == "forecast" else self.languages  # of the parts' files
        except FileNotFoundError:
            raise UserError(f"{folder} is not a corpus: it has no {CARD}; make one with `dragoman corpus`") from None
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{self.folder / CARD} is not a corpus card; make the corpus again") from None

    def digest(self) -> str:
        """The SHA-256 of what training sees."""
        sha = hashlib.sha256()
        for part in ("train", "valid"):
            for language in self.endings:
                last = b""  # the closing line feed does not count
                for block in _blocks_of(self.folder / f"{part}.{language}"):
                    sha.update(last)
                    sha.update(block[:-1])
                    last = block[-1:]
                sha.update(last.removesuffix(b"\n") + b"\0")
        return sha.hexdigest()

    def lines(self, part: str, *sides: int) -> Lines:
        """The lines of one side or both, as they stand there, however many there are."""
        return Lines([self.folder / f"{part}.{self.languages[side]}" for side in sides])

    def read(self, part: str) -> list[Pair]:
        """The pairs of `train`, `valid` or `test`, normalised, even where a hand has edited the files."""
        return [*self.pairs(part)]

    def count(self, part: str) -> int:
        """How many pairs a part has. Raises UserError where one side has more lines."""
        return sum(1 for _ in self.pairs(part))

    def pairs(self, part: str) -> Iterator[Pair]:
        """The same one by one, however many there are. Raises UserError at the end where one side has more lines."""
        sides = [map(normalise, self.lines(part, side)) for side in (0, 1)]
        try:
            yield from (Pair(*row) for row in zip(*sides, strict=True))
        except ValueError:
            source, target = (sum(1 for _ in self.lines(part, side)) for side in (0, 1))
            raise UserError(f"{self.folder}: {part} has {source:,} source and {target:,} target lines") from None


def _blocks_of(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                yield block
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
