"""A scan of a cell that is as it was goes the short way; after any change it gives what the eager loop gives."""

import gc

import pytest
import torch
from torch import nn

import ostinato
from ostinato.engine import leaves
from ostinato.engine.beside import Beside
from ostinato.engine.front.watch import look
from ostinato.engine.run import repeated, twins
from ostinato.engine.run.reference import scan_eagerly


def outcome(run, cell, xs, state, options):
    """Return outputs, last states and all gradients."""
    ys, last = run(cell, xs, state, **options)
    wanted = [each for each in (xs, *state, *cell.parameters()) if each.requires_grad]
    loss = ys.square().sum() + sum((place + 2) * leaf.sum() for place, leaf in enumerate(leaves(last)))
    return [ys, *leaves(last), *torch.autograd.grad(loss, wanted, allow_unused=True)]


def eagerly(cell, xs, state, lengths=None, resets=None, reverse=False):
    return scan_eagerly(cell, xs, state, lengths, reverse, resets)


def check(cell, xs, state, options):
    found, expected = (outcome(run, cell, xs, state, options) for run in (ostinato.scan, eagerly))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


@pytest.fixture
def short(monkeypatch):
    """Count the calls that go the short way."""
    counted, run = [], repeated.run_calls
    monkeypatch.setattr(repeated, "run_calls", lambda *given: counted.append(1) or run(*given))
    return counted


@pytest.mark.parametrize("kind", ["plain", "lengths", "resets", "lengths and resets"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_second_call_is_the_first_on_other_numbers(short, kind, reverse):
    torch.manual_seed(0)
    cell = ostinato.cells.LSTMCell(3, 4).double()
    for turn in range(3):
        xs = torch.randn(6, 3, 3, dtype=torch.double, requires_grad=True)
        state = tuple(torch.randn(3, 4, dtype=torch.double, requires_grad=True) for _ in range(2))
        options = {"reverse": reverse}
        if "lengths" in kind:
            options["lengths"] = torch.randint(0, 7, (3,))
        if "resets" in kind:
            options["resets"] = torch.rand(6, 3) < 0.4
        check(cell, xs, state, options)
        assert len(short) == turn
        with torch.no_grad():
            cell.recurrent.weight.mul_(0.5)


def a_wrapped_forward(cell):
    step = type(cell).forward
    cell.forward = lambda x, state: step(cell, 2 * x, state)


def another_parameter(cell):
    cell.input.weight = nn.Parameter(cell.input.weight.detach() * 2)


def other_data(cell):
    cell.input.weight.data = cell.input.weight.detach().t().contiguous().t() * 2


CHANGES = {
    "frozen": lambda cell: cell.recurrent.weight.requires_grad_(False),
    "another parameter": another_parameter,
    "data of another layout": other_data,
    "another forward": a_wrapped_forward,
    "a hook": lambda cell: cell.register_forward_pre_hook(lambda _, given: (given[0] * 2, given[1])),
    "a part replaced": lambda cell: setattr(cell, "input", nn.Linear(3, 16).double()),
    "off": None,
}


@pytest.mark.filterwarnings("ignore:LSTMCell runs in the eager loop")
@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_between_calls_is_seen(monkeypatch, short, change):
    torch.manual_seed(0)
    cell = ostinato.cells.LSTMCell(3, 4).double()
    xs = torch.randn(6, 2, 3, dtype=torch.double, requires_grad=True)
    state = tuple(torch.randn(2, 4, dtype=torch.double) for _ in range(2))
    for _ in range(2):
        check(cell, xs, state, {})
    if change == "off":
        monkeypatch.setenv("OSTINATO_ENGINE", "off")
    else:
        CHANGES[change](cell)
    check(cell, xs, state, {})
    assert len(short) == 1


@pytest.mark.parametrize("engine", ["on", "off"])
def test_resets_that_are_changed_before_the_backward_pass_count_as_they_were(monkeypatch, engine):
    monkeypatch.setenv("OSTINATO_ENGINE", engine)
    torch.manual_seed(0)
    cell, xs = ostinato.cells.GRUCell(3, 4), torch.randn(5, 2, 3, requires_grad=True)
    resets = torch.rand(5, 2) < 0.5
    expected = torch.autograd.grad(ostinato.scan(cell, xs, resets=resets)[0].sum(), xs)[0]
    ys, _ = ostinato.scan(cell, xs, resets=resets)
    resets.logical_not_()
    assert torch.equal(torch.autograd.grad(ys.sum(), xs)[0], expected)


def test_a_twin_is_looked_at_once():
    cell, table = ostinato.cells.GRUCell(3, 4), torch.randn(2, 3)
    seen = look(twins.twin_of(cell, table))
    assert look(twins.twin_of(cell, table)) is seen
    cell.recurrent = nn.Linear(4, 12)
    assert look(twins.twin_of(cell, table)) is not seen


class Sized(nn.Module):
    """A cell whose class takes cells of one size for equal."""

    def __init__(self):
        super().__init__()
        self.hidden_size, self.input = 4, nn.Linear(3, 4)

    def forward(self, x, h):
        h = torch.tanh(self.input(x) + h)
        return h, h

    def __eq__(self, other):
        return isinstance(other, Sized) and other.hidden_size == self.hidden_size

    def __hash__(self):
        return int(self.hidden_size)


def test_cells_that_are_equal_have_weights_of_their_own():
    torch.manual_seed(0)
    cells, xs, state = [Sized(), Sized()], torch.randn(5, 2, 3), torch.zeros(2, 4)
    for cell in cells * 2:
        torch.testing.assert_close(ostinato.scan(cell, xs, state)[0], eagerly(cell, xs, state)[0])


def test_what_stands_beside_an_object_is_gone_with_it():
    table, cells = Beside(), [Sized() for _ in range(3)]
    for place, cell in enumerate(cells):
        assert table.setdefault(cell, -1) == -1
        table[cell] = place
    assert [table[cell] for cell in cells] == [0, 1, 2]
    table.pop(cells[0])
    assert cells[0] not in table
    del cell, cells[1:]
    gc.collect()
    assert len(table) == 0


@pytest.mark.parametrize("make", [ostinato.cells.GRUCell, ostinato.nn.GRU])
def test_a_call_after_one_under_autocast_is_in_float32_again(monkeypatch, make):
    monkeypatch.setenv("OSTINATO_BF16", "on")
    torch.manual_seed(0)
    cell, xs = make(3, 4), torch.randn(5, 2, 3)

    def outputs():
        return cell(xs)[0] if isinstance(cell, nn.RNNBase) else ostinato.scan(cell, xs)[0]

    before = [outputs() for _ in range(2)]
    with torch.autocast("cpu", torch.bfloat16):
        halves = [outputs() for _ in range(3)]
    after = [outputs() for _ in range(3)]
    assert not any(torch.equal(each.float(), before[0]) for each in halves)
    assert all(torch.equal(each, before[0]) for each in (*before, *after))
