"""Measure translation speed for `make bench`: an int8 file against CTranslate2, its float32 file, and the hardware.

All timings alternate within one run, on one core. Each figure is a median with quartiles. Speed depends on the shape of
a network, not on what it has learnt. Without --run, the script therefore trains a throwaway run of the configuration
for one epoch. The length of the output is forced, 15 ids from 15, by an `</s>` that cannot win.

Prints one JSON object per line with the keys figure, batch, beam, threads, ours_ms, peer_ms, ratio, and spread
(quartiles of the ratio). Figures without a peer have a value instead of times and ratio. With --record the rows also go
to a file, in place of this machine's older rows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from dragoman.export.exporter import build, build_int8
from dragoman.export.graph import to_onnx
from dragoman.export.quantize import calibrate, quantised
from dragoman.runtime.contract import EOS, Ids
from dragoman.runtime.engine import Engine, OnnxEngine, session_inputs
from dragoman.runtime.errors import UserError
from dragoman.runtime.files import write_atomically
from dragoman.runtime.session import open_session
from dragoman.translate.config import Config, load
from dragoman.translate.corpus.builders.cldr import build_cldr
from dragoman.translate.corpus.folder import write_corpus
from dragoman.translate.evaluation.provenance import command, commit, machine
from dragoman.translate.files import read_rows, write_rows
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.training.run import Run
from dragoman.translate.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[1]
LENGTH = 15  # ids of a source and its translation
MIN_TURNS = 15  # of a figure
TURN = 5  # runs of one side before the other's turn
PHRASES = 6000  # in the corpus of the throwaway run
INTEGER_PRODUCTS = ("MatMulIntegerToFloat", "MatMulInteger")
SENTENCE = "A man is riding a bicycle down the street ."
Row = dict[str, Any]
Sources = tuple[Ids, Ids]  # ids (B, S) and their lengths (B)


class Peer(NamedTuple):
    """Another translator in its own process and virtual environment."""

    process: subprocess.Popen[str]
    name: str

    @classmethod
    def start(cls, *words: str) -> Peer:
        """Start the process of a command, in the folder of the repository, and wait until it is ready.

        Raises OSError if it does not start, and RuntimeError if it ends at once.
        """
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        return cls(process, answer(process)["peer"])

    def ms(self, batch: int, beam: int = 1, length: int = LENGTH) -> float:
        """Translate one batch of sentences of LENGTH ids to `length` ids each, and return the milliseconds."""
        assert self.process.stdin is not None
        request = {"batch": batch, "beam": beam, "source": LENGTH, "length": length}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return float(answer(self.process)["ms"])

    def stop(self) -> None:
        """End the process."""
        self.process.communicate()


def answer(process: subprocess.Popen[str]) -> Row:
    """Return the next line of a process, a JSON object. Raises RuntimeError if the process ends."""
    assert process.stdout is not None
    if not (line := process.stdout.readline()):
        process.communicate()
        raise RuntimeError(f"its process ended with status {process.returncode}")
    row: Row = json.loads(line)
    return row


def ctranslate2(python: str, vocabulary: int) -> Peer:
    """Start CTranslate2's int8 Transformer "tiny" with the Python of its environment."""
    return Peer.start(os.path.abspath(python), "bench/peer.py", str(vocabulary))


def quartiles(values: Sequence[float]) -> list[float]:
    """Return the lower quartile, the median and the upper quartile."""
    return [float(v) for v in statistics.quantiles(values, n=4)]


def compare(
    ours: Callable[[], float], peer: Callable[[], float], repeat: int, *, figure: str, batch: int, beam: int
) -> Row:
    """Return the row of two timings that alternate, compared turn by turn.

    A turn is the median of a few runs, so that each side finds the caches as a stream of its own sentences leaves them.
    """

    def turn(run: Callable[[], float]) -> float:
        return statistics.median(run() for _ in range(TURN))

    turn(ours), turn(peer)
    pairs = [(turn(ours), turn(peer)) for _ in range(repeat)]
    ratio = quartiles([a / b for a, b in pairs])
    return {
        "figure": figure, "batch": batch, "beam": beam, "threads": 1,
        "ours_ms": round(statistics.median(a for a, _ in pairs), 3),
        "peer_ms": round(statistics.median(b for _, b in pairs), 3),
        "ratio": round(ratio[1], 3), "spread": [round(ratio[0], 3), round(ratio[2], 3)],
    }  # fmt: skip


