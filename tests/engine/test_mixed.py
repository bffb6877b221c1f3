"""Autocast to bfloat16: products of rounded operands, all else in float32, forward and backward, for every cell."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import ostinato
from ostinato.cells import CATALOGUE
from ostinato.engine.front.state import initial_state, leaves, map_state
from ostinato.engine.run.reference import scan_eagerly

sys.path.append(str(Path(__file__).parents[1] / "cells"))
import samples

_PRODUCTS = {torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm, torch.ops.aten.baddbmm}


@pytest.fixture(autouse=True)
def _on_every_machine(monkeypatch):
    monkeypatch.setenv("OSTINATO_BF16", "on")


class _Rounded(TorchDispatchMode):
    """Rounds the operands of every product of matrices, forward and backward, and computes on in float32."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        del types
        if func.overloadpacket in _PRODUCTS:
            args = [*args[:-2], *(operand.bfloat16().float() for operand in args[-2:])]
        return func(*args, **(kwargs or {}))


def _gradients(run, cell, xs, state):
    ys, last = run(cell, xs, state)
    outputs = [ys, *leaves(last)]
    generator = torch.Generator().manual_seed(1)
    loss = sum((part * torch.randn(part.shape, generator=generator)).sum() for part in outputs)
    given = [one for one in (xs, *leaves(state), *cell.parameters()) if one.requires_grad]
    return [*outputs, *torch.autograd.grad(loss, given, materialize_grads=True)]


def _distance(found, other):
    """Return the largest distance of two lists of tensors, each relative to its size."""
    pairs = [(a.detach().double(), b.detach().double()) for a, b in zip(found, other, strict=True)]
    return max(float((a - b).norm() / b.norm().clamp_min(1e-3)) for a, b in pairs)


def _assert_rounded(cell, xs, state, **options) -> None:
    """Assert that a scan under autocast is much nearer to the eager loop on rounded operands than to that without."""

    def eager(cell, xs, state):
        return scan_eagerly(
            cell, xs, state, options.get("lengths"), options.get("reverse", False), options.get("resets")
        )

    def scanned(cell, xs, state):
        with torch.autocast("cpu", torch.bfloat16):
            return ostinato.scan(cell, xs, state, **options)

    exact = _gradients(eager, cell, xs, state)
    with _Rounded():
        rounded = _gradients(eager, cell, xs, state)
    found = _gradients(scanned, cell, xs, state)
    assert all(part.dtype is torch.float32 for part in found)
    near, away = _distance(found, rounded), _distance(rounded, exact)
    assert near <= max(2e-5, 0.2 * away), (near, away)
    assert away < 0.5, away


def _assert_nothing_is_left(cell, xs, state) -> None:
    """Assert that a scan is one in float32 after one that was not."""
    with torch.autocast("cpu", torch.bfloat16):
        half = _gradients(ostinato.scan, cell, xs, state)
    after = _gradients(ostinato.scan, cell, xs, state)
    exact = _gradients(lambda *call: scan_eagerly(*call, None, False), cell, xs, state)
    assert _distance(after, exact) < 1e-4 < _distance(half, exact)


_QUICK = ("lstm-layernorm",)
"""Making a plan takes a second; the others are gone over where there is time."""


@pytest.mark.parametrize(
    "name", [name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CATALOGUE]
)
def test_of_every_cell_of_the_catalogue(name: str) -> None:
    torch.manual_seed(0)
    cell = samples.random_cell(name).float()
    xs = samples.steps(name, 6, 3).requires_grad_()
    state = map_state(lambda leaf: (leaf.detach() + 0.1).requires_grad_(), initial_state(cell, xs[0]))
    _assert_rounded(cell, xs, state)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell])
def test_with_lengths_resets_and_both_directions(kind, reverse) -> None:
    torch.manual_seed(0)
    cell, xs = kind(9, 21), torch.randn(12, 5, 9, requires_grad=True)
    h = torch.randn(5, 21, requires_grad=True)
    state = (h, torch.randn(5, 21, requires_grad=True)) if kind is nn.LSTMCell else h
    for options in (
        {"lengths": torch.tensor([12, 4, 7, 0, 9])},
        {"resets": torch.rand(12, 5) < 0.2},
        {},
    ):
        _assert_rounded(cell, xs, state, reverse=reverse, **options)
    _assert_nothing_is_left(cell, xs, state)


