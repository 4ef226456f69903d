"""An ensemble: networks of one vocabulary whose probabilities are averaged at every step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.runtime.contract import PAD
from dragoman.translate.encoding.batching import Batch
from dragoman.translate.network.seq2seq import Memory, Network, Seq2Seq


class EnsembleMemory(NamedTuple):
    """What the members of an ensemble need of the source."""

    each: tuple[Memory, ...]
    mask: Tensor
    state: Tensor  # theirs, one after the other (B, N)


class Ensemble(Network):
    """Networks of one vocabulary whose probabilities are averaged at every step."""

    def __init__(self, members: Sequence[Seq2Seq]) -> None:
        super().__init__()
        self.members: Sequence[Seq2Seq] = nn.ModuleList(members)  # type: ignore[assignment]  # a list of modules
        self.sizes = [sum(m.decoder.state_sizes) for m in members]
        self.bias = self.never = torch.zeros_like(members[0].bias)  # members have their own

    def encode(self, source: Tensor, source_length: Tensor) -> EnsembleMemory:
        each = tuple(m.encode(source, source_length) for m in self.members)
        return EnsembleMemory(each, each[0].mask, torch.cat([m.state for m in each], -1))

    def step(self, token: Tensor, state: Tensor, memory: EnsembleMemory, bias: Tensor) -> tuple[Tensor, Tensor]:
        logits, states = [], []
        for member, own, part in zip(self.members, state.split(self.sizes, -1), memory.each, strict=True):
            row, after = member.step(token, own, part, member.bias + member.never)
            logits.append(torch.log_softmax(row, -1))
            states.append(after)
        return mean_of(logits) + bias, torch.cat(states, -1)

    def attention_step(self, token: Tensor, state: Tensor, memory: EnsembleMemory) -> tuple[Tensor, Tensor]:
        parts = zip(self.members, state.split(self.sizes, -1), memory.each, strict=True)
        seen = [member.attention_step(token, own, part) for member, own, part in parts]
        return torch.stack([w for w, _ in seen]).mean(0), torch.cat([s for _, s in seen], -1)

    def forward(self, batch: Batch) -> Tensor:
        """The log-probability (B) of each target of a batch."""
        real = batch.target_out != PAD
        ids = batch.target_out[real]  # (N), of all targets
        each = []
        for m in self.members:
            logits = m.logits(m(batch.source, batch.source_length, batch.target_in)[real]) + m.never
            each.append(-F.cross_entropy(logits.float(), ids, reduction="none"))
        out = torch.zeros(real.shape, device=ids.device)
        out[real] = mean_of(each)
        return out.sum(1)


def mean_of(log_probabilities: Sequence[Tensor]) -> Tensor:
    """The logarithm of the mean of probabilities."""
    return torch.logsumexp(torch.stack([*log_probabilities]), 0) - math.log(len(log_probabilities))
