"""A plan is used again only while all that its trace read is as it was: every change is seen, whatever holds it."""

import array
import collections
import contextlib
import dataclasses
import enum
import functools
import itertools
import os
import random
import sys
import threading
import time
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ostinato
from ostinato.engine import compiled, watch
from ostinato.engine.reference import scan_eagerly
from ostinato.engine.state import call_cell
from ostinato.errors import EngineWarning

GAIN = 2.0
SETTINGS = {"gain": [2.0]}
pytestmark = pytest.mark.filterwarnings("ignore::ostinato.errors.EngineWarning")


class Base(nn.Module):
    """A small cell whose gain is found in a way of its own."""

    hidden_size = 4

    def __init__(self, **attributes):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 4)
        for name, value in attributes.items():
            setattr(self, name, value)

    def gain(self):
        return 1.0

    def forward(self, x, h):
        h = torch.tanh(self.a(x) + self.b(h)) * self.gain()
        return h, h


def loop(cell, xs, state):
    ys = []
    for x in xs:
        y, state = call_cell(cell, x, state)
        ys.append(y)
    return torch.stack(ys)


def assert_follows(cell, change, *, compiles=True) -> None:
    """Scan, change something, scan again: both are what a plain loop gives."""
    xs, start = torch.randn(5, 3, 3), torch.randn(3, 4)
    for step in (lambda: None, change):
        step()
        found = ostinato.scan(cell, xs, start)[0]
        torch.testing.assert_close(found, loop(cell, xs, start), rtol=1e-4, atol=1e-4)
        # once more: the plan is used again
        torch.testing.assert_close(ostinato.scan(cell, xs, start)[0], found)
    if compiles:
        assert all(isinstance(plan, compiled.Ready) for plan in compiled._plans[cell].values())


@dataclasses.dataclass
class Config:
    gain: float = 2.0
    inner: object = None


class Slotted:
    __slots__ = ("gain",)

    def __init__(self, gain):
        self.gain = gain


class Level(enum.Enum):
    LOW, HIGH = 0.5, 2.0


class Lookup:
    """Reads whatever name it is asked for."""

    def __init__(self):
        self.values = {"gain": 2.0}

    def __getattr__(self, name):
        return self.__dict__["values"][name]


def reading(read, **attributes):
    """A cell whose gain is `read(self)`; the function is the class's own."""
    kind = type("Reading", (Base,), {"gain": lambda self: read(self), "__module__": __name__})
    return kind(**attributes)


def set_to(name, value):
    return lambda cell: setattr(cell, name, value)


