"""Stays of patients as steps: one for each time at which something was measured, and one for each hour between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.data.health import HealthReading, Patients
from ostinato.data.health.clock import rounded
from ostinato.data.health.scales import Scales
from ostinato.data.health.steps import PatientSteps, steps_of
from ostinato.data.health.summaries import of_batch
from ostinato.tasks.base.leaks import say_leaks

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
_TICKS = (1.0, 6.0, 24.0, 24.0 * 7, 24.0 * 30, 24.0 * 365)
_MOST_TICKS = 800  # of a long stay
_SCALE = 10.0  # a long stay counts as so many units of time


@dataclass(frozen=True)
class Calibration:
    """What turns members' mean probability into the risk: `sigmoid(slope * logit + shift)`."""

    slope: float = 1.0
    shift: float = 0.0

    def __call__(self, probabilities: Floats) -> Floats:
        """Return risks."""
        given = np.clip(probabilities, 1e-7, 1 - 1e-7)
        logits = np.log(given / (1 - given))
        return np.asarray(1 / (1 + np.exp(-(self.slope * logits + self.shift))))


@dataclass(frozen=True)
class MonitorEncoder:
    """What was fitted on the training part.

    Args:
        variables: what is read, in its order.
        scales: of their values.
        tick: hours between steps where nothing is measured.
        scale: hours that count as one unit of time.
        longest: hours of a long stay.
        prevalence: about the share of times from which the outcome lies ahead, within the window if there is one.
        reading: how the data was read.
        calibration: of the risk.
        threshold: the risk from which on there is an alarm.
    """

    variables: tuple[str, ...]
    scales: Scales
    tick: float
    scale: float
    longest: float
    prevalence: float
    reading: HealthReading
    calibration: Calibration = field(default_factory=Calibration)
    threshold: float = 0.5

    @cached_property
    def index(self) -> dict[str, int]:
        """The place of each variable."""
        return {name: place for place, name in enumerate(self.variables)}

    @property
    def sizes(self) -> dict[str, int]:
        """Whole numbers that the network is made of."""
        return {"variables": len(self.variables)}


@dataclass(frozen=True)
class Stays(PatientSteps):
    """Patients as steps; those of patient `i` are `bounds[i]:bounds[i + 1]`.

    Args:
        labels: `(steps,)`, 1 if the outcome lies ahead, within the window if there is one; NaN where not known.
        judged: `(steps,)`, whether a step is among those that the model is judged by.
        outcomes, outcome_hours: `(patients,)`, see `Patients`.
        window: hours, or NaN: the outcome at any time.
    """

    labels: Floats
    judged: NDArray[np.bool_]
    outcomes: Floats
    outcome_hours: Floats
    window: float


class StayBatch(NamedTuple):
    """Padded stays: `x (time, batch, numbers)`, `lengths (batch,)`, `labels` and `weights (time, batch)`.

    The weights of a patient's steps add up to one, 0 where there is no label.
    """

    x: Tensor
    lengths: Tensor
    labels: Tensor
    weights: Tensor


def collate(encoder: MonitorEncoder, stays: Stays, rows: Sequence[int]) -> StayBatch:
    """Return patients as one batch."""
    values, mask, hours, lengths = stays.dense(rows, len(encoder.variables))
    x = of_batch(values, mask, hours, encoder.scale)
    longest = len(x)
    real = np.arange(longest)[:, None] < lengths
    steps = np.minimum(np.arange(longest)[:, None], lengths - 1) + stays.bounds[np.asarray(rows)]
    labels = np.where(real, stays.labels[steps], np.nan)
    known = np.isfinite(labels)
    weights = known / np.maximum(known.sum(0), 1)
    if not np.isfinite(stays.window):
        # the outcome at any time: what is known at the end counts as much as all before
        final = (np.arange(longest)[:, None] == lengths - 1) & known
        weights = (weights + final) / 2
    return StayBatch(
        torch.from_numpy(x),
        torch.from_numpy(lengths),
        torch.from_numpy(np.where(known, labels, 0.0).astype(np.float32)),
        torch.from_numpy(weights.astype(np.float32)),
    )


def fit_encoder(patients: Patients, tick: float | None, outcome: str, window: float | None) -> MonitorEncoder:
    """Find the variables, their scales and the steps of time in the training part."""
    counts = patients.counts()
    variables = tuple(name for name, count in counts.items() if count)
    scales = Scales.fit(patients, variables)
    longest = max(float(np.quantile(patients.stays(), 0.95)), 1e-3)
    found = tick or next((one for one in _TICKS if longest / one <= _MOST_TICKS), longest / _MOST_TICKS)
    outcomes = patients.outcomes if patients.outcomes is not None else np.zeros(0)
    known = outcomes[np.isfinite(outcomes)]
    say_leaks(patients, outcomes, outcome)
    share = float(known.mean()) if len(known) else 0.0
    return MonitorEncoder(
        variables=variables,
        scales=scales,
        tick=found,
        scale=max(longest / _SCALE, found / 4),
        longest=longest,
        prevalence=share if window is None else share * min(window / longest, 1.0),
        reading=patients.reading,
    )


def encode(encoder: MonitorEncoder, patients: Patients, window: float | None) -> Stays:
    """Return patients as steps, and say which variables are not known."""

    def ticks(hours: Floats) -> Floats:
        return _ticks(encoder.tick, hours)

    found = steps_of(patients, encoder.index, encoder.scales, ticks)
    unknown_outcomes = np.full(len(patients), np.nan)
    outcomes = unknown_outcomes if patients.outcomes is None else patients.outcomes
    outcome_hours = unknown_outcomes if patients.outcome_hours is None else patients.outcome_hours
    labels = _labels(found.hours, found.owners, outcomes, outcome_hours, window)
    judged = np.isfinite(labels)
    if window is None:
        judged &= np.isin(np.arange(len(labels)), found.last)
    else:
        # once a tick, so that a patient who is measured often does not count for more
        judged &= on_ticks(found.hours, encoder.tick) | np.isin(np.arange(len(labels)), found.last)
    return Stays(
        found.ids, found.bounds, found.hours, found.places, found.codes, found.values, labels, judged, outcomes,
        outcome_hours, float("nan") if window is None else window,
    )  # fmt: skip


def on_ticks(hours: Floats, tick: float) -> NDArray[np.bool_]:
    """Tell which hours are whole ticks; both are rounded alike, so that ten ticks of 0.1 are the hour 1."""
    return np.asarray(rounded(np.round(hours / tick) * tick) == hours)


def ticks_between(first: float, last: float, tick: float) -> Floats:
    """Return the whole ticks after the first hour and up to the last, as hours are compared."""
    found = rounded(np.arange(np.floor(first / tick) + 1, np.floor(last / tick) + 2) * tick)
    return found[(found > first) & (found <= last)]


def _ticks(tick: float, hours: Floats) -> Floats:
    """Return the whole ticks between the first and the last measurement of a patient."""
    return ticks_between(float(hours[0]), float(hours[-1]), tick) if len(hours) else np.zeros(0)


def _labels(hours: Floats, owners: Codes, outcomes: Floats, outcome_hours: Floats, window: float | None) -> Floats:
    came, when = outcomes[owners], outcome_hours[owners]
    if window is None:
        return came
    ahead = when - hours
    within = np.where(came == 1, (ahead > 0) & (ahead <= window), 0.0)
    return np.where(np.isfinite(came) & ~((came == 1) & ~np.isfinite(when)), within, np.nan)
