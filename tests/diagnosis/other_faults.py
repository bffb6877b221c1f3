"""Faults of training scripts, each beside the verdict that is true of it; drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from planted_faults import Case, EachStep, Last, adding, drawn, signs, trained


class Softmaxed(Last):
    """Gives probabilities where the loss takes scores."""

    def forward(self, xs: Tensor) -> Tensor:
        return super().forward(xs).softmax(-1)


class Dropped(Last):
    """Draws dropout in evaluation mode too."""

    def forward(self, xs: Tensor) -> Tensor:
        return self.head(F.dropout(self.layer(xs)[0][:, -1], 0.3))


class Viewed(nn.Module):
    """Reshapes where it should transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.GRU(2, 12), nn.Linear(12, 1)

    def forward(self, xs: Tensor) -> Tensor:
        return self.head(self.layer(xs.reshape(xs.shape[1], xs.shape[0], 2))[0][-1])


def _gru(out: int = 1) -> Last:
    return Last(nn.GRU(2, 12, batch_first=True), 12, out)


def _adding(make: Callable[[], nn.Module], loss: Any = F.mse_loss, **options: Any) -> Callable[[int], Case]:
    def of_seed(seed: int) -> Case:
        draw = drawn(seed)
        return Case(make(), adding(64, 24, draw), loss, options)

    return of_seed


def _signs(make: Callable[[], nn.Module], loss: Any = F.cross_entropy) -> Callable[[int], Case]:
    def of_seed(seed: int) -> Case:
        draw = drawn(seed)
        return Case(make(), signs(64, 20, draw), loss)

    return of_seed


def rectified_and_dead(seed: int) -> Case:
    draw = drawn(seed)
    layer = nn.RNN(2, 16, nonlinearity="relu", batch_first=True)
    with torch.no_grad():
        layer.bias_ih_l0.fill_(-20.0)
    return Case(Last(layer, 16), adding(64, 24, draw), F.mse_loss)


def shifted(seed: int) -> Case:
    draw = drawn(seed)
    xs = torch.randn(64, 20, 1, generator=draw)
    return Case(EachStep(nn.GRU(1, 12, batch_first=True), 12, 1), (xs, xs.clone()), F.mse_loss)


def unscaled(seed: int) -> Case:
    draw = drawn(seed)
    xs, ys = adding(64, 24, draw)
    return Case(Last(nn.LSTM(2, 16, batch_first=True), 16), (xs * 1e4, ys), F.mse_loss)


def unscaled_and_trained(seed: int) -> Case:
    draw = drawn(seed)

    def large(rows: int, steps: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        xs, ys = signs(rows, steps, generator)
        return xs * 1e4 + 5e3, ys

    model = trained(_gru(2), large, F.cross_entropy, draw, steps=40, rate=1e-2, length=20)
    return Case(model, large(64, 20, draw), F.cross_entropy)


def rate_of_nothing(seed: int) -> Case:
    draw = drawn(seed)
    model = _gru()
    return Case(model, adding(64, 24, draw), F.mse_loss, {"optimizer": torch.optim.Adam(model.parameters(), lr=0.0)})


def padded_loss(seed: int) -> Case:
    draw = drawn(seed)
    lengths = torch.randint(8, 25, (48,), generator=draw)
    lengths[0] = 24
    xs = torch.randn(48, 24, 2, generator=draw) * (torch.arange(24) < lengths[:, None])[..., None]
    batch = {"x": xs, "lengths": lengths, "targets": xs[..., :1].cumsum(1)}
    model = EachStep(nn.GRU(2, 12, batch_first=True), 12, 1)
    return Case(model, batch, lambda net, given: F.mse_loss(net(given["x"]), given["targets"]))


def one_label(seed: int) -> Case:
    draw = drawn(seed)
    xs, ys = signs(64, 20, draw)
    return Case(_gru(2), (xs, torch.zeros_like(ys)), F.cross_entropy)


OTHERS: dict[str, tuple[str, str, Callable[[int], Case]]] = {
    "rectified units that are dead": ("dead", "16 of 16 units", rectified_and_dead),
    "a target that is the input": ("leak", "gives the target away", shifted),
    "inputs of 10,000": ("saturated", "What it reads is large", unscaled),
    "a learning rate of 0": ("learning rate too low", "The learning rate is 0", rate_of_nothing),
    "all weights frozen": ("frozen", "weights are frozen", _adding(lambda: _gru().requires_grad_(requires_grad=False))),
    "batch_first forgotten": ("rows meet", "another row's inputs move", _adding(lambda: Last(nn.GRU(2, 12), 12))),
    "a view for a transpose": ("rows meet", "another row's inputs move", _adding(Viewed)),
    "softmax twice": ("outputs", "softmax", _signs(lambda: Softmaxed(nn.GRU(2, 12, batch_first=True), 12, 2))),
    "scores to nll_loss": ("outputs", "logarithms of probabilities", _signs(lambda: _gru(2), nn.NLLLoss())),
    "a loss of the wrong sign": ("sign", "wrong sign", _adding(_gru, lambda ys, wanted: -((ys - wanted) ** 2).mean())),
    "minus cross-entropy": (
        "sign", "wrong sign", _signs(lambda: _gru(2), lambda net, given: -F.cross_entropy(net(given[0]), given[1])),
    ),
    "padding in the loss": ("padding", "moves the loss", padded_loss),
    "dropout in evaluation": ("random", "are random", _signs(lambda: Dropped(nn.GRU(2, 12, batch_first=True), 12, 2))),
    "labels that never vary": ("baseline", "All targets of the batch are the same", one_label),
}  # fmt: skip
"""By name: the kind of verdict, words of it, and what makes a case of a seed."""
