"""Corpus folders: train, valid and test files with a line a text, and the corpus card, corpus.json.

The card records where the corpus came from, how many pairs were dropped and why.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from dragoman.runtime.errors import UserError
from dragoman.runtime.files import real_path, replace_folder
from dragoman.runtime.normalisation import VERSION, normalise
from dragoman.translate.corpus.readers.lines import decode_strict
from dragoman.translate.files import LOCK, acquire_lock, make_folder

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


def check_out(out: str | Path, extensions: tuple[str, ...], *inputs: str | Path) -> None:
    """Raise UserError unless a corpus whose files have these extensions can take the place of `out`.

    The folder must be absent, empty, or such a corpus. It must hold none of the inputs of a command.
    """
    if not str(out):
        raise UserError("--out is empty; name a folder")
    folder = real_path(out)
    name = folder.name or str(folder)
    if os.path.islink(folder):  # although `real_path` has followed links
        raise UserError(f"--out {name} is a symbolic link to itself; name a new folder")
    if os.path.exists(folder):
        _check_replaceable(folder, name, extensions)
    for path in inputs:
        if real_path(path) == folder:
            raise UserError(f"--out {out} is the corpus that this command reads; name another folder")
        if real_path(path).is_relative_to(folder):
            raise UserError(f"--out {out} holds {path}, an input of this command; name another folder")


def _check_replaceable(folder: Path, name: str, extensions: tuple[str, ...]) -> None:
    if not folder.is_dir():
        raise UserError(f"--out {name} is a file; name a new folder")
    try:
        names = {path.name for path in folder.iterdir()} - {_partial_folder(folder).name}
    except OSError as error:
        raise UserError(f"cannot read --out {name}: {error.strerror or error}") from None
    corpus, corpus_files = "a corpus", set[str]()
    if CARD in names:  # else the files are somebody's own, whatever their names are
        corpus += f" of {'-'.join(extensions)}"
        corpus_files = {CARD, *(f"{split}.{extension}" for split in SPLITS for extension in extensions)}
    if others := sorted(names - corpus_files):
        raise UserError(f"--out {name} holds {others[0]}, which is not part of {corpus}; name a new folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"cannot replace --out {name}: permission denied; name a new folder")


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

    Raises UserError if the folder cannot be replaced (see `new_corpus`), or if no training pair is left.
    """
    with new_corpus(folder, languages) as partial:
        counts: dict[str, int] = write_pairs(partial, languages, splits, card)["pairs"]
        return counts


def write_pairs(folder: Path, languages: tuple[str, str], splits: Splits, card: dict[str, Any]) -> dict[str, Any]:
    """Write the files of a corpus and its card into an empty folder, and return the completed card.

    Raises UserError if there is no training pair.
    """
    counts = {
        split: _write_split([folder / f"{split}.{language}" for language in languages], splits[split])
        for split in SPLITS
    }
    if not counts["train"]:
        raise UserError(f"no usable training pair is left{format_drops(card.get('dropped', {}))}")
    return write_card(folder, languages, counts, card)


