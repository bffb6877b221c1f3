"""The compiled engine against the eager loop, which is its oracle, and against the laws that it promises."""

import functools
import gc
import inspect
import os
import threading
import warnings
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_cells import RandomCell
from test_scan import LayerNormLSTM
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

import ostinato
from ostinato.engine.backends.cpu import executable, launch, memory
from ostinato.engine.front import watch
from ostinato.engine.front.state import initial_state, leaves
from ostinato.engine.run import compiled
from ostinato.engine.run.reference import scan_eagerly
from ostinato.errors import EngineWarning

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


class Dropped(nn.Module):
    """Recurrent dropout and zoneout with fresh numbers at every step."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.cell = nn.RNNCell(input_size, hidden_size)
        self.hidden_size = hidden_size

    def forward(self, x, h):
        new = self.cell(x, F.dropout(h, 0.4, self.training))
        kept = torch.bernoulli(torch.full_like(h, 0.3)) if self.training else 0.3
        h = kept * h + (1 - kept) * new
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
    for seen in watch._looks.values():  # what calls before have found
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


def test_inputs_may_lie_anyhow_in_memory() -> None:
    cell = LayerNormLSTM(5, 20)
    x = torch.randn(7, 4, 10)[..., ::2]
    torch.testing.assert_close(ostinato.scan(cell, x)[0], ostinato.scan(cell, x.contiguous())[0])
    other = torch.randn(4, 7, 5)
    swapped, _ = ostinato.scan(cell, other, batch_first=True)
    torch.testing.assert_close(swapped, ostinato.scan(cell, other.transpose(0, 1).contiguous())[0].transpose(0, 1))


def test_inference_keeps_nothing_and_training_may_outlive_the_cell() -> None:
    cell, x = nn.GRUCell(5, 20), torch.randn(4, 3, 5)
    with torch.inference_mode():
        assert ostinato.scan(cell, x)[0].is_inference()
    with torch.no_grad():
        assert ostinato.scan(cell, x)[0].grad_fn is None
    weight, gone = cell.weight_hh, weakref.ref(cell)
    ys, _ = ostinato.scan(cell, x)
    del cell
    gc.collect()
    assert gone() is None
    ys.sum().backward()
    assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize("reverse", [False, True])
def test_outputs_that_are_kept_for_gradients_are_guarded_against_changes_in_place(monkeypatch, reverse) -> None:
    cell = nn.GRUCell(3, 5)
    xs = torch.randn(7, 2, 3)
    ys, _ = ostinato.scan(cell, xs, reverse=reverse)
    expected = torch.autograd.grad((ys * 2).square().sum(), cell.weight_hh)
    ys, _ = ostinato.scan(cell, xs, reverse=reverse)
    ys.mul_(2)  # a quick call keeps its outputs apart
    torch.testing.assert_close(torch.autograd.grad(ys.square().sum(), cell.weight_hh), expected)
    monkeypatch.setattr(compiled, "scan_quickly", lambda *_, **__: None)  # and so the longer way
    storages = set()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storages.add(tensor.untyped_storage().data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        ys, _ = ostinato.scan(cell, xs, reverse=reverse)
    assert ys.untyped_storage().data_ptr() in storages  # kept once, as output and as the next step's state
    with pytest.raises(RuntimeError, match="modified inplace"):  # at once, not first in the backward pass
        ys.mul_(2)


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


@pytest.mark.slow
@pytest.mark.ci
def test_a_cell_is_captured_again_when_its_settings_change() -> None:
    cell, x = Dropped(5, 20).eval(), torch.randn(4, 3, 5)
    kept, _ = ostinato.scan(cell, x)
    cell.cell.nonlinearity = "relu"
    changed, _ = ostinato.scan(cell, x)
    assert not torch.equal(kept, changed)
    torch.testing.assert_close(changed, scan_eagerly(cell, x, torch.zeros(3, 20), None, False)[0])


@pytest.mark.slow
@pytest.mark.ci
def test_a_setting_that_changes_at_every_call_ends_in_the_eager_loop(monkeypatch) -> None:
    monkeypatch.setattr(compiled, "_MOST_PLANS", 12)

    class Tempered(nn.Module):
        hidden_size, temperature = 3, 1.0

        def forward(self, x, h):
            h = torch.tanh(x / self.temperature + h)
            return h, h

    cell, x = Tempered(), torch.randn(2, 2, 3)
    with pytest.warns(EngineWarning, match="settings or sizes that keep changing"):  # noqa: PT031
        for step in range(16):
            cell.temperature = 1.0 + step
            torch.testing.assert_close(
                ostinato.scan(cell, x, torch.zeros(2, 3))[0], scan_eagerly(cell, x, torch.zeros(2, 3), None, False)[0]
            )


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


@pytest.mark.slow
@pytest.mark.ci
def test_random_numbers_are_drawn_again_in_the_backward_pass() -> None:
    cell = Dropped(5, 20).double()
    x = torch.randn(3, 4, 5, dtype=torch.double, requires_grad=True)

    def run(x, *weights):
        torch.manual_seed(7)
        return ostinato.scan(cell, x)[0]

    assert torch.autograd.gradcheck(run, [x, *cell.parameters()], fast_mode=True)
    assert torch.equal(run(x), run(x))
    assert not torch.equal(ostinato.scan(cell, x)[0], ostinato.scan(cell, x)[0])


def test_random_numbers_are_uniform_and_differ_from_row_to_row_and_step_to_step() -> None:
    class Noise(nn.Module):
        hidden_size = 64

        def forward(self, x, h):
            noise = torch.rand_like(h)
            return noise, h + 0 * noise

    torch.manual_seed(0)
    draws, _ = ostinato.scan(Noise(), torch.zeros(40, 30, 1), torch.zeros(30, 64))
    counts = torch.histc(draws, 32, 0, 1)
    expected = draws.numel() / 32
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert chi_squared < 65  # 31 degrees of freedom: exceeded once in 2,500 seeds
    flat = draws.reshape(-1, 64)
    correlation = torch.corrcoef(flat[:300]) - torch.eye(300)
    assert correlation.abs().max() < 0.65
    assert draws.unique().numel() > 0.99 * draws.numel()


def test_what_the_engine_does_not_know_runs_eagerly_with_one_warning_that_names_it() -> None:
    class Odd(nn.Module):
        hidden_size = 4

        def forward(self, x, h):
            h = torch.cumsum(h, -1).tanh() + x
            return h, h

    cell, x = Odd(), torch.randn(3, 2, 4)
    # older versions of PyTorch do not say which line an operation comes from
    line = r".*torch.cumsum\(h, -1\)" if "record_stack_traces" in inspect.signature(make_fx).parameters else ""
    with pytest.warns(EngineWarning, match=rf"Odd runs in the eager loop.*cumsum{line}"):
        ys, _ = ostinato.scan(cell, x)
    torch.testing.assert_close(ys, scan_eagerly(cell, x, torch.zeros(2, 4), None, False)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ostinato.scan(cell, x)


@pytest.mark.parametrize("kind", ["branch", "batch mean", "hook", "in place", "size"])
def test_cells_that_cannot_be_compiled_stay_right(kind) -> None:
    class Unfit(nn.Module):
        hidden_size = 4

        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x, h):
            if kind == "branch" and x.sum() > 0:
                h = -h
            if kind == "batch mean":
                h = h - h.mean(0)
            if kind == "in place":
                h = h.clone()
                part = h[:, :2]
                part.mul_(2.0)
            if kind == "size":
                h = h / x.shape[0]
            h = torch.tanh(self.linear(x) + h)
            return h, h

    cell, x = Unfit(), torch.randn(5, 3, 4)
    seen = []
    if kind == "hook":
        cell.linear.register_forward_hook(lambda *_: seen.append(1))
    with pytest.warns(EngineWarning):
        ys, _ = ostinato.scan(cell, x, torch.zeros(3, 4))
    assert kind != "hook" or len(seen) == 5
    torch.testing.assert_close(ys, scan_eagerly(cell, x, torch.zeros(3, 4), None, False)[0])


def test_several_python_threads_may_scan_at_once() -> None:
    cell, x = LayerNormLSTM(5, 20), torch.randn(30, 8, 5)
    expected, _ = ostinato.scan(cell, x)
    wrong = []

    def work():
        for _ in range(20):
            ys, _ = ostinato.scan(cell, x)
            if not torch.equal(ys, expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.slow
@pytest.mark.ci
def test_a_forked_process_goes_on_computing() -> None:
    cell, x = nn.GRUCell(64, 64), torch.randn(60, 32, 64)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.no_grad():
            expected, _ = ostinato.scan(cell, x)
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                # compared by NumPy: PyTorch's own threads do not outlive a fork
                same = (ostinato.scan(cell, x)[0].numpy() == expected.numpy()).all()
                os.write(writer, b"y" if same else b"n")
                os._exit(0)
            os.close(writer)
            assert os.read(reader, 1) == b"y"
            os.waitpid(child, 0)
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.ci
def test_the_operators_keep_pytorchs_rules() -> None:
    cell, x = nn.GRUCell(5, 8), torch.randn(4, 3, 5)
    tensors = watch.tensors_of(cell)
    ready = compiled.find(cell, cell, x, torch.zeros(3, 8))
    assert isinstance(ready, compiled.Ready)
    for lengths in (None, torch.tensor([4, 0, 2])):
        arguments = (list(tensors.values()), x, [torch.randn(3, 8)], lengths, None, False, 0, ready.number, True)
        torch.library.opcheck(torch.ops.ostinato.scan.default, arguments)


@pytest.mark.slow
def test_a_scan_works_inside_torch_compile() -> None:
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.GRUCell(5, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(ostinato.scan(self.cell, x)[0]).relu()

    model, x = Model(), torch.randn(4, 3, 5)
    expected = model(x)
    torch.testing.assert_close(torch.compile(model, backend="aot_eager")(x), expected)


@pytest.mark.slow
@pytest.mark.ci
def test_function_transforms_and_autocast_are_right() -> None:
    cell, x = nn.GRUCell(5, 8), torch.randn(6, 4, 3, 5)
    mapped = torch.vmap(lambda one: ostinato.scan(cell, one, torch.zeros(3, 8))[0])(x)
    for one, expected in zip(mapped, x, strict=True):
        torch.testing.assert_close(one, ostinato.scan(cell, expected)[0])
    plain, _ = ostinato.scan(cell, x[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, _ = ostinato.scan(cell, x[0].bfloat16().float())
        half, _ = ostinato.scan(cell, x[0].bfloat16())
    assert inside.dtype is torch.float32
    assert torch.equal(inside, half)
    torch.testing.assert_close(inside, plain, atol=0.05, rtol=0.05)


def test_infinities_and_nan_go_where_pytorch_lets_them_go() -> None:
    cell = nn.GRUCell(3, 8)
    x = torch.randn(4, 3, 3)
    x[1, 0, 0], x[2, 1, 1] = float("nan"), float("inf")
    ys, _ = ostinato.scan(cell, x)
    expected, _ = scan_eagerly(cell, x, torch.zeros(3, 8), None, False)
    torch.testing.assert_close(ys, expected, equal_nan=True)


@pytest.mark.slow
@pytest.mark.ci
def test_hundreds_of_calls_leave_nothing_behind() -> None:
    cell = LayerNormLSTM(5, 20)
    for round_ in range(3):
        for _ in range(150):
            time, batch = int(torch.randint(1, 30, ())), int(torch.randint(1, 12, ()))
            x = torch.randn(time, batch, 5, requires_grad=True)
            ostinato.scan(cell, x, lengths=torch.randint(0, time + 1, (batch,)))[0].sum().backward()
        gc.collect()
        memory.release()
        tensors = sum(isinstance(item, torch.Tensor) for item in gc.get_objects())
        if round_ == 0:
            plans, kept = len(compiled._plans[cell]), tensors
    assert len(compiled._plans[cell]) == plans
    assert tensors <= kept + 5
