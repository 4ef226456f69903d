"""The engine of a translator: ids in, beam search, ids out."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime

from dragoman.runtime.contract import INPUTS, Floats, Ids
from dragoman.runtime.session import outputs_of, session_for


class Engine(Protocol):
    """Whatever runs the search: ONNX Runtime here, PyTorch while training."""

    def run(
        self, source: Ids, source_length: Ids, *, beam_size: int, n_best: int, max_length: int,
        length_penalty: float, n_aligned: int,
    ) -> tuple[Ids, Floats, Floats]:  # fmt: skip
        """(B, S), (B) -> target (B, K, T), score (B, K), attention (B, A, T, S)."""
        ...


def inputs_of(
    source: Ids,
    source_length: Ids,
    *,
    beam_size: int,
    n_best: int,
    max_length: int,
    length_penalty: float,
    n_aligned: int,
) -> dict[str, npt.NDArray[Any]]:
    """What a session is given, by the names and types of the contract."""
    values = (source, source_length, beam_size, n_best, max_length, length_penalty, n_aligned)
    return {
        name: np.asarray(value, dtype=dtype) for (name, (dtype, _)), value in zip(INPUTS.items(), values, strict=True)
    }


class OnnxEngine:
    """The file itself, run by ONNX Runtime on the CPU."""

    def __init__(self, model: bytes | onnxruntime.InferenceSession, threads: int = 1) -> None:
        """model: the file's bytes, or the session that they were opened in."""
        self.session = session_for(model, "translate", threads)

    def run(
        self, source: Ids, source_length: Ids, *, beam_size: int, n_best: int, max_length: int,
        length_penalty: float, n_aligned: int,
    ) -> tuple[Ids, Floats, Floats]:  # fmt: skip
        """See Engine. A batch of no sentences gives no translations, without ONNX Runtime, which refuses it."""
        if not len(source):
            none = np.zeros((0, beam_size), np.float32)
            return none.astype(np.int64)[..., None], none, np.zeros((0, n_aligned, 1, source.shape[1]), np.float32)
        target, score, attention = outputs_of(
            self.session,
            inputs_of(
                source, source_length, beam_size=beam_size, n_best=n_best, max_length=max_length,
                length_penalty=length_penalty, n_aligned=n_aligned,
            ),
        )  # fmt: skip
        return target, score, attention
