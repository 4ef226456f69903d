"""The console: parse arguments, read standard input, report errors in one line, return an exit status."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

from dragoman.runtime.errors import Interrupted, UserError

Commands = Any  # argparse's own type for a group of subcommands is private


READ = 1 << 16  # bytes of standard input at once


def positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def not_negative(text: str) -> int:
    """A whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def chunks(stream: BinaryIO, size: int) -> Iterator[list[str]]:
    """Lines of a byte stream as text, at most `size` at once, and what there is before waiting for more.

    They are split at line feeds; invalid UTF-8 is replaced and a warning names the line.
    """
    chunk: list[str] = []
    held: list[bytes] = []  # of a line that has not ended
    number, more = 0, True
    while more:
        if chunk and not _ready(stream):
            yield chunk
            chunk = []
        read = stream.read1(READ) if isinstance(stream, io.BufferedIOBase) else stream.read(READ)
        more = bool(read)
        held.append(read)
        if more and b"\n" not in read:
            continue
        *lines, rest = b"".join(held).split(b"\n")
        if rest and not more:  # the last line need not be closed
            lines.append(rest)
        held = [rest]
        for line in lines:
            number += 1
            chunk.append(decoded(line.removesuffix(b"\r"), number))
            if len(chunk) == size:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def _ready(stream: BinaryIO) -> bool:
    """Whether reading would not wait; where that cannot be told, whether nobody is at a keyboard."""
    try:
        return bool(select.select([stream], [], [], 0)[0])
    except (OSError, ValueError, TypeError):  # no file with a number; on Windows any but a socket
        return not stream.isatty()


def decoded(line: bytes, number: int) -> str:
    """A line as text; invalid UTF-8 is replaced, with a warning."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        print(f"dragoman: line {number}: byte {error.start + 1} is not UTF-8 and was replaced", file=sys.stderr)
        return line.decode("utf-8", errors="replace")


def parser_of(program: str, description: str, groups: Sequence[Callable[[Commands], None]]) -> argparse.ArgumentParser:
    """A parser with the subcommands that each of `groups` adds."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in groups:
        add(commands)
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """`parse_args`, but TEXT may also stand after options, which argparse cannot do for a subcommand."""
    arguments, rest = parser.parse_known_args(argv)
    end = rest.index("--") if "--" in rest else len(rest)
    if rest and (not hasattr(arguments, "text") or any(word.startswith("-") for word in rest[:end])):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.text += rest[:end] + rest[end + 1 :]
    return arguments


def run_commands(
    program: str, description: str, groups: Sequence[Callable[[Commands], None]], argv: Sequence[str] | None
) -> int:
    """Parse and run one command. A user's mistake is one line on stderr and 2; Ctrl-C is 130."""
    if not sys.stdin:
        sys.stdin = open(os.devnull)  # noqa: SIM115 (until the process ends)
    if not (sys.stdout and sys.stderr):  # closed before the process began
        nowhere = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):  # what is read is UTF-8, whatever the locale; so is what is written
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")
    arguments = parse(parser_of(program, description, groups), argv)
    return _end_output(_outcome(arguments))


def _outcome(arguments: argparse.Namespace) -> int:
    try:
        code: int = arguments.run(arguments)
        return code
    except BrokenPipeError:  # who reads the output has seen enough
        return 0
    except UserError as error:
        print(f"dragoman: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if not _end_output(0):  # otherwise it was that, and is told
            # Every file that is written is named; where output is not gathered first, its error is none of a flush.
            where = error.filename or ("standard output" if error.errno == errno.ENOSPC else "")
            print(f"dragoman: {where and f'{where}: '}{error.strerror or error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(
            f"dragoman: this command needs the training extras ({error.name} is not installed): "
            "pip install '.[train]' in Dragoman's folder",
            file=sys.stderr,
        )
        return 2
    except (KeyboardInterrupt, Interrupted) as stop:
        print(f"dragoman: {str(stop) or 'interrupted'}", file=sys.stderr)
        return 130


def _end_output(code: int) -> int:
    """Write what is still to be written, while it can be told that there is no room. Returns the exit status."""
    try:
        sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # it may be no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing of it is tried again at the end
        if not isinstance(error, BrokenPipeError):
            print(f"dragoman: standard output: {error.strerror or error}", file=sys.stderr)
            return code or 2
    return code
