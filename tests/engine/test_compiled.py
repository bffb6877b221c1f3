"""The compiled engine against the eager loop, which is its oracle, and against the laws that it promises."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_cells import RandomCell
from test_scan import LayerNormLSTM
from torch import nn
from torch.nn import functional as F

import ostinato
from ostinato.engine.backends.cpu import executable, launch
from ostinato.engine.front import watch
from ostinato.engine.front.state import initial_state, leaves
from ostinato.engine.run.reference import scan_eagerly

pytestmark = pytest.mark.filterwarnings("error::ostinato.errors.EngineWarning")


class SLSTM(nn.Module):
    """Exponential gates with a stabiliser and block-diagonal recurrence (M. Beck et al., 2024)."""

    def __init__(self, input_size, hidden_size, heads=4):
        super().__init__()
        self.heads = heads
        self.input = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent = nn.Parameter(torch.randn(4, heads, hidden_size // heads, hidden_size // heads) * 0.2)

    def forward(self, x, state):
        h, c, n, m = state
        rows = h.view(h.shape[0], self.heads, -1)
        recurrent = torch.einsum("bhi,ghij->bghj", rows, self.recurrent).reshape(h.shape[0], -1)
        i, f, z, o = (self.input(x) + recurrent).chunk(4, -1)
        top = torch.maximum(F.logsigmoid(f) + m, i)
        i, f = torch.exp(i - top), torch.exp(F.logsigmoid(f) + m - top)
        c, n = f * c + i * z.tanh(), f * n + i
        h = o.sigmoid() * c / n.clamp(min=1e-6)
        return h, (h, c, n, top)


class Masked(nn.Module):
    """A mask of dropout that lasts, one row for each sequence: a plain tensor of the cell."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.cell = nn.GRUCell(input_size, hidden_size)
        self.mask = None

    def forward(self, x, h):
        h = self.cell(x, h * self.mask)
        return h, h


MAKERS = {
    "gru": lambda: nn.GRUCell(5, 20),
    "lstm": lambda: nn.LSTMCell(5, 20),
    "relu": lambda: nn.RNNCell(5, 20, nonlinearity="relu"),
    "own lstm": lambda: ostinato.cells.LSTMCell(5, 20),
    "layer-norm lstm": lambda: LayerNormLSTM(5, 20),
    "slstm": lambda: SLSTM(5, 20),
}


@functools.cache
def made(name, dtype):
    """Return one cell for all examples of a kind: making its plan takes longer than an example."""
    return MAKERS[name]().to(dtype)


def start(cell, x, *, random=True):
    zeros = (
        initial_state(cell, x[0])
        if not isinstance(cell, SLSTM)
        else tuple(x.new_zeros(x.shape[1], 20) for _ in range(4))
    )
    if not random:
        return zeros
    parts = [(torch.randn_like(leaf) * 0.5).requires_grad_() for leaf in leaves(zeros)]
    if isinstance(cell, SLSTM):
        parts[2] = (parts[2].detach().abs() + 0.5).requires_grad_()
    return parts[0] if len(parts) == 1 else tuple(parts)


def outputs(result):
    return [result[0], *leaves(result[1])]


def assert_equal_to_eager(cell, x, state, **options):
    """Compare outputs, last states and all gradients."""
    lengths, reverse, resets = (options.get(name) for name in ("lengths", "reverse", "resets"))
    ours = outputs(ostinato.scan(cell, x, state, **options))
    eager = outputs(scan_eagerly(cell, x, state, lengths, bool(reverse), resets))
    tight = {"rtol": 1e-9, "atol": 1e-11} if x.dtype is torch.double else {"rtol": 2e-5, "atol": 2e-6}
    weights = [torch.randn_like(out) for out in ours]
    inputs = [part for part in [*cell.parameters(), x, *leaves(state)] if part.requires_grad]
    grads = [
        torch.autograd.grad(sum((a * b).sum() for a, b in zip(run, weights, strict=True)), inputs, allow_unused=True)
        for run in (ours, eager)
    ]
    for mine, theirs in zip(ours, eager, strict=True):
        torch.testing.assert_close(mine, theirs, **tight)
    for mine, theirs, of in zip(*grads, inputs, strict=True):
        zero = torch.zeros_like(of)
        wide = {"rtol": 1e-7, "atol": 1e-9} if x.dtype is torch.double else {"rtol": 1e-3, "atol": 1e-4}
        torch.testing.assert_close(zero if mine is None else mine, zero if theirs is None else theirs, **wide)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(MAKERS)), reverse=st.booleans(), double=st.booleans())
