"""Rows of a table as they come, one at a time: CSV or mappings, their times read as those of the training data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from ostinato.data import TimeFormat
from ostinato.data.delimited import cells_of_line
from ostinato.data.frames import plain_value
from ostinato.data.identities import NO_NAMES
from ostinato.data.times import FARTHEST, OPEN_ORDER, read_cell
from ostinato.errors import DataError, StreamRowError
from ostinato.words import counted


class RowReader:
    """What reads rows.

    Args:
        names: the columns of names that each row must have, such as that of its case.
        time: the column of times, or several joined by `+`; `None`: there are none.
        reading: how times are written, as training decided; no row changes it.
        numbers: whether times are numbers, rather than dates.
    """

    def __init__(self, names: Sequence[str], time: str | None, reading: TimeFormat, *, numbers: bool) -> None:
        self.names, self.time, self.numbers, self._format = tuple(names), time, numbers, reading

    @property
    def wanted(self) -> str:
        """The columns, in words."""
        return ", ".join(f'"{name}"' for name in (*self.names, self.time) if name is not None)

    def read(self, row: Mapping[str, Any] | str) -> tuple[Any, ...]:
        """Return the names of a row, as texts, and its time; see `moment`.

        Raises:
            StreamRowError: a column is missing, or is of another kind.
        """
        if isinstance(row, str):
            row = self._cells(row)
        if not isinstance(row, Mapping):
            raise StreamRowError(f"it is a {type(row).__name__}; expected a mapping with {self.wanted}")
        found = [plain_value(row.get(name)) for name in self.names]
        for name, value in zip(self.names, found, strict=True):
            if value is None or str(value).strip() in ("", *NO_NAMES):
                raise StreamRowError(f'it has no "{name}"; expected {self.wanted}')
            if not isinstance(value, (str, bool, int, float)):
                raise StreamRowError(f'its "{name}" is a {type(value).__name__}; expected one text or number')
        if self.time is not None and not all(name in row for name in self._parts(row)):
            raise StreamRowError(f'it has no "{self.time}"; expected {self.wanted} (null where not known)')
        return (*(str(value).strip() for value in found), self.moment(row))

    def moment(self, row: Mapping[str, Any]) -> float:
        """Return seconds from 1970 on, in UTC, or the number that stands for the time; NaN if it is not known.

        Raises:
            StreamRowError: it cannot be read as the times of the training data are.
        """
        if self.time is None:
            return math.nan
        cells = [row.get(name) for name in self._parts(row)]
        if any(cell is None or cell == "" or (isinstance(cell, float) and not math.isfinite(cell)) for cell in cells):
            return math.nan
        if self.numbers:
            return _number(cells[0])

        def unread() -> str:
            plain = len(cells) > 1 or isinstance(cells[0], datetime)
            shown = (" ".join(map(str, cells)) if plain else repr(cells[0])).replace("'", '"')
            return f"its time is {shown}; expected one such as 2024-01-31 13:00"

        found = time_of_row(row, self.time, self._format, unread)
        return float(found.astype(f"{found.dtype.kind}8[us]").astype(np.int64) / 1e6)

    def _parts(self, row: Mapping[str, Any]) -> list[str]:
        assert self.time is not None
        return [self.time] if self.time in row else self.time.split("+")

    def _cells(self, line: str) -> dict[str, str]:
        names = [name for name in (*self.names, self.time) if name is not None]
        cells = [cell.strip() for cell in cells_of_line(line, len(names))]
        if len(cells) != len(names):
            raise StreamRowError(
                f"it has {counted(len(cells), 'cells')}; expected {self.wanted}, in that order, or a JSON object"
            )
        return dict(zip(names, cells, strict=True))


def time_of_row(row: Mapping[str, Any], name: str, wanted: TimeFormat, unread: Callable[[], str]) -> Any:
    """Return the time of a row, in one column or several joined by `+`, as those of the training data are read.

    Args:
        row: by columns.
        name: of the column.
        wanted: how times are written.
        unread: what to say where it cannot be read; not of a time that does not exist, or could be read in two ways.

    Raises:
        StreamRowError: it cannot be read.
    """
    try:
        return read_cell(row, name, wanted)
    except (DataError, ValueError, TypeError, OverflowError) as error:
        meant = any(words in str(error) for words in ("not a time that exists", OPEN_ORDER))
        raise StreamRowError(str(error) if meant else unread()) from error


def _number(time: Any) -> float:
    try:
        number = float(time)
    except (TypeError, ValueError, OverflowError) as error:
        raise StreamRowError(f"its time is {str(time)[:80]!r}; expected a number, as in the training data") from error
    if abs(number) < FARTHEST:
        return number
    raise StreamRowError(f"its time is {number:g}, which is too large for one; expected a number below 2**62")
