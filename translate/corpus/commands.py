"""The command `dragoman corpus` and its kinds of corpora."""

from __future__ import annotations

import argparse
import csv
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.runtime.console import Commands, not_negative, positive
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.rules import RULES
from dragoman.translate.files import atomic_writer, make_folder, real_path

if TYPE_CHECKING:
    from dragoman.runtime.series import Series
    from dragoman.translate.corpus.folder import Pair, Splits
    from dragoman.translate.corpus.readers.rows import RawRow

MAX_EXAMPLE = 70  # characters of an example line that are printed

# Escapes for control characters and line separators, so that each field of a list of dropped pairs stays in its line.
ESCAPES = {code: ascii(chr(code))[1:-1] for code in (*range(32), 127, 0x85, 0x2028, 0x2029)}


def add_commands(commands: Commands) -> None:
    """Register `corpus`."""
    p = commands.add_parser("corpus", help="build a corpus folder", description="Build a corpus folder to train on.")
    kinds = p.add_subparsers(metavar="KIND", required=True)
    _add_cldr(kinds)
    _add_files(kinds)
    _add_libreoffice(kinds)
    _add_multi30k(kinds)
    _add_classes(kinds)
    _add_tags(kinds)
    _add_algorithm(kinds)
    _add_series(kinds)
    _add_reversed(kinds)


def _add_kind(kinds: Commands, name: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=description, description=description)
    return parser


def _add_pair(p: argparse.ArgumentParser) -> None:
    p.add_argument("--pair", required=True, metavar="XX-YY", help="source and target language, such as en-de")


def _add_out(p: argparse.ArgumentParser) -> None:
    p.add_argument("--out", required=True, metavar="DIR", help="the folder to write")


def _add_cleaning(p: argparse.ArgumentParser) -> None:
    """Add the options of kinds that clean parallel text and hold some out."""
    default = "default 1000, or a tenth of a small corpus"
    p.add_argument("--valid", type=positive, metavar="N", help=f"pairs for validation ({default})")
    p.add_argument("--test", type=positive, metavar="N", help=f"pairs for testing ({default})")
    p.add_argument("--seed", type=not_negative, default=1, metavar="N", help="chooses the held-out pairs (default 1)")
    p.add_argument(
        "--allow", action="append", default=[], metavar="RULE",
        help="keep the pairs that break a cleaning rule; "
        + "; ".join(f"{name}: {description}" for name, description in RULES.items()) + "; all: every rule",
    )  # fmt: skip
    p.add_argument("--dropped", metavar="FILE", help="write the dropped pairs to a file: rule, source, target")


def _add_cldr(kinds: Commands) -> None:
    p = _add_kind(
        kinds, "cldr", "Phrases made from CLDR data: dates, quantities, money, names, in any pair of its languages."
    )
    _add_pair(p)
    _add_out(p)
    p.add_argument("--size", type=positive, default=40000, metavar="N", help="training pairs (default 40000)")
    p.add_argument("--seed", type=not_negative, default=1, metavar="N", help="chooses the phrases (default 1)")
    p.set_defaults(run=corpus_cldr)


