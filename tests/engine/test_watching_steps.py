"""Cells that read their batch, keep something, draw numbers or ask for modes run as a plain loop runs them."""

import functools
import itertools
import os
import random
import time

import numpy as np
import pytest
import torch
from torch import nn

import ostinato
from ostinato.engine.run import compiled
from ostinato.errors import EngineWarning
from watched import Base, assert_follows, loop

pytestmark = pytest.mark.filterwarnings("ignore::ostinato.errors.EngineWarning")


BATCH_READERS = {
    "divides by the shape": lambda h: h * (8.0 / h.shape[0]),
    "size()": lambda h: h * (2.0 if h.size(0) > 100 else 0.5),
    "len()": lambda h: h / len(h),
    "numel()": lambda h: h / h.numel() ** 0.5,
    "full": lambda h: h * torch.full((h.shape[0], 1), 1.0 / h.shape[0]),
    "arange": lambda h: h + torch.arange(h.shape[0]).unsqueeze(1) * 0.1,
    "tensor": lambda h: h * torch.tensor(float(h.shape[0])).rsqrt(),
    "one row": lambda h: h * (3.0 if h.shape[0] == 1 else 1.0),
    "even": lambda h: h * (3.0 if h.shape[0] % 2 == 0 else 1.0),
    "loop over rows": lambda h: torch.stack([row * (1 + i) for i, row in enumerate(h)]),
    "range": lambda h: torch.cat([h[i : i + 1] * (1 + i) for i in range(h.shape[0])]),
    "mean": lambda h: h - h.mean(0, keepdim=True),
    "flip": lambda h: h.flip(0),
    "roll": lambda h: h.roll(1, 0),
    "first": lambda h: h + h[:1],
    "last": lambda h: h + h[-1],
    "softmax": lambda h: h * h.softmax(0),
    "by name": lambda h: h / getattr(h, "shape")[0],  # noqa: B009
    "len by its own name": lambda h: h / h.__len__(),
    "view": lambda h: h.view(h.shape[0], 2, 2).transpose(1, 2).reshape(h.size(0), -1),
    "zeros": lambda h: torch.cat([h, torch.zeros(h.shape[0], 2)], -1)[:, :4] * 0.9,
}


@pytest.mark.parametrize("name", BATCH_READERS)
def test_a_cell_that_reads_its_batch_gets_the_true_one(name) -> None:
    change = BATCH_READERS[name]

    class Cell(Base):
        def forward(self, x, h):
            h = change(torch.tanh(self.a(x) + self.b(h)))
            return h, h

    cell = Cell()
    for batch in (3, 1, 4, 7):
        xs, start = torch.randn(5, batch, 3), torch.randn(batch, 4)
        torch.testing.assert_close(ostinato.scan(cell, xs, start)[0], loop(cell, xs, start))
    if name in ("view", "zeros"):
        assert all(isinstance(plan, compiled.Ready) for plan in compiled._batches[cell].values())


class Counting(Base):
    def gain(self):
        self.count += 1
        return 1.0 + 0.1 * self.count


class Logging(Base):
    def gain(self):
        self._log.append(1)
        return 1.0 / len(self._log)


class Buffered(Base):
    def forward(self, x, h):
        h = torch.tanh(self.a(x) + self.b(h)) + self.m
        self.m = self.m * 0.9 + 0.1
        return h, h


class InPlace(Buffered):
    def forward(self, x, h):
        h = torch.tanh(self.a(x) + self.b(h)) + self.m
        self.m += 0.1
        return h, h


class Keeping(Base):
    def forward(self, x, h):
        h = torch.tanh(self.a(x) + self.b(h))
        if self.last is not None:
            h = h + 0.5 * self.last
        self.last = h
        return h, h


class Iterating(Base):
    def gain(self):
        return 1.0 + 0.1 * next(self.numbers)


TALLY = [0]


class Tallying(Base):
    def gain(self):
        TALLY[0] += 1
        return 1.0 + 0.1 * TALLY[0]


class ClassCounting(Base):
    total = 0

    def gain(self):
        type(self).total += 1
        return 1.0 + 0.1 * type(self).total


STATEFUL = {
    "counter": lambda: Counting(count=0),
    "log": lambda: Logging(_log=[]),
    "buffer reassigned": lambda: Buffered(m=torch.zeros(4)),
    "buffer in place": lambda: InPlace(m=torch.zeros(4)),
    "last state kept": lambda: Keeping(last=None),
    "iterator": lambda: Iterating(numbers=itertools.count()),
    "generator": lambda: Iterating(numbers=(i for i in range(1000))),
}


