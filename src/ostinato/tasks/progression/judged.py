"""How well events and next values were predicted, by patients; censoring is weighed by its own probability (IPCW)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.units import Mean, Parts, Sums, Units, mean_of
from ostinato.tasks.progression.courses import Codes, Courses, Floats

_MOST = 1500  # patients whose pairs are kept in memory for tests
_BINS = 5
_LEAST = 0.02  # probability not to be censored, at least


@dataclass(frozen=True)
class Prediction:
    """What is predicted of courses.

    Args:
        incidence: `(marks, causes, intervals)`, of each event by each time behind the landmark; `None`: nothing.
        values: `(pairs, 3)`, quantiles of next values on their scales; `None`: nothing.
    """

    incidence: Floats | None = None
    values: Floats | None = None


def uncensored(durations: Floats, came: NDArray[np.bool_], at: Floats, *, before: bool) -> Floats:
    """Return the probability not to be censored by some times, or before them (Kaplan-Meier of the censoring)."""
    times, count = np.unique(durations[~came], return_counts=True)
    ordered, gone = np.sort(durations), np.sort(durations[came])
    at_risk = len(durations) - np.searchsorted(ordered, times) - (
        np.searchsorted(gone, times, side="right") - np.searchsorted(gone, times)
    )  # fmt: skip
    lasting = np.append(1.0, np.cumprod(1 - count / np.maximum(at_risk, 1)))
    place = np.searchsorted(times, at, side="left" if before else "right")
    return np.asarray(np.maximum(lasting[place], _LEAST))


@dataclass(frozen=True)
class Landmark:
    """Who is judged at a landmark: `patients`, hours left `durations`, `kinds` of events, places among the `marks`."""

    patients: Codes
    durations: Floats
    kinds: Codes
    marks: Codes


def landmarks_of(courses: Courses) -> list[Landmark]:
    """Return who is judged at each landmark."""
    held, found = courses.marks, []
    for place, hour in enumerate(courses.encoder.landmarks.tolist()):
        marks = np.flatnonzero(held.landmark == place)
        patients = held.patient[marks]
        found.append(Landmark(patients, courses.until[patients] - hour, courses.events[patients], marks))
    return found


def comparable(landmark: Landmark, cause: int, horizon: float) -> Floats:
    """Return the weight of each pair, `(patients, patients)`: the first has the event within the horizon, before the
    other's end. Other events count as the end of watching.

    Source: H. Uno et al., "On the C-statistics for evaluating overall adequacy of risk prediction procedures with
    censored survival data", Statistics in Medicine 30, 2011.
    """
    hit = (landmark.kinds == cause + 1) & (landmark.durations <= horizon)
    came = landmark.kinds == cause + 1
    weight = np.where(hit, uncensored(landmark.durations, came, landmark.durations, before=True) ** -2.0, 0.0)
    later: NDArray[np.bool_] = landmark.durations[:, None] < landmark.durations
    later |= (landmark.durations[:, None] == landmark.durations) & ~came
    np.fill_diagonal(later, False)
    return np.asarray(weight[:, None] * later)


def concordant(weights: Floats, risks: Floats) -> Floats:
    """Return the part of each pair's weight that a risk has in the right order; ties count half."""
    return np.asarray(weights * ((risks[:, None] > risks) + 0.5 * (risks[:, None] == risks)))


def _index(total: Floats, pairs: list[tuple[Codes, Floats, Floats]]) -> Floats:
    """Return the C-index of each draw of patients, over pairs of all landmarks."""
    good, every = np.zeros(len(total)), np.zeros(len(total))
    for patients, right, weights in pairs:
        times = total[:, patients]
        good += ((times @ right) * times).sum(1)
        every += ((times @ weights) * times).sum(1)
    return np.asarray(np.divide(good, every, out=np.full(len(total), np.nan), where=every > 0))


def index_names(courses: Courses) -> list[str]:
    """Return what the C-index at each landmark is called."""
    encoder = courses.encoder
    return [f"C-index from {hour / encoder.hours:g} {encoder.unit}" for hour in encoder.landmarks.tolist()]


def concordances(courses: Courses, incidence: Floats) -> dict[str, Sums]:
    """Return the C-index over all landmarks, and at each, by patients."""
    encoder = courses.encoder
    risks = at_horizon(courses, incidence)
    pairs, found = [], {}
    eye = np.eye(len(courses))
    for name, landmark in zip(index_names(courses), landmarks_of(courses), strict=True):
        weights = comparable(landmark, encoder.cause, encoder.horizon)
        if not weights.any():
            continue
        one = (landmark.patients, concordant(weights, risks[landmark.marks]), weights)
        pairs.append(one)
        found[name] = Sums(eye, partial(_index, pairs=[one]))
    return {"C-index": Sums(eye, partial(_index, pairs=pairs)), **found} if pairs else {}


def at_horizon(courses: Courses, incidence: Floats) -> Floats:
    """Return the risk of the event that measures are of, within the horizon, `(marks,)`."""
    encoder = courses.encoder
    return np.array(
        [
            np.interp(encoder.horizon, np.append(0, encoder.ends), np.append(0, row))
            for row in incidence[:, encoder.cause]
        ]
    )


def times_judged(courses: Courses) -> Codes:
    """Return the places of the times ahead at which the Brier score is taken: those within the horizon."""
    encoder = courses.encoder
    inside = np.flatnonzero(encoder.ends <= encoder.horizon * (1 + 1e-9))
    return inside if len(inside) else np.zeros(1, np.int64)


