"""The command `dragoman`: one dispatcher over all packages, and the commands that export, verify and show off."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.runtime import cli as runtime_cli
from dragoman.runtime.cli import Commands
from dragoman.runtime.errors import UserError
from dragoman.translate import cli as translate_cli
from dragoman.translate.folders import real

if TYPE_CHECKING:
    from dragoman.export.parity import Level
    from dragoman.translate.checkpoint import Run
    from dragoman.translate.corpus.store import Pair
    from dragoman.translate.progress import Moves


def add_commands(commands: Commands) -> None:
    """Register `export`, `verify` and `quickstart`."""
    p = commands.add_parser(
        "export",
        help="make the one file from a run",
        description="Write encoder, beam search, tokenizer, card and self-test of a run as one ONNX file. It is only "
        "written if ONNX Runtime gives the same tokens as PyTorch on sentences of the validation set.",
    )
    p.add_argument("run_folder", metavar="RUN")
    p.add_argument("-o", "--output", required=True, metavar="FILE.onnx")
    p.add_argument(
        "--int8",
        action="store_true",
        help="8-bit weights and activations: a quarter of the size and faster. Written only if it is faster here and "
        "loses at most 0.2 BLEU on the validation set",
    )
    p.add_argument(
        "--target",
        choices=("portable", "vnni"),
        help="processors an int8 file is made for: any (7-bit weights, the default), or those with VNNI or its like "
        "(x86 since about 2019; 8-bit weights, wrong results elsewhere)",
    )
    p.add_argument("--force", action="store_true", help="write an int8 file that is slower or worse, too")
    p.set_defaults(run=export)

    p = commands.add_parser(
        "verify",
        help="compare a file with the run it came from",
        description="Compare a file with PyTorch, level by level: encoder, one step, thirty chained steps, whole "
        "search (greedy and with the default beam, one by one and in batches of 32), text; and the file with itself: "
        "each sentence alone against batches of other sizes, orders and paddings, and two threads. Of a classifier or "
        "tagger, the labels and their probabilities. Exits with 1 when a level fails.",
    )
    p.add_argument("model", metavar="FILE.onnx")
    p.add_argument("--against", required=True, metavar="RUN")
    p.add_argument("--source", metavar="F", help="sentences to compare on (default: the run's validation set)")
    p.add_argument("--json", action="store_true")
    p.set_defaults(run=verify)

    p = commands.add_parser(
        "quickstart",
        help="the whole way in five minutes: corpus, training, export, check, translations",
        description="Make a corpus from CLDR data, train on it for three and a half minutes, export, verify, score the "
        "held-out phrases and show some of them.",
    )
    p.add_argument("--pair", default="en-de", metavar="XX-YY", help="any two CLDR languages (default en-de)")
    p.add_argument("--out", metavar="DIR", help="where to put everything (default runs/quickstart-PAIR)")
    p.add_argument("--minutes", type=_minutes, metavar="M", help="of training (default 3.5)")
    p.set_defaults(run=quickstart)


def _minutes(text: str) -> float:
    """Minutes, more than none."""
    try:
        if 0 < (minutes := float(text)) < float("inf"):
            return minutes
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes")


def export(a: argparse.Namespace) -> int:
    """`dragoman export`."""
    from dragoman.export.onnx import PARITY_SENTENCES, build, build_int8
    from dragoman.translate.checkpoint import Run, descriptor_of, write_atomically

    run, path = Run(a.run_folder), Path(a.output)
    if path.is_dir() or not real(path).parent.is_dir():
        raise UserError(f"-o {path}: name a file in a folder that exists")
    if run.folder.is_file():
        from dragoman.runtime.translator import Translator

        precision = Translator.load(run.folder).bundle.precision
        raise UserError(f"{run.folder} is exported already, in {precision}; name the folder of the run it came from")
    if not a.int8 and (a.target or a.force):
        raise UserError("--target and --force are about int8 files; give --int8 with them")
    task = run.config().task
    if a.int8 and task != "translate":
        raise UserError(f"{run.folder} was trained to {task}; --int8 is for translators")
    print("exporting and comparing with PyTorch; about half a minute", file=sys.stderr)
    pairs = validation_pairs(run) if task != "forecast" else []
    if task == "forecast":
        from dragoman.export.series import build_series

        data, levels = build_series(run)
    elif task != "translate":
        from dragoman.export.reader import build_reader

        data, levels = build_reader(run, [pair.source for pair in pairs[:PARITY_SENTENCES]])
    elif a.int8:
        data, levels, comparison = build_int8(
            run, pairs, a.target or "portable", force=a.force, say=lambda text: print(text, file=sys.stderr)
        )
    else:
        data, levels = build(run, [pair.source for pair in pairs[:PARITY_SENTENCES]])
    write_atomically(path, data)
    to = sys.stderr if descriptor_of(path) == 1 else sys.stdout  # which the model itself may have gone to
    for level in levels:
        print(level.describe(), file=to)
    if a.int8:
        print(comparison.describe(), file=to)
    print(f"{a.output}: {len(data) / 1e6:.1f} MB", file=to)
    return 0


def validation_pairs(run: Run) -> list[Pair]:
    """The validation set of a run's corpus. Raises UserError when the corpus is gone or the set is empty."""
    from dragoman.translate.corpus.store import Corpus

    folder = run.config().data.corpus
    pairs = [*Corpus(folder).read("valid")]
    if not pairs:
        raise UserError(f"{folder}, which {run.folder} was trained on, has an empty validation set to compare on")
    return pairs


