"""The encoder-decoder network: a deep bidirectional encoder and a recurrent decoder with attention.

Axis letters: B batch, S source length, T target length, Q queries of a sentence (T in training, K in the search),
K beam, V vocabulary, C candidates of a sentence, E model width, A attention heads, W head width, N size of the decoder
state of one hypothesis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dragoman.runtime.contract import BOS, EOS, PAD, UNK
from dragoman.translate.config import ModelConfig
from dragoman.translate.network.cells import Recurrent
from dragoman.translate.network.layers import NEG_INF, Attention, Dropout, Embedding, FeedForward
from dragoman.translate.network.selection import Candidates


class Memory(NamedTuple):
    """The encoder's result in the form that the decoder reads, computed once per sentence."""

    keys: tuple[Tensor, ...]  # one per decoder layer: (B, A, W, S), or (B, A, 1, S, W) for additive attention
    values: tuple[Tensor, ...]  # one per decoder layer: (B, A, S, E)
    attention_bias: Tensor  # (B, 1, 1, S): 0, or NEG_INF at padding
    state: Tensor  # (B, N): the decoder state before the first target id


class Projection(NamedTuple):
    """The output projection onto the candidates of each sentence, computed once per batch (see Embedding.project)."""

    shared: tuple[Tensor, ...]  # the rest and the columns that all sentences share: the vocabulary without selection
    own: tuple[Tensor, ...]  # the columns of each sentence's own; empty without selection


class Layer(nn.Module):
    """Base of encoder and decoder layers: the feed-forward block that ends both. Configurations may omit it."""

    feed_norm: nn.LayerNorm | None
    feed: FeedForward | None
    dropout: Dropout

    def feed_forward(self, x: Tensor) -> Tensor:
        """Apply the pre-normed residual feed-forward block to x (..., E)."""
        if self.feed is None or self.feed_norm is None:
            return x
        out: Tensor = x + self.dropout(self.feed(self.feed_norm(x)))
        return out


class EncoderLayer(Layer):
    """A bidirectional recurrent block and a feed-forward block, each pre-normed and residual."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.recurrent_norm = nn.LayerNorm(config.width)
        self.recurrent = Recurrent(config.cell, config.width, config.hidden, 2)
        self.feed_norm = nn.LayerNorm(config.width) if config.feed_forward else None
        self.feed = FeedForward(config.width, config.feed_forward) if config.feed_forward else None
        self.dropout = Dropout(config.dropout_of_layers)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the output (S, B, E) for x (S, B, E) and mask (S, B), true at real positions."""
        x = x + self.dropout(self.recurrent.sequence(self.recurrent_norm(x), None, mask))
        return self.feed_forward(x)


class DecoderLayer(Layer):
    """A recurrent block, attention to the source, and a feed-forward block, all residual.

    The recurrent and feed-forward blocks are pre-normed. The recurrent layer's output projection computes its residual
    update and the attention query in one product. (Luong et al. 2015 also query with the cell's output.)
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.width = config.width
        self.recurrent_norm = nn.LayerNorm(config.width)
        self.attention = Attention(config.width, config.heads, config.attention)
        self.recurrent = Recurrent(
            config.cell, config.width, config.hidden, 1, config.width + self.attention.query_width
        )
        self.feed_norm = nn.LayerNorm(config.width) if config.feed_forward else None
        self.feed = FeedForward(config.width, config.feed_forward) if config.feed_forward else None
        self.dropout = Dropout(config.dropout_of_layers)

    def split(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Split the recurrent layer's output into its update (..., E) and the attention query (..., A*W)."""
        update, query = output.split([self.width, self.attention.query_width], -1)
        return update, query


class Encoder(nn.Module):
    """A stack of bidirectional layers over embedded source ids."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dropout = Dropout(config.dropout)
        self.layers: Sequence[EncoderLayer] = nn.ModuleList(  # type: ignore[assignment]  # a list of modules
            EncoderLayer(config) for _ in range(config.encoder_layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return one vector per position, (S, B, E), for x (S, B, E) and mask (S, B), true at real positions."""
        x = self.dropout(x)
        for layer in self.layers:
            x = layer(x, mask)
        out: Tensor = self.norm(x)
        return out


