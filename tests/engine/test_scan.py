"""`scan` against torch.nn's layers and against the sequences taken one by one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ostinato
from ostinato.cells import CATALOGUE
from ostinato.errors import ShapeError, UsageError


class LayerNormLSTM(nn.Module):
    """A user's cell: it keeps nothing that would say how large its state is."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.norm, self.cell_norm = nn.LayerNorm(4 * hidden_size), nn.LayerNorm(hidden_size)

    def forward(self, x, state):
        h, c = state
        i, f, g, o = self.norm(self.input(x) + self.recurrent(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * self.cell_norm(c).tanh()
        return h, (h, c)


class Running(nn.Module):
    """A projected state: the output is narrower than the state."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Linear(3, 6)
        self.out = nn.Linear(6, 2)

    def forward(self, x, state):
        state = 0.5 * state + self.weight(x)
        return self.out(state), state


MAKERS = [
    lambda: CATALOGUE["rnn"](3, 5),
    lambda: CATALOGUE["lstm"](3, 5),
    lambda: CATALOGUE["gru"](3, 5),
    lambda: nn.LSTMCell(3, 5),
    lambda: nn.GRUCell(3, 5),
    lambda: nn.RNNCell(3, 5),
    lambda: LayerNormLSTM(3, 5),
    Running,
]


def _leaves(state):
    return [state] if isinstance(state, torch.Tensor) else [leaf for part in state for leaf in _leaves(part)]


@pytest.mark.parametrize(("cell", "layer"), [(nn.GRUCell, nn.GRU), (nn.LSTMCell, nn.LSTM), (nn.RNNCell, nn.RNN)])
def test_torch_cells_unchanged_give_what_torch_layers_give(cell, layer) -> None:
    layer, cell = layer(3, 5), cell(3, 5)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    xs = torch.randn(9, 4, 3)
    ys, last = ostinato.scan(cell, xs)
    expected, expected_last = layer(xs)
    torch.testing.assert_close(ys, expected)
    for ours, theirs in zip(_leaves(last), _leaves(expected_last), strict=True):
        torch.testing.assert_close(ours, theirs[0])


@settings(max_examples=40, deadline=None)
@given(data=st.data(), make=st.sampled_from(MAKERS), reverse=st.booleans(), batch_first=st.booleans())
@pytest.mark.slow
@pytest.mark.ci
def test_a_padded_batch_gives_what_its_sequences_give_one_by_one(data, make, reverse, batch_first) -> None:
    time, batch = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 4))
    lengths = torch.tensor(data.draw(st.lists(st.integers(0, time), min_size=batch, max_size=batch)))
    cell = make().double()
    xs = torch.randn(time, batch, 3, dtype=torch.double)
    # whatever stands in the padding must not matter, not even NaN
    padded = xs.masked_fill((torch.arange(time)[:, None] >= lengths)[..., None], float("nan")).requires_grad_()
    given_xs = padded.transpose(0, 1) if batch_first else padded
    ys, last = ostinato.scan(cell, given_xs, lengths=lengths, reverse=reverse, batch_first=batch_first)
    ys = ys.transpose(0, 1) if batch_first else ys
    gradient = torch.autograd.grad(ys.sum(), padded)[0]
    for row, length in enumerate(lengths.tolist()):
        assert ys[length:, row].eq(0).all()
        assert gradient[length:, row].eq(0).all()
        if length == 0:
            assert all(leaf[row].eq(0).all() for leaf in _leaves(last))
            continue
        alone = xs[:length, row : row + 1].clone().requires_grad_()
        walked = alone.flip(0) if reverse else alone
        expected, expected_last = ostinato.scan(cell, walked)
        torch.testing.assert_close(ys[:length, row], (expected.flip(0) if reverse else expected)[:, 0])
        for ours, theirs in zip(_leaves(last), _leaves(expected_last), strict=True):
            torch.testing.assert_close(ours[row], theirs[0])
        torch.testing.assert_close(gradient[:length, row], torch.autograd.grad(expected.sum(), alone)[0][:, 0])


@pytest.mark.parametrize("make", MAKERS)
def test_chunks_that_hand_on_their_state_equal_one_call(make) -> None:
    cell, xs = make(), torch.randn(10, 2, 3)
    whole, last = ostinato.scan(cell, xs)
    first, state = ostinato.scan(cell, xs[:4])
    second, end = ostinato.scan(cell, xs[4:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(_leaves(end), _leaves(last))


def test_no_steps_give_no_outputs_and_the_initial_state() -> None:
    state = torch.randn(2, 6)
    ys, last = ostinato.scan(Running(), torch.randn(0, 2, 3), state)
    assert ys.shape == (0, 2, 2)
    assert last is state
    assert ostinato.scan(Running(), torch.randn(4, 0, 3))[0].shape == (4, 0, 2)
    assert ostinato.scan(Running(), torch.randn(4, 0, 3), lengths=[])[0].shape == (4, 0, 2)


def test_finding_the_state_leaves_modes_and_random_numbers_alone() -> None:
    cell = nn.GRUCell(3, 5).train()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    ostinato.engine.initial_state(cell, torch.randn(2, 3, generator=torch.Generator()))
    assert torch.rand(1) == expected
    assert cell.training


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"xs": torch.randn(4, 3)}, r"xs has shape \(4, 3\); expected three dimensions"),
        ({"lengths": torch.tensor([1, 2])}, r"lengths has shape \(2,\).*one for each row of xs"),
        ({"lengths": torch.tensor([1, 2, 9])}, r"lengths run from 1 to 9; expected 0 to 4"),
        ({"lengths": torch.tensor([1.0, 2, 3])}, r"expected whole numbers"),
        ({"state": torch.randn(2, 5)}, r"first dimension must be the batch, 3 rows"),
    ],
)
def test_shapes_that_do_not_fit_are_named(arguments, sentence) -> None:
    with pytest.raises(ShapeError, match=sentence):
        ostinato.scan(nn.GRUCell(3, 5), **{"xs": torch.randn(4, 3, 3), **arguments})


def test_a_cell_that_breaks_the_contract_is_named() -> None:
    class Broken(nn.Module):
        def forward(self, x, state):
            return x, x, state

    with pytest.raises(UsageError, match=r"Broken returned .* must return \(output, new_state\)"):
        ostinato.scan(Broken(), torch.randn(4, 3, 3), torch.zeros(3, 5))
    with pytest.raises(UsageError, match="initial state of Broken could not be found"):
        ostinato.scan(Broken(), torch.randn(4, 3, 3))