def verify(a: argparse.Namespace) -> int:
    """`dragoman verify`."""
    from dragoman.export.parity import company, compare_search, compare_steps, compare_text, parity_batches
    from dragoman.export.quantize import quantised
    from dragoman.runtime.bundle import read_sealed
    from dragoman.runtime.translator import Translator
    from dragoman.translate.checkpoint import Run
    from dragoman.translate.config import to_tree
    from dragoman.translate.corpus.readers import read_lenient
    from dragoman.translate.evaluate import TorchEngine
    from dragoman.translate.progress import bar

    run = Run(a.against)
    if run.config().task == "forecast":
        from dragoman.export.series import verify_series

        if a.source:
            raise UserError("--source is for text; a forecaster is compared on the validation part of its corpus")
        return _verdict(verify_series(run, a.model), a)
    sentences = read_lenient(a.source) if a.source else [pair.source for pair in validation_pairs(run)]
    if run.config().task != "translate":
        from dragoman.export.reader import verify_reader

        return _verdict(verify_reader(run, a.model, sentences), a)
    model, translator = read_sealed(a.model), Translator.load(a.model)
    bundle = translator.bundle
    own = tuple(tokenizer.model for tokenizer in run.tokenizers())
    if (bundle.source_tokenizer, bundle.target_tokenizer) != own:
        raise UserError(f"{a.model} was not made from {a.against}: their tokenizers differ")
    for key, value in to_tree(run.config())["model"].items():
        if bundle.config["model"].get(key, value) != value:  # an older file may not say
            raise UserError(f"{a.model} was not made from {a.against}: their model.{key} differs")
    rows = [translator.source_tokenizer.encode(s) for s in sentences if s.strip()]
    rows = [row for row in rows if len(row) <= bundle.max_source]
    if not rows:
        raise UserError(f"{a.source or a.against} has no sentence to compare on")
    search = run.search()
    if bundle.precision == "int8":
        search = quantised(search, bundle.quantisation["calibration"], bundle.quantisation["target"])
    engine = TorchEngine(search)
    settings = [(beam, batch) for beam in sorted({1, bundle.defaults["beam_size"]}) for batch in (1, 32)]
    work = len(rows) * (len(settings) + 6 + 1)
    with bar("comparing", work) as progress:
        levels = compare_steps(search, model, rows, bundle)
        for number, (beam, batch) in enumerate(settings):
            batches = parity_batches(rows, batch)
            advance = partial(_advance, progress, number * len(rows))
            levels.append(compare_search(engine, translator.engine, batches, beam, bundle, advance))
        before = len(settings) * len(rows)
        levels.append(company(model, rows, bundle.defaults["beam_size"], bundle, partial(_advance, progress, before)))
        levels.append(compare_text(Translator(engine, bundle), translator, sentences))
        progress(work)
    return _verdict(levels, a)


def _verdict(levels: Sequence[Level], a: argparse.Namespace) -> int:
    passed = all(level.passed for level in levels)
    if a.json:
        print(json.dumps({"passed": passed, "levels": [level.as_dict() for level in levels]}, indent=2))
    else:
        for level in levels:
            print(level.describe())
        print("equal" if passed else "NOT equal: do not use this file")
    return 0 if passed else 1


def _advance(progress: Moves, before: int, done: int) -> None:
    progress(before + done)


def quickstart(a: argparse.Namespace) -> int:
    """`dragoman quickstart`."""
    from dragoman.export.quickstart import quickstart as go

    go(a.pair, Path(a.out or f"runs/quickstart-{a.pair}"), a.minutes)
    return 0


GROUPS = (translate_cli.add_commands, add_commands, runtime_cli.add_commands)
DESCRIPTION = "Train a small recurrent translator on your own parallel text and carry it as one ONNX file to any CPU."


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command line, without running it."""
    return runtime_cli.parse(runtime_cli.parser_of("dragoman", DESCRIPTION, GROUPS), argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command `dragoman`."""
    return runtime_cli.run_commands("dragoman", DESCRIPTION, GROUPS, argv)
