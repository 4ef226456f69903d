"""The commands `dragoman export`, `dragoman verify` and `dragoman quickstart`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.runtime.console import Commands
from dragoman.runtime.errors import UserError
from dragoman.runtime.files import real_path

if TYPE_CHECKING:
    from dragoman.export.parity import Level
    from dragoman.translate.corpus.folder import Pair
    from dragoman.translate.training.run import Run


def add_commands(commands: Commands) -> None:
    """Register `export`, `verify` and `quickstart`."""
    p = commands.add_parser(
        "export",
        help="turn a run into one ONNX file",
        description="Write encoder, beam search, tokenizer, model card and self-test of a run as one ONNX file. The "
        "file is written only if ONNX Runtime gives the same tokens as PyTorch on sentences of the validation set.",
    )
    p.add_argument("run_folder", metavar="RUN", help="run folder")
    p.add_argument("-o", "--output", required=True, metavar="FILE.onnx", help="file to write")
    p.add_argument(
        "--int8",
        action="store_true",
        help="8-bit weights and activations: a quarter of the size, and faster. The file is written only if it is "
        "faster on this machine and loses at most 0.2 BLEU on the validation set",
    )
    p.add_argument(
        "--target",
        choices=("portable", "vnni"),
        help="processors that the int8 file must run on. portable (default): any; 7-bit weights. vnni: those with VNNI "
        "or an equivalent (x86 since about 2019); 8-bit weights, wrong results on other processors",
    )
    p.add_argument("--force", action="store_true", help="write an int8 file even if it is slower or worse")
    p.set_defaults(run=export)

    p = commands.add_parser(
        "verify",
        help="compare a file with the run it came from",
        description="Compare a file with PyTorch, level by level: encoder, one step, 30 chained steps, whole search "
        "(greedy and with the default beam, in batches of 1 and 32), and text. Then compare the file with itself: each "
        "sentence alone and in batches of other sizes, orders and paddings, on one thread and on two. For a classifier "
        "or tagger, compare labels and their probabilities; for a forecaster, forecasts. The exit status is 1 if "
        "`verify` found a difference.",
    )
    p.add_argument("model", metavar="FILE.onnx", help="exported file")
    p.add_argument("--against", required=True, metavar="RUN", help="run that the file was exported from")
    p.add_argument("--source", metavar="FILE", help="sentences to compare on (default: the run's validation set)")
    p.add_argument("--json", action="store_true", help="print the levels as JSON")
    p.set_defaults(run=verify)

    p = commands.add_parser(
        "quickstart",
        help="corpus, training, export, verification and translations in five minutes",
        description="Build a corpus from CLDR data, train on it for three and a half minutes, export the run, verify "
        "the file, and score it on held-out phrases.",
    )
    p.add_argument("--pair", default="en-de", metavar="XX-YY", help="any two CLDR languages (default: en-de)")
    p.add_argument("--out", metavar="DIR", help="output folder (default: runs/quickstart-PAIR)")
    p.add_argument("--minutes", type=_minutes, metavar="M", help="training time (default: 3.5)")
    p.set_defaults(run=quickstart)


def _minutes(text: str) -> float:
    """Return a number of minutes above 0. Raises argparse's error for other text."""
    try:
        if 0 < (minutes := float(text)) < float("inf"):
            return minutes
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes above 0")


def export(a: argparse.Namespace) -> int:
    """Run `dragoman export`."""
    from dragoman.runtime.files import descriptor_of
    from dragoman.translate.files import write_atomically
    from dragoman.translate.training.run import Run

    run, path = Run(a.run_folder), Path(a.output)
    if path.is_dir() or not real_path(path).parent.is_dir():
        raise UserError(f"-o {path}: name a file in a folder that exists")
    _check_export_options(a, run)
    print("exporting and comparing with PyTorch; about half a minute", file=sys.stderr)
    data, report = _build(a, run)
    write_atomically(path, data)
    output = sys.stderr if descriptor_of(path) == 1 else sys.stdout  # stdout may have received the model itself
    for line in report:
        print(line, file=output)
    print(f"{a.output}: {len(data) / 1e6:.1f} MB", file=output)
    return 0


def _check_export_options(a: argparse.Namespace, run: Run) -> None:
    """Raise UserError if the run is a file, or the options do not suit its task."""
    if run.folder.is_file():
        from dragoman.runtime.translator import Translator

        precision = Translator.load(run.folder).metadata.precision
        raise UserError(f"{run.folder} is exported already, in {precision}; name the folder of the run it came from")
    if not a.int8 and (a.target or a.force):
        raise UserError("--target and --force apply only to int8 files; give --int8 with them")
    task = run.config().task
    if a.int8 and task != "translate":
        raise UserError(f"--int8 works only for translators, and {run.folder} was trained to {task}; leave out --int8")


def _build(a: argparse.Namespace, run: Run) -> tuple[bytes, list[str]]:
    """Return the file of a run, and the lines that report how it compares with PyTorch."""
    from dragoman.export.exporter import PARITY_SENTENCES, build, build_int8

    task = run.config().task
    if task == "forecast":
        from dragoman.export.forecasting import build_forecaster

        data, levels = build_forecaster(run)
        return data, [level.describe() for level in levels]
    pairs = validation_pairs(run)
    sentences = [pair.source for pair in pairs[:PARITY_SENTENCES]]
    if a.int8:
        data, levels, comparison = build_int8(
            run, pairs, a.target or "portable", force=a.force, log=lambda text: print(text, file=sys.stderr)
        )
        return data, [*(level.describe() for level in levels), comparison.describe()]
    if task == "translate":
        data, levels = build(run, sentences)
    else:
        from dragoman.export.labelling import build_labelling

        data, levels = build_labelling(run, sentences)
    return data, [level.describe() for level in levels]


def validation_pairs(run: Run) -> list[Pair]:
    """Return the validation set of a run's corpus. Raises UserError if the corpus is missing or the set is empty."""
    corpus = run.corpus()
    pairs = corpus.read("valid")
    if not pairs:
        raise UserError(
            f"{corpus.folder}, the corpus of {run.folder}, has an empty validation set; the comparison needs one"
        )
    return pairs


def verify(a: argparse.Namespace) -> int:
    """Run `dragoman verify`."""
    levels = _compare(a)
    passed = all(level.passed for level in levels)
    if a.json:
        print(json.dumps({"passed": passed, "levels": [level.as_dict() for level in levels]}, indent=2))
    else:
        for level in levels:
            print(level.describe())
        print("equal" if passed else "NOT equal: do not use this file")
    return 0 if passed else 1


def _compare(a: argparse.Namespace) -> list[Level]:
    """Return the comparison of a file with its run."""
    from dragoman.translate.corpus.readers.lines import read_lenient
    from dragoman.translate.training.run import Run

    run = Run(a.against)
    task = run.config().task
    if task == "forecast":
        from dragoman.export.forecasting import verify_forecaster

        if a.source:
            raise UserError("--source takes text; a forecaster is compared on the validation part of its corpus")
        return verify_forecaster(run, a.model)
    sentences = read_lenient(a.source) if a.source else [pair.source for pair in validation_pairs(run)]
    if task == "translate":
        from dragoman.export.verification import verify_translator

        return verify_translator(run, a.model, sentences)
    from dragoman.export.labelling import verify_labelling

    return verify_labelling(run, a.model, sentences)


def quickstart(a: argparse.Namespace) -> int:
    """Run `dragoman quickstart`."""
    from dragoman.export.quickstart import run_quickstart

    run_quickstart(a.pair, Path(a.out or f"runs/quickstart-{a.pair}"), a.minutes)
    return 0
