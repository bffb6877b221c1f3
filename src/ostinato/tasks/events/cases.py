"""From an event log to numbers: what a network reads at each event, and what it is to predict after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ostinato.data import EventLog, EventReading
from ostinato.data.notes import note
from ostinato.errors import DataError
from ostinato.tasks.base.batches import padded
from ostinato.tasks.events.boosting import Boosting, TimeTrees
from ostinato.tasks.events.covariates import Cells, Covariates, useless
from ostinato.tasks.events.features import Clock, Codes, Floats, Pieces, Seen, lags_of, time_numbers, weekdays
from ostinato.tasks.events.mixture import Mixture
from ostinato.tasks.events.times import TimeScale
from ostinato.tasks.events.usual_waits import UsualWaits

END, UNSEEN = "(end of case)", "(not seen in training)"
NOTHING = -100
TIMES = 2
"""Times that are predicted: until the next event, and until the last one."""
_DAY = 86400.0
_COUNTED = 64
_OF_TIMES = 0.45  # of the time in which trees grow, for those of times


@dataclass(frozen=True)
class EventEncoder:
    """What makes numbers of events.

    Args:
        known: the activities, in the order of their numbers, from 1.
        counted: the numbers of those whose count so far is read: all, or of very many the most frequent.
        clock: of working time.
        covariates: the other columns that are read; left: those that are not, and why.
        pieces: of all numbers.
        scales: of the times that are predicted.
        unit: what times are shown in, and how many seconds that is; `("days", 86400)`, or `("units", 1)` where the log
            has whole numbers rather than times, or `("", 1)` where it has none.
        reading: how the training data was read, and later data is.
        longest: the longest pause within a case that was usual, in seconds.
        firsts: how many cases began with each activity.
        mixture: of the network's probabilities with those of trees and counts.
    """

    known: tuple[str, ...]
    counted: NDArray[np.int64]
    clock: Clock
    covariates: Covariates
    left: Mapping[str, str]
    pieces: Pieces
    scales: tuple[TimeScale, ...]
    unit: tuple[str, float]
    reading: EventReading
    longest: float
    firsts: Mapping[str, int]
    mixture: Mixture = field(default_factory=Mixture)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all that may follow, the end of the case and what was not seen last."""
        return (*self.known, END, UNSEEN)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """The number of each activity."""
        return {name: number for number, name in enumerate(self.known, 1)}


class Case(NamedTuple):
    """A case as numbers, one an event, `(events,)`.

    `kinds`: the activity, from 1, 0 if it was not seen in training; `numbers`: `(events, numbers)`, times and
    covariates, NaN where missing; `codes`: `(events, codes)`, the weekday and the covariates that are categories, 0
    where not known; `following`: the class of what comes next, `len(known)` for the end of the case and one more for
    what was not seen in training; `waits`: `(events, TIMES)`, seconds until the next event and until the last one, NaN
    where there is none or it is not known.
    """

    kinds: Codes
    numbers: Floats
    codes: Codes
    following: Codes
    waits: Floats


@dataclass(frozen=True)
class Cases:
    """Cases as numbers; all that is flat is over the events of all cases, one case behind the other."""

    cases: tuple[Case, ...]

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def lengths(self) -> list[int]:
        """Events of each case."""
        return [len(case.kinds) for case in self.cases]

    @cached_property
    def kinds(self) -> NDArray[np.int64]:
        """The activities, flat."""
        return np.concatenate([case.kinds for case in self.cases])

    @cached_property
    def following(self) -> NDArray[np.int64]:
        """What came next, flat."""
        return np.concatenate([case.following for case in self.cases])

    @cached_property
    def waits(self) -> Floats:
        """Times until the next event and the last one, flat `(events, TIMES)`."""
        return np.concatenate([case.waits for case in self.cases])

    @cached_property
    def prefixes(self) -> NDArray[np.int64]:
        """Events up to each one of its case, flat."""
        return np.concatenate([np.arange(length) + 1 for length in self.lengths])

    def seen(self, counted: Codes) -> Seen:
        """Return what is known at each event, flat."""
        return Seen(
            np.concatenate([lags_of(case.kinds) for case in self.cases]),
            np.concatenate([counts_of(counted, case.kinds) for case in self.cases]),
            np.concatenate([case.numbers for case in self.cases]),
            np.concatenate([case.codes for case in self.cases]),
        )

    def judged(self, first_prefix: int, count_end: bool, classes: int) -> NDArray[np.bool_]:
        """Return which events are judged by what came after them, flat.

        Raises:
            DataError: there is none.
        """
        kept = (self.following >= 0) & (self.prefixes >= first_prefix)
        if not count_end:
            kept &= self.following != classes - 1
        if not kept.any():
            raise DataError(
                f"there is nothing to judge in {len(self)} cases by prefixes of {first_prefix} or more events; give "
                "longer or more cases"
            )
        return kept

    def joined(self, other: Cases | None) -> Cases:
        """Return these cases and others."""
        return self if other is None else Cases((*self.cases, *other.cases))


