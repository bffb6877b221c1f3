"""How long patients were followed, and with which event that ended: columns beside their visits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.health.clock import UNITS, Clock, rounded
from ostinato.data.health.outcomes import coded, hours_of_column
from ostinato.data.health.patients import Floats, Patients
from ostinato.data.identities import names
from ostinato.data.notes import note
from ostinato.data.table import Table, is_numeric, numbers
from ostinato.errors import DataError
from ostinato.words import counted, quoted

FOLLOW_UP_NAMES = (
    "follow_up", "follow-up", "followup", "futime", "follow_up_time", "time_to_event", "event_time", "survival_time",
)  # fmt: skip
"""What the column of the end of follow-up is called, in small letters."""


def follow_up_column(table: Table, asked: str | None) -> str | None:
    """Return the column of the end of follow-up, `None` where there is none that is known by its name.

    Raises:
        ColumnError: the one asked for is not there.
    """
    if asked is not None:
        table.require([asked])
        return asked
    by_name = {column.lower(): column for column in reversed(table.columns)}
    return next((by_name[name] for name in FOLLOW_UP_NAMES if name in by_name), None)


def with_follow_up(
    patients: Patients, table: Table, *, event: str, follow_up: str, missing: tuple[str, ...] = ()
) -> Patients:
    """Return patients with the code of the event that ended their follow-up, 0 for none, and when that was.

    Args:
        patients: as they were read.
        table: whose rows name patients by the same column; both columns are the same in all rows of a patient.
        event: the column of the event: 0 or no, censored; 1, 2, ... or yes: which one.
        follow_up: of when follow-up ended, written as the times of visits are, or a number since the first visit.
        missing: texts that mean a missing value.

    Raises:
        ColumnError: there is no such column.
        DataError: a patient has two events or two ends, an event without its time, an end before the last visit, or a
            code is none.
    """
    table.require([event, follow_up])
    place = {name: row for row, name in enumerate(patients.ids)}
    ids = names(table, patients.reading.id, "must name its patient")
    owners = np.array([place.get(name, -1) for name in ids], np.int64)
    codes = _one_each(table, _codes(table, event, missing), owners, len(patients), ids, "event", event)
    read = _hours(patients, table, follow_up, owners, missing)
    ends = _one_each(table, read, owners, len(patients), ids, "end of follow-up", follow_up)
    if (lost := (codes > 0) & np.isnan(ends)).any():
        raise DataError(
            f'patient "{patients.ids[int(lost.argmax())]}" of {table.origin} has an event, but no "{follow_up}" says '
            "when it came; fill it in, or leave the patient out"
        )
    if (ends < 0).any():
        row = int((ends < 0).argmax())
        raise DataError(
            f'"{follow_up}" of patient "{patients.ids[row]}" of {table.origin} lies before the beginning; expected '
            "0 or more"
        )
    last = patients.stays()
    if (early := ends < last - 1e-6).any():
        row, unit = int(early.argmax()), UNITS[patients.reading.clock.unit]
        raise DataError(
            f'follow-up of patient "{patients.ids[row]}" of {table.origin} ends at {ends[row] / unit:g} '
            f"{patients.reading.clock.unit}, before their last visit at {last[row] / unit:g}; mend one of them"
        )
    known = np.isfinite(codes) & np.isfinite(ends)
    if not known.any():
        raise DataError(f'no patient of {table.origin} has both "{event}" and "{follow_up}"; expected them of each')
    if not known.all():
        gone = [patients.ids[row] for row in np.flatnonzero(~known)]
        note(f'{counted(len(gone), "patients")} without "{event}" or "{follow_up}" left out: {quoted(gone, 3)}')
    return replace(patients, outcomes=codes, outcome_hours=ends).take(np.flatnonzero(known))


def _one_each(
    table: Table, values: Floats, owners: NDArray[np.int64], count: int, ids: list[str], what: str, column: str
) -> Floats:
    """Return the one value of each patient, NaN without any."""
    known = np.flatnonzero(np.isfinite(values) & (owners >= 0))
    found = np.full(count, np.nan)
    found[owners[known[::-1]]] = values[known[::-1]]
    wrong = known[values[known] != found[owners[known]]]
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f'{table.place(row)}: patient "{ids[row]}" has another {what} in column "{column}" than in a row before; '
            "expected one for each patient, the same in all their rows"
        )
    return found


def _codes(table: Table, column: str, missing: tuple[str, ...]) -> Floats:
    expected = "0 for censored and 1, 2, ... for the events"
    return coded(
        table, column, missing, most=1000, what="event", numbers_are=expected, cells_are=f"{expected}, or yes and no"
    )


def _hours(
    patients: Patients, table: Table, column: str, owners: NDArray[np.int64], missing: tuple[str, ...]
) -> Floats:
    """Return the ends of follow-up in hours since the beginning of each patient, `(rows,)`."""
    clock: Clock = patients.reading.clock
    if clock.kind != "elapsed" and is_numeric(table, column, missing):
        return rounded(numbers(table, column, missing) * UNITS[clock.unit])
    found: Any = hours_of_column(table, column, clock, missing)
    if clock.kind == "dates" and patients.admissions is not None:
        found = found - np.where(owners >= 0, patients.admissions[np.maximum(owners, 0)], 0.0)
    return rounded(found)
