"""How far a run has come towards the end of its budget: of its steps, or of its time where that ends first.

Learning rates follow this progress, so that a schedule ends when training does, whichever limit ends it. Time counts
from the first steps on, which compile; the validation that comes last is kept free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ostinato.words import counted, rough

WARMUP_SHARE = 0.1
"""Of the progress, the most that a warm-up takes where there is a limit of time."""
FIRST_STEPS = 3
"""Steps that compile, and so tell nothing of those that follow."""
_VALIDATIONS = 10  # wanted within a budget of time
_VALIDATING = 0.1  # of the budget, at most, by choice
_KEPT_FREE = 0.25  # of the budget, at most, for the validation at its end


@dataclass(frozen=True)
class Budget:
    """What ends a run: its steps in all, and perhaps a time limit in seconds."""

    steps: int
    seconds: float | None = None

    def progress(self, step: int, gone: float, setup: float, validation: float) -> float:
        """Return the share of the budget that is used before a step, 0 to 1: the greater of its steps' and its time's.

        Args:
            step: counted from 0.
            gone: seconds since the run began.
            setup: how many of them were gone when the first steps had been compiled; 0: they are not yet.
            validation: seconds that the last validation took; as many are kept free for the one at the end.

        >>> Budget(1000, 60.0).progress(10, gone=35.0, setup=10.0, validation=0.0)
        0.5
        """
        done = step / max(self.steps, 1)
        if self.seconds is None:
            return done
        usable = self.seconds - self.reserved(validation) - setup
        in_time = 0.0 if setup <= 0 else 1.0 if usable <= 0 else (gone - setup) / usable
        return min(max(done, in_time, 0.0), 1.0)

    def is_over(self, gone: float, validation: float) -> bool:
        """Tell whether no time is left for another step."""
        return self.seconds is not None and gone + self.reserved(validation) > self.seconds

    def reserved(self, validation: float) -> float:
        """Return the seconds that are kept free for the validation at the end."""
        return 0.0 if self.seconds is None else min(validation, _KEPT_FREE * self.seconds)

    def steps_between_validations(self, epoch_steps: int, step_seconds: float, validation: float) -> int:
        """Return after how many steps to validate within an epoch; 0: at its end is enough.

        An epoch that takes much of the budget is validated within, so that there are some ten validations in all; fewer
        if they would take more than a tenth of the time.

        >>> Budget(10**6, 100.0).steps_between_validations(10_000, step_seconds=0.1, validation=0.1)
        100
        >>> Budget(10**6, 100.0).steps_between_validations(50, step_seconds=0.1, validation=0.1)
        0
        """
        if self.seconds is None:
            return 0
        wanted = min(max(_VALIDATING * self.seconds / max(validation, 1e-9), 2.0), _VALIDATIONS)
        parts = math.ceil(epoch_steps * step_seconds * wanted / self.seconds - 1e-9)
        return math.ceil(epoch_steps / parts) if parts > 1 else 0


@dataclass(frozen=True)
class Expected:
    """How long a run is going to take, said once its first steps are measured.

    Args:
        seconds: all of it, with what is done already, if nothing stops it before.
        epochs: at most; epoch_seconds: of one.
        patience: epochs without a better loss that end it before; `None`: none do.
        max_seconds: its time limit; `None`: it has none.
    """

    seconds: float
    epochs: int
    epoch_seconds: float
    patience: int | None
    max_seconds: float | None

    def __str__(self) -> str:
        """Say it in one sentence.

        >>> print(Expected(90.0, 30, 3.0, 5, None))
        training takes about 1.5 min: 30 epochs of 3 s; it ends before that if the loss is no better for 5 epochs
        >>> print(Expected(60.0, 30, 9.0, None, 60.0))
        training takes about 1 min: its time limit, which ends it after 6.7 of 30 epochs of 9 s
        """
        all_of_them = counted(self.epochs, f"epochs of {in_words(self.epoch_seconds)}")
        limited = self.max_seconds is not None and self.seconds >= self.max_seconds
        after = self.seconds / max(self.epoch_seconds, 1e-9)
        said = f"its time limit, which ends it after {rough(after)} of {all_of_them}"
        patience = (
            f"; it ends before that if the loss is no better for {counted(self.patience, 'epochs')}"
            if self.patience
            else ""
        )
        what = said if limited else all_of_them
        return f"training takes about {in_words(self.seconds)}: {what}{patience}"


def in_words(seconds: float) -> str:
    """Return a time as one says it.

    >>> in_words(0.034), in_words(14.2), in_words(200), in_words(9000), in_words(540_000)
    ('0.034 s', '14 s', '3.3 min', '2.5 h', '150 h')
    """
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min")):
        if seconds < limit:
            return f"{rough(seconds / size)} {unit}"
    return f"{rough(seconds / 3600)} h"