def write_card(
    folder: Path, languages: tuple[str, str], counts: dict[str, int], card: dict[str, Any]
) -> dict[str, Any]:
    """Write a corpus card, completed by the languages and the number of rows of each split, and return it."""
    card = {**card, "source_language": languages[0], "target_language": languages[1], "pairs": counts}
    (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8", "replace")
    return card


def format_drops(dropped: Mapping[str, int]) -> str:
    """Return the numbers of dropped pairs as the end of a sentence, such as "; 3 dropped: empty"."""
    return "".join(f"; {count:,} dropped: {reason}" for reason, count in sorted_drops(dropped))


def sorted_drops(dropped: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the reasons for dropped pairs with their numbers, the largest first."""
    return sorted(((reason, count) for reason, count in dropped.items() if count), key=lambda item: (-item[1], item[0]))


@contextmanager
def new_corpus(out: str | Path, extensions: tuple[str, ...], *inputs: str | Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `out` once the block ends without an error.

    The folder is `OUT.part`, beside or in `out`, and a lock keeps other processes out of it. `extensions` are those of
    the corpus's files, and `inputs` what the block reads. An earlier corpus stays complete until the new one is, and
    processes that have opened its files can read them to the end.

    Raises UserError before the block if `out` cannot be written or must not be replaced, so that nobody waits in vain.
    """
    check_out(out, extensions, *inputs)
    folder = real_path(out)
    partial = _partial_folder(folder)
    new_parents = [parent for parent in partial.parents if not os.path.exists(parent)]
    make_folder(partial)
    try:
        _check_abandoned(partial)
        lock = acquire_lock(partial / LOCK, f"{folder} is being made", "name another folder")
    except UserError:
        _remove_empty([partial, *new_parents])  # not empty if another process holds the lock
        raise
    try:
        for path in partial.iterdir():  # left behind by a process that was killed
            if path.name != LOCK:
                path.unlink()
        yield partial
        (partial / LOCK).unlink()
        _replace_folder(folder, partial)
    except BaseException as error:
        # Clean up only on failure: after the rename, a folder of this name belongs to another process.
        shutil.rmtree(partial, ignore_errors=True)
        _remove_empty(new_parents)
        if isinstance(error, OSError):
            where = f": {error.filename}" if error.filename else ""
            raise UserError(f"cannot make the corpus {folder}: {error.strerror or error}{where}") from None
        raise
    finally:
        lock.release()


def _is_fixed(folder: Path) -> bool:
    """Return True if another folder cannot take the place of this one: a mount point, or the current folder."""
    with suppress(OSError):  # the folder is new, or the current folder was deleted
        return os.path.ismount(folder) or os.path.samefile(folder, os.curdir)
    return False


def _partial_folder(folder: Path) -> Path:
    """Return the folder in which the files of a corpus wait until they are complete, on the same disk."""
    return (folder if _is_fixed(folder) else folder.parent) / f"{folder.name}.part"


def _check_abandoned(partial: Path) -> None:
    """Raise UserError if a folder holds files that no process of ours left behind."""
    try:
        names = {path.name for path in partial.iterdir()}
    except OSError as error:
        raise UserError(f"cannot read {partial}: {error.strerror or error}") from None
    if names and LOCK not in names:
        raise UserError(
            f"{partial} is needed to make the corpus, but holds other files; rename it, or name another folder"
        )


def _remove_empty(folders: Iterable[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _replace_folder(folder: Path, new: Path) -> None:
    """Let the files of `new` take the place of those in `folder`.

    If an earlier folder must stay, the files are moved into it, the card last, so that it is no corpus while it is half
    of one.
    """
    if folder.exists() and _is_fixed(folder):
        (folder / CARD).unlink(missing_ok=True)
        for path in sorted(new.iterdir(), key=lambda path: path.name == CARD):
            path.replace(folder / path.name)
        new.rmdir()
    else:
        replace_folder(folder, new)


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


class _Card(msgspec.Struct):
    """The entries of a corpus card that training relies on; it may have others."""

    source_language: str
    target_language: str
    task: str = "translate"
    pairs: dict[str, int] = {}
    labels: list[str] = []
    tags: list[str] = []
    distilled: dict[str, Any] = {}


class Corpus:
    """An existing corpus folder.

    Attributes:
        normalisation: Version of the rules that its text is normalised by.
    """

    def __init__(self, folder: str | Path, normalisation: int = VERSION) -> None:
        """Read the corpus card. Raises UserError if the folder is not a corpus."""
        self.folder, self.normalisation = Path(folder), normalisation
        try:
            self.card: dict[str, Any] = json.loads((self.folder / CARD).read_text("utf-8"))
            typed = msgspec.convert(self.card, _Card)
            self.task, self.languages = typed.task, (typed.source_language, typed.target_language)
            self.labels = typed.labels
            self.extensions = ("csv",) if self.task == "forecast" else self.languages
        except FileNotFoundError:
            raise UserError(f"{folder} is not a corpus: it has no {CARD}; make one with `dragoman corpus`") from None
        except (OSError, ValueError, msgspec.ValidationError) as error:
            card = self.folder / CARD
            raise UserError(f"{card} is not a valid corpus card: {error}; make the corpus again") from None

    def digest(self) -> str:
        """Return the SHA-256 of the training and validation files, without line feeds at their ends."""
        sha = hashlib.sha256()
        for name in self._training_files():
            last_byte = b""
            for block in _read_blocks(self.folder / name):
                sha.update(last_byte)
                sha.update(block[:-1])
                last_byte = block[-1:]
            sha.update(last_byte.removesuffix(b"\n") + b"\0")
        return sha.hexdigest()

    def stamp(self) -> list[tuple[int, int, int]] | None:
        """Return what shows cheaply that the files of `digest` were changed or replaced, or None if one is missing."""
        try:
            stats = [(self.folder / name).stat() for name in self._training_files()]
        except OSError:
            return None
        return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats]

    def _training_files(self) -> list[str]:
        return [f"{split}.{extension}" for split in ("train", "valid") for extension in self.extensions]

    def lines(self, split: str, *sides: int) -> Lines:
        """Return the lines of one side (0: source, 1: target) or both, not normalised and not held in memory."""
        return Lines([self.folder / f"{split}.{self.languages[side]}" for side in sides])

    def read(self, split: str) -> list[Pair]:
        """Return the pairs of a split, normalised in case a user has edited the files."""
        return [*self.pairs(split)]

    def count(self, split: str) -> int:
        """Return the number of pairs of a split. Raises UserError if one side has more lines."""
        source, target = self._line_counts(split)
        if source != target:
            raise self._unequal(split, source, target)
        return source

    def _line_counts(self, split: str) -> tuple[int, int]:
        source, target = (sum(1 for _ in self.lines(split, side)) for side in (0, 1))
        return source, target

    def _unequal(self, split: str, source: int, target: int) -> UserError:
        return UserError(f"{self.folder}: {split} has {source:,} source and {target:,} target lines")

    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield the pairs of a split, normalised, without holding them in memory.

        Raises UserError at the end if one side has more lines.
        """
        sides = [(normalise(line, self.normalisation) for line in self.lines(split, side)) for side in (0, 1)]
        try:
            yield from (Pair(*row) for row in zip(*sides, strict=True))
        except ValueError:
            raise self._unequal(split, *self._line_counts(split)) from None


@contextmanager
def unchanged(corpus: Corpus) -> Iterator[None]:
    """Raise UserError at the end of a block that reads a corpus, if it was changed or replaced meanwhile."""
    before = corpus.stamp()
    yield
    if corpus.stamp() != before:
        raise UserError(f"{corpus.folder} was changed while it was read; repeat the command")


def _read_blocks(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                yield block
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
