"""What holds of the gradients of every cell and layer: they add up, are clipped, and each has memory of its own."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from random_cells import RandomCell
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

import ostinato
from ostinato.cells import CATALOGUE
from ostinato.engine.front.state import initial_state, leaves, map_state
from ostinato.engine.run.reference import scan_eagerly
from ostinato.nn.dropin import choice

sys.path.append(str(Path(__file__).parents[1] / "cells"))
import samples

Loss = Callable[[], Tensor]


def _weighted(tensors: Sequence[Tensor]) -> Tensor:
    """Return a sum in which every number counts differently."""
    parts = [(part * (1 + torch.arange(part.numel()).reshape(part.shape) % 7)).sum() for part in tensors]
    return torch.stack(parts).sum()


def _assert_laws(loss: Loss, given: Sequence[Tensor]) -> list[Tensor]:
    """Assert what must hold of the gradients of `given`, which are leaves; return them."""
    _clear(given)
    once = list(torch.autograd.grad(loss(), given, materialize_grads=True))
    _assert_disjoint([*once, *(tensor.detach() for tensor in given)])
    for _ in range(3):
        loss().backward()
    torch.testing.assert_close(_grads(given), [3 * grad for grad in once])
    _assert_disjoint([*_grads(given), *(tensor.detach() for tensor in given)])

    for grad in _grads(given):  # as zero_grad(set_to_none=False) does
        grad.zero_()
    loss().backward()
    torch.testing.assert_close(_grads(given), once)

    norm = torch.stack([grad.norm() for grad in once]).norm()
    _clear(given)
    loss().backward()
    nn.utils.clip_grad_norm_(given, float(norm) / 3)
    clipped = torch.stack([grad.norm() for grad in _grads(given)]).norm()
    torch.testing.assert_close(clipped, norm / 3, rtol=1e-5, atol=1e-5)  # PyTorch adds 1e-6 to the norm

    _clear(given)
    loss().backward()
    for place, changed in enumerate(_grads(given)):
        before = [grad.clone() for grad in _grads(given)]
        changed.fill_(7.0)
        for other, (was, now) in enumerate(zip(before, _grads(given), strict=True)):
            assert other == place or torch.equal(was, now)
    return once


def _grads(given: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(tensor) if tensor.grad is None else tensor.grad for tensor in given]


def _clear(given: Sequence[Tensor]) -> None:
    for tensor in given:
        tensor.grad = None


def _assert_disjoint(tensors: Sequence[Tensor]) -> None:
    storages = [tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.numel()]
    assert len(set(storages)) == len(storages)
    assert all(step for tensor in tensors for step, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1)


def _assert_laws_of_a_cell(cell: nn.Module, xs: Tensor) -> None:
    state = map_state(lambda leaf: (leaf.detach() + 0.1).requires_grad_(), initial_state(cell, xs[0]))
    given = [xs.requires_grad_(), *leaves(state), *cell.parameters()]

    def loss(run=ostinato.scan) -> Tensor:
        ys, last = run(cell, xs, state)
        return _weighted([ys, *leaves(last)])

    found = _assert_laws(loss, given)
    expected = torch.autograd.grad(loss(lambda *call: scan_eagerly(*call, None, False)), given, materialize_grads=True)
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-7 * float(1 + other.abs().max()))


@pytest.mark.parametrize("name", CATALOGUE)
def test_of_every_cell_of_the_catalogue(name: str) -> None:
    torch.manual_seed(0)
    cell = samples.random_cell(name)
    batch = 4 if name in samples.FRAMES else 48  # else large enough for memory that is used again
    _assert_laws_of_a_cell(cell, samples.steps(name, 12, batch, dtype=torch.double))


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_of_the_cells_of_torch(kind) -> None:
    _assert_laws_of_a_cell(kind(5, 7).double(), torch.randn(9, 4, 5).double())


@pytest.mark.parametrize("seed", range(12))
def test_of_cells_made_at_random(seed: int) -> None:
    torch.manual_seed(seed)
    cell = RandomCell(seed).double()
    _assert_laws_of_a_cell(cell, torch.randn(4, 3, cell.input_size).double())


class _Shared(nn.Module):
    """Biases that are added to one sum, weights that are parts of one product, a number used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(4, 4, dtype=torch.double) for _ in range(3))
        self.biases = nn.ParameterList(torch.randn(4, dtype=torch.double) for _ in range(4))
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.double))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat([self.weights[0], self.weights[1]], 1)
        a, b = (x @ joined + torch.cat([self.biases[0], self.biases[1]])).chunk(2, -1)
        h = torch.tanh(a + b + h @ self.weights[2].t() + self.biases[2] + self.biases[3]) * self.scale
        return h + self.biases[2], h


