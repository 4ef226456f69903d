"""Compare an int8 file with its float32 model: BLEU lost and time gained."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dragoman.export.parity import parity_batches
from dragoman.runtime.engine import OnnxEngine
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.translator import Translator
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.evaluation.engine import translate_all
from dragoman.translate.evaluation.metrics import score
from dragoman.translate.evaluation.provenance import machine

MOST_BLEU_LOST = 0.2


@dataclass(frozen=True)
class Comparison:
    """An int8 file against its float32 file: BLEU on the validation set, and how many times as fast it is here."""

    sentences: int
    float32_bleu: float
    int8_bleu: float
    signature: str
    beam: int
    times_as_fast: dict[str, float]  # by batch size, greedy
    machine: str

    def complaint(self) -> str:
        """Why int8 is not worth having here, or nothing."""
        loss = self.float32_bleu - self.int8_bleu
        slow = [f"{times:.2f} times in batches of {batch}" for batch, times in self.times_as_fast.items() if times <= 1]
        reasons = []
        if slow:
            reasons.append(f"it is not faster than float32 here ({' and '.join(slow)})")
        if loss > MOST_BLEU_LOST:
            reasons.append(f"it loses {loss:.2f} BLEU on the validation set, where {MOST_BLEU_LOST} may be lost")
        return " and ".join(reasons)

    def describe(self) -> str:
        """One line for people."""
        speed = ", ".join(f"{times:.2f} times in batches of {batch}" for batch, times in self.times_as_fast.items())
        return (
            f"validation BLEU {self.int8_bleu:.2f}, float32 {self.float32_bleu:.2f} (beam {self.beam}, "
            f"{self.sentences:,} sentences, {self.signature}); as fast as float32 here: {speed}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For the file's metadata."""
        return asdict(self)


def compare_precisions(
    plain: bytes, small: bytes, metadata: Metadata, pairs: Sequence[Pair], rows: Sequence[Sequence[int]]
) -> Comparison:
    """Score and time a float32 and an int8 file; times alternate, and the median of their ratios counts."""
    engines = [OnnxEngine(data) for data in (plain, small)]
    references = [pair.target for pair in pairs]
    scores = [
        score(
            [t.text for t in translate_all(Translator(engine, metadata), [pair.source for pair in pairs])],
            references, metadata.target_language, ter=False,
        )[0]
        for engine in engines
    ]  # fmt: skip
    times_as_fast = {}
    for batch in (1, 32):
        ratios = []
        for source, length in parity_batches(rows[: 20 * batch] if batch == 1 else rows[: 4 * batch], batch) * 3:
            took = []
            for engine in engines:
                start = time.perf_counter()
                engine.run(
                    source, length, beam_size=1, n_best=1, max_length=metadata.defaults["max_length"],
                    length_penalty=1.0, n_aligned=0,
                )  # fmt: skip
                took.append(time.perf_counter() - start)
            ratios.append(took[0] / took[1])
        times_as_fast[str(batch)] = round(statistics.median(ratios), 2)
    return Comparison(
        len(pairs), scores[0].score, scores[1].score, scores[0].signature, metadata.defaults["beam_size"], times_as_fast,
        machine(),
    )  # fmt: skip
