"""Tensor contract of a Dragoman file: tensor names, types and axes, special token ids, and metadata keys.

The exporter writes from this module and every Python host reads from it. docs/file-format.md describes the same
contract for hosts in other languages. A change of the contract raises SCHEMA, and older files must keep loading.

Axis letters: B batch, S source length or rows of a series, T target length, K beam size, A hypotheses to align,
C labels, F variables of a series, H forecast steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

SCHEMA = 1

PAD, UNK, BOS, EOS = 0, 1, 2, 3

INPUTS = {
    "source": ("int64", ("B", "S")),
    "source_length": ("int64", ("B",)),
    "beam_size": ("int64", ()),
    "n_best": ("int64", ()),
    "max_length": ("int64", ()),
    "length_penalty": ("float32", ()),
    # The number of hypotheses, A, to return attention for. In Python it is the argument `n_aligned`. The tensor keeps
    # its first name, because files and hosts that exist depend on it.
    "attended": ("int64", ()),
}
OUTPUTS = {
    "target": ("int64", ("B", "K", "T")),
    "score": ("float32", ("B", "K")),
    "attention": ("float32", ("B", "A", "T", "S")),
}

_LABEL_INPUTS = {"source": INPUTS["source"], "source_length": INPUTS["source_length"]}

# For each task: the inputs and the outputs of the graph.
CONTRACTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "translate": (INPUTS, OUTPUTS),
    "classify": (_LABEL_INPUTS, {"probability": ("float32", ("B", "C"))}),
    # A word's label is read at its first subword.
    "tag": (_LABEL_INPUTS, {"probability": ("float32", ("B", "S", "C"))}),
    "forecast": ({"series": ("float32", ("B", "S", "F"))}, {"forecast": ("float32", ("B", "H", "F"))}),
}

METADATA_PREFIX = "dragoman."
CHECKSUM_KEY = "dragoman.sha256"

# For each precision: how much a score may differ between machines. Tokens must be equal. In int8 one activation that
# is rounded to the other side already changes a score.
PRECISIONS = {"float32": 1e-3, "int8": 0.05}
