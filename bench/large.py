"""Measure the memory of training on a large corpus: peak resident MiB of each process.

The corpus has pairs of invented words, half a million different ones, drawn by Zipf's law. The script encodes it,
trains a few steps, and prints a JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dragoman.translate.config import load
from dragoman.translate.corpus.folder import CARD
from dragoman.translate.evaluation.provenance import commit, machine
from dragoman.translate.training.display import Display
from dragoman.translate.training.trainer import Trainer

WORDS = 500_000
SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]


def write_invented_corpus(folder: Path, pairs: int) -> None:
    """Write a corpus folder, 100,000 pairs at a time."""
    rng = np.random.default_rng(1)
    words = np.array(["".join(rng.choice(SYLLABLES, rng.integers(1, 6))) for _ in range(WORDS)], object)
    folder.mkdir()
    pairs_of_part = {"train": pairs, "valid": 500, "test": 500}
    for part, size in pairs_of_part.items():
        with open(folder / f"{part}.aa", "w") as source, open(folder / f"{part}.bb", "w") as target:
            for start in range(0, size, 100_000):
                lengths = rng.integers(3, 25, min(100_000, size - start))
                tokens = words[np.minimum(rng.zipf(1.2, int(lengths.sum())), WORDS) - 1]
                for line in np.split(tokens, np.cumsum(lengths)[:-1]):
                    source.write(" ".join(line) + "\n")
                    target.write(" ".join(line[::-1]) + "\n")
    card = {"source_language": "aa", "target_language": "bb", "pairs": pairs_of_part, "corpus": "invented words"}
    (folder / CARD).write_text(json.dumps(card))


def main() -> int:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5_000_000, help="size of the training set (default: 5,000,000)")
    parser.add_argument("--steps", type=int, default=200, help="training steps (default: 200)")
    parser.add_argument("--folder", help="folder for the temporary files (default: the system's)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_invented_corpus(folder / "corpus", options.pairs)
        (folder / "large.toml").write_text(f'name = "large"\n[data]\ncorpus = "{folder / "corpus"}"\n')
        start = time.perf_counter()
        trainer = Trainer(load(folder / "large.toml"), folder / "run", display=Display())
        preparation_seconds = time.perf_counter() - start
        preparation_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        for number, batch in enumerate(trainer.batches(0)):
            trainer.train_step(batch, 1e-4)
            if number == options.steps:
                break
        result = {
            "pairs": options.pairs,
            "seconds_until_the_first_step": round(preparation_seconds),
            "peak_mib_until_then": round(preparation_peak),
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "peak_mib_of_a_worker": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
            "disk_mib": round(sum(p.stat().st_size for p in (folder / "run" / "shards").iterdir()) / 2**20),
            "commit": commit(),
            "machine": machine(),
        }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
