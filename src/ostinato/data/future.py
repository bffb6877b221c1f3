"""The coming rows of covariates that are known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.columns import encode
from ostinato.data.frequency import Times
from ostinato.data.identities import rows_by_name
from ostinato.data.panel import Panel, Series, format_time
from ostinato.data.readers import read_table
from ostinato.data.table import Table
from ostinato.data.times import decide_times
from ostinato.errors import DataError


def load_future(source: Any, panel: Panel, horizon: int) -> NDArray[np.float64]:
    """Read the known covariates of the `horizon` steps after the end of each series of a panel.

    Args:
        source: a table with the panel's time and series columns and its known covariates; it may hold the past too.
            Where the panel has no times, the coming rows in order.
        panel: the history.
        horizon: how many steps; further rows are not read.

    Returns:
        Shape `(series, horizon, known)`.

    Raises:
        DataError: a step of a series has no row.
    """
    schema = panel.schema
    table = read_table(source, custom=schema.decimal)
    clock = schema.time.split("+") if schema.time and schema.time not in table.columns else [schema.time]
    table.require(name for name in (*clock, schema.series_id, *schema.known_covariates) if name)
    parts = [encode(table, name, schema.missing, dict(panel.categories), False)[1] for name in schema.known_covariates]
    values = np.concatenate(parts, 1) if parts else np.zeros((table.rows, 0))
    by_name = rows_by_name(table, schema.series_id)
    rows_of = [by_name.get(series.id, np.zeros(0, np.int64)) for series in panel.series]
    times = decide_times(table, schema.time, panel.time_format, rows_of)[0] if schema.time else None
    future = np.full((len(panel.series), horizon, panel.known), np.nan)
    for i, (series, rows) in enumerate(zip(panel.series, rows_of, strict=True)):
        places = _places(panel, series, rows, times)
        wanted = (places >= 0) & (places < horizon)
        found = np.zeros(horizon, bool)
        _refuse_twins(table, rows[wanted], places[wanted])
        found[places[wanted]] = True
        if not found.all():
            step = int((~found).argmax())
            when = format_time(panel.times(i, len(series) + step, 1)[0])
            of_series = f' of series "{series.id}"' if series.id else ""
            raise DataError(
                f"{table.origin} has no row for {when}{of_series}, step {step + 1} of the horizon; the known "
                f"covariates ({', '.join(schema.known_covariates)}) are needed for each step of the horizon"
            )
        future[i, places[wanted]] = values[rows[wanted]]
    return future


def _places(panel: Panel, series: Series, rows: NDArray[np.int64], times: Times | None) -> NDArray[np.int64]:
    """Return which step of the horizon each row is, from 0; less than 0 for one of the past."""
    if times is None:
        return np.arange(len(rows))
    rows_times = times[rows]
    if panel.frequency.unit == "row":
        # rows on no grid are still in order: those after the last one of the history are the coming ones
        order = np.argsort(rows_times, kind="stable")
        places = np.empty(len(rows), np.int64)
        places[order] = np.arange(len(rows)) - int((rows_times <= series.last).sum() if series.last is not None else 0)
        return places
    return panel.frequency.places(series.start, rows_times) - len(series)


def _refuse_twins(table: Table, rows: NDArray[np.int64], places: NDArray[np.int64]) -> None:
    values, first, counts = np.unique(places, return_index=True, return_counts=True)
    if (counts > 1).any():
        place = values[counts > 1][0]
        again = int(rows[np.flatnonzero(places == place)[1]])
        earlier = table.number(int(rows[first[values == place][0]]))
        raise DataError(f"{table.place(again)}: its time is already that of row {earlier}; keep one row a time")
