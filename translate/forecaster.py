"""The encoder with numbers instead of words below it: it reads a window of a series and says how that goes on.

Axis letters: B batch, S rows of the window, F variables, H rows ahead, P rows of a season, N seasons of the window,
E model width.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from dragoman.translate.config import ModelConfig, SeriesConfig
from dragoman.translate.model import Encoder

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
        keep = torch.ones(S, B, dtype=torch.bool, device=x.device)
        encoded = self.encoder(self.front(torch.cat((x, present.to(x.dtype)), -1)).transpose(0, 1), keep)  # (S, B, E)
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
