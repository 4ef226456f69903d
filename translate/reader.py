"""The encoder with another head: it reads a text and gives the whole of it, or each of its places, one of C labels.

Axis letters: B batch, S source length, E model width, C labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dragoman.runtime.bundle import PAD
from dragoman.translate.config import ModelConfig
from dragoman.translate.model import NEVER, Embedding, Encoder
from dragoman.translate.search import even_width


class Reader(nn.Module):
    """Embedding, encoder, and a product that scores labels."""

    def __init__(self, c: ModelConfig, vocabulary: int, labels: int, *, each: bool) -> None:
        """each: a label for every place, not for the whole text."""
        super().__init__()
        self.each = each
        self.embedding = Embedding(vocabulary, c.width, c.word_dropout)
        self.encoder = Encoder(c)
        self.head = nn.Linear(c.width if each else 2 * c.width, labels)

    def forward(self, source: Tensor, source_length: Tensor) -> Tensor:
        """source (B, S), source_length (B) -> the labels' scores, (B, C), or (B, S, C) for each place."""
        out: Tensor = self.head(self.features(source, source_length))
        return out

    def features(self, source: Tensor, source_length: Tensor) -> Tensor:
        """What labels are scored by: (B, 2E), or (B, S, E) for each place."""
        S = source.shape[1]
        source = even_width(source)
        keep = torch.arange(source.shape[1], device=source.device)[:, None] < source_length  # (S, B)
        x = self.encoder(self.embedding(torch.where(keep, source.t(), PAD)), keep)  # (S, B, E)
        return x.transpose(0, 1)[:, :S] if self.each else pooled(x, keep)


def pooled(x: Tensor, keep: Tensor) -> Tensor:
    """The mean and the largest of what stands at places that are not padding: (S, B, E), (S, B) -> (B, 2E).

    Concatenated pooling (Howard and Ruder 2018): the one sees how much there is of a thing, the other whether any is.
    """
    kept = keep.unsqueeze(-1)
    mean = torch.where(kept, x, 0.0).sum(0) / keep.sum(0).unsqueeze(-1)
    return torch.cat((mean, torch.where(kept, x, NEVER).amax(0)), -1)


class Probabilities(nn.Module):
    """What a file computes: the labels' probabilities instead of their scores."""

    def __init__(self, reader: nn.Module) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, source: Tensor, source_length: Tensor) -> Tensor:
        """See Reader."""
        return torch.softmax(self.reader(source, source_length), -1)
