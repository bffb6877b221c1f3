"""Times of measurements as hours: numbers in any unit, times gone by such as 47:12, or dates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.data.sequences import in_seconds
from ostinato.data.table import Table, is_text, numbers, texts
from ostinato.data.times import ANY, TimeFormat, decide_times, read_cell
from ostinato.errors import DataError, StreamRowError

Hours = NDArray[np.float64]
Unit: TypeAlias = Literal["hours", "minutes", "seconds", "days", "years"]
UNITS: Mapping[str, float] = {"hours": 1.0, "minutes": 1 / 60, "seconds": 1 / 3600, "days": 24.0, "years": 8766.0}
"""How many hours each unit has."""
_GONE_BY = re.compile(r"\s*(\d+):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?\s*")
_DIGITS = 7  # of hours: well below a millisecond
_EXPECTED = "a number, hours and minutes such as 47:12, or a date such as 2024-01-31 13:00"
LONGEST = 24 * 366 * 150.0
"""Hours from the first to the last measurement of one patient, at most."""


@dataclass(frozen=True)
class Clock:
    """How times are written.

    Args:
        kind: `"numbers"` in a unit, `"elapsed"` (`"47:12"`), or `"dates"`; empty: not known yet.
        unit: of numbers.
        times: of dates, how they are written.
    """

    kind: Literal["", "numbers", "elapsed", "dates"] = ""
    unit: Unit = "hours"
    times: TimeFormat = ANY

    @property
    def words(self) -> str:
        """How times are written, in words."""
        return {"numbers": self.unit, "elapsed": "hours and minutes gone by", "dates": "dates"}.get(self.kind, "")

    def read(self, table: Table, name: str) -> tuple[Hours, Clock]:
        """Return a column as hours, `(rows,)`, and how it is written.

        Of dates they are hours from 1970 on.

        Raises:
            DataError: a time is missing, or cannot be read; its row is named.
        """
        if name in table.columns and is_text(table, name):
            cells = texts(table, name, ())
            filled = [cell for cell in cells if cell is not None]
            if filled and all(_GONE_BY.fullmatch(each) for each in filled):
                return self._gone_by(table, name, cells)
        if name in table.columns and _is_number(table, name):
            values = numbers(table, name, ())
            if np.isnan(values).any():
                row = int(np.isnan(values).argmax())
                raise DataError(f'{table.place(row)}: column "{name}" is empty; every measurement needs its time')
            self._same("numbers", table, name)
            return rounded(values * UNITS[self.unit]), Clock("numbers", self.unit)
        found, times = decide_times(table, name, self.times)
        if found.dtype.kind == "m":
            self._same("elapsed", table, name)
            return rounded(in_seconds(found) / 3600), Clock("elapsed")
        if found.dtype.kind != "M":
            self._same("numbers", table, name)
            return rounded(found.astype(np.float64) * UNITS[self.unit]), Clock("numbers", self.unit)
        self._same("dates", table, name)
        return rounded(found.astype("datetime64[us]").astype(np.int64) / 3.6e9), Clock("dates", times=times)

    def cell(self, value: Any) -> float:
        """Return one time as hours; see `read`.

        Raises:
            StreamRowError: it is not written as the times of the training data are.
        """
        if isinstance(value, bool) or is_many(value):  # which `float` would take
            raise self._refused(value)
        if self.kind == "numbers":
            try:
                found = float(value) * UNITS[self.unit]
            except (TypeError, ValueError, OverflowError) as error:
                raise self._refused(value) from error
        elif self.kind == "elapsed":
            matched = _GONE_BY.fullmatch(value) if isinstance(value, str) else None
            if matched is None:
                raise self._refused(value)
            found = _hours(*matched.groups())
        else:
            try:
                moment = read_cell({"time": value}, "time", self.times)
                found = float(moment.astype("datetime64[us]").astype(np.int64) / 3.6e9)
            except (DataError, ValueError, TypeError, OverflowError, AttributeError) as error:
                raise self._refused(value) from error
        if not abs(found) < 1e9:
            raise self._refused(value)
        return round(found, _DIGITS)

    def _gone_by(self, table: Table, name: str, cells: list[str | None]) -> tuple[Hours, Clock]:
        self._same("elapsed", table, name)
        if None in cells:
            row = cells.index(None)
            raise DataError(f'{table.place(row)}: column "{name}" is empty; every measurement needs its time')
        matched = [_GONE_BY.fullmatch(str(cell)) for cell in cells]
        return rounded(np.array([_hours(*each.groups()) for each in matched if each])), Clock("elapsed")

    def _same(self, kind: str, table: Table, name: str) -> None:
        if self.kind and self.kind != kind:
            raise DataError(
                f'column "{name}" of {table.origin} holds other times than the training data; expected {self.words}'
            )

    def _refused(self, value: Any) -> StreamRowError:
        expected = {"numbers": f"a number of {self.unit}", "elapsed": "hours and minutes such as 47:12"}
        said = expected.get(self.kind, "a date such as 2024-01-31 13:00")
        return StreamRowError(f'its time is "{str(value)[:80]}"; expected {said}, as in the training data')


def is_many(value: Any) -> bool:
    """Tell whether a cell is no single value, but a list, an array, bytes or the like."""
    return not isinstance(value, str) and isinstance(value, (Mapping, Sequence, Set, np.ndarray))


def rounded(hours: Hours) -> Hours:
    """Return hours as they are compared: the same whether they came in a table or one at a time."""
    return np.round(hours, _DIGITS)


def _hours(hours: str, minutes: str, seconds: str | None) -> float:
    return int(hours) + int(minutes) / 60 + float(seconds or 0) / 3600


def _is_number(table: Table, name: str) -> bool:
    if table.frame is None:
        return True
    column = table.frame[name]
    if column.dtype.is_numeric():
        return True
    if not is_text(table, name):
        return False
    cells = texts(table, name, ())
    return all(cell is None or _parses(cell) for cell in cells) and any(cell is not None for cell in cells)


def _parses(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False