@pytest.mark.slow
@pytest.mark.ci
def test_every_cell_gives_what_the_eager_loop_gives(data, name, reverse, double) -> None:
    time, batch = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 9))
    lengths = data.draw(st.none() | st.lists(st.integers(0, time), min_size=batch, max_size=batch).map(torch.tensor))
    resets = data.draw(st.none() | st.just(torch.rand(time, batch) < 0.3))
    cell = made(name, torch.double if double else torch.float)
    x = torch.randn(time, batch, 5, dtype=torch.double if double else torch.float, requires_grad=True)
    assert_equal_to_eager(cell, x, start(cell, x), lengths=lengths, reverse=reverse, resets=resets)


def compare_random_cell(seed) -> None:
    torch.manual_seed(seed)
    cell = RandomCell(seed).double()
    time, batch = int(torch.randint(1, 6, ())), int(torch.randint(1, 8, ()))
    x = torch.randn(time, batch, cell.input_size, dtype=torch.double, requires_grad=True)
    lengths = torch.randint(0, time + 1, (batch,)) if seed % 2 else None
    resets = torch.rand(time, batch) < 0.3 if seed % 5 == 0 else None
    for outside in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if outside:
                take_work_out(patch)
            assert_equal_to_eager(cell, x, start(cell, x), lengths=lengths, reverse=seed % 3 == 0, resets=resets)


def take_work_out(patch) -> None:
    """Take work out of the loop for every batch, as else for one row and much work."""
    patch.setattr(executable, "_FEW_ROWS", 1000)
    patch.setattr(executable, "_WORTH", 0)
    patch.setattr(executable, "_WORTH_MORE", 0)
    for _, seen in watch._looks._found.values():  # what calls before have found
        seen.arranged.clear()


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.slow
@pytest.mark.ci
def test_random_cells_give_what_the_eager_loop_gives_with_work_in_and_out_of_the_loop(seed) -> None:
    compare_random_cell(seed)


@pytest.mark.parametrize("name", [*sorted(MAKERS), "mingru", "lru"])
@pytest.mark.slow
@pytest.mark.ci
def test_work_taken_out_of_the_loop_gives_the_same_bits(monkeypatch, name) -> None:
    cell = MAKERS[name]() if name in MAKERS else ostinato.cells.CATALOGUE[name](5, 20)
    x = torch.randn(300, 3, 5, requires_grad=True)
    state = start(cell, x, random=False)
    inside = ostinato.scan(cell, x, state)[0]
    grads = torch.autograd.grad(inside.sum(), [x, *cell.parameters()], allow_unused=True)
    take_work_out(monkeypatch)
    out = ostinato.scan(cell, x, state)[0]
    assert torch.equal(out, inside)
    for a, b in zip(torch.autograd.grad(out.sum(), [x, *cell.parameters()], allow_unused=True), grads, strict=True):
        assert (a is None and b is None) or torch.equal(a, b)


@pytest.mark.slow
@pytest.mark.ci
def test_a_single_row_may_end_before_its_tensor_does(monkeypatch) -> None:
    monkeypatch.setattr(executable, "_WORTH", 0)
    monkeypatch.setattr(executable, "_WORTH_MORE", 0)
    cell = ostinato.cells.MinGRUCell(5, 8).double()
    xs = torch.randn(12, 1, 5, dtype=torch.double, requires_grad=True)
    ys, last = ostinato.scan(cell, xs, lengths=torch.tensor([7]))
    short, end = ostinato.scan(cell, xs[:7])
    assert torch.equal(ys[:7], short)
    assert torch.equal(last, end)
    assert (ys[7:] == 0).all()
    wanted = [xs, *cell.parameters()]
    found, expected = (torch.autograd.grad(part.square().sum(), wanted) for part in (ys, short))
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.ci
def test_a_hundred_thousand_steps_in_one_call() -> None:
    torch.manual_seed(0)
    cell = ostinato.cells.CATALOGUE["mingru"](3, 8).double()
    x = torch.randn(100_000, 1, 3, dtype=torch.double, requires_grad=True)
    ys, last = ostinato.scan(cell, x)
    weight = torch.randn(1, 8, dtype=torch.double)
    (grad,) = torch.autograd.grad((ys[-1] * weight).sum(), x)
    # the same from the last 2,000 steps on: before that, nothing of a gradient is left
    _, middle = ostinato.scan(cell, x[:-2000].detach())
    tail = x[-2000:].detach().requires_grad_()
    short, end = scan_eagerly(cell, tail, middle, None, False)
    torch.testing.assert_close(short, ys[-2000:])
    torch.testing.assert_close(torch.autograd.grad((short[-1] * weight).sum(), tail)[0], grad[-2000:])
    torch.testing.assert_close(leaves(end), leaves(last))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 1300, 20))
