"""Compare the four recurrent cells on synthetic tasks with one right answer, and on translation.

The networks compared have equal numbers of parameters. Some tasks are also trained without clipping gradients.

One folder holds everything: the runs, results.json, report.md and the plots. A run that has ended is not trained again.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec

from dragoman.runtime.errors import UserError
from dragoman.runtime.files import write_atomically
from dragoman.runtime.translator import Translator
from dragoman.translate.config import CellName, Config, differing_keys, from_tree
from dragoman.translate.corpus.builders.algorithms import LANGUAGES, build_algorithm
from dragoman.translate.corpus.folder import Corpus, Pair, write_corpus
from dragoman.translate.evaluation.engine import translate_all, translator_of
from dragoman.translate.evaluation.metrics import exact_by_length, within_and_beyond
from dragoman.translate.evaluation.plots import (
    draw_gradients,
    draw_lengths,
    draw_sensitivity,
    draw_sensitivity_by_distance,
)
from dragoman.translate.evaluation.provenance import commit, machine
from dragoman.translate.evaluation.sensitivity import sensitivity, sensitivity_by_distance
from dragoman.translate.files import make_folder, read_rows
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.tasks.labelling import encoder_of
from dragoman.translate.threads import one_thread
from dragoman.translate.training.display import Display
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer

CELLS: tuple[CellName, ...] = get_args(CellName)
UNCLIPPED = 1e9  # a norm that no gradient reaches
TIMED_SENTENCES = 50  # decoded one at a time

# Speed of training: rounds, seconds in each, and steps before the first.
TIMING_ROUNDS, ROUND_SECONDS, WARM_UP_STEPS = 3, 3.0, 20

REMEDY = "give another --out, or remove that folder"

WITH_ATTENTION: dict[str, Any] = {
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

WITHOUT_ATTENTION: dict[str, Any] = {**WITH_ATTENTION, "model": {**WITH_ATTENTION["model"], "attention": "none"}}

# Small enough to train eight of them in an hour.
TRANSLATION: dict[str, Any] = {
    "tokenizer": {"vocabulary": 2000, "sampling": 0.0},
    "model": {
        "width": 128, "hidden": 128, "encoder_layers": 2, "decoder_layers": 1, "feed_forward": 0, "heads": 1,
        "dropout": 0.1,
    },
    "training": {"optimizer": "adamw", "average": 1},
    "search": {"beam_size": 1},
}  # fmt: skip


class SyntheticTask(NamedTuple):
    """A task with sources of up to `length` symbols in training and of up to `beyond` in the test set."""

    algorithm: str
    length: int
    beyond: int
    tree: dict[str, Any]  # the configuration, but for name, corpus, cell and epochs
    epochs: int  # factor of --epochs with which the best cell learns the task
    unclipped: bool = False  # whether to train also without clipping


SYNTHETIC_TASKS = {
    "copy": SyntheticTask("copy", 6, 12, WITHOUT_ATTENTION, 4),
    "reverse": SyntheticTask("reverse", 6, 12, WITHOUT_ATTENTION, 4, unclipped=True),
    "sort": SyntheticTask("sort", 6, 12, WITHOUT_ATTENTION, 4),
    "add": SyntheticTask("add", 3, 6, WITHOUT_ATTENTION, 4),
    "copy with attention": SyntheticTask("copy", 10, 20, WITH_ATTENTION, 1),
    "reverse with attention": SyntheticTask("reverse", 10, 20, WITH_ATTENTION, 1),
    "sort with attention": SyntheticTask("sort", 10, 20, WITH_ATTENTION, 1),
    "add with attention": SyntheticTask("add", 3, 6, WITH_ATTENTION, 2, unclipped=True),
}

# Sensitivity is drawn for the encoders of this task, which cannot be done without memory, and for this text.
SENSITIVITY_TASK, SENSITIVITY_TEXT = "reverse", "m t c a s b r q d k"


def compare_cells(
    folder: Path, corpus: str | None, epochs: int, size: int, report_progress: Callable[[str], None]
) -> dict[str, Any]:
    """Train and measure all cells on all tasks, write results and plots, and return the contents of results.json.

    corpus: parallel text to translate, or None for synthetic tasks only. epochs: of each training; some tasks take a
    multiple. size: training examples of each synthetic task.

    Raises UserError when the corpus is for another task, or the folder was made with other settings.
    """
    if corpus and (task := Corpus(corpus).task) != "translate":
        raise UserError(f"{corpus} is a corpus for the task {task}; give a corpus for translate")
    make_folder(folder)
    rows = []
    for name, synthetic in SYNTHETIC_TASKS.items():
        data = folder / "data" / _slug(name)
        splits, card = build_algorithm(synthetic.algorithm, size, synthetic.length, synthetic.beyond, seed=1)
        if not data.exists():
            write_corpus(data, LANGUAGES, splits, card)
        elif differing := [key for key, value in card.items() if Corpus(data).card.get(key) != value]:
            raise UserError(f"{data} was made with a different {', '.join(differing)}; {REMEDY}")
        task_epochs = synthetic.epochs * epochs
        rows += _task_rows(folder, name, data, synthetic.tree, task_epochs, synthetic.unclipped, report_progress)
    if corpus:
        half = -(-epochs // 2)
        rows += _task_rows(folder, "translation", Path(corpus), TRANSLATION, half, True, report_progress)
    results = {"rows": rows, "size": size, "commit": commit(), "machine": machine()}
    report_progress("drawing")
    _draw(folder, rows)
    write_atomically(folder / "results.json", (json.dumps(results, indent=2) + "\n").encode())
    write_atomically(folder / "report.md", as_markdown(results).encode())
    return results


def _slug(name: str) -> str:
    return name.replace(" ", "-")


def _task_rows(
    folder: Path,
    task: str,
    corpus: Path,
    tree: dict[str, Any],
    epochs: int,
    unclipped: bool,
    report_progress: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Return the rows of one task, one for each training. Cells are trained if need be, then timed in turns."""
    rows = []
    first: Run | None = None  # the other cells get as many parameters as this run has
    for cell in CELLS[::-1]:
        for clipped in (True, False) if unclipped else (True,):
            name = f"{_slug(task)}-{cell}" + ("" if clipped else "-unclipped")
            report_progress(name)
            run = _trained_run(folder / name, _config(name, corpus, tree, cell, epochs, clipped), first)
            first = first or run
            rows.append({"task": task, "cell": cell, "clipped": clipped, "epochs": epochs, **_measure(run)})
    report_progress(f"{task}: timing")
    clipped_rows = [row for row in rows if row["clipped"]]
    rates = _training_rates([Run(folder / f"{_slug(task)}-{row['cell']}").config() for row in clipped_rows])
    for row, rate in zip(clipped_rows, rates, strict=True):
        row["target_tokens_per_second"] = rate
    return rows


