"""How well risks tell outcomes, with intervals over patients, and what a ward would see of the alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.health.clock import rounded
from ostinato.tasks.base.class_units import class_units
from ostinato.tasks.base.units import Mean, Parts, Units, mean_of
from ostinato.tasks.monitor.stays import Stays

Floats = NDArray[np.float64]
RATES = (0.1, 0.25, 0.5, 1.0, 2.0)
"""Alarms a patient-day that a report shows."""
_CANDIDATES = 400
LEAD, IN_ALARM = "lead hours", "time in alarm, %"
_MEASURES = ("AUROC", "AUPRC", "Brier", "cross-entropy", "calibration error")


def units_of(stays: Stays, risks: Floats) -> Units:
    """Return the measures of the judged steps by patients.

    Args:
        stays: of the patients.
        risks: `(steps,)`.
    """
    kept = stays.judged
    truth, given, owners = stays.labels[kept].astype(np.int64), risks[kept], stays.owners[kept]
    both = np.stack([1 - given, given], 1)
    found: dict[str, Parts] = class_units(truth, (given >= 0.5).astype(np.int64), both, 2, owners, len(stays))
    found["Brier"] = mean_of((given - truth) ** 2, owners, len(stays))
    return Units(len(stays), "patients", {name: found[name] for name in _MEASURES if name in found})


def measures_of(stays: Stays, risks: Floats) -> dict[str, float]:
    """Return the measures of the judged steps; without both outcomes there is no AUROC."""
    from ostinato.tasks.base.classes import class_measures

    kept = stays.judged
    if not kept.any():
        return {}
    truth, given = stays.labels[kept].astype(np.int64), risks[kept]
    both = np.stack([1 - given, given], 1)
    found = class_measures(truth, (given >= 0.5).astype(np.int64), both, 2)
    found["Brier"] = float(((given - truth) ** 2).mean())
    return {name: found[name] for name in _MEASURES if name in found}


def hourly_auroc(stays: Stays, risks: Floats, hours: Floats) -> Floats:
    """Return the AUROC of the outcome as it was predicted by each hour, NaN where it is not defined, `(hours,)`.

    Judged are patients of whom something was known by then and whose outcome had not come.
    """
    from ostinato.tasks.base.areas import auroc

    hours = rounded(hours)
    found = np.full(len(hours), np.nan)
    for place, hour in enumerate(hours):
        at = stays.at(hour)
        kept = (at >= 0) & np.isfinite(stays.outcomes) & ~(stays.outcome_hours <= hour)
        truth = stays.outcomes[kept] == 1
        if np.isfinite(stays.window):
            truth = stays.labels[at[kept]] == 1
        if truth.any() and not truth.all():
            found[place] = auroc(truth, risks[at[kept]])
    return found


@dataclass(frozen=True)
class Alarms:
    """What a ward sees of one threshold.

    Args:
        threshold: the risk from which on there is an alarm.
        rate: alarms a patient-day.
        sensitivity: share of the patients with the outcome who had an alarm before it.
        precision: share of the alarms that were of such patients.
        lead: median hours from the first alarm to the outcome, or to the last measurement where it has no time.
        share: of the time, with a risk above the threshold.
    """

    threshold: float
    rate: float
    sensitivity: float
    precision: float
    lead: float
    share: float


class Ward:
    """The risks of patients at every tick, in which alarms are counted.

    Args:
        stays: of the patients; those without a known outcome are left out.
        risks: `(steps,)`.
        tick: hours between two looks.
        silence: hours after an alarm without another of that patient.
    """

    def __init__(self, stays: Stays, risks: Floats, tick: float, silence: float) -> None:
        known = np.flatnonzero(np.isfinite(stays.outcomes))
        self.known, self.patients = known, len(stays)
        ends = stays.hours[stays.last]
        # what is after the outcome is no monitoring
        self.ends = np.where(np.isfinite(stays.outcome_hours), stays.outcome_hours, ends)[known]
        looks = max(int(np.ceil(min(float(ends.max(initial=0.0)), 5000 * tick) / tick)), 1)
        self.grid = np.full((len(known), looks), -np.inf)
        for look in range(looks):
            before, hour = rounded(np.array([look, look + 1]) * tick)
            at = stays.at(hour)[known]
            there = (at >= 0) & (before < ends[known]) & (before < self.ends)
            self.grid[there, look] = risks[at[there]]
        self.came = stays.outcomes[known] == 1
        self.tick, self.quiet = tick, max(round(silence / tick), 0)
        self.days = float(np.isfinite(self.grid).sum()) * tick / 24

    def spread(self, values: NDArray[Any]) -> Floats:
        """Return what each patient with a known outcome has, `(patients,)`, with 0 for the others."""
        found = np.zeros(self.patients)
        found[self.known] = values
        return found

    def alarms(self, threshold: float) -> Alarms:
        """Return what comes of a threshold."""
        first, counts = self.counted(threshold)
        hit = first < self.grid.shape[1]
        of_came = counts[self.came].sum()
        lead = self.ends[hit & self.came] - (first[hit & self.came] + 1) * self.tick
        watched = np.isfinite(self.grid)
        return Alarms(
            threshold,
            float(counts.sum() / self.days) if self.days else 0.0,
            float(hit[self.came].mean()) if self.came.any() else float("nan"),
            float(of_came / counts.sum()) if counts.sum() else float("nan"),
            float(np.median(np.maximum(lead, 0.0))) if len(lead) else float("nan"),
            float((self.grid >= threshold)[watched].mean()) if watched.any() else 0.0,
        )

    def threshold(self, rate: float) -> float:
        """Return about the lowest threshold that gives no more than some alarms a patient-day."""
        known = self.grid[np.isfinite(self.grid)]
        if not len(known):
            return 0.5
        candidates = np.unique(np.quantile(known, np.linspace(0, 1, _CANDIDATES)))
        # the count falls as the threshold rises, but for patients whose risk swings around it
        low, high = 0, len(candidates)
        while low < high:
            middle = (low + high) // 2
            if self.counted(float(candidates[middle]))[1].sum() <= rate * self.days:
                high = middle
            else:
                low = middle + 1
        return float(candidates[low]) if low < len(candidates) else float(np.nextafter(candidates[-1], np.inf))

    def counted(self, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the look of each patient's first alarm (as many as there are looks: none), and the alarms of each."""
        looks = self.grid.shape[1]
        above = self.grid >= threshold
        first = np.where(above.any(1), above.argmax(1), looks)
        counts = np.zeros(len(above), np.int64)
        quiet_until = np.zeros(len(above), np.int64)
        before = np.zeros(len(above), bool)
        for look in range(looks):
            now = above[:, look]
            rings = now & ~before & (quiet_until <= look)
            counts += rings
            quiet_until = np.where(rings, look + 1 + self.quiet, quiet_until)
            before = now
        return first.astype(np.int64), counts


def alarm_parts(ward: Ward, rate: float) -> dict[str, Mean]:
    """Return the measures of alarms at the rate that was asked for, by patients.

    Args:
        ward: with the risks of all patients.
        rate: alarms a patient-day.
    """
    threshold = ward.threshold(rate)
    first, _ = ward.counted(threshold)
    hit, came = first < ward.grid.shape[1], ward.came.astype(np.float64)
    lead = np.where(hit, np.maximum(ward.ends - (first + 1) * ward.tick, 0.0), 0.0)
    watched = np.isfinite(ward.grid).sum(1)
    above = (ward.grid >= threshold).sum(1) / np.maximum(watched, 1)
    return {
        f"sensitivity at {rate:g} alarms a day": Mean(ward.spread(hit), ward.spread(came)),
        LEAD: Mean(ward.spread(lead), ward.spread(came)),
        IN_ALARM: Mean(ward.spread(100 * above), ward.spread(watched)),
    }