@pytest.mark.slow
@pytest.mark.ci
def test_at_sizes_that_fill_tiles_panels_and_chunks() -> None:
    torch.manual_seed(0)
    cell, xs = nn.LSTMCell(100, 150), torch.randn(7, 40, 100, requires_grad=True)
    _assert_rounded(cell, xs, (torch.zeros(40, 150), torch.zeros(40, 150)))


@pytest.mark.slow
def test_a_single_long_row_whose_input_products_are_made_before_the_loop() -> None:
    torch.manual_seed(0)
    cell, xs = nn.GRUCell(64, 64), torch.randn(300, 1, 64, requires_grad=True)
    _assert_rounded(cell, xs, torch.zeros(1, 64))


@torch.no_grad()
def test_autocast_to_anything_else_and_cells_in_double_are_as_before() -> None:
    cell, xs = nn.GRUCell(5, 8), torch.randn(6, 3, 5)
    plain = ostinato.scan(cell, xs)[0]
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(ostinato.scan(cell, xs)[0], plain)
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(ostinato.scan(cell, xs)[0], plain)
        with torch.autocast("cpu", enabled=False):
            assert torch.equal(ostinato.scan(cell, xs)[0], plain)
        wide, sequences = nn.GRUCell(5, 8).double(), xs.double()
        inside = ostinato.scan(wide, sequences)[0]
    assert torch.equal(inside, ostinato.scan(wide, sequences)[0])


@torch.no_grad()
def test_a_machine_without_the_instructions_stays_in_float32(monkeypatch) -> None:
    cell, xs = nn.LSTMCell(5, 8), torch.randn(6, 3, 5)
    monkeypatch.setenv("OSTINATO_BF16", "off")
    with torch.autocast("cpu", torch.bfloat16):
        inside = ostinato.scan(cell, xs)[0]
    assert torch.equal(inside, ostinato.scan(cell, xs)[0])


def test_gradients_come_in_whichever_precision_the_forward_pass_had() -> None:
    """The backward pass is run outside of the context, as training does, and twice over what is kept."""
    torch.manual_seed(0)
    cell, xs = nn.GRUCell(16, 32), torch.randn(6, 3, 16)
    found = []
    for inside in (True, False):
        with torch.autocast("cpu", torch.bfloat16):
            ys, _ = ostinato.scan(cell, xs)
            if inside:
                found.append(torch.autograd.grad(ys.square().sum(), list(cell.parameters())))
        if not inside:
            found.append(torch.autograd.grad(ys.square().sum(), list(cell.parameters())))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
        assert one.dtype is torch.float32


def test_explain_says_what_products_are_made_of() -> None:
    cell = nn.LSTMCell(5, 8)
    assert ostinato.explain(cell).products == "float32"
    with torch.autocast("cpu", torch.bfloat16):
        found = ostinato.explain(cell)
    assert found.products in ("bfloat16, sums of float32", "bfloat16 emulated, sums of float32")
    assert f"products of {found.products}" in str(found)
    assert ostinato.explain(cell).products == "float32"


def test_steppers_stay_in_float32() -> None:
    """A stepper outlives the context that it was made in."""
    layer = ostinato.nn.Recurrent(nn.GRUCell(5, 8))
    x = torch.randn(1, 5).numpy()
    expected = ostinato.stepper(layer)(x)
    with torch.autocast("cpu", torch.bfloat16):
        step = ostinato.stepper(layer)
        assert (step(x) == expected).all()


@torch.no_grad()
def test_a_stack_takes_what_layers_before_it_give_under_autocast() -> None:
    """Sequences, and starts made of them, come as bfloat16 there."""
    torch.manual_seed(0)
    layer, xs = ostinato.nn.Recurrent(nn.GRUCell(5, 8), 2, learn_initial_state=False), torch.randn(6, 3, 5)
    expected = layer(xs.bfloat16().float())[0]
    with torch.autocast("cpu", torch.bfloat16):
        found, last = layer(xs.bfloat16())
        again, _ = layer(xs.bfloat16(), last)
        started, _ = layer(xs.bfloat16(), layer.initial_state(xs[0].bfloat16()))
    assert found.dtype is again.dtype is torch.float32
    assert torch.equal(found, started)
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)
