"""The three classical cells against those of torch.nn, and how cells start."""

import numpy as np
import pytest
import torch
from torch import nn

import ostinato
from ostinato.cells import CATALOGUE, GRUCell, IndRNNCell, LSTMCell, RNNCell


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


@pytest.mark.parametrize("make", [RNNCell, LSTMCell, GRUCell])
def test_recurrent_weights_start_as_they_are_named(make) -> None:
    identity = make(4, 6, recurrent_init="identity").recurrent.weight
    assert all(torch.equal(block, torch.eye(6)) for block in identity.split(6))
    uniform = make(4, 400, recurrent_init="uniform").recurrent.weight
    assert 0.045 < uniform.abs().max() <= 0.05
    glorot = make(4, 400, recurrent_init="glorot").recurrent.weight
    assert 0.08 < glorot.abs().max() <= (6 / 800) ** 0.5
    with pytest.raises(ValueError, match='"eye" is not a known initialisation; choose one of orthogonal, identity'):
        make(4, 6, recurrent_init="eye")


def test_chrono_biases_are_the_logarithms_of_times_up_to_the_longest() -> None:
    cell = LSTMCell(2, 4000, recurrent_init="identity", longest_memory=50)
    i, f, _, o = cell.input.bias.detach().chunk(4)
    times = f.exp()
    assert times.min() >= 1
    assert times.max() <= 49.001
    assert abs(times.mean() - 25) < 1
    assert torch.equal(i, -f)
    assert not o.any()
    with pytest.raises(ValueError, match="the longest memory is 2 steps; expected three or more"):
        CATALOGUE["janet"](2, 3, longest_memory=2)


def test_the_lru_starts_evenly_on_a_ring() -> None:
    cell = CATALOGUE["lru"](2, 5000, r_min=0.5, r_max=0.9)
    size, angle = torch.exp(-cell.nu.exp()).detach(), cell.theta.exp().detach()
    assert 0.5 <= size.min() < 0.51
    assert 0.89 < size.max() <= 0.9
    inner = (size**2 < (0.5**2 + 0.9**2) / 2).float().mean()  # half of a ring's area lies inside this circle
    assert abs(inner - 0.5) < 0.03
    assert angle.min() > 0
    assert abs(angle.mean() - torch.pi) < 0.1
    torch.testing.assert_close(cell.gamma.exp().detach() ** 2, 1 - size**2)
    with pytest.raises(ValueError, match="expected 0 <= r_min < r_max < 1"):
        CATALOGUE["lru"](2, 5, r_max=1.0)


def test_the_rglru_starts_with_slowest_decays_from_090_to_0999() -> None:
    decay = CATALOGUE["rglru"](2, 2000).decay.sigmoid().detach() ** 8
    assert 0.9 <= decay.min() < 0.901
    assert 0.998 < decay.max() <= 0.9991


@pytest.mark.parametrize("radius", [0.5, 0.95])
def test_a_reservoir_has_its_spectral_radius_and_forgets_where_it_started(radius: float) -> None:
    cell = CATALOGUE["echo-state"](3, 60, spectral_radius=radius)
    assert np.abs(np.linalg.eigvals(cell.recurrent.double().numpy())).max() == pytest.approx(radius, rel=1e-4)
    assert ((cell.recurrent != 0).sum(1) == 10).all()
    one, other = torch.zeros(1, 60), torch.ones(1, 60)
    for x in torch.randn(300, 1, 3):
        one, other = cell(x, one)[1], cell(x, other)[1]
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_forget_gates_start_open() -> None:
    for name, position, count in [
        ("lstm-peephole", 1, 4),
        ("lstm-coupled", 0, 3),
        ("lstm-projected", 1, 4),
        ("lstm-multiplicative", 1, 4),
        ("minlstm", 0, 3),
        ("qrnn", 1, 3),
        ("t-lstm", 1, 4),
        ("conv-lstm", 1, 4),
    ]:
        biases = CATALOGUE[name](4, 6).input.bias.chunk(count)
        assert biases[position].eq(1).all(), name
        assert sum(block.abs().sum() for block in biases) == 6, name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CATALOGUE["gru-d"](7, 3), "input_size is 7; expected a multiple of three"),
        (lambda: CATALOGUE["t-lstm"](1, 3), "input_size is 1; expected two or more"),
        (lambda: CATALOGUE["cfc"](1, 3), "input_size is 1; expected two or more"),
        (lambda: CATALOGUE["slstm"](2, 6, heads=4), "4 heads do not divide 6 units"),
        (lambda: CATALOGUE["mlstm"](2, 6, heads=0), "0 heads do not divide 6 units"),
        (lambda: CATALOGUE["conv-gru"](2, 6, kernel_size=4), "kernel_size is 4; expected an odd number"),
        (lambda: CATALOGUE["echo-state"](2, 6, leak=0.0), "leak 0.0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_exponential_gates_stay_in_range_where_plain_exponentials_do_not() -> None:
    for name in ("slstm", "mlstm"):
        ys, _ = ostinato.scan(CATALOGUE[name](3, 4), 1e4 * torch.randn(50, 2, 3))
        assert ys.isfinite().all(), name


def test_a_minlstm_whose_gates_are_shut_stays_finite() -> None:
    cell = CATALOGUE["minlstm"](2, 3)
    torch.nn.init.constant_(cell.input.bias, -200.0)
    y, _ = cell(torch.randn(4, 2), torch.randn(4, 3))
    assert y.isfinite().all()
    y.sum().backward()
    assert cell.input.bias.grad.isfinite().all()


def test_a_bounded_indrnn_counts_no_weight_beyond_its_bound_and_learns_back_from_there() -> None:
    cell, plain, xs = IndRNNCell(3, 4, bound=1.0), IndRNNCell(3, 4), torch.randn(2000, 2, 3)
    plain.load_state_dict(cell.state_dict())
    with torch.no_grad():
        cell.recurrent.copy_(torch.tensor([1.5, -1.5, 0.5, 1.0]))
        plain.recurrent.copy_(torch.tensor([1.0, -1.0, 0.5, 1.0]))
    ys, _ = ostinato.scan(cell, xs)
    expected, _ = ostinato.scan(plain, xs)
    torch.testing.assert_close(ys, expected)
    ys.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(cell.recurrent.grad, plain.recurrent.grad)
    assert cell.recurrent.grad[0] > 0


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan")])
def test_a_bound_that_is_not_positive_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match="bound must be positive, but it is"):
        IndRNNCell(3, 4, bound=bound)