@pytest.mark.parametrize("name", STATEFUL)
@pytest.mark.parametrize("given_state", [True, False])
def test_a_cell_that_keeps_something_runs_every_step_and_only_those(name, given_state) -> None:
    if name == "generator" and not given_state:
        pytest.skip("a generator cannot be copied, so that trying states runs it; its cell is given one")
    cell, twin = STATEFUL[name](), STATEFUL[name]()
    xs, start = torch.randn(5, 3, 3), torch.zeros(3, 4)
    for _ in range(2):
        with torch.no_grad():
            found = ostinato.scan(cell, xs, start if given_state else None)[0]
            torch.testing.assert_close(found, loop(twin, xs, start))
    for name in ("count", "_log", "m", "last"):
        if hasattr(cell, name):
            torch.testing.assert_close(getattr(cell, name), getattr(twin, name))
            assert type(getattr(cell, name)) is type(getattr(twin, name))


@pytest.mark.parametrize("kind", [Tallying, ClassCounting])
def test_a_cell_that_changes_its_surroundings_runs_every_step_and_only_those(kind) -> None:
    TALLY[0], ClassCounting.total = 0, 0
    xs, start = torch.randn(5, 3, 3), torch.zeros(3, 4)
    found = ostinato.scan(kind(), xs, start)[0]
    TALLY[0], ClassCounting.total = 0, 0
    torch.testing.assert_close(found, loop(kind(), xs, start))
    assert 5 in (TALLY[0], ClassCounting.total)


class Toggling(Base):
    on = False

    def gain(self):
        type(self).on = not type(self).on
        return 2.0 if type(self).on else 0.5


class Growing(Base):
    def forward(self, x, h):
        h = self.a(x) + h
        return h, h


class Typed(Base):
    def forward(self, x, h):
        h = self.a(x) + h
        return h > 0, h


def test_a_state_that_changes_its_shape_and_outputs_of_another_type_are_those_of_a_loop() -> None:
    xs = torch.randn(5, 3, 3)
    for _ in range(5):
        found, last = ostinato.scan(Growing(), xs, torch.ones(3, 1))
        assert last.shape == (3, 4)
        torch.testing.assert_close(found, loop(Growing(), xs, torch.ones(3, 1)))
    assert ostinato.scan(Typed(), xs, torch.zeros(3, 4))[0].dtype is torch.bool


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    "drop",
    [
        lambda rate: nn.Dropout(rate),
        lambda rate: lambda x: torch.nn.functional.dropout(x, rate, True),
        lambda rate: lambda x: x * torch.empty_like(x).bernoulli_(1 - rate) / (1 - rate),
        lambda rate: lambda x: x * torch.bernoulli(torch.full_like(x, 1 - rate)) / (1 - rate),
    ],
)
def test_dropout_keeps_the_share_that_it_should(rate, drop) -> None:
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = drop(rate)

        def forward(self, x, h):
            return self.drop(x), h

    ys, _ = ostinato.scan(Cell(), torch.ones(1000, 40, 3), torch.ones(40, 4))
    assert abs(float(ys.mean()) - 1) < 0.05
    assert abs(float((ys != 0).float().mean()) - (1 - rate)) < 0.01


def test_a_switch_that_every_step_turns_is_turned_at_every_step() -> None:
    xs, start = torch.randn(5, 3, 3), torch.zeros(3, 4)
    Toggling.on = False
    found = ostinato.scan(Toggling(), xs, start)[0]
    assert Toggling.on
    Toggling.on = False
    torch.testing.assert_close(found, loop(Toggling(), xs, start))


@functools.lru_cache
def _kept_mask(width):
    return torch.linspace(0.5, 1.0, width)


class Masking(Base):
    def forward(self, x, h):
        h = torch.tanh(self.a(x) + self.b(h)) * _kept_mask(4)
        return h, h


def test_a_helper_that_keeps_its_results_keeps_real_ones() -> None:
    _kept_mask.cache_clear()
    xs, start = torch.randn(5, 3, 3), torch.zeros(3, 4)
    for _ in range(2):
        torch.testing.assert_close(ostinato.scan(Masking(), xs, start)[0], loop(Masking(), xs, start))
    assert type(_kept_mask(4)) is torch.Tensor


KEPT: dict = {}


class Storing(Base):
    def forward(self, x, h):
        if "mask" not in KEPT:
            KEPT["mask"] = torch.linspace(0.5, 1.0, 4)
        h = torch.tanh(self.a(x) + self.b(h)) * KEPT["mask"]
        return h, h