def corpus_cldr(a: argparse.Namespace) -> int:
    """Run `dragoman corpus cldr`."""
    from dragoman.translate.corpus.builders.cldr import build_cldr
    from dragoman.translate.corpus.languages import parse_pair

    languages = parse_pair(a.pair)
    held_out = min(1000, max(1, a.size // 10))
    return _write(a.out, languages, *build_cldr(languages, a.size, held_out, held_out, a.seed))


def _add_files(kinds: Commands) -> None:
    p = _add_kind(kinds, "files", "Parallel text in files, cleaned: UTF-8, plain or gzipped.")
    _add_pair(p)
    _add_out(p)
    p.add_argument(
        "files", nargs="+", metavar="FILE",
        help="two plain text files, SOURCE TARGET; or files of both languages, and folders of them: "
        ".tsv (source, tab, target), .jsonl, .tmx, .xlf, .xliff, .po, .mo",
    )  # fmt: skip
    p.add_argument(
        "--columns", type=_two_columns, metavar="N,N",
        help="the columns of source and target in a .tsv, counted from 1 (default 1,2)",
    )  # fmt: skip
    _add_cleaning(p)
    p.set_defaults(run=corpus_files)


def _two_columns(text: str) -> tuple[int, int]:
    """Parse `2,4` as (2, 4)."""
    match = re.fullmatch(r"([1-9][0-9]{0,3}),([1-9][0-9]{0,3})", text)
    if not match or match[1] == match[2]:
        raise argparse.ArgumentTypeError(f"{text!r} is not two different columns, such as 2,4")
    return int(match[1]), int(match[2])


def corpus_files(a: argparse.Namespace) -> int:
    """Run `dragoman corpus files`."""
    from dragoman.translate.corpus.languages import parse_pair
    from dragoman.translate.corpus.readers.filename_languages import check_direction
    from dragoman.translate.corpus.readers.files import read_files

    languages = parse_pair(a.pair)
    check_direction(a.files, languages, _log)
    rows = read_files(a.files, languages, _log, a.columns)
    return _write_cleaned(a, rows, {"corpus": "files", "from": [Path(path).name for path in a.files]})


def _add_libreoffice(kinds: Commands) -> None:
    p = _add_kind(
        kinds, "libreoffice", "LibreOffice's help and interface, from the packages of Debian or Ubuntu, cleaned."
    )
    _add_pair(p)
    _add_out(p)
    p.add_argument(
        "--from", dest="folder", metavar="DIR", help="a folder with the .deb files (default: apt-get downloads them)"
    )
    _add_cleaning(p)
    p.set_defaults(run=corpus_libreoffice)


def corpus_libreoffice(a: argparse.Namespace) -> int:
    """Run `dragoman corpus libreoffice`."""
    from dragoman.translate.corpus.builders.libreoffice import read_libreoffice
    from dragoman.translate.corpus.languages import parse_pair

    return _write_cleaned(a, *read_libreoffice(parse_pair(a.pair), a.folder, _log))


def _add_multi30k(kinds: Commands) -> None:
    p = _add_kind(
        kinds, "multi30k",
        "The Multi30k captions, from a folder with the files of task 1 (train, val, test_2016_flickr).",
    )  # fmt: skip
    _add_pair(p)
    _add_out(p)
    p.add_argument("--from", required=True, dest="folder", metavar="FOLDER", help="the folder to read")
    p.set_defaults(run=corpus_multi30k)


def corpus_multi30k(a: argparse.Namespace) -> int:
    """Run `dragoman corpus multi30k`."""
    from dragoman.translate.corpus.builders.multi30k import build_multi30k
    from dragoman.translate.corpus.languages import parse_pair

    languages = parse_pair(a.pair)
    return _write(a.out, languages, *build_multi30k(a.folder, languages))


def _add_classes(kinds: Commands) -> None:
    p = _add_kind(kinds, "classes", "Texts with a class each, to train a classifier.")
    _add_labelled(p, "lines of label, tab, text")
    p.set_defaults(run=corpus_classes)


def _add_tags(kinds: Commands) -> None:
    p = _add_kind(kinds, "tags", "Sentences whose words have a label each, to train a tagger.")
    _add_labelled(p, "CoNLL columns, with an empty line between sentences")
    p.add_argument("--word", type=positive, metavar="N", help="the column of words (default 1, or 2 of CoNLL-U)")
    p.add_argument("--tag", type=positive, metavar="N", help="the column of labels (default the last, or 4 of CoNLL-U)")
    p.set_defaults(run=corpus_tags)


def _add_labelled(p: argparse.ArgumentParser, form: str) -> None:
    """Add the options that `classes` and `tags` share."""
    p.add_argument(
        "files", nargs="+", metavar="FILE", help=f"{form}; one file, or three: for training, validation and testing"
    )
    p.add_argument("--language", required=True, metavar="XX", help="the language of the text, such as en")
    _add_out(p)
    p.add_argument("--valid", type=positive, metavar="N", help="texts of one file to hold out for validation")
    p.add_argument("--test", type=positive, metavar="N", help="texts of one file to hold out for testing")
    p.add_argument("--seed", type=not_negative, default=1, metavar="N", help="chooses the held-out texts (default 1)")


def corpus_classes(a: argparse.Namespace) -> int:
    """Run `dragoman corpus classes`."""
    from dragoman.translate.corpus.builders.labelled import build_labelled
    from dragoman.translate.corpus.readers.classes import read_classes

    _check_labelled(a)
    texts = [read_classes(path) for path in a.files]
    return _write_labelled(a, *build_labelled("classify", texts, a.valid, a.test, a.seed))


def corpus_tags(a: argparse.Namespace) -> int:
    """Run `dragoman corpus tags`."""
    from dragoman.translate.corpus.builders.labelled import build_labelled
    from dragoman.translate.corpus.readers.conll import read_tags

    _check_labelled(a)
    texts = [read_tags(path, a.word, a.tag) for path in a.files]
    return _write_labelled(a, *build_labelled("tag", texts, a.valid, a.test, a.seed))


def _check_labelled(a: argparse.Namespace) -> None:
    """Raise UserError for options of `classes` and `tags` that contradict each other."""
    if not re.fullmatch("[A-Za-z]{2,5}([-_][A-Za-z0-9]+)*", a.language):
        raise UserError(f"--language {a.language}: give a code such as en or pt-BR")
    if len(a.files) not in (1, 3):
        raise UserError(f"{len(a.files)} files: give one, of which some is held out, or three: train, valid and test")
    if len(a.files) == 3 and (a.valid or a.test):
        raise UserError("--valid and --test hold out some of one file; three files are split already")


def _write_labelled(a: argparse.Namespace, splits: Splits, facts: dict[str, Any]) -> int:
    """Write a labelled corpus, and print how often each label occurs."""
    from dragoman.translate.corpus.builders.labelled import LABELS

    card = {"corpus": Path(a.out).name, "from": [Path(path).name for path in a.files], **facts}
    status = _write(a.out, (a.language, LABELS), splits, card)
    if "moved" in card:
        print(f"  moved {card['moved']:,} held-out texts to training, which lacked their labels")
    for label, count in card["counts"].items():
        print(f"  {count:,} {label}")
    return status


def _add_algorithm(kinds: Commands) -> None:
    p = _add_kind(
        kinds, "algorithm", "Made-up tasks with one right answer, tested beyond the lengths that are trained on."
    )
    p.add_argument("name", choices=("copy", "reverse", "sort", "add"), help="add: two numbers, digit by digit")
    p.add_argument("--size", type=positive, default=20000, metavar="N", help="training pairs (default 20000)")
    p.add_argument("--length", type=positive, default=10, metavar="N", help="greatest length to train on (default 10)")
    p.add_argument("--beyond", type=positive, metavar="N", help="greatest length to test on (default twice --length)")
    p.add_argument("--seed", type=not_negative, default=1, metavar="N", help="chooses the tasks (default 1)")
    _add_out(p)
    p.set_defaults(run=corpus_algorithm)


def corpus_algorithm(a: argparse.Namespace) -> int:
    """Run `dragoman corpus algorithm`."""
    from dragoman.translate.corpus.builders.algorithms import LANGUAGES, build_algorithm

    splits, card = build_algorithm(a.name, a.size, a.length, a.beyond or 2 * a.length, a.seed)
    return _write(a.out, LANGUAGES, splits, card)


def _add_series(kinds: Commands) -> None:
    p = _add_kind(kinds, "series", "A regularly sampled series, whose last rows are held out.")
    p.add_argument("file", metavar="FILE.csv", help="a header, then a row for each time; missing values are empty")
    p.add_argument(
        "--columns",
        metavar="A,B",
        help='the variables, as a row of CSV: "Temp, C",Wind (default: all columns but the times)',
    )
    p.add_argument("--time", metavar="A", help="the column of times (default: the first column, if it holds times)")
    p.add_argument("--valid", type=positive, metavar="N", help="rows for validation (default: a tenth)")
    p.add_argument("--test", type=positive, metavar="N", help="rows for testing, the last ones (default: a tenth)")
    _add_out(p)
    p.set_defaults(run=corpus_series)


def corpus_series(a: argparse.Namespace) -> int:
    """Run `dragoman corpus series`."""
    from dragoman.runtime.series import evenly_rising_column, read_series
    from dragoman.translate.corpus.builders.series import write_series_corpus
    from dragoman.translate.corpus.readers.lines import read_bytes

    columns = [name.strip() for name in next(csv.reader([a.columns], skipinitialspace=True))] if a.columns else None
    series = read_series(read_bytes(a.file), a.file, columns, a.time)
    if not (columns or series.time_axis) and (rising := evenly_rising_column(series)):
        raise UserError(
            f"{a.file}: the column {rising!r} rises evenly, as times do; if it holds times, give --time {rising}, "
            "and if not, name the variables with --columns"
        )
    card = {"corpus": Path(a.out).name, "from": [Path(a.file).name]}
    counts = write_series_corpus(a.out, series, a.valid, a.test, card)
    print(f"{a.out}: {', '.join(series.names)}; rows: {_format_counts(counts)}")
    _warn_about_values(series, counts["train"])
    return 0


def _warn_about_values(series: Series, training_rows: int) -> None:
    """Report rows without values, and variables that are constant in the training rows."""
    import numpy as np

    if empty := int(np.isnan(series.values).all(1).sum()):
        _log(
            f"dragoman: {empty:,} of {len(series.values):,} rows hold no value, such as times missing from the file; "
            "series.period, window and horizon count these rows, too"
        )
    for name, column in zip(series.names, series.values[:training_rows].T, strict=True):
        values = [value for value in column.tolist() if not math.isnan(value)]
        if min(values) == max(values):
            _log(f"dragoman: {name} is always {values[0]:.15g} in training, so nothing can be learnt about it")


def _add_reversed(kinds: Commands) -> None:
    p = _add_kind(kinds, "reversed", "Another corpus with source and target exchanged, split in the same way.")
    p.add_argument("corpus", metavar="DIR", help="the corpus folder to read")
    _add_out(p)
    p.set_defaults(run=corpus_reversed)


def corpus_reversed(a: argparse.Namespace) -> int:
    """Run `dragoman corpus reversed`."""
    from dragoman.translate.corpus.folder import SPLITS, Corpus, Pair, check_not_in_place
    from dragoman.translate.corpus.split import drop_held_out_sources

    check_not_in_place(a.out, a.corpus)
    corpus = Corpus(a.corpus)
    if corpus.task != "translate":
        raise UserError(f"{a.corpus} is a corpus to {corpus.task}; only parallel text can be reversed")
    if corpus.card.get("tags"):
        raise UserError(f"{a.corpus} holds back-translated text; reverse the corpus that it was made from")
    splits = {split: [Pair(pair.target, pair.source) for pair in corpus.read(split)] for split in SPLITS}
    dropped: Counter[str] = Counter()
    splits = drop_held_out_sources(splits, dropped)  # a target may be in training and in a held-out split
    card = {
        **corpus.card,
        "dropped": {reason: count for reason, count in dropped.items() if count},
        "reversed": True,
    }
    source, target = corpus.languages
    return _write(a.out, (target, source), splits, card)


def _write_cleaned(a: argparse.Namespace, rows: Iterable[RawRow], card: dict[str, Any]) -> int:
    """Clean raw rows, split and write them, and list the dropped pairs in the file of `--dropped`."""
    from dragoman.translate.corpus.builders.parallel import build_parallel
    from dragoman.translate.corpus.languages import is_known_language, parse_pair

    for rule in a.allow:
        if rule not in RULES and rule != "all":
            raise UserError(f"--allow {rule}: there is no such rule; give one of {', '.join(RULES)}, or all")
    languages = parse_pair(a.pair)
    for language in languages:
        if not is_known_language(language):
            _log(f"CLDR has no language {language}: its script is not checked, and its words are split at spaces")
    disabled = RULES if "all" in a.allow else a.allow
    parent = real_path(a.out).parent
    make_folder(parent)

    failure, any_dropped = None, False
    with atomic_writer(Path(a.dropped)) if a.dropped else nullcontext() as file:

        def on_drop(rule: str, pair: Pair) -> None:
            nonlocal any_dropped
            any_dropped = True
            if file:
                fields = (field.translate(ESCAPES) for field in (rule, *pair))
                file.write("\t".join(fields).encode("utf-8", "backslashreplace") + b"\n")

        try:
            splits, card = build_parallel(
                rows, languages, card, parent, a.valid, a.test, a.seed, disabled, on_drop, _log
            )
            _write(a.out, languages, splits, card)
            _print_example(a.out)
        except UserError as error:
            if not any_dropped:
                raise
            failure = error  # raised once the file is complete, because its list explains the error
    if a.dropped:
        print(f"  dropped pairs are in {a.dropped}")
    if failure:
        raise failure
    return 0


def _write(out: str, languages: tuple[str, str], splits: Splits, card: dict[str, Any]) -> int:
    """Write a corpus, and print the number of pairs in each split and of dropped pairs. Returns the exit status."""
    from dragoman.translate.corpus.folder import write_corpus

    counts = write_corpus(out, languages, splits, card)
    print(f"{out}: {_format_counts(counts)}")
    for reason, count in sorted(card["dropped"].items(), key=lambda item: -item[1]):
        print(f"  dropped {count:,}: {reason}")
    return 0


def _format_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in counts.items())


def _print_example(folder: str) -> None:
    """Print a training pair, so that the user can check the direction, which files of both languages do not show."""
    from dragoman.translate.corpus.folder import Corpus

    corpus = Corpus(folder)
    for side, language in enumerate(corpus.languages):
        line = next(iter(corpus.lines("train", side)))
        print(f"  example {language}: {line[:MAX_EXAMPLE]}{'…' * (len(line) > MAX_EXAMPLE)}")


def _log(line: str) -> None:
    print(line, file=sys.stderr)
