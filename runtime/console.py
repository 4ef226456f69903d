"""The command line: parse arguments, report errors in one line, return an exit status."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from dragoman.runtime.errors import Interrupted, UserError

Commands = Any  # argparse's type for a group of subcommands is private

THREADS_HELP = "threads of ONNX Runtime, from 1 to 1024, or 0 for one per core (default: 1)"  # help of --threads


def positive(text: str) -> int:
    """Return an argument as a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def server_url(text: str) -> str:
    """Return the URL of a server, without a slash at its end. Raises argparse.ArgumentTypeError."""
    if re.fullmatch(r"https?://(?:\[[\da-fA-F:.]+\]|[^\s/?#@\[\]:]+)(?::\d+)?(?:/[^\s?#]*)?", text):
        return text.rstrip("/")
    raise argparse.ArgumentTypeError(f"{text!r} is no URL of a server, such as https://example.org/mt")


def not_negative(text: str) -> int:
    """Return an argument as a whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


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


class _StoreOnce(argparse.Action):
    """An option with a value, or an argument. argparse's own action forgets the earlier values of a repeated option."""

    _filled: argparse.Namespace | None = None  # the arguments that an option of theirs has filled

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:  # fmt: skip
        """Store the value. Exit with status 2 if the option was given before."""
        if option_string and self._filled is namespace:
            parser.error(f"{option_string} is given twice, and takes effect once; leave one of them out")
        if option_string:
            self._filled = namespace
        setattr(namespace, self.dest, values)


class _Parser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line and takes an option once. Its subparsers do, too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (argparse's own arguments)
        super().__init__(*args, **kwargs)
        for name in (None, "store"):
            self.register("action", name, _StoreOnce)

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
    options = [word for word in remaining[:end] if word.startswith("-") and word != "-"]
    if remaining and (options or not hasattr(arguments, "text")):
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Input is read as UTF-8 in every locale, so output is UTF-8, too. A path that is not UTF-8 has escapes such
            # as \udce9, which are also those of JSON.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
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
    except UnicodeEncodeError as error:
        names = re.findall(r"[^\s\"',:;]*[\ud800-\udfff][^\s\"',:;]*", error.object)
        print(f"dragoman: {names[0]} is not UTF-8 and cannot be used here; rename it", file=sys.stderr)
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
