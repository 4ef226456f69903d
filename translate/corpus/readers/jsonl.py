"""JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dragoman.translate.corpus.languages import matches
from dragoman.translate.corpus.readers.raw import Raw, Unread, rows_by_line


def read_jsonl(path: Path, languages: tuple[str, str], named: bool = True) -> Iterator[Raw]:
    """An object a line, with both languages' codes as keys, or `source` and `target`; inside `translation`, too.

    Raises UserError when most lines are nothing of the kind.
    """

    def texts(line: bytes) -> Raw:
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError):
            return Unread("not JSON", line)
        inner = row.get("translation", row) if isinstance(row, dict) else None
        if isinstance(inner, dict):
            own = tuple(next((key for key in inner if matches(key, code)), code) for code in languages)
            for keys in (languages, own, ("source", "target")):
                if all(isinstance(inner.get(key), str) for key in keys):
                    return inner[keys[0]], inner[keys[1]]
        wanted = f"{languages[0]!r} and {languages[1]!r}, or 'source' and 'target'"
        return Unread(f"each line needs an object with the texts {wanted}", line)

    return rows_by_line(path, texts)
