"""Readers of parallel text by file name, and folders of such files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.languages import known, matches, pair_of
from dragoman.translate.corpus.readers.direction import OtherLanguages
from dragoman.translate.corpus.readers.gettext import read_po
from dragoman.translate.corpus.readers.jsonl import read_jsonl
from dragoman.translate.corpus.readers.raw import Raw, read_parallel
from dragoman.translate.corpus.readers.table import read_table, read_tsv
from dragoman.translate.corpus.readers.tmx import read_tmx
from dragoman.translate.corpus.readers.xliff import read_xliff

# A file's pairs, its languages given; and whether the file itself was named, so that what it does not say of its
# languages is as asked, and not found in a folder of many.
Reader = Callable[[Path, tuple[str, str], bool], Iterable[Raw]]


READERS: dict[str, Reader] = {
    ".tsv": read_tsv, ".jsonl": read_jsonl, ".tmx": read_tmx, ".xlf": read_xliff, ".xliff": read_xliff,
    ".po": read_po, ".mo": read_po,
}  # fmt: skip


def reader_of(path: Path) -> Reader | None:
    """The reader of a file that holds both languages, by its name; None for others."""
    return READERS.get(Path(path.name.lower().removesuffix(".gz")).suffix)


def check_endings(paths: Sequence[str], languages: tuple[str, str], say: Callable[[str], None]) -> None:
    """Raise UserError for `my.en my.de` as de-en: a model would learn the wrong direction. Other languages are told."""
    endings = [Path(path.removesuffix(".gz")).suffix[1:] for path in paths]
    if len(endings) == 2 and (endings[0] == endings[1] or not all(map(known, endings))):  # `my.en.txt my.de.txt`
        endings = [_told(path, languages) for path in paths]
    if len(endings) != 2 or endings[0] == endings[1] or not all(endings):
        return

    def fit(given: Sequence[str]) -> bool:
        pairs = [*zip(languages, given, strict=True)]  # `pt-en` may be written in my.pt_BR, and `pt_BR-en` in my.pt
        return all(matches(language, ending) or matches(ending, language) for language, ending in pairs)

    if fit(endings):
        return
    if fit(endings[::-1]):
        raise UserError(f"{' and '.join(paths)} are named {pair_of(*endings)}, and --pair says {pair_of(*languages)}")
    say(f"{' and '.join(paths)} are taken for {pair_of(*languages)}, as --pair says, whatever their names")


def _told(path: str, languages: tuple[str, str]) -> str:
    """The one of two languages that is part of a file's name; nothing for none or both."""
    parts = re.split(r"[\W_]+", Path(path).name.lower())
    named = [language for language in languages if any(known(part) and matches(part, language) for part in parts)]
    return named[0] if len(named) == 1 else ""


def read_files(
    paths: Iterable[str],
    languages: tuple[str, str],
    say: Callable[[str], None] = lambda _: None,
    columns: tuple[int, int] | None = None,
) -> Iterator[Raw]:
    """The pairs of a source and a target file, or of any number of files and folders that hold both languages.

    A folder may hold files of other languages, too, which are left out and told to `say`. columns: of tables, where
    they are not the first two. Raises UserError for anything else, or what a reader cannot read.
    """
    given = [Path(p) for p in paths]

    def read(path: Path, reader: Reader, named: bool) -> Iterable[Raw]:
        return read_table(path, columns) if reader is read_tsv else reader(path, languages, named)

    if len(given) == 1 and given[0].is_file() and not reader_of(given[0]):
        yield from read_table(given[0], columns)
        return
    if len(given) == 2 and not any(p.is_dir() or reader_of(p) for p in given):
        yield from read_parallel(*given)
        return
    for path in given:
        if path.is_dir():
            every = [p for p in sorted(path.rglob("*")) if p.is_file()]
            files = [p for p in every if reader_of(p)]
            if not files:
                raise UserError(f"{path} holds no file that ends in {', '.join(READERS)}")
            if unread := [p for p in every if not reader_of(p)]:
                kinds = Counter(p.suffix or "without an ending" for p in unread).most_common(5)
                found = ", ".join(f"{count:,} {kind}" for kind, count in kinds)
                say(f"left out of {path}: {found}, such as {unread[0].name}; what is read ends in {', '.join(READERS)}")
            others = []
            for file in files:
                try:
                    yield from read(file, cast(Reader, reader_of(file)), False)
                except OtherLanguages as error:
                    others.append(error)
                    say(f"left out: {error}")
            if len(others) == len(files):
                raise others[0]
        elif reader := reader_of(path):
            yield from read(path, reader, True)
        elif not path.exists():
            raise UserError(f"cannot read {path}: there is no such file")
        else:
            raise UserError(
                f"{path}: a file of both languages ends in {', '.join(READERS)}; "
                "plain text takes two files, the source's and the target's"
            )