def weighed(landmark: Landmark, cause: int, time: float) -> tuple[Floats, Floats]:
    """Return whether the event had come by a time, and how much each patient stands for (0: not known by then).

    Source: E. Graf et al., 1999; with other events: T. Gerds and M. Schumacher, Biometrical Journal 48, 2006.
    """
    came = landmark.kinds > 0
    over = came & (landmark.durations <= time)
    before = uncensored(landmark.durations, came, landmark.durations, before=True)
    by = uncensored(landmark.durations, came, np.array([time]), before=False)[0]
    weights = np.where(over, 1 / before, np.where(landmark.durations > time, 1 / by, 0.0))
    return (over & (landmark.kinds == cause + 1)).astype(np.float64), weights


def brier(courses: Courses, incidence: Floats) -> dict[str, list[list[float]]]:
    """Return by landmark the times ahead, in their unit, and the Brier score at each."""
    encoder, found = courses.encoder, {}
    for hour, landmark in zip(encoder.landmarks.tolist(), landmarks_of(courses), strict=True):
        rows = []
        for place in times_judged(courses).tolist():
            truth, weights = weighed(landmark, encoder.cause, float(encoder.ends[place]))
            if len(truth) and weights.any():
                error = (incidence[landmark.marks, encoder.cause, place] - truth) ** 2
                rows.append([float(encoder.ends[place] / encoder.hours), float((weights * error).sum() / len(truth))])
        found[f"{hour / encoder.hours:g}"] = rows
    return found


def _brier_parts(courses: Courses, incidence: Floats) -> Mean:
    encoder = courses.encoder
    values, owners = [np.zeros(0)], [np.zeros(0, np.int64)]
    for landmark in landmarks_of(courses):
        for place in times_judged(courses).tolist() if len(landmark.patients) else ():
            truth, weights = weighed(landmark, encoder.cause, float(encoder.ends[place]))
            values.append(weights * (incidence[landmark.marks, encoder.cause, place] - truth) ** 2)
            owners.append(landmark.patients)
    return mean_of(np.concatenate(values), np.concatenate(owners), len(courses))


def reliability(courses: Courses, incidence: Floats) -> tuple[Floats, Floats, Floats]:
    """Return by fifths of the risk within the horizon: mean risk, share with the event (IPCW), and weight."""
    encoder = courses.encoder
    risks = at_horizon(courses, incidence)
    truth, weights = np.zeros(len(risks)), np.zeros(len(risks))
    for landmark in landmarks_of(courses):
        if len(landmark.marks):
            truth[landmark.marks], weights[landmark.marks] = weighed(landmark, encoder.cause, encoder.horizon)
    known = weights > 0
    risks, truth, weights = risks[known], truth[known], weights[known]
    if not len(risks):
        return np.zeros(0), np.zeros(0), np.zeros(0)
    edges = np.unique(np.quantile(risks, np.linspace(0, 1, _BINS + 1)))
    place = np.clip(np.searchsorted(edges, risks, side="right") - 1, 0, max(len(edges) - 2, 0))
    total: Floats = np.bincount(place, weights).astype(np.float64)
    there = total > 0
    given, shares = (np.bincount(place, weights * each)[there] / total[there] for each in (risks, truth))
    return given, shares, total[there]


def units_of(courses: Courses, predicted: Prediction) -> Units:
    """Return the measures by patients."""
    found: dict[str, Parts] = {}
    if predicted.incidence is not None and len(courses.marks.step):
        if len(courses) <= _MOST:
            found |= concordances(courses, predicted.incidence)
        found["Brier"] = _brier_parts(courses, predicted.incidence)
    if predicted.values is not None and len(courses.pairs.step):
        owners, count = courses.owners[courses.pairs.step], len(courses)
        value = courses.pairs.value
        found["MAE next (SD)"] = mean_of(np.abs(predicted.values[:, 1] - value), owners, count)
        inside = (predicted.values[:, 0] <= value) & (value <= predicted.values[:, 2])
        found["coverage 80 %"] = mean_of(100.0 * inside, owners, count)
    return Units(len(courses), "patients", found)


def measures_of(courses: Courses, predicted: Prediction) -> dict[str, float]:
    """Return the measures; those of events are missing where no pair of patients can be compared."""
    found = {name: float(measure.total) for name, measure in units_of(courses, predicted).measures.items()}
    if predicted.incidence is not None and len(courses.marks.step):
        if "C-index" not in found:
            found |= _without_units(courses, predicted.incidence)
        given, shares, total = reliability(courses, predicted.incidence)
        if len(total):
            found["calibration error"] = float((np.abs(given - shares) * total).sum() / total.sum())
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _without_units(courses: Courses, incidence: Floats) -> dict[str, float]:
    """Return the C-index of many patients, pair by pair of blocks."""
    encoder, risks = courses.encoder, at_horizon(courses, incidence)
    good, every, found = 0.0, 0.0, {}
    for name, landmark in zip(index_names(courses), landmarks_of(courses), strict=True):
        came = landmark.kinds == encoder.cause + 1
        weight = uncensored(landmark.durations, came, landmark.durations, before=True) ** -2.0
        mine, one, all_ = risks[landmark.marks], 0.0, 0.0
        for row in np.flatnonzero(came & (landmark.durations <= encoder.horizon)):
            later = (landmark.durations > landmark.durations[row]) | (
                (landmark.durations == landmark.durations[row]) & ~came
            )
            right = (mine[row] > mine[later]).sum() + 0.5 * (mine[row] == mine[later]).sum()
            one, all_ = one + weight[row] * float(right), all_ + weight[row] * float(later.sum())
        if all_:
            found[name] = one / all_
        good, every = good + one, every + all_
    return {"C-index": good / every, **found} if every else {}