HOLDERS = {
    "dict": (lambda: {"g": 2.0}, lambda c: c.s["g"], lambda c: c.s.update(g=0.5)),
    "nested dict": (lambda: {"a": [{"g": 2.0}]}, lambda c: c.s["a"][0]["g"], lambda c: c.s["a"][0].update(g=0.5)),
    "ordered dict": (
        lambda: collections.OrderedDict(a=2.0, b=0.5), lambda c: next(iter(c.s.values())),
        lambda c: c.s.move_to_end("a"),
    ),
    "default dict": (
        lambda: collections.defaultdict(float, g=2.0), lambda c: c.s["g"], lambda c: c.s.__setitem__("g", 0.5),
    ),
    "counter": (lambda: collections.Counter("aab"), lambda c: float(c.s["a"]), lambda c: c.s.update("a")),
    "chain map": (lambda: collections.ChainMap({"g": 2.0}), lambda c: c.s["g"], lambda c: c.s.maps[0].update(g=0.5)),
    "user dict": (lambda: collections.UserDict(g=2.0), lambda c: c.s["g"], lambda c: c.s.update(g=0.5)),
    "mapping proxy": (
        lambda: types.MappingProxyType({"g": 2.0}), lambda c: c.s["g"],
        lambda c: setattr(c, "s", types.MappingProxyType({"g": 0.5})),
    ),
    "list": (lambda: [2.0], lambda c: c.s[0], lambda c: c.s.__setitem__(0, 0.5)),
    "list of lists": (lambda: [[2.0]], lambda c: c.s[0][0], lambda c: c.s[0].__setitem__(0, 0.5)),
    "deque": (lambda: collections.deque([2.0, 0.5]), lambda c: c.s[0], lambda c: c.s.rotate(1)),
    "set": (lambda: {1, 2}, lambda c: float(len(c.s)), lambda c: c.s.add(3)),
    "tuple": (lambda: (2.0,), lambda c: c.s[0], set_to("s", (0.5,))),
    "array": (lambda: array.array("d", [2.0]), lambda c: c.s[0], lambda c: c.s.__setitem__(0, 0.5)),
    "bytearray": (lambda: bytearray(b"\x02"), lambda c: float(c.s[0]), lambda c: c.s.__setitem__(0, 1)),
    "numpy array": (lambda: np.array([2.0]), lambda c: float(c.s[0]), lambda c: c.s.__setitem__(0, 0.5)),
    "numpy number": (lambda: np.float32(2.0), lambda c: float(c.s), set_to("s", np.float32(0.5))),
    "dataclass": (Config, lambda c: c.s.gain, lambda c: setattr(c.s, "gain", 0.5)),
    "dataclass in a dataclass": (
        lambda: Config(inner=Config()), lambda c: c.s.inner.gain, lambda c: setattr(c.s.inner, "gain", 0.5),
    ),
    "namespace": (lambda: types.SimpleNamespace(g=2.0), lambda c: c.s.g, lambda c: setattr(c.s, "g", 0.5)),
    "slots": (lambda: Slotted(2.0), lambda c: c.s.gain, lambda c: setattr(c.s, "gain", 0.5)),
    "enum": (lambda: Level.HIGH, lambda c: c.s.value, set_to("s", Level.LOW)),
    "partial": (
        lambda: functools.partial(torch.mul, torch.tensor(2.0).item()), lambda c: c.s(1.0) if False else c.s.args[0],
        set_to("s", functools.partial(torch.mul, 0.5)),
    ),
    "lambda": (lambda: lambda: 2.0, lambda c: c.s(), set_to("s", lambda: 0.5)),
    "__getattr__": (Lookup, lambda c: c.s.gain, lambda c: c.s.values.update(gain=0.5)),
    "negative zero": (lambda: 0.0, lambda c: float(np.copysign(1.0, c.s)), set_to("s", -0.0)),
    "true for one": (lambda: 1, lambda c: 2.0 if c.s is True else 0.5, set_to("s", True)),
    "not a number": (lambda: float("nan"), lambda c: 2.0 if c.s != c.s else 0.5, set_to("s", 1.0)),
    "text": (lambda: "high", lambda c: {"high": 2.0, "low": 0.5}[c.s], set_to("s", "low")),
    "tensor in a list": (lambda: [torch.tensor([2.0])], lambda c: c.s[0].tolist()[0], lambda c: c.s[0].mul_(0.25)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOLDERS)
@pytest.mark.parametrize("attribute", ["s", "_s"])
def test_a_change_of_a_setting_is_seen(name, attribute) -> None:
    make, read, change = HOLDERS[name]

    class View:
        """The cell with its setting under the name `s`."""

        def __init__(self, cell):
            object.__setattr__(self, "cell", cell)

        def __getattr__(self, _):
            return getattr(object.__getattribute__(self, "cell"), attribute)

        def __setattr__(self, _, value):
            setattr(object.__getattribute__(self, "cell"), attribute, value)

    if attribute == "s":
        cell = reading(read, s=make())
        assert_follows(cell, lambda: change(cell))
    else:
        cell = reading(lambda c: read(View(c)), _s=make())
        assert_follows(cell, lambda: change(View(cell)), compiles=False)


SCALARS = st.floats(-2, 2, allow_nan=False) | st.integers(-3, 3) | st.booleans() | st.sampled_from(["a", "b"])
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
)


