"""Output files: atomic writes, locks, links, devices and pipes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dragoman.runtime.errors import UserError

STREAMS = {"stdout": 1, "stderr": 2}  # names in /dev, and their file descriptors


def real_path(path: str | Path) -> Path:
    """Return the absolute path without symbolic links. Unlike Path.resolve, it accepts a link that leads to itself."""
    return Path(os.path.realpath(path))


def is_same_file(path: str | Path, other: str | Path) -> bool:
    """Return True if two paths lead to one file, which need not exist, also through links."""
    if real_path(path) == real_path(other):
        return True
    return os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)


def descriptor_of(path: Path) -> int | None:
    """Return the open file descriptor that a path such as /dev/stdout or /dev/fd/3 stands for, or None.

    Opening the path again would overwrite a redirected file from its start.
    """
    if path.name in STREAMS and path.parent == Path("/dev"):
        return STREAMS[path.name]
    is_numbered = str(path.parent) in ("/dev/fd", "/proc/self/fd") and path.name.isdecimal()
    return int(path.name) if is_numbered else None


def is_device(path: Path) -> bool:
    """Return True for a device or pipe, such as /dev/null and /dev/stdout, which no other file can replace."""
    return descriptor_of(path) is not None or (path.exists() and not real_path(path).is_file())


def open_device(path: Path) -> BinaryIO:
    """Open a device or pipe for writing."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # keep the order of output
        stream.flush()
    descriptor = descriptor_of(path)
    return open(path if descriptor is None else os.dup(descriptor), "wb")


def lock_output(file: BinaryIO, path: Path) -> None:
    """Lock an open file that belongs to the output `path`. Raises UserError if another process has locked it.

    Windows has no such lock.
    """
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process is writing {path}; wait for it, or name another file") from None


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file completely, or keep what was there before. Raises UserError."""
    with atomic_writer(path) as file:
        file.write(data)


def replace_folder(folder: Path, new: Path) -> None:
    """Let the folder `new` take the place of `folder`, which is on the same disk and need not exist. Raises OSError.

    An earlier folder is moved aside before, and removed afterwards. It comes back if that fails.
    """
    if not folder.exists():
        new.rename(folder)
        return
    import tempfile  # imported here, because few commands replace a folder

    with tempfile.TemporaryDirectory(prefix=f"{new.name}.", dir=new.parent, ignore_cleanup_errors=True) as aside:
        earlier = Path(aside, folder.name)
        folder.rename(earlier)
        try:
            new.rename(folder)
        except BaseException:
            earlier.rename(folder)
            raise


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` once the block ends without an error. Raises UserError.

    The data is on disk before the replacement. A symbolic link keeps pointing where it did. Devices and pipes, such as
    /dev/null and /dev/stdout, are written to directly; /dev/stdout may be a file.
    """
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; name a file")
    target = real_path(path)
    try:
        if is_device(path):
            with open_device(path) as file:
                yield file
            return
        temporary = target.with_name(target.name + ".part")
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
