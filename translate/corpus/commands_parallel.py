"""The kinds of `dragoman corpus` that read parallel text."""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.runtime.console import Commands, not_negative, positive
from dragoman.runtime.errors import UserError
from dragoman.runtime.files import atomic_writer, real_path
from dragoman.translate.corpus.commands_common import (
    HELD_OUT_DEFAULT,
    add_kind,
    add_out,
    add_pair,
    add_seed,
    log,
    write_and_report,
)
from dragoman.translate.corpus.rules import ALLOWED

if TYPE_CHECKING:
    from dragoman.translate.corpus.cleaning import OnDrop
    from dragoman.translate.corpus.folder import Pair, SplitsAndCard
    from dragoman.translate.corpus.readers.rows import RawRow

    RowsAndCard = tuple[Iterable[RawRow], dict[str, Any]]  # raw rows, and the facts of their corpus card

FORMER_RULES = {"near duplicate": "near-duplicate"}  # former names, which `--allow` still accepts

MAX_EXAMPLE = 70  # characters of an example line that are printed

# Escapes for control characters and line separators, so that each field of a list of dropped pairs stays in its line.
ESCAPES = {code: ascii(chr(code))[1:-1] for code in (*range(32), 127, 0x85, 0x2028, 0x2029)}


def add_files(kinds: Commands) -> None:
    """Register `dragoman corpus files`."""
    p = add_kind(kinds, "files", "Read and clean parallel text from files: UTF-8, plain or compressed.")
    add_pair(p)
    add_out(p)
    p.add_argument(
        "files", nargs="+", metavar="FILE",
        help="two plain text files, source first; or files that hold both languages, folders and zip archives: "
        ".tsv (source, tab, target), .csv, .jsonl, .tmx, .xlf, .xliff, .sdlxliff, .mxliff, .po, .mo",
    )  # fmt: skip
    p.add_argument(
        "--columns", type=_two_columns, metavar="N,N",
        help="the columns of source and target in a .tsv or .csv, counted from 1 (default: by its header, or 1,2)",
    )  # fmt: skip
    _add_cleaning(p)
    p.set_defaults(run=corpus_files)


def _two_columns(text: str) -> tuple[int, int]:
    """Parse `2,4` as (2, 4)."""
    match = re.fullmatch(r"([1-9][0-9]{0,3}),([1-9][0-9]{0,3})", text)
    if not match or match[1] == match[2]:
        raise argparse.ArgumentTypeError(f"{text!r}: give two different columns, counted from 1, such as 2,4")
    return int(match[1]), int(match[2])


def corpus_files(a: argparse.Namespace) -> int:
    """Run `dragoman corpus files`."""
    from dragoman.translate.corpus.languages import parse_pair
    from dragoman.translate.corpus.readers.filename_languages import check_direction
    from dragoman.translate.corpus.readers.files import read_files

    languages = parse_pair(a.pair)
    check_direction(a.files, languages, log)

    def read() -> RowsAndCard:
        card = {"corpus": "files", "from": [Path(path).name for path in a.files]}
        return read_files(a.files, languages, log, a.columns), card

    return _write_cleaned(a, read, *a.files)


def add_libreoffice(kinds: Commands) -> None:
    """Register `dragoman corpus libreoffice`."""
    p = add_kind(
        kinds, "libreoffice", "Read and clean LibreOffice's help and interface texts from Debian or Ubuntu packages."
    )
    add_pair(p)
    add_out(p)
    p.add_argument(
        "--from", dest="folder", metavar="DIR",
        help="the folder with the .deb files (default: download them with apt-get)",
    )  # fmt: skip
    _add_cleaning(p)
    p.set_defaults(run=corpus_libreoffice)


def corpus_libreoffice(a: argparse.Namespace) -> int:
    """Run `dragoman corpus libreoffice`."""
    from dragoman.translate.corpus.builders.libreoffice import read_libreoffice
    from dragoman.translate.corpus.languages import parse_pair

    languages = parse_pair(a.pair)
    return _write_cleaned(a, lambda: read_libreoffice(languages, a.folder, log))


