"""A plan is used again only while the code, the surroundings and the weights that its trace met are as they were."""

import dataclasses
import functools
import itertools
import logging
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

import ostinato
from watched import Base, Config, assert_follows, loop

GAIN = 2.0
SETTINGS = {"gain": [2.0]}
pytestmark = pytest.mark.filterwarnings("ignore::ostinato.errors.EngineWarning")


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


@pytest.mark.slow
@pytest.mark.ci
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


class Meta(type):
    @property
    def gain_of_all(cls):
        return cls.level

    level = 2.0


class Described(Base, metaclass=Meta):
    def gain(self):
        return type(self).gain_of_all


class Descriptor:
    def __init__(self, value):
        self.value = value

    def __get__(self, instance, owner=None):
        return self.value


class WithDescriptor(Base):
    level = Descriptor(2.0)

    def gain(self):
        return self.level


class Matching(Base):
    def gain(self):
        match self.s:
            case Config(gain=level):
                return level
        return 1.0


class Showing(Base):
    def gain(self):
        return {"2.0": 2.0, "0.5": 0.5}[f"{self.s.inner}"]


def twice(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return 2.0 * function(*arguments) * wrapper.level

    wrapper.level = 1.0
    return wrapper


class Decorated(Base):
    @twice
    def gain(self):
        return self.factor


class Cached(Base):
    @functools.cached_property
    def factor(self):
        return self.base * 2.0

    def gain(self):
        return self.factor


class UnderNoGrad(Base):
    @torch.no_grad()
    def gain(self):
        return self.factor


def test_what_a_class_makes_of_an_attribute_is_watched(monkeypatch) -> None:
    assert_follows(Described(), lambda: monkeypatch.setattr(Meta, "level", 0.5))
    assert_follows(WithDescriptor(), lambda: setattr(vars(WithDescriptor)["level"], "value", 0.5))
    cell = Matching(s=Config())
    assert_follows(cell, lambda: setattr(cell.s, "gain", 0.5))
    cell = Showing(s=Config(inner=2.0))
    assert_follows(cell, lambda: setattr(cell.s, "inner", 0.5))
    cell = Decorated(factor=1.0)
    assert_follows(cell, lambda: setattr(cell, "factor", 0.5), compiles=False)
    assert_follows(cell, lambda: setattr(Decorated.gain, "level", 0.25), compiles=False)
    cell = Cached(base=1.0)
    assert_follows(cell, lambda: (setattr(cell, "base", 0.25), cell.__dict__.pop("factor")), compiles=False)
    cell = UnderNoGrad(factor=2.0)
    assert_follows(cell, lambda: setattr(cell, "factor", 0.5))


def test_a_module_of_settings_is_watched_however_it_is_reached(monkeypatch) -> None:
    module = types.ModuleType("ostinato_test_settings")
    module.gain, module.inner = 2.0, types.SimpleNamespace(gain=2.0)
    monkeypatch.setitem(sys.modules, "ostinato_test_settings", module)
    monkeypatch.setitem(globals(), "settings_module", module)

    class ByGlobal(Base):
        def gain(self):
            return settings_module.gain  # noqa: F821 - put there above

    class ByImport(Base):
        def gain(self):
            import ostinato_test_settings as found

            return found.inner.gain

    class ByAttribute(Base):
        def gain(self):
            return self.module.gain

    assert_follows(ByGlobal(), lambda: setattr(module, "gain", 0.5))
    assert_follows(ByImport(), lambda: setattr(module.inner, "gain", 0.5))
    assert_follows(ByAttribute(module=module), lambda: setattr(module, "gain", 0.25))
    module.__getattr__ = lambda name: module.inner.gain
    del module.gain
    assert_follows(ByGlobal(), lambda: setattr(module.inner, "gain", 3.0), compiles=False)
    assert_follows(ByAttribute(module=module), lambda: setattr(module.inner, "gain", 0.3), compiles=False)


def test_a_function_elsewhere_that_is_replaced_is_seen(monkeypatch) -> None:
    monkeypatch.setitem(globals(), "helper", lambda: 2.0)

    class Cell(Base):
        def gain(self):
            return helper() * np.sqrt(4.0)  # noqa: F821 - put there above

    assert_follows(Cell(), lambda: monkeypatch.setitem(globals(), "helper", lambda: 0.5))


class ScaledNorm(nn.LayerNorm):
    """A layer of PyTorch with a name of one's own: its `eps` is read by code that is not the cell's."""


class Normed(Base):
    def __init__(self, eps):
        super().__init__()
        self.norm = ScaledNorm(4, eps=eps)

    def forward(self, x, h):
        h = self.norm(torch.tanh(self.a(x) + self.b(h)))
        return h, h


@dataclasses.dataclass(frozen=True)
class Frozen:
    gain: float = 2.0


class Stating(Base):
    def forward(self, x, h):
        if x.dim() != 2:
            raise ValueError(f"x of {type(self)} has {x.dim()} dimensions")
        return super().forward(x, h)

    def gain(self):
        return self.s.gain


def test_a_frozen_dataclass_and_the_text_of_an_error_are_no_reason_to_run_eagerly() -> None:
    cell = Stating(s=Frozen(), logger=logging.getLogger("test"), numbers=torch.Generator())
    assert_follows(cell, lambda: setattr(cell, "s", Frozen(0.5)))


def turn():
    turn.on = not getattr(turn, "on", False)
    return 2.0 if turn.on else 0.5


class Turning(Base):
    def gain(self):
        return turn()


def test_a_switch_kept_on_a_function_is_turned_at_every_step() -> None:
    xs, start = torch.randn(5, 3, 3), torch.zeros(3, 4)
    turn.on = False
    found = ostinato.scan(Turning(), xs, start)[0]
    turn.on = False
    torch.testing.assert_close(found, loop(Turning(), xs, start))


def test_settings_of_layers_derived_from_pytorchs_are_watched() -> None:
    cell = Normed(1e-5)
    assert_follows(cell, lambda: setattr(cell.norm, "eps", 1.0))
    xs, start = torch.randn(5, 3, 3), torch.zeros(3, 4)
    for eps in (1e-5, 2.0):
        torch.testing.assert_close(ostinato.scan(Normed(eps), xs, start)[0], loop(Normed(eps), xs, start))


def test_a_cell_made_where_there_is_no_module_is_watched() -> None:
    space = {"Base": Base, "LEVEL": 2.0}
    exec("class Made(Base):\n    def gain(self):\n        return LEVEL\n", space)
    space.pop("__name__", None)
    assert_follows(space["Made"](), lambda: space.update(LEVEL=0.5))


read = getattr


class ByAnotherName(Base):
    def gain(self):
        return read(self, "lev" + "el")


def test_reading_by_name_is_seen_under_any_name() -> None:
    cell = ByAnotherName(level=2.0)
    assert_follows(cell, lambda: setattr(cell, "level", 0.5))


class Halved(Base):
    def gain(self):
        return 0.5


def test_a_class_that_is_exchanged_is_seen() -> None:
    cell = Base()
    assert_follows(cell, lambda: setattr(cell, "__class__", Halved))


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
    "a weight is kept with its sign turned": lambda c: setattr(c.b.weight, "data", torch._neg_view(torch.randn(4, 4))),
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