@pytest.mark.parametrize("batch", [1, 3])
def test_of_parameters_that_have_one_gradient_or_parts_of_one(batch: int) -> None:
    _assert_laws_of_a_cell(_Shared(), torch.randn(6, batch, 4).double())


LAYERS = {
    "stack": lambda: ostinato.nn.Recurrent(ostinato.cells.GRUCell(5, 5), 2, bidirectional=True),
    "sum": lambda: ostinato.nn.Recurrent(ostinato.cells.LSTMCell(5, 5), 2, bidirectional=True, merge="sum"),
    "tied": lambda: ostinato.nn.Recurrent(ostinato.cells.RNNCell(5, 5), 3, tie=True),
    "skips": lambda: ostinato.nn.Recurrent(nn.LSTMCell(5, 5), 2, skip="highway", norm="layer"),
    "starts": lambda: ostinato.nn.Recurrent(nn.RNNCell(5, 5), 2, learn_initial_state=True),
    "batch first": lambda: ostinato.nn.Recurrent(nn.GRUCell(5, 5), 2, batch_first=True),
    **{
        f"{kind} {options}": lambda kind=kind, options=options: getattr(ostinato.nn, kind)(5, 5, **options)
        for kind in ("RNN", "LSTM", "GRU")
        for options in ({}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True})
    },
    "projected": lambda: ostinato.nn.LSTM(5, 5, proj_size=3),
}


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_of_layers(name: str, ragged: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "pays", lambda *_: True)
    torch.manual_seed(0)
    layer = LAYERS[name]().double()
    xs = torch.randn(6, 6, 5, dtype=torch.double, requires_grad=True)
    lengths = torch.tensor([6, 5, 5, 3, 2, 1])
    given = [xs, *layer.parameters()]

    def loss() -> Tensor:
        if not ragged:
            ys, last = layer(xs)
        elif isinstance(layer, nn.RNNBase):
            packed, last = layer(pack_padded_sequence(xs, lengths, batch_first=layer.batch_first))
            ys = packed.data
        else:
            ys, last = layer(xs, lengths=lengths)
        return _weighted([ys, *leaves(last)])

    found = _assert_laws(loss, given)
    twice = _second(loss, given)
    monkeypatch.setenv("OSTINATO_ENGINE", "off")
    torch.testing.assert_close(found, list(torch.autograd.grad(loss(), given)))
    torch.testing.assert_close(twice, _second(loss, given))


def _second(loss: Loss, given: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients of the squares of the gradients."""
    first = torch.autograd.grad(loss(), given, create_graph=True)
    total = torch.stack([grad.square().sum() for grad in first]).sum()
    return list(torch.autograd.grad(total, given, materialize_grads=True))


def test_what_autograd_hands_in_is_left_as_it_was() -> None:
    cell, xs, h = nn.GRUCell(5, 7).double(), torch.randn(9, 4, 5).double(), torch.randn(4, 7).double()
    ys, last = ostinato.scan(cell, xs.requires_grad_(), h.requires_grad_())
    dy, dlast = torch.randn_like(ys), torch.randn_like(last)
    before = dy.clone(), dlast.clone()
    found = torch.autograd.grad([ys, last], [xs, h, *cell.parameters()], [dy, dlast])
    assert torch.equal(dy, before[0])
    assert torch.equal(dlast, before[1])
    _assert_disjoint([*found, dy, dlast])


def test_gradients_of_gradients_where_one_input_was_made_of_another() -> None:
    """The state and the steps are computed from a weight of the cell."""
    cell = nn.RNNCell(4, 4).double()

    def loss(run=ostinato.scan) -> Tensor:
        h = cell.weight_hh[:2] * 2
        ys, last = run(cell, cell.weight_ih.expand(3, 4, 4)[:, :2].sin(), h)
        return _weighted([ys, last])

    given = list(cell.parameters())
    expected = _second(lambda: loss(lambda *call: scan_eagerly(*call, None, False)), given)
    torch.testing.assert_close(_second(loss, given), expected)
