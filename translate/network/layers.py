"""The small parts of the network: dropout, embedding, feed-forward block, attention.

Axis letters: B batch, S source length, T target length, Q queries of a sentence (T in training, K in the search),
K beam, V vocabulary, E model width, A attention heads."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The most numbers of a key. ONNX Runtime adds up longer products in parts whose limits depend on the number of
# columns, here the source's length, and a sentence's last bits would depend on how far its batch is padded.
KEY_WIDTH = 128


NEVER = -1e9  # a log-probability that no hypothesis survives; finite, so that 0 * NEVER stays 0


class Dropout(nn.Module):
    """Variational dropout (Gal and Ghahramani 2016): one mask a sentence, the same at every position."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:  # (T, B, E)
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        mask = torch.rand(x.shape[1:], dtype=torch.float32, device=x.device) < keep
        return x * (mask.to(x.dtype) / keep)


class Embedding(nn.Module):
    """Token ids to vectors of about unit size, with word dropout (whole tokens become zero); and the output product."""

    def __init__(self, vocabulary: int, width: int, word_dropout: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocabulary, width) / math.sqrt(width))  # (V, E)
        self.scale = math.sqrt(width)
        self.word_dropout = word_dropout

    def table(self) -> Tensor:
        """What ids are looked up in, (V, E)."""
        return self.weight * self.scale

    def forward(self, ids: Tensor) -> Tensor:  # (..., S) -> (..., S, E)
        x = F.embedding(ids, self.weight) * self.scale
        if self.training and self.word_dropout:
            x = x * (torch.rand(x.shape[:-1], device=x.device) >= self.word_dropout).unsqueeze(-1)
        return x

    def logits(self, x: Tensor, bias: Tensor) -> Tensor:
        """The same matrix read the other way: (..., E), (V) -> (..., V)."""
        return F.linear(x, self.weight, bias)


class FeedForward(nn.Module):
    """Two layers with a ReLU between."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.outer(F.relu(self.inner(x)))
        return out


class Attention(nn.Module):
    """Attention on the encoder: multi-head dot product (Vaswani et al. 2017) or additive (Bahdanau et al. 2015).

    Without attention (Sutskever et al. 2014) all of it is there and reads nothing, so that no other part need know.
    Queries come from outside, and each head's values are already what it adds to the output: what a step would
    multiply, the source has multiplied once.
    """

    def __init__(self, width: int, heads: int, kind: str) -> None:
        super().__init__()
        self.heads, self.width, self.head = heads, width, min(width // heads, KEY_WIDTH)
        self.none = kind == "none"
        if not self.none:
            self.key, self.value = nn.Linear(width, heads * self.head), nn.Linear(width, heads * width)
        self.energy = nn.Parameter(torch.randn(heads, 1, self.head, 1) / self.head) if kind == "additive" else None

    @property
    def query_width(self) -> int:
        """Numbers in a query, all heads together."""
        return 0 if self.none else self.heads * self.head

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's output (S, B, E) as keys and values, laid out for the products of `forward`."""
        S, B, _ = memory.shape
        if self.none:
            nothing = torch.zeros_like(memory).permute(1, 0, 2).unsqueeze(1)  # (B, 1, S, E)
            return nothing.unsqueeze(2).contiguous(), nothing.contiguous()
        keys = self.key(memory).reshape(S, B, self.heads, self.head)
        values = self.value(memory).reshape(S, B, self.heads, self.width).permute(1, 2, 0, 3)  # (B, A, S, E)
        if self.energy is not None:
            return keys.permute(1, 2, 0, 3).unsqueeze(2).contiguous(), values.contiguous()  # (B, A, 1, S, E/A)
        keys = keys.permute(1, 2, 3, 0) / math.sqrt(self.head)  # (B, A, E/A, S)
        return keys.contiguous(), values.contiguous()

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Q queries of each sentence (B, Q, A*E/A) -> what they read (B, Q, E), and weights (B, A, Q, S)."""
        B, Q, _ = query.shape
        if self.none:
            weights = torch.softmax(mask.expand(B, 1, Q, mask.shape[-1]), -1)  # evenly
            return (weights @ values).squeeze(1), weights
        if self.heads == 1 and self.energy is None:  # nothing to lay out anew, which a step would pay for
            weights = torch.softmax(query @ keys.squeeze(1) + mask.squeeze(1), -1)  # (B, Q, S)
            return weights @ values.squeeze(1), weights.unsqueeze(1)
        query = query.reshape(B, Q, self.heads, self.head).transpose(1, 2)  # (B, A, Q, E/A)
        if self.energy is not None:
            scores = (torch.tanh(query.unsqueeze(3) + keys) @ self.energy).squeeze(-1)  # (B, A, Q, S)
        else:
            scores = query @ keys
        weights = torch.softmax(scores + mask, -1)
        return (weights @ values).sum(1), weights
