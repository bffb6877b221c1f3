"""A plan is used again only while every setting that its trace read is as it was, whatever holds it."""

import array
import collections
import enum
import functools
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from watched import Base, Config, assert_follows

pytestmark = pytest.mark.filterwarnings("ignore::ostinato.errors.EngineWarning")


class Slotted:
    __slots__ = ("gain",)

    def __init__(self, gain):
        self.gain = gain


class Level(enum.Enum):
    LOW, HIGH = 0.5, 2.0


class Marked(enum.Enum):
    ONE = 1

    def __init__(self, _):
        self.weight = 2.0


TABLE = {"g": 2.0}


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
    "mapping proxy over a table": (
        lambda: types.MappingProxyType(TABLE), lambda c: c.s["g"], lambda c: TABLE.update(g=0.5),
    ),
    "attribute of an enum": (lambda: Marked.ONE, lambda c: c.s.weight, lambda c: setattr(Marked.ONE, "weight", 0.5)),
    "equal ranges": (lambda: range(0, 3, 2), lambda c: float(c.s.stop), set_to("s", range(0, 4, 2))),
    "complex zero": (lambda: 0j, lambda c: float(np.copysign(1.0, c.s.imag)), set_to("s", complex(0.0, -0.0))),
    "bound item": (
        lambda: collections.deque([2.0]).__getitem__, lambda c: c.s(0), lambda c: c.s.__self__.__setitem__(0, 0.5),
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


@settings(max_examples=10, deadline=None)
@given(before=TREES, after=TREES)
@pytest.mark.slow
@pytest.mark.ci
def test_any_tree_of_settings_is_watched_in_place(before, after) -> None:
    cell = Tree(settings=[before])

    def change():
        cell.settings[0] = after

    assert_follows(cell, change)
