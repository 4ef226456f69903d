"""The commands `dragoman distill` and `dragoman backtranslate`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.runtime.console import Commands, positive
from dragoman.runtime.errors import UserError
from dragoman.translate.corpus.checks import check_languages, check_other
from dragoman.translate.files import hold, make_folder, real

if TYPE_CHECKING:
    from dragoman.translate.progress import ProgressCallback


def add_commands(commands: Commands) -> None:
    """Register `distill` and `backtranslate`."""
    p = commands.add_parser(
        "distill",
        help="make a corpus in which models teach a smaller one",
        description="Let trained models translate their training text together, and write a corpus of its pairs and of "
        "what they make of it: a small model trained on that comes near to all of them (Kim and Rush 2016). What is "
        "all but a target of a held-out part, and not that of its own pair, is left out. What is cut short goes on "
        "where it was when the same command is given again.",
    )
    p.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs: any cells, forwards or right to left")
    p.add_argument("--out", required=True, metavar="DIR", help="the corpus folder to write")
    p.add_argument("--corpus", metavar="DIR", help="the text to teach with (default: the first run's own)")
    p.add_argument("--beam", type=positive, default=5, metavar="K")
    p.add_argument("--count", type=positive, default=1, metavar="N", help="translations of a source (default 1)")
    p.add_argument(
        "--choose", choices=("likely", "near"), default="likely",
        help="likely: the best of the beam, the default. near: those of the beam nearest to the reference",
    )  # fmt: skip
    p.add_argument("--without-original", action="store_true", help="leave the pairs themselves out")
    p.set_defaults(run=distill)

    p = commands.add_parser(
        "backtranslate",
        help="make training pairs of text in the target language",
        description="Translate lines of the target language with a reverse model, and write a corpus of the pairs that "
        "there are and of these, whose sources start with a tag (Sennrich et al. 2016, Caswell et al. 2019).",
    )
    p.add_argument(
        "reverse", metavar="RUN", help="a run that translates from the target language into the source language"
    )
    p.add_argument("text", metavar="FILE", help="lines of the target language, plain or gzipped")
    p.add_argument("--corpus", required=True, metavar="DIR", help="the pairs that there are")
    p.add_argument("--out", required=True, metavar="DIR", help="the corpus folder to write")
    p.add_argument("--beam", type=positive, default=5, metavar="K")
    p.set_defaults(run=backtranslate)


def distill(a: argparse.Namespace) -> int:
    """`dragoman distill`."""
    from dragoman.translate.corpus.folder import Corpus, write_corpus
    from dragoman.translate.distillation.distil import distill as make_distilled
    from dragoman.translate.evaluation.reranking import assemble
    from dragoman.translate.training.run import Run

    if a.count > a.beam:
        raise UserError(f"--count {a.count} with --beam {a.beam}: they are taken from the beam, so 1 to {a.beam}")
    runs = [Run(folder) for folder in a.runs]
    corpus = Corpus(a.corpus or runs[0].config().data.corpus)
    check_other(a.out, corpus.folder)
    translator = assemble(runs)
    check_languages(a.runs[0], translator, corpus.folder, corpus.languages)
    translator.check_beam(a.beam)
    with _making(a.out, corpus.languages) as (journal, progress):
        parts, card = make_distilled(
            runs, translator, corpus, journal, beam=a.beam, count=a.count, choice=a.choose,
            keep=not a.without_original, progress=progress,
        )  # fmt: skip
        counts = write_corpus(a.out, corpus.languages, parts, card)
    print(f"{a.out}: {counts['train']:,} train")
    if fewer := card["distilled"]["fewer"]:
        what = "no translation" if a.count == 1 else f"fewer than {a.count} translations"
        print(f"  {fewer:,} sources have {what} that came to an end")
    if held_out := card["distilled"]["held_out"]:
        print(f"  left out {held_out:,}: translation is a target in a held-out part")
    return 0


def backtranslate(a: argparse.Namespace) -> int:
    """`dragoman backtranslate`."""
    from dragoman.translate.corpus.cleaning import clean, counting
    from dragoman.translate.corpus.folder import Corpus, write_corpus
    from dragoman.translate.corpus.readers.raw import read_raw
    from dragoman.translate.distillation.backtranslate import back_translate
    from dragoman.translate.evaluation.engine import translator_of
    from dragoman.translate.training.run import Run

    run, corpus = Run(a.reverse), Corpus(a.corpus)
    check_other(a.out, a.corpus)
    left_out: Counter[str] = Counter()
    text = (pair.target for pair in clean(((line, line) for line in read_raw(a.text)), counting(left_out)))
    translator = translator_of(run)
    check_languages(a.reverse, translator, corpus.folder, corpus.languages[::-1])
    translator.check_beam(a.beam)
    with _making(a.out, corpus.languages) as (journal, progress):
        parts, card = back_translate(
            run, translator, corpus, text, journal, beam=a.beam, left_out=left_out, progress=progress
        )
        counts = write_corpus(a.out, corpus.languages, parts, card)
    made = card["back_translated"]
    print(f"{a.out}: {counts['train']:,} train, {made['lines']:,} of them translated back")
    for reason, count in made["left_out"].items():
        print(f"  left out {count:,}: {reason}")
    return 0


@contextmanager
def _making(out: str, languages: tuple[str, str]) -> Iterator[tuple[Path, ProgressCallback]]:
    """A journal beside the corpus that is being made, gone once that is written, and what shows the progress."""
    from dragoman.translate.corpus.folder import check_free
    from dragoman.translate.progress import bar

    folder = real(out)
    check_free(folder, languages)
    journal, lock = (folder.with_name(folder.name + ending) for ending in (".journal", ".lock"))
    make_folder(journal.parent)
    held = hold(lock, f"{out} is being made", "name another folder")
    try:
        with bar("translating") as progress:
            yield journal, progress
        journal.unlink(missing_ok=True)
    finally:
        lock.unlink(missing_ok=True)
        held.release()
