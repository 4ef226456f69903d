"""The encoder-decoder network.

Axis letters: B batch, S source length, T target length, K beam, V vocabulary, E model width, H hidden width of a cell,
N size of the decoder state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.runtime.contract import BOS, PAD, UNK
from dragoman.translate.config import ModelConfig
from dragoman.translate.network.cells import Recurrent
from dragoman.translate.network.layers import NEVER, Attention, Dropout, Embedding, FeedForward


class Memory(NamedTuple):
    """What the decoder needs of the source: computed once a sentence."""

    keys: tuple[Tensor, ...]  # a decoder layer: (B, A, E/A, S); additive attention: (B, A, 1, S, E/A)
    values: tuple[Tensor, ...]  # a decoder layer: (B, A, S, E)
    mask: Tensor  # (B, 1, 1, S): 0, or NEVER at padding
    state: Tensor  # (B, N): the decoder's state before the first target id
    # What target ids are looked up in, the same for every source: their embeddings (V, E), then all that the first
    # decoder layer's cell makes of them alone (V, any).
    tables: tuple[Tensor, ...]


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

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (S, B, E), (S, B) -> (S, B, E)
        x = x + self.dropout(self.recurrent.sequence(self.recurrent_norm(x), None, mask))
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

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (S, B, E), (S, B) -> (S, B, E)
        x = self.dropout(x)
        for layer in self.layers:
            x = layer(x, mask)
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

    def memory(self, encoded: Tensor, mask: Tensor, tables: tuple[Tensor, ...] = ()) -> Memory:
        """Prepare the encoder's output (S, B, E), mask (S, B): keys and values of each layer, and the first state."""
        pairs = [layer.attention.project(encoded) for layer in self.layers]
        kept = mask.unsqueeze(-1).to(encoded.dtype)
        mean = (encoded * kept).sum(0) / kept.sum(0)
        attention_mask = torch.where(mask, 0.0, NEVER).t()[:, None, None, :].contiguous()
        state = torch.tanh(self.bridge(mean)).float()
        return Memory(tuple(k for k, _ in pairs), tuple(v for _, v in pairs), attention_mask, state, tables)

    def sequence(self, x: Tensor, memory: Memory) -> Tensor:
        """Teacher forcing: x (T, B, E) -> (T, B, E)."""
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        x = self.dropout(x)
        states = memory.state.split(self.state_sizes, -1)
        for layer, first, keys, values in zip(self.layers, states, memory.keys, memory.values, strict=True):
            update, query = layer.split(layer.recurrent.sequence(layer.recurrent_norm(x), first, mask))
            read, _ = layer.attention(query.transpose(0, 1), keys, values, memory.mask)
            x = layer.feed_forward(x + layer.dropout(update) + layer.dropout(read.transpose(0, 1)))
        out: Tensor = self.norm(x)
        return out

    def precompute(self, x: Tensor) -> tuple[Tensor, ...]:
        """What the first layer's cell makes of its input (..., E) alone."""
        return self.layers[0].recurrent.precompute(self.layers[0].recurrent_norm(x))

    def step(self, token: Tensor, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        """One position of each of K hypotheses: token (B, K), state (B, K, N) -> (B, K, E), (B, K, N).

        The third result is the last layer's attention, averaged over heads, (B, K, S).
        """
        x, *precomputed = (F.embedding(token, table) for table in memory.tables)
        weights = x
        states: list[Tensor] = []
        before = state.split(self.state_sizes, -1) if len(self.layers) > 1 else (state,)
        for layer, first, keys, values in zip(self.layers, before, memory.keys, memory.values, strict=True):
            if states:  # the first layer's input was looked up
                precomputed = [*layer.recurrent.precompute(layer.recurrent_norm(x))]
            output, after = layer.recurrent.step(tuple(precomputed), first)
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

    def attention_step(self, token: Tensor, state: Tensor, memory: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
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
        mask = torch.arange(source.shape[1], device=source.device)[:, None] < source_length  # (S, B)
        ids = torch.where(mask, source.t(), PAD)
        encoded = self.encoder(self.source_embedding(ids), mask)
        if not stepping:
            return self.decoder.memory(encoded, mask)
        rows = self.target_embedding.table()
        return self.decoder.memory(encoded, mask, (rows, *self.decoder.precompute(rows)))

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

    def attention_step(self, token: Tensor, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        _, state, weights = self.decoder.step(token, state, memory)
        return weights, state