def value_row(figure: str, values: Sequence[float], *, batch: int = 1, beam: int = 1, digits: int | None = 3) -> Row:
    """Return the row of a figure without a peer."""
    low, middle, high = quartiles(values) if len(values) > 1 else [values[0]] * 3
    return {"figure": figure, "batch": batch, "beam": beam, "threads": 1, "value": round(middle, digits),
            "spread": [round(low, digits), round(high, digits)]}  # fmt: skip


def without_eos(search: BeamSearch, limit_ratio: int) -> BeamSearch:
    """Return a search in which `</s>` cannot win. A translation may be `limit_ratio` times as long as its source."""
    search.model.bias.data[EOS] = -1e4
    return BeamSearch(search.model, limit_ratio, selection=search.selection).eval()


def random_sources(vocabulary: int, batch: int) -> Sources:
    """Return random sources of LENGTH ids (B, S), and their lengths (B)."""
    ids = np.random.default_rng(1).integers(4, vocabulary, (batch, LENGTH))
    ids[:, -1] = EOS
    return ids, np.full(batch, LENGTH)


def timer(engine: Engine, sources: Sources, beam: int, steps: int = LENGTH) -> Callable[[], float]:
    """Return a function that translates one batch and returns the milliseconds."""

    def run() -> float:
        start = time.perf_counter()
        target, _, _ = engine.run(*sources, beam_size=beam, n_best=1, max_length=steps, length_penalty=1.0, n_aligned=0)
        seconds = time.perf_counter() - start
        assert target.shape[2] == steps
        return seconds * 1e3

    return run


def throwaway_run(config_path: str, folder: Path) -> Run:
    """Train a configuration for one epoch on CLDR phrases."""
    splits, card = build_cldr(("en", "de"), PHRASES)
    write_corpus(folder / "corpus", ("en", "de"), splits, card)
    shutil.rmtree(folder / "run", ignore_errors=True)
    changes = [f"data.corpus={folder / 'corpus'}", "training.epochs=1", "training.validation_sentences=1"]
    config: Config = load(config_path, changes)
    Trainer(config, folder / "run").fit()
    return Run(folder / "run")


FIRST_SENTENCE = """
import sys
from dragoman.runtime.translator import Translator
print(Translator.load(sys.argv[1]).translate(sys.argv[2]).text, flush=True)
sys.stdin.read()
"""
MEMORY = """
import random, sys
from dragoman.runtime.translator import Translator
def resident():
    for line in open("/proc/self/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
translator = Translator.load(sys.argv[1])
words = sys.argv[2].split()
chance = random.Random(0)
def translate(count):
    while count > 0:
        batch = range(min(count, chance.randint(1, 64)))
        lines = [" ".join(chance.choices(words, k=chance.randint(1, 40))) for _ in batch]
        translator.translate(lines)
        count -= len(lines)
translate(1000)
print(resident())
translate(10000)
print(resident())
"""
THROUGHPUT = """
import sys, time
import numpy as np
from dragoman.runtime.engine import OnnxEngine
engine = OnnxEngine(open(sys.argv[1], "rb").read())
source = np.array([[*range(4, 18), 3]])
def run(seconds):
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        engine.run(source, np.array([15]), beam_size=1, n_best=1, max_length=15, length_penalty=1.0, n_aligned=0)
        count += 1
    return count
run(0.5)
print("ready", flush=True)
sys.stdin.readline()
print(run(3.0) / 3.0, flush=True)
"""


def pinned(core: int) -> Callable[[], None]:
    """Return a function that pins the child process that calls it to one core."""
    return lambda: os.sched_setaffinity(0, {core})


