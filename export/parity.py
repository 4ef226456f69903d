"""PyTorch against ONNX: the same ids, and scores within tolerance, or the file is not to be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dragoman.runtime.bundle import PAD, Bundle
from dragoman.runtime.translator import Engine, Ids

TOLERANCE = 1e-4  # between the scores of PyTorch and ONNX Runtime, both in float32


@dataclass(frozen=True)
class Level:
    """How two engines compared on one setting."""

    beam: int
    batch: int
    sentences: int
    equal: int
    worst_score: float
    example: str = ""  # the first sentence that differed

    @property
    def passed(self) -> bool:
        """All tokens equal, and scores within tolerance."""
        return self.equal == self.sentences and self.worst_score <= TOLERANCE

    def describe(self) -> str:
        """One line for people."""
        line = (
            f"beam {self.beam}, batch {self.batch}: {self.equal} of {self.sentences} sentences have equal tokens, "
            f"scores differ by at most {self.worst_score:.1e}"
        )
        return f"{line}; first difference: {self.example}" if self.example else line

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "passed": self.passed}


def parity_batches(rows: Sequence[Sequence[int]], batch: int) -> list[tuple[Ids, Ids]]:
    """Ids as padded batches in the order given, so ragged; padding holds ids that must not matter."""
    noise = np.random.default_rng(0)
    batches = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        length = np.array([len(row) for row in part], dtype=np.int64)
        source = noise.integers(4, 100, (len(part), int(length.max())), dtype=np.int64)
        for out, row in zip(source, part, strict=True):
            out[: len(row)] = row
        batches.append((source, length))
    return batches


def compare_search(
    reference: Engine, other: Engine, batches: Sequence[tuple[Ids, Ids]], beam: int, bundle: Bundle,
    progress: Callable[[int], None] | None = None,
) -> Level:  # fmt: skip
    """Run both on the same batches and compare the best hypothesis of each sentence."""
    settings = {
        "beam_size": beam,
        "n_best": 1,
        "max_length": bundle.defaults["max_length"],
        "length_penalty": bundle.defaults["length_penalty"],
        "attended": 0,
    }
    equal = sentences = 0
    worst = 0.0
    example = ""
    for source, length in batches:
        one, other_result = (engine.run(source, length, **settings) for engine in (reference, other))
        for b in range(len(length)):
            ids = [[i for i in result[0][b, 0].tolist() if i != PAD] for result in (one, other_result)]
            sentences += 1
            equal += ids[0] == ids[1]
            if ids[0] != ids[1] and not example:
                example = f"sentence {sentences} gives {ids[0]} and {ids[1]}"
            difference = abs(float(one[1][b, 0]) - float(other_result[1][b, 0]))
            worst = max(worst, difference if math.isfinite(difference) else math.inf)
        if progress:
            progress(sentences)
    return Level(beam, max(len(length) for _, length in batches), sentences, equal, worst, example)
