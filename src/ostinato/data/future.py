"""The coming rows of covariates that are known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.load import encode
from ostinato.data.panel import Panel, format_time
from ostinato.data.readers import read_table
from ostinato.data.table import names as names_of
from ostinato.data.times import read_times
from ostinato.errors import DataError


def load_future(source: Any, panel: Panel, horizon: int) -> NDArray[np.float64]:
    """Read the known covariates of the `horizon` steps after the end of each series of a panel.

    Args:
        source: a table with the panel's time and series columns (without a time column: the rows in order) and its
            known covariates.
        panel: the history.
        horizon: how many steps; further rows are not read.

    Returns:
        Shape `(series, horizon, known)`.

    Raises:
        DataError: a step of a series has no row.
    """
    schema = panel.schema
    table = read_table(source, custom=schema.decimal)
    table.require(name for name in (schema.time, schema.series_id, *schema.known_covariates) if name)
    parts = [encode(table, name, schema.missing, dict(panel.categories), False)[1] for name in schema.known_covariates]
    values = np.concatenate(parts, 1) if parts else np.zeros((table.rows, 0))
    names = names_of(table, schema.series_id, "must name its series") if schema.series_id else [""] * table.rows
    times = read_times(table, schema.time) if schema.time else None
    future = np.full((len(panel.series), horizon, panel.known), np.nan)
    for i, series in enumerate(panel.series):
        rows = np.array([row for row, name in enumerate(names) if name == series.id], np.int64)
        clock = times is not None and times.dtype.kind == np.asarray(series.start).dtype.kind
        places = (
            panel.frequency.places(series.start, times[rows]) - len(series)
            if clock and times is not None
            else np.arange(len(rows))
        )
        wanted = (places >= 0) & (places < horizon)
        found = np.zeros(horizon, bool)
        found[places[wanted]] = True
        if not found.all():
            step = int((~found).argmax())
            when = format_time(panel.times(i, len(series) + step, 1)[0])
            of_series = f' of series "{series.id}"' if series.id else ""
            raise DataError(
                f"{table.origin} has no row for {when}{of_series}, step {step + 1} of the horizon; the known "
                f"covariates ({', '.join(schema.known_covariates)}) are needed for all {horizon} steps"
            )
        future[i, places[wanted]] = values[rows[wanted]]
    return future
