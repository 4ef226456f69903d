"""The commands `dragoman export`, `dragoman verify` and `dragoman quickstart`."""

from __future__ import annotations

import argparse
import json
import os
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


CHECKS = ("loss",)  # checks of an int8 file that --force overrides; equality with PyTorch is not among them


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
        help="8-bit weights and activations: a quarter of the size, and faster. The file is written only if 8 bits "
        "raise the perplexity of the validation set by at most 0.5 %%",
    )
    p.add_argument(
        "--target",
        choices=("portable", "vnni"),
        help="processors that the int8 file must run on. portable (default): any; 7-bit weights. vnni: those with VNNI "
        "or an equivalent (x86 since about 2019); 8-bit weights, wrong results on other processors",
    )
    p.add_argument(
        "--force",
        nargs="?",
        const="",
        metavar="CHECK",
        help="write an int8 file that fails the named check: loss, the rise of the perplexity",
    )
    p.add_argument(
        "--full-vocabulary",
        action="store_true",
        help="let every translation use the whole vocabulary, instead of the subwords that its source selects: slower",
    )
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
    from dragoman.runtime.files import atomic_writer, descriptor_of
    from dragoman.translate.training.run import Run

    run, path = Run(a.run_folder), Path(a.output)
    _check_export_options(a, run)
    duration = "some minutes" if a.int8 else "about half a minute"
    print(f"exporting and comparing with PyTorch; this takes {duration}", file=sys.stderr)
    with atomic_writer(path) as file:  # opened first, because the work would be lost if that failed
        data, report = _build(a, run)
        file.write(data)
    output = sys.stderr if descriptor_of(path) == 1 else sys.stdout  # stdout may have received the model itself
    for line in report:
        print(line, file=output)
    print(f"{a.output}: {len(data) / 1e6:.1f} MB", file=output)
    return 0


def _may_be_model(path: Path) -> bool:
    """Return True if a file is empty or starts as every ONNX file does: with the field `ir_version`."""
    with open(path, "rb") as file:
        return file.read(1) in (b"", b"\x08")


def _check_export_options(a: argparse.Namespace, run: Run) -> None:
    """Raise UserError if the run cannot be exported, the output cannot be written, or the options do not suit both."""
    path = Path(a.output)
    if a.output.endswith(os.sep) or path.is_dir() or not real_path(path).parent.is_dir():
        raise UserError(f"-o {a.output}: name a file in a folder that exists")
    if run.folder.is_file():
        raise UserError(_explain_file(run.folder))
    if path.suffix != ".onnx" and path.exists() and real_path(path).parent == real_path(run.folder):
        raise UserError(f"-o {a.output} is a file of the run itself; name another")
    if path.suffix != ".onnx" and path.is_file() and not _may_be_model(path):
        raise UserError(f"-o {a.output} exists and is no model file, so it is not replaced; name another")
    if not a.int8 and (a.target or a.force is not None):
        raise UserError("--target and --force apply only to int8 files; give --int8 with them")
    if a.force not in (None, *CHECKS):
        given = f"`{a.force}`" if a.force else "nothing"
        raise UserError(
            f"--force takes the name of the check to override, {' or '.join(CHECKS)}, and was given {given}"
        )
    task = run.config().task
    if not run.path("model.safetensors").exists():
        raise UserError(
            f"{run.folder} has no model.safetensors, because its training has not ended; continue it with "
            "`dragoman train` and --resume"
        )
    if a.int8 and task != "translate":
        raise UserError(f"--int8 works only for translators, and {run.folder} was trained to {task}; leave out --int8")


def _explain_file(path: Path) -> str:
    """Return why a file cannot be exported."""
    from dragoman.runtime.loading import load
    from dragoman.runtime.metadata import ModelFileError

    try:
        precision = load(path).metadata.precision
    except ModelFileError:
        return f"{path} is a file; name the folder of a training run"
    return f"{path} is exported already, in {precision}; name the folder of the run it came from"


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
            run, pairs, a.target or "portable", full_vocabulary=a.full_vocabulary, check_loss=a.force != "loss",
            log=lambda text: print(text, file=sys.stderr),
        )  # fmt: skip
        return data, [*(level.describe() for level in levels), *comparison.describe()]
    if task == "translate":
        data, levels = build(run, sentences, full_vocabulary=a.full_vocabulary)
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
