"""Parallel text in two plain files, of the source and of the target."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path

from dragoman.runtime.errors import UserError
from dragoman.runtime.wording import counted
from dragoman.translate.corpus.readers.legacy_encodings import checked_lines
from dragoman.translate.corpus.readers.lines import read_byte_lines
from dragoman.translate.corpus.readers.rows import RawRow


def read_parallel(
    source: str | Path,
    target: str | Path,
    languages: tuple[str, ...] = (),
    log: Callable[[str], None] = lambda _: None,
) -> Iterator[RawRow]:
    """Yield the pairs of two files, where line N of one translates line N of the other. They may be pipes.

    `languages` are those of the pair, if known. Raises UserError at the end if one file has more lines.
    """
    counts = [0, 0]
    lines = (checked_lines(path, languages[i : i + 1], log) for i, path in enumerate((source, target)))
    for source_line, target_line in zip_longest(*lines):
        counts[0] += source_line is not None
        counts[1] += target_line is not None
        if counts == [1, 1] and source_line.startswith(b"<?xml") and target_line.startswith(b"<?xml"):
            raise UserError(f"{source} and {target} are XML; plain text has a sentence a line, and TMX ends in .tmx")
        if counts[0] == counts[1]:
            yield source_line, target_line
    check_counts(source, target, counts)


def check_counts(source: str | Path, target: str | Path, counts: list[int] | None = None) -> None:
    """Raise UserError unless two files have the same number of lines, which are counted if they are not given."""
    source_lines, target_lines = counts or [sum(1 for _ in read_byte_lines(path)) for path in (source, target)]
    if source_lines != target_lines:
        raise UserError(
            f"{source} has {counted(source_lines, 'line')} and {target} has {target_lines:,}: "
            "both need the same number of lines, where line N of one translates line N of the other"
        )