def fit_encoder(
    log: EventLog,
    time_loss: Any,
    *,
    chosen: bool = False,
    trees: bool = False,
    time_trees: bool = True,
    seconds: float | None = None,
    first: Mixture | None = None,
) -> EventEncoder:
    """Find the activities, the columns that are read, and the scales of times of a log.

    Args:
        log: the training part.
        time_loss: see `TimeScale`.
        chosen: whether its columns were asked for, so that all of them are read.
        trees: whether there are trees in the mixture.
        time_trees: whether there are trees of times too.
        seconds: how long these may take to grow, about; `None`: as long as they take.
        first: of a model that was trained before it; there are as many trees as it has.
    """
    kinds = np.array([name for case in log.activities for name in case], object)
    known, counts = np.unique(kinds.astype(str), return_counts=True)
    left = {} if chosen else {name: why for name, column in log.columns.items() if (why := useless(column, kinds))}
    covariates = Covariates.fit({name: column for name, column in log.columns.items() if name not in left})
    clock = Clock.fit(np.concatenate(log.moments))
    numbers = [_case_numbers(clock, covariates, log, row) for row in range(len(log))]
    waits = np.concatenate([_waits(gaps) for gaps in log.gaps])
    dates = log.starts.dtype.kind in "mM"
    unit = ("", 1.0) if not np.isfinite(waits).any() else ("days", _DAY) if dates else ("units", 1.0)
    columns = {name: column for name, column in log.reading.columns.items() if name in covariates.names}
    encoder = EventEncoder(
        known=tuple(known.tolist()),
        counted=np.sort(np.argsort(-counts, kind="stable")[:_COUNTED]) + 1,
        clock=clock,
        covariates=covariates,
        left=left,
        pieces=Pieces.fit(np.concatenate(numbers)),
        scales=tuple(TimeScale.fit(time_loss, waits[:, place]) for place in range(TIMES)),
        unit=unit,
        reading=EventReading(log.time_format, columns),
        longest=_longest(waits[:, 0]),
        firsts=count_firsts(log),
    )
    return replace(encoder, mixture=_mixture(encoder, log, seconds, first, trees=trees, times=time_trees))


def _mixture(
    encoder: EventEncoder, log: EventLog, seconds: float | None, first: Mixture | None, *, trees: bool, times: bool
) -> Mixture:
    """Grow trees, if there are to be any, and count what followed what."""
    cases = Cases(tuple(_encoded(encoder, log, row) for row in range(len(log))))
    classes, grown, of_times = len(encoder.known) + 1, None, None
    if trees:
        seen = cases.seen(encoder.counted)
        known, known_times = (first.trees, first.times) if first else (None, None)
        left = seconds
        if times and encoder.unit[0]:
            part = None if seconds is None else _OF_TIMES * seconds
            rounds = known_times.rounds if known_times else None
            of_times = TimeTrees.fit(seen, scaled_waits(encoder.scales, cases), part, rounds)
            left = None if seconds is None else (1 - _OF_TIMES) * seconds
        grown = Boosting.fit(seen, cases.following, classes, left, known.rounds if known else None)
    kinds, following = [case.kinds for case in cases.cases], [case.following for case in cases.cases]
    usual = None
    if times and encoder.unit[0]:
        usual = UsualWaits.fit(np.concatenate(kinds), cases.waits, len(encoder.known) + 1)
    return Mixture.fit(kinds, following, classes, grown, of_times, usual)


def scaled_waits(scales: Sequence[TimeScale], cases: Cases) -> Floats:
    """Return the times after each event as the losses take them, flat `(events, TIMES)`."""
    return np.stack([scale.scaled(cases.waits[:, place]) for place, scale in enumerate(scales)], -1)


