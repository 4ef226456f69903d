"""The commands `dragoman plot` and `dragoman cells`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dragoman.runtime.console import Commands, positive
from dragoman.runtime.errors import UserError
from dragoman.translate.evaluation.inputs import load_translator

LONGEST_PICTURE = 64  # pieces of a text


def add_commands(commands: Commands) -> None:
    """Register `cells` and `plot`."""
    p = commands.add_parser(
        "cells",
        help="compare the four cells",
        description="Train Elman, LSTM, GRU and SRU of equal parameters to copy, reverse, sort and add, with attention "
        "and without, and, with --corpus, to translate; measure quality, speed and gradients with and without "
        "clipping; write a table and figures. That takes more than an hour; what is cut short goes on where it was. It "
        "is timed: nothing else should run.",
    )
    p.add_argument("--out", required=True, metavar="DIR", help="where everything is written")
    p.add_argument("--corpus", metavar="DIR", help="pairs to translate (default: only the made-up tasks)")
    p.add_argument(
        "--epochs",
        type=positive,
        default=10,
        metavar="N",
        help="of each training (default 10; without attention four times as many, addition with it twice, "
        "translation half)",
    )
    p.add_argument("--size", type=positive, default=20000, metavar="N", help="made-up tasks of a kind (default 20000)")
    p.set_defaults(run=cells)

    p = commands.add_parser("plot", help="draw pictures", description="Draw pictures of runs and models.")
    kinds = p.add_subparsers(metavar="KIND", required=True)

    def picture(name: str, help: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        k: argparse.ArgumentParser = kinds.add_parser(name, help=help, description=help)
        k.set_defaults(run=run)
        return k

    k = picture("curves", "A run's losses, scores and learning rate, as its curves.png.", plot_curves)
    k.add_argument("folder", metavar="RUN")
    k = picture("attention", "Where the translation of a text looked, by a run or an .onnx file alone.", plot_attention)
    k.add_argument("model", metavar="MODEL")
    k.add_argument("sentence", metavar="TEXT")
    k.add_argument("-o", "--output", default="attention.png", metavar="FILE", help="a .png or .svg (attention.png)")
    k = picture(
        "memory", "How much what an encoder keeps at each word of a text still depends on every other word: the norm "
        "of dh_t/dx_s in each layer and direction. Several runs are drawn side by side.", plot_memory,
    )  # fmt: skip
    k.add_argument("model", nargs="+", metavar="RUN")
    k.add_argument("sentence", metavar="TEXT")
    k.add_argument("-o", "--output", default="memory.png", metavar="FILE", help="a .png or .svg (memory.png)")


def cells(a: argparse.Namespace) -> int:
    """`dragoman cells`."""
    from dragoman.translate.evaluation.cell_comparison import run_comparison

    run_comparison(Path(a.out), a.corpus, a.epochs, a.size)
    return 0


def plot_curves(a: argparse.Namespace) -> int:
    """`dragoman plot curves`."""
    from dragoman.translate.evaluation.plots import draw_curves

    print(draw_curves(a.folder))
    return 0


def plot_attention(a: argparse.Namespace) -> int:
    """`dragoman plot attention`."""
    from dragoman.translate.evaluation.plots import draw_attention
    from dragoman.translate.files import write_atomically

    kind = _kind_of_picture(a.output)
    translator = load_translator([a.model])
    if not translator.attends:
        raise UserError(f"{a.model} has no attention to draw: it was trained with model.attention = none")
    maps = translator.translate(a.sentence, alignments=True).attention
    if not maps:
        raise UserError(f"{a.sentence!r} has nothing in it to look at")
    if len(maps) > 1:
        print(f"dragoman: the text is translated in {len(maps)} parts; the first is drawn", file=sys.stderr)
    write_atomically(Path(a.output), draw_attention(maps[0], kind))
    _say_boxes(kind, [*maps[0].source_subwords, *maps[0].target_subwords])
    print(a.output)
    return 0


def plot_memory(a: argparse.Namespace) -> int:
    """`dragoman plot memory`."""
    from dragoman.runtime.normalisation import normalise
    from dragoman.translate.evaluation.plots import draw_memory
    from dragoman.translate.evaluation.sensitivity import sensitivity
    from dragoman.translate.files import write_atomically
    from dragoman.translate.progress import bar
    from dragoman.translate.tasks.labelling import encoder_of
    from dragoman.translate.training.run import Run

    kind = _kind_of_picture(a.output)
    if not normalise(a.sentence):
        raise UserError(f"{a.sentence!r} has nothing in it to remember")
    names, pieces, found = [], [], []
    for folder in a.model:
        run = Run(folder)
        embedding, encoder = encoder_of(run)
        tokenizer = run.source_tokenizer()
        ids = tokenizer.encode(a.sentence)
        if len(ids) > LONGEST_PICTURE:
            raise UserError(f"the text has {len(ids)} pieces, more than the {LONGEST_PICTURE} that can be drawn")
        with bar(folder, len(ids) * len(encoder.layers)) as progress:
            found.append(sensitivity(embedding, encoder, ids, progress))
        names.append(f"{run.config().name} ({run.config().model.cell})")
        pieces.append(tokenizer.pieces(ids))
    write_atomically(Path(a.output), draw_memory(names, pieces, found, kind))
    _say_boxes(kind, [piece for own in pieces for piece in own])
    print(a.output)
    return 0


def _say_boxes(kind: str, pieces: Sequence[str]) -> None:
    """Tell of what a picture cannot show."""
    from dragoman.translate.evaluation.plots import without_font

    if kind == "png" and (missing := without_font(pieces)):
        print(
            f"dragoman: no font on this machine has {', '.join(missing)}, drawn as boxes; install one, such as Noto, "
            "or write an .svg, whose text is drawn by what shows it",
            file=sys.stderr,
        )


def _kind_of_picture(path: str) -> str:
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise UserError(f"-o {path}: a picture's name ends in .png or .svg")
    return kind
