"""Parting series in the order of time: training first, then validation, then test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.data.panel import Panel, format_time
from ostinato.errors import DataError, UsageError
from ostinato.words import counted


@dataclass(frozen=True)
class Part:
    """Rows `[start, stop)` of each series, each `(series,)`."""

    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """How many rows all series have in this part."""
        return int((self.stop - self.start).sum())


@dataclass(frozen=True)
class Split:
    """The parts of a panel; validation or test may be absent."""

    train: Part
    validation: Part | None
    test: Part | None

    def describe(self, panel: Panel) -> str:
        """Return the split in words, with the rows and, for a single series, the last time of each part."""
        parts = [("train", self.train), ("validation", self.validation), ("test", self.test)]
        return ", ".join(f"{name} {_words(panel, part)}" for name, part in parts if part is not None)


def split_by_time(
    panel: Panel, *, validation: float, test: float, horizon: int, context: int, min_train: int | None = None
) -> Split:
    """Cut each series into training, validation and test rows, in that order.

    Args:
        panel: the series.
        validation: a share of each series' rows (below 1) or a number of rows; 0 for none.
        test: likewise, at the end.
        horizon: forecast steps; a part that is asked for holds at least this many rows.
        context: steps that a forecast looks back on.
        min_train: rows that a series must have left for training; `context + horizon` by default.

    Raises:
        UsageError: a share is negative or the shares leave nothing.
        DataError: no series is long enough.
    """
    for name, size in (("validation", validation), ("test", test)):
        if size < 0 or (size >= 1 and size != int(size)):
            raise UsageError(f"{name} is {size}; expected a share from 0 to 1 or a whole number of rows")
    lengths = np.array([len(series) for series in panel.series])
    test_rows, validation_rows = (_rows(lengths, size, horizon) for size in (test, validation))
    needed = context + horizon if min_train is None else min_train
    train_stop = lengths - test_rows - validation_rows
    longest = int(lengths.argmax())
    if train_stop.max() < needed:
        raise DataError(
            f"{panel.origin}: {_whose(panel, longest)} has {counted(int(lengths[longest]), 'rows')}, but {needed} for "
            f"training (context {context} + horizon {horizon}) and {int((test_rows + validation_rows)[longest])} for "
            "validation and test are needed; give a longer series, a shorter context or horizon, or smaller parts"
        )
    train_stop = np.maximum(train_stop, 0)
    validation_stop = np.maximum(lengths - test_rows, 0)
    return Split(
        Part(np.zeros_like(lengths), train_stop),
        Part(train_stop, validation_stop) if validation else None,
        Part(validation_stop, lengths) if test else None,
    )


def _rows(lengths: NDArray[np.int64], size: float, horizon: int) -> NDArray[np.int64]:
    if not size:
        return np.zeros_like(lengths)
    rows = np.round(lengths * size).astype(np.int64) if size < 1 else np.full_like(lengths, int(size))
    return np.maximum(rows, horizon)


def _whose(panel: Panel, series: int) -> str:
    return "the series" if len(panel.series) == 1 else f'even the longest series, "{panel.series[series].id}",'


def _words(panel: Panel, part: Part) -> str:
    rows = counted(part.rows, "rows")
    if len(panel.series) > 1 or part.rows == 0:
        return rows
    first, last = (format_time(panel.times(0, int(row), 1)[0]) for row in (part.start[0], part.stop[0] - 1))
    return f"{rows} ({first} to {last})"
