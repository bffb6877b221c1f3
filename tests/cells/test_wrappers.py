"""Zoneout, recurrent dropout and residual around cells of several kinds of state."""

import copy

import pytest
import torch

import ostinato
from ostinato.cells import CATALOGUE, LSTMCell, RecurrentDropout, Residual, Zoneout
from ostinato.engine import initial_state
from samples import leaves, steps

SIZE = 6
INNER = ["rnn", "lstm", "qrnn", "slstm", "mlstm", "lem"]
CELLS = pytest.mark.parametrize("name", INNER)
WRAPPERS = pytest.mark.parametrize("wrap", [Zoneout, RecurrentDropout, Residual])


@CELLS
@WRAPPERS
@torch.no_grad()
def test_a_wrapped_cell_is_a_cell(name: str, wrap) -> None:
    cell = wrap(CATALOGUE[name](SIZE, SIZE)).eval()
    xs = steps(name, 7, 3, SIZE)
    lengths = torch.tensor([4, 7, 1])
    ys, last = ostinato.scan(cell, xs, lengths=lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, end = ostinato.scan(cell, xs[:length, row : row + 1])
        torch.testing.assert_close(ys[:length, row], alone[:, 0])
        for mine, theirs in zip(leaves(last), leaves(end), strict=True):
            torch.testing.assert_close(mine[row], theirs[0])
    assert (cell.input_size, cell.hidden_size) == (SIZE, SIZE)
    twin = copy.deepcopy(cell)
    assert torch.equal(ostinato.scan(twin, xs, lengths=lengths)[0], ys)


@CELLS
@torch.no_grad()
@pytest.mark.slow
@pytest.mark.ci
def test_no_rate_is_no_change(name: str) -> None:
    cell, xs = CATALOGUE[name](SIZE, SIZE), steps(name, 5, 2, SIZE)
    expected, _ = ostinato.scan(cell, xs)
    assert torch.equal(ostinato.scan(Zoneout(cell, 0.0), xs)[0], expected)
    assert torch.equal(ostinato.scan(RecurrentDropout(cell, 0.0), xs)[0], expected)


def test_zoneout_keeps_the_stated_share_of_units() -> None:
    cell = Zoneout(LSTMCell(3, 2000), rate=(0.05, 0.5))
    x, state = torch.randn(4, 3), (torch.randn(4, 2000), torch.randn(4, 2000))
    y, new = cell(x, state)
    _, fresh = cell.cell(x, state)
    for old, mine, theirs, rate in zip(state, new, fresh, (0.05, 0.5), strict=True):
        kept = mine == old
        assert abs(kept.float().mean() - rate) < 0.02
        assert torch.equal(mine[~kept], theirs[~kept])
    assert y is new[0]


def test_zoneout_in_evaluation_is_the_mean_of_training() -> None:
    cell = Zoneout(LSTMCell(3, 4), rate=(0.2, 0.5)).double()
    x = torch.randn(1, 3, dtype=torch.double).expand(40000, 3)
    state = tuple(torch.randn(1, 4, dtype=torch.double).expand(40000, 4) for _ in range(2))
    means = [leaf.mean(0) for leaf in cell(x, state)[1]]
    expected = [leaf[0] for leaf in cell.eval()(x, state)[1]]
    torch.testing.assert_close(means, expected, atol=0.02, rtol=0)


def test_recurrent_dropout_holds_one_mask_for_a_sequence() -> None:
    cell = RecurrentDropout(LSTMCell(3, 500), rate=0.3)
    xs = torch.randn(6, 2, 3)
    inner, mask = initial_state(cell, xs[0])
    assert abs((mask == 0).float().mean() - 0.3) < 0.05
    assert mask.max() == pytest.approx(1 / 0.7)
    ys, (_, after) = ostinato.scan(cell, xs, (inner, mask))
    assert torch.equal(after, mask)
    h, c = inner
    for x, y in zip(xs, ys, strict=True):
        h, c = cell.cell(x, (h * mask, c))[1]
        torch.testing.assert_close(y, h)


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.ci
def test_recurrent_dropout_draws_anew_for_each_sequence_and_rests_in_evaluation() -> None:
    cell, xs = RecurrentDropout(LSTMCell(3, 50)), torch.randn(4, 2, 3)
    assert not torch.equal(ostinato.scan(cell, xs)[0], ostinato.scan(cell, xs)[0])
    cell.eval()
    assert torch.equal(ostinato.scan(cell, xs)[0], ostinato.scan(cell.cell, xs)[0])


@pytest.mark.parametrize("peer", [torch.nn.GRUCell, torch.nn.LSTMCell])
@WRAPPERS
@torch.no_grad()
def test_a_cell_of_torch_is_wrapped_as_it_is(peer, wrap) -> None:
    """With two rows: a GRU's new state must not be taken for a pair."""
    cell, xs = peer(SIZE, SIZE), torch.randn(5, 2, SIZE)
    wrapped = wrap(cell) if wrap is Residual else wrap(cell, 0.0)
    expected = ostinato.scan(cell, xs)[0]
    torch.testing.assert_close(ostinato.scan(wrapped, xs)[0], xs + expected if wrap is Residual else expected)


@pytest.mark.slow
@pytest.mark.ci
def test_wrappers_nest() -> None:
    cell = Residual(Zoneout(RecurrentDropout(CATALOGUE["slstm"](5, 5)), 0.0))
    xs = torch.randn(4, 2, 5)
    ys, _ = ostinato.scan(cell.eval(), xs)
    torch.testing.assert_close(ys, xs + ostinato.scan(cell.cell.cell.cell, xs)[0])


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: Zoneout(LSTMCell(2, 2), 1.5), "rate is 1.5; expected a probability"),
        (lambda: RecurrentDropout(LSTMCell(2, 2), 1.0), "rate is 1; expected less"),
        (lambda: ostinato.scan(Residual(LSTMCell(2, 3)), torch.zeros(1, 1, 2)), r"output has shape \(1, 3\)"),
        (
            lambda: Zoneout(LSTMCell(2, 2), (0.1,))(torch.zeros(1, 2), (torch.zeros(1, 2),) * 2),
            "rate has 1 numbers; expected one, or 2",
        ),
    ],
)
def test_what_does_not_fit_is_refused(run, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run()
