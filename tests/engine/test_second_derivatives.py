"""Gradients of gradients, and derivatives along a direction: compiled, and those of the eager loop."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from random_cells import BINARY, UNARY, RandomCell
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
    given = [xs.requires_grad_(), *leaves(state), *(each for each in cell.parameters() if each.requires_grad)]
    found = _second(ostinato.scan, cell, xs, state, given, **options)
    expected = _second(_eagerly, cell, xs, state, given, **options)
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-7 * float(1 + other.detach().abs().max()))


CASES = [
    {},
    {"lengths": torch.tensor([4, 0, 2])},
    {"reverse": True, "lengths": torch.tensor([3, 4, 1])},
    {"resets": torch.tensor([[0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]]).bool()},
]


@pytest.mark.slow
@pytest.mark.usefixtures("_compiled_only")
@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in samples.FRAMES])
def test_of_every_cell_of_the_catalogue(name: str) -> None:
    torch.manual_seed(0)
    _assert_second(samples.random_cell(name), samples.steps(name, 4, 3, dtype=torch.double))


@pytest.mark.usefixtures("_compiled_only")
@pytest.mark.parametrize("kind", [nn.RNNCell, pytest.param(nn.LSTMCell, marks=pytest.mark.slow)])
def test_of_lengths_directions_and_resets(kind: type) -> None:
    torch.manual_seed(0)
    cell = kind(5, 7).double()
    for options in CASES:
        _assert_second(cell, torch.randn(4, 3, 5).double(), **options)


@pytest.mark.slow
@pytest.mark.usefixtures("_compiled_only")
@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in samples.FRAMES])
def test_every_cell_passes_pytorchs_check_of_second_derivatives(name: str) -> None:
    torch.manual_seed(0)
    cell = samples.random_cell(name)
    xs = samples.steps(name, 2, 2, dtype=torch.double)
    state = map_state(lambda leaf: leaf.detach() + 0.1, initial_state(cell, xs[0]))
    # a cell may read whole numbers or masks; where it does, its steps are not moved
    moved = name not in ("gru-d", "segment-gru")
    weight = next(parameter for parameter in cell.parameters() if parameter.requires_grad)

    def run(xs: Tensor, weight: Tensor, *flat: Tensor) -> Tensor:
        rest = iter(flat)
        start = map_state(lambda _: next(rest), state)
        name = next(name for name, each in cell.named_parameters() if each.shape == weight.shape)
        layer = _FromState(cell)
        return torch.func.functional_call(layer, {f"cell.{name}": weight}, (xs, start))

    given = [xs.requires_grad_(moved), weight.detach().clone().requires_grad_()]
    given += [leaf.clone().requires_grad_() for leaf in leaves(state)]
    assert torch.autograd.gradgradcheck(run, given, fast_mode=True, atol=1e-4, rtol=1e-3)


class _FromState(nn.Module):
    """A cell as a layer that is given its state."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, xs: Tensor, state) -> Tensor:
        return ostinato.scan(self.cell, xs, state)[0]


@pytest.mark.slow
@pytest.mark.parametrize("operation", [*UNARY, *BINARY], ids=lambda each: getattr(each, "__name__", "lambda"))
def test_of_every_operation(operation) -> None:
    torch.manual_seed(0)
    _assert_second(_OneOperation(operation).double(), torch.randn(3, 2, 3).double())


class _OneOperation(nn.Module):
    """A step with one operation in it, on one number or two."""

    hidden_size = 3

    def __init__(self, operation) -> None:
        super().__init__()
        self.linear, self.operation = nn.Linear(3, 3), operation

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = self.linear(h) + x
        h = (self.operation(y) if self.operation in UNARY else self.operation(y, h * h)).tanh()
        return h * y, h


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_of_cells_made_at_random(seed: int) -> None:
    torch.manual_seed(seed)
    cell = RandomCell(seed).double()
    _assert_second(cell, torch.randn(4, 3, cell.input_size).double())


class _Noisy(nn.Module):
    hidden_size = 4

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4).double()

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.linear(nn.functional.dropout(h, 0.4)) + x)
        return h, h


@pytest.mark.usefixtures("_compiled_only")
@pytest.mark.slow
@pytest.mark.ci
def test_random_numbers_are_those_of_the_forward_pass() -> None:
    cell, xs = _Noisy(), torch.randn(6, 3, 4, dtype=torch.double, requires_grad=True)

    def run(xs: Tensor, weight: Tensor) -> Tensor:
        torch.manual_seed(3)
        return torch.func.functional_call(_Scanned(cell), {"cell.linear.weight": weight}, (xs,))

    given = xs, cell.linear.weight.detach().requires_grad_()
    assert torch.autograd.gradgradcheck(run, given, fast_mode=True)


class _Scanned(nn.Module):
    """A cell as a layer."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, xs: Tensor) -> Tensor:
        return ostinato.scan(self.cell, xs)[0]


class _Doubled(torch.autograd.Function):
    """What its gradient is, is said by hand, and is another one than that of what it computes."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x * x


class _ByHand(nn.Module):
    """Gradients that are cut, and gradients that a user defines."""

    hidden_size = 4

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y = self.linear(h) * x.detach() + _Doubled.apply(x * h) * h
        return y * y.detach().cos(), torch.tanh(y)


@pytest.mark.usefixtures("_compiled_only")
def test_of_gradients_that_are_cut_or_defined_by_hand() -> None:
    _assert_second(_ByHand().double(), torch.randn(4, 3, 4).double())


@pytest.mark.usefixtures("_compiled_only")
class _Deaf(nn.Module):
    """What it reads has no part in its gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3, dtype=torch.float64))

    def initial_state(self, x: Tensor) -> Tensor:
        return x.new_ones((x.shape[0], 3))

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        new = (state @ self.weight).tanh() * (x > 0)
        return new, new


@pytest.mark.parametrize("lengths", [None, torch.tensor([4, 2])])
def test_of_sequences_that_no_gradient_reaches(lengths: Tensor | None) -> None:
    torch.manual_seed(5)
    cell = _Deaf()
    _assert_second(cell, torch.randn(4, 2, 3, dtype=torch.float64), lengths=lengths)
    # frozen, with nothing but the sequences and the state to be asked for
    _assert_second(cell.requires_grad_(False), torch.randn(4, 2, 3, dtype=torch.float64), lengths=lengths)


def test_third_derivatives_are_compiled_too() -> None:
    cell, xs = nn.RNNCell(2, 3).double(), torch.randn(3, 2, 2, dtype=torch.double, requires_grad=True)

    def third(run) -> Tensor:
        (first,) = torch.autograd.grad(run(cell, xs, xs.new_zeros(2, 3))[0].sum(), xs, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), xs, create_graph=True)
        return torch.autograd.grad(second.square().sum(), xs)[0]

    torch.testing.assert_close(third(ostinato.scan), third(_eagerly))


def test_what_the_derivative_cell_cannot_be_is_computed_eagerly_with_one_warning(monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise twice.Unsupported("this")

    monkeypatch.setattr(twice, "convert", refuse)
    cell, xs = nn.GRUCell(5, 7).double(), torch.randn(4, 3, 5).double()
    with pytest.warns(EngineWarning, match="second derivatives of GRUCell"):
        _assert_second(cell, xs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _assert_second(cell, xs)
