"""The kinds of `dragoman corpus` that read labelled text."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.runtime.console import Commands, positive
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.commands_common import HELD_OUT_DEFAULT, add_kind, add_out, add_seed, write_and_report

if TYPE_CHECKING:
    from dragoman.translate.corpus.builders.labelled import LabelTask
    from dragoman.translate.corpus.folder import Pair, SplitsAndCard


def add_classes(kinds: Commands) -> None:
    """Register `dragoman corpus classes`."""
    p = add_kind(kinds, "classes", "Read texts with one class each, to train a classifier.")
    _add_labelled(p, "one text per line: LABEL<tab>TEXT")
    p.set_defaults(run=corpus_classes)


def add_tags(kinds: Commands) -> None:
    """Register `dragoman corpus tags`."""
    p = add_kind(kinds, "tags", "Read sentences with one label per word, to train a tagger.")
    _add_labelled(p, "one word per line, in CoNLL columns; an empty line after each sentence")
    p.add_argument("--word", type=positive, metavar="N", help="the column of words (default: 1, or 2 of CoNLL-U)")
    p.add_argument(
        "--tag", type=positive, metavar="N", help="the column of labels (default: the last, or 4 of CoNLL-U)"
    )
    p.set_defaults(run=corpus_tags)


def _add_labelled(p: argparse.ArgumentParser, form: str) -> None:
    """Add the options that `classes` and `tags` share."""
    p.add_argument(
        "files", nargs="+", metavar="FILE",
        help=f"{form}. Give one FILE, or three: for training, validation and testing",
    )  # fmt: skip
    p.add_argument("--language", required=True, metavar="XX", help="the language of the text, such as en")
    add_out(p)
    for option, purpose in (("--valid", "validation"), ("--test", "testing")):
        p.add_argument(
            option, type=positive, metavar="N",
            help=f"texts to hold out for {purpose} when one FILE is given {HELD_OUT_DEFAULT}",
        )  # fmt: skip
    add_seed(p)


def corpus_classes(a: argparse.Namespace) -> int:
    """Run `dragoman corpus classes`."""
    from dragoman.translate.corpus.readers.classes import read_classes

    _check_labelled(a)
    return _write_labelled(a, "classify", read_classes)


def corpus_tags(a: argparse.Namespace) -> int:
    """Run `dragoman corpus tags`."""
    from dragoman.translate.corpus.readers.conll import read_tags

    _check_labelled(a)
    return _write_labelled(a, "tag", lambda path: read_tags(path, a.word, a.tag))


def _check_labelled(a: argparse.Namespace) -> None:
    """Raise UserError for options of `classes` and `tags` that contradict each other."""
    if not re.fullmatch("[A-Za-z]{2,5}([-_][A-Za-z0-9]+)*", a.language):
        raise UserError(f"--language {a.language}: give a code such as en or pt-BR")
    if len(a.files) not in (1, 3):
        raise UserError(
            f"got {len(a.files)} files; give one (validation and test texts are taken from it) or three (train, valid, "
            "test)"
        )
    if len(a.files) == 3 and (a.valid or a.test):
        raise UserError("--valid and --test need one file to hold texts out from; three files are split already")


def _write_labelled(a: argparse.Namespace, task: LabelTask, read: Callable[[str], Iterable[Pair]]) -> int:
    """Read the files and write a labelled corpus, and print how often each label occurs."""
    from dragoman.translate.corpus.builders.labelled import LABELS, build_labelled

    def build(_: Path) -> SplitsAndCard:
        splits, facts = build_labelled(task, [read(path) for path in a.files], a.valid, a.test, a.seed)
        return splits, {"corpus": Path(a.out).name, "from": [Path(path).name for path in a.files], **facts}

    card = write_and_report(a.out, (a.language, LABELS), build, *a.files)
    if "moved" in card:
        print(f"  moved {card['moved']:,} held-out texts to training, which lacked their labels")
    for label, count in card["counts"].items():
        print(f"  {count:,} {label}")
    return 0
