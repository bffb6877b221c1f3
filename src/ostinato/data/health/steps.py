"""Patients as steps: one for each time at which something was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ostinato.data.health.clock import rounded
from ostinato.data.health.patients import Patients, spread
from ostinato.data.health.scales import Scales
from ostinato.data.notes import note

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class PatientSteps:
    """Steps of patients; those of patient `i` are `bounds[i]:bounds[i + 1]`.

    Args:
        ids: of the patients.
        bounds: `(patients + 1,)`.
        hours: `(steps,)`, since admission.
        places: `(measurements,)`, the step of each.
        codes: `(measurements,)`, its variable.
        values: `(measurements,)`, on one scale.
    """

    ids: tuple[str, ...]
    bounds: Codes
    hours: Floats
    places: Codes
    codes: Codes
    values: Floats

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> list[int]:
        """Steps of each patient."""
        found: list[int] = np.diff(self.bounds).tolist()
        return found

    @cached_property
    def owners(self) -> Codes:
        """The patient of each step."""
        return np.repeat(np.arange(len(self)), np.diff(self.bounds))

    @property
    def last(self) -> Codes:
        """The last step of each patient."""
        return self.bounds[1:] - 1

    @cached_property
    def measured(self) -> Codes:
        """Where the measurements of each patient begin and end, `(patients + 1,)`."""
        return np.searchsorted(self.places, self.bounds)

    def at(self, hour: float) -> Codes:
        """Return the last step of each patient up to an hour after admission, -1 where there is none."""
        counts = np.add.reduceat((self.hours <= rounded(np.array(hour))).astype(np.int64), self.bounds[:-1])
        return np.where(counts > 0, self.bounds[:-1] + counts - 1, -1)

    def dense(self, rows: Sequence[int], variables: int) -> tuple[Floats, NDArray[np.bool_], Floats, Codes]:
        """Return values and masks `(time, batch, variables)`, hours `(time, batch)` and lengths of some patients.

        Behind a patient's last step the last hour stands.
        """
        picked = np.asarray(rows, np.int64)
        lengths = np.diff(self.bounds)[picked]
        longest = int(lengths.max())
        values = np.zeros((longest, len(picked), variables))
        mask = np.zeros((longest, len(picked), variables), bool)
        first, count = self.measured[picked], np.diff(self.measured)[picked]
        found = spread(first, count)
        batch = np.repeat(np.arange(len(picked)), count)
        step = self.places[found] - self.bounds[picked][batch]
        values[step, batch, self.codes[found]] = self.values[found]
        mask[step, batch, self.codes[found]] = True
        steps = np.minimum(np.arange(longest)[:, None], lengths - 1) + self.bounds[picked]
        return values, mask, self.hours[steps], lengths


def steps_of(
    patients: Patients,
    index: Mapping[str, int],
    scales: Scales,
    between: Callable[[Floats], Floats] = lambda hours: hours[:0],
) -> PatientSteps:
    """Return patients as steps, and say which variables are not known.

    Args:
        patients: as they were read.
        index: the place of each variable that is known.
        scales: of their values.
        between: from the hours of a patient's measurements to those of steps beside them.
    """
    place = np.array([index.get(name, -1) for name in patients.variables], np.int64)
    unknown = [name for name, count in patients.counts().items() if count and name not in index]
    if unknown:
        note(f"{patients.origin}: variables that were not in training are not read: {', '.join(unknown[:5])}")
    owners = np.repeat(np.arange(len(patients)), np.diff(patients.bounds))
    codes = place[patients.codes] if len(patients.codes) else patients.codes
    kept = codes >= 0
    owners, codes, hours, values = owners[kept], codes[kept], patients.hours[kept], patients.values[kept]
    ticks = [between(patients.hours[patients.of(row)]) for row in range(len(patients))]
    # one without a measurement that is known has a step at admission, so that there is a risk
    counts = np.array([len(tick) for tick in ticks], np.int64)
    empty = np.flatnonzero((np.bincount(owners, minlength=len(patients)) == 0) & (counts == 0))
    all_owners = np.concatenate([owners, np.repeat(np.arange(len(patients)), counts), empty])
    all_hours = np.concatenate([hours, *ticks, np.zeros(len(empty))])
    order = np.lexsort((all_hours, all_owners))
    sorted_owners, sorted_hours = all_owners[order], all_hours[order]
    fresh = np.append(True, (np.diff(sorted_owners) != 0) | (np.diff(sorted_hours) != 0))[: len(order)]
    steps = np.cumsum(fresh) - 1
    bounds = np.append(0, np.cumsum(np.bincount(sorted_owners[fresh], minlength=len(patients)))).astype(np.int64)
    step_of = np.empty(len(order), np.int64)
    step_of[order] = steps
    places = step_of[: len(hours)]
    # of several values of one variable at one time the last one counts, in a stream as here
    by_place = np.lexsort((np.arange(len(places)), codes, places))
    final = np.append((np.diff(places[by_place]) != 0) | (np.diff(codes[by_place]) != 0), True)[: len(by_place)]
    chosen = by_place[final]
    return PatientSteps(
        patients.ids, bounds, sorted_hours[fresh], places[chosen], codes[chosen],
        scales(codes[chosen], values[chosen]) if len(chosen) else values[chosen],
    )  # fmt: skip