def _config(name: str, corpus: Path, tree: dict[str, Any], cell: str, epochs: int, clipped: bool) -> Config:
    training = {**tree["training"], "epochs": epochs, **({} if clipped else {"clip_norm": UNCLIPPED})}
    model = {**tree["model"], "cell": cell}
    data = {"corpus": str(corpus)}
    return from_tree({**tree, "name": name, "data": data, "model": model, "training": training}, name)


def equal_hidden(config: Config, sizes: tuple[int, int], parameters: int) -> int:
    """Return the largest hidden width with which a translator has at most this many parameters.

    sizes: of the source and target vocabularies.
    """

    def count(hidden: int) -> int:
        model = msgspec.structs.replace(config.model, hidden=hidden)
        return sum(p.numel() for p in Seq2Seq(model, *sizes).parameters())

    low, high = 1, 8 * config.model.hidden
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(middle) <= parameters else (low, middle - 1)
    return low


def _trained_run(folder: Path, config: Config, reference: Run | None) -> Run:
    """Return a run, trained if it is not yet, with as many parameters as the reference."""
    run = Run(folder)
    if reference:
        source, target = reference.tokenizers()
        hidden = equal_hidden(config, (len(source), len(target)), reference.read_json("run.json")["parameters"])
        config = msgspec.structs.replace(config, model=msgspec.structs.replace(config.model, hidden=hidden))
    if run.path("config.json").exists() and (differing := changed_keys(run, config)):
        raise UserError(f"{folder} was trained with a different {', '.join(differing)}; {REMEDY}")
    if not (run.path("run.json").exists() and "scores" in run.read_json("run.json")):
        Trainer(config, folder, resume=run.path("last.safetensors").exists()).fit()
    return run


def changed_keys(run: Run, config: Config) -> list[str]:
    """Return the keys in which a configuration differs from that of a run. Another path to an equal corpus is equal."""
    keys = differing_keys(run.config(), config)
    if "data.corpus" in keys and run.corpus().digest() == Corpus(config.data.corpus).digest():
        keys.remove("data.corpus")
    return keys


