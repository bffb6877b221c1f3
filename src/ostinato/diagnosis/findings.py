"""All that was measured of a model, before it is judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ostinato.diagnosis.answers import Answers
from ostinato.diagnosis.attribution import Contributions
from ostinato.diagnosis.dynamics import Jacobians, Motion
from ostinato.diagnosis.evidence import Given, Losses
from ostinato.diagnosis.flow import Flow, Memory
from ostinato.diagnosis.padding import Leak
from ostinato.diagnosis.rates import Rates
from ostinato.diagnosis.stages import Stage
from ostinato.diagnosis.subject import NotMeasured
from ostinato.diagnosis.units import Units
from ostinato.diagnosis.walks import Walk
from ostinato.errors import UsageError
from ostinato.tasks.base.apart import Overfitting
from ostinato.tasks.base.steps import StepUnit

T = TypeVar("T")
_FAILS = (RuntimeError, ValueError, TypeError, IndexError, AttributeError, NotImplementedError, ArithmeticError)


@dataclass(frozen=True)
class Context:
    """What is known beside the model, the batch and the loss.

    Args:
        title: of what it is.
        unit: what a recurrent step is.
        options: the parameters of the estimator, of which treatments are options; `None`: it is no estimator of ours.
        history: rows of a fit.
        coverage: of intervals, by what they promise, both shares from 0 to 1; answers: how many were counted.
        rivals: baselines that are as good or better, by name, with a sentence on how they stand.
        undecided: baselines that look as good, where there are too few answers to tell.
        continues: whether the next batch goes on where this one ends, so that gradients are cut between them.
    """

    title: str
    unit: StepUnit = field(default_factory=StepUnit)
    options: frozenset[str] | None = None
    history: tuple[Mapping[str, float], ...] = ()
    coverage: Mapping[float, float] = field(default_factory=dict)
    answers: int = 0
    rivals: Mapping[str, str] = field(default_factory=dict)
    undecided: tuple[str, ...] = ()
    continues: bool = False


@dataclass
class LayerFindings:
    """What was measured of one layer and direction."""

    walk: Walk
    units: Units
    motion: Motion
    jacobians: Jacobians | None = None


@dataclass
class StageFindings:
    """What was measured of one recurrent part; `untaught` counts its weights if the loss has no gradient by any."""

    stage: Stage
    untaught: int = 0
    flow: Flow | None = None
    memory: Memory | None = None
    layers: list[LayerFindings] = field(default_factory=list)


@dataclass
class Findings:
    """All that was measured; what was not is `None`, and `skipped` says why."""

    context: Context
    stages: list[StageFindings]
    losses: Losses
    answers: Answers | None = None
    leak: Leak | None = None
    given: Given | None = None
    far: float = float("nan")
    rates: Rates | None = None
    apart: Overfitting | None = None
    contributions: Contributions | None = None
    attention: NDArray[np.float64] | None = None
    skipped: list[str] = field(default_factory=list)

    @property
    def main(self) -> StageFindings:
        """The part that reads most."""
        return self.stages[0]


@dataclass
class Clock:
    """What is left of the time, and what was left out for want of it."""

    seconds: float
    began: float = field(init=False)
    skipped: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = time.monotonic()

    def left(self, share: float = 1.0) -> bool:
        """Tell whether less than a share of the time is over."""
        return time.monotonic() - self.began < share * self.seconds

    def spent(self) -> float:
        """Return how many seconds went by."""
        return time.monotonic() - self.began

    def attempt(self, what: str, measure: Callable[..., T], *arguments: Any, share: float = 1.0) -> T | None:
        """Measure something if there is time; say why if it cannot be."""
        if not self.left(share):
            self.skipped.append(f"{what}: the time was over; give more max_seconds than {self.seconds:g}")
            return None
        try:
            return measure(*arguments)
        except UsageError:
            raise
        except _FAILS as error:
            said = " ".join(str(error).split())[:160]
            self.skipped.append(
                f"{what}: {'' if isinstance(error, NotMeasured) else f'{type(error).__name__}: '}{said}"
            )
            return None
