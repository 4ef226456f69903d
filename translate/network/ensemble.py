"""An ensemble: networks of one vocabulary whose probabilities are averaged at every step.

Axis letters: B batch, S source length, T target length, K beam, V vocabulary, C candidates of a sentence, N size of the
decoder states of all members together, I target ids of a batch without padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.runtime.contract import PAD
from dragoman.translate.encoding.batching import TranslationBatch
from dragoman.translate.network.selection import Candidates
from dragoman.translate.network.seq2seq import Memory, Network, Projection, Seq2Seq


class EnsembleMemory(NamedTuple):
    """The memories of all members, with the two fields that the search reads (see Network.encode)."""

    members: tuple[Memory, ...]
    attention_bias: Tensor  # (B, 1, 1, S)
    state: Tensor  # (B, N): the members' states side by side


class Ensemble(Network):
    """Networks of one vocabulary that decode together. Their decoder states lie side by side in one tensor."""

    def __init__(self, members: Sequence[Seq2Seq]) -> None:
        super().__init__()
        self.members: Sequence[Seq2Seq] = nn.ModuleList(members)  # type: ignore[assignment]  # a list of modules
        self.sizes = [sum(member.decoder.state_sizes) for member in members]
        self.bias = members[0].bias  # its size and device are those of all

    def encode(self, source: Tensor, source_length: Tensor) -> EnsembleMemory:
        """Return the memories of all members for source (B, S), source_length (B)."""
        memories = tuple(member.encode(source, source_length) for member in self.members)
        return EnsembleMemory(memories, memories[0].attention_bias, torch.cat([m.state for m in memories], -1))

    def projection(self, candidates: Candidates | None = None) -> tuple[Projection, ...]:
        """Return the output projections of all members onto the candidates of each sentence, or the vocabulary."""
        return tuple(member.projection(candidates) for member in self.members)

    def step(
        self, token: Tensor, state: Tensor, memory: EnsembleMemory, projection: tuple[Projection, ...]
    ) -> tuple[Tensor, Tensor]:
        """Return the log of the mean probabilities of the candidates (B, K, C), and the next state (B, K, N)."""
        log_probabilities, states = [], []
        parts = zip(self.members, state.split(self.sizes, -1), memory.members, projection, strict=True)
        for member, member_state, member_memory, member_projection in parts:
            logits, next_state = member.step(token, member_state, member_memory, member_projection)
            log_probabilities.append(torch.log_softmax(logits, -1))
            states.append(next_state)
        return log_mean_exp(log_probabilities), torch.cat(states, -1)

    def attention_step(self, token: Tensor, state: Tensor, memory: EnsembleMemory) -> tuple[Tensor, Tensor]:
        """Return the mean attention weights (B, K, S) and the next state (B, K, N)."""
        parts = zip(self.members, state.split(self.sizes, -1), memory.members, strict=True)
        results = [member.attention_step(token, *state_and_memory) for member, *state_and_memory in parts]
        return torch.stack([weights for weights, _ in results]).mean(0), torch.cat([s for _, s in results], -1)

    def forward(self, batch: TranslationBatch) -> Tensor:
        """Return the log-probability of each target of a batch, (B)."""
        mask = batch.target_out != PAD  # (B, T)
        ids = batch.target_out[mask]  # (I)
        log_probabilities = []
        for member in self.members:
            x = member(batch.source, batch.source_length, batch.target_in)[mask]  # (I, E)
            logits = member.logits(x) + member.suppression  # (I, V)
            log_probabilities.append(-F.cross_entropy(logits.float(), ids, reduction="none"))
        out = torch.zeros(mask.shape, device=ids.device)  # (B, T)
        out[mask] = log_mean_exp(log_probabilities)
        return out.sum(1)


def log_mean_exp(log_probabilities: Sequence[Tensor]) -> Tensor:
    """Return the logarithm of the mean probability, given log-probabilities."""
    return torch.logsumexp(torch.stack([*log_probabilities]), 0) - math.log(len(log_probabilities))
