"""What came of patients, and what is known of them beside what was measured: a table with a row for each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.cells import NO, YES
from ostinato.data.health.clock import UNITS, Clock, rounded
from ostinato.data.health.patients import Floats, HealthReading, Patients, patients_of
from ostinato.data.identities import names
from ostinato.data.notes import note
from ostinato.data.readers import read_table
from ostinato.data.table import Table, is_numeric, numbers, texts
from ostinato.errors import ColumnError, DataError
from ostinato.words import counted, quoted, verb

_LEVELS = 20  # different texts that a column of categories has, at most
_SHOWN = 3


def with_outcomes(
    patients: Patients,
    source: Any,
    *,
    outcome: str,
    outcome_time: str | None = None,
    id_column: str | None = None,
    missing: tuple[str, ...] = (),
    needed: bool = True,
    or_only: bool = False,
) -> Patients:
    """Return patients with what came of them.

    Args:
        patients: as they were read.
        source: a table with a row for each patient, as `read_table` takes it.
        outcome: the column: 1 and 0, true and false, yes and no.
        outcome_time: the column of when it came, written as the times of measurements are; `None`: that is not known.
        id_column: the column of patients, if it has another name than in the measurements.
        missing: texts that mean a missing value.
        needed: whether each patient has to be in the table.
        or_only: whether another column is the outcome, if there is no such one and only that beside the patient and the
            time; a note says so.

    Raises:
        ColumnError: there is no such column.
        DataError: a patient has two outcomes or two times of it, an outcome is not one of two, or patients have none.
    """
    table = read_table(source, missing=missing)
    name = _id_column(table, id_column or patients.reading.id)
    outcome = _outcome_column(table, outcome, (name, outcome_time), or_only)
    table.require([outcome, *([outcome_time] if outcome_time else [])])
    ids = names(table, name, "must name its patient")
    found = _outcomes(table, outcome, missing)
    times = None if outcome_time is None else hours_of_column(table, outcome_time, patients.reading.clock, missing)
    by_id = _row_of_each(table, ids, found, outcome)
    _say_unknown(patients, table, by_id)
    rows = [by_id.get(each) for each in patients.ids]
    absent = [item for item, row in zip(patients.ids, rows, strict=True) if row is None or np.isnan(found[row])]
    if absent and len(absent) == len(patients) and needed:
        raise DataError(
            f'no patient of {patients.origin} has an outcome in column "{outcome}" of {table.origin}, whose ids are '
            f"{quoted(list(by_id), _SHOWN)}; expected ids such as {quoted(patients.ids, _SHOWN)}"
        )
    outcomes = np.array([np.nan if row is None else found[row] for row in rows])
    known: dict[str, float] = {}
    if times is not None and outcome_time is not None:
        came = {item for item, row in by_id.items() if found[row] == 1}
        known = _one_time(table, outcome_time, ids, times, came)
    hours = np.array([known.get(each, np.nan) for each in patients.ids])
    if patients.reading.clock.kind == "dates" and patients.admissions is not None:
        hours = rounded(hours - patients.admissions)
    whole = replace(patients, outcomes=outcomes, outcome_hours=hours)
    if absent and needed:
        many = len(absent)
        note(
            f'{counted(many, "patients")} without an outcome in column "{outcome}" of {table.origin} '
            f"{verb(many, 'are')} left out: {quoted(absent, _SHOWN)}"
        )
        whole = whole.take(np.flatnonzero(np.isfinite(outcomes)))
    return _without_early(whole, table, outcome_time)


def _row_of_each(table: Table, ids: Sequence[str], found: Floats, outcome: str) -> dict[str, int]:
    """Return the row that has the outcome of each patient; a missing one gives way to one that is there."""
    rows: dict[str, int] = {}
    for row, (item, value) in enumerate(zip(ids, found.tolist(), strict=True)):
        first = rows.setdefault(item, row)
        if np.isnan(found[first]):
            rows[item] = row
        elif found[first] != value and not np.isnan(value):
            raise DataError(
                f'{table.place(row)}: patient "{item}" has "{outcome}" {value:g}, but {found[first]:g} in row '
                f"{table.number(first)}; expected one outcome for each patient"
            )
    return rows


def with_outcomes_inside(
    patients: Patients, table: Table, outcome: str, outcome_time: str | None, missing: tuple[str, ...]
) -> Patients:
    """Return patients whose outcomes stand in the rows of their measurements.

    A column that is the same in all rows of a patient is the outcome; one that becomes 1 says when it came too.

    Raises:
        DataError: an outcome is not one of two, falls back from 1 to 0, or has two times.
    """
    reading = patients.reading
    found, ids = _outcomes(table, outcome, missing), names(table, reading.id, "must name its patient")
    place = {value: row for row, value in enumerate(patients.ids)}
    owners = np.array([place[each] for each in ids])
    came, not_came = np.zeros(len(patients), bool), np.zeros(len(patients), bool)
    came[owners[found == 1]], not_came[owners[found == 0]] = True, True
    hours = np.full(len(patients), np.nan)
    base = patients.admissions if patients.admissions is not None else np.zeros(len(patients))
    if outcome_time is not None:
        table.require([outcome_time])
        held = hours_of_column(table, outcome_time, reading.clock, missing)
        known = _one_time(table, outcome_time, ids, held, {ids[row] for row in np.flatnonzero(found == 1)})
        hours = rounded(np.array([known.get(name, np.nan) for name in patients.ids]) - base)
    elif reading.time and (came & not_came).any():
        clock = reading.clock.read(table, reading.time)[0] - base[owners]
        first = np.full(len(patients), np.inf)
        np.minimum.at(first, owners[found == 1], clock[found == 1])
        back = (found == 0) & (clock > first[owners])
        if back.any():
            row = int(back.argmax())
            raise DataError(
                f'{table.place(row)}: the outcome "{outcome}" of patient "{ids[row]}" is 0 again after it was 1; '
                "expected one that stays, or one outcome for each patient"
            )
        hours = np.where(came & not_came, first, np.nan)
    outcomes = np.where(came, 1.0, np.where(not_came, 0.0, np.nan))
    whole = replace(patients, outcomes=outcomes, outcome_hours=np.where(came, hours, np.nan))
    absent = [item for item, value in zip(patients.ids, outcomes, strict=True) if np.isnan(value)]
    if absent:
        many = len(absent)
        note(
            f'{counted(many, "patients")} without an outcome in column "{outcome}" {verb(many, "are")} left out: '
            f"{quoted(absent, _SHOWN)}"
        )
    return _without_early(whole.take(np.flatnonzero(np.isfinite(outcomes))), table, outcome_time)


def _one_time(table: Table, column: str, ids: Sequence[str], hours: Floats, came: Collection[str]) -> dict[str, float]:
    """Return when the outcome of each patient came, of those who have a time: one, in whichever of their rows."""
    first: dict[str, int] = {}
    for row in np.flatnonzero(np.isfinite(hours)).tolist():
        if ids[row] not in came:
            continue
        before = first.setdefault(ids[row], row)
        if hours[before] != hours[row]:
            raise DataError(
                f'{table.place(row)}: patient "{ids[row]}" has another "{column}" than in row {table.number(before)}; '
                "expected one time of the outcome for each patient"
            )
    return {value: float(hours[row]) for value, row in first.items()}


def _without_early(patients: Patients, table: Table, column: str | None) -> Patients:
    """Leave out patients whose outcome came before admission, as such measurements are, and say so."""
    assert patients.outcome_hours is not None
    early = patients.outcome_hours < 0
    if not early.any():
        return patients
    gone = quoted([patients.ids[row] for row in np.flatnonzero(early)], _SHOWN)
    if early.all():
        raise DataError(
            f'every time in column "{column}" of {table.origin} lies before the admission of its patient: {gone}; '
            "expected times as those of the measurements, 0 at admission"
        )
    many = int(early.sum())
    note(
        f'the outcome of {many:,} patient{"s" if many > 1 else ""} lies before admission by column "{column}" of '
        f"{table.origin}, and {'they are' if many > 1 else 'the patient is'} left out: {gone}"
    )
    return patients.take(np.flatnonzero(~early))


def with_statics(
    patients: Patients,
    source: Any,
    *,
    columns: Sequence[str] | None = None,
    left: Sequence[str] = (),
    missing: tuple[str, ...] = (),
    reading: HealthReading | None = None,
) -> Patients:
    """Return patients of whom more is known from the beginning: each column is a variable measured at admission.

    A column of texts is a variable `"column: level"`, 1 or 0, for each of its levels.

    Args:
        patients: as they were read.
        source: a table with a row for each patient.
        columns: those to read; `None`: all but those that are left.
        left: columns that are not read.
        missing: texts that mean a missing value.
        reading: how the training data was read; `None`: this is it.

    Raises:
        ColumnError: there is no such column.
        DataError: a patient has two rows.
    """
    table = read_table(source, missing=missing)
    name = _id_column(table, patients.reading.id)
    ids = names(table, name, "must name its patient")
    if len(set(ids)) < len(ids):
        doubled = next(row for row, value in enumerate(ids) if value in ids[:row])
        raise DataError(
            f'{table.place(doubled)}: patient "{ids[doubled]}" has a second row; expected one for each patient'
        )
    table.require(list(columns or ()))
    wanted = columns if columns is not None else [each for each in table.columns if each not in (name, *left)]
    known = {value: place for place, value in enumerate(patients.ids)}
    owners = np.array([known.get(each, -1) for each in ids])
    start = np.array([min(0.0, _first(patients, row)) for row in range(len(patients))])
    levels = dict(reading.levels if reading else patients.reading.levels)
    parts: list[tuple[str, Floats]] = []
    for column in wanted:
        parts += list(as_variables(table, column, missing, levels, fitting=reading is None))
    reading = replace(patients.reading, levels=levels)
    if not parts:
        return replace(patients, reading=reading)
    flat, place = np.concatenate([value for _, value in parts]), np.tile(owners, len(parts))
    there = np.isfinite(flat) & (place >= 0)
    codes = np.repeat(np.arange(len(parts)), len(owners))[there]
    added = patients_of(
        patients.origin, patients.ids, place[there], start[place[there]], tuple(value for value, _ in parts), codes,
        flat[there], patients.reading,
    )  # fmt: skip
    return replace(_merged(patients, added), reading=reading)


def as_variables(
    table: Table, column: str, missing: tuple[str, ...], levels: dict[str, tuple[str, ...]], *, fitting: bool
) -> list[tuple[str, Floats]]:
    """Return a column as variables: itself, of numbers; or one for each level, of texts.

    Args:
        table: the table.
        column: of it.
        missing: texts that mean a missing value.
        levels: of columns of texts; those that are found are put in.
        fitting: whether levels are found, rather than known.
    """
    if column not in levels and is_numeric(table, column, missing):
        return [(column, numbers(table, column, missing))]
    if table.frame is None or table.frame[column].dtype.is_temporal() or (column not in levels and not fitting):
        return []
    cells = np.array(texts(table, column, missing), object)
    there = np.array([cell is not None for cell in cells], bool)
    if column not in levels:
        kinds = sorted({str(cell) for cell in cells[there]})
        if len(kinds) > _LEVELS or len(kinds) < 2:
            note(
                f'column "{column}" of {table.origin} is not used: its texts are '
                + ("all the same" if len(kinds) < 2 else f"of {len(kinds):,} kinds, more than {_LEVELS}")
            )
            return []
        levels[column] = tuple(kinds)
    known = levels[column]
    return [
        (f"{column}: {level}", np.where(there, (cells == level).astype(float), np.nan))
        for level in (known[1:] if len(known) == 2 else known)
    ]


def _merged(first: Patients, second: Patients) -> Patients:
    """Return the measurements of the same patients together; those of the second come first at one time."""
    variables = tuple(dict.fromkeys((*first.variables, *second.variables)))
    place = np.array([variables.index(name) for name in second.variables], np.int64)
    owners = [np.repeat(np.arange(len(first)), np.diff(each.bounds)) for each in (second, first)]
    found = patients_of(
        first.origin, first.ids, np.concatenate(owners), np.concatenate([second.hours, first.hours]), variables,
        np.concatenate([place[second.codes], first.codes]), np.concatenate([second.values, first.values]),
        first.reading,
    )  # fmt: skip
    return replace(
        found, outcomes=first.outcomes, outcome_hours=first.outcome_hours, admissions=first.admissions,
        impossible=first.impossible, notes=first.notes,
    )  # fmt: skip


def _first(patients: Patients, row: int) -> float:
    hours = patients.hours[patients.of(row)]
    return float(hours[0]) if len(hours) else 0.0


def _outcome_column(table: Table, outcome: str, taken: Sequence[str | None], or_only: bool) -> str:
    if outcome in table.columns:
        return outcome
    others = [column for column in table.columns if column not in taken]
    if or_only and len(others) == 1:
        note(
            f'the outcome is column "{others[0]}" of {table.origin}, which has no other; outcome (--outcome) names one'
        )
        return others[0]
    raise ColumnError(
        f'{table.origin} has no column "{outcome}" of outcomes; it has {", ".join(others[:8]) or "none"} beside the '
        f'patient, "{taken[0]}": name the one that is 1 and 0 with outcome (--outcome COLUMN)'
    )


def _id_column(table: Table, name: str) -> str:
    if name in table.columns:
        return name
    found = [column for column in table.columns if column.lower() in ID_NAMES]
    if len(found) == 1:
        return found[0]
    raise ColumnError(
        f'{table.origin} has no column "{name}", by which the patients of the measurements are known; it has '
        f"{', '.join(table.columns[:8])}: name it as there, or the column of the measurements with id (--id COLUMN)"
    )


ID_NAMES = (
    "patient", "patient_id", "patientid", "id", "recordid", "record_id", "subject_id", "subject", "stay_id",
    "icustay_id", "hadm_id", "encounter_id", "case",
)  # fmt: skip
"""What the column of patients is called, in small letters."""


def _outcomes(table: Table, column: str, missing: tuple[str, ...]) -> Floats:
    """Return a column of two outcomes as 1 and 0, NaN where missing."""
    return coded(
        table, column, missing, most=1, what="outcome", numbers_are="1 where it came and 0 where it did not",
        cells_are="1 and 0, true and false, or yes and no",
    )  # fmt: skip


def coded(
    table: Table, column: str, missing: tuple[str, ...], *, most: int, what: str, numbers_are: str, cells_are: str
) -> Floats:
    """Return a column of codes from 0 to `most`, or of words for 1 and 0, as numbers, NaN where missing.

    Args:
        table: which.
        column: of it.
        missing: cells that mean a missing value.
        most: the highest code.
        what: what the column holds.
        numbers_are: what is expected of numbers, in words.
        cells_are: what is expected of other cells.

    Raises:
        DataError: a cell is something else; its row is named.
    """
    if is_numeric(table, column, missing):
        values = numbers(table, column, missing)
        wrong = np.isfinite(values) & ((values < 0) | (values != np.floor(values)) | (values > most))
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(f'{table.place(row)}: the {what} "{column}" is {values[row]:g}; expected {numbers_are}')
        return values
    cells = texts(table, column, missing)
    found = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        word = None if cell is None else cell.strip().lower()
        if word in YES or word in NO:
            found[row] = float(word in YES)
        elif word:
            raise DataError(f'{table.place(row)}: the {what} "{column}" is "{str(cell)[:80]}"; expected {cells_are}')
    return found


def hours_of_column(table: Table, column: str, clock: Clock, missing: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the times of outcomes in hours, NaN where there is none."""
    assert table.frame is not None
    if is_numeric(table, column, missing) and clock.kind == "numbers":
        return rounded(numbers(table, column, missing) * UNITS[clock.unit])
    there = np.array([text is not None for text in texts(table, column, missing)])
    if clock.kind == "elapsed" and is_numeric(table, column, missing):
        raise DataError(
            f'column "{column}" of {table.origin} holds numbers, but the times of measurements are written as hours '
            "and minutes such as 47:12; write both alike"
        )
    found = np.full(table.rows, np.nan)
    if there.any():
        part = replace(table, frame=table.frame.filter(there))
        found[there] = clock.read(part, column)[0]
    return found


def _say_unknown(patients: Patients, table: Table, by_id: Mapping[str, int]) -> None:
    known = set(patients.ids)
    unknown = [each for each in by_id if each not in known]
    if unknown and len(unknown) < len(by_id):
        many = len(unknown)
        note(
            f"{counted(many, 'patients')} of {table.origin} {verb(many, 'have')} no measurement in {patients.origin} "
            f"and {verb(many, 'are')} left out: {quoted(unknown, _SHOWN)}"
        )
