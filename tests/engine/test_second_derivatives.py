"""Gradients of gradients, and derivatives along a direction: compiled, and those of the eager loop."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from random_cells import RandomCell
from torch import Tensor, nn

import ostinato
from ostinato.cells import CATALOGUE
from ostinato.engine.front.state import initial_state, leaves, map_state
from ostinato.engine.run import twice
from ostinato.engine.run.reference import scan_eagerly
from ostinato.errors import EngineWarning

sys.path.append(str(Path(__file__).parents[1] / "cells"))
import samples


@pytest.fixture
def _compiled_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self, *_: object) -> None:
        raise AssertionError(f"{self.source.name} went through the eager loop")

    monkeypatch.setattr(twice.Again, "eagerly", refuse)


def _weighted(tensors: Sequence[Tensor]) -> Tensor:
    parts = [(part * (1 + torch.arange(part.numel()).reshape(part.shape) % 7)).sum() for part in tensors]
    return torch.stack(parts).sum()


def _directions(given: Sequence[Tensor]) -> list[Tensor]:
    return [(torch.arange(tensor.numel()).reshape(tensor.shape).to(tensor) * 0.7).cos() for tensor in given]


def _second(run, cell: nn.Module, xs: Tensor, state, given: Sequence[Tensor], **options) -> list[Tensor]:
    """Return the gradients, and the product of the Hessian of a loss by a direction."""
    ys, last = run(cell, xs, state, **options)
    loss = _weighted([ys.square(), *leaves(last)])
    first = torch.autograd.grad(loss, given, create_graph=True, materialize_grads=True)
    slope = _weighted([grad * way for grad, way in zip(first, _directions(given), strict=True)])
    return [*first, *torch.autograd.grad(slope, given, materialize_grads=True)]


def _eagerly(cell, xs, state, *, lengths=None, reverse=False, resets=None):
    return scan_eagerly(cell, xs, state, lengths, reverse, resets)


def _assert_second(cell: nn.Module, xs: Tensor, **options) -> None:
    state = map_state(lambda leaf: (leaf.detach() + 0.1).requires_grad_(), initial_state(cell, xs[0]))
    given = [xs.requires_grad_(), *leaves(state), *cell.parameters()]
    found = _second(ostinato.scan, cell, xs, state, given, **options)
    expected = _second(_eagerly, cell, xs, state, given, **options)
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-7 * float(1 + other.abs().max()))


CASES = [
    {},
    {"lengths": torch.tensor([4, 0, 2])},
    {"reverse": True, "lengths": torch.tensor([3, 4, 1])},
    {"resets": torch.tensor([[0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]]).bool()},
]


@pytest.mark.usefixtures("_compiled_only")
@pytest.mark.parametrize("name", CATALOGUE)
def test_of_every_cell_of_the_catalogue(name: str) -> None:
    torch.manual_seed(0)
    _assert_second(samples.random_cell(name), samples.steps(name, 4, 3, dtype=torch.double))


@pytest.mark.usefixtures("_compiled_only")
@pytest.mark.parametrize("options", CASES, ids=["plain", "lengths", "reverse", "resets"])
@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_of_lengths_directions_and_resets(kind: type, options: dict) -> None:
    torch.manual_seed(0)
    _assert_second(kind(5, 7).double(), torch.randn(4, 3, 5).double(), **options)


@pytest.mark.parametrize("seed", range(12))
def test_of_cells_made_at_random(seed: int) -> None:
    torch.manual_seed(seed)
    cell = RandomCell(seed).double()
    _assert_second(cell, torch.randn(4, 3, cell.input_size).double())
