"""A forecaster of noisy waves: two LSTM layers whose outputs are projected (Sak et al., 2014)."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import LSTM


class Forecaster(nn.Module):
    """`(time, batch, 8)` waves to the same, one step ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = LSTM(8, 128, num_layers=2, proj_size=48)
        self.head = nn.Linear(48, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Forecast every step from those before it."""
        return self.head(self.rnn(x)[0])


def train() -> Iterator[float]:
    """Learn to forecast waves of random frequencies and phases; yield each step's loss."""
    generator = torch.Generator().manual_seed(2)
    torch.manual_seed(0)
    model = Forecaster()
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    time = torch.arange(101.0)[:, None, None]
    while True:
        frequency = 0.05 + 0.3 * torch.rand(16, 8, generator=generator)
        phase = 6.3 * torch.rand(16, 8, generator=generator)
        waves = torch.sin(time * frequency + phase) + 0.05 * torch.randn(101, 16, 8, generator=generator)
        loss = nn.functional.mse_loss(model(waves[:-1]), waves[1:])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield loss.item()
