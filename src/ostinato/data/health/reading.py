"""Reading patients: long tables, wide tables of visits, folders with a file for each patient, WFDB records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.health.clock import LONGEST, UNITS, Clock, Hours, rounded
from ostinato.data.health.edf import is_edf, table_of_edf
from ostinato.data.health.folders import is_folder_of_patients, table_of_folder
from ostinato.data.health.outcomes import ID_NAMES, as_variables, with_outcomes_inside
from ostinato.data.health.patients import Codes, Floats, HealthReading, Patients, patients_of
from ostinato.data.health.plausible import impossible
from ostinato.data.identities import names
from ostinato.data.notes import note
from ostinato.data.readers import read_table
from ostinato.data.table import Table, is_text, numbers
from ostinato.errors import ColumnError, DataError
from ostinato.words import counted, quoted, verb

_TIMES = ("time", "hours", "hour", "charttime", "timestamp", "datetime", "date", "iculos", "minutes", "day", "days")
_VARIABLES = ("variable", "parameter", "item", "itemid", "measurement", "name", "label")
_VALUES = ("value", "valuenum", "result")
_SHOWN = 3


def read_patients(
    source: Any,
    *,
    id: str | None = None,  # noqa: A002, what the column is called
    time: str | None = None,
    variable: str | None = None,
    value: str | None = None,
    clock: Clock | None = None,
    admission: str | None = None,
    left: Sequence[str] = (),
    outcome: str | None = None,
    outcome_time: str | None = None,
    limits: Mapping[str, tuple[float, float]] | None = None,
    missing: tuple[str, ...] = (),
    decimal: str | None = None,
    reading: HealthReading | None = None,
    unit_given: bool = True,
) -> Patients:
    """Read measurements of patients.

    Args:
        source: a long table (a row a measurement), a wide one (a row a visit, a column a variable), a folder or archive
            with a file for each patient, or a folder of WFDB records; see `ostinato.data.read_table` for tables.
        id: the column of patients; `None`: found.
        time: of times; `None`: found.
        variable: of what was measured; `None`: found, and where there is none the table is wide.
        value: of its value.
        clock: how times are written; its unit is that of numbers.
        admission: the column of each patient's admission, where times are dates; `None`: the first measurement.
        left: columns of a wide table that are no variables.
        outcome: the column of the outcome, if the table has it: the same in all rows of a patient, or 1 from when it
            came on.
        outcome_time: the column of when it came, likewise.
        limits: of variables, the least and the greatest that they can be; else what is known of their names.
        missing: texts that mean a missing value.
        decimal: the mark before decimals where cells do not show it.
        reading: how the training data was read, which holds for this too.
        unit_given: whether somebody said which unit times have.

    Raises:
        ColumnError: there is no such column.
        DataError: a value is no number, a time cannot be read, or there is no measurement.

    >>> rows = {"patient": ["a", "a", "b"], "time": [0, 1.5, 0], "variable": ["HR", "HR", "K"], "value": [80, 95, 4.1]}
    >>> found = read_patients(rows)
    >>> found.ids, found.variables, found.bounds.tolist(), found.hours.tolist()
    (('a', 'b'), ('HR', 'K'), [0, 2, 3], [0.0, 1.5, 0.0])
    """
    if isinstance(source, Patients):
        return source
    recorded = is_edf(source)
    folder = not recorded and is_folder_of_patients(source)
    if recorded:
        origin, frame = table_of_edf(source)
        table = replace(read_table(frame, missing=missing), origin=origin)
    elif folder and Path(source).is_dir() and any(each.is_file() for each in Path(source).glob("*.hea")):
        from ostinato.data.health.waveforms import table_of_records

        origin, frame = table_of_records(source)
        table = replace(read_table(frame, missing=missing), origin=origin)
    elif folder:
        origin, frame = table_of_folder(source)
        table = replace(read_table(frame, decimal=decimal, missing=missing), origin=origin)
    else:
        table = read_table(source, decimal=decimal, missing=missing)
    known = reading or _found(table, id, time, variable, value, clock or Clock(), missing)
    found = _patients(table, known, admission, left, missing, reading is None, unit_given, physionet=folder)
    if outcome is not None and outcome in table.columns:
        found = with_outcomes_inside(found, table, outcome, outcome_time, missing)
    return _without_nothing(_without_impossible(_without_before(_without_missing(found)), limits or {}))


def _found(
    table: Table, id_: str | None, time: str | None, variable: str | None, value: str | None, clock: Clock,
    missing: tuple[str, ...],
) -> HealthReading:  # fmt: skip
    asked = [each for each in (id_, variable, value) if each is not None]
    table.require(asked)
    if time is not None:
        table.require([time] if time in table.columns else time.split("+"))
    own_id = id_ or _named(table, ID_NAMES, "patients", "id")
    own_variable = variable or _maybe(table, _VARIABLES)
    own_value = value or _maybe(table, _VALUES)
    if (own_variable is None) != (own_value is None):
        if variable or value:
            absent = "value" if own_value is None else "variable"
            raise ColumnError(
                f"{table.origin} has a column for one of variable and value; name that of the {absent} too (--{absent})"
            )
        own_variable = own_value = None
    own_time = time or _maybe(table, _TIMES) or ""
    return HealthReading(own_id, own_time, own_variable or "", own_value or "", clock, missing)


def _named(table: Table, known: Sequence[str], what: str, option: str) -> str:
    found = _maybe(table, known)
    if found is None:
        raise ColumnError(
            f"which column of {table.origin} names the {what} is not known; it has {', '.join(table.columns[:10])}: "
            f"name it with --{option} ({option}=...)"
        )
    return found


def _maybe(table: Table, known: Sequence[str]) -> str | None:
    by_name = {column.lower(): column for column in reversed(table.columns)}
    return next((by_name[name] for name in known if name in by_name), None)


def _patients(
    table: Table, known: HealthReading, admission: str | None, left: Sequence[str], missing: tuple[str, ...],
    fitting: bool, unit_given: bool, physionet: bool,
) -> Patients:  # fmt: skip
    clock_columns = [known.time] if known.time in table.columns else known.time.split("+") if known.time else []
    table.require([known.id, *clock_columns, *(each for each in (known.variable, known.value) if each)])
    ids = names(table, known.id, "must name its patient")
    order, owners = _numbered(ids)
    hours, clock = _hours(table, known, owners, unit_given and fitting)
    reading = replace(known, clock=clock)
    admissions = np.zeros(len(order))
    if admission is not None:
        hours, admissions = _since_admission(table, admission, clock, hours, owners, len(order))
    elif clock.kind == "dates":
        admissions = np.full(len(order), np.inf)
        np.minimum.at(admissions, owners, hours)
        hours = rounded(hours - admissions[owners])
    if known.variable:
        kinds = names(table, known.variable, "needs its variable")
        values = _values(table, known.value, missing)
        variables, codes = _coded(kinds)
        if physionet:
            values = np.where(values == -1, np.nan, values)
    else:
        taken = (known.id, *clock_columns, *left, *((admission,) if admission else ()))
        levels = dict(known.levels)
        variables, codes, values, rows = _wide(table, taken, missing, levels, fitting)
        owners, hours, reading = owners[rows], hours[rows], replace(reading, levels=levels)
    found = patients_of(table.origin, order, owners, hours, variables, codes, values, reading)
    return replace(found, admissions=admissions)


def _hours(table: Table, known: HealthReading, owners: Codes, say: bool) -> tuple[Hours, Clock]:
    if not known.time:
        if known.clock.kind:
            return _in_order(owners), known.clock
        note(f"{table.origin} has no column of times; the rows of a patient count as an hour apart")
        return _in_order(owners), Clock("numbers")
    hours, clock = known.clock.read(table, known.time)
    if say is False and clock.kind == "numbers" and not known.clock.kind:
        note(
            f'the numbers in column "{known.time}" of {table.origin} are read as {clock.unit}; if they are not, say so '
            f"with time_unit (--time-unit): {', '.join(UNITS)}"
        )
    return hours, clock


def _in_order(owners: Codes) -> Hours:
    """Return the number of each row among those of its patient, from 0."""
    order = np.argsort(owners, kind="stable")
    counts = np.bincount(owners)
    found = np.empty(len(owners))
    found[order] = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    return found


def _numbered(ids: Sequence[str]) -> tuple[list[str], Codes]:
    """Return different names in the order in which they first come, and the number of each."""
    place: dict[str, int] = {}
    owners = np.array([place.setdefault(each, len(place)) for each in ids], np.int64)
    return list(place), owners


def _coded(kinds: Sequence[str]) -> tuple[tuple[str, ...], Codes]:
    different = sorted(set(kinds))
    place = {name: number for number, name in enumerate(different)}
    return tuple(different), np.array([place[kind] for kind in kinds], np.int64)


def _since_admission(
    table: Table, admission: str, clock: Clock, hours: Hours, owners: Codes, count: int
) -> tuple[Hours, Hours]:
    table.require([admission])
    found, _ = clock.read(table, admission)
    first = np.full(count, np.nan)
    first[owners[::-1]] = found[::-1]
    wrong = found != first[owners]
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f'{table.place(row)}: column "{admission}" differs from that of the rows before of the same patient; '
            "expected one admission for each patient"
        )
    return rounded(hours - first[owners]), first


def _values(table: Table, name: str, missing: tuple[str, ...]) -> Floats:
    """Return the values of a long table; those below or above what can be measured (`<0.5`) count as the bound."""
    if is_text(table, name):
        import polars as pl

        assert table.frame is not None
        column = table.frame[name].cast(pl.String)
        bound = column.str.contains(r"^\s*[<>≤≥]=?\s*[\d.,]+\s*$").fill_null(False)
        if bound.any():
            many = int(bound.sum())
            note(
                f'{counted(many, "values")} in column "{name}" of {table.origin} {verb(many, "are")} given as bounds, '
                f'such as "{column.filter(bound)[0]}", and read as the number in them'
            )
            table = replace(table, frame=table.frame.with_columns(column.str.replace(r"^\s*[<>≤≥]=?", "").alias(name)))
    try:
        return numbers(table, name, missing)
    except DataError as error:
        if "is not a number" not in str(error):
            raise
        raise DataError(f"{error} (a measurement is a number; a text that means none is named with missing)") from error


def _wide(
    table: Table, taken: Sequence[str], missing: tuple[str, ...], levels: dict[str, tuple[str, ...]], fitting: bool
) -> tuple[tuple[str, ...], Codes, Floats, Codes]:
    parts: list[tuple[str, Floats]] = []
    for column in table.columns:
        if column not in taken:
            parts += as_variables(table, column, missing, levels, fitting=fitting)
    if not parts:
        raise DataError(
            f"{table.origin} has no column of numbers beside {', '.join(taken)}; expected a column for each variable, "
            "or a long table with a column for its name (variable) and one for its value"
        )
    matrix = np.stack([value for _, value in parts], 1)
    rows, codes = np.nonzero(np.isfinite(matrix))
    return tuple(name for name, _ in parts), codes, matrix[rows, codes], rows


def _without_missing(patients: Patients) -> Patients:
    there = np.isfinite(patients.values)
    return patients if there.all() else patients.kept(there)


def _without_before(patients: Patients) -> Patients:
    """Leave out what lies before admission, and say so."""
    early = patients.hours < 0
    if not early.any():
        return _checked(patients)
    owners = np.repeat(np.arange(len(patients)), np.diff(patients.bounds))
    whose = sorted(set(owners[early].tolist()))
    note(
        f"{counted(int(early.sum()), 'measurements')} of {patients.origin} before the admission of "
        f"{counted(len(whose), 'patients')} left out: {quoted([patients.ids[row] for row in whose], _SHOWN)}"
    )
    return _checked(patients.kept(~early))


def _checked(patients: Patients) -> Patients:
    if len(patients.hours) and patients.hours.max() > LONGEST:
        row = int(np.searchsorted(patients.bounds, patients.hours.argmax(), side="right")) - 1
        raise DataError(
            f'patient "{patients.ids[row]}" of {patients.origin} has a measurement {patients.hours.max() / 8766:,.0f} '
            "years after admission; mend its time, or say which unit times have with time_unit (--time-unit): "
            f"{', '.join(UNITS)}"
        )
    return patients


def _without_impossible(patients: Patients, limits: Mapping[str, tuple[float, float]]) -> Patients:
    """Leave out values that nobody has, and count them by variable."""
    wrong: NDArray[np.bool_] = np.zeros(len(patients.values), bool)
    counts = {}
    order = np.argsort(patients.codes, kind="stable")
    ends = np.cumsum(np.bincount(patients.codes, minlength=len(patients.variables)))
    for place, name in enumerate(patients.variables):
        held = order[ends[place - 1] if place else 0 : ends[place]]
        found = impossible(name, patients.values[held], limits)
        if found.any():
            counts[name] = int(found.sum())
            wrong[held[found]] = True
    return replace(patients.kept(~wrong), impossible=counts) if counts else patients


def _without_nothing(patients: Patients) -> Patients:
    """Leave out patients of whom nothing was measured, and say so."""
    empty = np.diff(patients.bounds) == 0
    if empty.all():
        raise DataError(f"{patients.origin} has no measurement; expected a number with its patient, time and variable")
    if not empty.any():
        return patients
    gone = [patients.ids[row] for row in np.flatnonzero(empty)]
    note(
        f"{counted(len(gone), 'patients')} of {patients.origin} without a measurement left out: {quoted(gone, _SHOWN)}"
    )
    return patients.take(np.flatnonzero(~empty))
