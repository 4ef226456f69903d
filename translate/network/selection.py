"""Vocabulary selection: the target ids that the translation of a sentence may contain.

A decoding step multiplies by the columns of these candidates alone, so that its time does not depend on the vocabulary
(Jean et al. 2015, "On Using Very Large Target Vocabulary for Neural Machine Translation"; L'Hostis et al. 2016,
"Vocabulary Selection Strategies for Neural Machine Translation").

The softmax needs the ids that are not candidates, too: without their probability, uncertain steps would look certain to
beam search. One more column stands for all of them, the rest. It belongs to the softmax and to no id.

Axis letters: B batch, S source length, V source vocabulary, E model width, F candidates that all sentences share,
N places for a sentence's own candidates, W own candidates of one source id at most, M own candidates of all source ids
together.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.runtime.contract import PAD
from dragoman.translate.encoding.ragged import Ints
from dragoman.translate.network.layers import NEG_INF, Column


class Candidates(NamedTuple):
    """The candidates of each sentence of a batch."""

    shared: Tensor  # (F), ascending
    own: Tensor  # (B, N): each id once; PAD where a place is unused
    rest: Column  # of the output projection: stands for all other ids

    @property
    def ids(self) -> Tensor:
        """The ids of all candidates, (B, F + N)."""
        return torch.cat((self.shared.expand(self.own.shape[0], self.shared.shape[0]), self.own), 1)


@torch.library.custom_op("dragoman::trim", mutates_args=())
def trim(ids: Tensor) -> Tensor:
    """Return ids (B, N) without the last columns that hold only PAD; one column always stays."""
    longest = int((ids != PAD).sum(1).max()) if len(ids) else 0
    return ids[:, : max(1, longest)].clone()


@trim.register_fake
def _(ids: Tensor) -> Tensor:
    return ids.new_empty(ids.shape[0], torch.library.get_ctx().new_dynamic_size(min=1))


class VocabularySelection(nn.Module):
    """Candidates from a table: some that all sentences share, and some for each source id."""

    shared: Tensor  # (F), ascending
    copies: Tensor  # (V): the target id that copies each source id, or PAD if there is none or all share it
    lengths: Tensor  # (V): the number of further candidates of each source id
    table: Tensor  # (M): the candidates of source id 0, then those of 1, ...
    rest: Tensor  # (E): the column of all other ids
    rest_bias: Tensor  # (1)

    def __init__(self, **tensors: Tensor) -> None:
        """Create a selection from its tensors, by name."""
        super().__init__()
        self.longest = int(tensors["lengths"].max())  # W
        for name in VocabularySelection.__annotations__:
            self.register_buffer(name, tensors[name])

    @classmethod
    def compact(cls, shared: Ints, copies: Ints, lengths: Ints, table: Ints, width: int) -> VocabularySelection:
        """Return a selection whose ids and lengths take as few bytes as they can. Its rest has no probability.

        width: E.
        """
        largest = max(int(ids.max()) for ids in (shared, copies, table) if len(ids))
        integer = torch.int16 if largest < 2**15 else torch.int32
        return cls(
            shared=torch.from_numpy(shared), copies=torch.from_numpy(copies).to(integer),
            lengths=torch.from_numpy(lengths).to(torch.uint8), table=torch.from_numpy(table).to(integer),
            rest=torch.zeros(width), rest_bias=torch.full((1,), NEG_INF),
        )  # fmt: skip

    def forward(self, source: Tensor, source_length: Tensor) -> Candidates:
        """Return the candidates of each sentence: source (B, S) with any ids at padding, source_length (B)."""
        B, S = source.shape
        mask = torch.arange(S, device=source.device) < source_length[:, None]  # (B, S)
        source = torch.where(mask, source, PAD)  # which has no candidates
        own = F.embedding(source, self.by_source()).reshape(B, -1).long()  # (B, S*(1 + W))
        # Unused places come last and are cut off, so that those of padding do not move the others.
        own = trim(own.sort(1, descending=True).values)
        repeated = F.pad(own[:, 1:] == own[:, :-1], (1, 0))
        return Candidates(self.shared, torch.where(repeated, PAD, own), Column(self.rest, self.rest_bias))

    def by_source(self) -> Tensor:
        """Return the own candidates of each source id, copy first, in rows filled up with PAD (V, 1 + W).

        The matrix is larger than the table, so ONNX Runtime computes it when it loads a file.
        """
        lengths = self.lengths.int()
        place = torch.arange(self.longest, dtype=torch.int32, device=lengths.device)  # (W)
        start = lengths.cumsum(0, dtype=torch.int32) - lengths  # (V)
        index = torch.clamp(start[:, None] + place, max=len(self.table) - 1)  # (V, W)
        translations = self.table.index_select(0, index.flatten()).reshape(index.shape).int()
        rows = torch.where(place < lengths[:, None], translations, PAD)
        return torch.cat((self.copies[:, None], rows.to(self.copies.dtype)), 1)
