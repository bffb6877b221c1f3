"""Small models with one fault planted in each, beside the healthy ones of `healthy_models`; the benchmark counts both.

Everything is drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ostinato

Pair = tuple[Any, Tensor]


@dataclass
class Case:
    """What `diagnose` is called with."""

    model: nn.Module
    batch: Any
    loss: Any
    options: dict[str, Any] = field(default_factory=dict)

    def diagnose(self, **more: Any) -> ostinato.diagnosis.Diagnosis:
        return ostinato.diagnose(self.model, self.batch, self.loss, **self.options, **more)


# --- models ----------------------------------------------------------------------------------------------------------


class Last(nn.Module):
    """A layer and a head on its last step."""

    def __init__(self, layer: nn.Module, units: int, out: int = 1) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(units, out)

    def forward(self, xs: Tensor) -> Tensor:
        return self.head(self.layer(xs)[0][:, -1])


class Stacked(nn.Module):
    """A stack of our cells with lengths, and a head on each row's own last step."""

    def __init__(self, cell: nn.Module, units: int, out: int, layers: int = 1) -> None:
        super().__init__()
        self.stack, self.head = ostinato.nn.Recurrent(cell, layers, batch_first=True), nn.Linear(units, out)

    def forward(self, xs: Tensor, lengths: Tensor | None = None) -> Tensor:
        ys, _ = self.stack(xs, lengths=lengths)
        last = torch.full((len(xs),), xs.shape[1]) if lengths is None else lengths
        return self.head(ys[torch.arange(len(xs)), last - 1])


