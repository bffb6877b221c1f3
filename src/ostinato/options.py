"""Parameters written once: a field of a dataclass has its name, type, default, range, choices, help and group.

From these fields follow the constructor, the checks, the command line, what is saved and the documentation.

>>> from dataclasses import dataclass
>>> @dataclass(kw_only=True)
... class Sizes:
...     hidden_size: int = option(64, "units", group="model", low=1)
>>> parameters_of(Sizes)[0].describe()
'units (64)'
>>> check(Sizes(hidden_size=0))
Traceback (most recent call last):
ostinato.errors.UsageError: hidden_size is 0; expected one or more
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache, partial
from numbers import Integral, Real
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

from ostinato.errors import UsageError

GROUPS = ("data", "model", "training")
Cell: TypeAlias = str | Callable[..., Any]
"""A cell: a name from `ostinato.cells.PLAIN`, `"transformer"`, or a class or function of input and hidden size."""
_KEY = "option"
_SIMPLE = (bool, int, float, str)


@dataclass(frozen=True)
class _Written:
    """What a field says of its parameter, beside its name, type and default."""

    help: str
    group: str
    low: float | None
    above: float | None
    high: float | None
    below: float | None
    absent: str
    typed: bool


def option(
    default: Any,
    help: str,  # noqa: A002, what argparse calls it too
    *,
    group: str = "data",
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
    absent: str = "",
    typed: bool = True,
    **more: Any,
) -> Any:
    """Return a field of a dataclass of parameters.

    Args:
        default: its value where nothing is said; `dataclasses.MISSING`: it must be given.
        help: what it is, in a line, without its default.
        group: one of `GROUPS`.
        low: of a number, the least.
        above: what it must be more than.
        high: the greatest.
        below: what it must be less than.
        absent: what `None` (or an empty sequence) stands for, in words, for the help.
        typed: whether the command line has it.
        more: of `dataclasses.field`.
    """
    written = _Written(help, group, low, above, high, below, absent, typed)
    return field(default=default, metadata={_KEY: written}, **more)


data = option
model = partial(option, group="model")
training = partial(option, group="training")


@dataclass(frozen=True)
class Parameter:
    """One parameter, as its field has it.

    Args:
        name, default, help, group: see `option`; a `default` of `MISSING`: it must be given.
        kinds: the plain types that a value may have; `"names"` and `"numbers"`: a sequence of these, `"mapping"`,
            `"callable"`.
        choices: the words that a value may be; optional: whether it may be `None`.
        limits: `(low, above, high, below)`.
        absent: what `None` stands for; typed: whether the command line has it.
    """

    name: str
    default: Any
    help: str
    group: str
    kinds: tuple[Any, ...]
    choices: tuple[Any, ...]
    optional: bool
    limits: tuple[float | None, float | None, float | None, float | None]
    absent: str
    typed: bool

    @property
    def flag(self) -> str:
        """The parameter as it is typed on the command line."""
        return "--" + self.name.replace("_", "-")

    def describe(self) -> str:
        """Return the help with the default behind it."""
        return self.help if self.default is MISSING else f"{self.help} ({self._default()})".strip()

    def problem(self, value: Any) -> str:
        """Return what is wrong with a value, in a sentence, or nothing."""
        if value is None:
            return "" if self.optional else f"{self.name} is None; expected {self.expected()}"
        if any(value is each or (type(value) is type(each) and value == each) for each in self.choices):
            return ""
        if not any(_is(value, kind) for kind in self.kinds):
            shown = f'"{value}"' if isinstance(value, str) else repr(value)[:60]
            return f"{self.name} is {shown}; expected {self.expected()}"
        if isinstance(value, Real) and not isinstance(value, bool) and not self._within(float(value)):
            return f"{self.name} is {value}; expected {self.range()}"
        return ""

    def expected(self) -> str:
        """Return in words what a value may be."""
        parts = []
        if self.choices:
            parts.append(f"one of {', '.join(map(str, self.choices))}")
        numbers = next(
            (word for kind, word in ((float, "a number"), (int, "a whole number")) if kind in self.kinds), ""
        )
        if numbers:
            said = self.range()
            parts.append(f"{numbers} of {said}" if said[:1].isdigit() or said.startswith("one") else numbers)
        words = {bool: "true or false", str: "a text", "names": "names", "numbers": "numbers",
                 "mapping": "a mapping", "callable": "a class or function that makes one"}  # fmt: skip
        parts += [word for kind, word in words.items() if kind in self.kinds]
        return " or ".join(parts) + (", or none" if self.optional else "")

    def range(self) -> str:
        """Return the limits in words."""
        low, above, high, below = self.limits
        top = below if high is None else high
        if low == 0 and below == 1:
            return "a share from 0 to 1, 1 excluded"
        if top is not None and (low == 0 or above == 0):
            if low is None:
                return f"a share above 0, up to {top:g}" if below is None else f"a share between 0 and {top:g}"
            return f"a share from 0 to {top:g}" + ("" if below is None else f", {top:g} excluded")
        if above is not None:
            return f"more than {above:g}" + ("" if top is None else f", up to {top:g}")
        if low is not None:
            return ("one or more" if low == 1 else f"{low:g} or more") + ("" if top is None else f", up to {top:g}")
        return "" if top is None else f"{top:g} at most"

    def _within(self, value: float) -> bool:
        low, above, high, below = self.limits
        return bool(
            (low is None or value >= low)
            and (above is None or value > above)
            and (high is None or value <= high)
            and (below is None or value < below)
            and value == value
        )

    def _default(self) -> str:
        if self.absent and (self.default is None or self.default == ()):
            return self.absent
        if isinstance(self.default, bool):
            return "yes" if self.default else "no"
        if isinstance(self.default, float):
            return f"{self.default:.4g}"
        if isinstance(self.default, tuple):
            return ",".join(map(str, self.default)) or "none"
        return "none" if self.default is None else str(self.default)


def parameters_of(kind: Any) -> tuple[Parameter, ...]:
    """Return the parameters of a dataclass: those of the data first, then of the model, then of the training."""
    return _parameters_of(kind)


@cache
def _parameters_of(kind: Any) -> tuple[Parameter, ...]:
    found = [
        _parameter(each.name, _annotation(kind, each.name), each.default, each.metadata[_KEY])
        for each in fields(kind)
        if _KEY in each.metadata
    ]
    return tuple(sorted(found, key=lambda each: GROUPS.index(each.group)))


def values_of(parameters: Any) -> dict[str, Any]:
    """Return the values of an object's parameters by their names."""
    return {each.name: getattr(parameters, each.name) for each in parameters_of(type(parameters))}