class Decoder(nn.Module):
    """A stack of recurrent layers with attention over embedded target ids.

    `sequence` serves training (teacher forcing) and `step` serves the search. The states of all layers lie side by side
    in one tensor (..., N), which the search reorders with one gather.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dropout = Dropout(config.dropout)
        self.layers: Sequence[DecoderLayer] = nn.ModuleList(  # type: ignore[assignment]  # a list of modules
            DecoderLayer(config) for _ in range(config.decoder_layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.state_sizes = [layer.recurrent.state_size for layer in self.layers]
        self.bridge = nn.Linear(config.width, sum(self.state_sizes))

    def memory(self, encoded: Tensor, mask: Tensor) -> Memory:
        """Return the Memory of the encoder's output (S, B, E), mask (S, B).

        The first state is a projection of the mean of the encoder's output (the bridge).
        """
        projections = [layer.attention.project(encoded) for layer in self.layers]
        weight = mask.unsqueeze(-1).to(encoded.dtype)  # (S, B, 1)
        mean = (encoded * weight).sum(0) / weight.sum(0)  # (B, E)
        attention_bias = torch.where(mask, 0.0, NEG_INF).t()[:, None, None, :].contiguous()  # (B, 1, 1, S)
        state = torch.tanh(self.bridge(mean)).float()  # (B, N)
        return Memory(
            tuple(keys for keys, _ in projections),
            tuple(values for _, values in projections),
            attention_bias,
            state,
        )

    def sequence(self, x: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return the outputs for embedded target ids x (T, B, E): teacher forcing.

        They are the output (T, B, E), and the last layer's attention, averaged over its heads, (B, T, S). Padding needs
        no mask, because it comes last and the loss ignores it.
        """
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)  # (T, B)
        x = self.dropout(x)
        weights = x
        states = memory.state.split(self.state_sizes, -1)
        for layer, state, keys, values in zip(self.layers, states, memory.keys, memory.values, strict=True):
            update, query = layer.split(layer.recurrent.sequence(layer.recurrent_norm(x), state, mask))
            context, weights = layer.attention(query.transpose(0, 1), keys, values, memory.attention_bias)  # (B, T, E)
            x = layer.feed_forward(x + layer.dropout(update) + layer.dropout(context.transpose(0, 1)))
        return self.norm(x), weights.detach().mean(1)

    def step(self, x: Tensor, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        """Advance K hypotheses by one position: embedded target ids x (B, K, E), state (B, K, N).

        Return the output (B, K, E), the next state (B, K, N), and the last layer's attention, averaged over its heads,
        (B, K, S).
        """
        weights = x
        next_states: list[Tensor] = []
        states = state.split(self.state_sizes, -1) if len(self.layers) > 1 else (state,)
        for layer, layer_state, keys, values in zip(self.layers, states, memory.keys, memory.values, strict=True):
            output, next_state = layer.recurrent.step(layer.recurrent_norm(x), layer_state)
            next_states.append(next_state)
            update, query = layer.split(output)
            context, weights = layer.attention(query, keys, values, memory.attention_bias)  # (B, K, E), (B, A, K, S)
            x = layer.feed_forward(x + update + context)
        x = self.norm(x)
        return x, torch.cat(next_states, -1) if len(next_states) > 1 else next_states[0], weights.mean(1)


class Network(nn.Module):
    """The interface between a translation network and the search. An Ensemble implements it, too."""

    bias: Tensor  # (V): the bias of the output projection

    def encode(self, source: Tensor, source_length: Tensor) -> Any:  # noqa: ANN401 (each network has its own memory)
        """Return the memory of a source: source (B, S) with any ids at padding, source_length (B).

        The search passes it back to `step` and reads two of its fields: `state` and `attention_bias` (see Memory).
        """
        raise NotImplementedError

    def projection(self, candidates: Candidates | None = None) -> Any:  # noqa: ANN401 (each network has its own)
        """Return the output projection onto the candidates of each sentence, or onto the whole vocabulary.

        The search passes it back to `step`.
        """
        raise NotImplementedError

    def step(self, token: Tensor, state: Tensor, memory: Any, projection: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401 (see encode)
        """Return the logits (B, K, C) and the next state (B, K, N) for token (B, K), state (B, K, N).

        The logits are those of the candidates after that of the rest (see selection.py), or of the whole vocabulary.
        """
        raise NotImplementedError

    def attention_step(self, token: Tensor, state: Tensor, memory: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401 (see encode)
        """Return attention weights (B, K, S) instead of logits, and the next state (B, K, N)."""
        raise NotImplementedError


class Seq2Seq(Network):
    """The encoder-decoder network."""

    suppression: Tensor  # (V): added to the bias; NEG_INF at ids that no translation contains, 0 elsewhere

    def __init__(self, config: ModelConfig, source_vocabulary: int, target_vocabulary: int) -> None:
        super().__init__()
        self.target_embedding = Embedding(target_vocabulary, config.width, config.word_dropout)
        self.source_embedding = (
            self.target_embedding
            if config.shared_embedding
            else Embedding(source_vocabulary, config.width, config.word_dropout)
        )
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.output = self.target_embedding if config.tied_output else Embedding(target_vocabulary, config.width, 0.0)
        self.bias = nn.Parameter(torch.zeros(target_vocabulary))
        # `projection` adds this to the bias once, so that suppression costs a step nothing.
        suppression = torch.zeros(target_vocabulary)
        suppression[[PAD, UNK, BOS]] = NEG_INF
        self.register_buffer("suppression", suppression, persistent=False)

    def encode(self, source: Tensor, source_length: Tensor) -> Memory:
        """Return the memory of a source: source (B, S) with any ids at padding, source_length (B)."""
        mask = torch.arange(source.shape[1], device=source.device)[:, None] < source_length  # (S, B)
        ids = torch.where(mask, source.t(), PAD)  # (S, B)
        return self.decoder.memory(self.encoder(self.source_embedding(ids), mask), mask)

    def forward(self, source: Tensor, source_length: Tensor, target: Tensor) -> Tensor:
        """Return the decoder's outputs (B, T, E) under teacher forcing; `logits` projects them onto the vocabulary.

        source (B, S), source_length (B), target (B, T), which starts with `<s>`. The loss does its own projection in
        chunks, because the logits of a batch are larger than anything else in a training step.
        """
        return self.forward_with_attention(source, source_length, target)[0]

    def forward_with_attention(self, source: Tensor, source_length: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of `forward` (B, T, E), and the last layer's attention, averaged over heads, (B, T, S)."""
        memory = self.encode(source, source_length)
        x, weights = self.decoder.sequence(self.target_embedding(target.t()), memory)
        return x.transpose(0, 1), weights

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits (..., V) of decoder outputs x (..., E)."""
        return self.output.logits(x, self.bias)

    def projection(self, candidates: Candidates | None = None) -> Projection:
        """Return the output projection onto the candidates of each sentence, or onto the whole vocabulary."""
        if candidates is None:
            return Projection(self.output.shared_columns(None, self.bias + self.suppression), ())
        # The same suppression. A file does not have to store it.
        bias = torch.cat((torch.full_like(self.bias[:EOS], NEG_INF), self.bias[EOS:]))
        shared = self.output.shared_columns(candidates.shared, bias, candidates.rest)
        return Projection(shared, self.output.own_columns(candidates.own, bias))

    def step(self, token: Tensor, state: Tensor, memory: Memory, projection: Projection) -> tuple[Tensor, Tensor]:
        """Return the logits (B, K, C) and the next state (B, K, N) for token (B, K), state (B, K, N)."""
        x, state, _ = self.decoder.step(self.target_embedding(token), state, memory)
        return self.output.project(x, *projection), state

    def attention_step(self, token: Tensor, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return attention weights (B, K, S) instead of logits, and the next state (B, K, N)."""
        _, state, weights = self.decoder.step(self.target_embedding(token), state, memory)
        return weights, state
