"""Forward-mode derivatives and transforms of functions run compiled, and give what the eager loop gives."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, func, nn
from torch.autograd import forward_ad

import ostinato
from ostinato.engine.run import scan as running
from ostinato.engine.run.reference import scan_eagerly
from ostinato.nn.dropin import choice

CELL = ostinato.cells.GRUCell(2, 3).double()
XS = torch.randn(4, 2, 2, dtype=torch.double)
WAY = torch.randn(4, 2, 2, dtype=torch.double)
WEIGHTS = {name: weight.detach() for name, weight in CELL.named_parameters()}
WAYS = {name: torch.randn_like(weight) for name, weight in WEIGHTS.items()}
LENGTHS = torch.tensor([4, 2])


class _Scanned(nn.Module):
    def __init__(self, run: Callable) -> None:
        super().__init__()
        self.cell, self.run = CELL, run

    def forward(self, xs: Tensor, **options) -> Tensor:
        h = xs.new_zeros(2, 3) + 0.1 * xs[0, :, :1]
        ys, last = self.run(self.cell, xs, h, **options)
        return ys.square().sum() + last.sin().sum()


def _eagerly(cell, xs, h, lengths=None, reverse=False):
    return scan_eagerly(cell, xs, h, lengths, reverse)


def _loss(run: Callable, **options) -> Callable[[dict, Tensor], Tensor]:
    layer = _Scanned(run)
    return lambda weights, xs: func.functional_call(
        layer, {f"cell.{name}": weight for name, weight in weights.items()}, (xs,), options
    )


@pytest.fixture(autouse=True)
def _compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a scan went through the eager loop")

    monkeypatch.setattr(running, "scan_eagerly", refuse)


def _dual(loss: Callable, xs: Tensor) -> Tensor:
    with forward_ad.dual_level():
        moved = {name: forward_ad.make_dual(weight, WAYS[name]) for name, weight in WEIGHTS.items()}
        return forward_ad.unpack_dual(loss(moved, forward_ad.make_dual(xs, WAY))).tangent


WANTED = {
    "jvp": lambda loss: func.jvp(loss, (WEIGHTS, XS), (WAYS, WAY)),
    "jvp by weights": lambda loss: func.jvp(lambda weights: loss(weights, XS), (WEIGHTS,), (WAYS,)),
    "dual numbers": lambda loss: _dual(loss, XS),
    "gradient": lambda loss: func.grad(loss, (0, 1))(WEIGHTS, XS),
    "forward over reverse": lambda loss: func.jvp(func.grad(loss), (WEIGHTS, XS), (WAYS, WAY))[1],
    "reverse over forward": lambda loss: func.grad(
        lambda xs: func.jvp(lambda weights: loss(weights, xs), (WEIGHTS,), (WAYS,))[1]
    )(XS),
    "reverse over reverse": lambda loss: func.grad(lambda weights: func.grad(loss, 1)(weights, XS).square().sum())(
        WEIGHTS
    ),
    "Hessian": lambda loss: func.hessian(loss, 1)(WEIGHTS, XS),
    "per sample": lambda loss: func.vmap(func.grad(loss), (None, 0))(WEIGHTS, torch.stack([XS, WAY])),
}


OPTIONS = pytest.mark.parametrize("options", [{}, {"lengths": LENGTHS, "reverse": True}], ids=["plain", "ragged"])


@OPTIONS
@pytest.mark.parametrize("name", ["jvp", "gradient", pytest.param("Hessian", marks=pytest.mark.slow)])
def test_derivatives(name: str, options: dict) -> None:
    _assert_derivatives(name, options)


@pytest.mark.slow
@OPTIONS
@pytest.mark.parametrize("name", [name for name in WANTED if name not in ("jvp", "gradient", "Hessian")])
def test_more_derivatives(name: str, options: dict) -> None:
    _assert_derivatives(name, options)


def _assert_derivatives(name: str, options: dict) -> None:
    """Assert that they are those of the eager loop."""
    if options and name in ("Hessian", "per sample"):
        options = {"reverse": True}
    found = WANTED[name](_loss(ostinato.scan, **options))
    torch.testing.assert_close(found, WANTED[name](_loss(_eagerly, **options)))


@pytest.mark.slow
@pytest.mark.ci
def test_the_tangent_has_gradients_for_what_is_not_transformed() -> None:
    """As a loss on a derivative by time needs them, of a network whose weights are trained by `backward`."""
    found = []
    for run in (ostinato.scan, _eagerly):
        CELL.zero_grad()
        layer = _Scanned(run)
        _, tangent = func.jvp(layer, (XS,), (WAY,))
        tangent.square().backward()
        found.append([weight.grad.clone() for weight in CELL.parameters()])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("kind", ["RNN", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("LSTM", "GRU"))])
def test_layers_in_the_place_of_torchs(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "pays", lambda *_: True)
    theirs, ours = (getattr(module, kind)(2, 3, num_layers=2).double() for module in (torch.nn, ostinato.nn))
    ours.load_state_dict(theirs.state_dict())
    found, expected = [], []
    for layer, results in ((ours, found), (theirs, expected)):
        results.append(func.jvp(lambda xs: layer(xs)[0], (XS,), (WAY,)))  # noqa: B023
        (first,) = torch.autograd.grad(layer(XS.requires_grad_())[0].square().sum(), XS, create_graph=True)
        results.append(torch.autograd.grad(first.square().sum(), list(layer.parameters()), materialize_grads=True))
        XS.requires_grad_(False)
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.ci
def test_a_step_of_an_inner_optimisation_is_differentiated() -> None:
    """Meta-learning as in C. Finn et al., "Model-agnostic meta-learning", 2017."""

    def outer(run: Callable) -> dict[str, Tensor]:
        loss = _loss(run)
        start = {name: weight.clone().requires_grad_() for name, weight in WEIGHTS.items()}
        inner = torch.autograd.grad(loss(start, XS), list(start.values()), create_graph=True)
        moved = {name: weight - 0.1 * grad for (name, weight), grad in zip(start.items(), inner, strict=True)}
        return dict(zip(start, torch.autograd.grad(loss(moved, WAY), list(start.values())), strict=True))

    torch.testing.assert_close(outer(ostinato.scan), outer(_eagerly))
