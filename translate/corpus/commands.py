"""The command `dragoman corpus` and its kinds of corpora."""

from __future__ import annotations

from dragoman.runtime.console import Commands
from dragoman.translate.corpus.commands_generated import add_algorithm, add_cldr
from dragoman.translate.corpus.commands_labelled import add_classes, add_tags
from dragoman.translate.corpus.commands_parallel import add_files, add_libreoffice, add_multi30k, add_reversed
from dragoman.translate.corpus.commands_series import add_series


def add_commands(commands: Commands) -> None:
    """Register `corpus`."""
    p = commands.add_parser("corpus", help="build a corpus folder", description="Build a corpus folder to train on.")
    kinds = p.add_subparsers(metavar="KIND", required=True)
    add_cldr(kinds)
    add_files(kinds)
    add_libreoffice(kinds)
    add_multi30k(kinds)
    add_classes(kinds)
    add_tags(kinds)
    add_algorithm(kinds)
    add_series(kinds)
    add_reversed(kinds)
