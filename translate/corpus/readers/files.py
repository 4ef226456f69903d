"""Parallel text from any input: two plain files, files of both languages, folders, zip archives, and pipes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj

from dragoman.runtime.errors import UserError
from dragoman.runtime.foreign import JSON, foreign_by_name, refuse
from dragoman.translate.corpus.readers.archives import is_zip, path_exists
from dragoman.translate.corpus.readers.folders import Log, read_folder
from dragoman.translate.corpus.readers.formats import ENDINGS, ending_by_content, ending_of, has_reader, read_file
from dragoman.translate.corpus.readers.parallel import read_parallel
from dragoman.translate.corpus.readers.rows import RawRow


def read_files(
    paths: Iterable[str],
    languages: tuple[str, str],
    log: Log = lambda _: None,
    columns: tuple[int, int] | None = None,
) -> Iterator[RawRow]:
    """Yield the pairs of a source and a target file, or of any number of files and folders that hold both languages.

    Zip archives are read like folders, and pipes like files. A single file without a known ending is read by its
    content, or else as a table. `columns` are those of tables, if not the first two or those that a header names.

    Files that a folder holds in other languages or formats are skipped and reported to `log`, as are those that cannot
    be read. Raises UserError for any other input, and for named files that are not valid.
    """
    inputs = [Path(path) for path in paths]
    if len(inputs) == 2 and not any(path.is_dir() or has_reader(path) or is_zip(path) for path in inputs):
        for path in inputs:
            _check_ending(path)
        source, target = inputs
        yield from read_parallel(source, target, languages, log)
        return
    for path in inputs:
        if _is_stream(path):
            yield from _read_stream(path, languages, log, columns, is_only=len(inputs) == 1)
        else:
            yield from _read_input(path, languages, log, columns, is_only=len(inputs) == 1)


def _read_input(
    path: Path, languages: tuple[str, str], log: Log, columns: tuple[int, int] | None, *, is_only: bool
) -> Iterator[RawRow]:
    """Yield the pairs of a file of both languages, a folder or an archive. `is_only`: it is the only input."""
    if not path_exists(path):
        raise UserError(f"cannot read {path}: no such file")
    if path.is_dir() or is_zip(path):
        yield from read_folder(path, languages, columns, log)
        return
    if has_reader(path):
        ending: str | None = ending_of(path)
    else:
        _check_ending(path)
        ending = ending_by_content(path)
    if not (ending or is_only):
        raise UserError(
            f"{path}: a file of both languages ends in {ENDINGS}; "
            "plain text needs two files, of the source and of the target"
        )
    yield from read_file(path, ending or ".tsv", languages, columns, log, explicit=True)


def _check_ending(path: Path) -> None:
    """Raise UserError if a file's ending is that of a format that cannot be read. Some .json is JSON Lines."""
    form = foreign_by_name(path)
    if form and not (form is JSON and ending_by_content(path)):
        raise refuse(path, form)


def _is_stream(path: Path) -> bool:
    """Return True for a pipe, a socket or a device, which can be read only once."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _read_stream(
    path: Path, languages: tuple[str, str], log: Log, columns: tuple[int, int] | None, *, is_only: bool
) -> Iterator[RawRow]:
    """Yield the pairs of a stream like `_read_input`, from a temporary copy. Its content alone shows its format."""
    with _copied(path) as copy:

        def rename(text: str) -> str:
            return text.replace(str(copy), str(path))

        try:
            yield from _read_input(copy, languages, lambda line: log(rename(line)), columns, is_only=is_only)
        except UserError as error:
            raise UserError(rename(str(error))) from None


@contextmanager
def _copied(path: Path) -> Iterator[Path]:
    """Copy a stream to a temporary file. Raises UserError."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        try:
            with open(path, "rb") as stream, open(copy, "wb") as file:
                copyfileobj(stream, file)
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from None
        yield copy
