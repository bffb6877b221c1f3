"""A bounded share of time for what stands beside a model: its baselines, as they are fitted and as they are judged.

Nobody asked for a baseline to be waited for. Each is fitted, and predicts, within a deadline that it can ask for with
`deadline()` from wherever it is in its work; outside a fit or an evaluation there is none. As with the listeners of
training, the deadline reaches through the calls between the two, in this thread only, so that no signature names it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from ostinato.errors import OutOfTime

LEAST_SECONDS, SHARE = 20.0, 0.25
"""All baselines together take, to be fitted and judged, at most these seconds, or this share of the training's."""
FEW_SECONDS = 6.0
"""With half of a time limit, the least that they may take together, if that is less."""

_MOMENT = 0.5  # seconds


@dataclass(frozen=True)
class Deadline:
    """When a piece of work must end.

    Args:
        at: on the clock of `time.monotonic`; infinite: never.
        seconds: how long the piece had.

    >>> Deadline().left(), Deadline(at=0.0, seconds=5.0).passed
    (inf, True)
    """

    at: float = math.inf
    seconds: float = math.inf

    def left(self) -> float:
        """Return the seconds that are left; less than none once it has passed."""
        return self.at - time.monotonic()

    @property
    def passed(self) -> bool:
        """Whether it has passed."""
        return self.left() <= 0

    def check(self) -> None:
        """Raise `OutOfTime` if it has passed; to be called every now and then within long work."""
        if self.passed:
            raise OutOfTime(f"its share of the time, {self.seconds:.3g} s, was used up")


_NEVER = Deadline()
_DEADLINE: ContextVar[Deadline] = ContextVar("deadline of a piece of work", default=_NEVER)


def deadline() -> Deadline:
    """Return the deadline of the work that this is called in; one that never comes, if nobody set any."""
    return _DEADLINE.get()


class Allowance:
    """Seconds for several pieces of work, one after another.

    A piece may take what is left, but for half an equal share that is kept for each piece after it: the first cannot
    starve the last, and what one does not use the next ones may. Even after one that heeds no deadline each has a
    moment, in which what is simple can be done.

    Args:
        seconds: for all of them.
        pieces: how many there are.

    >>> allowance = Allowance(8.0, pieces=4)
    >>> with allowance.piece() as first:
    ...     first is deadline(), round(first.seconds)
    (True, 5)
    """

    def __init__(self, seconds: float, pieces: int) -> None:
        self.end = time.monotonic() + seconds
        self.moment = min(_MOMENT, seconds / 10)
        self.kept, self.pieces = seconds / (2 * max(pieces, 1)), pieces

    @contextmanager
    def piece(self) -> Iterator[Deadline]:
        """Set the deadline of the next piece for as long as the block lasts.

        Raises:
            OutOfTime: there is no time at all.
        """
        self.pieces = max(self.pieces - 1, 0)
        at = self.end - self.kept * self.pieces
        at = max(at, time.monotonic() + self.moment)
        limit = Deadline(at, max(at - time.monotonic(), 0.0))
        limit.check()
        token = _DEADLINE.set(limit)
        try:
            yield limit
        finally:
            _DEADLINE.reset(token)


def seconds_beside(training: float, limit: float | None = None) -> float:
    """Return how many seconds all baselines of a model together may take.

    Args:
        training: how long its training took.
        limit: the time limit of its fit; after a short one they may take half as long and a few seconds.

    >>> seconds_beside(2000.0), seconds_beside(8.0, limit=8.0)
    (500.0, 10.0)
    """
    least = LEAST_SECONDS if limit is None else min(LEAST_SECONDS, FEW_SECONDS + limit / 2)
    return max(least, SHARE * training)