def add_multi30k(kinds: Commands) -> None:
    """Register `dragoman corpus multi30k`."""
    p = add_kind(
        kinds, "multi30k",
        "Read the Multi30k captions from a folder with the files of task 1 (train, val, test_2016_flickr).",
    )  # fmt: skip
    add_pair(p)
    add_out(p)
    p.add_argument("--from", required=True, dest="folder", metavar="DIR", help="the folder to read")
    p.set_defaults(run=corpus_multi30k)


def corpus_multi30k(a: argparse.Namespace) -> int:
    """Run `dragoman corpus multi30k`."""
    from dragoman.translate.corpus.builders.multi30k import build_multi30k
    from dragoman.translate.corpus.languages import parse_pair

    languages = parse_pair(a.pair)
    write_and_report(a.out, languages, lambda _: build_multi30k(a.folder, languages), a.folder)
    return 0


def add_reversed(kinds: Commands) -> None:
    """Register `dragoman corpus reversed`."""
    p = add_kind(kinds, "reversed", "Swap source and target of a corpus; keep its splits.")
    p.add_argument("corpus", metavar="DIR", help="the corpus folder to read")
    add_out(p)
    p.set_defaults(run=corpus_reversed)


def corpus_reversed(a: argparse.Namespace) -> int:
    """Run `dragoman corpus reversed`."""
    from dragoman.translate.corpus.folder import SPLITS, Corpus, Pair, unchanged
    from dragoman.translate.corpus.split import drop_held_out_sources

    corpus = Corpus(a.corpus)
    if corpus.task != "translate":
        raise UserError(f"{a.corpus} is a corpus to {corpus.task}; only parallel text can be reversed")
    if corpus.card.get("tags"):
        raise UserError(f"{a.corpus} holds back-translated text; reverse the corpus that it was made from")

    def build(_: Path) -> SplitsAndCard:
        with unchanged(corpus):
            splits = {split: [Pair(pair.target, pair.source) for pair in corpus.read(split)] for split in SPLITS}
        dropped: Counter[str] = Counter()
        splits = drop_held_out_sources(splits, dropped)  # a target may be in training and in a held-out split
        return splits, {**corpus.card, "dropped": dict(dropped), "reversed": True}

    write_and_report(a.out, corpus.languages[::-1], build, a.corpus)
    return 0


def _add_cleaning(p: argparse.ArgumentParser) -> None:
    """Add the options of kinds that clean parallel text and hold some out."""
    p.add_argument(
        "--valid-files", nargs="+", action="extend", default=[], metavar="FILE",
        help="your own validation set, in any format of the text (default: hold out some of the text)",
    )  # fmt: skip
    p.add_argument(
        "--test-files", nargs="+", action="extend", default=[], metavar="FILE",
        help="your own test set, in any format of the text (default: hold out some of the text)",
    )  # fmt: skip
    p.add_argument("--valid", type=positive, metavar="N", help=f"pairs to hold out for validation {HELD_OUT_DEFAULT}")
    p.add_argument(
        "--test", type=not_negative, metavar="N", help=f"pairs to hold out for testing, perhaps 0 {HELD_OUT_DEFAULT}"
    )
    add_seed(p)
    p.add_argument(
        "--allow", action="append", default=[], metavar="RULE",
        help="keep the pairs that break a cleaning rule; can be repeated. RULE is all (every rule), or one of: "
        + ", ".join(f"{name} ({description})" for name, description in ALLOWED.items()),
    )  # fmt: skip
    p.add_argument(
        "--dropped", metavar="FILE", help="write the dropped pairs to a file: rule, tab, source, tab, target"
    )


