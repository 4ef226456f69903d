"""The self-test of a translator: sentences with the ids and scores that a host must reproduce."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from dragoman.export.parity import TOLERANCE, search_settings
from dragoman.runtime.contract import PAD
from dragoman.runtime.engine import Engine
from dragoman.runtime.metadata import Metadata

SELF_TESTS = 4  # cases in a file


def self_test_of(
    reference: Engine, engine: Engine, sources: Sequence[Sequence[int]], metadata: Metadata
) -> dict[str, Any]:
    """Return up to SELF_TESTS sources with the ids and scores that PyTorch gives, and the search settings behind them.

    A source qualifies if the file gives the same ids as PyTorch, and the same score within the float32 tolerance, for
    int8 files too. Of these, the first are taken whose best hypothesis is clearly better than the second. Another
    processor rounds differently, and must still pass.
    """
    settings = search_settings(metadata.defaults["beam_size"], metadata)
    n_best = min(2, int(settings["beam_size"]))
    cases, margins = [], []
    for source in sources:
        row, length = np.array([source], dtype=np.int64), np.array([len(source)])
        (target, scores, _), (file_target, file_scores, _) = (
            e.run(row, length, n_aligned=0, **settings) for e in (reference, engine)
        )
        ids, file_ids = ([int(i) for i in t[0, 0] if i != PAD] for t in (target, file_target))
        score = float(scores[0, 0])
        # Negated, so that a score of NaN disqualifies.
        if ids != file_ids or not abs(score - float(file_scores[0, 0])) <= TOLERANCE["float32"].score:
            continue
        best = engine.run(row, length, n_aligned=0, **{**settings, "n_best": n_best})[1][0]
        margins.append(float(best[0] - best[n_best - 1]))
        cases.append({"source": [int(i) for i in source], "target": ids, "score": round(score, 6)})
    threshold = statistics.median_low(margins) if margins else 0.0
    clear = [case for case, margin in zip(cases, margins, strict=True) if margin >= threshold]
    return {"settings": settings, "cases": clear[:SELF_TESTS]}
