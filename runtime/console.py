"""The command line: parse arguments, read standard input, report errors in one line, return an exit status."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, NoReturn

from dragoman.runtime.errors import Interrupted, UserError

Commands = Any  # argparse's type for a group of subcommands is private

THREADS_HELP = "threads of ONNX Runtime, from 1 to 1024, or 0 for one per core (default: 1)"  # help of --threads
READ_SIZE = 1 << 16  # bytes of standard input read at once


def positive(text: str) -> int:
    """Return an argument as a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def not_negative(text: str) -> int:
    """Return an argument as a whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def read_line_batches(stream: BinaryIO, max_lines: int) -> Iterator[list[str]]:
    """Yield the lines of a byte stream in lists of at most `max_lines`, without waiting while there are lines.

    Lines end at line feeds alone. Invalid UTF-8 is replaced, with a warning that names the line.
    """
    lines: list[str] = []
    unfinished: list[bytes] = []  # the beginning of a line whose end has not been read
    number, more = 0, True
    while more:
        if lines and not _is_ready(stream):
            yield lines
            lines = []
        data = stream.read1(READ_SIZE) if isinstance(stream, io.BufferedIOBase) else stream.read(READ_SIZE)
        more = bool(data)
        unfinished.append(data)
        if more and b"\n" not in data:
            continue
        *finished, last = b"".join(unfinished).split(b"\n")
        if last and not more:  # the last line of a stream need not end in a line feed
            finished.append(last)
        unfinished = [last]
        for line in finished:
            number += 1
            lines.append(decode_lenient(line.removesuffix(b"\r"), number))
            if len(lines) == max_lines:
                yield lines
                lines = []
    if lines:
        yield lines


def _is_ready(stream: BinaryIO) -> bool:
    """Return True if a read returns at once. Without select support: True unless the stream is a terminal."""
    try:
        return bool(select.select([stream], [], [], 0)[0])
    except (OSError, ValueError, TypeError):  # the stream has no file number, or is no socket on Windows
        return not stream.isatty()


def decode_lenient(line: bytes, number: int) -> str:
    """Return a line as text. Invalid UTF-8 is replaced by U+FFFD, with a warning."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        print(f"dragoman: line {number}: byte {error.start + 1} is not UTF-8 and was replaced", file=sys.stderr)
        return line.decode("utf-8", errors="replace")


def version_line() -> str:
    """Return the versions of dragoman, Python, onnxruntime and, if it is installed, torch, in one line.

    The versions come from the packages' metadata, so that none of them is imported.
    """
    # Imported here, because they are slow and only `--version` needs them.
    from importlib.metadata import PackageNotFoundError, version

    import dragoman

    versions = [f"dragoman {dragoman.__version__}", f"Python {sys.version.split()[0]}"]
    for package in ("onnxruntime", "torch"):
        with contextlib.suppress(PackageNotFoundError):
            versions.append(f"{package} {version(package)}")
    return ", ".join(versions)


class _VersionAction(argparse.Action):
    """The option `--version`. Unlike argparse's own, it looks the versions up only if the option is given."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(version_line())
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line. Its subparsers do, too."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and how to see what is right, and exit with 2."""
        program = self.prog.split()[0]
        self.exit(2, f"{program}: {message}; see `{self.prog} --help`\n")


def parser_of(program: str, description: str, groups: Sequence[Callable[[Commands], None]]) -> argparse.ArgumentParser:
    """Return a parser with the option `--version` and the subcommands that each of `groups` adds."""
    parser = _Parser(
        prog=program,
        description=description,
        epilog=f"`{program} COMMAND --help` explains a command. Results go to standard output, progress and errors to "
        "standard error. Exit status: 0 success, 1 `verify` found a difference, 2 a mistake in the input, "
        "130 interrupted.",
    )
    parser.add_argument(
        "--version", action=_VersionAction, help="print the versions of dragoman, Python, onnxruntime and torch"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add_commands in groups:
        add_commands(commands)
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse arguments like `parse_args`, but let TEXT also follow options.

    In a subcommand, argparse does not do so itself.
    """
    arguments, remaining = parser.parse_known_args(argv)
    end = remaining.index("--") if "--" in remaining else len(remaining)
    if remaining and (not hasattr(arguments, "text") or any(word.startswith("-") for word in remaining[:end])):
        parser.error(f"unrecognized arguments: {' '.join(remaining)}")
    if remaining:
        arguments.text += remaining[:end] + remaining[end + 1 :]
    return arguments


def run_commands(
    program: str, description: str, groups: Sequence[Callable[[Commands], None]], argv: Sequence[str] | None
) -> int:
    """Parse and run one command, and return its exit status.

    A mistake of the user is one line on standard error and status 2; Ctrl-C is status 130.
    """
    if not sys.stdin:
        sys.stdin = open(os.devnull)  # noqa: SIM115 (open until the process ends)
    if not (sys.stdout and sys.stderr):  # closed before the process began
        null = open(os.devnull, "w")  # noqa: SIM115 (open until the process ends)
        sys.stdout, sys.stderr = sys.stdout or null, sys.stderr or null
    for stream in (sys.stdout, sys.stderr):  # input is read as UTF-8 in every locale, so output is UTF-8, too
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")
    arguments = parse(parser_of(program, description, groups), argv)
    return _flush_output(_run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    """Run the command of parsed arguments and return its exit status; print expected errors in one line."""
    try:
        status: int = arguments.run(arguments)
        return status
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it
        return 0
    except UserError as error:
        print(f"dragoman: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        # If the output cannot be flushed either, that was the error, and _flush_output has printed it. Otherwise an
        # error without a file name is of standard output if it has no room: every other written file has a name.
        if not _flush_output(0):
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
    except (KeyboardInterrupt, Interrupted) as interruption:
        print(f"dragoman: {str(interruption) or 'interrupted'}", file=sys.stderr)
        return 130


def _flush_output(status: int) -> int:
    """Flush standard output, report a failure, and return the exit status.

    Python flushes at exit, too, but then an error would be a traceback and would not change the exit status.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):  # standard output may be no file
            # Let the flush at exit succeed.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"dragoman: standard output: {error.strerror or error}", file=sys.stderr)
            return status or 2
    return status
