"""Cells against torch.nn's, and their gradients against finite differences."""

import pytest
import torch
from torch import nn

from ostinato.cells import CATALOGUE, GRUCell, LSTMCell, RNNCell
from ostinato.engine import initial_state, map_state


def _copy(ours: nn.Module, peer: nn.Module) -> None:
    with torch.no_grad():
        ours.input.weight.copy_(peer.weight_ih)
        ours.recurrent.weight.copy_(peer.weight_hh)
        if ours.recurrent.bias is None:
            ours.input.bias.copy_(peer.bias_ih + peer.bias_hh)
        else:
            ours.input.bias.copy_(peer.bias_ih)
            ours.recurrent.bias.copy_(peer.bias_hh)


@pytest.mark.parametrize(
    ("ours", "peer"),
    [
        (RNNCell(5, 7), nn.RNNCell(5, 7)),
        (RNNCell(5, 7, "relu"), nn.RNNCell(5, 7, nonlinearity="relu")),
        (GRUCell(5, 7), nn.GRUCell(5, 7)),
    ],
)
def test_a_step_equals_that_of_torch(ours: nn.Module, peer: nn.Module) -> None:
    _copy(ours, peer)
    x, h = torch.randn(3, 5), torch.randn(3, 7)
    y, state = ours(x, h)
    torch.testing.assert_close(y, peer(x, h))
    assert y is state


def test_an_lstm_step_equals_that_of_torch() -> None:
    ours, peer = LSTMCell(5, 7), nn.LSTMCell(5, 7)
    _copy(ours, peer)
    x, state = torch.randn(3, 5), (torch.randn(3, 7), torch.randn(3, 7))
    y, (h, c) = ours(x, state)
    torch.testing.assert_close((h, c), peer(x, state))
    assert y is h


@pytest.mark.parametrize("name", CATALOGUE)
def test_gradients_equal_finite_differences(name: str) -> None:
    cell = CATALOGUE[name](2, 3).double()
    x = torch.randn(2, 2, dtype=torch.double, requires_grad=True)
    state = map_state(lambda leaf: torch.randn_like(leaf).requires_grad_(), initial_state(cell, x.detach()))
    leaves = list(state) if isinstance(state, tuple) else [state]
    parameters = dict(cell.named_parameters())

    def step(x, *rest):
        given, weights = rest[: len(leaves)], rest[len(leaves) :]
        own = tuple(given) if isinstance(state, tuple) else given[0]
        named = dict(zip(parameters, weights, strict=True))
        y, new = torch.func.functional_call(cell, named, (x, own))
        return (y, *new) if isinstance(new, tuple) else (y, new)

    assert torch.autograd.gradcheck(step, (x, *leaves, *parameters.values()))


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "identity", torch.sin])
def test_an_rnn_takes_any_activation(activation) -> None:
    cell = RNNCell(2, 3, activation)
    x, h = torch.randn(4, 2), torch.randn(4, 3)
    function = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda v: v}
    expected = function.get(activation, activation)(cell.input(x) + cell.recurrent(h))
    torch.testing.assert_close(cell(x, h)[0], expected)


def test_an_unknown_activation_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r'"swosh" is not a known activation; choose one of tanh, relu'):
        RNNCell(2, 3, "swosh")


def test_recurrent_weights_start_orthogonal_and_the_forget_bias_at_one() -> None:
    cell = LSTMCell(4, 6)
    for block in cell.recurrent.weight.chunk(4):
        torch.testing.assert_close(block @ block.T, torch.eye(6), atol=1e-5, rtol=0)
    assert cell.input.bias.chunk(4)[1].eq(1).all()
    assert cell.input.bias.chunk(4)[0].eq(0).all()
