"""Patients: what was measured of each and when, as it was recorded, and what came of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.health.clock import Clock

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class HealthReading:
    """How the training data was read, and later data is.

    Args:
        id, time: names of columns; time empty: there is none.
        variable, value: of a long table; empty: it is a wide one.
        clock: how times are written.
        missing: texts that mean a missing value, beside those that always do.
        levels: of each static or wide column of texts, what it may be: each is a variable `"column: level"`.
    """

    id: str = "id"
    time: str = "time"
    variable: str = "variable"
    value: str = "value"
    clock: Clock = field(default_factory=Clock)
    missing: tuple[str, ...] = ()
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Patients:
    """Measurements of patients, those of each in the order of time.

    Nothing is filled in: a value is there, or it is not. The measurements of patient `i` lie at
    `bounds[i]:bounds[i + 1]`.

    Args:
        origin: what to call them in a message.
        ids: the name of each patient.
        variables: what was measured.
        bounds: `(patients + 1,)`.
        hours: `(measurements,)`, hours since admission.
        codes: `(measurements,)`, the place of each one's variable in `variables`.
        values: `(measurements,)`, finite.
        outcomes: `(patients,)`, 1 or 0, NaN where not known; `None`: none were read. Of follow-up:
            the code of the event, 0 where there was none.
        outcome_hours: `(patients,)`, hours from admission to the outcome, NaN where there is none or no time of it. Of
            follow-up: to its end, with an event or without.
        admissions: `(patients,)`, hours from 1970 on to each admission where times are dates, else 0.
        reading: how they were read.
        impossible: how many values of each variable were left out, as nobody has such ones.
        notes: what else was found, in sentences.
    """

    origin: str
    ids: tuple[str, ...]
    variables: tuple[str, ...]
    bounds: Codes
    hours: Floats
    codes: Codes
    values: Floats
    outcomes: Floats | None = None
    outcome_hours: Floats | None = None
    admissions: Floats | None = None
    reading: HealthReading = field(default_factory=HealthReading)
    impossible: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def fingerprint(self) -> tuple[Any, ...]:
        """Return what tells them from others."""
        known = [each for each in (self.outcomes, self.outcome_hours) if each is not None]
        return (self.ids, self.variables, self.bounds, self.hours, self.codes, self.values, *known)

    def of(self, row: int) -> slice:
        """Return where the measurements of a patient lie."""
        return slice(int(self.bounds[row]), int(self.bounds[row + 1]))

    def contents(self) -> Iterator[tuple[Floats, Floats, str]]:
        """Yield what each patient's measurements say, whoever they are: hours, values, and the names of variables."""
        names = np.array(self.variables, object)
        for row in range(len(self)):
            place = self.of(row)
            yield self.hours[place], self.values[place], " ".join(names[self.codes[place]])

    def stays(self) -> Floats:
        """Return the hours from admission to the last measurement of each patient, `(patients,)`; 0 without any."""
        last = np.maximum(self.bounds[1:] - 1, 0)
        counts = np.diff(self.bounds)
        if not len(self.hours):
            return np.zeros(len(self))
        return np.where(counts > 0, self.hours[np.minimum(last, len(self.hours) - 1)], 0.0)

    def take(self, rows: Sequence[int] | Codes) -> Patients:
        """Return some of the patients, in that order."""
        places = np.asarray(rows, np.int64)
        counts = np.diff(self.bounds)[places]
        kept = spread(self.bounds[places], counts)
        return replace(
            self,
            ids=tuple(self.ids[row] for row in places.tolist()),
            bounds=np.append(0, np.cumsum(counts)).astype(np.int64),
            hours=self.hours[kept],
            codes=self.codes[kept],
            values=self.values[kept],
            outcomes=None if self.outcomes is None else self.outcomes[places],
            outcome_hours=None if self.outcome_hours is None else self.outcome_hours[places],
            admissions=None if self.admissions is None else self.admissions[places],
        )

    def kept(self, mask: NDArray[np.bool_]) -> Patients:
        """Return them with some of the measurements, `(measurements,)`."""
        sums = np.append(0, np.cumsum(mask))
        counts = sums[self.bounds[1:]] - sums[self.bounds[:-1]]
        return replace(
            self,
            bounds=np.append(0, np.cumsum(counts)).astype(np.int64),
            hours=self.hours[mask],
            codes=self.codes[mask],
            values=self.values[mask],
        )

    def until(self, hour: float) -> Patients:
        """Return them as they were known at an hour after admission."""
        return self.kept(self.hours <= hour)

    def joined(self, other: Patients) -> Patients:
        """Return these patients and, behind them, others."""
        variables = tuple(dict.fromkeys((*self.variables, *other.variables)))
        place = np.array([variables.index(name) for name in other.variables], np.int64)

        def both(first: Floats | None, second: Floats | None) -> Floats | None:
            return None if first is None or second is None else np.concatenate([first, second])

        return replace(
            self,
            ids=self.ids + other.ids,
            variables=variables,
            bounds=np.concatenate([self.bounds, self.bounds[-1] + other.bounds[1:]]),
            hours=np.concatenate([self.hours, other.hours]),
            codes=np.concatenate([self.codes, place[other.codes] if len(place) else other.codes]),
            values=np.concatenate([self.values, other.values]),
            outcomes=both(self.outcomes, other.outcomes),
            outcome_hours=both(self.outcome_hours, other.outcome_hours),
            admissions=both(self.admissions, other.admissions),
        )

    def counts(self) -> Mapping[str, int]:
        """Return how often each variable was measured."""
        found = np.bincount(self.codes, minlength=len(self.variables))
        return dict(zip(self.variables, found.tolist(), strict=True))


def spread(firsts: Codes, counts: Codes) -> Codes:
    """Return the places `first, first + 1, ...` of several runs, one after the other.

    >>> spread(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    total = int(counts.sum())
    begin = np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(np.arange(total) - begin + np.repeat(firsts, counts), np.int64)


def patients_of(
    origin: str,
    ids: Sequence[str],
    owners: Codes,
    hours: Floats,
    variables: tuple[str, ...],
    codes: Codes,
    values: Floats,
    reading: HealthReading,
) -> Patients:
    """Return patients from measurements in any order; those of one time stay in the order in which they came."""
    order = np.lexsort((np.arange(len(owners)), hours, owners))
    bounds = np.append(0, np.cumsum(np.bincount(owners, minlength=len(ids)))).astype(np.int64)
    return Patients(
        origin, tuple(ids), variables, bounds, hours[order], codes[order], values[order], reading=reading
    )  # fmt: skip
