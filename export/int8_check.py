"""The comparison that decides whether an int8 file is written: its BLEU and speed against the float32 file."""

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

MAX_BLEU_LOSS = 0.2


@dataclass(frozen=True)
class Comparison:
    """BLEU of an int8 and a float32 file on the validation set, and their relative speed on this machine."""

    sentences: int
    float32_bleu: float
    int8_bleu: float
    signature: str
    beam: int
    times_as_fast: dict[str, float]  # by batch size, with greedy search
    machine: str

    def complaint(self) -> str:
        """Return the reasons not to use int8 on this machine, or an empty string."""
        loss = self.float32_bleu - self.int8_bleu
        slow = [f"{times:.2f} times in batches of {batch}" for batch, times in self.times_as_fast.items() if times <= 1]
        reasons = []
        if slow:
            reasons.append(f"it is not faster than float32 on this machine ({' and '.join(slow)})")
        if loss > MAX_BLEU_LOSS:
            reasons.append(f"it loses {loss:.2f} BLEU on the validation set, more than {MAX_BLEU_LOSS}")
        return " and ".join(reasons)

    def describe(self) -> str:
        """Return one line for people."""
        speed = ", ".join(f"{times:.2f} times in batches of {batch}" for batch, times in self.times_as_fast.items())
        return (
            f"validation BLEU: int8 {self.int8_bleu:.2f}, float32 {self.float32_bleu:.2f} (beam {self.beam}, "
            f"{self.sentences:,} sentences, {self.signature}); int8 speed on this machine relative to float32: {speed}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for the file's metadata."""
        return asdict(self)


def compare_precisions(
    float32: bytes, int8: bytes, metadata: Metadata, pairs: Sequence[Pair], rows: Sequence[Sequence[int]]
) -> Comparison:
    """Score both files on the pairs, and time both on the rows of source ids.

    The files run in turns on the same batches. The speed is the median ratio of their times.
    """
    engines = [OnnxEngine(data) for data in (float32, int8)]
    sources, references = [pair.source for pair in pairs], [pair.target for pair in pairs]
    scores = [
        score(
            [t.text for t in translate_all(Translator(engine, metadata), sources)],
            [references], metadata.target_language, ter=False,
        )[0]
        for engine in engines
    ]  # fmt: skip
    times_as_fast = {}
    for batch_size, batches in ((1, 20), (32, 4)):
        ratios = []
        for source, length in parity_batches(rows[: batches * batch_size], batch_size) * 3:
            seconds = []
            for engine in engines:
                start = time.perf_counter()
                engine.run(
                    source, length, beam_size=1, n_best=1, max_length=metadata.defaults["max_length"],
                    length_penalty=1.0, n_aligned=0,
                )  # fmt: skip
                seconds.append(time.perf_counter() - start)
            ratios.append(seconds[0] / seconds[1])
        times_as_fast[str(batch_size)] = round(statistics.median(ratios), 2)
    return Comparison(
        sentences=len(pairs),
        float32_bleu=scores[0].score,
        int8_bleu=scores[1].score,
        signature=scores[0].signature,
        beam=metadata.defaults["beam_size"],
        times_as_fast=times_as_fast,
        machine=machine(),
    )
