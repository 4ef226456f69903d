"""The command `dragoman`: the subcommands of the three packages, and `--version`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from dragoman.export import commands as export_commands
from dragoman.runtime import commands as runtime_commands
from dragoman.runtime import console
from dragoman.translate import commands as translate_commands

GROUPS = (translate_commands.add_commands, export_commands.add_commands, runtime_commands.add_commands)
DESCRIPTION = "Train a small recurrent translator on your own parallel text and run it as one ONNX file on any CPU."


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    return console.parser_of("dragoman", DESCRIPTION, GROUPS)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Return the arguments of a command line, without running it."""
    return console.parse(parser(), argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command `dragoman` and return its exit status."""
    return console.run_commands("dragoman", DESCRIPTION, GROUPS, argv)
