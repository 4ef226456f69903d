"""Journal of a document's translation: the results so far, from which an interrupted command can continue.

It is FILE.partial, a JSON Lines file beside the output FILE: a header that says what the results depend on, then a line
for each batch of segments. A line that an interruption cut off is ignored.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from dragoman.runtime.documents.translation import Problem
from dragoman.runtime.errors import UserError
from dragoman.runtime.files import lock_output
from dragoman.runtime.output import partial_paths


class Entry(NamedTuple):
    """The result of a segment as the document spells it.

    Attributes:
        replacement: The text that replaces the segment; None if the source stays.
        text: The translation without tags, or the source.
        problems: Findings about the segment.
    """

    replacement: str | None
    text: str
    problems: tuple[Problem, ...]


class Journal:
    """The journal of one output file.

    Attributes:
        entries: The results of the first segments.
    """

    def __init__(self, path: Path, facts: dict[str, Any], *, resume: bool) -> None:
        """Open the journal of an output file. Raises UserError if one is there that must not be continued.

        facts: all that the results depend on.
        """
        self.entries: list[Entry] = []
        self._output, self._path = path, partial_paths(path)[0]
        self._file: BinaryIO | None = None
        try:
            self._open(facts, resume)
        except UserError:
            self._close()
            raise
        except OSError as error:
            self._close()
            raise UserError(f"cannot write {error.filename or path}: {error.strerror or error}") from None

    def _open(self, facts: dict[str, Any], resume: bool) -> None:
        self._file = open(self._path, "a+b")  # noqa: SIM115 (closed by `_close`)
        lock_output(self._file, self._output)
        self._file.seek(0)
        size = self._read(self._file.read(), facts, resume)
        if resume and not self.entries:
            reason = f"there is no {self._path} to continue"
            print(f"dragoman: --resume: {reason}, so {self._output} starts at the first segment", file=sys.stderr)
        self._file.truncate(size)
        if not size:
            self._write({"facts": facts})

    def _read(self, data: bytes, facts: dict[str, Any], resume: bool) -> int:
        """Take the entries of an earlier command from the journal's data, and return the size of its valid part."""
        lines = data.splitlines(keepends=True)
        header: dict[str, Any] | None = _parsed(lines[0]) if lines else None
        is_header = isinstance(header, dict) and header.keys() == {"facts"} and isinstance(header["facts"], dict)
        if lines and not is_header:
            raise UserError(
                f"{self._path} was not left by an interrupted command, and would be overwritten; move it away, or name "
                "another output file"
            )
        if len(lines) < 2 or header is None:
            return 0
        if not resume:
            raise UserError(
                f"{self._path} holds the results of an interrupted command; go on with --resume, or remove that file"
            )
        if header["facts"] != facts:
            keys = [key for key in facts if header["facts"].get(key) != facts[key]]
            raise UserError(
                f"{self._path} was made with another {' and '.join(keys)}; repeat the command that was interrupted, or "
                "remove that file"
            )
        size = len(lines[0])
        for line in lines[1:]:
            batch = _entries(_parsed(line)) if line.endswith(b"\n") else None
            if batch is None:
                break
            self.entries += batch
            size += len(line)
        return size

    def add(self, entries: Sequence[Entry]) -> None:
        """Add the results of the next segments. Raises UserError, for example when the disk is full."""
        batch = [
            (entry.replacement, entry.text, [(problem.kind, problem.message) for problem in entry.problems])
            for entry in entries
        ]
        try:
            self._write(batch)
        except OSError as error:
            raise UserError(f"cannot write {self._output}: {error.strerror or error}") from None
        self.entries += entries

    def _write(self, value: Any) -> None:  # noqa: ANN401 (any JSON value)
        assert self._file
        self._file.write(json.dumps(value).encode() + b"\n")
        self._file.flush()

    def keep(self) -> bool:
        """Close the journal after an error, and return whether it holds results. Without results, remove it."""
        self._close()
        if not self.entries:
            self._remove()
        return bool(self.entries)

    def finish(self) -> None:
        """Remove the journal of an output that is complete."""
        self._close()
        self._remove()

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            if self._file:
                self._file.close()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()


def _parsed(line: bytes) -> Any:  # noqa: ANN401 (any JSON value, or None)
    """Return the value of a line of JSON, or None if it is damaged."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _entries(batch: Any) -> list[Entry] | None:  # noqa: ANN401 (any JSON value, or None)
    """Return the entries of a batch, or None if it is damaged."""
    entries = []
    try:
        for replacement, text, problems in batch:
            found = tuple(Problem(kind, message) for kind, message in problems)
            entries.append(Entry(replacement, text, found))
            strings = [text, *(string for problem in found for string in (problem.kind, problem.message))]
            strings += [] if replacement is None else [replacement]
            if not all(isinstance(string, str) for string in strings):
                return None
    except (TypeError, ValueError):
        return None
    return entries
