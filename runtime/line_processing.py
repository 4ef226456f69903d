"""The way of lines through a command: from TEXT, a file or standard input, to standard output or a file."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shlex
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from dragoman.runtime.compression import without_compression
from dragoman.runtime.errors import UserError
from dragoman.runtime.foreign import TABLES, is_no_text
from dragoman.runtime.lines import read_line_batches, utf8_chunks
from dragoman.runtime.output import Output, check_output, open_output
from dragoman.runtime.process_pool import ordered_map_of
from dragoman.runtime.progress import ProgressLine, progress_line
from dragoman.runtime.wording import counted

STANDARD_INPUT = "standard input"
BATCHES_AT_ONCE = 16  # whose texts are sorted together, so that each batch can have texts of similar length
MAX_WARNINGS = 10  # of one kind; further ones are counted
SAMPLE = 4096  # bytes of a file's start
MAX_ZEROS = 0.01  # a larger share of zero bytes in them is that of a binary file


class LineWarnings:
    """Warnings about lines on stderr: the first of each kind one by one, the others as a number."""

    def __init__(self, clear: Callable[[], None] = lambda: None) -> None:
        """Take a function that clears the terminal's line first."""
        self._counts: Counter[str] = Counter()
        self._clear = clear

    def warn(self, number: int, problem: str, kind: str | None = None) -> None:
        """Warn about a line. kind: the problem without its particulars, for the count."""
        kind = kind or problem
        self._counts[kind] += 1
        if self._counts[kind] <= MAX_WARNINGS:
            self._print(f"line {number:,}: {problem}")

    def finish(self) -> None:
        """Print the number of warnings that were not printed."""
        for kind, count in self._counts.items():
            if count > MAX_WARNINGS:
                more = count - MAX_WARNINGS
                self._print(f"{more:,} more {'line' if more == 1 else 'lines'}: {kind}")

    def _print(self, message: str) -> None:
        self._clear()
        print(f"dragoman: {message}", file=sys.stderr)


Compute = Callable[[Sequence[str]], Sequence[Any]]  # returns a result for each text

# A function that returns the output for texts and their results. The first text has the given number.
Render = Callable[[Sequence[str], Sequence[Any], int, LineWarnings], str]


def decode_lenient(line: bytes, number: int, warnings: LineWarnings) -> str:
    """Return a line as text. Invalid UTF-8 is replaced by U+FFFD, with a warning."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        kind = "bytes that are not UTF-8 were replaced"
        warnings.warn(number, f"byte {error.start + 1} is not UTF-8 and was replaced", kind)
        return line.decode("utf-8", errors="replace")


def check_files(a: argparse.Namespace, *, is_text: bool = True) -> None:
    """Raise UserError, before any work is done, for an input or output file that cannot be used.

    is_text: the output is lines of text.
    """
    if a.input == "-":
        a.input = None
    elif a.input is not None:
        if a.text:
            raise UserError(f"--in {a.input}: give a file or {a.text_name}, not both")
        if not a.input:
            raise UserError("--in '' names no file; give a file, or leave --in out to read standard input")
        if os.path.isdir(a.input):
            raise UserError(f"--in {a.input} is a folder; name a file")
        if not os.access(a.input, os.R_OK):
            raise UserError(f"cannot read {a.input}: {'no permission' if os.path.exists(a.input) else 'no such file'}")
    if "-" in a.text:
        if len(a.text) > 1:
            raise UserError(f"- stands for standard input; give it without another {a.text_name}")
        a.text = []
    if a.out == "-":
        a.out = None
    check_output(a.out, [a.model, *([a.input] if a.input else a.text)], resume=a.resume, is_text=is_text)


def check_texts(a: argparse.Namespace) -> None:
    """Raise UserError, before any work is done, for an input that is no text."""
    if a.input:
        _check_lines(a.input)
    for text in a.text:
        check_is_no_file(
            text, f"to read its lines, give --in {text}", "to read the name itself, give it on standard input"
        )


def check_is_no_file(text: str, remedy: str, otherwise: str) -> None:
    """Refuse a text that is the name of a file and looks like one; mention a file of any other name.

    Nobody wants to translate `notes.txt`. A word may be the name of a file by accident.
    """
    try:
        is_file = os.path.isfile(text)
    except ValueError:  # a null character
        return
    if is_file:
        message = f"{text} is a file; {remedy}"
        if re.search(r"[/\\]|\.\w+$", text) and not re.search(r"\s", text):
            raise UserError(f"{message}; {otherwise}")
        print(f"dragoman: {message}", file=sys.stderr)


def _check_lines(path: str) -> None:
    """Raise UserError if a file is no plain text, by its ending or its start. A pipe has neither."""
    if not os.path.isfile(path):
        return
    ending = Path(without_compression(Path(path).name)).suffix.lower()
    if is_no_text(ending) or ending in TABLES:
        raise _no_lines(path, f"a file that ends in {ending} is not")
    with open_input(path) as file:
        start = next(utf8_chunks(file, path), b"")
    if start[:SAMPLE].count(0) > MAX_ZEROS * len(start[:SAMPLE]):
        raise _no_lines(path, "this file is not: it has zero bytes, as binary files have")
    if markup := re.match(rb"\s*<(\?xml|!doctype)\b", start, re.IGNORECASE):
        raise _no_lines(path, f"this file is not: it begins with {markup[0].decode().strip()}")


def _no_lines(path: str, reason: str) -> UserError:
    return UserError(
        f"--in {path}: --in takes plain text, one text a line, and {reason}; for a document in a known format, use "
        f"`dragoman translate --format`, or give its lines as they are with `< {shlex.quote(path)}`"
    )


def process_lines(a: argparse.Namespace, facts: dict[str, Any], compute: Compute, render: Render) -> None:
    """Write the results of all texts of a command.

    facts: all that they depend on besides the texts. compute: it must be possible to pickle it, if the command uses
    several processes.
    """
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(open_output(a.out, facts, resume=a.resume))
        if a.text:
            _process_batches([[*map(os.fsencode, a.text)]], a.text_name, output, partial(map, compute), render)
            return
        name = a.input or STANDARD_INPUT
        stream = stack.enter_context(open_input(a.input)) if a.input else sys.stdin.buffer
        batches = read_line_batches(stream, a.batch_size * BATCHES_AT_ONCE, name)
        computed = stack.enter_context(ordered_map_of(compute, a.processes))
        if not (a.input or a.out) or (a.out is None and sys.stdout.isatty()):
            _process_batches(batches, name, output, computed, render)
            return
        size = os.fstat(stream.fileno()).st_size if a.input else 0
        line = stack.enter_context(progress_line(name, size))

        def progress(n_lines: int) -> None:
            line.detail = counted(n_lines, "line")
            line(stream.tell() if size else n_lines)

        _process_batches(batches, name, output, computed, render, progress, line)


def open_input(path: str) -> BinaryIO:
    """Open a file for reading. Raises UserError."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None


