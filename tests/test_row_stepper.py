"""Rows that join, advance together and leave: each has the bits that it has alone, whatever the others do."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ostinato
from ostinato.engine.run.compiled import _plans
from ostinato.errors import EngineWarning, ShapeError, UsageError

pytestmark = pytest.mark.filterwarnings(f"ignore::{EngineWarning.__module__}.{EngineWarning.__name__}")


class Branching(nn.Module):
    """A cell that only the eager loop takes: it looks at values."""

    input_size, hidden_size = 3, 5

    def __init__(self):
        super().__init__()
        self.input = nn.Linear(3, 5)

    def forward(self, x, state):
        state = torch.tanh(self.input(x) + 0.5 * state)
        if float(state.detach().sum()) > 100:
            state = state * 2
        return state, state


class Buffered(nn.Module):
    """A cell with a buffer of as many entries as a batch may have rows."""

    input_size, hidden_size = 3, 8

    def __init__(self):
        super().__init__()
        self.input = nn.Linear(3, 8)
        self.register_buffer("scale", torch.linspace(0, 1, 8))

    def forward(self, x, state):
        state = torch.tanh(self.input(x) + self.scale * state)
        return state, state


MODULES = {
    "cell": lambda: ostinato.cells.GRUCell(3, 5),
    "torch cell": lambda: nn.LSTMCell(3, 5),
    "drop-in": lambda: ostinato.nn.LSTM(3, 5, num_layers=2),
    "torch layer": lambda: nn.GRU(3, 5, num_layers=3, batch_first=True),
    "projected": lambda: nn.LSTM(3, 5, proj_size=2),
    "plain": lambda: ostinato.nn.RNN(3, 5, nonlinearity="relu"),
    "stack": lambda: ostinato.nn.Recurrent(ostinato.cells.LSTMCell(3, 5), 2, learn_initial_state=True),
    "double": lambda: nn.GRU(3, 5).double(),
    "normalised": lambda: ostinato.nn.BatchNormLSTM(3, 5),
    "transformer": lambda: ostinato.nn.TransformerStack(3, 8, 1, heads=2, context=4),
    "eager": Branching,
    "buffered": Buffered,
}
COMPILED = [name for name in MODULES if name not in ("normalised", "transformer", "eager")]


def _equal(one, other) -> bool:
    if one is None or other is None:
        return one is other
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return np.array_equal(one, other)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", MODULES)
def test_a_row_has_the_same_bits_alone_and_among_others_that_join_and_leave(name, data) -> None:
    module = MODULES[name]()
    rows, alone = ostinato.row_stepper(module), {}
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    for what in data.draw(st.lists(st.sampled_from("jjlsssrm"), min_size=1, max_size=14)):
        known = list(alone)
        some = data.draw(st.lists(st.sampled_from(known), unique=True)) if known else []
        if what == "j":
            new = rows.join(data.draw(st.integers(0, 9)))
            assert not set(new) & set(known)
            alone |= {row: ostinato.stepper(module) for row in new}
        elif what == "l":
            rows.leave(some)
            for row in some:
                del alone[row]
        elif what == "s":
            x = random.normal(size=(len(some), 3)).astype(np.float32)
            y = rows(some, x)
            for place, row in enumerate(some):
                np.testing.assert_array_equal(y[place], alone[row](x[place]))
        elif what == "r" and some:
            rows.reset(some[0])
            alone[some[0]].reset()
        elif some:  # a state goes from one to another
            (joined,) = rows.join(states=[alone[some[0]].state()])
            alone[joined] = ostinato.stepper(module)
            alone[joined].restore(rows.state(some[0]))
    assert len(rows) == len(alone)
    for row, step in alone.items():
        assert _equal(rows.state(row), step.state())


@pytest.mark.parametrize("name", COMPILED)
def test_no_number_of_rows_makes_another_plan(name) -> None:
    module = MODULES[name]()
    rows = ostinato.row_stepper(module)
    numbers = rows.join(300)
    rows(numbers[:1], np.zeros((1, 3)))
    assert rows._kernel is not None
    cell = rows._one._runner
    plans = len(_plans[cell])
    kernel = rows._kernel
    for count in (1, 2, 5, 7, 8):
        rows(numbers[:count], np.ones((count, 3)))
    assert rows._kernel is kernel
    for count in (9, 33, 128, 129, 300):
        rows(numbers[:count], np.ones((count, 3)))
    assert len(_plans[cell]) <= plans


@pytest.mark.parametrize("name", MODULES)
def test_a_layer_stepped_gives_what_it_gives_on_the_sequence(name) -> None:
    module = MODULES[name]().eval()
    if name in ("eager", "buffered", "cell", "torch cell"):
        pytest.skip("a cell has no sequence of its own")
    dtype = torch.float64 if name == "double" else torch.float32
    xs = torch.randn(6, 2, 3, dtype=dtype)
    first = getattr(module, "batch_first", False)
    with torch.no_grad():
        ys = module(xs.transpose(0, 1) if first else xs)[0]
    ys = ys.transpose(0, 1) if first else ys
    rows = ostinato.row_stepper(module)
    two = rows.join(2)
    stepped = np.stack([rows(two, x.numpy()) for x in xs])
    np.testing.assert_allclose(stepped, ys.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MODULES)
def test_what_does_not_fit_is_refused_and_changes_no_row(name) -> None:
    rows = ostinato.row_stepper(MODULES[name]())
    one, two, three = rows.join(3)
    rows.leave([three])
    x = np.ones((2, 3), np.float32)
    rows([one, two], x)
    before = [rows.state(row) for row in (one, two)]
    broken = x.copy()
    broken[1, 2] = np.nan
    for numbers, step, error in (
        ([one, one], x, UsageError),
        ([one, three], x, UsageError),
        ([one, 99], x, UsageError),
        ([one, "b"], x, UsageError),
        ([one], x, ShapeError),
        ([one, two], x[:, :2], ShapeError),
        ([one, two], broken, UsageError),
        ([one, two], x * np.inf, UsageError),
        ([one, two], "x", UsageError),
    ):
        with pytest.raises(error) as caught:
            rows(numbers, step)
        assert "\n" not in str(caught.value)
        assert all(map(_equal, [rows.state(row) for row in (one, two)], before))
    for state in ("state", (), np.zeros((2, 2), np.float32), np.full((1, 5), np.nan, np.float32)):
        with pytest.raises(UsageError):
            rows.restore(one, state)
        with pytest.raises(UsageError):
            rows.join(states=[None, state])
        assert len(rows) == 2
        assert _equal(rows.state(one), before[0])
    for count in (-1, 1.5, "two"):
        with pytest.raises(UsageError, match="count is"):
            rows.join(count)


@pytest.mark.parametrize("name", MODULES)
def test_rows_are_stepped_in_inference_mode_and_out_of_it(name) -> None:
    rows = ostinato.row_stepper(MODULES[name]())
    x = np.ones((1, 3))
    with torch.inference_mode():
        (first,) = rows.join()
        y = rows([first], x)
    more = rows.join(20)
    np.testing.assert_array_equal(rows(more[:1], x), y)
    with torch.inference_mode():
        rows.restore(more[1], rows.state(first))
        last = rows(more[1:], np.repeat(x, 19, 0))
    np.testing.assert_array_equal(rows([first], x)[0], last[0])


def test_bidirectional_layers_are_refused_whoever_made_them() -> None:
    for layer in (nn.LSTM(3, 5, bidirectional=True), ostinato.nn.GRU(3, 5, bidirectional=True)):
        for make in (ostinato.stepper, ostinato.row_stepper):
            with pytest.raises(UsageError, match="bidirectional layer cannot run step by step"):
                make(layer)


def test_a_changed_drop_in_is_seen_by_refresh_and_not_before() -> None:
    layer = ostinato.nn.LSTM(3, 5, num_layers=2)
    step = ostinato.stepper(layer)
    before = step(np.ones(3))
    with torch.no_grad():
        layer.weight_hh_l1.mul_(2)
        layer.bias_ih_l0.add_(1)
    step.reset()
    np.testing.assert_array_equal(step(np.ones(3)), before)
    step.reset()
    step.refresh()
    after = step(np.ones(3))
    assert not np.array_equal(after, before)
    np.testing.assert_array_equal(after, ostinato.stepper(layer)(np.ones(3)))


def test_a_forked_process_steps_rows_though_a_thread_held_the_lock() -> None:
    code = """
import os, threading, numpy as np, ostinato
rows = ostinato.row_stepper(ostinato.nn.GRU(3, 5))
(row,) = rows.join()
rows([row], np.ones((1, 3)))
inside, done = threading.Event(), threading.Event()
def hold():
    with rows._lock:
        inside.set(); done.wait()
thread = threading.Thread(target=hold); thread.start(); inside.wait()
child = os.fork()
if not child:
    rows([row], np.ones((1, 3)))
    os._exit(0)
done.set(); thread.join()
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)
