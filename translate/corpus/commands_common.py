"""Options and output that the kinds of `dragoman corpus` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.runtime.console import Commands, not_negative
from dragoman.runtime.errors import UserError

if TYPE_CHECKING:
    from dragoman.translate.corpus.folder import SplitsAndCard

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


def write_and_report(
    out: str, languages: tuple[str, str], build: Callable[[Path], SplitsAndCard], *inputs: str
) -> dict[str, Any]:
    """Build and write a corpus, print the number of pairs in each split and of dropped pairs, and return its card.

    `build` receives a folder for temporary files. It is called once it is certain that `out` can be written.
    """
    from dragoman.translate.corpus.folder import sorted_drops, write_pairs

    with reported_corpus(out, languages, *inputs) as partial:
        card = write_pairs(partial, languages, *build(partial))
    print(f"{out}: {format_counts(card['pairs'])}")
    for reason, count in sorted_drops(card["dropped"]):
        print(f"  dropped {count:,}: {reason}")
    if unescaped := card.get("unescaped"):
        print(f"  unescaped {unescaped:,}: pairs with entities of HTML or Moses")
    return card


@contextmanager
def reported_corpus(out: str, extensions: tuple[str, ...], *inputs: str) -> Iterator[Path]:
    """Yield the folder to write a corpus into (see `new_corpus`), and report if it replaces a different text."""
    from dragoman.translate.corpus.folder import Corpus, new_corpus

    def digest(folder: str | Path) -> str | None:
        try:
            return Corpus(folder).digest()
        except UserError:
            return None

    with new_corpus(out, extensions, *inputs) as partial:
        earlier = digest(out)
        yield partial
        is_other_text = earlier not in (None, digest(partial))
    if is_other_text:
        log(f"dragoman: {out} held other text; a run that was started on it keeps its copy, but cannot be resumed")


def format_counts(counts: dict[str, int]) -> str:
    """Return the number of rows of each split as text."""
    return ", ".join(f"{count:,} {split}" for split, count in counts.items())


def log(line: str) -> None:
    """Print a line to standard error."""
    print(line, file=sys.stderr)
