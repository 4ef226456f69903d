"""Profile training steps with PyTorch's profiler and add up the time of operators by purpose.

Prints one JSON object per line for each part of a step, with threads, precision, ms (per step) and share. The last line
for each number of threads is a whole step without the profiler, which adds overhead. Measure on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import dragoman.translate  # noqa: F401 (before PyTorch, whose threads it tells how to wait)  # isort: skip
import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from dragoman.runtime.console import positive
from dragoman.translate.config import load
from dragoman.translate.evaluation.cell_comparison import WARM_UP_STEPS
from dragoman.translate.training.display import Display
from dragoman.translate.training.trainer import Trainer

PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "addmm_"}
PARTS = {
    "normalisation": ("native_layer_norm", "native_layer_norm_backward"),
    "recurrence, forward and backward": ("_LinearRecurrence", "_LinearRecurrenceBackward"),
    "loss, without matrix products": ("_Function", "_FunctionBackward"),
    "embedding": ("embedding", "embedding_dense_backward", "index_select"),
    "gradient clipping": ("_foreach_norm", "_foreach_mul_", "linalg_vector_norm"),
}
OTHER = "other: activations, dropout, sums, copies, Python"
WHOLE_STEP = "whole step, not profiled"


def part_of(event: FunctionEvent) -> str:
    """Return the part of a step that an operator belongs to, from its name and the names of its callers."""
    names: list[str] = []
    caller: FunctionEvent | None = event
    while caller is not None:
        names.append(caller.name.removeprefix("aten::"))
        caller = caller.cpu_parent
    optimizer = next((name.split("#")[1].split(".")[0] for name in names if name.startswith("Optimizer.step#")), None)
    if names[0] in PRODUCTS:
        return f"{optimizer}, matrix products" if optimizer else "network, matrix products"
    if optimizer:
        return f"{optimizer}, other"
    for part, operators in PARTS.items():
        if any(name in operators for name in names):
            return part
    return OTHER


def longest_first(times: dict[str, float]) -> list[tuple[str, float]]:
    """Return times sorted in descending order."""
    return sorted(times.items(), key=lambda item: -item[1])


def run_steps(trainer: Trainer, batches: Sequence[Any]) -> float:
    """Return the seconds for one step on each batch. The learning rate is so low that the weights hardly change."""
    start = time.perf_counter()
    for batch in batches:
        trainer.train_step(batch, 1e-6)
    return time.perf_counter() - start


def main() -> int:
    """Profile with one thread and with all threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/multi30k-en-de.toml", help="configuration to train")
    parser.add_argument("--corpus", required=True, help="corpus folder")
    parser.add_argument("--steps", type=positive, default=40, help="steps to profile, at most one epoch (default: 40)")
    parser.add_argument("--all", action="store_true", help="also print the 40 operators with the longest own time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = load(options.config, [f"data.corpus={json.dumps(options.corpus)}"])
        trainer = Trainer(config, Path(folder) / "run", display=Display(quiet=True))
        batches = [*islice(trainer.batches(epoch=0), options.steps)]
        for threads in sorted({1, torch.get_num_threads()}):
            torch.set_num_threads(threads)
            run_steps(trainer, batches[:WARM_UP_STEPS])
            whole_step = run_steps(trainer, batches)
            with profile(activities=[ProfilerActivity.CPU]) as profiler:
                profiled = run_steps(trainer, batches)
            by_part, by_operator = defaultdict[str, float](float), defaultdict[str, float](float)
            for event in profiler.events() or []:
                by_part[part_of(event)] += event.self_cpu_time_total
                by_operator[event.name] += event.self_cpu_time_total
            by_part[OTHER] += 1e6 * profiled - sum(by_part.values())
            setting = {"threads": threads, "precision": "bfloat16 products" if trainer.bfloat16 else "float32"}
            operators = longest_first(by_operator)[:40] if options.all else []
            for part, microseconds in [*operators, *longest_first(by_part)]:
                row = {"part": part, "ms": round(microseconds / 1e3 / len(batches), 2)}
                print(json.dumps({**setting, **row, "share": round(microseconds / 1e6 / profiled, 3)}))
            print(json.dumps({**setting, "part": WHOLE_STEP, "ms": round(1e3 * whole_step / len(batches), 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
