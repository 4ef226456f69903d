"""Remove one line of the recipe at a time and see whether the fast tests notice (`make mutants`).

Each mutant is a copy of the project with one change. It survives when the tests named beside it still pass: then the
line that was changed is held by no test. Exits with 1 when a mutant survives, or when its line is no longer there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
RECIPE = "tests/translate/training/test_recipe.py"


class Mutant(NamedTuple):
    """One change to one file, and the tests that must notice it."""

    name: str
    path: str
    line: str  # stands once in the file
    changed: str
    tests: str = RECIPE


TRAINER = "translate/training/trainer.py"
AVERAGING = "translate/training/averaging.py"
MUTANTS = (
    Mutant("the gradient is not clipped", TRAINER, "self.config.training.clip_norm)", 'float("inf"))'),
    Mutant(
        "label smoothing is ignored",
        "translate/network/loss.py",
        "self.smoothing = smoothing",
        "self.smoothing = 0.0",
    ),
    Mutant(
        "the learning-rate schedule is ignored", TRAINER, 'group["lr"] = rate', 'group["lr"] = self.config.training.lr'
    ),
    Mutant("a gradient that is not finite is applied", TRAINER, "if torch.isfinite(norm):", "if True:"),
    Mutant(
        "batches come in the order of their length",
        "translate/encoding/batching.py",
        "rng.shuffle(batches)",
        "pass",
    ),
    Mutant(
        "weight decay acts on vectors",
        "translate/training/optimizers.py",
        'if p.ndim <= 1], "weight_decay": 0.0}',
        'if p.ndim <= 1], "weight_decay": c.weight_decay}',
    ),
    Mutant(
        "no dropout on the decoder cell's update",
        "translate/network/seq2seq.py",
        "layer.dropout(update)",
        "update",
    ),
    Mutant(
        "the embedding scale is 1", "translate/network/layers.py", "self.scale = math.sqrt(width)", "self.scale = 1.0"
    ),
    Mutant("the search does not look ahead", "translate/network/search.py", "LOOKAHEAD = 4", "LOOKAHEAD = 0"),
    Mutant(
        "the LSTM forgets at first",
        "translate/network/cells.py",
        "bias[self.hidden : 2 * self.hidden] = 1.0",
        "bias[self.hidden : 2 * self.hidden] = 0.0",
    ),
    Mutant(
        "pooling takes the mean twice",
        "translate/network/heads.py",
        "torch.where(real, x, NEG_INF).amax(0)",
        "mean",
    ),
    Mutant(
        "the validation loss is that of the first batch",
        TRAINER,
        "for batch in self.task.validation():",
        "for batch in [next(iter(self.task.validation()))]:",
    ),
    Mutant(
        "only targets bound a batch",
        "translate/encoding/batching.py",
        "max(target[i], longest_source / SOURCE_RATIO)",
        "target[i]",
        "tests/translate/encoding/test_batching.py -k bounded",
    ),
    Mutant(
        "the start of a resumed session is progress",
        TRAINER,
        "self.position.restarts += self.restarting * (now - self.clock)",
        "pass",
        "tests/translate/training/test_resumption.py -k start",
    ),
    Mutant(
        "a diverged training goes on",
        "translate/training/stopping.py",
        "MAX_SKIPPED = 50",
        "MAX_SKIPPED = 10**9",
        "tests/translate/training/test_skipped_steps.py -k diverges",
    ),
    Mutant("the first checkpoints are averaged", AVERAGING, "history[-c.average :]", "history[: c.average]"),
    Mutant(
        "the worst checkpoints are averaged",
        AVERAGING,
        "return -entry[metric]",
        "return entry[metric]",
    ),
    Mutant(
        "portable int8 files have 8-bit weights",
        "export/quantize.py",
        '"portable": 63',
        '"portable": 127',
        "tests/export/test_quantize.py -k bits",
    ),
    Mutant(
        "German and Czech quotes do not close",
        "runtime/segmentation.py",
        "”“’‘»«›‹",
        "”’»›",
        "tests/runtime/test_text.py -k quotes",
    ),
    Mutant(
        "French quotes do not close",
        "runtime/segmentation.py",
        "| [»›])*",
        ")*",
        "tests/runtime/test_text.py -k quotes",
    ),
)


def survives(mutant: Mutant, folder: Path) -> str:
    """Return why a mutant counts as surviving, or nothing when the tests notice it."""
    path = folder / mutant.path
    text = path.read_text("utf-8")
    if text.count(mutant.line) != 1:
        return f"its line stands {text.count(mutant.line)} times in {mutant.path}: {mutant.line}"
    path.write_text(text.replace(mutant.line, mutant.changed), "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests.split()]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
    finally:
        path.write_text(text, "utf-8")
    if done.returncode == 1:  # pytest: some tests failed
        return ""
    return "the tests pass" if done.returncode == 0 else done.stdout[-2000:] + done.stderr[-2000:]


def main() -> int:
    """Try all mutants, or those whose names contain an argument."""
    words = sys.argv[1:]
    chosen = [m for m in MUTANTS if not words or any(word in m.name for word in words)]
    survivors = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "project"
        skipped = shutil.ignore_patterns(
            ".git", ".venv*", "runs", "data", "_build", "node_modules", "__pycache__", ".*_cache"
        )
        shutil.copytree(ROOT, folder, symlinks=True, ignore=skipped)
        for number, mutant in enumerate(chosen, 1):
            reason = survives(mutant, folder)
            survivors += bool(reason)
            print(f"{number:>3} of {len(chosen)}  {'SURVIVES' if reason else 'noticed '}  {mutant.name}", flush=True)
            if reason:
                print(f"     {reason}", flush=True)
    print(f"{len(chosen) - survivors} noticed, {survivors} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
