"""Zip archives as folders: `books.zip/Books.de-en.de` is the path of a member."""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast
from zipfile import BadZipFile, ZipFile, ZipInfo

from dragoman.runtime.compression import check_expansion
from dragoman.runtime.errors import UserError
from dragoman.runtime.lines import ZIP

# Errors of the standard library about damaged archives, and about methods of compression that it lacks.
ZIP_ERRORS = (BadZipFile, NotImplementedError, EOFError, zlib.error, lzma.LZMAError)
DIRECTORY_ERRORS = (*ZIP_ERRORS, ValueError, IndexError, OverflowError, struct.error)

# What macOS and Windows add to folders and archives. All that begins with a dot is hidden, too.
SYSTEM_NAMES = {"__macosx", "thumbs.db", "desktop.ini"}

IS_ENCRYPTED = 1  # a bit of ZipInfo.flag_bits

_open_archives: dict[Path, ZipFile] = {}


def is_zip(path: Path) -> bool:
    """Return True if a regular file is a zip archive, by its first bytes."""
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            return file.read(4) in ZIP
    except OSError:
        return False


@contextmanager
def open_archive(path: Path, file: IO[bytes] | None = None) -> Iterator[ZipFile]:
    """Open an archive, or the one in `file`. A block inside that opens the same path shares it.

    So the directory of an archive is read once, not for each of its members. Raises UserError for a damaged archive.
    """
    if path in _open_archives:
        yield _open_archives[path]
        return
    try:
        archive = ZipFile(file or path)
    except DIRECTORY_ERRORS as error:
        raise UserError(f"cannot read {path}: its zip data is damaged or truncated ({error})") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    with archive:
        _open_archives[path] = archive
        try:
            yield archive
        finally:
            del _open_archives[path]


def is_hidden(name: str) -> bool:
    """Return True for the name of a file or folder that is hidden, or that an operating system adds."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def hidden_part(name: str) -> str | None:
    """Return the path of a member up to its first hidden part, or None if it has none."""
    parts = name.split("/")
    return next(("/".join(parts[: i + 1]) for i, part in enumerate(parts) if is_hidden(part)), None)


def visible_members(path: Path, archive: ZipFile) -> dict[str, ZipInfo]:
    """Return the files of an archive that are not hidden by their path in it. See `members_of`."""
    return {name: info for name, info in members_of(path, archive).items() if not hidden_part(name)}


def members_of(path: Path, archive: ZipFile) -> dict[str, ZipInfo]:
    """Return the files of an archive by their path in it. Raises UserError for a decompression bomb."""
    members = {}
    for info in archive.infolist():
        parts = [part for part in info.filename.split("/") if part not in ("", ".")]
        if not info.is_dir() and parts and ".." not in parts:
            members["/".join(parts)] = info
    infos = members.values()
    check_expansion(path, sum(info.compress_size for info in infos), sum(info.file_size for info in infos))
    return dict(sorted(members.items()))


def path_exists(path: str | Path) -> bool:
    """Return True if a path is that of a file, a folder, a pipe, or a member of a zip archive that exists."""
    return Path(path).exists() or split_member_path(Path(path)) is not None


def split_member_path(path: Path) -> tuple[Path, str] | None:
    """Split the path of a member into the path of its archive and its path in that, or return None."""
    archive = next((parent for parent in path.parents if parent in _open_archives or is_zip(parent)), None)
    return (archive, path.relative_to(archive).as_posix()) if archive else None


@contextmanager
def open_member(path: Path, archive_path: Path, name: str) -> Iterator[io.BufferedIOBase]:
    """Open a member. Raises UserError if it is absent, encrypted or damaged, also while it is read."""
    with open_archive(archive_path) as archive:
        info = members_of(archive_path, archive).get(name)
        if info is None:
            raise UserError(f"cannot read {path}: {archive_path} has no such file")
        with open_info(path, archive, info) as file:
            yield file


@contextmanager
def open_info(path: Path, archive: ZipFile, info: ZipInfo) -> Iterator[io.BufferedIOBase]:
    """Open a member that is named `path` in errors. See `open_member`."""
    if info.flag_bits & IS_ENCRYPTED:
        raise UserError(f"cannot read {path}: it is encrypted; unzip it with its password")
    try:
        with archive.open(info) as file:
            yield cast(io.BufferedIOBase, file)
    except NotImplementedError:
        raise UserError(
            f"cannot read {path}: its zip data is compressed with another method than deflate, bzip2 or lzma; unzip it"
        ) from None
    except ZIP_ERRORS as error:
        raise UserError(f"cannot read {path}: its zip data is damaged or truncated ({error})") from None
