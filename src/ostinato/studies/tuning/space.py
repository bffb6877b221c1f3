"""What is searched: a range or a choice for each parameter, from values or from text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ostinato.errors import UsageError
from ostinato.nn.by_name import cell_name
from ostinato.tasks.base.estimator import Estimator
from ostinato.words import meant

Value: TypeAlias = "float | int | str | bool | Callable[..., Any] | None"
_WORDS: Mapping[str, Value] = {"none": None, "true": True, "false": False}
_HOW = "expected LOW:HIGH, LOW:HIGH:log, LOW:HIGH:STEP or A,B,..., such as 64:512:log"


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: whole or not, on a logarithmic scale, or in steps."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def __str__(self) -> str:
        last = ":log" if self.log else "" if self.step is None else f":{self.step:g}"
        return f"{self.low:g}:{self.high:g}{last}"

    def holds(self, value: Any) -> bool:
        """Tell whether a value lies in the range."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        on_step = self.step is None or math.isclose((value - self.low) % self.step, 0.0, abs_tol=1e-9)
        return self.low <= value <= self.high and on_step


@dataclass(frozen=True)
class Choice:
    """One of some values; a cell of the user's own is known by its name."""

    values: tuple[Value, ...]

    def __str__(self) -> str:
        texts = (str(value).lower() if isinstance(value, bool) else value for value in self.names)
        return ",".join("none" if value is None else str(value) for value in texts)

    @property
    def names(self) -> tuple[Any, ...]:
        """The values as they are written down."""
        return tuple(map(plain_of, self.values))

    def value_of(self, name: Any) -> Value:
        """Return the value that is written down so."""
        return self.values[self.names.index(name)]

    def holds(self, value: Any) -> bool:
        """Tell whether a value is among them."""
        return value in self.values


def plain_of(value: Any) -> Any:
    """Return a value as a study writes it down: a cell of the user's own by its name."""
    return cell_name(value) if callable(value) else value


Dimension: TypeAlias = "Range | Choice"
Space: TypeAlias = "Mapping[str, Dimension | str | Sequence[Value]]"


def read_space(space: Space, estimator: Estimator[Any]) -> dict[str, Dimension]:
    """Return a search space with every parameter checked.

    Args:
        space: by parameter: a `Range`, a `Choice`, values to choose among, or text as `--search` has it.
        estimator: whose parameters they are; the type of a parameter is that of its present value.

    Raises:
        UsageError: there is no such parameter, or its range is invalid.

    >>> from ostinato import LanguageModel
    >>> read_space({"hidden_size": "64:512:log", "cell": ["gru", "lstm"]}, LanguageModel())
    {'hidden_size': Range(low=64, high=512, log=True, step=None, whole=True), 'cell': Choice(values=('gru', 'lstm'))}
    """
    known = estimator.get_params()
    found: dict[str, Dimension] = {}
    for name, given in space.items():
        if name not in known:
            raise UsageError(
                f'a {type(estimator).__name__} has no parameter "{name}" to search; {meant(name, list(known))}'
            )
        found[name] = _dimension(name, given, known[name])
    if not found:
        raise UsageError("there is nothing to search; give a parameter with its range, such as hidden_size=64:512:log")
    return found