def _process_batches(
    batches: Iterable[list[bytes]],
    name: str,
    output: Output,
    computed: Callable[[Iterable[Sequence[str]]], Iterator[Sequence[Any]]],
    render: Render,
    progress: Callable[[int], None] = lambda _: None,
    line: ProgressLine | None = None,
) -> None:
    """Write the results of lines that the output does not hold yet. computed: returns the results of batches."""
    warnings = LineWarnings(line.clear if line else lambda: None)
    digest = hashlib.sha256()
    number = output.n_lines
    pending: deque[tuple[list[bytes], list[str]]] = deque()  # batches whose results are not there yet

    def texts_of_batches() -> Iterator[list[str]]:
        first = number + 1
        for lines in _skip_done(batches, output, digest, name):
            progress(number)
            texts = [decode_lenient(line, n, warnings) for n, line in enumerate(lines, first)]
            pending.append((lines, texts))
            first += len(lines)
            yield texts

    for results in computed(texts_of_batches()):
        lines, texts = pending.popleft()
        text = render(texts, results, number + 1, warnings)
        _update(digest, lines)
        number += len(lines)
        output.write(text, len(lines), digest.hexdigest())
    warnings.finish()


def _skip_done(
    batches: Iterable[list[bytes]], output: Output, digest: Any, name: str  # noqa: ANN401 (hashlib's type is private)
) -> Iterator[list[bytes]]:  # fmt: skip
    """Yield the lines that follow those in the output. Raises UserError if the earlier ones have changed."""
    n_done = left = output.n_lines
    for batch in batches:
        done, lines = batch[:left], batch[left:]
        left -= len(done)
        _update(digest, done)
        if done and not left and digest.hexdigest() != output.digest:
            raise UserError(
                f"the first {'line' if n_done == 1 else f'{n_done:,} lines'} of {name} "
                f"{'has' if n_done == 1 else 'have'} changed since the interruption; remove the partial file, and "
                "start again"
            )
        if lines:
            yield lines
    if left:
        raise UserError(
            f"{name} has {counted(n_done - left, 'line')}, and {n_done:,} {'was' if n_done == 1 else 'were'} read "
            "before the interruption; remove the partial file, and start again"
        )


def _update(digest: Any, lines: Sequence[bytes]) -> None:  # noqa: ANN401 (hashlib's type is private)
    for line in lines:
        digest.update(line + b"\n")