def python(code: str, *arguments: str, core: int) -> subprocess.Popen[str]:
    """Start Python code in a new interpreter on one core."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=pinned(core),
    )  # fmt: skip


def sentences_per_second(model: Path, cores: Sequence[int]) -> float:
    """Return the total sentences per second of one process on each core, started together."""
    processes = [python(THROUGHPUT, str(model), core=core) for core in cores]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in processes)


def machine_limits(core: int) -> tuple[float, float]:
    """Measure a core: int8 multiply-adds per second, and bytes per second read from the L3 cache."""
    rng = np.random.default_rng(0)
    size = 1024
    nodes = [helper.make_node("MatMulIntegerToFloat", ["x", "w", "s", "t", "z"], ["y"], domain="com.microsoft")]
    graph = helper.make_graph(
        nodes, "peak", [helper.make_tensor_value_info("x", TensorProto.UINT8, [size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [size, size])],
        [numpy_helper.from_array(rng.integers(-60, 60, (size, size)).astype(np.int8), "w"),
         numpy_helper.from_array(np.array(0.1, np.float32), "s"),
         numpy_helper.from_array(np.full(size, 0.1, np.float32), "t"),
         numpy_helper.from_array(np.array(128, np.uint8), "z")],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    session = open_session(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    x = rng.integers(0, 255, (size, size)).astype(np.uint8)
    products = min(_seconds(lambda: session.run(None, {"x": x})) for _ in range(9))
    block = np.ones(4 * 2**20 // 4, np.float32)  # larger than the L2 cache, smaller than the L3 cache
    reading = min(_seconds(lambda: np.dot(block, block)) for _ in range(50))
    return size**3 / products, block.nbytes / reading


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def cold_start(model: Path, sentence: str, core: int) -> tuple[float, float]:
    """Return the seconds until a new process has translated a sentence, and its largest resident memory in MiB."""
    start = time.perf_counter()
    with python(FIRST_SENTENCE, str(model), sentence, core=core) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.perf_counter() - start, peak_memory(process.pid)


def peak_memory(process: int) -> float:
    """Return the largest resident memory that a process has had, in MiB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def step_cost(model: bytes, sources: Sources) -> int:
    """Return the weights that one greedy step multiplies a hypothesis by. In int8, they are as many bytes.

    Columns that are selected or transposed before the loop are counted by running the model on the sources.
    """
    proto = onnx.load_from_string(model)
    greedy_loop = next(  # the loop of the beam search comes after it, with the same weights
        n for n in proto.graph.node
        if n.op_type == "Loop" and any(m.op_type == "LogSoftmax" for m in n.attribute[0].g.node)
    )  # fmt: skip
    weights = [n.input[1] for n in greedy_loop.attribute[0].g.node if n.op_type in INTEGER_PRODUCTS]
    sizes = {t.name: math.prod(t.dims) for t in proto.graph.initializer if t.data_type == TensorProto.INT8}
    computed = [name for name in weights if name not in sizes]
    if computed:
        proto.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.INT8, None) for name in computed)
        inputs = session_inputs(*sources, beam_size=1, n_best=1, max_length=1, length_penalty=1.0, n_aligned=0)
        arrays = open_session(proto.SerializeToString()).run(computed, inputs)
        # Matrices are shared, and of the others each sentence has its own.
        sizes |= {name: math.prod(x.shape[-2:]) for name, x in zip(computed, arrays, strict=True)}
    return sum(sizes[name] for name in weights)


