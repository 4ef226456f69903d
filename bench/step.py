"""Where the time of a training step goes: PyTorch's profiler over a few steps, added up by what the operators are for.

Prints a JSON object a line for each part, with threads, precision, ms (of a step) and share; the last line of each
number of threads is a whole step without the profiler, which itself costs something. Run it with nothing else running.
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

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from dragoman.runtime.console import positive
from dragoman.translate.config import load
from dragoman.translate.evaluation.cell_comparison import WARM
from dragoman.translate.training.display import Display
from dragoman.translate.training.trainer import Trainer

PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "addmm_"}
PARTS = {
    "normalisation": ("native_layer_norm", "native_layer_norm_backward"),
    "the recurrence and its gradient": ("_LinearRecurrence", "_LinearRecurrenceBackward"),
    "loss, but for its products": ("_Function", "_FunctionBackward"),
    "embedding": ("embedding", "embedding_dense_backward", "index_select"),
    "clipping the gradient": ("_foreach_norm", "_foreach_mul_", "linalg_vector_norm"),
}
REST, WHOLE = "the rest: activations, dropout, sums, copies, what Python takes", "a whole step, not profiled"


def part_of(event: FunctionEvent) -> str:
    """What an operator is for, by its own name and those of what called it."""
    names: list[str] = []
    above: FunctionEvent | None = event
    while above is not None:
        names.append(above.name.removeprefix("aten::"))
        above = above.cpu_parent
    optimizer = next((name.split("#")[1].split(".")[0] for name in names if name.startswith("Optimizer.step#")), None)
    if names[0] in PRODUCTS:
        return f"{optimizer}'s products" if optimizer else "the network's products"
    if optimizer:
        return f"{optimizer}, the rest"
    for part, known in PARTS.items():
        if any(name in known for name in names):
            return part
    return REST


def longest(times: dict[str, float]) -> list[tuple[str, float]]:
    """The longest first."""
    return sorted(times.items(), key=lambda item: -item[1])


def steps(trainer: Trainer, batches: Sequence[Any]) -> float:
    """Seconds that a step on each batch takes, which changes next to nothing."""
    start = time.perf_counter()
    for batch in batches:
        trainer.train_step(batch, 1e-6)
    return time.perf_counter() - start


def main() -> int:
    """Profile with one thread and with all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/multi30k-en-de.toml", help="what to train")
    parser.add_argument("--corpus", required=True, help="a corpus folder")
    parser.add_argument("--steps", type=positive, default=40, help="to profile, an epoch's at the most")
    parser.add_argument("--all", action="store_true", help="also print each operator's own time, longest first")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = load(options.config, [f"data.corpus={json.dumps(options.corpus)}"])
        trainer = Trainer(config, Path(folder) / "run", display=Display(quiet=True))
        batches = [*islice(trainer.batches(epoch=0), options.steps)]
        for threads in sorted({1, torch.get_num_threads()}):
            torch.set_num_threads(threads)
            steps(trainer, batches[:WARM])
            whole = steps(trainer, batches)
            with profile(activities=[ProfilerActivity.CPU]) as profiler:
                profiled = steps(trainer, batches)
            found, each = defaultdict[str, float](float), defaultdict[str, float](float)
            for event in profiler.events() or []:
                found[part_of(event)] += event.self_cpu_time_total
                each[event.name] += event.self_cpu_time_total
            found[REST] += 1e6 * profiled - sum(found.values())
            about = {"threads": threads, "precision": "bfloat16 products" if trainer.bfloat16 else "float32"}
            for part, microseconds in [*(longest(each)[:40] if options.all else ()), *longest(found)]:
                row = {"part": part, "ms": round(microseconds / 1e3 / len(batches), 2)}
                print(json.dumps({**about, **row, "share": round(microseconds / 1e6 / profiled, 3)}))
            print(json.dumps({**about, "part": WHOLE, "ms": round(1e3 * whole / len(batches), 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
