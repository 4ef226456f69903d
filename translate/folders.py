"""Folders that one process at a time may write."""

from __future__ import annotations

import os
from pathlib import Path

from dragoman.runtime.errors import UserError

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]


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


def hold(path: Path, doing: str, otherwise: str) -> int:
    """Hold a lock file for this process until the file that is returned is closed, or the process ends.

    Raises UserError when another process holds it, who is `doing` something; `otherwise` is what else can be done.
    (Where there are no such locks, as on Windows, nobody holds any.)
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(file, 0)
            os.write(file, f"{os.getpid()}\n".encode())
        except (BlockingIOError, PermissionError):
            holder = os.read(file, 20).decode("ascii", "replace").strip()
            os.close(file)
            raise UserError(f"{doing} by process {holder}; wait for it, or {otherwise}") from None
        except OSError:  # a full disk
            os.close(file)
            path.unlink()
            raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    return file
