"""Parallel text in any supported format: the reader of each file extension, and folders of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.readers.gettext import read_po
from dragoman.translate.corpus.readers.jsonl import read_jsonl
from dragoman.translate.corpus.readers.language_selection import LanguageMismatch
from dragoman.translate.corpus.readers.rows import RawRow, read_parallel
from dragoman.translate.corpus.readers.tmx import read_tmx
from dragoman.translate.corpus.readers.tsv import read_table, read_tsv
from dragoman.translate.corpus.readers.xliff import read_xliff


class Reader(Protocol):
    """A reader of files that hold both languages."""

    def __call__(self, path: Path, languages: tuple[str, str], explicit: bool) -> Iterable[RawRow]:
        """Yield the pairs of a file.

        `explicit` is True if the user named the file itself. Languages that it does not declare are then as requested.
        It is False for a file found in a folder, which may hold files of many languages.
        """


READERS: dict[str, Reader] = {
    ".tsv": read_tsv, ".jsonl": read_jsonl, ".tmx": read_tmx, ".xlf": read_xliff, ".xliff": read_xliff,
    ".po": read_po, ".mo": read_po,
}  # fmt: skip


def reader_of(path: Path) -> Reader | None:
    """Return the reader for a file's extension, or None if that is not of a format that holds both languages."""
    return READERS.get(Path(path.name.lower().removesuffix(".gz")).suffix)


def read_files(
    paths: Iterable[str],
    languages: tuple[str, str],
    log: Callable[[str], None] = lambda _: None,
    columns: tuple[int, int] | None = None,
) -> Iterator[RawRow]:
    """Yield the pairs of a source and a target file, or of any number of files and folders that hold both languages.

    A single file without a known extension is read as a table. `columns` are those of tables, if not the first two.
    Files that a folder holds in other languages or formats are skipped and reported to `log`. Raises UserError for any
    other input, and for files that are not valid.
    """
    inputs = [Path(p) for p in paths]
    if len(inputs) == 1 and inputs[0].is_file() and not reader_of(inputs[0]):
        yield from read_table(inputs[0], columns)
        return
    if len(inputs) == 2 and not any(p.is_dir() or reader_of(p) for p in inputs):
        yield from read_parallel(*inputs)
        return
    for path in inputs:
        if path.is_dir():
            yield from _read_folder(path, languages, log, columns)
        elif reader := reader_of(path):
            yield from _read_file(path, reader, languages, columns, explicit=True)
        elif not path.exists():
            raise UserError(f"cannot read {path}: no such file")
        else:
            raise UserError(
                f"{path}: a file of both languages ends in {', '.join(READERS)}; "
                "plain text needs two files, of the source and of the target"
            )


def _read_file(
    path: Path, reader: Reader, languages: tuple[str, str], columns: tuple[int, int] | None, *, explicit: bool
) -> Iterable[RawRow]:
    return read_table(path, columns) if reader is read_tsv else reader(path, languages, explicit)


def _read_folder(
    folder: Path, languages: tuple[str, str], log: Callable[[str], None], columns: tuple[int, int] | None
) -> Iterator[RawRow]:
    """Yield the pairs of all files in a folder and its subfolders.

    Raises UserError if there is no supported file, and LanguageMismatch if none is in the requested languages.
    """
    supported: list[tuple[Path, Reader]] = []
    unsupported: list[Path] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if reader := reader_of(path):
            supported.append((path, reader))
        else:
            unsupported.append(path)
    if not supported:
        raise UserError(
            f"{folder} and the folders in it have no file in a supported format: {', '.join(READERS)}, also with .gz"
        )
    if unsupported:
        suffixes = Counter(path.suffix or "without an ending" for path in unsupported).most_common(5)
        counts = ", ".join(f"{count:,} {suffix}" for suffix, count in suffixes)
        log(f"skipped in {folder}: {counts}, such as {unsupported[0].name}; supported endings: {', '.join(READERS)}")
    mismatches = []
    for path, reader in supported:
        try:
            yield from _read_file(path, reader, languages, columns, explicit=False)
        except LanguageMismatch as error:
            mismatches.append(error)
            log(f"skipped: {error}")
    if len(mismatches) == len(supported):
        raise mismatches[0]
