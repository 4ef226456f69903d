"""The command `bench`: time a model file on this machine."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dragoman.runtime.console import THREADS_HELP, Commands, not_negative, positive
from dragoman.runtime.errors import UserError

if TYPE_CHECKING:
    from dragoman.runtime.contract import Ids
    from dragoman.runtime.translator import Translator

MIN_REPEAT = 3  # runs, for a median with quartiles
WARM_UP = 2  # runs that are not counted


def add_bench(commands: Commands) -> None:
    """Register `bench`."""
    p = commands.add_parser(
        "bench",
        help="time a translator on this machine",
        description="Print the milliseconds that one batch takes, as a median with the quartiles, for each batch size "
        "and beam size. Tokenisation is not included. The sentences are those of the file's self-test, or the first "
        "lines of --source. Run it while the machine is otherwise idle.",
    )
    p.add_argument("model", metavar="FILE.onnx", help="a translator made by `dragoman export`")
    p.add_argument(
        "--batch", type=positive, nargs="+", default=[1, 32], metavar="N",
        help="batch sizes in sentences, each from 1 (default: 1 32)",
    )  # fmt: skip
    p.add_argument(
        "--beam", type=positive, nargs="+", default=[1, 5], metavar="K",
        help="beam sizes, each from 1 to the vocabulary size (default: 1 5)",
    )  # fmt: skip
    p.add_argument("--threads", type=not_negative, default=1, metavar="N", help=THREADS_HELP)
    p.add_argument(
        "--repeat", type=positive, default=15, metavar="N",
        help=f"timed runs of each batch, from {MIN_REPEAT}; {WARM_UP} more warm up (default: 15)",
    )  # fmt: skip
    p.add_argument("--source", metavar="FILE", help="text with one sentence a line (default: the self-test's)")
    p.add_argument("--json", action="store_true", help="print each measurement as one line of JSON")
    p.set_defaults(run=bench)


def bench(a: argparse.Namespace) -> int:
    """Run `dragoman bench` and return its exit status."""
    from dragoman.runtime.batching import pad
    from dragoman.runtime.translator import Translator

    if a.repeat < MIN_REPEAT:
        raise UserError(f"--repeat {a.repeat}: a median with quartiles needs at least {MIN_REPEAT} runs")
    translator = Translator.load(a.model, threads=a.threads)
    rows = _source_ids(translator, a.source, max(a.batch))
    for beam in a.beam:
        translator.check_beam(beam)
    for batch_size in a.batch:
        source, length = pad([rows[i % len(rows)] for i in range(batch_size)])
        for beam in a.beam:
            milliseconds, n_tokens = _time_batch(translator, source, length, beam, a.repeat)
            low, median, high = statistics.quantiles(milliseconds, n=4)
            row: dict[str, Any] = {
                "figure": "translate",
                "batch": batch_size,
                "beam": beam,
                "threads": a.threads,
                "ms": round(median, 3),
                "spread": [round(low, 3), round(high, 3)],
                "ms_a_sentence": round(median / batch_size, 3),
                "target_tokens_per_s": round(n_tokens / median * 1e3),
            }
            if a.json:
                print(json.dumps(row), flush=True)
            else:
                print(
                    f"batch {batch_size:>3}  beam {beam:>2}  {median:9.2f} ms ({low:.2f} to {high:.2f})  "
                    f"{median / batch_size:8.2f} ms a sentence  {row['target_tokens_per_s']:>7,} target tokens/s",
                    flush=True,
                )
    return 0


def _source_ids(translator: Translator, path: str | None, n_lines: int) -> list[list[int]]:
    """Return the ids of a file's first lines, or of the self-test, without those that are too long for one part."""
    rows: list[list[int]]
    if path:
        from dragoman.runtime.line_processing import LineWarnings, decode_lenient, open_input
        from dragoman.runtime.lines import read_line_batches

        warnings = LineWarnings()
        with open_input(path) as file:
            raw = next(read_line_batches(file, n_lines, path), [])
        lines = [decode_lenient(line, n, warnings) for n, line in enumerate(raw, 1)]
        rows = [translator.source_tokenizer.encode(line) for line in lines]
    else:
        rows = [case["source"] for case in translator.metadata.self_test["cases"]]
    limit = translator.metadata.max_source
    rows = [row for row in rows if len(row) <= limit]
    if not rows:
        if path and not lines:
            raise UserError(f"{path} is empty; give at least one sentence")
        place = f"{path}, first {n_lines:,} lines" if path else "the file's self-test"
        advice = "give shorter ones" if path else "give shorter ones with --source"
        raise UserError(f"{place}: every sentence is longer than {limit} subwords, the model's limit; {advice}")
    return rows


def _time_batch(
    translator: Translator, source: Ids, length: Ids, beam: int, repeat: int
) -> tuple[Sequence[float], int]:
    """Return the milliseconds of each counted run of a batch, and the target tokens of the best hypotheses."""
    from dragoman.runtime.contract import PAD

    defaults = translator.metadata.defaults
    milliseconds = []
    n_tokens = 0
    for _ in range(repeat + WARM_UP):
        start = time.perf_counter()
        target, _, _ = translator.engine.run(
            source, length, beam_size=beam, n_best=1, max_length=defaults["max_length"],
            length_penalty=defaults["length_penalty"], n_aligned=0,
        )  # fmt: skip
        milliseconds.append((time.perf_counter() - start) * 1e3)
        n_tokens = int((target[:, 0] != PAD).sum())
    return milliseconds[WARM_UP:], n_tokens
