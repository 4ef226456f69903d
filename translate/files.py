"""Files and folders: JSON and locks."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.runtime.errors import UserError
from dragoman.runtime.files import write_atomically

if TYPE_CHECKING:
    from filelock import FileLock

LOCK = "lock"  # name of a lock file, which holds the number of the process


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write an object as indented JSON, atomically. Raises UserError."""
    write_atomically(path, _utf8_json(json.dumps(value, indent=2, ensure_ascii=False) + "\n"))


def append_row(path: Path, value: Any) -> None:  # noqa: ANN401 (any JSON value)
    """Append a line of JSON to a file. Raises UserError."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(value) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Write a JSON Lines file, atomically. Raises UserError."""
    write_atomically(path, _utf8_json("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)))


def _utf8_json(text: str) -> bytes:
    r"""Return JSON as UTF-8, in which a path that is not UTF-8 has escapes such as `\udce9`."""
    return text.encode("utf-8", "backslashreplace")


def read_rows(path: Path) -> list[Any]:
    """Read a JSON Lines file without its damaged lines, which a full disk or a power cut leaves. Raises UserError."""
    rows = []
    try:
        for line in path.read_text("utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    return rows


def make_folder(path: Path) -> None:
    """Create a folder and its parents, unless they exist. Raises UserError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        file = next((parent for parent in (path, *path.parents) if os.path.isfile(parent)), None)
        reason = f"{file} is a file" if file else error.strerror or error
        raise UserError(f"cannot create the folder {path}: {reason}") from None


def acquire_lock(path: Path, doing: str, otherwise: str) -> FileLock:
    """Lock a file until the lock is released or this process ends.

    Raises UserError when another process holds the lock, with a message of the form "{doing} by process 7; wait for it,
    or {otherwise}".
    """
    from filelock import FileLock, Timeout  # of the train extra; the command line loads this module without it

    lock = FileLock(path, blocking=False, thread_local=False)
    try:
        lock.acquire()
        try:
            path.write_text(f"{os.getpid()}\n")
        except OSError:  # a full disk
            lock.release()
            path.unlink(missing_ok=True)
            raise
    except Timeout:
        holder = "another process"
        with contextlib.suppress(OSError):  # on Windows, nobody can read a locked file
            holder = f"process {path.read_text('ascii', 'replace').strip()}"
        raise UserError(f"{doing} by {holder}; wait for it, or {otherwise}") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    return lock
