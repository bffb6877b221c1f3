"""Healthy models, trained or on their way, on which every verdict is a false alarm; drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ostinato
from planted_faults import (
    Attentive,
    Case,
    EachStep,
    Last,
    Loop,
    Pair,
    Stacked,
    adding,
    drawn,
    echoes,
    healthy_signs,
    ragged,
    signs,
    trained,
    waves,
)

_TEXT = "the cell keeps what it has read until a gate lets go of it and then it reads on"
_WORDS = _TEXT.split(" ")
_LETTERS = sorted(set(_TEXT))

# --- tasks -----------------------------------------------------------------------------------------------------------


def sines(rows: int, steps: int, draw: torch.Generator) -> Pair:
    """A wave without noise, whose next value is asked for at every step."""
    time = torch.arange(steps + 1) / (2 + 3 * torch.rand(rows, 1, generator=draw))
    wave = torch.sin(time + 6.3 * torch.rand(rows, 1, generator=draw))[..., None]
    return wave[:, :-1], wave[:, 1:]


def characters(rows: int, steps: int, draw: torch.Generator) -> Pair:
    """Characters of words in any order, and the next one at every step."""
    text = " ".join(_WORDS[int(place)] for place in torch.randint(len(_WORDS), (400,), generator=draw))
    places = torch.tensor([_LETTERS.index(character) for character in text])
    at = torch.randint(len(places) - steps - 1, (rows, 1), generator=draw) + torch.arange(steps + 1)
    return places[at][:, :-1], places[at][:, 1:]


def parities(rows: int, steps: int, draw: torch.Generator) -> Pair:
    """Whether the last two signs differ."""
    bits = torch.randint(2, (rows, steps), generator=draw)
    return (2.0 * bits - 1)[..., None], (bits[:, -1] ^ bits[:, -2]).float()[:, None]


def spikes(rows: int, steps: int, draw: torch.Generator) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Which of three inputs jumped once, somewhere in rows of several lengths."""
    lengths = torch.randint(steps // 3, steps + 1, (rows,), generator=draw)
    lengths[0] = steps
    xs, classes = torch.randn(rows, steps, 3, generator=draw), torch.randint(3, (rows,), generator=draw)
    at = (torch.rand(rows, generator=draw) * lengths).long()
    xs[torch.arange(rows), at, classes] += 4
    return (xs * (torch.arange(steps) < lengths[:, None])[..., None], lengths), classes


def late_sums(rows: int, steps: int, draw: torch.Generator) -> Pair:
    """The sum of the last eight values."""
    xs = torch.randn(rows, steps, 2, generator=draw)
    return xs, xs[:, -8:, 0].sum(1, keepdim=True)


def jumps(rows: int, steps: int, draw: torch.Generator) -> Pair:
    """The sign of a jump 25 steps before the end."""
    xs, classes = 0.3 * torch.randn(rows, steps, 2, generator=draw), torch.randint(2, (rows,), generator=draw)
    xs[:, steps - 25] += 3.0 * (2 * classes - 1)[:, None]
    return xs, classes


# --- models ----------------------------------------------------------------------------------------------------------


class Characters(nn.Module):
    """A model of language; outputs as the loss of classes takes them."""

    def __init__(self, kinds: int) -> None:
        super().__init__()
        self.embed, self.layer, self.head = (
            nn.Embedding(kinds, 12),
            nn.GRU(12, 32, batch_first=True),
            nn.Linear(32, kinds),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layer(self.embed(tokens))[0]).transpose(1, 2)


class BothWays(nn.Module):
    """Two layers both ways over packed rows, with dropout, answering from the last states of both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(3, 10, num_layers=2, dropout=0.2, batch_first=True, bidirectional=True)
        self.head, self.dropout = nn.Linear(20, 3), nn.Dropout(0.3)

    def forward(self, xs: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(xs, lengths, batch_first=True, enforce_sorted=False)
        last = self.layer(packed)[1][0]
        return self.head(self.dropout(torch.cat([last[-2], last[-1]], 1)))


def _healthy(
    make: Callable[[], nn.Module], task: Callable[..., Pair], loss: Callable[..., Tensor], steps: int, rate: float,
    length: int, rows: int = 64,
) -> Callable[[int], Case]:  # fmt: skip
    def of_seed(seed: int) -> Case:
        draw = drawn(seed)
        model = trained(make(), task, loss, draw, steps=steps, rate=rate, length=length)
        return Case(model, task(rows, length, draw), loss, {"learning_rate": rate})

    return of_seed


def _lstm_by_chrono() -> nn.Module:
    return Stacked(ostinato.cells.LSTMCell(2, 20, longest_memory=30), 20, 1)


cross, mse, binary = F.cross_entropy, F.mse_loss, F.binary_cross_entropy_with_logits
HEALTHY: dict[str, Callable[[int], Case]] = {
    "GRU, sign of a sum": healthy_signs,
    "GRU, adding problem": _healthy(
        lambda: Last(ostinato.nn.GRU(2, 20, batch_first=True), 20), adding, mse, 500, 5e-3, 30, 96
    ),
    "LSTM by chrono, adding problem": _healthy(_lstm_by_chrono, adding, mse, 600, 1e-2, 30, 96),
    "LSTM, waves ahead": _healthy(lambda: Last(nn.LSTM(1, 16, batch_first=True), 16), waves, mse, 200, 5e-3, 48, 96),
    "RNN, echo at every step": _healthy(
        lambda: EachStep(nn.RNN(1, 16, batch_first=True), 16, 1), echoes, mse, 250, 5e-3, 30
    ),
    "two GRU layers, lengths": _healthy(
        lambda: Stacked(ostinato.cells.GRUCell(2, 12), 12, 2, layers=2), ragged, cross, 80, 1e-2, 24
    ),
    "attention over a bidirectional GRU": _healthy(
        lambda: Attentive(nn.GRU(2, 8, batch_first=True, bidirectional=True), 16, 2), signs, cross, 80, 1e-2, 24
    ),
    "LSTM cell in a loop": _healthy(lambda: Loop(nn.LSTMCell(2, 12), out=2), signs, cross, 80, 1e-2, 16),
    "LSTM, sines one step ahead": _healthy(
        lambda: EachStep(nn.LSTM(1, 24, batch_first=True), 24, 1), sines, mse, 150, 5e-3, 50
    ),
    "GRU, characters": _healthy(lambda: Characters(len(_LETTERS)), characters, cross, 150, 1e-2, 48),
    "bidirectional LSTM, packed, dropout": _healthy(BothWays, spikes, cross, 150, 1e-2, 24),
    "tanh RNN, parity of two": _healthy(
        lambda: Last(nn.RNN(1, 12, batch_first=True), 12), parities, binary, 250, 1e-2, 20
    ),
    "LSTM after 60 steps": _healthy(lambda: Last(nn.LSTM(2, 24, batch_first=True), 24), late_sums, mse, 60, 5e-3, 25),
    "LSTM by chrono, 25 steps back": _healthy(
        lambda: Stacked(ostinato.cells.LSTMCell(2, 16, longest_memory=60), 16, 2), jumps, cross, 200, 1e-2, 60
    ),
}
"""By name, what makes one of a seed."""
