"""Steppers: copies that later changes do not reach, that refuse what does not fit, and that continue anywhere."""

import copy
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, vector_to_parameters

import ostinato
from ostinato.errors import EngineWarning, ShapeError, UsageError

ROWS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
ignore_eager = pytest.mark.filterwarnings(f"ignore::{EngineWarning.__module__}.{EngineWarning.__name__}")


class Branching(nn.Module):
    """A cell that only the eager loop takes: it looks at values."""

    def __init__(self):
        super().__init__()
        self.input, self.hidden_size = nn.Linear(3, 5), 5
        self.register_buffer("scale", torch.full((5,), 0.5))

    def forward(self, x, state):
        state = torch.tanh(self.input(x) + self.scale * state)
        if float(state.detach().sum()) > 100:
            state = state * 2
        return state, state


class Missing(nn.Module):
    """A cell for which NaN is a value that is not known."""

    input_size, hidden_size = 3, 3

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x, state):
        state = torch.where(x == x, x * self.weight, state)
        return state, state


def _normalised():
    cell = nn.GRUCell(3, 5)
    return parametrizations.weight_norm(cell, "weight_hh")


MODULES = {
    "gru": lambda: nn.GRUCell(3, 5),
    "lstm": lambda: ostinato.cells.LSTMCell(3, 5),
    "stack": lambda: ostinato.nn.Recurrent(ostinato.cells.GRUCell(3, 5), 2, dropout=0.5, learn_initial_state=True),
    "transformer": lambda: ostinato.nn.TransformerStack(3, 8, 1, heads=2, dropout=0.5, context=4),
    "parametrized": _normalised,
    "eager": Branching,
}


def _fused(module):
    optimizer = torch.optim.Adam(module.parameters(), lr=0.3, fused=True)
    for own in module.parameters():
        own.grad = torch.ones_like(own)
    optimizer.step()


def _assigned(module):
    module.load_state_dict({name: value.detach() + 1 for name, value in module.state_dict().items()}, assign=True)


def _data(module):
    for own in module.parameters():
        own.data = own.data * 2


def _views(module):
    for own in module.parameters():
        own.detach().numpy()[...] *= 0.5


def _vector(module):
    count = sum(own.numel() for own in module.parameters())
    vector_to_parameters(torch.linspace(-1, 1, count), module.parameters())


def _in_place(module):
    with torch.no_grad():
        for own in [*module.parameters(), *module.buffers()]:
            own.add_(0.25)


CHANGES = {
    "fused": _fused,
    "assigned": _assigned,
    "data": _data,
    "views": _views,
    "vector": _vector,
    "place": _in_place,
}


def _walk(step, rows=ROWS):
    step.reset()
    return np.stack([step(row) for row in rows])


@ignore_eager
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", MODULES)
def test_a_change_of_the_module_is_seen_whole_by_refresh_and_not_at_all_before(name, change) -> None:
    module = MODULES[name]()
    step = ostinato.stepper(module)
    fresh = ostinato.stepper(module)  # one that has not run yet when the change comes
    before = _walk(step)
    CHANGES[change](module)
    np.testing.assert_array_equal(_walk(step), before)
    np.testing.assert_array_equal(_walk(fresh), before)
    step.refresh()
    after = _walk(step)
    np.testing.assert_array_equal(after, _walk(ostinato.stepper(module)))
    assert not np.allclose(after, before)


@ignore_eager
@pytest.mark.parametrize("name", MODULES)
def test_the_module_keeps_its_modes_and_the_stepper_evaluates(name) -> None:
    module = MODULES[name]().train()
    modes = [own.training for own in module.modules()]
    seen = []
    module.register_forward_pre_hook(lambda own, _: seen.append(own is module))
    step = ostinato.stepper(module)
    first, second = _walk(step), _walk(step)
    np.testing.assert_array_equal(first, second)
    assert [own.training for own in module.modules()] == modes
    assert True not in seen  # it is never called itself


@ignore_eager
def test_a_replaced_part_is_seen_by_refresh_and_the_state_goes_on() -> None:
    module = Branching()
    step = ostinato.stepper(module)
    before = step(ROWS[0])
    module.input = nn.Linear(3, 5)
    step.refresh()
    expected = module(torch.from_numpy(ROWS[1:2]), torch.from_numpy(before)[None])[0]
    np.testing.assert_allclose(step(ROWS[1]), expected.detach()[0], rtol=1e-6)


