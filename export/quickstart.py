"""The quickstart: corpus, training, export, verification and translations in a few minutes."""

from __future__ import annotations

import random
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dragoman.export.exporter import PARITY_SENTENCES, build
from dragoman.export.parity import compare_search, parity_batches
from dragoman.runtime.errors import UserError
from dragoman.runtime.files import write_atomically
from dragoman.runtime.progress import format_duration
from dragoman.runtime.translator import Translator
from dragoman.translate.config import from_tree
from dragoman.translate.corpus.builders.cldr import build_cldr, parse_locale
from dragoman.translate.corpus.folder import Corpus, new_corpus, write_pairs
from dragoman.translate.corpus.languages import parse_pair
from dragoman.translate.evaluation.engine import TorchEngine, translate_all
from dragoman.translate.evaluation.metrics import score
from dragoman.translate.evaluation.plots import draw_attention, draw_curves
from dragoman.translate.training.display import Display
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer

PHRASES = 40_000
SHOWN = 10  # translations printed as examples

# Share of held-out phrases translated exactly, below which training was too short. Two idle cores reach 0.9.
MIN_EXACT = 0.5


def run_quickstart(
    pair: str,
    folder: Path,
    minutes: float | None = None,
    *,
    phrases: int = PHRASES,
    training_config: Mapping[str, Any] | None = None,
) -> float:
    """Build a corpus, train, export, verify and score, all in one folder. Returns BLEU on the held-out phrases.

    Files of an earlier quickstart in the folder are replaced. minutes: training time (default: see quickstart.toml).
    phrases: training pairs. training_config: values that replace those of [training] in quickstart.toml.
    Raises UserError if the pair is no pair of CLDR languages, the folder holds another run, or the file differs from
    PyTorch.
    """
    started = time.perf_counter()
    console = Console(file=sys.stderr, highlight=False)

    def log(text: str) -> None:
        console.print(f"[{format_duration(time.perf_counter() - started):>5}]  {text}", markup=False, soft_wrap=True)

    languages = parse_pair(pair)
    for code in languages:
        parse_locale(code)
    corpus, run, model = folder / "corpus", Run(folder / "run"), folder / f"{pair}.onnx"
    if run.folder.exists() and not run.path("config.json").exists():
        raise UserError(f"--out {folder} has a folder run/ that is not a training run; name another folder")
    log(f"building a corpus of {phrases:,} {pair} phrases from CLDR data")
    with new_corpus(corpus, languages) as partial:
        write_pairs(partial, languages, *build_cldr(languages, phrases))
    shutil.rmtree(run.folder, ignore_errors=True)  # from an earlier quickstart
    tree = msgspec.toml.decode(files("dragoman.export").joinpath("quickstart.toml").read_bytes())
    tree["training"] |= {**(training_config or {}), **({"minutes": minutes} if minutes else {})}
    config = from_tree({**tree, "name": "run", "data": {"corpus": str(corpus)}}, "quickstart.toml")
    training = Trainer(config, run.folder, display=Display()).fit()["training"]
    draw_curves(run.folder)

    log("exporting to ONNX and comparing with PyTorch")
    test = Corpus(corpus).read("test")
    sources = [p.source for p in test]
    data, levels = build(run, sources[:PARITY_SENTENCES])
    write_atomically(model, data)
    translator = Translator.load(model, self_test=True)
    for level in levels:
        log(level.describe())
    rows = [translator.source_tokenizer.encode(s) for s in sources]
    level = compare_search(
        TorchEngine(run.search()), translator.engine, parity_batches(rows, 32), 1, translator.metadata
    )
    log(level.describe())
    if not level.passed:
        raise UserError(f"{model} differs from PyTorch: {level.describe()}")

    log(f"translating {len(test):,} held-out phrases with {model.name}")
    output = [t.text for t in translate_all(translator, sources)]
    scores = score(output, [[p.target for p in test]], languages[1], ter=False)
    exact = sum(out == p.target for out, p in zip(output, test, strict=True)) / len(test)
    table = Table("held-out phrase", "translation", "reference, if different", show_lines=False)
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
    print(f"{exact:.1%} of them match the reference exactly")
    print(f"model      {model} ({len(data) / 1e6:.1f} MB)\nattention  {picture}\ncurves     {run.path('curves.png')}")
    command = "dragoman" if shutil.which("dragoman") else shlex.quote(str(Path(sys.executable).with_name("dragoman")))
    print(f"try        {command} translate {model} {shlex.quote(sources[chosen[0]])}")
    log("done")
    limit = config.training.minutes or 0
    if exact < MIN_EXACT and training["minutes"] >= limit:
        log(
            f"few phrases are right, because training was too short: {training['steps']:,} steps at "
            f"{training['target_tokens_per_second']:,} tokens/s. On a slow or busy machine try --minutes {4 * limit:g}"
        )
    return scores[0].score
