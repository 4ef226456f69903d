"""Networks with another head on the encoder: labels for texts or tokens, and forecasts of series.

Axis letters: B batch, S source length (rows of the window for a series), E model width, C labels, F variables of a
series, H steps ahead (the horizon), P rows of a season (the period), N seasons in a window.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from dragoman.runtime.contract import PAD
from dragoman.translate.config import ModelConfig, SeriesConfig
from dragoman.translate.network.layers import NEG_INF, Embedding
from dragoman.translate.network.search import pad_to_even
from dragoman.translate.network.seq2seq import Encoder

# The initial difference between the log-weights of consecutive seasons: each season weighs e times the one before.
RECENCY = 1.0


class SeriesNetwork(nn.Module):
    """A forecaster: a learnt weighted mean of earlier seasons, plus a correction from the encoder.

    The head starts at zero, so that training starts from the mean of the seasons.
    """

    mean: Tensor  # (F), of the training data
    scale: Tensor  # (F), the standard deviation of the training data

    def __init__(self, config: ModelConfig, series: SeriesConfig, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        F = len(mean)
        self.horizon, self.period, self.seasons = series.horizon, series.period, series.window // series.period
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.front = nn.Linear(2 * F, config.width)
        self.encoder = Encoder(config)
        self.head = nn.Linear(2 * config.width, series.horizon * F)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.recency = nn.Parameter(RECENCY * torch.arange(self.seasons, dtype=torch.float32))  # (N)

    def forward(self, series: Tensor) -> Tensor:
        """Return the forecast (B, H, F) of series (B, S, F), which holds NaN where a value is missing."""
        B, S, F = series.shape
        present = torch.isnan(series).logical_not()  # (B, S, F)
        x = torch.where(present, (series - self.mean) / self.scale, 0.0)  # (B, S, F)
        mask = torch.ones(S, B, dtype=torch.bool, device=x.device)
        encoded = self.encoder(self.front(torch.cat((x, present.to(x.dtype)), -1)).transpose(0, 1), mask)  # (S, B, E)
        features = torch.cat((encoded[-1], encoded.mean(0)), -1)  # (B, 2E)
        correction = self.head(features).reshape(B, self.horizon, F).float()  # (B, H, F)
        place = torch.arange(self.horizon, device=x.device) % self.period  # (H): of each step in its season
        out: Tensor = (self.seasonal_mean(x, present)[:, place] + correction) * self.scale + self.mean
        return out

    def seasonal_mean(self, x: Tensor, present: Tensor) -> Tensor:
        """Return the weighted mean over seasons at each place of a season, (B, P, F); 0 where no value is known.

        x and present (B, S, F). Seasons are added one by one, because ONNX Runtime's sum over an axis adds in an order
        that depends on B.
        """
        B, _, F = x.shape
        shape = (B, self.seasons, self.period, F)
        log_weight = self.recency - self.recency.max()  # (N)
        weight = torch.exp(log_weight)[:, None, None] * present.reshape(shape).to(x.dtype)  # (B, N, P, F)
        seasons = torch.stack((x.reshape(shape) * weight, weight)).unbind(2)  # N of (2, B, P, F)
        weighted_sum, weight_sum = functools.reduce(torch.add, seasons)
        out: Tensor = weighted_sum / weight_sum.clamp(min=1e-30)
        return out


class LabelNetwork(nn.Module):
    """A classifier of texts or tokens: embedding, encoder, and a linear head over C labels."""

    def __init__(self, config: ModelConfig, vocabulary: int, labels: int, *, per_token: bool) -> None:
        """Create a network that labels every token (per_token) or the whole text."""
        super().__init__()
        self.per_token = per_token
        self.embedding = Embedding(vocabulary, config.width, config.word_dropout)
        self.encoder = Encoder(config)
        self.head = nn.Linear(config.width if per_token else 2 * config.width, labels)

    def forward(self, source: Tensor, source_length: Tensor) -> Tensor:
        """Return the logits (B, C), or (B, S, C) per token, of source (B, S), source_length (B)."""
        out: Tensor = self.head(self.features(source, source_length))
        return out

    def features(self, source: Tensor, source_length: Tensor) -> Tensor:
        """Return the input of the head: (B, 2E), or (B, S, E) per token."""
        S = source.shape[1]
        source = pad_to_even(source)
        mask = torch.arange(source.shape[1], device=source.device)[:, None] < source_length  # (S, B)
        x = self.encoder(self.embedding(torch.where(mask, source.t(), PAD)), mask)  # (S, B, E)
        return x.transpose(0, 1)[:, :S] if self.per_token else mean_and_max(x, mask)


def mean_and_max(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean and the maximum of x (S, B, E) over real positions, side by side: (B, 2E). mask (S, B).

    This is concatenated pooling (Howard and Ruder 2018). The mean shows how much there is of a feature, the maximum
    whether there is any.
    """
    real = mask.unsqueeze(-1)  # (S, B, 1)
    mean = torch.where(real, x, 0.0).sum(0) / mask.sum(0).unsqueeze(-1)  # (B, E)
    return torch.cat((mean, torch.where(real, x, NEG_INF).amax(0)), -1)


class LabelProbabilities(nn.Module):
    """The module that is exported: a LabelNetwork with a softmax."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, source: Tensor, source_length: Tensor) -> Tensor:
        """Return the probabilities (B, C) or (B, S, C) of source (B, S), source_length (B)."""
        return torch.softmax(self.network(source, source_length), -1)
