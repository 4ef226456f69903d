"""The small parts of the network: dropout, embedding, feed-forward block, attention.

Axis letters: B batch, S source length, T target length, Q queries of a sentence (T in training, K in the search),
K beam, V vocabulary, F and N shared and own candidates of a sentence (see selection.py), E model width, I inner width
of a feed-forward block, A attention heads, W head width.

Sequences are time-major in recurrent layers (S, B, E) and batch-major in attention (B, Q, E).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The largest head width. ONNX Runtime splits longer dot products into blocks, and the block size depends on the number
# of columns, here the source length. The last bits of a result would then depend on the padding of the batch.
MAX_HEAD_WIDTH = 128

# The log-probability of an impossible event. It is finite because 0 * -inf is NaN.
NEG_INF = -1e9


class Column(NamedTuple):
    """One column of an output projection."""

    weight: Tensor  # (E)
    bias: Tensor  # (1)


class Dropout(nn.Module):
    """Variational dropout (Gal and Ghahramani 2016): one mask per sentence, the same at every position."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Drop features of x (T, B, E) in training; return x unchanged otherwise."""
        if not self.training or self.rate == 0:
            return x
        keep_rate = 1 - self.rate
        mask = torch.rand(x.shape[1:], dtype=torch.float32, device=x.device) < keep_rate  # (B, E)
        return x * (mask.to(x.dtype) / keep_rate)


class Embedding(nn.Module):
    """Token embedding, scaled to about unit variance, with word dropout. Its matrix can serve as output projection.

    Word dropout zeroes the vectors of whole tokens (Gal and Ghahramani 2016).
    """

    def __init__(self, vocabulary: int, width: int, word_dropout: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocabulary, width) / math.sqrt(width))  # (V, E)
        self.scale = math.sqrt(width)
        self.word_dropout = word_dropout

    def forward(self, ids: Tensor) -> Tensor:
        """Return the embeddings (..., E) of ids (...)."""
        x = F.embedding(ids, self.weight) * self.scale  # (..., E)
        if self.training and self.word_dropout:
            x = x * (torch.rand(x.shape[:-1], device=x.device) >= self.word_dropout).unsqueeze(-1)
        return x

    def logits(self, x: Tensor, bias: Tensor) -> Tensor:
        """Project x (..., E) onto the vocabulary: (..., V). bias (V)."""
        return self.project(x, self.shared_columns(None, bias))

    def shared_columns(self, ids: Tensor | None, bias: Tensor, first: Column | None = None) -> tuple[Tensor, ...]:
        """Return what `project` needs for the columns of the output projection that all sentences share.

        ids (F): their target ids, or None for the whole vocabulary. bias (V). first: a column to put before theirs.
        """
        if ids is None:
            return self.weight, bias
        columns, bias = self.weight.index_select(0, ids), bias.index_select(0, ids)
        if first is not None:
            columns, bias = torch.cat((first.weight[None], columns)), torch.cat((first.bias, bias))
        return columns, bias

    def own_columns(self, ids: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        """Return what `project` needs for the columns of each sentence's own: ids (B, N), bias (V)."""
        columns = F.embedding(ids, self.weight).transpose(1, 2)  # (B, E, N)
        own_bias = F.embedding(ids, bias[:, None]).transpose(1, 2)  # (B, 1, N)
        return *(block.contiguous() for block in columns.split(MAX_HEAD_WIDTH, 1)), own_bias

    def project(self, x: Tensor, shared: tuple[Tensor, ...], own: tuple[Tensor, ...] = ()) -> Tensor:
        """Project x (B, K, E), or (..., E) if `own` is empty, onto the columns: (B, K, C), the shared ones first."""
        logits = F.linear(x, *shared)  # (B, K, F)
        if not own:
            return logits
        *columns, bias = own
        products = [a @ b for a, b in zip(x.split(MAX_HEAD_WIDTH, -1), columns, strict=True)]  # (B, K, N)
        return torch.cat((logits, sum(products, bias)), -1)


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between them."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output (..., E) for x (..., E)."""
        hidden = F.relu(self.inner(x))  # (..., I)
        out: Tensor = self.outer(hidden)  # (..., E)
        return out


class Attention(nn.Module):
    """Attention to the encoder: multi-head dot product (Vaswani et al. 2017) or additive (Bahdanau et al. 2015).

    `kind` is "dot", "additive" or "none". With "none" (Sutskever et al. 2014) the module has no parameters and reads
    zeros, so that the decoder needs no special case.

    The module has no query and no output projection. The recurrent layer computes the queries (see DecoderLayer). The
    value projection includes the output projection of each head: the encoder side computes that product once per
    sentence, and a decoding step does not repeat it.
    """

    def __init__(self, width: int, heads: int, kind: str) -> None:
        super().__init__()
        self.heads, self.width, self.head_width = heads, width, min(width // heads, MAX_HEAD_WIDTH)
        self.none = kind == "none"
        if not self.none:
            self.key, self.value = nn.Linear(width, heads * self.head_width), nn.Linear(width, heads * width)
        self.energy = (
            nn.Parameter(torch.randn(heads, 1, self.head_width, 1) / self.head_width) if kind == "additive" else None
        )

    @property
    def query_width(self) -> int:
        """The width of a query: A*W, or 0 without attention."""
        return 0 if self.none else self.heads * self.head_width

    def project(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of the encoder's output (S, B, E), in the layout that `forward` multiplies.

        keys: (B, A, W, S), or (B, A, 1, S, W) for additive attention. values: (B, A, S, E).
        """
        S, B, _ = encoded.shape
        if self.none:
            zeros = torch.zeros_like(encoded).permute(1, 0, 2).unsqueeze(1)  # (B, 1, S, E)
            return zeros.unsqueeze(2).contiguous(), zeros.contiguous()
        keys = self.key(encoded).reshape(S, B, self.heads, self.head_width)  # (S, B, A, W)
        values = self.value(encoded).reshape(S, B, self.heads, self.width).permute(1, 2, 0, 3)  # (B, A, S, E)
        if self.energy is not None:
            return keys.permute(1, 2, 0, 3).unsqueeze(2).contiguous(), values.contiguous()  # (B, A, 1, S, W)
        keys = keys.permute(1, 2, 3, 0) / math.sqrt(self.head_width)  # (B, A, W, S)
        return keys.contiguous(), values.contiguous()

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, attention_bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return the context vectors (B, Q, E) and the attention weights (B, A, Q, S).

        query (B, Q, A*W); keys and values as from `project`; attention_bias (B, 1, 1, S): 0, or NEG_INF at padding.
        """
        B, Q, _ = query.shape
        if self.none:
            weights = torch.softmax(attention_bias.expand(B, 1, Q, attention_bias.shape[-1]), -1)  # uniform
            return (weights @ values).squeeze(1), weights
        if self.heads == 1 and self.energy is None:  # no transposes: they would cost time at every decoding step
            weights = torch.softmax(query @ keys.squeeze(1) + attention_bias.squeeze(1), -1)  # (B, Q, S)
            return weights @ values.squeeze(1), weights.unsqueeze(1)
        query = query.reshape(B, Q, self.heads, self.head_width).transpose(1, 2)  # (B, A, Q, W)
        if self.energy is not None:
            scores = (torch.tanh(query.unsqueeze(3) + keys) @ self.energy).squeeze(-1)  # (B, A, Q, S)
        else:
            scores = query @ keys  # (B, A, Q, S)
        weights = torch.softmax(scores + attention_bias, -1)  # (B, A, Q, S)
        return (weights @ values).sum(1), weights
