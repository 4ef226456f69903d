"""The four cells side by side: equal in parameters, on made-up tasks and on translation, with gradients clipped or not.

Everything is in one folder: the runs, results.json, report.md and the figures. Runs that have ended are not done again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import torch

from dragoman.runtime.errors import UserError
from dragoman.runtime.translator import Translator
from dragoman.translate.checkpoint import Run, make_folder, read_rows, write_atomically
from dragoman.translate.config import CellName, Config, from_tree
from dragoman.translate.corpus.algorithms import LANGUAGES, from_algorithm
from dragoman.translate.corpus.store import Corpus, Pair, write_corpus
from dragoman.translate.evaluate import commit, exact_by_length, machine, translate_all, translator_of
from dragoman.translate.memory import reach, sensitivity
from dragoman.translate.model import Seq2Seq
from dragoman.translate.plots import draw_gradients, draw_lengths, draw_memory, draw_reach
from dragoman.translate.progress import Display
from dragoman.translate.reading import encoder_of
from dragoman.translate.training import Trainer

CELLS: tuple[CellName, ...] = get_args(CellName)
UNCLIPPED = 1e9  # a norm that no gradient reaches
TIMED = 200  # sentences that decoding is timed on, one at a time
PICTURED = "m t c a s b r q d k"  # what memory is drawn of

SMALL: dict[str, Any] = {
    "tokenizer": {"sampling": 0.0},
    "model": {
        "width": 64, "hidden": 64, "encoder_layers": 1, "decoder_layers": 1, "feed_forward": 0, "heads": 1,
        "dropout": 0.0,
    },
    "training": {
        "batch_tokens": 1000, "lr": 4e-3, "warmup": 50, "label_smoothing": 0.0, "average": 1, "precision": "float32",
    },
    "search": {"beam_size": 1},
}  # fmt: skip
TRANSLATION: dict[str, Any] = {
    "model": {
        "width": 256, "hidden": 256, "encoder_layers": 2, "decoder_layers": 1, "feed_forward": 0, "heads": 1,
        "dropout": 0.15,
    },
    "training": {"average": 1},
    "search": {"beam_size": 1},
}  # fmt: skip


def compare_cells(
    folder: Path, corpus: str | None, epochs: int, size: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Train and measure everything. corpus: of pairs to translate, or None for the made-up tasks alone.

    epochs: of each training. size: made-up tasks to train on. Returns the contents of results.json.
    """
    make_folder(folder)
    tasks: dict[str, tuple[Path, dict[str, Any]]] = {}
    for name in ("reverse", "add"):
        place = folder / "data" / name
        if not place.exists():
            splits, card = from_algorithm(name, size, length=10, beyond=20, seed=1)
            write_corpus(place, LANGUAGES, splits, card)
        tasks[name] = place, SMALL
    if corpus:
        tasks["translation"] = Path(corpus), TRANSLATION
    rows = []
    for name, (place, tree) in tasks.items():
        parameters = 0
        for cell in CELLS[::-1]:  # the last one's number of parameters is what the others are made equal to
            for clipped in (True, False) if name == "reverse" else (True,):
                kind = f"{name}-{cell}" + ("" if clipped else "-unclipped")
                config = _config(kind, place, tree, cell, epochs, clipped)
                say(f"{kind}")
                row = _measured(folder / kind, config, parameters)
                parameters = parameters or row["parameters"]
                rows.append({"task": name, "cell": cell, "clipped": clipped, **row})
    results = {"rows": rows, "epochs": epochs, "size": size, "commit": commit(), "machine": machine()}
    say("drawing")
    _draw(folder, rows)
    write_atomically(folder / "results.json", (json.dumps(results, indent=2) + "\n").encode())
    write_atomically(folder / "report.md", report(results).encode())
    return results


def _config(name: str, corpus: Path, tree: dict[str, Any], cell: str, epochs: int, clipped: bool) -> Config:
    training = {**tree["training"], "epochs": epochs, **({} if clipped else {"clip_norm": UNCLIPPED})}
    model = {**tree["model"], "cell": cell}
    data = {"corpus": str(corpus)}
    return from_tree({**tree, "name": name, "data": data, "model": model, "training": training}, name)


def equal_hidden(config: Config, sizes: tuple[int, int], parameters: int) -> int:
    """The hidden width with which a network of a configuration has nearly so many parameters."""

    def count(hidden: int) -> int:
        model = msgspec.structs.replace(config.model, hidden=hidden)
        return sum(p.numel() for p in Seq2Seq(model, *sizes).parameters())

    low, high = 1, 8 * config.model.hidden
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(middle) <= parameters else (low, middle - 1)
    return low


