"""The commands `dragoman export`, `dragoman verify` and `dragoman quickstart`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.runtime.console import Commands
from dragoman.runtime.errors import UserError
from dragoman.translate.files import real

if TYPE_CHECKING:
    from dragoman.export.parity import Level
    from dragoman.translate.corpus.folder import Pair
    from dragoman.translate.progress import ProgressCallback
    from dragoman.translate.training.run import Run


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
    from dragoman.export.exporter import PARITY_SENTENCES, build, build_int8
    from dragoman.translate.files import descriptor_of, write_atomically
    from dragoman.translate.training.run import Run

    run, path = Run(a.run_folder), Path(a.output)
    if path.is_dir() or not real(path).parent.is_dir():
        raise UserError(f"-o {path}: name a file in a folder that exists")
    if run.folder.is_file():
        from dragoman.runtime.translator import Translator

        precision = Translator.load(run.folder).metadata.precision
        raise UserError(f"{run.folder} is exported already, in {precision}; name the folder of the run it came from")
    if not a.int8 and (a.target or a.force):
        raise UserError("--target and --force are about int8 files; give --int8 with them")
    task = run.config().task
    if a.int8 and task != "translate":
        raise UserError(f"{run.folder} was trained to {task}; --int8 is for translators")
    print("exporting and comparing with PyTorch; about half a minute", file=sys.stderr)
    pairs = validation_pairs(run) if task != "forecast" else []
    if task == "forecast":
        from dragoman.export.forecasting import build_forecaster

        data, levels = build_forecaster(run)
    elif task != "translate":
        from dragoman.export.labelling import build_labelling

        data, levels = build_labelling(run, [pair.source for pair in pairs[:PARITY_SENTENCES]])
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
    from dragoman.translate.corpus.folder import Corpus

    folder = run.config().data.corpus
    pairs = [*Corpus(folder).read("valid")]
    if not pairs:
        raise UserError(f"{folder}, which {run.folder} was trained on, has an empty validation set to compare on")
    return pairs


def verify(a: argparse.Namespace) -> int:
    """`dragoman verify`."""
    from dragoman.export.parity import batch_invariance, compare_search, compare_steps, compare_text, parity_batches
    from dragoman.export.quantize import quantised
    from dragoman.runtime.metadata import read_model_file
    from dragoman.runtime.translator import Translator
    from dragoman.translate.config import to_tree
    from dragoman.translate.corpus.readers.raw import read_lenient
    from dragoman.translate.evaluation.engine import TorchEngine
    from dragoman.translate.progress import bar
    from dragoman.translate.training.run import Run

    run = Run(a.against)
    if run.config().task == "forecast":
        from dragoman.export.forecasting import verify_forecaster

        if a.source:
            raise UserError("--source is for text; a forecaster is compared on the validation part of its corpus")
        return _verdict(verify_forecaster(run, a.model), a)
    sentences = read_lenient(a.source) if a.source else [pair.source for pair in validation_pairs(run)]
    if run.config().task != "translate":
        from dragoman.export.labelling import verify_labelling

        return _verdict(verify_labelling(run, a.model, sentences), a)
    model, translator = read_model_file(a.model), Translator.load(a.model)
    metadata = translator.metadata
    own = tuple(tokenizer.model for tokenizer in run.tokenizers())
    if (metadata.source_tokenizer, metadata.target_tokenizer) != own:
        raise UserError(f"{a.model} was not made from {a.against}: their tokenizers differ")
    for key, value in to_tree(run.config())["model"].items():
        if metadata.config["model"].get(key, value) != value:  # an older file may not say
            raise UserError(f"{a.model} was not made from {a.against}: their model.{key} differs")
    rows = [translator.source_tokenizer.encode(s) for s in sentences if s.strip()]
    rows = [row for row in rows if len(row) <= metadata.max_source]
    if not rows:
        raise UserError(f"{a.source or a.against} has no sentence to compare on")
    search = run.search()
    if metadata.precision == "int8":
        search = quantised(search, metadata.quantisation["calibration"], metadata.quantisation["target"])
    engine = TorchEngine(search)
    settings = [(beam, batch) for beam in sorted({1, metadata.defaults["beam_size"]}) for batch in (1, 32)]
    work = len(rows) * (len(settings) + 6 + 1)
    with bar("comparing", work) as progress:
        levels = compare_steps(search, model, rows, metadata)
        for number, (beam, batch) in enumerate(settings):
            batches = parity_batches(rows, batch)
            advance = partial(_advance, progress, number * len(rows))
            levels.append(compare_search(engine, translator.engine, batches, beam, metadata, advance))
        before = len(settings) * len(rows)
        levels.append(
            batch_invariance(model, rows, metadata.defaults["beam_size"], metadata, partial(_advance, progress, before))
        )
        levels.append(compare_text(Translator(engine, metadata), translator, sentences))
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


def _advance(progress: ProgressCallback, before: int, done: int) -> None:
    progress(before + done)


def quickstart(a: argparse.Namespace) -> int:
    """`dragoman quickstart`."""
    from dragoman.export.quickstart import quickstart as go

    go(a.pair, Path(a.out or f"runs/quickstart-{a.pair}"), a.minutes)
    return 0