def test_refresh_refuses_a_state_that_fits_no_more_and_changes_nothing() -> None:
    module = ostinato.nn.Recurrent(ostinato.cells.GRUCell(3, 5), 2)
    step, undisturbed = ostinato.stepper(module), ostinato.stepper(module)
    for row in ROWS[:2]:
        step(row), undisturbed(row)
    module.cells[1] = ostinato.cells.GRUCell(5, 4)
    with pytest.raises(UsageError, match=r"call reset\(\) before refresh"):
        step.refresh()
    np.testing.assert_array_equal(step(ROWS[2]), undisturbed(ROWS[2]))
    step.reset()
    step.refresh()
    assert step(ROWS[0]).shape == (4,)


HOSTILE_STEPS = {
    "wide": (np.zeros((1, 4)), ShapeError),
    "narrow": (np.zeros((1, 1)), ShapeError),
    "rows": (np.zeros((2, 3)), ShapeError),
    "deep": (np.zeros((1, 1, 3)), ShapeError),
    "single": (np.float32(3), ShapeError),
    "empty": (np.zeros((1, 0)), ShapeError),
    "text": (np.array([["1", "2", "3"]]), UsageError),
    "objects": (np.array([[1.0, None, 3.0]], object), UsageError),
    "complex": (np.ones((1, 3), complex), UsageError),
    "ragged": ([[1, 2], [3]], UsageError),
    "none": (None, UsageError),
    "dates": (np.zeros((1, 3), "datetime64[s]"), UsageError),
    "nan": (np.array([[1, np.nan, 2]]), UsageError),
    "infinite": (np.array([[1, np.inf, 2]], np.float32), UsageError),
    "huge": (np.array([[1, 1e300, 2]]), UsageError),
    "masked": (np.ma.masked_array([[1.0, 2.0, 3.0]], [[False, True, False]]), UsageError),
}


@ignore_eager
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("which", HOSTILE_STEPS)
@pytest.mark.parametrize("name", ["gru", "stack", "transformer", "eager"])
def test_a_step_that_cannot_be_taken_is_refused_in_a_sentence_and_changes_nothing(name, which, begun) -> None:
    module = MODULES[name]()
    step, undisturbed = ostinato.stepper(module), ostinato.stepper(module)
    if begun:
        step(ROWS[0]), undisturbed(ROWS[0])
    x, error = HOSTILE_STEPS[which]
    with pytest.raises(error) as caught:
        step(x)
    assert "\n" not in str(caught.value)
    assert "expected" in str(caught.value)
    for row in ROWS[1:4]:
        np.testing.assert_array_equal(step(row), undisturbed(row))


@pytest.mark.parametrize("x", [ROWS[0].tolist(), ROWS[0].astype(np.float64), torch.from_numpy(ROWS[0]), ROWS[:1, ::-1]])
def test_numbers_of_any_kind_are_taken(x) -> None:
    module = nn.GRUCell(3, 5)
    expected = ostinato.stepper(module)(np.asarray(x, np.float32))
    np.testing.assert_array_equal(ostinato.stepper(module)(x), expected)


