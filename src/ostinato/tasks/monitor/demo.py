"""`ostinato demo health`: a ward made on the spot, from measurements to a live risk."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.tasks.monitor.parameters import NOTICE

_PATIENTS, _SHOWN = 600, 12
# mean, spread among patients, hours between two measurements, and how each hour of deterioration moves it
_VARIABLES: dict[str, tuple[float, float, float, float]] = {
    "HR": (82.0, 10.0, 1.0, 2.8),
    "RespRate": (17.0, 3.0, 1.5, 0.9),
    "SysABP": (124.0, 13.0, 1.0, -2.6),
    "SpO2": (96.5, 1.2, 1.0, -0.45),
    "Temp": (36.9, 0.4, 4.0, 0.06),
    "Lactate": (1.4, 0.4, 9.0, 0.3),
    "Creatinine": (1.0, 0.3, 14.0, 0.03),
}
_NOISE = 0.5  # of the spread among patients


def ward(patients: int, seed: int = 0) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Return measurements and outcomes of a ward that does not exist, as two tables.

    One in five deteriorates from some hour on; of those, most have the event ten hours later or so. Whoever is worse is
    measured more often, as on a real ward.

    Args:
        patients: how many.
        seed: of all numbers.
    """
    rng = np.random.default_rng(seed)
    rows: dict[str, list[Any]] = {"patient": [], "time": [], "variable": [], "value": []}
    found: dict[str, list[Any]] = {"patient": [], "event": [], "event_time": []}
    for number in range(patients):
        name, stay = f"p{number:04d}", float(rng.uniform(18, 60))
        falls = rng.random() < 0.2
        begins = float(rng.uniform(4, stay - 8)) if falls else np.inf
        event = begins + float(rng.uniform(7, 14)) if falls and rng.random() < 0.85 else np.inf
        end = min(stay, event)
        middle = {name_: rng.normal(mean, spread) for name_, (mean, spread, _, _) in _VARIABLES.items()}
        for variable, (_, spread, gap, slope) in _VARIABLES.items():
            at = float(rng.exponential(gap / 2))
            while at < end:
                worse = max(0.0, at - begins)
                value = middle[variable] + slope * worse + rng.normal(0, _NOISE * spread)
                value = min(value, 100.0) if variable == "SpO2" else value
                for column, cell in zip(rows, (name, round(at, 2), variable, round(float(value), 2)), strict=True):
                    rows[column].append(cell)
                at += float(rng.exponential(gap / (1 + 0.1 * min(worse, 10))))
        for column, cell in zip(
            found, (name, int(event < stay), round(event, 2) if event < stay else None), strict=True
        ):
            found[column].append(cell)
    return rows, found


def run(out: Path) -> None:
    """Make a ward, train, judge, write a report, and stream the measurements of one patient."""
    for line in _lines(out):
        print(line, file=sys.stdout, flush=True)


def _lines(out: Path) -> Iterator[str]:
    from ostinato.tasks.monitor.estimator import PatientMonitor

    began = time.monotonic()
    rows, outcomes = ward(_PATIENTS)
    yield (
        f"A ward of {_PATIENTS} patients, made on the spot: {len(rows['value']):,} measurements at uneven times, "
        f"{sum(outcomes['event'])} events.\nThe risk of an event within 12 hours, by a GRU-D. {NOTICE}\n"
    )
    model = PatientMonitor(
        outcome="event", outcome_time="event_time", window=12.0, time_unit="hours", members=2, max_seconds=60,
        epochs=40, batch_size=32, alarm_rate=0.5,
    )  # fmt: skip
    model.fit(rows, outcomes, directory=out)
    yield str(model.scores_)
    from ostinato.errors import MissingExtra

    try:
        yield f"\nreport: {model.report(out / 'report.html')}"
    except MissingExtra as error:
        yield f"\nno report: {error}"
    yield from _streamed(model)
    row = json.dumps({"patient": "new", "time": 1.5, "variable": "HR", "value": 118})
    yield f"\nDone in {time.monotonic() - began:.0f} s. In {out}: the model and its report. Try next:"
    yield f"  echo '{row}' | ostinato stream {out}"
    yield "  ostinato fit monitor EVENTS.csv --outcomes OUTCOMES.csv --outcome COLUMN --out my-model"


def _streamed(model: Any) -> Iterator[str]:
    """Yield the course of a patient who was never seen, measurement by measurement."""
    rows, outcomes = ward(60, seed=1)
    place = next(at for at, outcome in enumerate(outcomes["event"]) if outcome and outcomes["event_time"][at] > 20)
    name, event = outcomes["patient"][place], outcomes["event_time"][place]
    found = [at for at, patient in enumerate(rows["patient"]) if patient == name]
    found.sort(key=lambda at: rows["time"][at])
    stream, elapsed, shown = model.stream(), 0.0, []
    stream.push({column: cells[found[0]] for column, cells in rows.items()})  # the step is compiled once
    stream.reset()
    for at in found:
        row = {column: cells[at] for column, cells in rows.items()}
        began = time.perf_counter()
        answer = stream.push(row)
        elapsed += time.perf_counter() - began
        shown.append((row, answer))
    yield f"\nA patient never seen, whose event comes at hour {event:.1f}, live; {_SHOWN} of {len(found)} measurements:"
    yield f"{'hour':>8}  {'variable':12}{'value':>8}  {'risk':>6}"
    for row, answer in shown[:: max(len(shown) // _SHOWN, 1)][-_SHOWN:]:
        alarm = "  alarm" if answer["alarm"] else ""
        yield f"{row['time']:8.2f}  {row['variable']:12}{row['value']:8.2f}  {answer['risk']:6.3f}{alarm}"
    yield f"{1e6 * elapsed / len(found):.0f} microseconds a measurement. {NOTICE}"
