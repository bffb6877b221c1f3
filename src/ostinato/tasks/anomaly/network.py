"""The networks of an anomaly detector: what comes next, what was there, or which key comes next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ostinato.nn.by_name import TRANSFORMER, stack_of
from ostinato.options import Cell

FORECAST = 3  # of a channel: the step from the last value, how far to follow the season, the spread
_LEAST = 1e-3  # of the usual step: no error is expected to be smaller


@dataclass(frozen=True)
class SeriesSizes:
    """What a network of series reads and says.

    Args:
        channels: of the series.
        features: of a step.
        window: steps that a reconstruction reaches back; 0: the next step is expected instead.
    """

    channels: int
    features: int
    window: int


class SeriesNetwork(nn.Module):
    """A recurrent stack and a linear head.

    A forecasting one says of the next value of each channel how far it is from the last one, how much of the way to the
    value of a season ago it goes, and its spread; errors are of Student's t with as many degrees of freedom as are
    learned for the channel. A reconstructing one says what the last values were, from a code that is narrower than
    they are (P. Malhotra et al., "LSTM-based encoder-decoder for multi-sensor anomaly detection", 2016; here the state
    at each step is the code of the window that ends there).

    Args:
        sizes: see there.
        cell, hidden_size, num_layers, dropout: of the stack.
        code: features of a code.
    """

    def __init__(
        self, sizes: SeriesSizes, cell: Cell, hidden_size: int, num_layers: int, dropout: float, code: int
    ) -> None:
        super().__init__()
        self.sizes = sizes
        options: dict[str, Any] = {"context": 128} if cell == TRANSFORMER else {}
        self.stack: Any = stack_of(cell, sizes.features, hidden_size, num_layers, dropout=dropout, **options)
        if sizes.window:
            outputs = sizes.window * sizes.channels
            self.head: Any = nn.Sequential(nn.Linear(hidden_size, code), nn.Linear(code, outputs))
        else:
            self.head = nn.Linear(hidden_size, FORECAST * sizes.channels)
            with torch.no_grad():  # at first the next value is about the last one
                self.head.weight.mul_(0.1)
                self.head.bias.zero_()
        self.freedom = nn.Parameter(torch.full((sizes.channels,), 1.0))
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Return what the head says after each step, `(time, batch, outputs)`."""
        ys, _ = self.stack(features)
        said: Tensor = self.head(self.dropout(ys))
        return said

    def encoded(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the code of each sequence at its end, `(batch, features)`."""
        ys, _ = self.stack(features, lengths=lengths)
        last: Tensor = ys[lengths - 1, torch.arange(ys.shape[1])]
        return self.head[0](last) if self.sizes.window else last

    def degrees(self) -> Tensor:
        """Return the degrees of freedom of each channel, `(channels,)`."""
        return 2.0 + functional.softplus(self.freedom) * 4


def student_loss(error: Tensor, scale: Tensor, freedom: Tensor) -> Tensor:
    """Return -log of the density of errors under Student's t, elementwise."""
    half = (freedom + 1) / 2
    norm = torch.lgamma(half) - torch.lgamma(freedom / 2) - 0.5 * torch.log(freedom * torch.pi)
    return half * torch.log1p((error / scale) ** 2 / freedom) + scale.log() - norm


def expected(raw: Tensor, last: Tensor, season: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the next value is expected, and its scale, `(..., channels)` each.

    Args:
        raw: what the head says, `(..., 3 * channels)`.
        last: the last value.
        season: that of a season before the next one, or the last one too.
        step: the usual size of a step.
    """
    move, follow, spread = raw.reshape(*raw.shape[:-1], FORECAST, -1).unbind(-2)
    place = last + step * move + torch.sigmoid(follow) * (season - last)
    return place, step * (functional.softplus(spread + 0.5413) + _LEAST)


class KeyNetwork(nn.Module):
    """Keys as they come, and after each a score for every key that may be next, the end of the sequence last.

    Args:
        keys: how many are known; 0 stands for any other.
        embedding_size: features of a key.
        cell, hidden_size, num_layers, dropout: of the stack.

    Source: M. Du, F. Li, G. Zheng and V. Srikumar, "DeepLog", CCS 2017.
    """

    def __init__(
        self, keys: int, embedding_size: int, cell: Cell, hidden_size: int, num_layers: int, dropout: float
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"context": 128} if cell == TRANSFORMER else {}
        self.embedding = nn.Embedding(keys + 2, embedding_size)  # the last one begins a sequence
        self.stack: Any = stack_of(cell, embedding_size, hidden_size, num_layers, dropout=dropout, **options)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, keys + 2)  # any other key, the known ones, the end

    def forward(self, keys: Tensor, lengths: Tensor) -> Tensor:
        """Return scores of what comes at each place, `(time, batch, keys + 2)`; `keys` begin with the beginning."""
        ys, _ = self.stack(self.embedding(keys), lengths=lengths)
        said: Tensor = self.head(self.dropout(ys))
        return said

    def encoded(self, keys: Tensor, lengths: Tensor) -> Tensor:
        """Return the state of each sequence at its end, `(batch, features)`."""
        ys, _ = self.stack(self.embedding(keys), lengths=lengths)
        last: Tensor = ys[lengths - 1, torch.arange(ys.shape[1])]
        return last
