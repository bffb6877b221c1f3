"""Courses of patients as steps, one a visit, with what came of them; and what is fitted on the training part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.data.health import UNITS, HealthReading, Patients
from ostinato.data.health.scales import Scales
from ostinato.data.health.steps import PatientSteps, steps_of
from ostinato.data.health.summaries import KEPT, READ, TIMES, of_batch, width
from ostinato.errors import DataError
from ostinato.tasks.base.batches import like_lengths

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
LEVELS = (0.1, 0.5, 0.9)
"""The quantiles of next values that are predicted."""
_PARTS = (0, 1, 4)  # last, mean and change, of which heads are linear
_ROWS = 256
_CHANGES = 0.02  # share of pairs of visits in which a value is another one, of what has a course


@dataclass(frozen=True)
class ProgressionEncoder:
    """What was fitted on the training part; times are hours.

    Args:
        variables: what is read, in its order.
        scales: of their values.
        targets: those variables whose next values are predicted, by place.
        ends: `(intervals,)`, where each interval of the time ahead ends.
        causes: the codes of events.
        cause: the place of the one that measures are of.
        scale: hours that count as one unit of time.
        gap: hours to a usual next visit.
        longest: hours from the beginning to the last visit of a long course.
        landmarks: at which risks are judged.
        horizon: how far behind a landmark.
        horizons: times ahead of which risks are predicted.
        unit: of the times that are said.
        reading: how the data was read.
        stretch: `(targets,)`, by which intervals of next values are wider than the network has them.
    """

    variables: tuple[str, ...]
    scales: Scales
    targets: tuple[int, ...]
    ends: Floats
    causes: tuple[int, ...]
    cause: int
    scale: float
    gap: float
    longest: float
    landmarks: Floats
    horizon: float
    horizons: Floats
    unit: str
    reading: HealthReading
    stretch: Floats = field(default_factory=lambda: np.ones(0))

    @cached_property
    def index(self) -> dict[str, int]:
        """The place of each variable."""
        return {name: place for place, name in enumerate(self.variables)}

    @property
    def hours(self) -> float:
        """Hours of the unit in which times are said."""
        return UNITS[self.unit]

    @property
    def sizes(self) -> dict[str, int]:
        """Whole numbers that the network is made of."""
        return {
            "variables": len(self.variables), "targets": len(self.targets), "intervals": len(self.ends),
            "causes": len(self.causes),
        }  # fmt: skip


class Marks(NamedTuple):
    """Patients who were followed beyond a landmark and had a visit by then: places of landmark, patient and step."""

    landmark: Codes
    patient: Codes
    step: Codes


class Pairs(NamedTuple):
    """Values of the visit that follows a step: places of step and target, value on its scale, hours between."""

    step: Codes
    target: Codes
    value: Floats
    gap: Floats


@dataclass(frozen=True)
class Courses(PatientSteps):
    """Patients as steps, one a visit.

    Args:
        events: `(patients,)`, the place of the cause from 1, 0 where censored, -1 where not known.
        until: `(patients,)`, hours to the end of follow-up, NaN where not known.
        encoder: by which they were made.
    """

    events: Codes
    until: Floats
    encoder: ProgressionEncoder

    @cached_property
    def numbers(self) -> NDArray[np.float32]:
        """What the network reads of each step, `(steps, numbers)`; see `summaries.of_batch`."""
        variables = len(self.encoder.variables)
        found = np.zeros((len(self.hours), width(variables)), np.float32)
        for rows in like_lengths(self.lengths, rows=_ROWS):
            values, mask, hours, lengths = self.dense(rows, variables)
            x = of_batch(values, mask, hours, self.encoder.scale)
            for place, row in enumerate(rows):
                found[self.bounds[row] : self.bounds[row + 1]] = x[: lengths[place], place]
        return found

    @cached_property
    def remaining(self) -> Floats:
        """Hours from each step to the end of follow-up, `(steps,)`."""
        return np.maximum(self.until[self.owners] - self.hours, 0.0)

    @cached_property
    def marks(self) -> Marks:
        """Who is judged at which landmark."""
        found: list[list[Codes]] = []
        for place, hour in enumerate(self.encoder.landmarks.tolist()):
            at = self.at(hour)
            there = np.flatnonzero((at >= 0) & (self.until > hour) & (self.events >= 0))
            found.append([np.full(len(there), place, np.int64), there, at[there]])
        return Marks(*(np.concatenate([each[part] for each in found]) for part in range(3)))

    @cached_property
    def pairs(self) -> Pairs:
        """What was measured at the next visit of each step."""
        place = np.full(len(self.encoder.variables), -1, np.int64)
        place[list(self.encoder.targets)] = np.arange(len(self.encoder.targets))
        first = np.isin(self.places, self.bounds[:-1])
        kept = (place[self.codes] >= 0) & ~first if len(self.codes) else np.zeros(0, bool)
        steps = self.places[kept] - 1
        return Pairs(steps, place[self.codes[kept]], self.values[kept], self.hours[steps + 1] - self.hours[steps])

    @property
    def newest(self) -> NDArray[np.float32]:
        """The last value of each target at each step, `(steps, targets)`, 0 where there is none."""
        columns = READ * len(self.encoder.variables) + np.array(self.encoder.targets, np.int64)
        return np.asarray(self.numbers[:, columns])


def linear_parts(x: Any, variables: int) -> Any:
    """Return what heads are linear in, `(..., 3 * variables + 3)`: last, mean, change of each variable, and times."""
    first = READ * variables
    parts = [x[..., first + part * variables : first + (part + 1) * variables] for part in _PARTS]
    parts.append(x[..., first + KEPT * variables : first + KEPT * variables + TIMES])
    return torch.cat(parts, -1) if isinstance(x, Tensor) else np.concatenate(parts, -1)


def last_parts(flat: Tensor, variables: int) -> Tensor:
    """Return what the model beside is linear in, `(..., 2 * variables + 3)`: last values, these by the time, and times.

    Args:
        flat: `linear_parts`.
        variables: how many.
    """
    last, times = flat[..., :variables], flat[..., 3 * variables :]
    return torch.cat([last, last * times[..., 1:2], times], -1)


def elapsed(hours: Any, scale: float) -> Any:
    """Return how times ahead enter what is predicted of next values: logarithms of one more unit of time."""
    return torch.log1p(hours / scale) if isinstance(hours, Tensor) else np.log1p(np.asarray(hours) / scale)


class CourseBatch(NamedTuple):
    """Padded courses: `x (time, batch, numbers)`, `lengths (batch,)`; of each step `watched` intervals and `events`.

    `values`, `there (time, batch, targets)`: what was measured; `hours (time, batch)`. Without an outcome `events` is
    -1.
    """

    x: Tensor
    lengths: Tensor
    watched: Tensor
    events: Tensor
    values: Tensor
    there: Tensor
    hours: Tensor


def collate(courses: Courses, rows: Sequence[int]) -> CourseBatch:
    """Return patients as one batch."""
    from ostinato.nn.losses import discretise

    encoder = courses.encoder
    values, mask, hours, lengths = courses.dense(rows, len(encoder.variables))
    x = of_batch(values, mask, hours, encoder.scale)
    picked, targets = np.asarray(rows), list(encoder.targets)
    until, events = courses.until[picked], courses.events[picked]
    remaining = np.where(np.isfinite(until), np.maximum(until - hours, 0.0), 0.0)
    coded = np.broadcast_to(events, hours.shape)
    watched, came = discretise(
        torch.from_numpy(remaining.ravel()), torch.from_numpy((coded > 0).ravel()), torch.from_numpy(encoder.ends)
    )
    cause = torch.from_numpy(coded.ravel().copy())
    kind = torch.where(came, cause, torch.where(cause < 0, -1, 0))
    return CourseBatch(
        torch.from_numpy(x),
        torch.from_numpy(lengths),
        watched.reshape(hours.shape),
        kind.reshape(hours.shape),
        torch.from_numpy(values[..., targets].astype(np.float32)),
        torch.from_numpy(mask[..., targets]),
        torch.from_numpy(hours.astype(np.float32)),
    )


def encode(encoder: ProgressionEncoder, patients: Patients) -> Courses:
    """Return patients as courses.

    Raises:
        DataError: an event has a code that was not in training.
    """
    steps = steps_of(patients, encoder.index, encoder.scales)
    events, until = np.full(len(patients), -1, np.int64), np.full(len(patients), np.nan)
    if patients.outcomes is not None and patients.outcome_hours is not None:
        place = {0: 0, **{code: number for number, code in enumerate(encoder.causes, 1)}}
        unknown = set(patients.outcomes.astype(int).tolist()) - set(place)
        if unknown:
            raise DataError(
                f"{patients.origin} has the event {min(unknown)}, which was not in training; expected 0 for censored "
                f"and {', '.join(map(str, encoder.causes))}"
            )
        events = np.array([place[int(code)] for code in patients.outcomes], np.int64)
        until = patients.outcome_hours
    return Courses(
        steps.ids, steps.bounds, steps.hours, steps.places, steps.codes, steps.values, events, until, encoder
    )  # fmt: skip


def fit_encoder(
    patients: Patients, *, intervals: int, event_code: int | None, landmarks: Sequence[float], horizon: float | None,
    horizons: Sequence[float],
) -> ProgressionEncoder:  # fmt: skip
    """Find variables, scales, intervals and landmarks in the training part."""
    assert patients.outcomes is not None
    assert patients.outcome_hours is not None
    variables = tuple(name for name, count in patients.counts().items() if count)
    scales = Scales.fit(patients, variables)
    unit = patients.reading.clock.unit
    hours = UNITS[unit]
    index = {name: place for place, name in enumerate(variables)}
    steps = steps_of(patients, index, scales)
    came = patients.outcomes > 0
    codes, counts = np.unique(patients.outcomes[came].astype(np.int64), return_counts=True)
    if event_code is not None and event_code not in codes:
        raise DataError(
            f"event_code is {event_code}, but the events of the training patients are "
            f"{', '.join(map(str, codes.tolist()))}"
        )
    wanted = int(codes[counts.argmax()]) if event_code is None else event_code
    remaining = np.maximum(patients.outcome_hours[steps.owners] - steps.hours, 0.0)
    ends = _ends(remaining[came[steps.owners]], intervals, float(remaining.max()))
    gaps = np.diff(steps.hours)[np.diff(steps.owners) == 0]
    longest = max(float(np.quantile(patients.stays(), 0.95)), hours)
    far = ends[-1] if horizon is None else horizon * hours
    return ProgressionEncoder(
        variables=variables,
        scales=scales,
        targets=_targets(steps, len(variables)),
        ends=ends,
        causes=tuple(int(code) for code in codes),
        cause=codes.tolist().index(wanted),
        scale=max(longest / 10, 1e-3),
        gap=float(np.median(gaps)) if len(gaps) else hours,
        longest=longest,
        landmarks=np.unique(np.array(landmarks, np.float64)) * hours
        if len(landmarks)
        else _round(np.quantile(patients.outcome_hours, (0.1, 0.3, 0.5)), hours),
        horizon=float(far / 2 if horizon is None else min(far, ends[-1])),
        horizons=np.array(horizons, np.float64) * hours if len(horizons) else _round(ends[-1] * _SHOWN, hours),
        unit=unit,
        reading=patients.reading,
    )


_SHOWN = np.array([0.1, 0.25, 0.5])


def _round(hours: Floats, unit: float) -> Floats:
    """Return times with two digits in their unit, each once."""
    return np.unique([float(f"{hour / unit:.2g}") * unit for hour in hours.tolist()])


def _ends(remaining: Floats, intervals: int, longest: float) -> Floats:
    """Return ends of intervals with about as many events in each, the last one where few were watched any longer."""
    known = remaining[remaining > 0]
    if not len(known):
        return np.array([max(longest, 1e-3)])
    found = np.unique(np.quantile(known, np.linspace(0, 1, intervals + 1)[1:]))
    return np.asarray(found[found > 0], np.float64)


def _targets(steps: PatientSteps, variables: int) -> tuple[int, ...]:
    """Return the variables that have a course: measured at several visits, and not always the same."""
    order = np.lexsort((steps.places, steps.owners[steps.places], steps.codes))
    owners, codes, values = steps.owners[steps.places[order]], steps.codes[order], steps.values[order]
    again = (np.diff(owners) == 0) & (np.diff(codes) == 0)
    other = again & (np.abs(np.diff(values)) > 1e-9)
    pairs = np.bincount(codes[1:][again], minlength=variables)
    changes = np.bincount(codes[1:][other], minlength=variables)
    return tuple(np.flatnonzero((pairs > 0) & (changes >= np.maximum(_CHANGES * pairs, 1))).tolist())