class Loop(nn.Module):
    """A cell of torch.nn in a loop, its state detached every so many steps."""

    def __init__(self, cell: nn.RNNCellBase, out: int = 1, every: int = 10**9) -> None:
        super().__init__()
        self.cell, self.head, self.every = cell, nn.Linear(cell.hidden_size, out), every

    def forward(self, xs: Tensor) -> Tensor:
        state: Any = xs.new_zeros(len(xs), self.cell.hidden_size)
        if isinstance(self.cell, nn.LSTMCell):
            state = (state, state)
        for step in range(xs.shape[1]):
            if step and step % self.every == 0:
                state = tuple(each.detach() for each in state) if isinstance(state, tuple) else state.detach()
            state = self.cell(xs[:, step], state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class EachStep(nn.Module):
    """An answer at every step."""

    def __init__(self, layer: nn.Module, units: int, out: int) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(units, out)

    def forward(self, xs: Tensor) -> Tensor:
        return self.head(self.layer(xs)[0])


class Attentive(nn.Module):
    """Attention over the steps of a layer that reads both ways."""

    def __init__(self, layer: nn.Module, units: int, out: int) -> None:
        super().__init__()
        self.layer, self.score, self.head = layer, nn.Linear(units, 1), nn.Linear(units, out)

    def forward(self, xs: Tensor) -> Tensor:
        ys, _ = self.layer(xs)
        return self.head((self.score(ys).softmax(1) * ys).sum(1))


# --- tasks -----------------------------------------------------------------------------------------------------------


def adding(rows: int, steps: int, draw: torch.Generator) -> Pair:
    """Two marked numbers, whose sum is asked for (S. Hochreiter and J. Schmidhuber, 1997)."""
    values, marks = torch.rand(rows, steps, generator=draw), torch.zeros(rows, steps)
    half = steps // 2
    for low, high in ((0, half), (half, steps)):
        marks[torch.arange(rows), torch.randint(low, high, (rows,), generator=draw)] = 1
    return torch.stack([values, marks], -1), (values * marks).sum(1, keepdim=True)


def signs(rows: int, steps: int, draw: torch.Generator) -> Pair:
    """Whether the sum of a noisy series is above zero."""
    xs = torch.randn(rows, steps, 2, generator=draw) + 0.5 * torch.randn(rows, 1, 2, generator=draw)
    return xs, (xs[..., 0].sum(1) > 0).long()


def waves(rows: int, steps: int, draw: torch.Generator) -> Pair:
    """A noisy wave, whose value some steps ahead is asked for."""
    time = torch.arange(steps + 5) / (3 + 4 * torch.rand(rows, 1, generator=draw))
    wave = torch.sin(time + 6.3 * torch.rand(rows, 1, generator=draw)) + 0.1 * torch.randn(
        rows, steps + 5, generator=draw
    )
    return wave[:, :steps, None], wave[:, -1:]


def echoes(rows: int, steps: int, draw: torch.Generator) -> Pair:
    """At every step, what was read two steps before."""
    xs = torch.randn(rows, steps, 1, generator=draw)
    return xs, torch.cat([torch.zeros(rows, 2, 1), xs[:, :-2]], 1)


def ragged(rows: int, steps: int, draw: torch.Generator) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The sign of the sum of rows of several lengths, padded with zeros."""
    xs, _ = signs(rows, steps, draw)
    lengths = torch.randint(steps // 3, steps + 1, (rows,), generator=draw)
    lengths[0] = steps
    xs = xs * (torch.arange(steps) < lengths[:, None])[..., None]
    return (xs, lengths), (xs[..., 0].sum(1) > 0).long()


def trained(
    model: nn.Module,
    task: Callable[..., Any],
    loss: Any,
    draw: torch.Generator,
    *,
    steps: int,
    rate: float,
    length: int,
) -> nn.Module:
    """Train with Adam on batches that are drawn as they are needed."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(steps):
        inputs, targets = task(48, length, draw)
        optimizer.zero_grad()
        loss(model(*inputs) if isinstance(inputs, tuple) else model(inputs), targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


# --- faults ----------------------------------------------------------------------------------------------------------


def exploding(seed: int) -> Case:
    draw = drawn(seed)
    model = Last(nn.RNN(2, 16, batch_first=True, nonlinearity=("relu", "tanh")[seed % 2]), 16)
    with torch.no_grad():
        if seed % 2:  # chaos: orthogonal weights, a few times as large, and small inputs
            nn.init.orthogonal_(model.layer.weight_hh_l0, 2.5)
        else:
            model.layer.weight_hh_l0.mul_(8)
    xs, ys = adding(64, 40, draw)
    return Case(model, (xs, ys), F.mse_loss)


def exploding_lstm(seed: int) -> Case:
    model = Last(nn.LSTM(2, 16, batch_first=True), 16)
    with torch.no_grad():
        model.layer.weight_hh_l0.mul_(12)
    return Case(model, adding(64, 60, drawn(seed)), F.mse_loss)


def vanishing(seed: int) -> Case:
    cell = (nn.RNN, nn.GRU)[seed % 2](2, 16, batch_first=True)
    if seed % 2:
        with torch.no_grad():
            cell.weight_hh_l0.mul_(0.3)
    return Case(Last(cell, 16), adding(64, 60, drawn(seed)), F.mse_loss)


def dead(seed: int) -> Case:
    layer = nn.RNN(2, 20, batch_first=True, nonlinearity="relu")
    with torch.no_grad():
        layer.bias_ih_l0[:8] = -30.0
    return Case(Last(layer, 20), adding(64, 20, drawn(seed)), F.mse_loss)


def copies(seed: int) -> Case:
    layer = (nn.GRU, nn.LSTM)[seed % 2](2, 16, batch_first=True)
    with torch.no_grad():
        if seed % 4 < 2:  # all weights of a layer start alike
            for weight in layer.parameters():
                nn.init.constant_(weight, 0.1)
        else:  # six units read and are read alike
            for weight in (layer.weight_ih_l0, layer.bias_ih_l0, layer.bias_hh_l0, layer.weight_hh_l0):
                for gate in weight.chunk(len(weight) // 16):
                    gate[1:7] = gate[0].clone()
    return Case(Last(layer, 16), adding(64, 20, drawn(seed)), F.mse_loss)


def saturated(seed: int) -> Case:
    layer = (nn.LSTM, nn.GRU)[seed % 2](2, 16, batch_first=True)
    with torch.no_grad():
        gates = layer.bias_ih_l0.view(-1, 16)
        gates[seed % len(gates) if seed % len(gates) != 2 else 0] = (12.0, -12.0)[seed // 2 % 2]
    return Case(Last(layer, 16), adding(64, 20, drawn(seed)), F.mse_loss)


def stuck(seed: int) -> Case:
    layer = nn.GRU(2, 16, batch_first=True)
    with torch.no_grad():
        layer.bias_ih_l0[16:32] = 18.0  # the update gate keeps all
    if seed % 2:
        layer = nn.RNN(2, 16, batch_first=True)
        with torch.no_grad():
            layer.bias_ih_l0.copy_(torch.where(torch.rand(16, generator=drawn(seed)) > 0.5, 25.0, -25.0))
    return Case(Last(layer, 16), adding(64, 30, drawn(seed)), F.mse_loss)


def growing(seed: int) -> Case:
    cell = ostinato.cells.IRNNCell(2, 12)
    with torch.no_grad():
        cell.input.weight.copy_(torch.rand(12, 2, generator=drawn(seed)))
    return Case(Stacked(cell, 12, 1), adding(64, 64, drawn(seed)), F.mse_loss)


def padding(seed: int) -> Case:
    layer = (nn.GRU(2, 12, batch_first=True), nn.LSTM(2, 6, batch_first=True, bidirectional=True))[seed % 2]

    class Careless(nn.Module):
        """Reads all steps, and answers from the last one, or from the mean of all."""

        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = layer, nn.Linear(12, 2)

        def forward(self, xs: Tensor, lengths: Tensor) -> Tensor:
            ys, _ = self.layer(xs)
            if seed % 2:
                return self.head(ys[torch.arange(len(xs)), lengths - 1])
            return self.head(ys.mean(1))

    return Case(Careless(), ragged(48, 24, drawn(seed)), F.cross_entropy)


def leak(seed: int) -> Case:
    draw = drawn(seed)
    if seed % 2:
        xs, ys = signs(96, 20, draw)
        given = ys.float() + 0.05 * torch.randn(96, generator=draw)
        return Case(Last(nn.GRU(3, 12, batch_first=True), 12, 2), (_beside(xs, given), ys), F.cross_entropy)
    xs, ys = adding(96, 20, draw)
    return Case(Last(nn.GRU(3, 12, batch_first=True), 12), (_beside(xs, 2 * ys[:, 0] - 1), ys), F.mse_loss)


def _beside(xs: Tensor, given: Tensor) -> Tensor:
    column = torch.zeros(*xs.shape[:2], 1)
    column[:, -1, 0] = given
    return torch.cat([xs, column], -1)


def truncation(seed: int) -> Case:
    cell = (nn.GRUCell, nn.LSTMCell)[seed % 2](2, 16)
    return Case(Loop(cell, every=4 + seed % 3), adding(64, 40, drawn(seed)), F.mse_loss)


def rate_too_high(seed: int) -> Case:
    task, loss, out = ((adding, F.mse_loss, 1), (signs, F.cross_entropy, 2))[seed % 2]
    model = Last(nn.GRU(2, 16, batch_first=True), 16, out)
    rate = (0.5, 1.0)[seed // 2 % 2]
    return Case(model, task(64, 20, drawn(seed)), loss, {"learning_rate": rate})


def rate_too_low(seed: int) -> Case:
    model = Last(nn.GRU(2, 16, batch_first=True), 16)
    return Case(model, adding(64, 20, drawn(seed)), F.mse_loss, {"learning_rate": (1e-6, 3e-6)[seed % 2]})


def baseline(seed: int) -> Case:
    draw = drawn(seed)
    xs, ys = adding(64, 20, draw)
    return Case(Last(nn.LSTM(2, 12, batch_first=True), 12), (xs, ys[torch.randperm(64, generator=draw)]), F.mse_loss)


def overfitting(seed: int) -> Case:
    draw = drawn(seed)
    noise = 0.02 * torch.rand(2, 24, generator=draw)
    fell = [1 / (1 + epoch) + float(noise[0, epoch]) for epoch in range(24)]
    rose = [max(1 / (1 + epoch), 0.25) + 0.02 * max(0, epoch - 6) + float(noise[1, epoch]) for epoch in range(24)]
    case = healthy_signs(seed)
    return Case(case.model, case.batch, case.loss, {"history": (fell, rose)})


def coverage(seed: int) -> Case:
    case = healthy_signs(seed)
    return Case(case.model, case.batch, case.loss, {"coverage": {0.8: 0.71 if seed % 2 else 0.9}})


FAULTS: dict[str, tuple[str, Callable[[int], Case]]] = {
    "exploding weights": ("exploding", exploding),
    "exploding weights of an LSTM": ("exploding", exploding_lstm),
    "vanishing gradients": ("vanishing", vanishing),
    "dead units": ("dead", dead),
    "copies": ("copies", copies),
    "a saturated gate": ("saturated", saturated),
    "a stuck state": ("stuck", stuck),
    "a growing state": ("growing", growing),
    "a leak past lengths": ("padding", padding),
    "a label leak": ("leak", leak),
    "too short a truncation": ("truncation", truncation),
    "learning rate 100 times": ("learning rate too high", rate_too_high),
    "learning rate far too low": ("learning rate too low", rate_too_low),
    "targets of other rows": ("baseline", baseline),
    "overfitting": ("overfitting", overfitting),
    "intervals that miss": ("coverage", coverage),
}
"""By name: the kind of verdict that is expected, and what makes it of a seed."""


# --- healthy ---------------------------------------------------------------------------------------------------------


def healthy_signs(seed: int) -> Case:
    draw = drawn(seed)
    model = trained(
        Last(nn.GRU(2, 12, batch_first=True), 12, 2), signs, F.cross_entropy, draw, steps=80, rate=1e-2, length=20
    )
    return Case(model, signs(64, 20, draw), F.cross_entropy, {"learning_rate": 1e-2})


def drawn(seed: int) -> torch.Generator:
    """Seed the weights, and return what data are drawn by."""
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(1000 + seed)
