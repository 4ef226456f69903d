"""The whole network: embeddings, attention, encoder, decoder, and the two together.

Axis letters: B batch, S source length, T target length, Q queries of a sentence (T in training, K in the search),
K beam, V vocabulary, E model width, H hidden width of a cell, N numbers of decoder state, A attention heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.runtime.bundle import BOS, PAD, UNK
from dragoman.translate.cells import Recurrent
from dragoman.translate.config import ModelConfig

# The most numbers of a key. ONNX Runtime adds up longer products in parts whose limits depend on the number of
# columns, here the source's length, and a sentence's last bits would depend on how far its batch is padded.
KEY_WIDTH = 128
NEVER = -1e9  # a log-probability that no hypothesis survives; finite, so that 0 * NEVER stays 0


class Memory(NamedTuple):
    """What the decoder needs of the source: computed once a sentence."""

    keys: tuple[Tensor, ...]  # a decoder layer: (B, A, E/A, S); additive attention: (B, A, 1, S, E/A)
    values: tuple[Tensor, ...]  # a decoder layer: (B, A, S, E)
    mask: Tensor  # (B, 1, 1, S): 0, or NEVER at padding
    state: Tensor  # (B, N): the decoder's state before the first target id
    # What target ids are looked up in, the same for every source: their embeddings (V, E), then all that the first
    # decoder layer's cell makes of them alone (V, any).
    tables: tuple[Tensor, ...]


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


class Layer(nn.Module):
    """What layers of encoder and decoder end with: a feed-forward block, pre-normed and residual, if there is one."""

    feed_norm: nn.LayerNorm | None
    feed: FeedForward | None
    dropout: Dropout

    def feed_forward(self, x: Tensor) -> Tensor:
        """(..., E) -> (..., E)."""
        if self.feed is None or self.feed_norm is None:
            return x
        out: Tensor = x + self.dropout(self.feed(self.feed_norm(x)))
        return out


class EncoderLayer(Layer):
    """A bidirectional recurrent block and a feed-forward block, each pre-normed and residual."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.recurrent_norm = nn.LayerNorm(c.width)
        self.recurrent = Recurrent(c.cell, c.width, c.hidden, 2)
        self.feed_norm = nn.LayerNorm(c.width) if c.feed_forward else None
        self.feed = FeedForward(c.width, c.feed_forward) if c.feed_forward else None
        self.dropout = Dropout(c.dropout_of_layers)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:  # (S, B, E), (S, B) -> (S, B, E)
        x = x + self.dropout(self.recurrent.sequence(self.recurrent_norm(x), None, keep))
        return self.feed_forward(x)


