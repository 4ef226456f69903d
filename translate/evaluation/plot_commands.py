"""The commands `dragoman plot` and `dragoman cells`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dragoman.runtime.console import Commands, positive
from dragoman.runtime.errors import UserError
from dragoman.runtime.line_processing import check_is_no_file
from dragoman.translate.evaluation.inputs import load_translator

MOST_SUBWORDS = 64  # of a text in a plot of sensitivities: more are illegible


def add_commands(commands: Commands) -> None:
    """Register `cells` and `plot`."""
    _add_cells(commands)
    kinds = commands.add_parser(
        "plot", help="draw plots of runs and models", description="Draw plots of runs and models."
    ).add_subparsers(metavar="KIND", required=True)
    _add_plot_curves(kinds)
    _add_plot_attention(kinds)
    _add_plot_sensitivity(kinds)


def _add_cells(commands: Commands) -> None:
    p = commands.add_parser(
        "cells",
        help="compare the four recurrent cells",
        description="Compare Elman, LSTM, GRU and SRU networks with equal numbers of parameters. They learn to copy, "
        "reverse, sort and add, with attention and without, and with --corpus also to translate. Quality, speed and "
        "gradient norms with and without clipping are written as a table and plots. Takes over an hour; rerun to "
        "resume. Run nothing else meanwhile, because speed is measured.",
    )
    p.add_argument("--out", required=True, metavar="DIR", help="the folder for runs, tables and plots")
    p.add_argument("--corpus", metavar="DIR", help="a parallel corpus to translate (default: synthetic tasks only)")
    p.add_argument(
        "--epochs", type=positive, default=10, metavar="N",
        help="epochs per training (default: 10). Tasks without attention: x 4; addition with attention: x 2; "
        "translation: x 0.5",
    )  # fmt: skip
    p.add_argument(
        "--size", type=positive, default=20000, metavar="N", help="examples of each synthetic task (default: 20000)"
    )
    p.set_defaults(run=cells)


def _add_plot_curves(kinds: Commands) -> None:
    p = _add_kind(
        kinds, "curves", "Plot a run's losses, scores, learning rate and gradient norm to RUN/curves.png.", plot_curves
    )
    p.add_argument("folder", metavar="RUN", help="run folder")


def _add_plot_attention(kinds: Commands) -> None:
    p = _add_kind(
        kinds, "attention", "Plot the attention weights of one translation with a run or an .onnx file.", plot_attention
    )
    p.add_argument("model", metavar="MODEL", help="run folder or .onnx file")
    _add_text_and_output(p, "attention.png")


def _add_plot_sensitivity(kinds: Commands) -> None:
    p = _add_kind(
        kinds,
        "sensitivity",
        "Plot the sensitivity of encoder states to the input: the norm of dh_t/dx_s for each pair of subwords, in each "
        "layer and direction. Several runs are drawn side by side.",
        plot_sensitivity,
    )
    kinds.choices["memory"] = p  # its former name; `aliases` would show it in the help
    p.add_argument("model", nargs="+", metavar="RUN", help="run folder")
    _add_text_and_output(p, "sensitivity.png")


def _add_kind(
    kinds: Commands, name: str, help: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    p: argparse.ArgumentParser = kinds.add_parser(name, help=help, description=help)
    p.set_defaults(run=run)
    return p


def _add_text_and_output(p: argparse.ArgumentParser, default: str) -> None:
    p.add_argument("sentence", metavar="TEXT", help="sentence to plot")
    p.add_argument(
        "-o", "--output", default=default, metavar="FILE", help=f"file to write, .png or .svg (default: {default})"
    )


def cells(a: argparse.Namespace) -> int:
    """Run `dragoman cells`."""
    from dragoman.translate.evaluation.cell_comparison import run_comparison

    run_comparison(Path(a.out), a.corpus, a.epochs, a.size)
    return 0


def plot_curves(a: argparse.Namespace) -> int:
    """Run `dragoman plot curves`."""
    from dragoman.translate.evaluation.plots import draw_curves

    print(draw_curves(a.folder))
    return 0


def plot_attention(a: argparse.Namespace) -> int:
    """Run `dragoman plot attention`."""
    from dragoman.translate.evaluation.plots import draw_attention

    kind = _kind_of_picture(a.output)
    _check_text(a.sentence)
    translator = load_translator([a.model])
    if not translator.has_attention:
        raise UserError(f"{a.model} has no attention to draw: it was trained with model.attention = none")
    maps = translator.translate(a.sentence, alignments=True).attention
    if not maps:
        raise UserError(f"{a.sentence!r} has no visible characters; give a text to draw")
    if len(maps) > 1:
        print(f"dragoman: the text is translated in {len(maps)} parts; the plot shows the first", file=sys.stderr)
    subwords = [*maps[0].source_subwords, *maps[0].target_subwords]
    return _write_plot(a.output, kind, draw_attention(maps[0], kind), subwords)


def plot_sensitivity(a: argparse.Namespace) -> int:
    """Run `dragoman plot sensitivity`."""
    from dragoman.runtime.normalisation import normalise
    from dragoman.translate.evaluation.plots import draw_sensitivity
    from dragoman.translate.evaluation.sensitivity import sensitivity
    from dragoman.translate.progress import bar
    from dragoman.translate.tasks.labelling import encoder_of
    from dragoman.translate.training.run import Run

    kind = _kind_of_picture(a.output)
    _check_text(a.sentence)
    if not normalise(a.sentence):
        raise UserError(f"{a.sentence!r} has no visible characters; give a text to draw")
    names, subwords, norms = [], [], []
    for folder in a.model:
        run = Run(folder)
        embedding, encoder = encoder_of(run)
        tokenizer = run.source_tokenizer()
        ids = tokenizer.encode(a.sentence)
        if len(ids) > MOST_SUBWORDS:
            raise UserError(f"the text has {len(ids)} subwords; give a text of at most {MOST_SUBWORDS}")
        with bar(folder, len(ids) * len(encoder.layers)) as progress:
            norms.append(sensitivity(embedding, encoder, ids, progress))
        names.append(f"{run.config().name} ({run.config().model.cell})")
        subwords.append(tokenizer.subwords(ids))
    picture = draw_sensitivity(names, subwords, norms, kind)
    return _write_plot(a.output, kind, picture, [subword for words in subwords for subword in words])


def _check_text(text: str) -> None:
    """Raise UserError if a file is named in the place of a text."""
    check_is_no_file(text, "give a sentence of it, in quotes", "a plot shows one text")


def _write_plot(path: str, kind: str, picture: bytes, subwords: Sequence[str]) -> int:
    """Write a plot, print its path, and warn on stderr of characters that it cannot show."""
    from dragoman.runtime.files import write_atomically
    from dragoman.translate.evaluation.plots import characters_without_font

    write_atomically(Path(path), picture)
    if kind == "png" and (missing := characters_without_font(subwords)):
        print(
            f"dragoman: no font on this machine has {', '.join(missing)}; the plot shows boxes instead. Install a font "
            "such as Noto, or write an .svg file, which is drawn with the viewer's fonts",
            file=sys.stderr,
        )
    print(path)
    return 0


def _kind_of_picture(path: str) -> str:
    """Return the format that a file's name asks for. Raises UserError when it is neither PNG nor SVG."""
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise UserError(f"-o {path}: give a name that ends in .png or .svg")
    return kind
