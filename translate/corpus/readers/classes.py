"""Texts with a class each, in tables of label, tab, text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dragoman.runtime.errors import UserError
from dragoman.runtime.wording import counted
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.corpus.readers.lines import decode_strict
from dragoman.translate.corpus.readers.tsv import table_rows


def read_classes(path: str | Path) -> Iterator[Pair]:
    """Yield the texts of a table, each paired with its label. Fields may be quoted as spreadsheets do.

    Raises UserError with the line if a label is missing, or if there are further columns.
    """
    for number, fields in table_rows(Path(path)):
        label, *texts = (decode_strict(field, path, number) for field in fields)
        if not label.strip() and not any(text.strip() for text in texts):
            continue
        if not texts or not label.strip():
            raise UserError(f"{path}, line {number:,}: each line needs label, tab, text")
        while len(texts) > 1 and not texts[-1].strip():
            texts.pop()
        if len(texts) > 1:
            raise UserError(
                f"{path}, line {number:,} has {counted(1 + len(texts), 'column')}; keep two: label, tab, text"
            )
        yield Pair(texts[0], " ".join(label.split()))