def _training_rates(configs: Sequence[Config]) -> list[list[float]]:
    """Return the target tokens per second of each training in every round, lowest first.

    The trainings alternate in each round, so that a change in the machine's speed affects all of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainers = [Trainer(c, Path(folder) / c.name, display=Display(quiet=True)) for c in configs]
        rates: list[list[float]] = [[] for _ in trainers]
        for timing_round in range(TIMING_ROUNDS):
            for trainer, trainer_rates in zip(trainers, rates, strict=True):
                trainer_rates.append(training_rate(trainer, ROUND_SECONDS, 0 if timing_round else WARM_UP_STEPS))
        trainers.clear()  # they hold locks in the folder that is about to be removed
    return [sorted(trainer_rates) for trainer_rates in rates]


def training_rate(trainer: Trainer, seconds: float, warm: int = WARM_UP_STEPS) -> float:
    """Return the target tokens per second of training steps, measured for some seconds after `warm` other steps.

    The learning rate is so low that the weights hardly change.
    """
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


def _measure(run: Run) -> dict[str, Any]:
    """Return a run's size, scores, gradient norms and decoding time."""
    facts, metrics = run.read_json("run.json"), read_rows(run.path("metrics.jsonl"))
    corpus = run.corpus()
    test = corpus.read("test")
    translator = translator_of(run)
    # The validation set is scored as well: the test set has few sources of the training lengths.
    pairs = [*test, *corpus.read("valid")] if corpus.languages == LANGUAGES else []
    output = [t.text for t in translate_all(translator, [p.source for p in pairs])]
    return {
        "hidden": run.config().model.hidden,
        "parameters": facts["parameters"],
        "perplexity": [r["perplexity"] for r in metrics if r["kind"] == "validation"][-1],
        "validation": facts["scores"]["validation"],
        "minutes": facts["training"]["minutes"],
        "milliseconds_a_sentence": _decoding_time(translator, test),
        "exact": exact_by_length([p.source for p in pairs], output, [[p.target for p in pairs]]),
        "trained_to": corpus.card.get("length"),
        "gradient_norms": [[r["step"], r["gradient_norm"]] for r in metrics if r.get("gradient_norm") is not None],
    }


def _decoding_time(translator: Translator, test: Sequence[Pair]) -> float:
    """Return the median time of greedy search in milliseconds, for one sentence at a time on one thread."""
    times = []
    with one_thread():
        for pair in test[:: max(1, len(test) // TIMED_SENTENCES)]:
            start = time.perf_counter()
            translator.translate(pair.source, beam=1)
            times.append(time.perf_counter() - start)
    return round(1e3 * sorted(times)[len(times) // 2], 2)


def _draw(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    unclipped = {r["task"] for r in rows if not r["clipped"]}
    write_atomically(folder / "gradients.png", draw_gradients([r for r in rows if r["task"] in unclipped]))
    write_atomically(folder / "lengths.png", draw_lengths([r for r in rows if r["exact"] and r["clipped"]]))
    subwords, norms = [], []
    for cell in CELLS:
        run = Run(folder / f"{SENSITIVITY_TASK}-{cell}")
        tokenizer = run.source_tokenizer()
        ids = tokenizer.encode(SENSITIVITY_TEXT)
        subwords.append(tokenizer.subwords(ids))
        norms.append(sensitivity(*encoder_of(run), ids))
    write_atomically(folder / "sensitivity.png", draw_sensitivity(CELLS, subwords, norms))
    # Of layer 1, left to right.
    by_distance = [sensitivity_by_distance(encoder_norms[0, 0]) for encoder_norms in norms]
    write_atomically(folder / "reach.png", draw_sensitivity_by_distance(CELLS, by_distance))


def as_markdown(results: dict[str, Any]) -> str:
    """Return the results as a page of Markdown."""

    def percentage(value: float | None) -> str:
        return "" if value is None else f"{value:.1f}"

    lines = [
        "| task | epochs | cell | hidden | parameters | clipped | perplexity | BLEU | exact matches, training lengths, "
        "% | exact matches, longer, % | training, target tokens/s | lowest to highest | decoding, ms/sentence | "
        "largest gradient norm |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        norms = [n for _, n in row["gradient_norms"]]
        exact = within_and_beyond(row["exact"], row["trained_to"]) if row["exact"] else {}
        within, beyond = (percentage(exact.get(part)) for part in ("within", "beyond"))
        rates = row.get("target_tokens_per_second")
        speed = f"{rates[len(rates) // 2]:,} | {rates[0]:,} to {rates[-1]:,}" if rates else " | "
        lines.append(
            f"| {row['task']} | {row['epochs']} | {row['cell']} | {row['hidden']} | {row['parameters']:,} | "
            f"{'yes' if row['clipped'] else 'no'} | {row['perplexity']:.2f} | "
            f"{'' if row['exact'] else format(row['validation']['BLEU'], '.2f')} | "
            f"{within} | {beyond} | {speed} | {row['milliseconds_a_sentence']:.2f} | {max(norms):.1f} |"
        )
    facts = f"{results['size']:,} examples of each synthetic task; {results['machine']}; commit {results['commit']}."
    return "\n".join([*lines, "", facts, ""])


def run_comparison(folder: Path, corpus: str | None, epochs: int, size: int) -> None:
    """Run `dragoman cells`. Raises UserError when the folder holds anything but an earlier comparison."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "data").is_dir():
        raise UserError(f"--out {folder} holds other files; name a new folder")
    display = Display()
    results = compare_cells(folder, corpus, epochs, size, display.message)
    print(as_markdown(results))
    print(f"{folder}: results.json, report.md, gradients.png, lengths.png, sensitivity.png, reach.png")