def _longest(waits: Floats) -> float:
    """Return two deviations above the mean, on a logarithmic scale; 0 without times."""
    logs = np.log1p(np.maximum(waits[np.isfinite(waits)], 0.0))
    return float(np.expm1(min(logs.mean() + 2 * logs.std(), 600.0))) if len(logs) else 0.0


def count_firsts(log: EventLog) -> dict[str, int]:
    """Return how many cases of a log begin with each activity."""
    names, counts = np.unique([each[0] for each in log.activities], return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def encode_log(encoder: EventEncoder, log: EventLog) -> Cases:
    """Return all cases of a log as numbers, and say which activities are not known."""
    unknown = [name for name in log.kinds if name not in encoder.index]
    if unknown:
        shown = ", ".join(f'"{name[:80]}"' for name in unknown[:3]) + (", ..." if len(unknown) > 3 else "")
        note(f"{log.origin}: activities that were not in training are taken as unknown ones: {shown}")
    return Cases(tuple(_encoded(encoder, log, row) for row in range(len(log))))


def _encoded(encoder: EventEncoder, log: EventLog, row: int) -> Case:
    known = len(encoder.known)
    kinds = np.array([encoder.index.get(name, 0) for name in log.activities[row]], np.int64)
    following = np.append(np.where(kinds[1:] == 0, known + 1, kinds[1:] - 1), known)
    numbers = _case_numbers(encoder.clock, encoder.covariates, log, row)
    codes = event_codes(encoder.covariates, log.moments[row], _cells(log, row))
    return Case(kinds, numbers, codes, following, _waits(log.gaps[row]))


def _cells(log: EventLog, row: int) -> Cells:
    return {name: column[row] for name, column in log.columns.items()}


def _case_numbers(clock: Clock, covariates: Covariates, log: EventLog, row: int) -> Floats:
    gaps, now = log.gaps[row], log.moments[row]
    before = np.append(np.nan, gaps[1:])
    walls = now, np.append(np.nan, now[:-1]), np.full(len(now), now[0])
    times = time_numbers(clock, np.arange(len(gaps)), before, np.cumsum(gaps), walls)
    return np.concatenate([times, covariates.values(_cells(log, row), len(gaps))], -1)


def counts_of(counted: Codes, kinds: Codes) -> Codes:
    """Return how often each counted activity came up to each event of a case, `(events, counted)`."""
    return np.cumsum(kinds[:, None] == counted, 0, dtype=np.int64)


def event_codes(covariates: Covariates, walls: Floats, cells: Cells) -> Codes:
    """Return the weekday of events and their categories, `(events, 1 + categories)`."""
    return np.concatenate([weekdays(walls)[:, None], covariates.codes(cells, len(walls))], -1)


def _waits(gaps: Floats) -> Floats:
    elapsed = np.cumsum(gaps)
    left = np.append((elapsed[-1] - elapsed)[:-1], np.nan)
    return np.stack([np.append(gaps[1:], np.nan), left], -1)


class EventBatch(NamedTuple):
    """Padded cases.

    Shapes: `kinds (time, batch)`, `numbers (time, batch, numbers)`, `codes (time, batch, codes)`, `counts (time, batch,
    counted)`, how often each activity came so far, `lengths (batch,)`, `following (time, batch)`, -100 where there is
    nothing to predict, `waits (time, batch, TIMES)` in the scales of the losses, NaN likewise.
    """

    kinds: Tensor
    numbers: Tensor
    codes: Tensor
    counts: Tensor
    lengths: Tensor
    following: Tensor
    waits: Tensor


def collate(encoder: EventEncoder, cases: Sequence[Case]) -> EventBatch:
    """Return cases as one batch."""
    import torch

    waits = [np.stack([scale.scaled(case.waits[:, i]) for i, scale in enumerate(encoder.scales)], -1) for case in cases]
    following = [np.where(case.following > len(encoder.known), NOTHING, case.following) for case in cases]
    return EventBatch(
        padded([case.kinds for case in cases]),
        padded([case.numbers.astype(np.float32) for case in cases]),
        padded([case.codes for case in cases]),
        padded([counts_of(encoder.counted, case.kinds).astype(np.float32) for case in cases]),
        torch.tensor([len(case.kinds) for case in cases]),
        padded(following, NOTHING),
        padded([each.astype(np.float32) for each in waits], float("nan")),
    )
