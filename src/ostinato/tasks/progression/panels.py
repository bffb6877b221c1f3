"""What a report shows of a progression model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.resampling import intervals
from ostinato.tasks.base.summary import Curve, Fan, Panel, Table
from ostinato.tasks.base.task import Model
from ostinato.tasks.progression.courses import LEVELS, Codes, Courses, Floats
from ostinato.tasks.progression.judged import Prediction, brier, reliability, units_of
from ostinato.tasks.progression.network import incidence
from ostinato.tasks.progression.parameters import NOTICE
from ostinato.tasks.progression.predictions import values_ahead

_SHOWN, _UPDATES, _VARIABLES = 3, 4, 3


def progression_panels(
    model: Model[Any, Any], said: NDArray[Any], courses: Courses, predicted: Prediction
) -> Iterator[Panel]:
    """Yield the panels of held-out patients.

    Args:
        model: fitted.
        said: `(members, steps, numbers)`, of the network.
        courses: of the patients.
        predicted: what was predicted of them.
    """
    encoder = model.encoder
    units = units_of(courses, predicted)
    rows = tuple(
        (name, float(units.measures[name].total), low, high)
        for name, (low, high) in intervals(units, seed=model.parameters.seed).items()
    )
    if rows:
        yield Table(
            "How sure the measures are", ("measure", "value", "from", "to"), rows,
            f"95 % intervals: {len(courses):,} patients drawn again 1,000 times. {NOTICE}",
        )  # fmt: skip
    if predicted.incidence is not None and len(courses.marks.step):
        yield from _events(courses, predicted.incidence)
    for row in _typical(courses):
        yield _survival(model, said, courses, row)
    if encoder.targets:
        for row in _typical(courses):
            yield from _trajectories(model, said, courses, row)
        yield _values(courses, predicted)


def _events(courses: Courses, given: Floats) -> Iterator[Panel]:
    encoder = courses.encoder
    risks, shares, _ = reliability(courses, given)
    if len(risks):
        yield Curve(
            "How often the event came, by its predicted risk", tuple(risks.tolist()),
            {"share with the event": tuple(shares.tolist())}, "predicted risk", "share", diagonal=True,
            note=f"within {encoder.horizon / encoder.hours:.4g} {encoder.unit} from a landmark, by fifths of the risk; "
            f"the censored are weighed. {NOTICE}",
        )  # fmt: skip
    scores = {name: rows for name, rows in brier(courses, given).items() if rows}
    if scores:
        times = sorted({time for rows in scores.values() for time, _ in rows})
        at = {name: {row[0]: row[1] for row in rows} for name, rows in scores.items()}
        lines = {
            f"from {name} {encoder.unit}": tuple(found.get(time, float("nan")) for time in times)
            for name, found in at.items()
        }
        yield Curve("Brier score over time", tuple(times), lines, f"{encoder.unit} ahead", "Brier score", note=NOTICE)


def _typical(courses: Courses) -> list[int]:
    """Return patients with the most visits: one with an event first, then others."""
    counts = np.array(courses.lengths)
    order = np.lexsort((-counts, courses.events <= 0))
    with_event = order[courses.events[order] > 0][: _SHOWN - 1]
    without = order[courses.events[order] <= 0][: _SHOWN - len(with_event)]
    return [*with_event.tolist(), *without.tolist()]


def _survival(model: Model[Any, Any], said: NDArray[Any], courses: Courses, row: int) -> Curve:
    encoder, net = model.encoder, model.network
    steps = np.arange(courses.bounds[row], courses.bounds[row + 1])
    picked = np.unique(steps[np.linspace(0, len(steps) - 1, min(_UPDATES, len(steps))).round().astype(int)])
    count = net.causes * net.intervals
    logits = said[:, picked, :count].reshape(len(said), len(picked), net.causes, net.intervals)
    lasting = 1 - incidence(logits).sum(-2)
    lines = {
        f"after {courses.hours[step] / encoder.hours:.4g} {encoder.unit}": (1.0, *lasting.mean(0)[place].tolist())
        for place, step in enumerate(picked.tolist())
    }
    if len(said) > 1:
        lines["lowest of the members, at the end"] = (1.0, *lasting[:, -1].min(0).tolist())
        lines["highest of the members, at the end"] = (1.0, *lasting[:, -1].max(0).tolist())
    end = courses.until[row]
    came = "not known"
    if np.isfinite(end):
        kind = f"event {encoder.causes[courses.events[row] - 1]}" if courses.events[row] > 0 else "censored"
        came = f"{kind} {(end - courses.hours[steps[-1]]) / encoder.hours:.4g} {encoder.unit} after the last visit"
    times = (0.0, *(encoder.ends / encoder.hours).tolist())
    return Curve(
        f"Patient {courses.ids[row]}: without an event, as predicted after some visits", times, lines,
        f"{encoder.unit} after the visit", "probability", note=f"{came}. {NOTICE}",
    )  # fmt: skip


def _trajectories(model: Model[Any, Any], said: NDArray[Any], courses: Courses, row: int) -> Iterator[Fan]:
    """Yield the courses of some variables behind the middle visit of a patient, as they were predicted there."""
    encoder = model.encoder
    first, last = int(courses.bounds[row]), int(courses.bounds[row + 1]) - 1
    middle = (first + last) // 2
    if last - middle < 1:
        return
    later = courses.hours[middle + 1 : last + 1]
    ahead = later - courses.hours[middle]
    each = values_ahead(
        model.network, encoder, np.repeat(said[:, middle : middle + 1], len(ahead), 1),
        np.repeat(courses.newest[middle : middle + 1], len(ahead), 0), ahead,
    )  # fmt: skip
    counts = [(-int(((courses.codes == code) & (courses.places >= first) & (courses.places <= last)).sum()), place)
              for place, code in enumerate(encoder.targets)]  # fmt: skip
    for _, target in sorted(counts)[:_VARIABLES]:
        code = encoder.targets[target]
        past = _values_at(courses, code, first, middle)
        codes = np.full(len(ahead), code, np.int64)
        quantiles = np.stack([encoder.scales.back(codes, each[:, target, level]) for level in range(len(LEVELS))], -1)
        yield Fan(
            f"Patient {courses.ids[row]}: {encoder.variables[code]}", encoder.variables[code],
            tuple(f"{hour / encoder.hours:.4g}" for hour in courses.hours[first : middle + 1]), tuple(past.tolist()),
            tuple(f"{hour / encoder.hours:.4g}" for hour in later),
            tuple(_values_at(courses, code, middle + 1, last).tolist()), tuple(quantiles[:, 1].tolist()), LEVELS,
            tuple(tuple(each) for each in quantiles.tolist()),
            note=f"as predicted at {courses.hours[middle] / encoder.hours:.4g} {encoder.unit}; the interval holds "
            f"80 %. {NOTICE}",
        )  # fmt: skip


def _values_at(courses: Courses, code: int, first: int, last: int) -> Floats:
    """Return the values of a variable at steps in its unit, NaN where it was not measured."""
    found = np.full(last - first + 1, np.nan)
    mine = (courses.codes == code) & (courses.places >= first) & (courses.places <= last)
    codes: Codes = courses.codes[mine]
    found[courses.places[mine] - first] = courses.encoder.scales.back(codes, courses.values[mine])
    return found


def _values(courses: Courses, predicted: Prediction) -> Table:
    encoder, pairs = courses.encoder, courses.pairs
    rows = []
    for target, code in enumerate(encoder.targets):
        mine = pairs.target == target
        if predicted.values is None or not mine.any():
            continue
        codes = np.full(int(mine.sum()), code, np.int64)
        low, middle, high = (encoder.scales.back(codes, predicted.values[mine, level]) for level in range(3))
        truth = encoder.scales.back(codes, pairs.value[mine])
        carried = encoder.scales.back(codes, courses.newest[pairs.step[mine], target].astype(np.float64))
        inside = 100 * float(((low <= truth + 1e-9) & (truth - 1e-9 <= high)).mean())
        rows.append(
            (encoder.variables[code], int(mine.sum()), float(np.abs(middle - truth).mean()),
             float(np.abs(carried - truth).mean()), inside)
        )  # fmt: skip
    return Table(
        "Next values", ("variable", "values", "MAE", "MAE of the last value", "coverage 80 %"), tuple(rows),
        "of the following visit, in the unit of the data",
    )  # fmt: skip
