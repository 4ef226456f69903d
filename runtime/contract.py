"""The tensor contract of a Dragoman file: tensor names, types, axes, special ids and metadata keys.

Export writes from this module and every Python host reads from it. docs/file-format.md describes the same contract for
hosts in other languages."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SCHEMA = 1


PAD, UNK, BOS, EOS = 0, 1, 2, 3


# Axis letters: B batch, S source length, T target length, K beam, A hypotheses to align.
INPUTS = {
    "source": ("int64", ("B", "S")),
    "source_length": ("int64", ("B",)),
    "beam_size": ("int64", ()),
    "n_best": ("int64", ()),
    "max_length": ("int64", ()),
    "length_penalty": ("float32", ()),
    "attended": ("int64", ()),
}


OUTPUTS = {
    "target": ("int64", ("B", "K", "T")),
    "score": ("float32", ("B", "K")),
    "attention": ("float32", ("B", "A", "T", "S")),
}


# What a model for each task takes and gives. More axis letters: C labels, F variables of a series, H steps ahead.
_READ = {"source": INPUTS["source"], "source_length": INPUTS["source_length"]}


CONTRACTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "translate": (INPUTS, OUTPUTS),
    "classify": (_READ, {"probability": ("float32", ("B", "C"))}),
    "tag": (_READ, {"probability": ("float32", ("B", "S", "C"))}),  # at each word's first piece
    "forecast": ({"series": ("float32", ("B", "S", "F"))}, {"forecast": ("float32", ("B", "H", "F"))}),
}


METADATA_PREFIX = "dragoman."


# A file's precisions, and by how much its scores may differ between machines; tokens must be equal. In int8 a number
# that is rounded to the other side moves a score.
PRECISIONS = {"float32": 1e-3, "int8": 0.05}


CHECKSUM_KEY = "dragoman.sha256"


Ids = npt.NDArray[np.int64]


Floats = npt.NDArray[np.float32]