def digest(value) -> float:
    """A number that follows from every leaf of a tree, and from its shape."""
    if isinstance(value, dict):
        return sum((index + 1) * len(key) + 0.7 * digest(item) for index, (key, item) in enumerate(value.items()))
    if isinstance(value, list):
        return 0.3 + sum((index + 1) * 0.6 * digest(item) for index, item in enumerate(value))
    return float(len(value)) + (value == "b") if isinstance(value, str) else float(value) + isinstance(value, bool)


class Tree(Base):
    def gain(self):
        return np.tanh(digest(self.settings)) + 1.5


@settings(max_examples=25, deadline=None)
@given(before=TREES, after=TREES)
def test_any_tree_of_settings_is_watched_in_place(before, after) -> None:
    cell = Tree(settings=[before])

    def change():
        cell.settings[0] = after

    assert_follows(cell, change)


class FromGlobal(Base):
    def gain(self):
        return GAIN


class FromGlobalList(Base):
    def gain(self):
        return SETTINGS["gain"][0]


class FromClass(Base):
    factor = 2.0
    shelf = {"g": 2.0}  # noqa: RUF012 - a class attribute that is changed is the point

    def gain(self):
        return self.factor * self.shelf["g"]


class FromProperty(Base):
    store = [2.0]  # noqa: RUF012

    @property
    def factor(self):
        return self.store[0]

    def gain(self):
        return self.factor


class FromDefault(Base):
    def gain(self, table={"g": 2.0}):  # noqa: B006
        return table["g"]


class ByName(Base):
    def gain(self):
        return getattr(self, "factor" + self.suffix)


def test_a_global_a_class_a_property_or_a_default_that_changes_is_seen(monkeypatch) -> None:
    assert_follows(FromGlobal(), lambda: monkeypatch.setitem(globals(), "GAIN", 0.5))
    assert_follows(FromGlobalList(), lambda: SETTINGS.update(gain=[0.5]))
    assert_follows(FromClass(), lambda: monkeypatch.setattr(FromClass, "factor", 0.5))
    assert_follows(FromClass(), lambda: monkeypatch.setitem(FromClass.shelf, "g", 0.5))
    assert_follows(FromProperty(), lambda: FromProperty.store.__setitem__(0, 0.5))
    table = FromDefault.gain.__defaults__[0]
    assert_follows(FromDefault(), lambda: monkeypatch.setitem(table, "g", 0.5))
    cell = ByName(factor_a=2.0, factor_b=0.5, suffix="_a")
    assert_follows(cell, lambda: setattr(cell, "factor_a", 3.0))
    assert_follows(cell, lambda: setattr(cell, "suffix", "_b"))


def test_an_attribute_that_hides_one_of_the_class_is_seen() -> None:
    cell = FromClass()
    assert_follows(cell, lambda: setattr(cell, "factor", 0.5))
    assert_follows(cell, lambda: cell.__dict__.__setitem__("gain", lambda: 0.25), compiles=False)


def test_a_variable_of_an_enclosing_function_is_seen() -> None:
    gain, table = 2.0, {"g": 2.0}

    class Cell(Base):
        def gain(self):
            return gain * table["g"]

    def change():
        nonlocal gain
        gain = 0.5

    assert_follows(Cell(), change)
    assert_follows(Cell(), lambda: table.update(g=0.25))


def test_a_forward_that_is_replaced_is_seen(monkeypatch) -> None:
    def other(self, x, h):
        h = torch.sigmoid(self.a(x) - self.b(h))
        return h, h

    cell = Base()
    assert_follows(cell, lambda: setattr(cell, "forward", types.MethodType(other, cell)))
    cell = Base()
    with monkeypatch.context() as patch:
        assert_follows(cell, lambda: patch.setattr(Base, "forward", other))
    cell = Base()
    doubled = nn.Linear.forward
    with monkeypatch.context() as patch:
        assert_follows(
            cell, lambda: patch.setattr(nn.Linear, "forward", lambda self, x: 2 * doubled(self, x)), compiles=False
        )
    cell = Base()
    assert_follows(cell, lambda: setattr(Base.gain, "__code__", (lambda self: 0.5).__code__))
    Base.gain.__code__ = (lambda self: 1.0).__code__


