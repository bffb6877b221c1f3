"""Steppers whose weights have 8 bits: how near they come, and what they refuse."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import ostinato
from ostinato.errors import UsageError


def _rounded(module: nn.Module) -> nn.Module:
    """Return a module whose matrices are the whole numbers that a stepper computes by, times their scales."""
    twin = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in twin.parameters():
            if parameter.dim() == 2:
                scale = parameter.abs().amax(1, keepdim=True) / 127
                divisor = torch.where(scale > 0, scale, 1)
                parameter.copy_((parameter / divisor).round() * scale)
    return twin


LAYERS = {
    "lstm": lambda: ostinato.nn.Recurrent(ostinato.cells.LSTMCell(7, 37), 2),
    "layer-norm": lambda: ostinato.nn.Recurrent(ostinato.cells.CATALOGUE["lstm-layernorm"](7, 37)),
    "one feature": lambda: nn.LSTM(1, 1),
}


@pytest.mark.parametrize("rows", [1, 11])
@pytest.mark.parametrize("name", LAYERS)
def test_steps_are_those_of_the_rounded_weights(name: str, rows: int) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]().eval()
    width = getattr(layer, "input_size", 7)
    eight = ostinato.stepper(layer, rows, weights="int8")
    rounded, full = ostinato.stepper(_rounded(layer), rows), ostinato.stepper(layer, rows)
    for x in torch.randn(12, rows, width).numpy():
        found, expected, exact = eight(x), rounded(x), full(x)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.sqrt(np.square(found - exact).mean()) < 0.03
    assert width == 1 or not np.allclose(found, exact, atol=1e-5)


def test_a_row_gives_the_same_bits_alone_as_in_a_batch_and_as_a_copy() -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(7, 37)
    xs = torch.randn(5, 9, 7).numpy()
    whole, alone = ostinato.stepper(layer, 9, weights="int8"), ostinato.stepper(layer, weights="int8")
    for x in xs:
        found = whole(x)
        assert np.array_equal(alone(x[4:5])[0], found[4])
    other = pickle.loads(pickle.dumps(whole))  # noqa: S301 - made here
    assert other.weights == "int8"
    assert np.array_equal(other(xs[0]), whole(xs[0]))


def test_a_matrix_of_zeros_stays_one() -> None:
    layer = nn.GRU(3, 20)
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
    step, full = ostinato.stepper(layer, weights="int8"), ostinato.stepper(layer)
    x = torch.randn(1, 3).numpy()
    np.testing.assert_allclose(step(x), full(x), atol=1e-6)


def test_what_has_no_such_weights_is_refused() -> None:
    with pytest.raises(UsageError, match="weights is 'int4'; expected one of 'float32', 'int8'"):
        ostinato.stepper(nn.GRU(3, 4), weights="int4")
    with pytest.raises(UsageError, match='weights is "int8", and weight_ih_l0 is torch.float64 on cpu; expected'):
        ostinato.stepper(nn.GRU(3, 4).double(), weights="int8")
    spoilt = nn.GRU(3, 4)
    with torch.no_grad():
        spoilt.weight_hh_l0[1, 2] = float("nan")
    with pytest.raises(UsageError, match="weight_hh_l0 holds NaN or an infinite number; expected finite ones"):
        ostinato.stepper(spoilt, weights="int8")


def test_where_there_is_no_compiled_step_it_is_said(monkeypatch) -> None:
    monkeypatch.setenv("OSTINATO_ENGINE", "off")
    step = ostinato.stepper(nn.GRU(3, 4), weights="int8")
    with pytest.raises(UsageError, match="needs a compiled step, and the engine has none for GRU here; leave it out"):
        step(np.zeros((1, 3)))