def test_a_table_of_results_keeps_real_ones() -> None:
    KEPT.clear()
    xs, start = torch.randn(5, 3, 3), torch.zeros(3, 4)
    for _ in range(3):
        torch.testing.assert_close(ostinato.scan(Storing(), xs, start)[0], loop(Storing(), xs, start))
    assert type(KEPT["mask"]) is torch.Tensor


def test_states_are_returned_without_a_step_more() -> None:
    cell = Counting(count=0)
    ostinato.scan(cell, torch.randn(5, 3, 3), torch.zeros(3, 4), return_states=True)
    assert cell.count == 5


DRAWS = np.random.default_rng(0)
IMPURE = {
    "torch, one number": lambda: torch.rand(()),
    "torch, a row": lambda: torch.randn(4)[:1],
    "torch, in place": lambda: torch.empty(1).normal_(),
    "torch, whole numbers": lambda: torch.randint(0, 1 << 40, ()).double().float() / (1 << 40),
    "hash": lambda: (hash(object()) % 1000003) / 1e6 + random.random(),
    "random": lambda: random.random(),
    "numpy": lambda: float(np.random.rand()),  # noqa: NPY002 - users do
    "generator": lambda: float(DRAWS.random()),
    "clock": lambda: time.perf_counter_ns() % 1e9 / 1e9,
    "imported within": lambda: __import__("random").random(),
}


@pytest.mark.parametrize("name", IMPURE)
def test_what_is_another_number_each_time_is_drawn_at_every_step(name) -> None:
    draw = IMPURE[name]

    class Cell(Base):
        def forward(self, x, h):
            h = h * 0 + x[:, :1] * 0 + draw()
            return h, h

    with pytest.warns(EngineWarning, match="runs in the eager loop"):
        ys, _ = ostinato.scan(Cell(), torch.zeros(20, 2, 3), torch.zeros(2, 4))
    assert len(set(ys[:, 0, 0].tolist())) == 20


def test_the_environment_is_read_at_every_call(monkeypatch) -> None:
    class Cell(Base):
        def gain(self):
            return float(os.environ["OSTINATO_TEST_GAIN"])

    monkeypatch.setenv("OSTINATO_TEST_GAIN", "2")
    assert_follows(Cell(), lambda: monkeypatch.setenv("OSTINATO_TEST_GAIN", "0.5"), compiles=False)


@pytest.mark.parametrize("first", [True, False])
def test_a_branch_on_the_recording_of_gradients_is_followed(first) -> None:
    class Cell(Base):
        def gain(self):
            return 2.0 if torch.is_grad_enabled() else 0.5

    for frozen in (True, False):
        cell = Cell().requires_grad_(not frozen)
        xs, start = torch.randn(5, 3, 3), torch.zeros(3, 4)
        for recording in (first, not first):
            with torch.set_grad_enabled(recording):
                torch.testing.assert_close(ostinato.scan(cell, xs, start)[0], loop(cell, xs, start))


def test_the_default_type_is_followed() -> None:
    class Cell(Base):
        def forward(self, x, h):
            h = torch.tanh(self.a(x) + self.b(h)) + (torch.tensor(1 / 3).double() - 1 / 3).to(x.dtype) * 1e6
            return h, h

    cell = Cell().double()
    xs, start = torch.randn(5, 3, 3, dtype=torch.double), torch.zeros(3, 4, dtype=torch.double)
    before = torch.get_default_dtype()
    try:
        for dtype in (torch.float32, torch.float64):
            torch.set_default_dtype(dtype)
            torch.testing.assert_close(ostinato.scan(cell, xs, start)[0], loop(cell, xs, start))
    finally:
        torch.set_default_dtype(before)


def test_hooks_on_all_modules_run_at_every_step() -> None:
    calls = []
    cell, xs = Base(), torch.randn(5, 3, 3)
    ostinato.scan(cell, xs)
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: calls.append(module))
    try:
        ostinato.scan(cell, xs)
    finally:
        handle.remove()
    assert calls.count(cell) == 5


def test_a_cell_that_changes_its_input_in_place_leaves_the_callers_alone() -> None:
    class Cell(Base):
        def forward(self, x, h):
            x.mul_(0.5)
            h.add_(1.0)
            return super().forward(x, h)

    xs, start = torch.randn(5, 3, 3), torch.randn(3, 4)
    kept = xs.clone(), start.clone()
    with torch.no_grad():
        found = ostinato.scan(Cell(), xs, start)[0]
        assert torch.equal(xs, kept[0])
        assert torch.equal(start, kept[1])
        torch.testing.assert_close(found, loop(Cell(), xs.clone(), start.clone()))