def parse_search(texts: Sequence[str]) -> dict[str, str]:
    """Return `NAME=RANGE` texts as a space.

    Raises:
        UsageError: a text has no `=`, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, given = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name or not given.strip():
            raise UsageError(f'--search "{text}" is no NAME=RANGE; {_HOW}, after hidden_size=')
        if name in found:
            raise UsageError(f"--search {name} is given twice; give one range for it")
        found[name] = given.strip()
    return found


def default_space(estimator: Estimator[Any]) -> dict[str, Dimension]:
    """Return what is searched where nothing is said: learning rate, width and dropout, around their values."""
    known = estimator.get_params()
    space: dict[str, Dimension] = {}
    if isinstance(rate := known.get("learning_rate"), float):
        space["learning_rate"] = Range(rate / 5, rate * 5, log=True)
    if isinstance(width := known.get("hidden_size"), int):
        # even numbers: two directions share a width, and so do the heads of attention
        steps = {2 * max(1, round(width * factor / 2)) for factor in (0.5, 0.75, 1.5, 2.0)}
        space["hidden_size"] = Choice(tuple(sorted({*steps, width})))
    if "dropout" in known:
        space["dropout"] = Range(0.0, 0.5)
    if not space:
        raise UsageError(f"a {type(estimator).__name__} has no parameter that is searched by default; name some")
    return space


def _dimension(name: str, given: Dimension | str | Sequence[Value], like: Any) -> Dimension:
    if isinstance(given, Range):
        return _checked(name, given, str(given), _is_whole(like, given.low, given.high))
    if isinstance(given, str):
        return _range(name, given, like) if ":" in given else _choice(name, given, like)
    values = given.values if isinstance(given, Choice) else tuple(given)
    if len(set(values)) < 2:
        raise UsageError(f"{name} is searched among {values}; expected two values or more")
    if len(set(map(plain_of, values))) < len(set(values)):
        raise UsageError(f"{name} is searched among cells of the same name; give each its own")
    return Choice(values)


def _choice(name: str, text: str, like: Any) -> Choice:
    values = tuple(_value(name, part.strip(), like) for part in text.split(",") if part.strip())
    if len(set(values)) < 2:
        raise UsageError(f'{name} is searched in "{text}", which is one value; {_HOW}, or set it without searching')
    return Choice(tuple(dict.fromkeys(values)))


def _value(name: str, text: str, like: Any) -> Value:
    """Return a value of the parameter's own type; of a parameter that has none now, of the type it looks like."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if isinstance(like, str) or callable(like):
        return text
    for kind in (int, float):
        if isinstance(like, bool) or (isinstance(like, int) and kind is float):
            break
        try:
            return kind(text)
        except ValueError:
            continue
    if like is None:
        return text
    raise UsageError(f'{name} is searched at "{text}"; expected a value such as {like!r}')


def _range(name: str, text: str, like: Any) -> Range:
    parts = [part.strip() for part in text.split(":")]
    if len(parts) not in (2, 3):
        raise UsageError(f'{name} is searched in "{text}"; {_HOW}')
    if isinstance(like, (str, bool)) or callable(like):
        raise UsageError(f'{name} is searched in "{text}", but is no number (now {like!r}); expected A,B,...')
    log = len(parts) == 3 and parts[2].lower() == "log"
    numbers = parts[:2] if log else parts
    try:
        low, high, *step = [int(part) if part.lstrip("+-").isdigit() else float(part) for part in numbers]
    except ValueError as error:
        raise UsageError(f'{name} is searched in "{text}", which has no numbers; {_HOW}') from error
    return _checked(name, Range(low, high, log, step[0] if step else None), text, _is_whole(like, low, high))


def _is_whole(like: Any, low: float, high: float) -> bool:
    if isinstance(like, float):
        return False
    return isinstance(like, int) or (isinstance(low, int) and isinstance(high, int))


def _checked(name: str, bounds: Range, text: str, whole: bool) -> Range:
    wrong = None
    if not (math.isfinite(bounds.low) and math.isfinite(bounds.high) and bounds.low < bounds.high):
        wrong = "has no numbers from a low to a high one"
    elif bounds.log and bounds.low <= 0:
        wrong = "is logarithmic and begins at 0 or below"
    elif bounds.step is not None and (bounds.log or not 0 < bounds.step <= bounds.high - bounds.low):
        wrong = "has a step that does not go into it"
    elif whole and any(value is not None and value != int(value) for value in (bounds.low, bounds.high, bounds.step)):
        wrong = "has numbers that are not whole, for a parameter that is"
    if wrong is not None:
        raise UsageError(f'{name} is searched in "{text}", which {wrong}; {_HOW}')
    if not whole:
        return Range(float(bounds.low), float(bounds.high), bounds.log, bounds.step)
    step = None if bounds.step is None else int(bounds.step)
    return Range(int(bounds.low), int(bounds.high), bounds.log, step, whole=True)