def test_a_cell_may_take_nan_for_a_value_that_is_missing() -> None:
    step = ostinato.stepper(Missing())
    step(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(step(np.array([[4.0, np.nan, 5.0]], np.float32)), [[4, 2, 5]])
    assert step.state()[0, 1] == 2


def _hostile_states(state):
    """States that are not this stepper's own, each with a name."""
    leaves = state if isinstance(state, tuple) else (state,)
    first = leaves[0]

    def instead(value):
        return (value, *leaves[1:]) if isinstance(state, tuple) else value

    yield "cut", state[:-1] if isinstance(state, tuple) else ()
    yield "long", (*leaves, leaves[-1])
    yield "nested", (state,)
    yield "text", "state"
    yield "mapping", {"h": first}
    yield "number", 3.0
    if isinstance(first, np.ndarray):
        yield "wide", instead(np.concatenate([first, first], -1))
        yield "narrow", instead(first[..., :1])
        yield "rows", instead(np.concatenate([first, first]))
        yield "deep", instead(first[None])
        yield "flat", instead(first[0])
        yield "float64", instead(first.astype(np.float64))
        yield "whole", instead(first.astype(np.int64))
        yield "text inside", instead(first.astype(str))
        yield "objects", instead(first.astype(object))
        yield "nan", instead(first * np.nan)
        yield "infinite", instead(first + np.inf)
    else:
        yield "cut inside", ((first[:-1]), *leaves[1:])
        yield "other steps", ((first[0][:, :1], *first[1:]), *leaves[1:])
        yield "places", ((*first[:2], first[2] - 10**6), *leaves[1:])


@ignore_eager
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("name", ["gru", "lstm", "stack", "transformer", "eager"])
def test_a_state_of_another_is_refused_in_a_sentence_and_changes_nothing(name, begun) -> None:
    module = MODULES[name]()
    other = ostinato.stepper(module)
    for row in ROWS[:3]:
        other(row)
    for which, state in _hostile_states(other.state()):
        step, undisturbed = ostinato.stepper(module), ostinato.stepper(module)
        if begun:
            step(ROWS[0]), undisturbed(ROWS[0])
        with pytest.raises(UsageError) as caught:
            # before the first step it may not be known yet how wide a step is
            step.restore(state), step(ROWS[1])
        assert "\n" not in str(caught.value), which
        for row in ROWS[1:3]:
            np.testing.assert_array_equal(step(row), undisturbed(row), err_msg=which)
    step.restore(other.state())
    np.testing.assert_array_equal(step(ROWS[3]), other(ROWS[3]))


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(["gru", "lstm", "stack", "transformer"]),
    at=st.integers(0, 5),
    way=st.sampled_from(["pickle", "deepcopy", "copy"]),
)
def test_a_copy_goes_on_where_the_stepper_was_and_apart_from_it(name, at, way) -> None:
    step = ostinato.stepper(MODULES[name]())
    for row in ROWS[:at]:
        step(row)
    other = pickle.loads(pickle.dumps(step)) if way == "pickle" else getattr(copy, way)(step)  # noqa: S301
    expected = [step(row) for row in ROWS[at:]]
    np.testing.assert_array_equal([other(row) for row in ROWS[at:]], expected)


def test_threads_that_share_a_stepper_take_turns() -> None:
    class Counting(nn.Module):
        input_size, hidden_size = 3, 1

        def forward(self, x, state):
            state = state + x[:, :1]
            return state, state

    step = ostinato.stepper(Counting())
    one = np.ones((1, 3), np.float32)
    with ThreadPoolExecutor(4) as pool:
        said = sorted(float(y[0, 0]) for y in pool.map(lambda _: step(one), range(2000)))
    assert said == list(range(1, 2001))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_goes_on_as_if_alone_even_if_a_thread_was_in_a_step() -> None:
    step = ostinato.stepper(nn.GRUCell(3, 5))
    step(ROWS[0])
    other = copy.copy(step)
    inside, go_on = threading.Event(), threading.Event()

    def hold():
        with step._lock:
            inside.set()
            go_on.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, np.concatenate([step(row) for row in ROWS[1:3]]).tobytes())
        os._exit(0)
    go_on.set(), thread.join()
    os.waitpid(child, 0)
    said = np.frombuffer(os.read(read, 1000), np.float32)
    os.close(read), os.close(write)
    np.testing.assert_array_equal(said, np.concatenate([other(row) for row in ROWS[1:3]]))
    np.testing.assert_array_equal(said[:5], step(ROWS[1]))


def test_what_no_stepper_can_be_made_of_is_refused_in_a_sentence() -> None:
    for batch_size in (0, -1, 1.5, "2", None):
        with pytest.raises(UsageError, match="batch_size is"):
            ostinato.stepper(nn.GRUCell(3, 5), batch_size)
    with pytest.raises(UsageError, match="a function cannot run step by step"):
        ostinato.stepper(_walk)


def test_a_module_that_keeps_a_lock_is_stepped_all_the_same() -> None:
    locked, plain = nn.GRUCell(3, 5), nn.GRUCell(3, 5)
    plain.load_state_dict(locked.state_dict())
    locked.lock = threading.Lock()
    np.testing.assert_array_equal(ostinato.stepper(locked)(ROWS[0]), ostinato.stepper(plain)(ROWS[0]))


def test_halves_are_stepped_and_restored() -> None:
    module = ostinato.cells.GRUCell(3, 5).bfloat16()
    step, other = ostinato.stepper(module), ostinato.stepper(module)
    first = step(ROWS[0])
    assert first.dtype == np.float32
    other.restore(step.state())
    np.testing.assert_array_equal(step(ROWS[1]), other(ROWS[1]))
