"""Rows of series: how a source becomes them, how they are held out, which season they show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data import MISSING, Frequency, Schema
from ostinato.data.anomaly_windows import is_window_file
from ostinato.data.anomaly_windows import labelled as labelled_by
from ostinato.data.recordings import RecordingReading, RecordingSet, places_of, read_recordings
from ostinato.errors import DataError
from ostinato.tasks.anomaly.parameters import AnomalyParameters
from ostinato.tasks.anomaly.seasons import find_season
from ostinato.tasks.base.holding_out import Held, Shares, cut, percent

Ints = NDArray[np.int64]
FEWEST = 16  # rows to train on
FEW = 500  # rows of a series, that are no fewer than these where there are many series
_HELD = (100_000, 50_000)  # rows that validate, and that are tested, at most


@dataclass(frozen=True)
class SeriesRows:
    """Some rows of series, `(series,)` each: from `start` to `stop`; `None`: all of them."""

    records: RecordingSet
    start: Ints | None = None
    stop: Ints | None = None

    def __len__(self) -> int:
        if self.start is None or self.stop is None:
            return len(self.records)
        return int((self.stop - self.start).sum())

    @property
    def origin(self) -> str:
        """What the data is called."""
        return self.records.origin

    @property
    def bounds(self) -> tuple[Ints, Ints]:
        """First and last rows."""
        lengths = np.array([len(one) for one in self.records.series], np.int64)
        return (
            np.zeros_like(lengths) if self.start is None else self.start,
            lengths if self.stop is None else self.stop,
        )


@dataclass(frozen=True)
class Labelled:
    """Data and its labels, given apart."""

    data: Any
    labels: Any


def read_rows(
    parameters: AnomalyParameters, source: Any, reading: RecordingReading | None, *, labelled: bool
) -> SeriesRows:
    """Return the rows of a source, with their labels where these are known."""
    if isinstance(source, SeriesRows):
        return source
    marks, named = None, parameters.labels if labelled else None
    if isinstance(source, Labelled):
        source, marks = source.data, source.labels
        if isinstance(marks, (str, Path)):
            marks, named = None, str(marks)
    file = named is not None and is_window_file(named)
    column = None if file else named
    records = read_recordings(source, schema_of(parameters), labels=column, reading=reading)
    if not records.series:
        raise DataError(f"{records.origin} has no rows; give some")
    given = named is not None and (reading is None or named != parameters.labels)
    if named is not None and given and not file and not records.labelled:
        raise DataError(
            f'{records.origin} has no column "{named}" of labels, and there is no file of that name; '
            "name a column, or a file of windows"
        )
    if file and named is not None:
        records = labelled_by(records, named)
    return SeriesRows(records if marks is None else with_marks(records, marks))


def schema_of(parameters: AnomalyParameters) -> Schema:
    """Return the roles of columns that parameters say."""
    given = parameters
    target = () if given.target is None else (given.target,) if isinstance(given.target, str) else tuple(given.target)
    return Schema(
        target=target, time=given.time, series_id=given.series_id, missing=(*MISSING, *given.all_missing),
        decimal=given.decimal, day_first=given.day_first, time_format=given.time_format, time_zone=given.time_zone,
    )  # fmt: skip


def with_marks(records: RecordingSet, marks: Any) -> RecordingSet:
    """Return one series with a label for each row.

    Raises:
        DataError: there are several series, or not as many labels as rows.
    """
    found = np.asarray(marks).ravel()
    if len(records.series) != 1:
        raise DataError("labels that are given apart are of one series; for several give them as a column, labels=...")
    if len(found) != len(records):
        raise DataError(f"there are {len(found)} labels for {len(records)} rows; expected one for each")
    return records.with_labels((found.astype(np.float64) != 0,))


def held_out(records: SeriesRows, shares: Shares) -> Held[SeriesRows]:
    """Return the first rows of each series to train on, those after them to validate, the last ones to test."""
    first, last = records.bounds
    parts = [cut(int(stop - start), shares) for start, stop in zip(first, last, strict=True)]
    cuts = np.array([[part[0].stop, part[1].stop] for part in parts], np.int64).reshape(-1, 2) + first[:, None]
    most = [max(each // max(len(parts), 1), FEW) for each in _HELD]  # what more would say is not worth its time
    validated = np.minimum(cuts[:, 1] - cuts[:, 0], most[0])
    cuts[:, 1] = np.maximum(cuts[:, 1], last - most[1])
    cuts[:, 0] = cuts[:, 1] - validated
    if not len(parts) or (cuts[:, 0] - first).max() < FEWEST:
        longest = int((last - first).max()) if len(parts) else 0
        raise DataError(
            f"{records.origin} has {longest} rows in its longest series, of which {FEWEST} must be left to train "
            "on; give more, or hold less of it out"
        )
    bounds = [(first, cuts[:, 0]), (cuts[:, 0], cuts[:, 1]), (cuts[:, 1], last)]
    train, validation, test = (replace(records, start=a, stop=b) for a, b in bounds)
    limited = f", {most[1]:,} rows at most" if len(parts) and (last - cuts[:, 1]).max() == most[1] else ""
    return Held(train, validation, test, f"the last {percent(shares.test)} of each series{limited}")


def tails_of(records: RecordingSet, rows: int) -> tuple[tuple[NDArray[np.float64], ...], tuple[NDArray[Any], ...]]:
    """Return the newest rows of each series, and their times."""
    return (
        tuple(np.ascontiguousarray(one.values[-rows:]) for one in records.series),
        tuple(_plain_times(one.times[-rows:]) for one in records.series),
    )


def _plain_times(times: NDArray[Any]) -> NDArray[Any]:
    """Return times as numbers that a model's folder can hold."""
    return np.ascontiguousarray(times.astype(np.int64) if times.dtype.kind in "mM" else times)


def season_of(records: RecordingSet, first: Ints, last: Ints) -> int:
    """Return the season that the training rows show, on the grid of usual steps."""
    step, parts = records.reading.step, []
    for one, a, b in zip(records.series, first, last, strict=True):
        changed = replace(one, values=one.values[a:b], times=one.times[a:b], labels=None)
        places = places_of(changed, step)
        if not len(places) or places[-1] > 20 * len(places) + 1000:
            parts.append(changed.values)
            continue
        grid = np.full((int(places[-1]) + 1, changed.values.shape[1]), np.nan)
        grid[places] = changed.values
        parts.append(grid)
    usual: tuple[int, ...] = ()
    if step and all(one.times.dtype.kind == "M" for one in records.series):
        usual = Frequency("us", step=max(1, int(step))).seasons
    return find_season(parts, usual)
