"""Folders and zip archives of parallel text: files of both languages, and pairs of plain files."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dragoman.runtime.compression import without_compression
from dragoman.runtime.errors import UserError
from dragoman.runtime.foreign import check_members
from dragoman.runtime.wording import counted
from dragoman.translate.corpus.languages import matches_language
from dragoman.translate.corpus.readers.archives import hidden_part, is_hidden, is_zip, members_of, open_archive
from dragoman.translate.corpus.readers.formats import ENDINGS, ending_by_content, ending_of, has_reader, read_file
from dragoman.translate.corpus.readers.language_selection import rank_tags
from dragoman.translate.corpus.readers.parallel import check_counts, read_parallel
from dragoman.translate.corpus.readers.rows import RawRow, UnreadableRow, require_pairs

MAX_NAMED = 5  # skipped files that are named one by one

_CODE = re.compile(r"[a-zA-Z]{2,3}([-_][a-zA-Z0-9]{2,4}){0,2}")  # a language in a plain file's name

Log = Callable[[str], None]


class Item(NamedTuple):
    """A file of both languages, or a pair of plain files, and a function that yields its rows."""

    name: str
    read: Callable[[], Iterable[RawRow]]


class FolderReport:
    """A report on the files of a folder. It names the first of each kind, and counts the others."""

    def __init__(self, folder: Path, log: Log) -> None:
        self.folder, self.log = folder, log
        self.reasons: list[str] = []  # of skipped files
        self.hidden: dict[str, None] = {}  # paths that are left out, in their order
        self._counts: Counter[str] = Counter()

    def _log_first(self, kind: str, line: str) -> None:
        self._counts[kind] += 1
        if self._counts[kind] <= MAX_NAMED:
            self.log(line)

    def note(self, line: str) -> None:
        """Report a file that is read."""
        self._log_first("noted", line)

    def skip(self, reason: str, pairs: int = 0) -> None:
        """Report a file that cannot be read, or of which only some pairs could be read."""
        if pairs:
            self._log_first("read in part", f"read in part: {reason}. {_kept(pairs)}")
        else:
            self.reasons.append(reason)
            self._log_first("skipped", f"skipped: {reason}")

    def hide(self, paths: Iterable[Path]) -> None:
        """Count hidden files and folders, for `log_hidden`."""
        self.hidden.update(dict.fromkeys(str(path) for path in paths))

    def log_hidden(self) -> None:
        """Report the number of hidden files and folders."""
        if self.hidden:
            paths = "hidden file or folder" if len(self.hidden) == 1 else "hidden files and folders"
            self.log(f"skipped in {self.folder}: {len(self.hidden):,} {paths}, such as {next(iter(self.hidden))}")

    def finish(self, files: int) -> None:
        """Report the number of files of each kind, if not all were named.

        Raises UserError with the first reasons if all files were skipped.
        """
        for kind, count in self._counts.items():
            if count > MAX_NAMED:
                self.log(
                    f"{kind} in {self.folder}: {count:,} of {files:,} files; the first {MAX_NAMED} are named above"
                )
        skipped = len(self.reasons)
        if skipped and skipped == files:
            first = "; ".join(self.reasons[:MAX_NAMED])
            others = f"; and {skipped - MAX_NAMED:,} more" if skipped > MAX_NAMED else ""
            raise UserError(f"no file in {self.folder} can be read: {first}{others}" if skipped > 1 else first)


def _kept(pairs: int) -> str:
    return "Its first pair is kept." if pairs == 1 else f"Its first {pairs:,} pairs are kept."


def read_folder(
    folder: Path, languages: tuple[str, str], columns: tuple[int, int] | None, log: Log
) -> Iterator[RawRow]:
    """Yield the pairs of all files in a folder and its subfolders, or in a zip archive.

    Files that cannot be read are skipped and reported to `log`. Raises UserError if there is no file of a supported
    format, or none that can be read.
    """
    with ExitStack() as stack:
        report = FolderReport(folder, log)
        items = _find_items(folder, _files_in(folder, stack, report), languages, columns, report)
        files = len(report.reasons) + len(items)
        for item in sorted(items, key=lambda item: item.name):
            read = 0
            try:
                for row in item.read():
                    yield row
                    read += not isinstance(row, UnreadableRow)
            except UserError as error:
                report.skip(str(error), read)
        report.finish(files)


def _find_items(
    folder: Path,
    paths: Sequence[Path],
    languages: tuple[str, str],
    columns: tuple[int, int] | None,
    report: FolderReport,
) -> list[Item]:
    """Return what can be read of a folder's files, and report the endings of the others.

    An archive may hold a single file, whatever its ending. Raises UserError if there is nothing to read.
    """
    pairs, others = pair_plain_files([path for path in paths if not has_reader(path)], languages)
    items = [_item(path, languages, columns, report.note) for path in paths if has_reader(path)]
    items += [Item(str(pair[0]), partial(_read_pair, pair, languages, report.note)) for pair in pairs]
    if not items and is_zip(folder) and len(others) == 1:
        items = [_item(others.pop(), languages, columns, report.note, explicit=True)]
    such_as = f"{counted(len(others), 'other file')}, such as {others[0].name}" if others else ""
    if not (items or report.reasons):
        raise UserError(
            f"{folder}{' has' if is_zip(folder) else ' and the folders in it have'} no file in a supported format: "
            f"{ENDINGS}, also compressed; and no two plain files whose names end in .{languages[0]} and "
            f".{languages[1]}{such_as and f'; found {such_as}'}"
        )
    if others:
        endings = Counter(path.suffix or "without an ending" for path in others).most_common(5)
        counts = ", ".join(f"{count:,} {ending}" for ending, count in endings)
        report.log(f"skipped in {folder}: {counts}, such as {others[0].name}; supported endings: {ENDINGS}")
    return items


def _item(
    path: Path, languages: tuple[str, str], columns: tuple[int, int] | None, log: Log, *, explicit: bool = False
) -> Item:
    """Return a file of both languages, whose format its ending or else its content says."""

    def read() -> Iterable[RawRow]:
        ending = ending_of(path) if has_reader(path) else ending_by_content(path) or ".tsv"
        return read_file(path, ending, languages, columns, log, explicit=explicit)

    return Item(str(path), read)


def _read_pair(pair: tuple[Path, Path], languages: tuple[str, str], log: Log) -> Iterator[RawRow]:
    """Yield the pairs of two plain files. Raises UserError before the first if their lines differ in number."""
    check_counts(*pair)
    yield from require_pairs(pair[0], read_parallel(pair[0], pair[1], languages, log))


def _files_in(folder: Path, stack: ExitStack, report: FolderReport) -> list[Path]:
    """Return the files in a folder, its subfolders and zip archives in them, but not hidden ones.

    The archives stay open on the stack. Reports the number of hidden files and folders, and subfolders and archives
    that cannot be read. Raises UserError if `folder` itself cannot be read.
    """
    files = _members_in(folder, stack, report) if is_zip(folder) else _walk(folder, stack, report)
    report.log_hidden()
    return files


def _walk(folder: Path, stack: ExitStack, report: FolderReport) -> list[Path]:
    files = []

    def on_error(error: OSError) -> None:
        failure = f"cannot read {error.filename}: {error.strerror}"
        if error.filename == str(folder):
            raise UserError(failure)
        report.skip(failure)

    for parent, subfolders, names in os.walk(folder, onerror=on_error):
        report.hide(Path(parent, name) for name in sorted([*subfolders, *names]) if is_hidden(name))
        subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
        for path in (Path(parent, name) for name in sorted(names) if not is_hidden(name)):
            if not path.is_file() and path.exists():  # a pipe or a device, which could block
                report.skip(f"{path} is not a regular file")
            elif path.suffix.lower() == ".zip" and is_zip(path):
                try:
                    files += _members_in(path, stack, report)
                except UserError as error:
                    report.skip(str(error))
            else:
                files.append(path)
    return files


def _members_in(path: Path, stack: ExitStack, report: FolderReport) -> list[Path]:
    """Return the paths of the files in a zip archive that are not hidden. It stays open on the stack."""
    members = members_of(path, stack.enter_context(open_archive(path)))
    check_members(path, members)
    report.hide(path / hidden for name in members if (hidden := hidden_part(name)))
    return [path / name for name in members if not hidden_part(name)]


def pair_plain_files(paths: Sequence[Path], languages: tuple[str, str]) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Return the pairs of plain files whose names differ in the requested languages only, and the other files.

    The language is at the end of the name (`Books.de-en.de`, `news_de.txt`) or all of it (`de.txt`). An exact code wins
    over that of a variety: for `pt`, a file in `pt` over one in `pt_BR`.
    """
    groups: dict[tuple[Path, str, str], tuple[dict[str, Path], dict[str, Path]]] = defaultdict(lambda: ({}, {}))
    for path in paths:
        stem = without_compression(path.name)
        end = ".txt" if stem.lower().endswith(".txt") else ""
        stem = stem.removesuffix(stem[len(stem) - len(end) :])
        for position in (0, *(match.end() for match in re.finditer("[._-]", stem))):
            code = stem[position:]
            for side, language in enumerate(languages):
                if _CODE.fullmatch(code) and matches_language(code, language):
                    groups[path.parent, stem[:position], end][side][code] = path
    pairs: list[tuple[Path, Path]] = []
    for codes in groups.values():
        if all(codes):
            source, target = (
                side[rank_tags(sorted(side), language)[0]] for side, language in zip(codes, languages, strict=True)
            )
            pairs.append((source, target))
    paired = {path for pair in pairs for path in pair}
    return pairs, [path for path in paths if path not in paired]