def check(parameters: Any) -> None:
    """Refuse values that no parameter can have.

    Raises:
        UsageError: a value is of another type, out of range, or no choice.
    """
    for each in parameters_of(type(parameters)):
        problem = each.problem(getattr(parameters, each.name))
        if problem:
            raise UsageError(problem)


def _parameter(name: str, annotation: Any, default: Any, written: _Written) -> Parameter:
    kinds: list[Any] = []
    choices: list[Any] = []
    optional = False
    for part in _parts(annotation):
        origin = get_origin(part)
        if part is type(None):
            optional = True
        elif origin is Literal:
            choices += get_args(part)
        elif part in _SIMPLE:
            kinds.append(part)
        elif origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
            kinds.append("mapping")
        elif origin is not None and isinstance(origin, type) and issubclass(origin, Sequence):
            inner = [each for item in get_args(part) if item is not Ellipsis for each in _parts(item)]
            kinds.append("names" if str in inner else "numbers")
        else:
            kinds.append("callable")
    limits = written.low, written.above, written.high, written.below
    return Parameter(
        name, default, written.help, written.group, tuple(kinds), tuple(choices), optional, limits, written.absent,
        written.typed,
    )  # fmt: skip


def _annotation(kind: type, name: str) -> Any:
    """Return the type of a field, as the class that has it says."""
    home = next(each for each in kind.__mro__ if name in vars(each).get("__annotations__", {}))
    given = home.__annotations__[name]
    return eval(given, vars(sys.modules[home.__module__])) if isinstance(given, str) else given


def _parts(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(part for argument in get_args(annotation) for part in _parts(argument))
    return (annotation,)


def _is(value: Any, kind: Any) -> bool:
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    if kind is str:
        return isinstance(value, str)
    if kind == "mapping":
        return isinstance(value, Mapping)
    if kind == "callable":
        return callable(value)
    inner = (str, Integral) if kind == "names" else (Real,)
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(each, inner) for each in value)
