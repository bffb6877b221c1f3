"""A forecast, as it is handed to the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.zones import time_series

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Forecast:
    """The coming steps of one or more series, in the data's own units.

    Args:
        series_ids: `(series,)`; a single unnamed series is `""`.
        times: `(series, horizon)`, `datetime64[us]`, row numbers or `timedelta64[us]`; where the data's times have a
            zone, `datetime` objects in it.
        targets: names of the targets.
        point: `(series, horizon, targets)`: the median, or the value of a point forecast.
        levels: quantile levels; empty for a point forecast.
        quantiles: `(series, horizon, targets, levels)`.
        time_column: what the time column is called in `to_frame`.
        series_column: what the series column is called there; `None`: there is none.
    """

    series_ids: tuple[str, ...]
    times: NDArray[Any]
    targets: tuple[str, ...]
    point: NDArray[np.float64]
    levels: tuple[float, ...]
    quantiles: NDArray[np.float64]
    time_column: str = "time"
    series_column: str | None = None

    def to_frame(self) -> pl.DataFrame:
        """Return the long table: series (if named), time, target, forecast, and a column `q0.1` for each quantile.

        Times have their zone; one that polars cannot name (`+05:30`) is written into texts.
        """
        import polars as pl

        series, horizon, targets = self.point.shape
        columns: dict[str, Any] = {}
        if self.series_column is not None:
            columns[self.series_column] = np.repeat(np.array(self.series_ids, dtype=object), horizon * targets).tolist()
        columns[self.time_column] = time_series(np.repeat(self.times.reshape(-1), targets))
        columns["target"] = list(self.targets) * (series * horizon)
        columns["forecast"] = self.point.reshape(-1)
        for i, level in enumerate(self.levels):
            columns[f"q{level:g}"] = self.quantiles[..., i].reshape(-1)
        return pl.DataFrame(columns)

    def plain(self) -> dict[str, Any]:
        """Return the forecast of the first series as plain data, as a stream prints it."""
        from ostinato.data.panel import time_text

        point, quantiles = self.point[0], self.quantiles[0]
        found: dict[str, Any] = {
            "time": [time_text(time) for time in self.times[0]],
            "forecast": {name: point[:, i].tolist() for i, name in enumerate(self.targets)},
        }
        if self.levels:
            found["quantiles"] = {
                name: {f"{level:g}": quantiles[:, i, j].tolist() for j, level in enumerate(self.levels)}
                for i, name in enumerate(self.targets)
            }
        return found