def _write_cleaned(a: argparse.Namespace, read: Callable[[], RowsAndCard], *files: str) -> int:
    """Read raw rows, clean, split and write them, and list the dropped pairs in the file of `--dropped`.

    `files` are those that the user named, if `read` reads any.
    """
    from dragoman.translate.corpus.builders.parallel import build_parallel
    from dragoman.translate.corpus.languages import is_known_language, parse_pair
    from dragoman.translate.corpus.readers.filename_languages import check_direction
    from dragoman.translate.corpus.readers.files import read_files

    disabled = _disabled_rules(a.allow)
    languages = parse_pair(a.pair)
    for language in languages:
        if not is_known_language(language):
            log(f"CLDR has no language {language}: its script is not checked, and its words are split at spaces")
    given_files = {split: paths for split, paths in (("valid", a.valid_files), ("test", a.test_files)) if paths}
    for split, paths in given_files.items():
        if getattr(a, split) is not None:
            raise UserError(f"--{split} holds out pairs, and --{split}-files are held out already; give one of them")
        check_direction(paths, languages, log)
    inputs = [*files, *a.valid_files, *a.test_files]

    def build(partial: Path) -> SplitsAndCard:
        _check_files(inputs, a.dropped, [real_path(a.out), partial])
        with _dropped_list(a.dropped) as on_drop:
            rows, card = read()
            columns = getattr(a, "columns", None)
            given = {split: read_files(paths, languages, log, columns) for split, paths in given_files.items()}
            card |= {f"{split}_from": [Path(path).name for path in paths] for split, paths in given_files.items()}
            return build_parallel(
                rows, languages, card, partial, a.valid, a.test, a.seed, disabled, on_drop, log, given
            )

    write_and_report(a.out, languages, build, *inputs)
    _print_example(a.out)
    if a.dropped:
        print(f"  dropped pairs are in {a.dropped}")
    return 0


@contextmanager
def _dropped_list(path: str | None) -> Iterator[OnDrop]:
    """Yield a callback that lists dropped pairs in a file, if a path is given.

    If a UserError ends the block after pairs were dropped, the file is still completed, because it explains the error.
    """
    failure: UserError | None = None
    any_dropped = False
    with atomic_writer(Path(path)) if path else nullcontext() as file:

        def on_drop(rule: str, pair: Pair) -> None:
            nonlocal any_dropped
            any_dropped = True
            if file:
                fields = (field.translate(ESCAPES) for field in (rule, *pair))
                file.write("\t".join(fields).encode("utf-8", "backslashreplace") + b"\n")

        try:
            yield on_drop
        except UserError as error:
            if not any_dropped:
                raise
            failure = error
    if failure:
        if path:
            print(f"  dropped pairs are in {path}")
        raise failure


def _disabled_rules(allow: Iterable[str]) -> Collection[str]:
    """Return the cleaning rules that `--allow` turns off. Raises UserError for an unknown rule."""
    allowed = [FORMER_RULES.get(rule, rule) for rule in allow]
    for rule in allowed:
        if rule not in ALLOWED and rule != "all":
            raise UserError(f"--allow {rule}: there is no such rule; give one of {', '.join(ALLOWED)}, or all")
    return ALLOWED if "all" in allowed else allowed


def _check_files(inputs: Iterable[str], dropped: str | None, outputs: Iterable[Path]) -> None:
    """Raise UserError if an input is missing, or if the file of `--dropped` is an input, or would be lost or read."""
    from dragoman.translate.corpus.readers.archives import path_exists

    for path in inputs:
        if not path_exists(path):
            raise UserError(f"cannot read {path}: no such file or folder")
    if not dropped:
        return
    real_dropped = real_path(dropped)
    if any(map(real_dropped.is_relative_to, outputs)):
        raise UserError(f"--dropped {dropped} is in the folder of --out, which holds the corpus alone; name another")
    for path in inputs:
        if os.path.isdir(path) and real_dropped.is_relative_to(real_path(path)):
            raise UserError(f"--dropped {dropped} is in {path}, an input of this command; name another folder")
        if real_dropped.is_file() and real_dropped == real_path(path):  # a terminal may be both input and output
            raise UserError(f"--dropped {dropped} is also an input of this command; name another file")


def _print_example(folder: str) -> None:
    """Print a training pair, so that the user can check the direction, which files of both languages do not show."""
    from dragoman.translate.corpus.folder import Corpus

    corpus = Corpus(folder)
    for side, language in enumerate(corpus.languages):
        line = next(iter(corpus.lines("train", side)))
        print(f"  example {language}: {line[:MAX_EXAMPLE]}{'…' * (len(line) > MAX_EXAMPLE)}")
