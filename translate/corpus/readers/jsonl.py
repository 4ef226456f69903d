"""Parallel text in JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dragoman.translate.corpus.readers.language_selection import rank_tags
from dragoman.translate.corpus.readers.legacy_encodings import checked_lines
from dragoman.translate.corpus.readers.rows import RawRow, UnreadableRow, check_rows


def read_jsonl(
    path: Path,
    languages: tuple[str, str],
    explicit: bool = True,
    log: Callable[[str], None] = lambda _: None,
) -> Iterator[RawRow]:
    """Yield the pairs of a file with an object a line.

    The keys of the texts are language tags, or `source` and `target`. They may be nested under `translation`. Raises
    UserError if most lines are in another form.
    """

    def parse(line: bytes) -> RawRow:
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError):
            return UnreadableRow("not JSON", line)
        texts = value.get("translation", value) if isinstance(value, dict) else None
        if isinstance(texts, dict):
            varieties = tuple(next(iter(rank_tags(texts, code)), code) for code in languages)
            for source, target in (languages, varieties, ("source", "target")):
                if isinstance(texts.get(source), str) and isinstance(texts.get(target), str):
                    return texts[source], texts[target]
        keys = f"{languages[0]!r} and {languages[1]!r}, or 'source' and 'target'"
        return UnreadableRow(f"each line needs an object with the texts {keys}", line)

    lines = enumerate(checked_lines(path, languages, log), 1)
    return check_rows(path, ((number, parse(line)) for number, line in lines if line.strip()))
