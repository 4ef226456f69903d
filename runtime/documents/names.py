"""Names of the formats of documents, apart from the code that reads them, so that the command line stays quick."""

from __future__ import annotations

import argparse
from pathlib import Path

from dragoman.runtime.errors import UserError

# Formats by name, with their endings.
ENDINGS: dict[str, tuple[str, ...]] = {
    "text": (".txt", ".text"),
    "markdown": (".md", ".markdown", ".mdx", ".mkd"),
    "html": (".html", ".htm", ".xhtml"),
    "srt": (".srt",),
    "vtt": (".vtt",),
    "po": (".po", ".pot"),
    "xliff": (".xlf", ".xliff"),
    "json": (".json", ".jsonl", ".ndjson", ".arb", ".webmanifest"),
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "docx": (".docx", ".docm", ".dotx"),
    "odt": (".odt", ".ott"),
}
FORMAT_NAMES = tuple(ENDINGS)


def format_by_ending(path: str | Path) -> str:
    """Return the name of a file's format by its ending, or nothing for another ending."""
    ending = Path(path).suffix.lower()
    return next((name for name, endings in ENDINGS.items() if ending in endings), "")


def check_lines(a: argparse.Namespace) -> None:
    """Raise UserError for an option of documents where the input is lines of text."""
    name = a.input or ("TEXT" if a.text else "standard input")
    for option in ("keys", "columns", "fuzzy", "encoding", "drop_tags", "report"):
        if getattr(a, option):
            raise UserError(
                f"--{option.replace('_', '-')}: {name} is no document, but lines of text; name its format with "
                "--format, or leave this option out"
            )


def is_document(a: argparse.Namespace) -> bool:
    """Return whether the input of `dragoman translate` is a document, not lines of text."""
    name = a.format or (format_by_ending(a.input) if a.input else "")
    return name not in ("", "text")
