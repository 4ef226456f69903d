"""Memory of training on a corpus larger than memory should hold: peak resident MiB of each process.

Makes pairs of invented words (a vocabulary of half a million, as often as Zipf's law says), encodes them and trains a
few steps. Prints a JSON object.
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


def make(folder: Path, pairs: int) -> None:
    """A corpus folder, written a piece at a time."""
    rng = np.random.default_rng(1)
    words = np.array(["".join(rng.choice(SYLLABLES, rng.integers(1, 6))) for _ in range(WORDS)], object)
    folder.mkdir()
    sizes = {"train": pairs, "valid": 500, "test": 500}
    for part, size in sizes.items():
        with open(folder / f"{part}.aa", "w") as source, open(folder / f"{part}.bb", "w") as target:
            for start in range(0, size, 100_000):
                lengths = rng.integers(3, 25, min(100_000, size - start))
                drawn = words[np.minimum(rng.zipf(1.2, int(lengths.sum())), WORDS) - 1]
                for line in np.split(drawn, np.cumsum(lengths)[:-1]):
                    source.write(" ".join(line) + "\n")
                    target.write(" ".join(line[::-1]) + "\n")
    card = {"source_language": "aa", "target_language": "bb", "pairs": sizes, "corpus": "invented words"}
    (folder / CARD).write_text(json.dumps(card))


def main() -> int:
    """Make, encode, train, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5_000_000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--folder", help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        make(folder / "corpus", options.pairs)
        (folder / "large.toml").write_text(f'name = "large"\n[data]\ncorpus = "{folder / "corpus"}"\n')
        start = time.perf_counter()
        trainer = Trainer(load(folder / "large.toml"), folder / "run", display=Display())
        ready = time.perf_counter() - start
        encoded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        for number, batch in enumerate(trainer.batches(0)):
            trainer.train_step(batch, 1e-4)
            if number == options.steps:
                break
        result = {
            "pairs": options.pairs,
            "seconds_until_the_first_step": round(ready),
            "peak_mib_until_then": round(encoded),
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
