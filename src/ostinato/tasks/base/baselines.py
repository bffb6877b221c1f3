"""Baselines, each apart: one that fails, or takes too long, takes nothing else with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias, TypeVar

from ostinato.errors import OstinatoError
from ostinato.tasks.base.allowance import Allowance
from ostinato.tasks.base.task import Baseline, Model, Task
from ostinato.training.memory import is_memory_error, memory_size

T = TypeVar("T")
AnyTask: TypeAlias = Task[Any, Any, Any, Any, Any]
LeftOut: TypeAlias = Mapping[str, str]
"""Baseline -> why it does not stand beside the model, in words; under `""`: why none does."""


def made_apart(makers: Mapping[str, Callable[[], T]], allowance: Allowance) -> tuple[dict[str, T], dict[str, str]]:
    """Return what can be made, by name, and why the rest cannot; each has its share of the time.

    What is made may have a better name than was known before, as `called`.

    >>> def fails():
    ...     raise MemoryError
    >>> made_apart({"naive": lambda: 1, "greedy": fails}, Allowance(1.0, 2))
    ({'naive': 1}, {'greedy': 'there was not enough memory'})
    """
    found: dict[str, T] = {}
    left_out: dict[str, str] = {}
    for name, make in makers.items():
        try:
            with allowance.piece():
                made = make()
        except Exception as error:  # noqa: BLE001, the trained model is worth more, whatever it is
            left_out[name] = why(error)
        else:
            found[str(getattr(made, "called", name))] = made
    return found, left_out


def why(error: Exception) -> str:
    """Return why a baseline failed, in words that follow its name.

    >>> why(ValueError("no positive value"))
    'ValueError: no positive value'
    """
    if is_memory_error(error):
        return f"there was not enough memory{memory_size(error)}"
    said = " ".join(str(error).split())
    if isinstance(error, OstinatoError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def sentences(left_out: LeftOut) -> Iterable[str]:
    """Yield a sentence for each baseline that is left out.

    >>> list(sentences({"1-NN DTW": "its share of the time, 5 s, was used up"}))
    ['The baseline 1-NN DTW is left out: its share of the time, 5 s, was used up.']
    """
    for name, reason in left_out.items():
        which = f"The baseline {name} is" if name else "All baselines are"
        yield f"{which} left out: {reason.rstrip('.')}."


def fitted_apart(
    task: AnyTask,
    model: Model[Any, Any],
    train: Any,
    validation: Any,
    seconds: float,
    *,
    judged: bool,
) -> tuple[dict[str, Baseline], dict[str, str], Allowance]:
    """Return the baselines of a model that can be fitted, why the rest cannot, and what is left of their time.

    Args:
        task: says which there are.
        model: what they stand beside.
        train: what it was trained on.
        validation: what decided when to stop.
        seconds: for all of them, to be fitted and, if they are, judged.
        judged: whether they will be.
    """
    try:
        makers = task.baselines(model, train, validation)
    except Exception as error:  # noqa: BLE001, as above
        return {}, {"": why(error)}, Allowance(seconds, 0)
    allowance = Allowance(seconds, len(makers) * (2 if judged else 1))
    return *made_apart(makers, allowance), allowance


def judged_apart(
    task: AnyTask,
    model: Model[Any, Any],
    baselines: Mapping[str, Baseline],
    examples: Any,
    allowance: Allowance,
) -> tuple[dict[str, Any], dict[str, dict[str, float]], dict[str, str]]:
    """Return by name what baselines predict of examples and its measures, and why those that are missing are."""

    def judging(baseline: Baseline) -> tuple[Any, dict[str, float]]:
        predicted = baseline.predict(examples)
        return predicted, task.measures(model, examples, predicted)

    found, left_out = made_apart({name: partial(judging, baseline) for name, baseline in baselines.items()}, allowance)
    kept = {name: value for name, value in found.items() if value[1]}
    return {name: value[0] for name, value in kept.items()}, {name: value[1] for name, value in kept.items()}, left_out
