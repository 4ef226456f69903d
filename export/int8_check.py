"""The comparison of an int8 network with float32: the loss decides whether the file is written.

The loss is that of the validation set's references under teacher forcing. It sees every decision of the network, so a
fault shows on few sentences, and luck does not hide it. BLEU of 1,000 sentences moves by 0.3 by chance, and speed
depends on the machine that exports, so both are only reported.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dragoman.export.parity import parity_batches, search_settings
from dragoman.runtime.contract import Ids
from dragoman.runtime.engine import OnnxEngine
from dragoman.runtime.metadata import Metadata
from dragoman.runtime.progress import ProgressCallback
from dragoman.runtime.translator import Translator
from dragoman.translate.corpus.folder import Pair
from dragoman.translate.encoding.batching import make_batch, plan
from dragoman.translate.evaluation.engine import translate_all
from dragoman.translate.evaluation.metrics import score
from dragoman.translate.evaluation.provenance import machine
from dragoman.translate.network.ensemble import Ensemble
from dragoman.translate.network.search import BeamSearch
from dragoman.translate.network.seq2seq import Seq2Seq
from dragoman.translate.progress import bar

# The largest rise of the perplexity per subword, as a share. A share of the loss itself would be strict with a network
# that is nearly always right, whose loss is near zero. docs/export.md has the measurements.
MAX_RISE = 0.005

# A file is refused only if the rise is above MAX_RISE by as many standard errors. Of files whose true rise is MAX_RISE,
# chance then refuses one in 700.
STANDARD_ERRORS = 3
MIN_SENTENCES = 10  # fewer give no standard error to rely on

LOGITS_AT_ONCE = 4_000_000  # bounds the memory that the loss takes

Rows = Sequence[Sequence[int]]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LossComparison:
    """The loss of the validation set's references in float32 and int8, in nats per subword."""

    sentences: int
    float32: float
    int8: float
    standard_error: float  # of int8 - float32, over the choice of sentences

    @classmethod
    def of(cls, float32: Values, int8: Values, subwords: Values) -> LossComparison:
        """Compare the losses of sentences, (N) each, given their numbers of subwords (N)."""
        N, total = len(subwords), max(1.0, float(subwords.sum()))
        difference = int8 - float32
        # The standard error of a ratio of sums (Cochran 1977, "Sampling Techniques"): sentences are the sample.
        residual = difference - subwords * difference.sum() / total
        error = math.sqrt((residual**2).sum() * N / max(1, N - 1)) / total
        return cls(N, float(float32.sum() / total), float(int8.sum() / total), error)

    @property
    def perplexity_rise(self) -> float:
        """The relative rise of the perplexity per subword from float32 to int8."""
        return math.exp(min(self.int8 - self.float32, 700)) - 1  # 700: near the largest exponent of a float

    def complaint(self) -> str:
        """Return why the int8 network must not be used, or an empty string. A loss of NaN is a complaint."""
        surely = self.int8 - self.float32 - STANDARD_ERRORS * self.standard_error
        if self.sentences < MIN_SENTENCES or surely <= math.log1p(MAX_RISE):
            return ""
        if not math.isfinite(surely):
            return "the loss of the validation set in 8 bits is not a number"
        return (
            f"8 bits raise the perplexity of {self.sentences:,} references of the validation set by "
            f"{self.perplexity_rise:.2%}, more than {MAX_RISE:.1%}"
        )

    def describe(self) -> str:
        """Return one line for people."""
        limit = f"at most {MAX_RISE:+.1%}"
        if self.sentences < MIN_SENTENCES:
            limit = f"not judged, because that takes {MIN_SENTENCES}"
        rise = f"{self.perplexity_rise:+.2%} ± {self.standard_error:.2%}"
        return (
            f"validation loss: int8 {self.int8:.4f}, float32 {self.float32:.4f}; perplexity {rise} "
            f"({self.sentences:,} sentences, {limit})"
        )