CHANGES = {
    "a weight is replaced": lambda c: setattr(c.a, "weight", nn.Parameter(torch.randn(4, 3))),
    "a weight's data is replaced": lambda c: setattr(c.b.weight, "data", torch.randn(4, 4)),
    "a weight is changed through NumPy": lambda c: c.a.weight.detach().numpy().__setitem__(slice(None), 0.3),
    "weights are loaded and assigned": lambda c: c.load_state_dict(
        {name: torch.randn_like(value) for name, value in c.state_dict().items()}, assign=True
    ),
    "weights are tied": lambda c: setattr(c.a, "bias", c.b.bias),
    "a part is replaced": lambda c: setattr(c, "a", nn.Sequential(nn.Linear(3, 4), nn.Tanh())),
    "a part is put under a parametrisation": lambda c: nn.utils.parametrizations.weight_norm(c.a),
    "parts are swapped": lambda c: c._modules.update(b=nn.Sequential(c.b, nn.Linear(4, 4))),
    "a bias is taken away": lambda c: c.a.register_parameter("bias", None),
    "a hook is set on a part": lambda c: c.a.register_forward_hook(lambda m, i, o: 2 * o),
    "a hook is set before a part": lambda c: c.a.register_forward_pre_hook(lambda m, i: (2 * i[0],)),
    "a hook is set on the cell": lambda c: c.register_forward_hook(lambda m, i, o: (2 * o[0], o[1])),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_weights_or_parts_is_seen(name) -> None:
    cell = Base()
    assert_follows(cell, lambda: CHANGES[name](cell), compiles=False)


def test_weights_tied_anew_have_the_gradients_of_the_new_ties() -> None:
    cell = nn.Module.__new__(Base)
    Base.__init__(cell)
    cell.a = nn.Linear(4, 4)
    xs, start = torch.randn(5, 3, 4), torch.zeros(3, 4)
    for change in (lambda: None, lambda: setattr(cell.a, "weight", cell.b.weight)):
        change()
        grads = [
            torch.autograd.grad(run(cell).square().sum(), list(cell.parameters()))
            for run in (lambda c: ostinato.scan(c, xs, start)[0], lambda c: loop(c, xs, start))
        ]
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kinds", itertools.permutations([torch.bool, torch.int64, torch.float32], 2))
def test_a_buffer_of_another_type_is_seen(kinds) -> None:
    class Cell(Base):
        def forward(self, x, h):
            h = torch.where(self.k != 0, torch.tanh(self.a(x) + self.b(h)), h * 0.1) + self.k // 2
            return h, h

    cell = Cell()
    cell.register_buffer("k", torch.tensor([1, 0, 1, 0]).to(kinds[0]))
    assert_follows(cell, lambda: setattr(cell, "k", torch.tensor([0, 3, 1, 1]).to(kinds[1])), compiles=False)


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


def test_states_are_returned_without_a_step_more() -> None:
    cell = Counting(count=0)
    ostinato.scan(cell, torch.randn(5, 3, 3), torch.zeros(3, 4), return_states=True)
    assert cell.count == 5


DRAWS = np.random.default_rng(0)
IMPURE = {
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


@pytest.mark.parametrize("name", sorted(ostinato.cells.CATALOGUE))
def test_no_cell_of_the_catalogue_computes_with_its_batch_or_changes_itself(name) -> None:
    cell = ostinato.cells.CATALOGUE[name](6, 8) if "conv" not in name else None
    if cell is None:
        pytest.skip("convolutional cells have another shape")
    seen = watch.look(cell)
    assert not seen.refusal
    assert seen.holds()
    assert not seen.deep, "a cell of the catalogue is compared object by object, quickly"


@contextlib.contextmanager
def untouched(cell):
    """Watch from another thread that every tensor and mode of a module stays in its place."""
    places = [(m, m.training, dict(m._parameters), dict(m._buffers), set(m.__dict__)) for m in cell.modules()]
    wrong, done = [], threading.Event()

    def watcher():
        while not done.is_set():
            for module, training, parameters, buffers, names in places:
                same = all(module._parameters[key] is value for key, value in parameters.items())
                same &= all(module._buffers[key] is value for key, value in buffers.items())
                if not same or module.training != training or set(module.__dict__) != names:
                    wrong.append(module)

    thread = threading.Thread(target=watcher)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    assert not wrong


@pytest.mark.parametrize("name", ["gru", "slstm", "lstm-layernorm"])
def test_compiling_leaves_the_cell_untouched_at_every_moment(name) -> None:
    cell = ostinato.cells.CATALOGUE[name](7, 11)
    with untouched(cell):
        ys, _ = ostinato.scan(cell, torch.randn(4, 2, 7))
        ys.sum().backward()
        with torch.no_grad():
            ostinato.scan(cell, torch.randn(4, 2, 7), return_states=True)


@pytest.mark.parametrize("grad", [True, False])
def test_threads_that_meet_a_cell_together_get_the_right_numbers(grad) -> None:
    for seed in range(4):
        torch.manual_seed(seed)
        cell = ostinato.cells.CATALOGUE["gru"](5 + seed, 9).requires_grad_(grad)
        xs = torch.randn(5, 3, 5 + seed)
        with torch.no_grad():
            want = scan_eagerly(cell, xs, torch.zeros(3, 9), None, False)[0]
        found, start = [], threading.Barrier(4)

        def job(cell=cell, xs=xs, found=found, start=start):
            start.wait()
            for _ in range(5):
                with torch.set_grad_enabled(grad):
                    found.append(ostinato.scan(cell, xs)[0].detach())

        threads = [threading.Thread(target=job) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 20
        for ys in found:
            torch.testing.assert_close(ys, want)


def test_equal_cells_share_one_plan() -> None:
    cells = [ostinato.cells.CATALOGUE["gru"](6, 7) for _ in range(5)]
    xs = torch.randn(3, 2, 6)
    for cell in cells:
        ostinato.scan(cell, xs)
    plans = {id(plan) for cell in cells for plan in compiled._plans[cell].values()}
    assert len(plans) == 1
    cells[0].extra = 1.0  # what no step reads makes no other plan
    ostinato.scan(cells[0], xs)
    assert {id(plan) for plan in compiled._plans[cells[0]].values()} == plans


def test_a_mode_that_is_on_at_the_first_call_leaves_nothing_behind() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    layer, xs = ostinato.nn.GRU(6, 13), torch.randn(5, 2, 6)
    with FlopCounterMode(display=False):
        first = layer(xs)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["ostinato.engine.scan"], "scan_eagerly", None)
        assert torch.equal(layer(xs)[0], first)


@pytest.mark.parametrize("lengths", [[5, 2, 0], (5, 2, 0), np.array([5, 2, 0])])
def test_lengths_may_be_a_list_or_an_array(lengths) -> None:
    cell, xs = ostinato.cells.CATALOGUE["gru"](3, 4), torch.randn(5, 3, 3)
    want = ostinato.scan(cell, xs, lengths=torch.tensor([5, 2, 0]))[0]
    assert torch.equal(ostinato.scan(cell, xs, lengths=lengths)[0], want)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("lstm", 'cell is the text "lstm"; expected a cell'),
        (nn.LSTM(3, 4), "cell is a LSTM layer, which walks over whole sequences itself"),
        (nn.LSTMCell, r"cell is the class LSTMCell.*make one with LSTMCell\(input_size, hidden_size\)"),
        (None, "cell is of type NoneType"),
    ],
)
def test_what_is_no_cell_is_said_in_one_sentence(cell, message) -> None:
    for call in (lambda: ostinato.scan(cell, torch.randn(5, 3, 3)), lambda: ostinato.explain(cell)):
        with pytest.raises(ostinato.errors.UsageError, match=message):
            call()