def _measured(folder: Path, config: Config, parameters: int) -> dict[str, Any]:
    """A run's facts, trained unless it has been; parameters: what its number should be, 0 for any."""
    run = Run(folder)
    done = run.path("run.json").exists() and "scores" in run.read_json("run.json")
    if not done:
        if parameters:
            source, target = Run(folder.with_name(f"{folder.name.split('-')[0]}-{CELLS[-1]}")).tokenizers()
            hidden = equal_hidden(config, (len(source), len(target)), parameters)
            config = msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, hidden=hidden))
        Trainer(config, folder, resume=folder.exists() and run.path("last.safetensors").exists()).fit()
    facts, metrics = run.read_json("run.json"), read_rows(run.path("metrics.jsonl"))
    corpus = Corpus(config.data.corpus)
    test = corpus.read("test")
    translator = translator_of(run)
    made_up = corpus.languages == LANGUAGES
    output = translate_all(translator, [p.source for p in test]) if made_up else []
    return {
        "hidden": run.config().model.hidden,
        "parameters": facts["parameters"],
        "perplexity": [r["perplexity"] for r in metrics if r["kind"] == "validation"][-1],
        "validation": facts["scores"]["validation"],
        "minutes": facts["training"]["minutes"],
        "target_tokens_per_second": facts["training"]["target_tokens_per_second"],
        "milliseconds_a_sentence": _decoding(translator, test),
        "exact": exact_by_length([p.source for p in test], output, [p.target for p in test]) if made_up else [],
        "trained_to": corpus.card.get("length"),
        "gradient_norms": [[r["step"], r["gradient_norm"]] for r in metrics if r["kind"] == "train"],
    }


def _decoding(translator: Translator, test: Sequence[Pair]) -> float:
    """Milliseconds that a sentence takes, greedily, one at a time, on one thread; the median."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for pair in test[:: max(1, len(test) // TIMED)]:
            start = time.perf_counter()
            translator.translate(pair.source, beam=1)
            times.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return round(1e3 * sorted(times)[len(times) // 2], 2)


def share_in(row: dict[str, Any], *, beyond: bool) -> float | None:
    """Of the lines within the lengths that were trained on, or beyond them, how many of 100 are exactly right."""
    own = [e for e in row["exact"] if (_length(row, e) > row["trained_to"]) == beyond]
    lines = sum(e["lines"] for e in own)
    return sum(e["exact"] * e["lines"] for e in own) / lines if lines else None


def _length(row: dict[str, Any], entry: dict[str, Any]) -> int:
    """Of an addition the words are up to two numbers and a plus; its length is that of the longer number, at least."""
    words: int = entry["length"]
    return -(-(words - 1) // 2) if row["task"] == "add" else words


def _draw(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    write_atomically(folder / "gradients.png", draw_gradients([r for r in rows if r["task"] == "reverse"]))
    write_atomically(folder / "lengths.png", draw_lengths([r for r in rows if r["exact"] and r["clipped"]]))
    names, pieces, found = [], [], []
    for cell in CELLS:
        run = Run(folder / f"reverse-{cell}")
        tokenizer = run.source_tokenizer()
        ids = tokenizer.encode(PICTURED)
        names.append(cell)
        pieces.append(tokenizer.pieces(ids))
        found.append(sensitivity(*encoder_of(run), ids))
    write_atomically(folder / "memory.png", draw_memory(names, pieces, found))
    write_atomically(folder / "reach.png", draw_reach(names, [reach(one[0, 0]) for one in found]))


def report(results: dict[str, Any]) -> str:
    """The results as a page of Markdown."""

    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:.1f}"

    lines = [
        "| task | cell | hidden | parameters | clipped | perplexity | BLEU | exact, trained lengths | exact, beyond | "
        "target tokens/s | ms a sentence | largest gradient norm |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        norms = [n for _, n in row["gradient_norms"]]
        inside, beyond = (share_in(row, beyond=b) if row["exact"] else None for b in (False, True))
        lines.append(
            f"| {row['task']} | {row['cell']} | {row['hidden']} | {row['parameters']:,} | "
            f"{'yes' if row['clipped'] else 'no'} | {row['perplexity']:.2f} | {row['validation']['BLEU']:.2f} | "
            f"{cell(inside)} | {cell(beyond)} | {row['target_tokens_per_second']:,} | "
            f"{row['milliseconds_a_sentence']:.2f} | {max(norms):.1f} |"
        )
    facts = f"{results['epochs']} epochs each; {results['machine']}; commit {results['commit']}."
    return "\n".join([*lines, "", facts, ""])


def run_comparison(folder: Path, corpus: str | None, epochs: int, size: int) -> None:
    """The command. Raises UserError for a folder that holds something else."""
    if folder.exists() and not (folder / "data").is_dir():
        raise UserError(f"--out {folder} holds something else; name a new folder")
    display = Display()
    results = compare_cells(folder, corpus, epochs, size, display.message)
    print(report(results))
    print(f"{folder}: results.json, report.md, gradients.png, lengths.png, memory.png, reach.png")
