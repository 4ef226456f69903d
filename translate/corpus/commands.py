"""The command `dragoman corpus`."""

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
from dragoman.translate.corpus.checks import check_other
from dragoman.translate.corpus.rules import RULES
from dragoman.translate.files import make_folder, real

if TYPE_CHECKING:
    from dragoman.translate.corpus.folder import Pair, Parts
    from dragoman.translate.corpus.readers.raw import Raw


def add_commands(commands: Commands) -> None:
    """Register `corpus`."""
    p = commands.add_parser("corpus", help="make a corpus folder", description="Make a corpus folder to train on.")
    kinds = p.add_subparsers(metavar="KIND", required=True)

    def kind(name: str, help: str) -> argparse.ArgumentParser:
        k: argparse.ArgumentParser = kinds.add_parser(name, help=help, description=help)
        k.add_argument("--pair", required=True, metavar="XX-YY", help="source and target language, such as en-de")
        k.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
        return k

    k = kind("cldr", "Phrases made from CLDR data: dates, quantities, money, names, in any pair of its languages.")
    k.add_argument("--size", type=positive, default=40000, metavar="N", help="training pairs (default 40000)")
    k.add_argument("--seed", type=not_negative, default=1, metavar="N")
    k.set_defaults(run=corpus_cldr)

    def cleaned(k: argparse.ArgumentParser) -> None:
        k.add_argument(
            "--valid", type=positive, metavar="N", help="pairs to validate on (default 1000, or a tenth of few)"
        )
        k.add_argument("--test", type=positive, metavar="N", help="pairs to test on (default 1000, or a tenth of few)")
        k.add_argument("--seed", type=not_negative, default=1, metavar="N", help="chooses the held-out pairs")
        k.add_argument(
            "--allow", action="append", default=[], metavar="RULE",
            help="keep the pairs that break a rule of cleaning: " + "; ".join(f"{n}: {t}" for n, t in RULES.items())
            + "; all: every one of them",
        )  # fmt: skip
        k.add_argument("--dropped", metavar="FILE", help="list the pairs that are left out: rule, source, target")

    k = kind("files", "Parallel text in files, cleaned: UTF-8, plain or gzipped.")
    k.add_argument(
        "files", nargs="+", metavar="FILE",
        help="SOURCE TARGET as plain text; or files of both languages, and folders of them: "
        ".tsv (source, tab, target), .jsonl, .tmx, .xlf, .xliff, .po, .mo",
    )  # fmt: skip
    k.add_argument(
        "--columns", type=_two_columns, metavar="N,N",
        help="the columns of a .tsv that hold source and target, counted from 1 (default 1,2)",
    )  # fmt: skip
    cleaned(k)
    k.set_defaults(run=corpus_files)
    k = kind("libreoffice", "LibreOffice's help and interface, from Debian's or Ubuntu's packages, cleaned.")
    k.add_argument("--from", dest="folder", metavar="DIR", help="has the .deb files (default: apt-get downloads them)")
    cleaned(k)
    k.set_defaults(run=corpus_libreoffice)
    k = kind(
        "multi30k", "The Multi30k captions, from a folder with the files of task 1 (train, val, test_2016_flickr)."
    )
    k.add_argument("--from", required=True, dest="folder", metavar="FOLDER")
    k.set_defaults(run=corpus_multi30k)

    def of_language(name: str, help: str, form: str) -> argparse.ArgumentParser:
        k: argparse.ArgumentParser = kinds.add_parser(name, help=help, description=help)
        k.add_argument(
            "files", nargs="+", metavar="FILE", help=f"{form}; one, or three: to train, validate and test on"
        )
        k.add_argument("--language", required=True, metavar="XX", help="of the text, such as en")
        k.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
        k.add_argument("--valid", type=positive, metavar="N", help="texts to hold out of one file to validate on")
        k.add_argument("--test", type=positive, metavar="N", help="texts to hold out of one file to test on")
        k.add_argument("--seed", type=not_negative, default=1, metavar="N", help="chooses the held-out texts")
        k.set_defaults(run=corpus_labelled, task=name)
        return k

    of_language("classes", "Texts, each of one class.", "lines of label, tab, text")
    k = of_language(
        "tags", "Sentences whose words have a label each.", "CoNLL columns, an empty line between sentences"
    )
    k.add_argument("--word", type=positive, metavar="N", help="the words' column (default 1; of CoNLL-U 2)")
    k.add_argument("--tag", type=positive, metavar="N", help="the labels' column (default the last; of CoNLL-U 4)")
    about = "Made-up tasks with one right answer, tested beyond the lengths that are trained on."
    k = kinds.add_parser("algorithm", help=about, description=about)
    k.add_argument("name", choices=("copy", "reverse", "sort", "add"), help="add: two numbers, digit by digit")
    k.add_argument("--size", type=positive, default=20000, metavar="N", help="training pairs (default 20000)")
    k.add_argument("--length", type=positive, default=10, metavar="N", help="the longest to train on (default 10)")
    k.add_argument("--beyond", type=positive, metavar="N", help="the longest to test on (default twice that)")
    k.add_argument("--seed", type=not_negative, default=1, metavar="N")
    k.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    k.set_defaults(run=corpus_algorithm)
    about = "A regularly sampled series, the last of it held out."
    k = kinds.add_parser("series", help=about, description=about)
    k.add_argument("file", metavar="FILE.csv", help="a header, then a row each time; what is missing is left empty")
    k.add_argument(
        "--columns",
        metavar="A,B",
        help='the variables, as a row of CSV: "Temp, C",Wind (default: all columns but that of times)',
    )
    k.add_argument("--time", metavar="A", help="the column of times (default: the first, if it holds times)")
    k.add_argument("--valid", type=positive, metavar="N", help="rows to validate on (default: a tenth)")
    k.add_argument("--test", type=positive, metavar="N", help="rows to test on, the last (default: a tenth)")
    k.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    k.set_defaults(run=corpus_series)
    about = "Another corpus with source and target exchanged, its parts as they are."
    k = kinds.add_parser("reversed", help=about, description=about)
    k.add_argument("corpus", metavar="DIR", help="the corpus folder to read")
    k.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    k.set_defaults(run=corpus_reversed)