def measure(options: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Yield all figures."""
    core = sorted(os.sched_getaffinity(0))[0]
    other_core = sorted(os.sched_getaffinity(0))[-1]
    run = Run(options.run) if options.run else throwaway_run(options.config, folder)
    pairs = run.corpus().read("valid")[:200]
    files = {"float32": folder / "float32.onnx", "int8": folder / "int8.onnx"}
    write_atomically(files["float32"], build(run, [p.source for p in pairs[:32]])[0])
    write_atomically(files["int8"], build_int8(run, pairs, options.target, check_loss=False)[0])
    vocabulary = len(run.tokenizers()[1])

    plain = run.search()
    random = torch.Generator().manual_seed(0)

    def translate() -> None:
        plain.search(
            torch.randint(4, vocabulary, (8, LENGTH), generator=random), torch.full((8,), LENGTH), max_length=LENGTH
        )

    calibration = calibrate(plain, translate)
    # 40 times the source length allows 512 ids from 15.
    forced = {
        "float32": to_onnx(without_eos(plain, 40)).SerializeToString(),
        "int8": to_onnx(without_eos(quantised(run.search(), calibration, options.target), 40)).SerializeToString(),
    }
    os.sched_setaffinity(0, {core})
    int8, float32 = OnnxEngine(forced["int8"]), OnnxEngine(forced["float32"])

    sources = {batch: random_sources(vocabulary, batch) for batch in (1, 32, 64)}
    peer = ctranslate2(options.peer, vocabulary)
    for beam in (1, 5):
        for batch in (1, 32):
            yield {
                **compare(
                    timer(int8, sources[batch], beam), partial(peer.ms, batch, beam), options.repeat,
                    figure="against the peer", batch=batch, beam=beam,
                ),
                "peer": peer.name,
            }  # fmt: skip
    peer.stop()
    for batch in (1, 32):
        yield {
            **compare(
                timer(int8, sources[batch], 1), timer(float32, sources[batch], 1), options.repeat,
                figure="against its own float32 file", batch=batch, beam=1,
            ),
            "peer": "the same network in float32",
        }  # fmt: skip

    forced_file = folder / "forced.onnx"
    forced_file.write_bytes(forced["int8"])
    ratios = [
        sentences_per_second(forced_file, [core, other_core]) / sentences_per_second(forced_file, [core])
        for _ in range(options.repeat // 5)
    ]
    yield value_row("two processes on two cores, times one", ratios)

    yield value_row("file, tokenizer included, MB", [files["int8"].stat().st_size / 1e6])
    start_seconds = [cold_start(files["int8"], SENTENCE, core)[0] for _ in range(options.repeat)]
    yield value_row("new process: import, load, first sentence, s", start_seconds)
    words = " ".join(p.source for p in pairs)[:20000]
    memory = [float(line) for line in python(MEMORY, str(files["int8"]), words, core=core).communicate()[0].split()]
    yield value_row("resident after 1,000 mixed sentences, MiB", memory[:1], digits=1)
    yield value_row("growth over the next 10,000, MiB", [memory[1] - memory[0]], digits=1)

    short, long = timer(int8, sources[1], 1, 16), timer(int8, sources[1], 1, 512)
    short(), long()
    yield value_row(
        "time per token at 512 ids against 16", [(long() / 512) / (short() / 16) for _ in range(options.repeat)]
    )
    peak, reading = machine_limits(core)
    for batch, limit in ((1, reading), (64, peak)):
        cost = step_cost(forced["int8"], sources[batch])
        steps_16, steps_48 = timer(int8, sources[batch], 1, 16), timer(int8, sources[batch], 1, 48)
        steps_16(), steps_48()
        steps = [(steps_48() - steps_16()) / 32 / 1e3 for _ in range(options.repeat)]
        limit_name = f"bytes at {limit / 1e9:.0f} GB/s" if batch == 1 else f"multiply-adds at {limit / 1e9:.0f} G/s"
        yield {
            **value_row(
                "share of the machine's limit in a step", [batch * cost / limit / s for s in steps], batch=batch
            ),
            "limit": limit_name,
            "step_us": round(statistics.median(steps) * 1e6, 1),
        }


def record(path: Path, rows: Sequence[Row], key: Sequence[str] = ("machine",)) -> None:
    """Write rows to a file in place of older rows with the same values of `key`. Other rows stay."""

    def values(row: Row) -> tuple[object, ...]:
        return tuple(row.get(name) for name in key)

    new = {values(row) for row in rows}
    others = [row for row in read_rows(path) if values(row) not in new] if path.exists() else []
    write_rows(path, [*others, *rows])


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all measurements of translation."""
    parser.add_argument("--config", default="configs/multi30k-en-de.toml", help="configuration whose shape is measured")
    parser.add_argument("--peer", default=".venv-peer/bin/python", help="Python with ctranslate2 installed")
    parser.add_argument("--target", default="portable", choices=("portable", "vnni"), help="see `dragoman export`")
    parser.add_argument("--repeat", type=turns, default=25, help="turns per figure, at least 15 (default: 25)")
    parser.add_argument(
        "--record", metavar="FILE", help="also write the rows to this file, in place of this machine's older rows"
    )


def turns(text: str) -> int:
    """Return a number of turns. Raises ArgumentTypeError if they are too few."""
    if not text.isdecimal() or int(text) < MIN_TURNS:
        raise argparse.ArgumentTypeError(f"{text} is given; give {MIN_TURNS} or more, which a median needs")
    return int(text)


def print_and_record(rows: Iterator[Row], file: str | None, *, key: Sequence[str] = ("machine",)) -> None:
    """Print rows as they come. Then write them with their provenance to a file, if one is given; see `record`."""
    origin = {"commit": commit(), "machine": machine(), "command": command()}
    printed = []
    for row in rows:
        printed.append({**row, **origin})
        print(json.dumps(row), flush=True)
    if file:
        record(Path(file), printed, key)


def exit_status(
    measure: Callable[[argparse.Namespace, Path], Iterator[Row]], options: argparse.Namespace, key: Sequence[str]
) -> int:
    """Print and record what `measure` yields from the options and a temporary folder. Return 2 for a user's mistake."""
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            print_and_record(measure(options, Path(folder)), options.record, key=key)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run_measurement(
    parser: argparse.ArgumentParser, measure: Callable[[argparse.Namespace, Path], Iterator[Row]]
) -> None:
    """Parse the command line, with the common options, and print and record what `measure` yields.

    measure: takes the options and a temporary folder.
    """
    add_common_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print_and_record(measure(options, Path(folder)), options.record)


def main() -> int:
    """Measure, print the rows, and record them if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="trained run to measure instead")
    run_measurement(parser, measure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
