"""Output of commands that read lines: standard output, or a file that an interrupted command can continue.

A file is written beside its place, as FILE.partial, and takes the place when it is complete. FILE.partial.json, its
journal, says what it depends on and how far it is complete.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from dragoman.runtime.compression import ENDINGS, without_compression
from dragoman.runtime.errors import Interrupted, UserError
from dragoman.runtime.files import is_device, lock_output, open_device, real_path
from dragoman.runtime.foreign import is_no_text
from dragoman.runtime.wording import counted

CHECKPOINT_SECONDS = 10.0  # of work that is lost at most when the machine fails


class Output(Protocol):
    """A destination of the results of lines.

    Attributes:
        n_lines: Input lines whose results an earlier command wrote.
        digest: SHA-256 of these lines.
    """

    n_lines: int
    digest: str

    def write(self, text: str, n_lines: int, digest: str) -> None:
        """Write the results of the next lines: their number, and the digest of all lines so far."""
        ...


class StreamOutput:
    """An output to a stream, which shows results at once and cannot be continued."""

    n_lines, digest = 0, ""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream

    def write(self, text: str, n_lines: int, digest: str) -> None:
        """Write results; see Output."""
        if self._stream is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            self._stream.write(_encode(text))
            self._stream.flush()


class PartialOutput:
    """An output file that is not complete yet."""

    def __init__(self, path: Path, facts: dict[str, Any], *, resume: bool) -> None:
        """Open or continue the partial file. Raises UserError if it cannot be used or depends on other facts."""
        self._path, self._facts = path, facts
        self._partial, self._journal = partial_paths(path)
        self._compress = compressor(path)
        self.n_lines, self.digest = 0, ""
        self._consistent = True  # False while results are being written, and after an error in it
        self._member: BinaryIO | None = None  # the part of a compressed file that follows the last checkpoint
        is_new = not self._partial.exists()
        self._file = open(self._partial, "a+b")  # noqa: SIM115 (closed by `finish` or `keep`)
        try:
            lock_output(self._file, path)
            self._continue(resume)
            self._checkpoint()
        except BaseException:
            self._file.close()
            if is_new:
                self._partial.unlink(missing_ok=True)
            raise

    def _continue(self, resume: bool) -> None:
        """Cut the partial file off after the results that the journal vouches for. Raises UserError.

        With `resume`, but without results to continue, the output starts anew, and a message says why.
        """
        size = os.fstat(self._file.fileno()).st_size
        journal = self._read_journal()
        if journal is None:
            if size:
                raise self._foreign(self._partial)
            if resume:
                self._warn_of_start(f"there is no {self._partial} to continue")
            return
        n_lines = journal["lines"] if size else 0
        if resume and not n_lines:
            self._warn_of_start(
                f"{self._partial} is missing or empty"
                if journal["lines"]
                else f"the interrupted command had not yet saved a line in {self._partial}"
            )
        if n_lines and not resume:
            raise UserError(
                f"{self._partial} holds the results of {counted(n_lines, 'line')} from an interrupted command; go on "
                "with --resume, or remove that file"
            )
        if n_lines and journal["facts"] != self._facts:
            keys = [key for key in self._facts if journal["facts"].get(key) != self._facts[key]]
            raise UserError(
                f"{self._partial} was made with another {' and '.join(keys)}; repeat the command that was interrupted, "
                "or remove that file"
            )
        if n_lines and journal["bytes"] > size:
            raise UserError(f"{self._partial} has lost its end since the interruption; remove it, and start again")
        if n_lines:
            self.n_lines, self.digest = n_lines, journal["digest"]
        self._file.truncate(journal["bytes"] if n_lines else 0)

    def _warn_of_start(self, reason: str) -> None:
        print(f"dragoman: --resume: {reason}, so {self._path} starts at the first line", file=sys.stderr)

    def _read_journal(self) -> dict[str, Any] | None:
        """Return the journal, or None if there is none. Raises UserError for another file of that name."""
        try:
            journal = json.loads(self._journal.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            journal = None
        if not isinstance(journal, dict) or journal.keys() != {"lines", "bytes", "digest", "facts"}:
            raise self._foreign(self._journal)
        return journal

    def _foreign(self, path: Path) -> UserError:
        return UserError(
            f"{path} was not left by an interrupted command, and would be overwritten; move it away, or name another "
            "output file"
        )

    def write(self, text: str, n_lines: int, digest: str) -> None:
        """Write results; see Output. Raises UserError, for example when the disk is full."""
        try:
            self._consistent = False
            if self._compress and self._member is None:
                self._member = self._compress(self._file)
            (self._member or self._file).write(_encode(text))
            self.n_lines += n_lines
            self.digest = digest
            self._consistent = True
            if time.monotonic() >= self._next_checkpoint:
                self._checkpoint()
        except OSError as error:
            raise UserError(f"cannot write {self._path}: {error.strerror or error}") from None

    def _checkpoint(self) -> None:
        """Bring all results to the disk, then the journal that vouches for them."""
        size = self._flush()
        journal = {"lines": self.n_lines, "bytes": size, "digest": self.digest, "facts": self._facts}
        temporary = self._journal.with_name(self._journal.name + ".part")
        try:
            temporary.write_text(json.dumps(journal))
            os.replace(temporary, self._journal)
        finally:
            temporary.unlink(missing_ok=True)
        self._next_checkpoint = time.monotonic() + CHECKPOINT_SECONDS

    def _flush(self) -> int:
        """Bring all results to the disk, and return the size of the partial file."""
        self._consistent = False  # nothing can be known about a file whose flush fails
        if self._member:
            self._member.close()  # further results go to another member
            self._member = None
        self._file.flush()
        os.fsync(self._file.fileno())
        self._consistent = True
        return os.fstat(self._file.fileno()).st_size

    def finish(self) -> None:
        """Move the complete file to its place. Raises UserError."""
        try:
            if not self._flush() and self._compress:
                self._compress(self._file).close()  # a compressed file without lines is not empty
            self._file.close()
            os.replace(self._partial, real_path(self._path))
            with contextlib.suppress(OSError):
                self._journal.unlink()
        except OSError as error:
            raise UserError(f"cannot write {self._path}: {error.strerror or error}") from None

    def keep(self) -> bool:
        """Keep the results so far for `--resume`, and return True; or remove the partial file if there are none."""
        with contextlib.suppress(OSError):
            if self._consistent and not self._file.closed:
                self._checkpoint()
        with contextlib.suppress(OSError, ValueError):
            self._file.close()
        with contextlib.suppress(OSError):  # the file was complete and has taken its place
            self.n_lines = json.loads(self._journal.read_bytes())["lines"]
            if self.n_lines:
                return True
            self._partial.unlink(missing_ok=True)
            self._journal.unlink()
        return False


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # JSON may name a file whose name is not UTF-8


def partial_paths(path: Path) -> tuple[Path, Path]:
    """Return the paths of an output file's partial file and of its journal."""
    target = real_path(path)
    return target.with_name(target.name + ".partial"), target.with_name(target.name + ".partial.json")