def _two_columns(text: str) -> tuple[int, int]:
    """`2,4` -> (2, 4)."""
    found = re.fullmatch(r"([1-9][0-9]{0,3}),([1-9][0-9]{0,3})", text)
    if not found or found[1] == found[2]:
        raise argparse.ArgumentTypeError(f"{text!r} is not two columns, such as 2,4")
    return int(found[1]), int(found[2])


def _write(a: argparse.Namespace, splits: Parts, card: dict[str, Any], languages: tuple[str, str] | None = None) -> int:
    """languages: by default those of --pair."""
    from dragoman.translate.corpus.folder import write_corpus
    from dragoman.translate.corpus.languages import parse_pair

    counts = write_corpus(a.out, languages or parse_pair(a.pair), splits, card)
    print(f"{a.out}: " + ", ".join(f"{count:,} {part}" for part, count in counts.items()))
    for reason, n in sorted(card["dropped"].items(), key=lambda item: -item[1]):
        print(f"  dropped {n:,}: {reason}")
    return 0


def corpus_cldr(a: argparse.Namespace) -> int:
    """`dragoman corpus cldr`."""
    from dragoman.translate.corpus.builders.cldr import from_cldr
    from dragoman.translate.corpus.languages import parse_pair

    held_out = min(1000, max(1, a.size // 10))
    return _write(a, *from_cldr(parse_pair(a.pair), a.size, held_out, held_out, a.seed))


def corpus_files(a: argparse.Namespace) -> int:
    """`dragoman corpus files`."""
    from dragoman.translate.corpus.languages import parse_pair
    from dragoman.translate.corpus.readers.files import check_endings, read_files

    languages = parse_pair(a.pair)
    check_endings(a.files, languages, _say)
    rows = read_files(a.files, languages, _say, a.columns)
    return _cleaned(a, rows, {"corpus": "files", "from": [Path(p).name for p in a.files]})


def corpus_libreoffice(a: argparse.Namespace) -> int:
    """`dragoman corpus libreoffice`."""
    from dragoman.translate.corpus.builders.libreoffice import read_libreoffice
    from dragoman.translate.corpus.languages import parse_pair

    rows, facts = read_libreoffice(parse_pair(a.pair), a.folder, _say)
    return _cleaned(a, rows, facts)


def corpus_labelled(a: argparse.Namespace) -> int:
    """`dragoman corpus classes` and `dragoman corpus tags`."""
    from dragoman.translate.corpus.builders.labelled import LABELS, labelled, read_classes, read_tags

    if not re.fullmatch("[A-Za-z]{2,5}([-_][A-Za-z0-9]+)*", a.language):
        raise UserError(f"--language {a.language}: give a code such as en or pt-BR")
    if len(a.files) not in (1, 3):
        raise UserError(f"{len(a.files)} files: give one, of which some is held out, or three: train, valid, test")
    if len(a.files) == 3 and (a.valid or a.test):
        raise UserError("--valid and --test hold out some of one file; three files are held out already")
    if a.task == "classes":
        splits, card = labelled("classify", [read_classes(f) for f in a.files], a.valid, a.test, a.seed)
    else:
        splits, card = labelled("tag", [read_tags(f, a.word, a.tag) for f in a.files], a.valid, a.test, a.seed)
    card = {"corpus": Path(a.out).name, "from": [Path(f).name for f in a.files], **card}
    code = _write(a, splits, card, (a.language, LABELS))
    if "moved" in card:
        print(f"  {card['moved']:,} held-out texts went to training, which did not have their labels")
    for label, count in card["counts"].items():
        print(f"  {count:,} {label}")
    return code


def corpus_algorithm(a: argparse.Namespace) -> int:
    """`dragoman corpus algorithm`."""
    from dragoman.translate.corpus.builders.algorithms import LANGUAGES, from_algorithm

    return _write(a, *from_algorithm(a.name, a.size, a.length, a.beyond or 2 * a.length, a.seed), LANGUAGES)


def corpus_series(a: argparse.Namespace) -> int:
    """`dragoman corpus series`."""
    import numpy as np

    from dragoman.runtime.series import counts_up, read_series
    from dragoman.translate.corpus.builders.series import write_series_corpus
    from dragoman.translate.corpus.readers.raw import read_bytes

    columns = [name.strip() for name in next(csv.reader([a.columns], skipinitialspace=True))] if a.columns else None
    series = read_series(read_bytes(a.file), a.file, columns, a.time)
    if not (columns or series.clock) and (counting := counts_up(series)):
        raise UserError(
            f"{a.file}: the column {counting!r} counts up evenly, as times do; say --time {counting} if it holds them, "
            "and name the variables with --columns if not"
        )
    counts = write_series_corpus(
        a.out, series, a.valid, a.test, {"corpus": Path(a.out).name, "from": [Path(a.file).name]}
    )
    print(f"{a.out}: {', '.join(series.names)}; rows: " + ", ".join(f"{n:,} {part}" for part, n in counts.items()))
    if empty := int(np.isnan(series.values).all(1).sum()):
        _say(
            f"dragoman: {empty:,} of {len(series.values):,} rows hold no value, as where the file leaves out times; "
            "series.period, window and horizon count them, too"
        )
    for name, column in zip(series.names, series.values[: counts["train"]].T, strict=True):
        known = [value for value in column.tolist() if not math.isnan(value)]
        if min(known) == max(known):
            _say(f"dragoman: {name} is always {known[0]:.15g} where it is trained on: nothing can be learnt about it")
    return 0


# What would end a field or a line of a list, and the other control characters, as they are escaped.
IN_ONE_FIELD = {code: ascii(chr(code))[1:-1] for code in (*range(32), 127, 0x85, 0x2028, 0x2029)}


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _cleaned(a: argparse.Namespace, rows: Iterable[Raw], card: dict[str, Any]) -> int:
    """Clean, split and write raw pairs."""
    from dragoman.translate.corpus.builders.parallel import make
    from dragoman.translate.corpus.languages import known, parse_pair
    from dragoman.translate.files import written

    for rule in a.allow:
        if rule not in RULES and rule != "all":
            raise UserError(f"--allow {rule}: there is no such rule; give one of {', '.join(RULES)}, or all")
    for code in parse_pair(a.pair):
        if not known(code):
            _say(f"CLDR knows no language {code}: its script is not checked, and its words are split at spaces")
    off = RULES if "all" in a.allow else a.allow
    folder = real(a.out).parent
    make_folder(folder)

    failed, listed = None, 0
    with written(Path(a.dropped)) if a.dropped else nullcontext() as file:

        def note(rule: str, pair: Pair) -> None:
            nonlocal listed
            listed += 1
            if file:
                row = (side.translate(IN_ONE_FIELD) for side in (rule, *pair))
                file.write("\t".join(row).encode("utf-8", "backslashreplace") + b"\n")

        try:
            made = make(rows, parse_pair(a.pair), card, folder, a.valid, a.test, a.seed, off, note, _say)
            _write(a, *made)
            _show_pair(a.out)
        except UserError as error:
            if not listed:
                raise
            failed = error  # which the list explains
    if a.dropped:
        print(f"  listed in {a.dropped}")
    if failed:
        raise failed
    return 0


def _show_pair(folder: str) -> None:
    """A pair to see by whether the direction is right, which no file of both languages says."""
    from dragoman.translate.corpus.folder import Corpus

    corpus = Corpus(folder)
    for side, language in enumerate(corpus.languages):
        line = next(iter(corpus.lines("train", side)))
        print(f"  such as {language}: {line[:70]}{'…' * (len(line) > 70)}")


def corpus_multi30k(a: argparse.Namespace) -> int:
    """`dragoman corpus multi30k`."""
    from dragoman.translate.corpus.builders.multi30k import from_multi30k
    from dragoman.translate.corpus.languages import parse_pair

    return _write(a, *from_multi30k(a.folder, parse_pair(a.pair)))


def corpus_reversed(a: argparse.Namespace) -> int:
    """`dragoman corpus reversed`."""
    from dragoman.translate.corpus.folder import SPLITS, Corpus, Pair
    from dragoman.translate.corpus.split import without_held_out

    check_other(a.out, a.corpus)
    corpus = Corpus(a.corpus)
    if corpus.task != "translate":
        raise UserError(f"{a.corpus} is made to {corpus.task}; only parallel text can be reversed")
    if corpus.card.get("tags"):
        raise UserError(f"{a.corpus} holds text that a model translated back; reverse the corpus that it was made of")
    splits = {part: [Pair(p.target, p.source) for p in corpus.read(part)] for part in SPLITS}
    dropped: Counter[str] = Counter()
    splits = without_held_out(splits, dropped)  # targets may be held out and stand in training, too
    card = {**corpus.card, "dropped": {k: n for k, n in dropped.items() if n}, "reversed": True}
    source, target = corpus.languages
    return _write(a, splits, card, (target, source))
