"""The commands that make corpora, train and score."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.runtime.cli import Commands, positive, run_commands
from dragoman.runtime.errors import Interrupted, UserError

if TYPE_CHECKING:
    from dragoman.translate.corpus.store import Pair

RUNS = Path("runs")


def add_commands(commands: Commands) -> None:
    """Register `corpus`, `train`, `evaluate` and `plot`."""
    p = commands.add_parser("corpus", help="make a corpus folder", description="Make a corpus folder to train on.")
    kinds = p.add_subparsers(metavar="KIND", required=True)

    def kind(name: str, help: str) -> argparse.ArgumentParser:
        k: argparse.ArgumentParser = kinds.add_parser(name, help=help, description=help)
        k.add_argument("--pair", required=True, metavar="XX-YY", help="source and target language, such as en-de")
        k.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
        return k

    k = kind("cldr", "Phrases made from CLDR data: dates, quantities, money, names, in any pair of its languages.")
    k.add_argument("--size", type=positive, default=40000, metavar="N", help="training pairs (default 40000)")
    k.add_argument("--seed", type=int, default=1, metavar="N")
    k.set_defaults(run=corpus_cldr)
    k = kind("files", "Two parallel files, or one TSV of source and target; plain or gzipped, UTF-8.")
    k.add_argument("files", nargs="+", metavar="FILE", help="SOURCE TARGET, or one TSV")
    k.add_argument("--valid", type=positive, metavar="N", help="pairs to validate on (default 1000, or a tenth of few)")
    k.add_argument("--test", type=positive, metavar="N", help="pairs to test on (default 1000, or a tenth of few)")
    k.add_argument("--seed", type=int, default=1, metavar="N", help="chooses the held-out pairs")
    k.set_defaults(run=corpus_files)
    k = kind(
        "multi30k", "The Multi30k captions, from a folder with the files of task 1 (train, val, test_2016_flickr)."
    )
    k.add_argument("--from", required=True, dest="folder", metavar="FOLDER")
    k.set_defaults(run=corpus_multi30k)

    p = commands.add_parser(
        "train",
        help="train a translator",
        description="Train what a configuration describes and write runs/NAME. Ctrl-C ends it with a checkpoint.",
    )
    p.add_argument("config", metavar="CONFIG.toml")
    p.add_argument(
        "--set", action="append", default=[], metavar="key=value", help="another value, such as training.lr=1e-3"
    )
    p.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    p.set_defaults(run=train)

    p = commands.add_parser(
        "evaluate",
        help="score a model against a reference",
        description="BLEU, chrF and TER with sacreBLEU's signatures. MODEL is a run's folder (computed by PyTorch) or "
        "an .onnx file. Scores of different bases must not be compared.",
    )
    p.add_argument("model", metavar="MODEL")
    p.add_argument("--source", required=True, metavar="F", help="text to translate, plain or gzipped")
    p.add_argument("--reference", required=True, metavar="F", help="its translation, line for line")
    p.add_argument("--beam", type=positive, metavar="K", help="beam size (default: the model's own)")
    p.add_argument("--batch-size", type=positive, default=32, metavar="N")
    p.add_argument(
        "--basis", choices=("cased", "lc.tok"), default="cased",
        help="cased: detokenised text, the default. lc.tok: lower-cased, Moses-tokenised, as published for Multi30k",
    )  # fmt: skip
    p.add_argument("--output", metavar="F", help="also write the translations")
    p.add_argument(
        "--record",
        metavar="DIR",
        help="also write each score with signature, command, seed, commit and machine as JSON",
    )
    p.add_argument(
        "--name", metavar="SET", help="the test set's name in such a record (default: the source's file name)"
    )
    p.add_argument("--json", action="store_true")
    p.set_defaults(run=evaluate)

    p = commands.add_parser("plot", help="draw a run's curves", description="Draw a run's curves as curves.png.")
    p.add_argument("folder", metavar="RUN")
    p.set_defaults(run=plot)


def _write(a: argparse.Namespace, splits: dict[str, list[Pair]], card: dict[str, Any]) -> int:
    from dragoman.translate.corpus.store import SPLITS, parse_pair, write_corpus

    write_corpus(a.out, parse_pair(a.pair), splits, card)
    print(f"{a.out}: " + ", ".join(f"{len(splits[part]):,} {part}" for part in SPLITS))
    for reason, n in card["dropped"].items():
        print(f"  dropped {n:,}: {reason}")
    return 0


def corpus_cldr(a: argparse.Namespace) -> int:
    """`dragoman corpus cldr`."""
    from dragoman.translate.corpus.cldr import from_cldr
    from dragoman.translate.corpus.store import parse_pair

    held_out = min(1000, max(1, a.size // 10))
    return _write(a, *from_cldr(parse_pair(a.pair), a.size, held_out, held_out, a.seed))


def corpus_files(a: argparse.Namespace) -> int:
    """`dragoman corpus files`."""
    from dragoman.translate.corpus.files import from_files
    from dragoman.translate.corpus.store import parse_pair

    parse_pair(a.pair)
    return _write(a, *from_files(a.files, a.valid, a.test, a.seed))


def corpus_multi30k(a: argparse.Namespace) -> int:
    """`dragoman corpus multi30k`."""
    from dragoman.translate.corpus.files import from_multi30k
    from dragoman.translate.corpus.store import parse_pair

    return _write(a, *from_multi30k(a.folder, parse_pair(a.pair)))


def train(a: argparse.Namespace) -> int:
    """`dragoman train`."""
    from dragoman.translate.config import load

    config = load(a.config, a.set)
    from dragoman.translate.plots import draw_curves
    from dragoman.translate.progress import Display
    from dragoman.translate.training import Trainer

    folder = RUNS / config.name
    try:
        Trainer(config, folder, resume=a.resume, display=Display()).fit()
    except Interrupted as stop:
        raise Interrupted(f"{stop}; --resume goes on from there") from None
    draw_curves(folder)
    print(folder)
    return 0


def evaluate(a: argparse.Namespace) -> int:
    """`dragoman evaluate`."""
    from rich.progress import Progress

    from dragoman.runtime.translator import Translator
    from dragoman.translate.checkpoint import Run, make_folder, write_atomically, write_json
    from dragoman.translate.corpus.files import read_raw
    from dragoman.translate.evaluate import as_dict, records, score, translate_all, translator_of

    source, reference = ([line.decode("utf-8", "replace") for line in read_raw(f)] for f in (a.source, a.reference))
    if len(source) != len(reference):
        raise UserError(f"{a.source} has {len(source):,} lines and {a.reference} has {len(reference):,}")
    if not source:
        raise UserError(f"{a.source} has no lines")
    translator = translator_of(Run(a.model)) if Path(a.model).is_dir() else Translator.load(a.model)
    from rich.console import Console

    with Progress(console=Console(file=sys.stderr)) as bar:
        task = bar.add_task("translating", total=len(source))
        output = translate_all(
            translator, source, beam=a.beam, batch_size=a.batch_size,
            progress=lambda done: bar.update(task, completed=done),
        )  # fmt: skip
    if a.output:
        write_atomically(Path(a.output), "".join(line + "\n" for line in output).encode())
    scores = score(output, reference, translator.bundle.target_language, a.basis)
    beam = a.beam or translator.bundle.defaults["beam_size"]
    if a.record:
        command = shlex.join(["dragoman", *sys.argv[1:]])
        name = a.name or Path(a.source).name.split(".")[0]
        make_folder(Path(a.record))
        for record in records(scores, translator.bundle, name=name, beam=beam, command=command):
            words = (record["run"], name, a.basis, record["metric"], f"beam{beam}")
            parts = [*map(str, words), record["precision"], f"seed{record['seed']}"]
            write_json(Path(a.record) / ("-".join(parts).lower() + ".json"), record)
    if a.json:
        print(json.dumps({"model": a.model, "beam": beam, "sentences": len(source), **as_dict(scores)}, indent=2))
    else:
        for s in scores:
            print(f"{s.metric:<5} {s.score:6.2f}   {s.basis}, beam {beam}   {s.signature}")
    return 0


def plot(a: argparse.Namespace) -> int:
    """`dragoman plot`."""
    from dragoman.translate.plots import draw_curves

    print(draw_curves(a.folder))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m dragoman.translate`: corpora, training and scoring."""
    return run_commands("dragoman", "Make corpora, train and score.", [add_commands], argv)
