"""The kinds of `dragoman corpus` that generate pairs: phrases and algorithmic tasks."""

from __future__ import annotations

import argparse

from dragoman.runtime.console import Commands, positive
from dragoman.translate.corpus.commands_common import add_kind, add_out, add_pair, add_seed, write_and_report


def add_cldr(kinds: Commands) -> None:
    """Register `dragoman corpus cldr`."""
    p = add_kind(kinds, "cldr", "Generate phrases in any pair of CLDR's languages: dates, quantities, money, names.")
    add_pair(p)
    add_out(p)
    p.add_argument("--size", type=positive, default=40000, metavar="N", help="training pairs (default: 40000)")
    add_seed(p)
    p.set_defaults(run=corpus_cldr)


def corpus_cldr(a: argparse.Namespace) -> int:
    """Run `dragoman corpus cldr`."""
    from dragoman.translate.corpus.builders.cldr import build_cldr
    from dragoman.translate.corpus.languages import parse_pair

    languages = parse_pair(a.pair)
    held_out = min(1000, max(1, a.size // 10))
    write_and_report(a.out, languages, lambda _: build_cldr(languages, a.size, held_out, held_out, a.seed))
    return 0


def add_algorithm(kinds: Commands) -> None:
    """Register `dragoman corpus algorithm`."""
    p = add_kind(
        kinds, "algorithm",
        "Generate copy, reverse, sort or add tasks; the test set has longer inputs than training.",
    )  # fmt: skip
    p.add_argument(
        "name", choices=("copy", "reverse", "sort", "add"), help="the task; add: the sum of two numbers, digit by digit"
    )
    p.add_argument("--size", type=positive, default=20000, metavar="N", help="training pairs (default: 20000)")
    p.add_argument(
        "--length", type=positive, default=10, metavar="N",
        help="longest training input, in symbols, or in digits for add (default: 10)",
    )  # fmt: skip
    p.add_argument("--beyond", type=positive, metavar="N", help="longest test input (default: twice --length)")
    add_seed(p)
    add_out(p)
    p.set_defaults(run=corpus_algorithm)


def corpus_algorithm(a: argparse.Namespace) -> int:
    """Run `dragoman corpus algorithm`."""
    from dragoman.translate.corpus.builders.algorithms import LANGUAGES, build_algorithm

    beyond = a.beyond or 2 * a.length
    write_and_report(a.out, LANGUAGES, lambda _: build_algorithm(a.name, a.size, a.length, beyond, a.seed))
    return 0
