"""The fused loss against the two operations that it stands for."""

import importlib

import pytest
import torch
from torch.nn import functional

from ostinato.errors import ShapeError
from ostinato.nn.losses import linear_cross_entropy

module = importlib.import_module("ostinato.nn.losses.linear_cross_entropy")


def _inputs(classes=50, dtype=torch.float32):
    torch.manual_seed(0)
    xs = torch.randn(7, 3, 8, dtype=dtype, requires_grad=True)
    weight = torch.randn(classes, 8, dtype=dtype, requires_grad=True)
    bias = torch.randn(classes, dtype=dtype, requires_grad=True)
    return xs, weight, bias, torch.randint(classes, (7, 3))


def _compare(xs, weight, bias, targets):
    inputs = [one for one in (xs, weight, bias) if one is not None]
    expected = functional.cross_entropy(functional.linear(xs, weight, bias).flatten(0, 1), targets.flatten())
    gradients = torch.autograd.grad(3 * expected, inputs)
    found = linear_cross_entropy(xs, weight, bias, targets)
    torch.testing.assert_close(found, expected)
    for own, other in zip(torch.autograd.grad(3 * found, inputs), gradients, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("together", [1 << 25, 200, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ignored", [0, 1, 20])
def test_loss_and_gradients_are_those_of_the_two_operations(monkeypatch, together, dtype, ignored) -> None:
    monkeypatch.setattr(module, "_TOGETHER", together)
    xs, weight, bias, targets = _inputs(dtype=dtype)
    targets.flatten()[:ignored] = -100
    _compare(xs, weight, bias, targets)
    _compare(xs, weight, None, targets)


def test_a_chance_too_small_to_hold_still_has_its_loss() -> None:
    xs, weight, bias, targets = _inputs()
    _compare(xs, (400 * weight.detach()).requires_grad_(), bias, targets)


def test_a_tied_matrix_gets_the_gradient_of_both_its_uses() -> None:
    _, weight, bias, targets = _inputs()
    tokens = torch.randint(50, (7, 3))
    expected = functional.cross_entropy(
        functional.linear(weight[tokens], weight, bias).flatten(0, 1), targets.flatten()
    )
    found = linear_cross_entropy(weight[tokens], weight, bias, targets)
    own, other = (torch.autograd.grad(loss, weight)[0] for loss in (found, expected))
    torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)


def test_shapes_that_do_not_fit_are_refused() -> None:
    xs, weight, bias, targets = _inputs()
    with pytest.raises(ShapeError, match=r"expected \(..., width\)"):
        linear_cross_entropy(xs, weight, bias, targets[:-1])
