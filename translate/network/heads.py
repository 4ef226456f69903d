"""Heads on the encoder: labels of texts or words, and forecasts of series.

Axis letters: B batch, S source length, E model width, C labels, F variables, H steps ahead, N seasons, P period."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from dragoman.runtime.contract import PAD
from dragoman.translate.config import ModelConfig, SeriesConfig
from dragoman.translate.network.layers import NEVER, Embedding
from dragoman.translate.network.search import even_width
from dragoman.translate.network.seq2seq import Encoder

RECENT = 1.0  # how much likelier than the one before the last season is, as a logarithm, when training starts


class SeriesNetwork(nn.Module):
    """What came at the same place of earlier seasons, weighted, and what the encoder adds to that."""

    mean: Tensor  # (F), of what was trained on
    scale: Tensor  # (F), its deviation

    def __init__(self, c: ModelConfig, series: SeriesConfig, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        F = len(mean)
        self.horizon, self.period, self.seasons = series.horizon, series.period, series.window // series.period
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.front = nn.Linear(2 * F, c.width)
        self.encoder = Encoder(c)
        self.head = nn.Linear(2 * c.width, series.horizon * F)
        nn.init.zeros_(self.head.weight)  # training starts from the seasons alone
        nn.init.zeros_(self.head.bias)
        self.recency = nn.Parameter(RECENT * torch.arange(self.seasons, dtype=torch.float32))  # (N)

    def forward(self, series: Tensor) -> Tensor:
        """series (B, S, F), NaN where there is none -> (B, H, F)."""
        B, S, F = series.shape
        present = torch.isnan(series).logical_not()
        x = torch.where(present, (series - self.mean) / self.scale, 0.0)  # (B, S, F)
        mask = torch.ones(S, B, dtype=torch.bool, device=x.device)
        encoded = self.encoder(self.front(torch.cat((x, present.to(x.dtype)), -1)).transpose(0, 1), mask)  # (S, B, E)
        read = torch.cat((encoded[-1], encoded.mean(0)), -1)
        change = self.head(read).reshape(B, self.horizon, F).float()
        ahead = torch.arange(self.horizon, device=x.device) % self.period
        out: Tensor = (self.season(x, present)[:, ahead] + change) * self.scale + self.mean
        return out

    def season(self, x: Tensor, present: Tensor) -> Tensor:
        """The weighted mean of earlier seasons at each place: (B, S, F) -> (B, P, F); 0 where nothing is known.

        Seasons are added up one after the other: within ONNX Runtime's own sum the order depends on B.
        """
        B, _, F = x.shape
        shape = (B, self.seasons, self.period, F)
        recency = self.recency - self.recency.max()
        weight = torch.exp(recency)[:, None, None] * present.reshape(shape).to(x.dtype)  # (B, N, P, F)
        seasons = torch.stack((x.reshape(shape) * weight, weight)).unbind(2)
        total, weights = functools.reduce(torch.add, seasons)
        out: Tensor = total / weights.clamp(min=1e-30)
        return out


class LabelNetwork(nn.Module):
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
        mask = torch.arange(source.shape[1], device=source.device)[:, None] < source_length  # (S, B)
        x = self.encoder(self.embedding(torch.where(mask, source.t(), PAD)), mask)  # (S, B, E)
        return x.transpose(0, 1)[:, :S] if self.each else pooled(x, mask)


def pooled(x: Tensor, mask: Tensor) -> Tensor:
    """The mean and the largest of what stands at places that are not padding: (S, B, E), (S, B) -> (B, 2E).

    Concatenated pooling (Howard and Ruder 2018): the one sees how much there is of a thing, the other whether any is.
    """
    kept = mask.unsqueeze(-1)
    mean = torch.where(kept, x, 0.0).sum(0) / mask.sum(0).unsqueeze(-1)
    return torch.cat((mean, torch.where(kept, x, NEVER).amax(0)), -1)


class Probabilities(nn.Module):
    """What a file computes: the labels' probabilities instead of their scores."""

    def __init__(self, reader: nn.Module) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, source: Tensor, source_length: Tensor) -> Tensor:
        """See LabelNetwork."""
        return torch.softmax(self.reader(source, source_length), -1)
