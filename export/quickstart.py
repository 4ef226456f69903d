"""The quickstart: corpus, training, export, verification and translations."""

from __future__ import annotations

import random
import shlex
import shutil
import sys
import time
from importlib.resources import files
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dragoman.export.exporter import PARITY_SENTENCES, build
from dragoman.export.parity import compare_search, parity_batches
from dragoman.runtime.errors import UserError
from dragoman.runtime.translator import Translator
from dragoman.translate.config import from_tree
from dragoman.translate.corpus.builders.cldr import from_cldr, parse_locale
from dragoman.translate.corpus.folder import Corpus, write_corpus
from dragoman.translate.corpus.languages import parse_pair
from dragoman.translate.evaluation.engine import TorchEngine, translate_all
from dragoman.translate.evaluation.metrics import score
from dragoman.translate.evaluation.plots import draw_attention, draw_curves
from dragoman.translate.files import write_atomically
from dragoman.translate.progress import clock
from dragoman.translate.training.display import Display
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer

PHRASES = 40_000


SHOWN = 10


ENOUGH = 0.5  # of the held-out phrases exactly right; two cores of their own give nine in ten


def quickstart(pair: str, folder: Path, minutes: float | None = None) -> float:
    """Corpus, training, export, verification, scores and examples, all in one folder. Returns the held-out BLEU.

    What an earlier quickstart left in the folder is replaced. minutes: of training, where others are wanted.
    """
    started = time.perf_counter()
    console = Console(file=sys.stderr, highlight=False)

    def say(text: str) -> None:
        console.print(f"[{clock(time.perf_counter() - started):>5}]  {text}", markup=False, soft_wrap=True)

    languages = parse_pair(pair)
    for code in languages:
        parse_locale(code)
    corpus, run, model = folder / "corpus", Run(folder / "run"), folder / f"{pair}.onnx"
    if run.folder.exists() and not run.path("config.json").exists():
        raise UserError(f"--out {folder} holds something else under run/; name another folder")
    say(f"making {PHRASES:,} phrases in {pair} from CLDR data")
    splits, card = from_cldr(languages, PHRASES)
    write_corpus(corpus, languages, splits, card)
    shutil.rmtree(run.folder, ignore_errors=True)  # of an earlier quickstart
    tree = msgspec.toml.decode(files("dragoman.export").joinpath("quickstart.toml").read_bytes())
    tree["training"]["minutes"] = minutes or tree["training"]["minutes"]
    config = from_tree({**tree, "name": "run", "data": {"corpus": str(corpus)}}, "quickstart.toml")
    training = Trainer(config, run.folder, display=Display()).fit()["training"]
    draw_curves(run.folder)

    say("exporting to ONNX and comparing with PyTorch")
    test = Corpus(corpus).read("test")
    sources = [p.source for p in test]
    data, levels = build(run, sources[:PARITY_SENTENCES])
    write_atomically(model, data)
    translator = Translator.load(model, self_test=True)
    for level in levels:
        say(level.describe())
    rows = [translator.source_tokenizer.encode(s) for s in sources]
    level = compare_search(
        TorchEngine(run.search()), translator.engine, parity_batches(rows, 32), 1, translator.metadata
    )
    say(level.describe())
    if not level.passed:
        raise UserError(f"{model} differs from PyTorch: {level.describe()}")

    say(f"translating {len(test):,} held-out phrases with {model.name}")
    output = [t.text for t in translate_all(translator, sources)]
    scores = score(output, [p.target for p in test], languages[1], ter=False)
    exact = sum(out == p.target for out, p in zip(output, test, strict=True)) / len(test)
    table = Table("held-out phrase", "translation", "expected, where it differs", show_lines=False)
    chosen = sorted(random.Random(7).sample(range(len(test)), min(SHOWN, len(test))))
    for i in chosen:
        table.add_row(
            *(escape(x) for x in (sources[i], output[i], "" if output[i] == test[i].target else test[i].target))
        )
    Console(highlight=False).print(table)
    example = max((sources[i] for i in chosen), key=lambda s: min(len(s), 60))
    picture = folder / "attention.png"
    write_atomically(picture, draw_attention(translator.translate(example, alignments=True).attention[0]))
    for s in scores:
        print(f"{s.metric} {s.score:.2f} on {len(test):,} held-out phrases ({s.signature})")
    print(f"{exact:.1%} of them exactly as expected")
    print(f"model      {model} ({len(data) / 1e6:.1f} MB)\nattention  {picture}\ncurves     {run.path('curves.png')}")
    command = "dragoman" if shutil.which("dragoman") else shlex.quote(str(Path(sys.executable).with_name("dragoman")))
    print(f"try        {command} translate {model} {shlex.quote(sources[chosen[0]])}")
    say("done")
    limit = config.training.minutes or 0
    if exact < ENOUGH and training["minutes"] >= limit:
        say(
            f"few are right: {training['steps']:,} steps at {training['target_tokens_per_second']:,} tokens/s are not "
            f"enough. A slow or busy machine needs longer; give it, say, --minutes {4 * limit:g}"
        )
    return scores[0].score
