"""Atomic writes, JSON rows, folders and their locks."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from dragoman.runtime.errors import UserError

STREAMS = {"stdout": 1, "stderr": 2}  # of /dev, and their descriptors


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file, or leave what was there before. Raises UserError."""
    with written(path) as file:
        file.write(data)


@contextlib.contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file that is written beside, made durable, then renamed. Raises UserError; what fails leaves what was there.

    A link stays one. What is no file, as /dev/null and pipes are, is written to, and stays as well; so is /dev/stdout,
    which may be a file.
    """
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; name a file")
    given, path = path, real(path)
    descriptor = descriptor_of(given)
    try:
        if descriptor is not None or (given.exists() and not path.is_file()):
            for stream in filter(None, (sys.stdout, sys.stderr)):  # what was printed comes first
                stream.flush()
            with open(given if descriptor is None else os.dup(descriptor), "wb") as file:
                yield file
            return
        beside = path.with_name(path.name + ".part")
        try:
            with open(beside, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {given}: {error.strerror or error}") from None


def descriptor_of(path: Path) -> int | None:
    """The file that /dev/stdout, /dev/fd/3 and such stand for, which is open: opened anew, it would start again."""
    if path.name in STREAMS and path.parent == Path("/dev"):
        return STREAMS[path.name]
    named = str(path.parent) in ("/dev/fd", "/proc/self/fd") and path.name.isdecimal()
    return int(path.name) if named else None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """`write_atomically` for an object, indented for people."""
    write_atomically(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def append_row(path: Path, value: Any) -> None:  # noqa: ANN401 (whatever JSON can say)
    """Add a line of JSON to a file. Raises UserError."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(value) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Write a file of JSON, one row a line. Raises UserError."""
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())


def read_rows(path: Path) -> list[Any]:
    """The lines of JSON in a file; one that was cut by a full disk or a power cut is left out. Raises UserError."""
    rows = []
    try:
        for line in path.read_text("utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    return rows


LOCK = "lock"  # the file that names the process


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises UserError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {path}: {error.strerror or error}") from None


def real(path: str | Path) -> Path:
    """Where a path leads, absolute and without links; one that leads to itself stays as it is."""
    return Path(os.path.realpath(path))


def hold(path: Path, doing: str, otherwise: str) -> FileLock:
    """Hold a lock file for this process until the lock is released, or the process ends.

    Raises UserError when somebody else holds it. The message says what they are `doing` and what the user can do
    `otherwise`.
    """
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
        with contextlib.suppress(OSError):  # Windows lets nobody read a locked file
            holder = f"process {path.read_text('ascii', 'replace').strip()}"
        raise UserError(f"{doing} by {holder}; wait for it, or {otherwise}") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    return lock
