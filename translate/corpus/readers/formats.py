"""The reader of each file that holds both languages, by its ending or its content."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from dragoman.runtime.compression import without_compression
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.readers.catalogues import MO_MAGIC
from dragoman.translate.corpus.readers.csv_table import read_csv
from dragoman.translate.corpus.readers.gettext import read_po
from dragoman.translate.corpus.readers.jsonl import read_jsonl
from dragoman.translate.corpus.readers.lines import open_unpacked
from dragoman.translate.corpus.readers.rows import RawRow, require_pairs
from dragoman.translate.corpus.readers.tmx import read_tmx
from dragoman.translate.corpus.readers.tsv import read_table
from dragoman.translate.corpus.readers.xliff import read_xliff


class Reader(Protocol):
    """A reader of files that declare their languages."""

    def __call__(
        self, path: Path, languages: tuple[str, str], explicit: bool, log: Callable[[str], None]
    ) -> Iterable[RawRow]:
        """Yield the pairs of a file.

        `explicit` is True if the user named the file itself. Languages that it does not declare are then as requested.
        It is False for a file found in a folder, which may hold files of many languages.
        """


class TableReader(Protocol):
    """A reader of tables."""

    def __call__(
        self,
        path: Path,
        languages: tuple[str, str],
        columns: tuple[int, int] | None,
        log: Callable[[str], None],
    ) -> Iterable[RawRow]:
        """Yield two columns of a table, which are the usual ones if `columns` is None."""


READERS: dict[str, Reader] = {
    ".jsonl": read_jsonl, ".tmx": read_tmx, ".xlf": read_xliff, ".xliff": read_xliff, ".sdlxliff": read_xliff,
    ".mxliff": read_xliff, ".mqxliff": read_xliff, ".po": read_po, ".mo": read_po,
}  # fmt: skip
TABLE_READERS: dict[str, TableReader] = {".tsv": read_table, ".csv": read_csv}
ENDINGS = ", ".join([*TABLE_READERS, *READERS])  # for messages

PO_START = re.compile(r"(?:[ \t\r]*(?:#[^\n]*)?\n)*[ \t]*msg(?:ctxt|id)\s")
XML_START = re.compile(r"\s*<[?!a-zA-Z]")
XML_ROOT = re.compile(r"<(?:\w+:)?(tmx|xliff)\b", re.IGNORECASE)


def ending_of(path: Path) -> str:
    """Return a file's ending in lower case, without that of a compression format."""
    return Path(without_compression(path.name.lower())).suffix


def has_reader(path: Path) -> bool:
    """Return True if a file's ending is that of a format that holds both languages."""
    return ending_of(path) in READERS.keys() | TABLE_READERS.keys()


def ending_by_content(path: Path) -> str | None:
    """Return the usual ending of a file's format by its first bytes, or None for plain text and tables.

    Raises UserError for XML of another format.
    """
    with open_unpacked(path) as file:
        start = file.read(4096)
    if start.startswith(MO_MAGIC):
        return ".mo"
    is_utf16 = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = start.decode("utf-16" if is_utf16 else "utf-8-sig", "replace")
    if XML_START.match(text):
        if root := XML_ROOT.search(text):
            return {"tmx": ".tmx", "xliff": ".xlf"}[root[1].lower()]
        if re.match(r"\s*<(\?xml|!doctype|html)", text, re.IGNORECASE):
            raise UserError(f"{path} is XML or HTML, but neither TMX nor XLIFF; convert it to one of these, or to .tsv")
    if PO_START.match(text):
        return ".po"
    return ".jsonl" if re.match(r'\s*\{[ \t]*"', text) else None


def read_file(
    path: Path,
    ending: str,
    languages: tuple[str, str],
    columns: tuple[int, int] | None,
    log: Callable[[str], None],
    *,
    explicit: bool,
) -> Iterator[RawRow]:
    """Yield the pairs of a file in the format with an ending. Raises UserError if there is no pair."""
    if table_reader := TABLE_READERS.get(ending):
        rows = table_reader(path, languages, columns, log)
    else:
        rows = READERS[ending](path, languages, explicit, log)
    return require_pairs(path, rows)