def compressor(path: Path) -> Callable[[BinaryIO], BinaryIO] | None:
    """Return a function that compresses what is written to a file, by the ending of its name, or None."""
    # Imported here, because most commands do not need them.
    ending = path.suffix.lower()
    if ending == ".gz":
        import gzip

        return lambda file: cast(BinaryIO, gzip.GzipFile("", "wb", fileobj=file, mtime=0))
    if ending == ".bz2":
        import bz2

        return lambda file: cast(BinaryIO, bz2.BZ2File(file, "wb"))
    if ending == ".xz":
        import lzma

        return lambda file: cast(BinaryIO, lzma.LZMAFile(file, "wb"))
    return None


@contextlib.contextmanager
def open_output(path: str | None, facts: dict[str, Any], *, resume: bool) -> Iterator[Output]:
    """Open the output of a command: a file, or standard output for None.

    facts: all that the results depend on besides the input. If the block ends early, the results so far are kept.
    Raises UserError for a file that cannot be written, and Interrupted in place of KeyboardInterrupt.
    """
    if path is None:
        yield StreamOutput()
        return
    try:
        if is_device(Path(path)):
            with open_device(Path(path)) as device:
                compress = compressor(Path(path))
                yield StreamOutput(compress(device) if compress else device)
            return
        output = PartialOutput(Path(path), facts, resume=resume)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
    try:
        yield output
        output.finish()
    except BaseException as error:
        if not output.keep():
            raise
        message = str(error) if isinstance(error, UserError) else "interrupted"
        note = f"{message}; repeat the command with --resume to go on after line {output.n_lines:,}"
        if isinstance(error, UserError):
            raise UserError(note) from None
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(note) from None
        raise


def check_output(path: str | None, inputs: list[str], *, resume: bool, is_text: bool = True) -> None:
    """Raise UserError, before any work is done, for an output file that cannot be written or is an input.

    is_text: the output is lines of text, which the ending of its name must not contradict.
    """
    if path is None:
        if resume:
            raise UserError("--resume continues a file; name it with --out")
        return
    if not path:
        raise UserError("--out '' names no file; give a name, such as out.txt")
    out = Path(path)
    if out.is_dir():
        raise UserError(f"--out {path} is a folder; name a file")
    if is_device(out):
        if resume:
            raise UserError(f"--resume: {path} is no file that could be continued")
        return
    if is_text:
        check_is_text("--out", path)
    folder = real_path(out).parent
    if not folder.is_dir():
        raise UserError(f"--out {path}: there is no folder {out.parent}; make it first")
    if not os.access(folder, os.W_OK):
        raise UserError(f"--out {path}: the folder {out.parent} cannot be written to; name another one")
    for source in inputs:
        for used in (out, *partial_paths(out)):
            if used.exists() and os.path.exists(source) and os.path.samefile(used, source):
                raise UserError(f"--out {path} would overwrite {source}; name another file")


def check_is_text(option: str, path: str, *, compresses: bool = True) -> None:
    """Raise UserError if the ending of an output file promises something else than is written: lines of text."""
    name = Path(path).name
    ending = Path(without_compression(name) if compresses else name).suffix.lower()
    if is_no_text(ending) or ending in ENDINGS:
        compressed = f", or any of these with {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} to compress it"
        raise UserError(
            f"{option} {path}: the output is plain text, which a file that ends in {ending} is not; name it .txt, .tsv "
            f"or .jsonl{compressed if compresses else ''}"
        )
