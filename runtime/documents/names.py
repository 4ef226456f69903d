"""Names of the formats of documents, apart from the code that reads them, so that the command line stays quick."""

from __future__ import annotations

import argparse
from pathlib import Path

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
}
FORMAT_NAMES = tuple(ENDINGS)


def format_by_ending(path: str | Path) -> str:
    """Return the name of a file's format by its ending, or nothing for another ending."""
    ending = Path(path).suffix.lower()
    return next((name for name, endings in ENDINGS.items() if ending in endings), "")


def is_document(a: argparse.Namespace) -> bool:
    """Return whether the input of `dragoman translate` is a document, not lines of text."""
    name = a.format or (format_by_ending(a.input) if a.input else "")
    return name not in ("", "text")
