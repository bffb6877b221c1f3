"""Many series on one regular grid, with the roles of their columns: what every task starts from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.frequency import Frequency, Times
from ostinato.data.schema import Schema
from ostinato.data.time_words import format_time, time_text
from ostinato.data.times import ANY, TimeFormat
from ostinato.data.zones import aware

__all__ = ["Panel", "Series", "format_time", "time_text"]


@dataclass(frozen=True)
class Series:
    """One series on the regular grid.

    Args:
        id: its name; empty when there is only one.
        start: the time of its first row; an instant in UTC, if the times have a zone.
        values: `(time, columns)`, NaN where missing; perhaps memory-mapped, and never written to.
        static: what does not change in it, `(static columns,)`.
        take: which columns of `values` the panel's columns are; `None`: all of them, in order.
        last: of rows that are only numbered: the time of its last row in the input, if that has times.
    """

    id: str
    start: Any
    values: NDArray[Any]
    static: NDArray[np.float64]
    take: tuple[int, ...] | None = None
    last: Any = None

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, first: int, stop: int) -> NDArray[np.float64]:
        """Return rows `first` to `stop` as floats, `(rows, columns)`, in the order of the panel's columns."""
        part = self.values[first:stop]
        return np.asarray(part if self.take is None else part[:, list(self.take)], np.float64)


@dataclass(frozen=True)
class Panel:
    """Series that share their columns and their grid.

    `columns` names what `values` holds: first the targets, then the covariates known only up to now (past), then those
    known for the coming steps too (known). A text column stands there once for each category, as `wind=NW`.
    `gaps` counts the rows that were absent from the input and stand here as missing. `time_format` is how the times
    are written, `unused` the columns of the input that nothing is made of.
    """

    origin: str
    schema: Schema
    frequency: Frequency
    columns: tuple[str, ...]
    targets: int
    past: int
    known: int
    static_columns: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    gaps: int
    series: tuple[Series, ...]
    time_format: TimeFormat = ANY
    unused: tuple[str, ...] = field(default=(), compare=False)

    @property
    def target_columns(self) -> tuple[str, ...]:
        """The names of the targets."""
        return self.columns[: self.targets]

    @property
    def rows(self) -> int:
        """How many rows all series have together."""
        return sum(len(series) for series in self.series)

    def index(self, series_id: str) -> int:
        """Return the place of the series with this name."""
        return next(i for i, series in enumerate(self.series) if series.id == series_id)

    def times(self, series: int, first: int, count: int) -> Times:
        """Return `count` times of a series from row `first` on; they may reach past its end.

        They are `datetime64[us]`, numbers or `timedelta64[us]`; `datetime` objects where the times have a zone.
        """
        return aware(self.frequency.times(self.series[series].start, first, count), self.frequency.zone)

    def fingerprint(self) -> str:
        """Return a SHA-256 of the columns, the times and the values, in hexadecimal."""
        digest = hashlib.sha256(json.dumps([self.columns, self.frequency.alias()]).encode())
        for series in self.series:
            digest.update(f"{series.id}\0{series.start}\0{len(series)}".encode())
            for first in range(0, len(series), 65536):
                digest.update(np.ascontiguousarray(series.rows(first, first + 65536)).tobytes())
        return digest.hexdigest()