class DecoderLayer(Layer):
    """A recurrent block, attention on the source, and a feed-forward block; residual, the first and last pre-normed.

    The cell's output gives what it adds and what it asks of the source in one product (Luong et al. 2015 ask with
    the cell's output, too).
    """

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.width = c.width
        self.recurrent_norm = nn.LayerNorm(c.width)
        self.attention = Attention(c.width, c.heads, c.attention)
        self.recurrent = Recurrent(c.cell, c.width, c.hidden, 1, c.width + self.attention.query_width)
        self.feed_norm = nn.LayerNorm(c.width) if c.feed_forward else None
        self.feed = FeedForward(c.width, c.feed_forward) if c.feed_forward else None
        self.dropout = Dropout(c.dropout_of_layers)

    def split(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """The recurrent block's output as what it adds and the query: (..., E), (..., query_width)."""
        update, query = output.split([self.width, self.attention.query_width], -1)
        return update, query


class Encoder(nn.Module):
    """Embedded source ids to one vector a position."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.dropout = Dropout(c.dropout)
        self.layers: Sequence[EncoderLayer] = nn.ModuleList(  # type: ignore[assignment]  # a list of modules
            EncoderLayer(c) for _ in range(c.encoder_layers)
        )
        self.norm = nn.LayerNorm(c.width)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:  # (S, B, E), (S, B) -> (S, B, E)
        x = self.dropout(x)
        for layer in self.layers:
            x = layer(x, keep)
        out: Tensor = self.norm(x)
        return out


class Decoder(nn.Module):
    """Target ids to vectors from which the next id is read. All its state is one tensor (..., N)."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.dropout = Dropout(c.dropout)
        self.layers: Sequence[DecoderLayer] = nn.ModuleList(  # type: ignore[assignment]  # a list of modules
            DecoderLayer(c) for _ in range(c.decoder_layers)
        )
        self.norm = nn.LayerNorm(c.width)
        self.state_sizes = [layer.recurrent.state_size for layer in self.layers]
        self.bridge = nn.Linear(c.width, sum(self.state_sizes))

    def memory(self, encoded: Tensor, keep: Tensor, tables: tuple[Tensor, ...] = ()) -> Memory:
        """Prepare the encoder's output (S, B, E), keep (S, B): keys and values of each layer, and the first state."""
        pairs = [layer.attention.project(encoded) for layer in self.layers]
        kept = keep.unsqueeze(-1).to(encoded.dtype)
        mean = (encoded * kept).sum(0) / kept.sum(0)
        mask = torch.where(keep, 0.0, NEVER).t()[:, None, None, :].contiguous()
        state = torch.tanh(self.bridge(mean)).float()
        return Memory(tuple(k for k, _ in pairs), tuple(v for _, v in pairs), mask, state, tables)

    def sequence(self, x: Tensor, memory: Memory) -> Tensor:
        """Teacher forcing: x (T, B, E) -> (T, B, E)."""
        keep = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        x = self.dropout(x)
        states = memory.state.split(self.state_sizes, -1)
        for layer, first, keys, values in zip(self.layers, states, memory.keys, memory.values, strict=True):
            update, query = layer.split(layer.recurrent.sequence(layer.recurrent_norm(x), first, keep))
            read, _ = layer.attention(query.transpose(0, 1), keys, values, memory.mask)
            x = layer.feed_forward(x + layer.dropout(update) + layer.dropout(read.transpose(0, 1)))
        out: Tensor = self.norm(x)
        return out

    def prepare(self, x: Tensor) -> tuple[Tensor, ...]:
        """What the first layer's cell makes of its input (..., E) alone."""
        return self.layers[0].recurrent.prepare(self.layers[0].recurrent_norm(x))

    def step(self, token: Tensor, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        """One position of each of K hypotheses: token (B, K), state (B, K, N) -> (B, K, E), (B, K, N).

        The third result is the last layer's attention, averaged over heads, (B, K, S).
        """
        x, *prepared = (F.embedding(token, table) for table in memory.tables)
        weights = x
        states: list[Tensor] = []
        before = state.split(self.state_sizes, -1) if len(self.layers) > 1 else (state,)
        for layer, first, keys, values in zip(self.layers, before, memory.keys, memory.values, strict=True):
            if states:  # the first layer's input was looked up
                prepared = [*layer.recurrent.prepare(layer.recurrent_norm(x))]
            output, after = layer.recurrent.step(tuple(prepared), first)
            states.append(after)
            update, query = layer.split(output)
            read, weights = layer.attention(query, keys, values, memory.mask)
            x = layer.feed_forward(x + update + read)
        return self.norm(x), torch.cat(states, -1) if len(states) > 1 else states[0], weights.mean(1)


class Network(nn.Module):
    """What the search needs: of one encoder-decoder, or of several that decide together."""

    bias: Tensor  # (V), of the output product
    never: Tensor  # (V), what is added to the bias so that ids no translation holds are never written

    def encode(self, source: Tensor, source_length: Tensor) -> Any:  # noqa: ANN401 (each network has its own)
        """source (B, S) padded with `<pad>`, source_length (B) -> what the decoder needs of it.

        The search reads two things of that: the mask of padding and the state before the first id (see Memory).
        """
        raise NotImplementedError

    def step(self, token: Tensor, state: Tensor, memory: Any, bias: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """token (B, K), state (B, K, N), bias (V) -> logits (B, K, V), state (B, K, N)."""
        raise NotImplementedError

    def look(self, token: Tensor, state: Tensor, memory: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """The same without logits: where it looked (B, K, S), state (B, K, N)."""
        raise NotImplementedError


class Seq2Seq(Network):
    """The encoder-decoder."""

    def __init__(self, c: ModelConfig, source_vocabulary: int, target_vocabulary: int) -> None:
        super().__init__()
        self.config = c
        self.target_embedding = Embedding(target_vocabulary, c.width, c.word_dropout)
        self.source_embedding = (
            self.target_embedding if c.shared_embedding else Embedding(source_vocabulary, c.width, c.word_dropout)
        )
        self.encoder, self.decoder = Encoder(c), Decoder(c)
        self.output = self.target_embedding if c.tied_output else Embedding(target_vocabulary, c.width, 0.0)
        self.bias = nn.Parameter(torch.zeros(target_vocabulary))
        # The search never writes these ids; adding this to the bias before the loop costs a step nothing.
        never = torch.zeros(target_vocabulary)
        never[[PAD, UNK, BOS]] = NEVER
        self.register_buffer("never", never, persistent=False)

    def encode(self, source: Tensor, source_length: Tensor, *, stepping: bool = True) -> Memory:
        """source (B, S) padded with `<pad>`, source_length (B) -> what the decoder needs of it.

        stepping: also what `step` looks ids up in, which teacher forcing does without.
        """
        keep = torch.arange(source.shape[1], device=source.device)[:, None] < source_length  # (S, B)
        ids = torch.where(keep, source.t(), PAD)
        encoded = self.encoder(self.source_embedding(ids), keep)
        if not stepping:
            return self.decoder.memory(encoded, keep)
        rows = self.target_embedding.table()
        return self.decoder.memory(encoded, keep, (rows, *self.decoder.prepare(rows)))

    def forward(self, source: Tensor, source_length: Tensor, target: Tensor) -> Tensor:
        """Teacher forcing: target (B, T) starts with `<s>`. Returns what the output product is given, (B, T, E)."""
        memory = self.encode(source, source_length, stepping=False)
        return self.decoder.sequence(self.target_embedding(target.t()), memory).transpose(0, 1)

    def logits(self, x: Tensor) -> Tensor:
        """(..., E) -> (..., V)."""
        return self.output.logits(x, self.bias)

    def step(self, token: Tensor, state: Tensor, memory: Memory, bias: Tensor) -> tuple[Tensor, Tensor]:
        """token (B, K), state (B, K, N), bias (V) -> logits (B, K, V), state (B, K, N)."""
        x, state, _ = self.decoder.step(token, state, memory)
        return self.output.logits(x, bias), state

    def look(self, token: Tensor, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        _, state, weights = self.decoder.step(token, state, memory)
        return weights, state
