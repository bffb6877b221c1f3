"""Stacks of layers against torch.nn's, and steppers against whole sequences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ostinato
from ostinato.errors import ShapeError, UsageError
from ostinato.nn import Recurrent


def _stack(layer: nn.RNNBase, cell: type[nn.Module]) -> Recurrent:
    """Return our stack with the weights of torch's layer."""
    ours = Recurrent(cell(layer.input_size, layer.hidden_size), layer.num_layers, bidirectional=layer.bidirectional)
    ways = ["", "_reverse"] if layer.bidirectional else [""]
    suffixes = [f"_l{index}{way}" for index in range(layer.num_layers) for way in ways]
    for own, suffix in zip(ours.cells, suffixes, strict=True):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        own.load_state_dict({name: layer.state_dict()[name + suffix] for name in names})
    return ours


@settings(max_examples=25, deadline=None)
@given(
    layers=st.integers(1, 3),
    both=st.booleans(),
    lstm=st.booleans(),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
)
@pytest.mark.slow
@pytest.mark.ci
def test_stacks_give_what_torch_gives_on_packed_sequences(layers, both, lstm, lengths) -> None:
    peer = (nn.LSTM if lstm else nn.GRU)(3, 4, layers, bidirectional=both)
    ours = _stack(peer, nn.LSTMCell if lstm else nn.GRUCell)
    xs = torch.randn(max(lengths), len(lengths), 3)
    packed = nn.utils.rnn.pack_padded_sequence(xs, torch.tensor(lengths), enforce_sorted=False)
    expected, last = peer(packed)
    ys, states = ours(xs, lengths=torch.tensor(lengths))
    torch.testing.assert_close(ys, nn.utils.rnn.pad_packed_sequence(expected)[0])
    hidden = torch.stack([state[0] if lstm else state for state in states])
    torch.testing.assert_close(hidden, last[0] if lstm else last)


def test_dropout_acts_between_layers_in_training_only() -> None:
    layer = Recurrent(ostinato.cells.GRUCell(3, 8), 2, dropout=0.5)
    xs = torch.randn(5, 2, 3)
    assert not torch.equal(layer(xs)[0], layer(xs)[0])
    layer.eval()
    assert torch.equal(layer(xs)[0], layer(xs)[0])


def test_a_cell_given_as_a_function_is_made_for_each_layer() -> None:
    layer = Recurrent(lambda size: nn.GRUCell(size, 4), 2, input_size=3, bidirectional=True, batch_first=True)
    assert [cell.input_size for cell in layer.cells] == [3, 3, 8, 8]
    assert layer(torch.randn(2, 7, 3))[0].shape == (2, 7, 8)


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.slow
@pytest.mark.ci
def test_a_stepper_gives_the_numbers_of_the_whole_sequence(name, layers) -> None:
    layer = Recurrent(ostinato.cells.CATALOGUE[name](3, 5), layers, dropout=0.3)
    xs = torch.randn(12, 2, 3)
    expected = layer.eval()(xs)[0].detach().numpy()
    layer.train()
    step = ostinato.stepper(layer, batch_size=2)
    for x, y in zip(xs.numpy(), expected, strict=True):
        np.testing.assert_allclose(step(x), y, atol=1e-6)
    assert layer.training


def test_a_stepper_goes_on_from_a_saved_state_and_starts_again() -> None:
    step = ostinato.stepper(nn.LSTMCell(3, 5))
    rows = np.random.default_rng(0).normal(size=(6, 3))
    outputs = []
    for i, row in enumerate(rows):
        if i == 3:
            saved = step.state()
        outputs.append(step(row))
    other = ostinato.stepper(step.module)
    other.restore(saved)
    np.testing.assert_array_equal([other(row) for row in rows[3:]], outputs[3:])
    step.reset()
    np.testing.assert_array_equal(step(rows[0]), outputs[0])


def test_what_cannot_be_stepped_or_stacked_is_refused_in_a_sentence() -> None:
    class Bare(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.linear = nn.Linear(width, width)

        def forward(self, x, state):
            return state + self.linear(x), state

    with pytest.raises(UsageError, match="bidirectional layer cannot run step by step"):
        ostinato.stepper(Recurrent(nn.GRUCell(3, 5), bidirectional=True))
    with pytest.raises(UsageError, match='does not keep its argument "width".*pass a function instead'):
        Recurrent(Bare(3), 2, input_size=3)
    with pytest.raises(UsageError, match="num_layers is 0"):
        Recurrent(nn.GRUCell(3, 5), 0)
    with pytest.raises(ShapeError, match=r"x has shape \(3, 3\); expected \(batch, features\) with a batch of 2"):
        ostinato.stepper(nn.GRUCell(3, 5), batch_size=2)(np.zeros((3, 3)))
    with pytest.raises(UsageError, match="expected a tuple of 2 states"):
        Recurrent(nn.GRUCell(3, 5), 2)(torch.zeros(4, 1, 3), (torch.zeros(1, 5),))