def test_many_random_cells_give_what_the_eager_loop_gives(first) -> None:
    for seed in range(first, first + 20):
        compare_random_cell(seed)


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_gradients_are_right_to_finite_differences(name) -> None:
    cell = MAKERS[name]().double()
    x = torch.randn(3, 2, 5, dtype=torch.double, requires_grad=True)
    state = start(cell, x)
    parts = [x, *leaves(state), *cell.parameters()]
    count = len(leaves(state))

    def run(*tensors):
        given = tensors[1] if count == 1 else tuple(tensors[1 : 1 + count])
        return tuple(outputs(ostinato.scan(cell, tensors[0], given)))

    assert torch.autograd.gradcheck(run, parts, fast_mode=True)


@pytest.mark.parametrize("name", ["gru", "lstm"])
@pytest.mark.slow
@pytest.mark.ci
def test_second_derivatives_go_through_the_eager_loop_and_are_right(name) -> None:
    cell = MAKERS[name]().double()
    x = torch.randn(3, 2, 5, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: ostinato.scan(cell, x)[0], [x], fast_mode=True)


@pytest.mark.parametrize("name", sorted(MAKERS))
@pytest.mark.slow
@pytest.mark.ci
def test_a_row_has_the_same_bits_alone_in_a_batch_in_chunks_and_on_two_threads(monkeypatch, name) -> None:
    monkeypatch.setattr(launch, "SMALL", 0)
    cell = MAKERS[name]()
    x = torch.randn(50, 37, 5)
    state = tuple(leaf.detach() for leaf in start(cell, x)) if name not in ("gru", "relu") else start(cell, x).detach()
    rows = lambda index: state[index] if isinstance(state, torch.Tensor) else tuple(s[index] for s in state)  # noqa: E731
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        whole, last = ostinato.scan(cell, x, state)
        torch.set_num_threads(2)
        threaded, _ = ostinato.scan(cell, x, state)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(whole, threaded)
    for index in (slice(0, 1), slice(3, 4), slice(5, 12), slice(30, 37)):
        assert torch.equal(ostinato.scan(cell, x[:, index], rows(index))[0], whole[:, index])
    first, middle = ostinato.scan(cell, x[:13], state)
    second, end = ostinato.scan(cell, x[13:], middle)
    assert torch.equal(torch.cat([first, second]), whole)
    assert all(torch.equal(a, b) for a, b in zip(leaves(end), leaves(last), strict=True))
    with torch.enable_grad():
        trained, _ = ostinato.scan(cell, x.clone().requires_grad_(), state)
    assert torch.equal(trained, whole)
    stepper = ostinato.stepper(cell)
    stepper.restore(tuple(s[:1].numpy() for s in state) if isinstance(state, tuple) else state[:1].numpy())
    streamed = torch.stack([torch.from_numpy(stepper(row[:1].numpy())) for row in x])
    assert torch.equal(streamed, whole[:, :1])


@pytest.mark.slow
@pytest.mark.ci
def test_all_states_are_returned_on_request() -> None:
    cell, x = nn.LSTMCell(5, 20), torch.randn(6, 3, 5)
    lengths = torch.tensor([6, 2, 0])
    ys, last, (hs, cs) = ostinato.scan(cell, x, lengths=lengths, return_states=True)
    again, _ = ostinato.scan(cell, x, lengths=lengths)
    assert torch.equal(ys, again)
    assert torch.equal(hs, ys)
    assert torch.equal(cs[1, 1], last[1][1])
    assert cs[2:, 1].eq(0).all()
    first = ostinato.scan(cell, x.transpose(0, 1), lengths=lengths, return_states=True, batch_first=True)
    assert torch.equal(first[2][1], cs.transpose(0, 1))


