"""From an event log to numbers: what a network reads at each event, and what it is to predict after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ostinato.data import EventLog, TimeFormat
from ostinato.data.notes import note
from ostinato.errors import DataError
from ostinato.tasks.base.batches import padded
from ostinato.tasks.events.features import Floats, TimeFeatures
from ostinato.tasks.events.times import TimeScale

END, UNSEEN = "(end of case)", "(not seen in training)"
NOTHING = -100
TIMES = 2
"""Times that are predicted: until the next event, and until the last one."""
_DAY = 86400.0


@dataclass(frozen=True)
class EventEncoder:
    """What makes numbers of events.

    Args:
        known: the activities, in the order of their numbers, from 1.
        features: of times.
        scales: of the times that are predicted.
        unit: what times are shown in, and how many seconds that is; `("days", 86400)`, or `("units", 1)` where the log
            has whole numbers rather than times, or `("", 1)` where it has none.
        reading: how the times of the training data are written, and later ones are read.
        firsts: how many cases began with each activity.
    """

    known: tuple[str, ...]
    features: TimeFeatures
    scales: tuple[TimeScale, ...]
    unit: tuple[str, float]
    reading: TimeFormat
    firsts: Mapping[str, int]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all that may follow, the end of the case and what was not seen last."""
        return (*self.known, END, UNSEEN)


class Case(NamedTuple):
    """A case as numbers, one an event, `(events,)`.

    `kinds`: the activity, from 1, 0 if it was not seen in training; `features`: `(events, FEATURES)`; `following`: the
    class of what comes next, `len(known)` for the end of the case and one more for what was not seen in training;
    `waits`: `(events, TIMES)`, seconds until the next event and until the last one, NaN where there is none or it is
    not known.
    """

    kinds: NDArray[np.int64]
    features: Floats
    following: NDArray[np.int64]
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


def fit_encoder(log: EventLog, time_loss: Any) -> EventEncoder:
    """Find the activities and the scales of times of a log."""
    features = TimeFeatures.fit(log.gaps)
    firsts: dict[str, int] = {}
    for activities in log.activities:
        firsts[activities[0]] = firsts.get(activities[0], 0) + 1
    encoder = EventEncoder(log.kinds, features, (), ("", 1.0), log.time_format, firsts)
    waits = encode_log(encoder, log).waits
    scales = tuple(TimeScale.fit(time_loss, waits[:, place]) for place in range(TIMES))
    dates = log.starts.dtype.kind in "mM"
    unit = ("", 1.0) if not np.isfinite(waits).any() else ("days", _DAY) if dates else ("units", 1.0)
    return EventEncoder(log.kinds, features, scales, unit, log.time_format, firsts)


def encode_log(encoder: EventEncoder, log: EventLog) -> Cases:
    """Return all cases of a log as numbers, and say which activities are not known."""
    index = {name: number for number, name in enumerate(encoder.known, 1)}
    unknown = [name for name in log.kinds if name not in index]
    if unknown:
        shown = ", ".join(f'"{name[:80]}"' for name in unknown[:3]) + (", ..." if len(unknown) > 3 else "")
        note(f"{log.origin}: activities that were not in training are taken as unknown ones: {shown}")
    rows = zip(log.activities, log.gaps, log.moments, strict=True)
    return Cases(tuple(_encoded(encoder.features, index, *row) for row in rows))


def _encoded(
    features: TimeFeatures, index: Mapping[str, int], activities: Sequence[str], gaps: Floats, moments: Floats
) -> Case:
    kinds = np.array([index.get(name, 0) for name in activities], np.int64)
    following = np.append(np.where(kinds[1:] == 0, len(index) + 1, kinds[1:] - 1), len(index))
    elapsed = np.cumsum(gaps)
    left = np.append((elapsed[-1] - elapsed)[:-1], np.nan)
    return Case(kinds, features.of_case(gaps, moments), following, np.stack([np.append(gaps[1:], np.nan), left], -1))


class EventBatch(NamedTuple):
    """Padded cases.

    Shapes: `kinds (time, batch)`, `features (time, batch, FEATURES)`, `lengths (batch,)`, `following (time, batch)`,
    -100 where there is nothing to predict, `waits (time, batch, TIMES)` in the scales of the losses, NaN likewise.
    """

    kinds: Tensor
    features: Tensor
    lengths: Tensor
    following: Tensor
    waits: Tensor


def collate(encoder: EventEncoder, cases: Sequence[Case]) -> EventBatch:
    """Return cases as one batch."""
    import torch

    waits = [np.stack([own.scaled(case.waits[:, i]) for i, own in enumerate(encoder.scales)], -1) for case in cases]
    following = [np.where(case.following > len(encoder.known), NOTHING, case.following) for case in cases]
    return EventBatch(
        padded([case.kinds for case in cases]),
        padded([case.features.astype(np.float32) for case in cases]),
        torch.tensor([len(case.kinds) for case in cases]),
        padded(following, NOTHING),
        padded([own.astype(np.float32) for own in waits], float("nan")),
    )


def join_logs(first: EventLog, second: EventLog) -> EventLog:
    """Return the cases of two logs, one behind the other.

    Raises:
        DataError: one has times and the other numbers.
    """
    if first.starts.dtype.kind != second.starts.dtype.kind:
        raise DataError(f"{first.origin} has other times than {second.origin}; expected times, or numbers, in both")
    return EventLog(
        first.origin,
        first.cases + second.cases,
        first.activities + second.activities,
        first.gaps + second.gaps,
        np.concatenate([first.starts, second.starts]),
        first.time_format,
    )
