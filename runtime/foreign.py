"""Formats that are recognised to be refused, and what to do about each where parallel text is read."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from dragoman.runtime.compression import without_compression
from dragoman.runtime.errors import UserError


class Foreign(NamedTuple):
    """A format that no reader reads."""

    description: str
    remedy: str
    endings: tuple[str, ...]
    magic: bytes | None = None  # a pattern of its first bytes


WORD = Foreign(
    "is a text document", "save it as plain text in UTF-8, a sentence a line, one file for each language",
    (".docx", ".odt", ".doc", ".rtf"),
)  # fmt: skip
SPREADSHEET = Foreign(
    "is a spreadsheet", "save it as CSV in UTF-8, or as text with tabs (.tsv)", (".xlsx", ".ods", ".xls")
)
TAR = Foreign(
    "is a tar archive", "unpack it with `tar xf` and name the folder", (".tar", ".tgz", ".tbz", ".tbz2", ".txz"),
    rb"(?=.{0,100}\0).{257}ustar[\0 ]",
)  # fmt: skip
JSON = Foreign("is JSON in one piece", "write an object a line (.jsonl), such as with `jq -c '.[]'`", (".json",))

FOREIGN = (
    WORD,
    SPREADSHEET,
    TAR,
    JSON,
    Foreign(
        "is compressed with zstd", "decompress it with `zstd -d`, or use gzip, xz, bzip2 or zip", (".zst",),
        rb"\x28\xb5\x2f\xfd",
    ),
    Foreign("is compressed with lz4", "decompress it with `lz4 -d`", (".lz4",), rb"\x04\x22\x4d\x18"),
    Foreign("is compressed with lzma", "decompress it with `xz -d`", (".lzma",), rb"\x5d\0\0[\0\x80]"),
    Foreign("is a 7z archive", "unpack it with `7z x` and name the folder", (".7z",), rb"7z\xbc\xaf\x27\x1c"),
    Foreign("is a RAR archive", "unpack it and name the folder", (".rar",), rb"Rar!\x1a\x07"),
    Foreign(
        "is a PDF document", "save its text in UTF-8, a sentence a line, one file for each language", (".pdf",),
        rb"%PDF-[12]\.[0-9]",
    ),
    Foreign(
        "is a document of Microsoft Office", "save a text as plain text and a spreadsheet as CSV, both in UTF-8", (),
        rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    ),
    Foreign(
        "is a database, as Trados keeps translation memories in", "export it as TMX", (".sdltm", ".sqlite"),
        rb"SQLite format 3\0",
    ),
    Foreign("is a term base (TBX)", "export it as TMX, or as text with tabs (.tsv)", (".tbx",)),
    Foreign(
        "is a web page", "save its text in UTF-8, a sentence a line, one file for each language",
        (".html", ".htm", ".xhtml"),
    ),
)  # fmt: skip

# Endings of further files that are no lines of text to translate: what translators, offices and programs exchange.
MARKUP = (
    ".tmx", ".xlf", ".xliff", ".sdlxliff", ".mqxliff", ".mxliff", ".po", ".pot", ".ts", ".resx", ".xml",
    ".srt", ".vtt", ".ass", ".ssa", ".yaml", ".yml", ".properties", ".strings", ".stringsdict",
    ".arb", ".tex", ".ipynb", ".svg", ".toml",
)  # fmt: skip
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
BINARY = (
    ".mo", ".qm", ".zip", ".z", ".br", ".lz", ".lzo", ".zstd", ".cab", ".jar", ".whl", ".epub", ".mobi",
    ".docm", ".dotx", ".odp", ".ppt", ".pptx", ".pptm", ".xlsm", ".xlsb", ".pages", ".numbers", ".key", ".idml",
    ".indd", ".onnx", ".safetensors", ".pt", ".pth", ".npy", ".npz", ".parquet", ".arrow", ".pkl", ".model", ".bin",
    ".db", ".mp3", ".mp4", ".wav", ".ogg", ".png", ".jpg", ".jpeg", ".gif", ".webp",
)  # fmt: skip

MAGIC = [(re.compile(form.magic, re.DOTALL), form) for form in FOREIGN if form.magic]
MAGIC_BYTES = 512  # the first bytes that show a format


def refuse(path: str | Path, form: Foreign, remedy: str = "") -> UserError:
    """Return the error about a file in a foreign format. remedy: another one than for parallel text."""
    return UserError(f"{path} {form.description}; {remedy or form.remedy}")


def check_start(path: str | Path, start: bytes, remedy: str = "") -> None:
    """Raise UserError, with the remedy if it is given, if the first MAGIC_BYTES of a file show a foreign format."""
    if form := next((form for pattern, form in MAGIC if pattern.match(start)), None):
        raise refuse(path, form, remedy)


def foreign_by_name(path: Path) -> Foreign | None:
    """Return the foreign format that a file's ending says, or None."""
    ending = Path(without_compression(path.name)).suffix.lower()
    return next((form for form in FOREIGN if ending in form.endings), None)


def is_no_text(ending: str) -> bool:
    """Return True if a file's ending, such as .docx, says that it is no lines of text and no table of them."""
    known = {*MARKUP, *BINARY, *(ending for form in FOREIGN for ending in form.endings)}
    return ending in known.difference(TABLES)


def check_members(path: str | Path, members: Collection[str]) -> None:
    """Raise UserError if a zip archive is a document of an office program, by the paths of its files."""
    if {"[Content_Types].xml", "META-INF/manifest.xml"} & {*members}:  # of Microsoft's and of OpenDocument's formats
        is_spreadsheet = any(name.startswith("xl/") for name in members) or Path(path).suffix.lower() == ".ods"
        raise refuse(path, SPREADSHEET if is_spreadsheet else WORD)
