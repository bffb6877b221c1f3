"""Measurements of patients one row at a time, read as the tables that a model was trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ostinato.data.delimited import cells_of_line
from ostinato.data.frames import plain_value
from ostinato.data.health.clock import is_many
from ostinato.data.health.patients import HealthReading
from ostinato.data.health.plausible import impossible, limits_of, read_limits
from ostinato.data.health.scales import Scales
from ostinato.data.identities import NO_NAMES
from ostinato.data.notes import note
from ostinato.errors import StreamRowError
from ostinato.words import counted

Measured: TypeAlias = "dict[int, float]"


class RowReader:
    """Reads rows of a stream.

    Args:
        reading: how the training data was read.
        variables: what is read.
        scales: of their values.
        limits: what variables can be, as `read_limits` takes them.
    """

    def __init__(
        self, reading: HealthReading, variables: tuple[str, ...], scales: Scales, limits: str | Sequence[str]
    ) -> None:
        self.reading, self.variables, self.scales = reading, variables, scales
        self.index = {name: place for place, name in enumerate(variables)}
        self._unknown: set[str] = set()
        asked = read_limits(limits)
        self._limits = [limits_of(name, asked) for name in variables]
        zero = np.zeros(1)
        self._not_zero = {code for code, name in enumerate(variables) if impossible(name, zero, asked)[0]}

    @property
    def bare(self) -> tuple[str, ...]:
        """Patient, time, variable and value, where a row names nothing."""
        reading = self.reading
        return tuple(name for name in (reading.id, reading.time, reading.variable, reading.value) if name)

    @property
    def header(self) -> tuple[str, ...]:
        """The names that a row may have."""
        return self.bare if self.reading.variable else (*self.bare, *self.variables)

    def patient(self, row: Any) -> str:
        """Return the patient of a row, nothing of one that will be refused."""
        if isinstance(row, str):
            try:
                row = self._cells(row)
            except StreamRowError:
                return ""
        return str(_cell(row, self.reading.id, "id")).strip() if isinstance(row, Mapping) else ""

    def read(self, row: Any) -> tuple[str, float, Measured]:
        """Return the patient of a row, its time in hours, and what was measured, on one scale."""
        if isinstance(row, str):
            row = self._cells(row)
        if not isinstance(row, Mapping):
            raise StreamRowError(f"it is a {type(row).__name__}; expected a mapping with {', '.join(self.bare)}")
        reading = self.reading
        patient = _cell(row, reading.id, "id")
        if isinstance(patient, float) and abs(patient) >= 2.0**53:  # as `names` refuses them in a table
            raise StreamRowError(
                f'its "{reading.id}" is {patient:g}, a float that cannot tell whole numbers of that size apart; '
                "expected a whole number or a text"
            )
        if patient is None or is_many(patient) or str(patient).strip() in ("", *NO_NAMES):
            raise StreamRowError(f'it has no "{reading.id}"; expected {", ".join(self.bare)}')
        moment = _cell(row, reading.time or "time", "time", plain=_not_decoded)
        if moment is None or moment == "":
            raise StreamRowError(f'it has no "{reading.time or "time"}"; expected {", ".join(self.bare)}')
        return str(patient).strip(), reading.clock.cell(moment), self._measured(row)

    def _measured(self, row: Mapping[str, Any]) -> Measured:
        reading, index = self.reading, self.index
        name = _cell(row, reading.variable or "variable", "variable")
        if name is not None and name != "":
            value = _cell(row, reading.value or "value", "value", plain=_not_decoded)
            if isinstance(value, bool):
                raise self._refused(str(name).strip(), value)
            return self._value(str(name).strip(), value)
        found: Measured = {}
        for key, value in row.items():
            if key in index:
                value = _not_decoded(value)
                if (
                    isinstance(value, bool)
                    and not 0 <= self.scales.low[index[key]] <= self.scales.high[index[key]] <= 1
                ):
                    raise self._refused(key, value)  # yes and no are values only of a column of them
                found |= self._value(key, value)
            elif key in reading.levels and value is not None and str(value).strip():
                for level in reading.levels[key]:
                    code = index.get(f"{key}: {level}")
                    if code is not None:
                        found[code] = self.scales.one(code, float(str(value).strip() == level))
        return found

    def _value(self, name: str, value: Any) -> Measured:
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            return {}
        if isinstance(value, str) and value.strip() in (*NO_NAMES, "NA", *self.reading.missing):
            return {}
        if is_many(value):
            raise self._refused(name, value)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._refused(name, value) from error
        if not math.isfinite(number):
            raise StreamRowError(f'its value of "{name[:80]}" is {number}; expected a finite number')
        code = self.index.get(name)
        if code is None:
            if name not in self._unknown:
                self._unknown.add(name)
                note(f'the variable "{name[:80]}" was not in training and is not read')
            return {}
        low, high = self._limits[code]
        if not low <= number <= high or (number == 0 and code in self._not_zero):
            return {}  # nobody has such a value: it is left out, as in training
        return {code: self.scales.one(code, number)}

    def _refused(self, name: str, value: Any) -> StreamRowError:
        return StreamRowError(f'its value of "{name[:80]}" is "{str(value)[:80]}"; expected a number')

    def _cells(self, line: str) -> dict[str, str]:
        names = self.bare
        cells = [cell.strip() for cell in cells_of_line(line, len(names))]
        if len(cells) != len(names):
            raise StreamRowError(
                f"it has {counted(len(cells), 'cells')}; expected {', '.join(names)}, in that order, or a JSON object"
            )
        return dict(zip(names, cells, strict=True))


def _cell(row: Mapping[str, Any], name: str, alias: str, *, plain: Callable[[Any], Any] = plain_value) -> Any:
    return plain(row[name] if name in row else row.get(alias))


def _not_decoded(value: Any) -> Any:
    """Return a value as one of Python's own kinds; bytes, which are no number, stay such."""
    return value if isinstance(value, bytes) else plain_value(value)