@dataclass(frozen=True)
class Comparison:
    """Loss, BLEU and speed on this machine of an int8 and a float32 file, on the validation set."""

    loss: LossComparison
    sentences: int
    float32_bleu: float
    int8_bleu: float
    signature: str
    beam: int
    milliseconds: dict[str, dict[str, float]]  # a sentence, by batch size and precision, with greedy search
    times_as_fast: dict[str, float]  # by batch size, with greedy search
    machine: str

    def describe(self) -> list[str]:
        """Return lines for people."""
        speed = [
            f"{ms['int8']:.2f} and {ms['float32']:.2f} ms a sentence in batches of {batch}, "
            f"{self.times_as_fast[batch]:.2f} times as fast"
            for batch, ms in self.milliseconds.items()
        ]
        return [
            self.loss.describe(),
            f"validation BLEU: int8 {self.int8_bleu:.2f}, float32 {self.float32_bleu:.2f} (beam {self.beam}, "
            f"{self.sentences:,} sentences, {self.signature})",
            f"int8 and float32 on this machine: {'; '.join(speed)}",
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for the file's metadata."""
        return asdict(self)


def compare_losses(float32: BeamSearch, int8: BeamSearch, source: Rows, target: Rows) -> LossComparison:
    """Compare the losses of two networks on encoded pairs.

    target: ids in decoding order, thus reversed for right-to-left networks.
    """
    with bar("comparing losses", 2 * len(target)) as progress:
        before = _reference_losses(float32, source, target, progress, 0)
        after = _reference_losses(int8, source, target, progress, len(target))
    return LossComparison.of(before, after, np.array([*map(len, target)], np.float64))


@torch.no_grad()
def _reference_losses(search: BeamSearch, source: Rows, target: Rows, progress: ProgressCallback, done: int) -> Values:
    """Return the negative log-probability of each target, (N). done: the progress before."""
    assert isinstance(search.model, Seq2Seq)
    network = Ensemble([search.model]).eval()
    losses = np.zeros(len(target))
    batch_tokens = max(1, LOGITS_AT_ONCE // len(search.model.bias))
    for rows in plan([*map(len, source)], [*map(len, target)], batch_tokens, seed=0):
        losses[rows] = -network(make_batch([source[i] for i in rows], [target[i] for i in rows])).double().numpy()
        done += len(rows)
        progress(done)
    return losses


def compare_files(
    float32: bytes, int8: bytes, metadata: Metadata, pairs: Sequence[Pair], rows: Rows, loss: LossComparison
) -> Comparison:
    """Score both files on the pairs, and time both on the rows of source ids.

    The files run in turns on the same batches. The speed is the median ratio of their times.
    """
    engines = {"float32": OnnxEngine(float32), "int8": OnnxEngine(int8)}
    sources, references = [pair.source for pair in pairs], [pair.target for pair in pairs]
    scores = {}
    with bar("translating the validation set", 2 * len(pairs)) as progress:
        for number, (precision, engine) in enumerate(engines.items()):

            def advance(done: int, start: int = number * len(pairs)) -> None:
                progress(start + done)

            output = translate_all(Translator(engine, metadata), sources, progress=advance)
            scores[precision] = score([t.text for t in output], [references], metadata.target_language, ter=False)[0]
    milliseconds, times_as_fast = {}, {}
    for batch_size, batches in ((1, 20), (32, 4)):
        timed = parity_batches(rows[: batches * batch_size], batch_size) * 3
        seconds = [
            [_seconds(engine, batch, metadata) / len(batch[1]) for engine in engines.values()] for batch in timed
        ]
        milliseconds[str(batch_size)] = {
            precision: round(1000 * statistics.median(column), 3)
            for precision, column in zip(engines, zip(*seconds, strict=True), strict=True)
        }
        times_as_fast[str(batch_size)] = round(statistics.median(a / b for a, b in seconds), 2)
    return Comparison(
        loss=loss,
        sentences=len(pairs),
        float32_bleu=scores["float32"].score,
        int8_bleu=scores["int8"].score,
        signature=scores["int8"].signature,
        beam=metadata.defaults["beam_size"],
        milliseconds=milliseconds,
        times_as_fast=times_as_fast,
        machine=machine(),
    )


def _seconds(engine: OnnxEngine, batch: tuple[Ids, Ids], metadata: Metadata) -> float:
    """Return how long a greedy search of a batch takes."""
    start = time.perf_counter()
    engine.run(*batch, n_aligned=0, **search_settings(1, metadata))
    return time.perf_counter() - start
