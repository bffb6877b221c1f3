"""How fast a run goes: its seconds, how long its steps take, and what follows from that."""

from __future__ import annotations

import math
from time import monotonic

from ostinato.training.budget import FIRST_STEPS, Budget, Expected
from ostinato.training.config import TrainingConfig
from ostinato.training.position import Position

_TIMED_STEPS = 5  # that tell how long the rest takes


class Pace:
    """A watch on a run. What it measures is kept in the run's position, so that a resumed run has it too.

    Args:
        at: where the run stands.
        config: its settings.
        epoch_steps: steps of an epoch.
    """

    def __init__(self, at: Position, config: TrainingConfig, epoch_steps: int) -> None:
        assert config.epochs is not None, "TrainingConfig refuses None"
        self.at, self.config, self.epoch_steps, self.epochs = at, config, epoch_steps, config.epochs
        self.budget = Budget(self.epochs * epoch_steps, config.max_seconds)
        self._started = self._last = monotonic()
        self._made, self._told = 0, False  # steps that this process made, and whether it said how long the rest takes
        self._steps, self._seconds = 0, 0.0  # since `taken`

    # --- seconds --------------------------------------------------------------------------------------------------

    def gone(self) -> float:
        """Return the seconds since the run began, those before it was stopped and resumed among them."""
        return self.at.seconds + monotonic() - self._started

    def count(self) -> None:
        """Write down the seconds so far."""
        now = monotonic()
        self.at.seconds, self._started = self.at.seconds + now - self._started, now

    def is_over(self) -> bool:
        """Tell whether no time is left for another step."""
        return self.budget.is_over(self.gone(), self.at.validation)

    def progress(self, number: int) -> float:
        """Return the share of the budget that is used before a step, counted from 0; it never falls."""
        at = self.at
        at.progress = max(at.progress, self.budget.progress(number, self.gone(), at.setup, at.validation))
        return at.progress

    # --- steps ----------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Leave out what came before the next step: a validation, a checkpoint."""
        self._last = monotonic()

    def step(self, done: int) -> None:
        """Take note of the end of a step, after which so many are done; the first ones compile, and tell nothing."""
        at, now = self.at, monotonic()
        took, self._last, self._made = now - self._last, now, self._made + 1
        self._steps, self._seconds = self._steps + 1, self._seconds + took
        if at.setup == 0 and done >= FIRST_STEPS:
            at.setup = max(self.gone(), 1e-9)
        if self._made > FIRST_STEPS:
            at.timed_steps, at.timed_seconds = at.timed_steps + 1, at.timed_seconds + took

    def step_seconds(self) -> float:
        """Return how long a step takes."""
        return self.at.timed_seconds / max(self.at.timed_steps, 1)

    def taken(self) -> float:
        """Return the steps a second since this was last asked."""
        found = self._steps / max(self._seconds, 1e-9)
        self._steps, self._seconds = 0, 0.0
        return found

    def is_known(self) -> bool:
        """Tell whether enough steps were timed to say how long the rest takes."""
        least = min(1.0, 0.01 * (self.budget.seconds or 100.0))
        return self.at.timed_steps >= _TIMED_STEPS and self.at.timed_seconds >= least

    # --- what follows ---------------------------------------------------------------------------------------------

    def is_due(self) -> bool:
        """Tell whether to validate here, within an epoch: decided by the first steps that are timed, once for all.

        Shortly before the end of the epoch, which is validated anyway, it is not worth it.
        """
        at = self.at
        if at.every is None and self.is_known():
            at.every = self.budget.steps_between_validations(self.epoch_steps, self.step_seconds(), at.validation)
        every = at.every or 0
        return every > 0 and at.batch % every == 0 and self.epoch_steps - at.batch > every / 2

    def validations_an_epoch(self) -> int:
        """Return how often an epoch is validated."""
        return math.ceil(self.epoch_steps / (self.at.every or self.epoch_steps))

    def expected(self) -> Expected | None:
        """Return how long it is going to take, the first time that it is known."""
        if self._told or not self.is_known():
            return None
        self._told = True
        at, each, config = self.at, self.step_seconds(), self.config
        seconds = at.setup + self.budget.steps * each + self.epochs * at.validation
        seconds = seconds if config.max_seconds is None else min(seconds, config.max_seconds)
        return Expected(
            seconds, self.epochs, self.epoch_steps * each + at.validation, config.patience, config.max_seconds
        )

    def expected_steps(self, expected: Expected) -> int:
        """Return how many steps there are going to be."""
        return min(self.budget.steps, round(expected.seconds / max(expected.epoch_seconds, 1e-9) * self.epoch_steps))