@pytest.mark.parametrize("lengths", [None, [4, 2, 0]])
def test_states_of_all_steps_may_be_one_number_a_row(lengths):
    class Counting(nn.Module):
        """What it gives, and a part of its state, is one number a row."""

        def initial_state(self, x):
            return x.new_zeros(x.shape[0], 2), x.new_ones(x.shape[0])

        def forward(self, x, state):
            h, count = state
            h = (h + x * count[:, None].cos()).tanh()
            return h.sum(-1), (h, count + h.mean(-1))

    cell, x = Counting(), torch.randn(4, 3, 2, requires_grad=True)
    found = []
    for _ in range(2):  # the second call goes a shorter way
        ys, last, (h, count) = ostinato.scan(cell, x, lengths=lengths, return_states=True)
        found.append([ys, *last, h, count, *torch.autograd.grad(ys.sum() + count.square().sum(), x)])
    numbers = None if lengths is None else torch.tensor(lengths)
    ys, last = scan_eagerly(cell, x, cell.initial_state(x[0]), numbers, False)
    assert found[0][0].shape == found[0][4].shape == (4, 3)
    torch.testing.assert_close(found[0][:3], [ys, *last])
    torch.testing.assert_close(found[1], found[0])
    for row, length in enumerate(lengths or [4, 4, 4]):
        if length:
            torch.testing.assert_close(found[0][4][length - 1, row], last[1][row])


def test_inputs_may_lie_anyhow_in_memory() -> None:
    cell = LayerNormLSTM(5, 20)
    x = torch.randn(7, 4, 10)[..., ::2]
    torch.testing.assert_close(ostinato.scan(cell, x)[0], ostinato.scan(cell, x.contiguous())[0])
    other = torch.randn(4, 7, 5)
    swapped, _ = ostinato.scan(cell, other, batch_first=True)
    torch.testing.assert_close(swapped, ostinato.scan(cell, other.transpose(0, 1).contiguous())[0].transpose(0, 1))


def test_weights_that_a_parametrisation_makes_get_their_gradients() -> None:
    cell = nn.utils.parametrizations.weight_norm(nn.GRUCell(5, 20).double(), "weight_hh")
    x = torch.randn(4, 3, 5, dtype=torch.double, requires_grad=True)
    assert_equal_to_eager(cell, x, start(cell, x))


class _Shared(nn.Module):
    """One layer under two names, one tensor in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = self.first
        self.third = nn.Linear(6, 6)
        self.third.weight = self.first.weight

    def forward(self, x, h):
        h = torch.tanh(self.first(x) + self.second(h) + self.third(h))
        return h, h


def test_shared_modules_and_weights_stay_as_they_are_and_add_up_their_gradients() -> None:
    cell = _Shared().double()
    before = {name: id(tensor) for name, tensor in cell.named_parameters(remove_duplicate=False)}
    xs, state = torch.randn(5, 3, 6, dtype=torch.double), torch.zeros(3, 6, dtype=torch.double)
    assert ostinato.explain(cell, xs.shape, state).compiled
    assert {name: id(tensor) for name, tensor in cell.named_parameters(remove_duplicate=False)} == before
    ours, _ = ostinato.scan(cell, xs, state)
    theirs, _ = scan_eagerly(cell, xs, state, None, False)
    wanted = list(cell.parameters())
    found = [torch.autograd.grad(ys.square().sum(), wanted) for ys in (ours, theirs)]
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("lengths", [False, True])
def test_many_rows_are_shared_out(monkeypatch, lengths) -> None:
    monkeypatch.setattr(launch, "SMALL", 0)
    cell, x = LayerNormLSTM(5, 20), torch.randn(4, 300, 5)
    limits = torch.randint(0, 5, (300,)) if lengths else None
    ys, last = ostinato.scan(cell, x, lengths=limits)
    expected, end = scan_eagerly(cell, x, (torch.zeros(300, 20),) * 2, limits, False)
    torch.testing.assert_close(ys, expected)
    torch.testing.assert_close(leaves(last), leaves(end))


@pytest.mark.slow
@pytest.mark.ci
def test_a_mask_with_one_row_for_each_sequence_is_followed() -> None:
    cell = Masked(5, 20).double()
    for batch in (3, 20, 6):
        cell.mask = (torch.rand(batch, 20) < 0.5).double()
        x = torch.randn(6, batch, 5, dtype=torch.double, requires_grad=True)
        assert_equal_to_eager(cell, x, torch.randn(batch, 20, dtype=torch.double, requires_grad=True))


def test_infinities_and_nan_go_where_pytorch_lets_them_go() -> None:
    cell = nn.GRUCell(3, 8)
    x = torch.randn(4, 3, 3)
    x[1, 0, 0], x[2, 1, 1] = float("nan"), float("inf")
    ys, _ = ostinato.scan(cell, x)
    expected, _ = scan_eagerly(cell, x, torch.zeros(3, 8), None, False)
    torch.testing.assert_close(ys, expected, equal_nan=True)
