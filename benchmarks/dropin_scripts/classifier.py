"""A classifier of sequences of very different lengths: packed, a bidirectional LSTM, its last states."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import LSTM
from torch.nn.utils.rnn import pack_sequence


class Classifier(nn.Module):
    """Sequences of symbols to two scores."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 32)
        self.rnn = LSTM(32, 64, bidirectional=True)
        self.head = nn.Linear(128, 2)

    def forward(self, sequences: list[torch.Tensor]) -> torch.Tensor:
        """Score each sequence by both ends' last states."""
        packed = pack_sequence([self.embedding(sequence) for sequence in sequences], enforce_sorted=False)
        _, (h, _) = self.rnn(packed)
        return self.head(torch.cat([h[0], h[1]], -1))


def train() -> Iterator[float]:
    """Learn whether the first and the last symbol add up to ten or more; yield each step's loss."""
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(0)
    model = Classifier()
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    while True:
        lengths = torch.randint(10, 150, (32,), generator=generator).tolist()
        sequences = [torch.randint(10, (length,), generator=generator) for length in lengths]
        labels = torch.stack([each[0] + each[-1] >= 10 for each in sequences]).long()
        loss = nn.functional.cross_entropy(model(sequences), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield loss.item()
