"""Compare the four cells on tasks with one right answer, and on translation."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec

from dragoman.runtime.errors import UserError
from dragoman.runtime.translator import Translator
from dragoman.translate.config import CellName, Config, differing_keys, from_tree
from dragoman.translate.corpus.builders.algorithms import LANGUAGES, from_algorithm
from dragoman.translate.corpus.folder import Corpus, Pair, write_corpus
from dragoman.translate.evaluation.engine import translate_all, translator_of
from dragoman.translate.evaluation.metrics import exact_by_length, within_and_beyond
from dragoman.translate.evaluation.plots import draw_gradients, draw_lengths, draw_memory, draw_reach
from dragoman.translate.evaluation.provenance import commit, machine
from dragoman.translate.evaluation.sensitivity import reach, sensitivity
from dragoman.translate.files import make_folder, read_rows, write_atomically
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.tasks.labelling import encoder_of
from dragoman.translate.threads import one_thread
from dragoman.translate.training.display import Display
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer

CELLS: tuple[CellName, ...] = get_args(CellName)


UNCLIPPED = 1e9  # a norm that no gradient reaches


TIMED = 50  # sentences that decoding is timed on, one at a time


TURNS, TURN, WARM = 3, 3.0, 20  # training is timed so many times, so many seconds each, after so many steps


ANOTHER = "name another --out, or take that folder away"


PICTURED = "m t c a s b r q d k"  # what memory is drawn of


SMALL: dict[str, Any] = {
    "tokenizer": {"sampling": 0.0},
    "model": {
        "width": 64, "hidden": 64, "encoder_layers": 1, "decoder_layers": 1, "feed_forward": 0, "heads": 1,
        "dropout": 0.0,
    },
    "training": {
        "batch_tokens": 1000, "optimizer": "adamw", "lr": 4e-3, "warmup": 50, "label_smoothing": 0.0, "average": 1,
        "precision": "float32",
    },
    "search": {"beam_size": 1},
}  # fmt: skip


BY_HEART: dict[str, Any] = {**SMALL, "model": {**SMALL["model"], "attention": "none"}}


TRANSLATION: dict[str, Any] = {  # small, that eight of them be trained in an hour
    "tokenizer": {"vocabulary": 2000, "sampling": 0.0},
    "model": {
        "width": 128, "hidden": 128, "encoder_layers": 2, "decoder_layers": 1, "feed_forward": 0, "heads": 1,
        "dropout": 0.1,
    },
    "training": {"optimizer": "adamw", "average": 1},
    "search": {"beam_size": 1},
}  # fmt: skip


class Problem(NamedTuple):
    """A made-up task: of lengths up to `length` to train on, and up to `beyond` to test on."""

    algorithm: str
    length: int
    beyond: int
    tree: dict[str, Any]
    epochs: int  # times what is asked for: what it takes until the best cell can do it
    unclipped: bool = False  # whether to train without clipping as well


PROBLEMS = {
    "copy": Problem("copy", 6, 12, BY_HEART, 4),
    "reverse": Problem("reverse", 6, 12, BY_HEART, 4, unclipped=True),
    "sort": Problem("sort", 6, 12, BY_HEART, 4),
    "add": Problem("add", 3, 6, BY_HEART, 4),
    "copy, attending": Problem("copy", 10, 20, SMALL, 1),
    "reverse, attending": Problem("reverse", 10, 20, SMALL, 1),
    "sort, attending": Problem("sort", 10, 20, SMALL, 1),
    "add, attending": Problem("add", 3, 6, SMALL, 2, unclipped=True),
}


REMEMBERS = "reverse"  # the one that cannot be done without remembering: what memory is drawn of


def compare_cells(
    folder: Path, corpus: str | None, epochs: int, size: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Train and measure everything. corpus: of pairs to translate, or None for the made-up tasks alone.

    epochs: of each training; of the harder tasks a multiple. size: made-up tasks to train on. Returns the contents of
    results.json.
    """
    if corpus and (task := Corpus(corpus).task) != "translate":
        raise UserError(f"{corpus} is a corpus to {task}; give one to translate")
    make_folder(folder)
    rows = []
    for name, problem in PROBLEMS.items():
        place = folder / "data" / _slug(name)
        splits, card = from_algorithm(problem.algorithm, size, problem.length, problem.beyond, seed=1)
        if not place.exists():
            write_corpus(place, LANGUAGES, splits, card)
        elif differing := [key for key, value in card.items() if Corpus(place).card.get(key) != value]:
            raise UserError(f"{place} was made with another {', '.join(differing)}; {ANOTHER}")
        rows += _task(folder, name, place, problem.tree, problem.epochs * epochs, problem.unclipped, say)
    if corpus:
        rows += _task(folder, "translation", Path(corpus), TRANSLATION, -(-epochs // 2), True, say)
    results = {"rows": rows, "size": size, "commit": commit(), "machine": machine()}
    say("drawing")
    _draw(folder, rows)
    write_atomically(folder / "results.json", (json.dumps(results, indent=2) + "\n").encode())
    write_atomically(folder / "report.md", report(results).encode())
    return results


def _slug(name: str) -> str:
    return name.replace(", ", "-")


def _task(
    folder: Path, name: str, place: Path, tree: dict[str, Any], epochs: int, unclipped: bool, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Rows of one task: each cell, trained unless it has been, and all of them timed in turns."""
    rows = []
    first: Run | None = None  # the last cell's number of parameters is what the others are made equal to
    for cell in CELLS[::-1]:
        for clipped in (True, False) if unclipped else (True,):
            kind = f"{_slug(name)}-{cell}" + ("" if clipped else "-unclipped")
            say(kind)
            run = _trained(folder / kind, _config(kind, place, tree, cell, epochs, clipped), first)
            first = first or run
            rows.append({"task": name, "cell": cell, "clipped": clipped, "epochs": epochs, **_measured(run)})
    say(f"{name}: timing")
    clipped_rows = [row for row in rows if row["clipped"]]
    rates = _training_rates([Run(folder / f"{_slug(name)}-{row['cell']}").config() for row in clipped_rows])
    for row, rate in zip(clipped_rows, rates, strict=True):
        row["target_tokens_per_second"] = rate
    return rows


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


def _trained(folder: Path, config: Config, like: Run | None) -> Run:
    """A run, trained unless it has been; like: the run whose number of parameters it should have."""
    run = Run(folder)
    if like:
        source, target = like.tokenizers()
        hidden = equal_hidden(config, (len(source), len(target)), like.read_json("run.json")["parameters"])
        config = msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, hidden=hidden))
    if run.path("config.json").exists() and (differing := differing_keys(run.config(), config)):
        raise UserError(f"{folder} was trained with another {', '.join(differing)}; {ANOTHER}")
    if not (run.path("run.json").exists() and "scores" in run.read_json("run.json")):
        Trainer(config, folder, resume=run.path("last.safetensors").exists()).fit()
    return run


def _training_rates(configs: Sequence[Config]) -> list[list[float]]:
    """Target tokens a second of each training: the lowest, the middle and the highest of some turns, taken in turns."""
    with tempfile.TemporaryDirectory() as folder:
        trainers = [Trainer(c, Path(folder) / c.name, display=Display(quiet=True)) for c in configs]
        found: list[list[float]] = [[] for _ in trainers]
        for turn in range(TURNS):
            for trainer, rates in zip(trainers, found, strict=True):
                rates.append(training_rate(trainer, TURN, 0 if turn else WARM))
        trainers.clear()  # they hold their folders
    return [sorted(rates) for rates in found]


def training_rate(trainer: Trainer, seconds: float, warm: int = WARM) -> float:
    """Target tokens a second, over so many seconds of steps that change next to nothing, after `warm` others."""
    done = tokens = 0
    start = time.perf_counter()
    while True:
        for batch in trainer.batches(epoch=0):
            trainer.train_step(batch, 1e-6)
            done += 1
            if done <= warm:
                start = time.perf_counter()
                continue
            tokens += batch.tokens
            if time.perf_counter() - start > seconds:
                return round(tokens / (time.perf_counter() - start))


def _measured(run: Run) -> dict[str, Any]:
    """A run's facts, and how long it takes to translate a sentence."""
    facts, metrics = run.read_json("run.json"), read_rows(run.path("metrics.jsonl"))
    corpus = Corpus(run.config().data.corpus)
    test = corpus.read("test")
    translator = translator_of(run)
    made_up = corpus.languages == LANGUAGES
    pairs = [*test, *corpus.read("valid")] if made_up else []  # the validation set: of trained lengths, there are few
    output = [t.text for t in translate_all(translator, [p.source for p in pairs])]
    return {
        "hidden": run.config().model.hidden,
        "parameters": facts["parameters"],
        "perplexity": [r["perplexity"] for r in metrics if r["kind"] == "validation"][-1],
        "validation": facts["scores"]["validation"],
        "minutes": facts["training"]["minutes"],
        "milliseconds_a_sentence": _decoding(translator, test),
        "exact": exact_by_length([p.source for p in pairs], output, [p.target for p in pairs]),
        "trained_to": corpus.card.get("length"),
        "gradient_norms": [[r["step"], r["gradient_norm"]] for r in metrics if r["kind"] == "train"],
    }


def _decoding(translator: Translator, test: Sequence[Pair]) -> float:
    """Milliseconds that a sentence takes, greedily, one at a time, on one thread; the median."""
    times = []
    with one_thread():
        for pair in test[:: max(1, len(test) // TIMED)]:
            start = time.perf_counter()
            translator.translate(pair.source, beam=1)
            times.append(time.perf_counter() - start)
    return round(1e3 * sorted(times)[len(times) // 2], 2)


def _draw(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    unclipped = {r["task"] for r in rows if not r["clipped"]}
    write_atomically(folder / "gradients.png", draw_gradients([r for r in rows if r["task"] in unclipped]))
    write_atomically(folder / "lengths.png", draw_lengths([r for r in rows if r["exact"] and r["clipped"]]))
    names, pieces, found = [], [], []
    for cell in CELLS:
        run = Run(folder / f"{REMEMBERS}-{cell}")
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
        "| task | epochs | cell | hidden | parameters | clipped | perplexity | BLEU | exact, trained lengths | exact, "
        "beyond | training, target tokens/s | spread | ms a sentence | largest gradient norm |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        norms = [n for _, n in row["gradient_norms"]]
        shares = within_and_beyond(row["exact"], row["trained_to"]) if row["exact"] else {}
        inside, beyond = (cell(shares.get(where)) for where in ("within", "beyond"))
        rates = row.get("target_tokens_per_second")
        speed = f"{rates[len(rates) // 2]:,} | {rates[0]:,} to {rates[-1]:,}" if rates else " | "
        lines.append(
            f"| {row['task']} | {row['epochs']} | {row['cell']} | {row['hidden']} | {row['parameters']:,} | "
            f"{'yes' if row['clipped'] else 'no'} | {row['perplexity']:.2f} | "
            f"{'' if row['exact'] else format(row['validation']['BLEU'], '.2f')} | "
            f"{inside} | {beyond} | {speed} | {row['milliseconds_a_sentence']:.2f} | {max(norms):.1f} |"
        )
    facts = f"{results['size']:,} made-up tasks of a kind; {results['machine']}; commit {results['commit']}."
    return "\n".join([*lines, "", facts, ""])


def run_comparison(folder: Path, corpus: str | None, epochs: int, size: int) -> None:
    """The command. Raises UserError for a folder that holds something else."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "data").is_dir():
        raise UserError(f"--out {folder} holds something else; name a new folder")
    display = Display()
    results = compare_cells(folder, corpus, epochs, size, display.message)
    print(report(results))
    print(f"{folder}: results.json, report.md, gradients.png, lengths.png, memory.png, reach.png")
