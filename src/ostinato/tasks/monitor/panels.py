"""What a report shows of a patient monitor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.health import Patients
from ostinato.tasks.base.embeddings import embedding_panel
from ostinato.tasks.base.resampling import intervals
from ostinato.tasks.base.summary import Curve, Panel, Table
from ostinato.tasks.base.task import Model
from ostinato.tasks.monitor.contributions import changes
from ostinato.tasks.monitor.judged import RATES, Ward, hourly_auroc, units_of
from ostinato.tasks.monitor.parameters import NOTICE
from ostinato.tasks.monitor.stays import Stays

Floats = NDArray[np.float64]
_BINS, _SHOWN, _HOURS, _VARIABLES = 10, 6, 48, 5
_FEWEST, _DRAWN = 8, 400  # patients in a picture
_BACK = 6.0  # hours before the last step, of a change of risk


def monitor_panels(model: Model[Any, Any], patients: Patients, stays: Stays, risks: Floats) -> Iterator[Panel]:
    """Yield the panels of held-out patients."""
    parameters, tick = model.parameters, model.encoder.tick
    units = units_of(stays, risks)
    rows = tuple(
        (name, float(units.measures[name].total), low, high)
        for name, (low, high) in intervals(units, seed=parameters.seed).items()
    )
    if rows:
        yield Table(
            "How sure the measures are", ("measure", "value", "from", "to"), rows,
            f"95 % intervals: {len(stays):,} patients drawn again 1,000 times. {NOTICE}",
        )  # fmt: skip
    if (stays.outcomes == 1).any():
        yield _hourly(stays, risks, tick, model.encoder.longest)
        yield _alarms(stays, risks, tick, parameters.silence, model.encoder.threshold)
    yield _reliability(stays, risks)
    yield from _courses(model, stays, risks)
    yield from _embeddings(model, stays)
    yield _measured(patients, model.encoder.variables)


def _hourly(stays: Stays, risks: Floats, tick: float, longest: float) -> Curve:
    hours = np.arange(1, _HOURS + 1) * max(tick, longest / _HOURS if longest > _HOURS * tick else tick)
    hours = hours[(hours <= longest + tick) & (hours >= min(6 * tick, longest))]
    found = hourly_auroc(stays, risks, hours.astype(np.float64))
    return Curve(
        "How early the outcome is predicted", tuple(hours.tolist()), {"AUROC": tuple(found.tolist())},
        "hours after admission", "AUROC",
        note=f"by what was known at each hour, of patients whose outcome had not come. {NOTICE}",
    )  # fmt: skip


def _alarms(stays: Stays, risks: Floats, tick: float, silence: float, threshold: float) -> Table:
    ward = Ward(stays, risks, tick, silence)
    found = [ward.alarms(ward.threshold(rate)) for rate in RATES] + [ward.alarms(threshold)]
    rows = tuple(
        (name, value.threshold, value.rate, value.sensitivity, value.precision, value.lead, value.share)
        for name, value in zip([*(f"{rate:g} a day" for rate in RATES), "the model's threshold"], found, strict=True)
    )
    return Table(
        "Alarms as a ward sees them",
        (
            "alarms asked for",
            "threshold",
            "alarms a patient-day",
            "sensitivity",
            "precision",
            "lead, hours",
            "share of the time in alarm",
        ),
        rows,
        f"an alarm: the risk rises above the threshold, {silence:g} hours or more after the last; what comes sooner is "
        "one with it, and so is all the time that the risk stays above: a lower threshold can have fewer alarms, that "
        "last longer; sensitivity: of the "
        "patients with the outcome, those who had one before it; lead: median from the first to the outcome, or to the "
        f"last measurement where it has no time. {NOTICE}",
    )


def _reliability(stays: Stays, risks: Floats) -> Curve:
    given, truth = risks[stays.judged], stays.labels[stays.judged]
    edges = np.unique(np.quantile(given, np.linspace(0, 1, _BINS + 1))) if len(given) else np.array([0.0, 1.0])
    place = np.clip(np.searchsorted(edges, given, side="right") - 1, 0, max(len(edges) - 2, 0))
    count = np.bincount(place, minlength=max(len(edges) - 1, 1))
    there = count > 0
    x = np.bincount(place, given, len(count))[there] / count[there]
    y = np.bincount(place, truth, len(count))[there] / count[there]
    return Curve(
        "How often it came, by its predicted risk", tuple(x.tolist()), {"share with the outcome": tuple(y.tolist())},
        "predicted risk", "share", diagonal=True, note=f"patients by tenths of the risk. {NOTICE}",
    )  # fmt: skip


def _courses(model: Model[Any, Any], stays: Stays, risks: Floats) -> Iterator[Panel]:
    """Yield what changed the risk of those in whom it rose most in the last hours."""
    back = max(_BACK, 6 * model.encoder.tick)
    last = stays.last
    earlier = np.maximum(
        np.array([stays.at(float(stays.hours[at]) - back)[row] for row, at in enumerate(last[:500].tolist())]),
        stays.bounds[: min(500, len(stays))],
    )
    rise = risks[last[: len(earlier)]] - risks[earlier]
    rows = np.argsort(-rise, kind="stable")[:_SHOWN].tolist()
    if not rows:
        return
    from ostinato.tasks.monitor.task import MonitorTask

    task = MonitorTask()
    table = []
    for row, (before, now, shares) in zip(
        rows, changes(stays, risks, lambda each: task.predict(model, each), rows, back), strict=True
    ):
        strongest = sorted(shares, key=lambda code: -abs(shares[code]))[:_VARIABLES]
        said = ", ".join(f"{model.encoder.variables[code]} {shares[code]:+.3f}" for code in strongest)
        came = {1.0: "yes", 0.0: "no"}.get(float(stays.outcomes[row]), "not known")
        table.append((stays.ids[row], before, now, said or "nothing was measured", came))
    yield Table(
        f"What raised the risk in the last {back:g} hours",
        ("patient", "risk before", "risk after", "by how much less without the variable", "outcome"),
        tuple(table),
        f"occlusion: the variable's measurements of these hours are hidden, and the risk is predicted again. {NOTICE}",
    )


def _embeddings(model: Model[Any, Any], stays: Stays) -> Iterator[Panel]:
    """Yield patients in a plane by what the network knows of them at the end, those with the outcome apart."""
    from ostinato.tasks.monitor.task import MonitorTask

    if len(stays) < _FEWEST:
        return
    names = {1.0: "outcome", 0.0: "no outcome"}
    groups = [names.get(float(outcome), "not known") for outcome in stays.outcomes[:_DRAWN]]
    yield embedding_panel(MonitorTask().embed(model, stays)[:_DRAWN], groups)


def _measured(patients: Patients, variables: tuple[str, ...]) -> Table:
    owners = np.repeat(np.arange(len(patients)), np.diff(patients.bounds))
    rows = []
    for place, name in enumerate(patients.variables):
        mine = patients.codes == place
        if name not in variables or not mine.any():
            continue
        low, middle, high = np.quantile(patients.values[mine], (0.05, 0.5, 0.95))
        share = len(np.unique(owners[mine])) / len(patients)
        rows.append((name, float(mine.sum()) / len(patients), share, float(low), float(middle), float(high)))
    rows.sort(key=lambda row: -row[1])
    return Table(
        "What was measured", ("variable", "measurements a patient", "share of patients", "5 %", "median", "95 %"),
        tuple(rows[:60]),
    )  # fmt: skip
