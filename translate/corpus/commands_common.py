"""Options and output that the kinds of `dragoman corpus` share."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from dragoman.runtime.console import Commands, not_negative

if TYPE_CHECKING:
    from dragoman.translate.corpus.folder import Splits

# The default of --valid and --test for all kinds but `series`; see split.hold_out.
HELD_OUT_DEFAULT = "(default: 1000, or a tenth of a small corpus)"


def add_kind(kinds: Commands, name: str, description: str) -> argparse.ArgumentParser:
    """Add the parser of one kind and return it."""
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=description, description=description)
    return parser


def add_pair(p: argparse.ArgumentParser) -> None:
    """Add `--pair`."""
    p.add_argument("--pair", required=True, metavar="XX-YY", help="source and target language, such as en-de")


def add_out(p: argparse.ArgumentParser) -> None:
    """Add `--out`."""
    p.add_argument("--out", required=True, metavar="DIR", help="the folder to write")


def add_seed(p: argparse.ArgumentParser) -> None:
    """Add `--seed`."""
    p.add_argument("--seed", type=not_negative, default=1, metavar="N", help="random seed (default: 1)")


def write_and_report(out: str, languages: tuple[str, str], splits: Splits, card: dict[str, Any]) -> int:
    """Write a corpus, and print the number of pairs in each split and of dropped pairs. Returns the exit status."""
    from dragoman.translate.corpus.folder import write_corpus

    counts = write_corpus(out, languages, splits, card)
    print(f"{out}: {format_counts(counts)}")
    for reason, count in sorted(card["dropped"].items(), key=lambda item: -item[1]):
        print(f"  dropped {count:,}: {reason}")
    return 0


def format_counts(counts: dict[str, int]) -> str:
    """Return the number of rows of each split as text."""
    return ", ".join(f"{count:,} {split}" for split, count in counts.items())


def log(line: str) -> None:
    """Print a line to standard error."""
    print(line, file=sys.stderr)
