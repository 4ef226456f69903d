"""Engines of a translator: source ids in, beam search, target ids out.

Axis letters are those of contract.py: B batch, S source length, T target length, K beam size, A hypotheses to align.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from dragoman.runtime.contract import INPUTS, Floats, Ids
from dragoman.runtime.session import run_session, session_for_task


class Engine(Protocol):
    """Interface that runs the encoder and the beam search. OnnxEngine implements it here, TorchEngine with PyTorch."""

    def run(
        self, source: Ids, source_length: Ids, *, beam_size: int, n_best: int, max_length: int,
        length_penalty: float, n_aligned: int,
    ) -> tuple[Ids, Floats, Floats]:  # fmt: skip
        """Translate a padded batch of ids.

        Args:
            source: Ids, each row closed by `</s>` and filled up with `<pad>`, (B, S).
            source_length: Ids in each row, without padding, (B).
            beam_size: K, from 1 to the size of the target vocabulary.
            n_best: Number of best hypotheses that must be certain before the search stops, from 1 to K.
            max_length: Longest target in ids. The network also limits it to a multiple of the source's length.
            length_penalty: Exponent of the length by which log-probabilities are divided.
            n_aligned: A, the number of best hypotheses to return attention for.

        Returns:
            target (B, K, T), best first and filled up with `<pad>`; score (B, K); attention (B, A, T, S).
        """
        ...


def session_inputs(
    source: Ids,
    source_length: Ids,
    *,
    beam_size: int,
    n_best: int,
    max_length: int,
    length_penalty: float,
    n_aligned: int,
) -> dict[str, npt.NDArray[Any]]:
    """Return the arguments of `Engine.run` as session inputs, with the names and types of the contract."""
    values = (source, source_length, beam_size, n_best, max_length, length_penalty, n_aligned)
    return {
        name: np.asarray(value, dtype=dtype) for (name, (dtype, _)), value in zip(INPUTS.items(), values, strict=True)
    }


class OnnxEngine:
    """An engine that runs a Dragoman file with ONNX Runtime on the CPU."""

    def __init__(self, model: bytes | onnxruntime.InferenceSession, threads: int = 1) -> None:
        """Open the bytes of a file, or take a session that holds it."""
        self.session = session_for_task(model, "translate", threads)

    def run(
        self, source: Ids, source_length: Ids, *, beam_size: int, n_best: int, max_length: int,
        length_penalty: float, n_aligned: int,
    ) -> tuple[Ids, Floats, Floats]:  # fmt: skip
        """Translate a padded batch of ids; see `Engine.run`. Raise UserError when ONNX Runtime fails."""
        if not len(source):  # ONNX Runtime rejects an empty batch
            score = np.zeros((0, beam_size), np.float32)
            target = np.zeros((0, beam_size, 1), np.int64)
            return target, score, np.zeros((0, n_aligned, 1, source.shape[1]), np.float32)
        target, score, attention = run_session(
            self.session,
            session_inputs(
                source, source_length, beam_size=beam_size, n_best=n_best, max_length=max_length,
                length_penalty=length_penalty, n_aligned=n_aligned,
            ),
        )  # fmt: skip
        return target, score, attention
