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
from dragoman.runtime.files import real_path
from dragoman.translate.files import acquire_lock, make_folder

if TYPE_CHECKING:
    from dragoman.runtime.progress import ProgressCallback
    from dragoman.translate.corpus.folder import Corpus


def add_commands(commands: Commands) -> None:
    """Register `distill` and `backtranslate`."""
    p = commands.add_parser(
        "distill",
        help="distil several trained models into a corpus for one small model",
        description="Translate the training text with an ensemble and write a distilled corpus. Train the small model "
        "on it: it comes close to the ensemble (sequence-level knowledge distillation, Kim and Rush 2016). The corpus "
        "holds the original pairs and the translations. Translations that almost equal a held-out target are left out, "
        "unless they are the target of their own pair. If the command is interrupted, repeat it: it continues where it "
        "stopped.",
    )
    p.add_argument("runs", nargs="+", metavar="RUN", help="run folders; cells and data.right_to_left may differ")
    p.add_argument("--out", required=True, metavar="DIR", help="the corpus folder to write")
    p.add_argument("--corpus", metavar="DIR", help="the corpus to translate (default: that of the first run)")
    p.add_argument("--beam", type=positive, default=5, metavar="K", help="beam size (default: 5)")
    p.add_argument("--count", type=positive, default=1, metavar="N", help="translations per source (default: 1)")
    p.add_argument(
        "--choose", choices=("likely", "near"), default="likely",
        help="likely (default): highest-scoring translations. near: highest sentence chrF against the reference "
        "(sequence-level interpolation)",
    )  # fmt: skip
    p.add_argument("--without-original", action="store_true", help="leave out the original pairs")
    p.set_defaults(run=distill)

    p = commands.add_parser(
        "backtranslate",
        help="make training pairs from text in the target language",
        description="Translate lines of the target language with a reverse model. Write a corpus of the original pairs "
        "and these back-translations, whose sources start with a tag (Sennrich et al. 2016, Caswell et al. 2019). If "
        "the command is interrupted, repeat it: it continues where it stopped.",
    )
    p.add_argument(
        "reverse", metavar="RUN", help="a run that translates from the target language into the source language"
    )
    p.add_argument(
        "text", metavar="FILE", help="text in the target language, one sentence per line, plain or compressed"
    )
    p.add_argument("--corpus", required=True, metavar="DIR", help="the corpus with the original pairs")
    p.add_argument("--out", required=True, metavar="DIR", help="the corpus folder to write")
    p.add_argument("--beam", type=positive, default=5, metavar="K", help="beam size (default: 5)")
    p.set_defaults(run=backtranslate)


def distill(a: argparse.Namespace) -> int:
    """Run `dragoman distill` and return its exit status."""
    from dragoman.translate.corpus.folder import (
        Corpus,
        check_model_languages,
        check_out,
        new_corpus,
        unchanged,
        write_pairs,
    )
    from dragoman.translate.distillation.distil import distilled_corpus
    from dragoman.translate.evaluation.reranking import assemble
    from dragoman.translate.training.run import Run

    if a.count > a.beam:
        raise UserError(f"--count {a.count} exceeds --beam {a.beam}; give at most {a.beam}, or a larger beam")
    runs = [Run(folder) for folder in a.runs]
    corpus = Corpus(a.corpus) if a.corpus else runs[0].corpus()
    check_out(a.out, corpus.languages, corpus.folder)
    translator = assemble(runs)
    check_model_languages(a.runs[0], translator, corpus.folder, corpus.languages)
    translator.check_beam(a.beam)
    with (
        _resumable_work(a.out, corpus) as (journal, progress),
        new_corpus(a.out, corpus.languages) as partial,
        unchanged(corpus),
    ):
        splits, card = distilled_corpus(
            runs, translator, corpus, journal, beam=a.beam, count=a.count, choice=a.choose,
            with_original=not a.without_original, progress=progress,
        )  # fmt: skip
        counts = write_pairs(partial, corpus.languages, splits, card)["pairs"]
    print(f"{a.out}: {counts['train']:,} train")
    if fewer := card["distilled"]["fewer"]:
        amount = "no complete translation" if a.count == 1 else f"fewer than {a.count} complete translations"
        print(f"  {fewer:,} sources have {amount}")
    if held_out := card["distilled"]["held_out"]:
        print(f"  left out {held_out:,}: translation almost equals a held-out target")
    return 0


def backtranslate(a: argparse.Namespace) -> int:
    """Run `dragoman backtranslate` and return its exit status."""
    from dragoman.translate.corpus.cleaning import count_drops, usable_pairs
    from dragoman.translate.corpus.folder import (
        Corpus,
        check_model_languages,
        check_out,
        new_corpus,
        unchanged,
        write_pairs,
    )
    from dragoman.translate.corpus.readers.lines import read_byte_lines
    from dragoman.translate.distillation.backtranslate import back_translate
    from dragoman.translate.evaluation.engine import translator_of
    from dragoman.translate.training.run import Run

    run, corpus = Run(a.reverse), Corpus(a.corpus)
    check_out(a.out, corpus.languages, a.corpus, a.text)
    left_out: Counter[str] = Counter()
    text = (
        pair.target for pair in usable_pairs(((line, line) for line in read_byte_lines(a.text)), count_drops(left_out))
    )
    translator = translator_of(run)
    check_model_languages(a.reverse, translator, corpus.folder, corpus.languages[::-1])
    translator.check_beam(a.beam)
    with (
        _resumable_work(a.out, corpus) as (journal, progress),
        new_corpus(a.out, corpus.languages) as partial,
        unchanged(corpus),
    ):
        splits, card = back_translate(
            run, translator, corpus, text, journal, beam=a.beam, left_out=left_out, progress=progress
        )
        counts = write_pairs(partial, corpus.languages, splits, card)["pairs"]
    back_translated = card["back_translated"]
    print(f"{a.out}: {counts['train']:,} train, {back_translated['lines']:,} of them back-translated")
    for reason, count in back_translated["left_out"].items():
        print(f"  left out {count:,}: {reason}")
    return 0


@contextmanager
def _resumable_work(out: str, corpus: Corpus) -> Iterator[tuple[Path, ProgressCallback]]:
    """Yield the path of a journal beside the corpus to write, and a progress callback; lock the work meanwhile.

    The journal is removed once the block ends without an error, and when the corpus was changed, since it may hold
    translations of both texts. Raises UserError when another process holds the lock.
    """
    from dragoman.translate.progress import bar

    folder = real_path(out)
    journal, lock_file = (folder.with_name(folder.name + ending) for ending in (".journal", ".lock"))
    make_folder(journal.parent)
    lock = acquire_lock(lock_file, f"{out} is being written", "name another folder")
    stamp = corpus.stamp()
    try:
        with bar("translating") as progress:
            yield journal, progress
        journal.unlink(missing_ok=True)
    except UserError:
        if corpus.stamp() != stamp:
            journal.unlink(missing_ok=True)
        raise
    finally:
        lock_file.unlink(missing_ok=True)
        lock.release()
