"""A forecast, as it is handed to the user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.frequency import Frequency
from ostinato.data.time_words import format_time
from ostinato.data.zones import aware, time_series
from ostinato.errors import MissingExtra, UsageError
from ostinato.words import counted

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from matplotlib.figure import Figure

    from ostinato.data import Panel

_PAST = 8  # series whose past is kept beside a forecast, to be drawn
NIXTLA = "Ostinato"
"""What columns of forecasts are called in tables in the form of Nixtla's libraries."""


@dataclass(frozen=True)
class Past:
    """The last rows of a series before its forecast.

    Args:
        values: `(rows, targets)`, NaN where missing.
        frequency: the grid that its times are on.
        start: the time of the series' first row; first: which row is the first of these.
    """

    values: NDArray[np.float64]
    frequency: Frequency
    start: Any
    first: int = 0

    def times(self) -> tuple[str, ...]:
        """Return the times of the rows in words, `(rows,)`: made when it is drawn, since that takes a while."""
        times = self.frequency.times(self.start, self.first, len(self.values))
        return tuple(format_time(time) for time in aware(times, self.frequency.zone))


def past_of(panel: Panel, rows: int) -> tuple[Past, ...]:
    """Return the last rows of the first series of a panel."""
    found = []
    for series in panel.series[:_PAST]:
        first = max(0, len(series) - rows)
        values = series.rows(first, len(series))[:, : panel.targets].copy()  # no view of all rows
        found.append(Past(values, panel.frequency, series.start, first))
    return tuple(found)


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
        past: what came before, of the first few series, to be drawn beside it.
    """

    series_ids: tuple[str, ...]
    times: NDArray[Any]
    targets: tuple[str, ...]
    point: NDArray[np.float64]
    levels: tuple[float, ...]
    quantiles: NDArray[np.float64]
    time_column: str = "time"
    series_column: str | None = None
    past: tuple[Past, ...] = field(default=(), repr=False, compare=False)

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

    def to_polars(self, name: str = NIXTLA) -> pl.DataFrame:
        """Return the long table in the form of Nixtla's libraries, a row a series and step.

        Args:
            name: of the column of point forecasts, before which those of intervals begin.

        Returns:
            Columns `unique_id`, `ds`, `Ostinato`, and `Ostinato-lo-80`, `Ostinato-hi-80` for the quantiles .1 and .9,
            likewise for others, the narrowest interval first. A series without a name has that of its target; of
            several targets each is a series, `shop/sold`.

        >>> import numpy as np
        >>> times = np.array([["2024-01-01", "2024-01-02"]], "datetime64[us]")
        >>> one = np.array([[[3.0], [4.0]]])
        >>> found = Forecast(("",), times, ("sold",), one, (0.1, 0.9), np.stack([one - 1, one + 1], -1))
        >>> found.to_polars().columns
        ['unique_id', 'ds', 'Ostinato', 'Ostinato-lo-80', 'Ostinato-hi-80']
        """
        import polars as pl

        return pl.DataFrame(self._long(name))

    def to_pandas(self, name: str = NIXTLA) -> pd.DataFrame:
        """Return what `to_polars` does, as a data frame of pandas.

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtra(
                "a data frame of pandas needs pandas: pip install pandas; to_polars() has the same table without it"
            ) from error
        columns = self._long(name)
        # polars hands its columns to pandas by pyarrow, which need not be installed
        columns["ds"] = pd.Series(self._each_target(self.times).tolist() if self.times.dtype == object
                                  else self._each_target(self.times))  # fmt: skip
        return pd.DataFrame(columns)

    def _long(self, name: str) -> dict[str, Any]:
        """Return the columns of the table of Nixtla's form, series by series, target by target."""
        horizon = self.point.shape[1]
        names = [self._unique(series, target) for series in self.series_ids for target in self.targets]
        columns: dict[str, Any] = {
            "unique_id": [one for one in names for _ in range(horizon)],
            "ds": time_series(self._each_target(self.times)),
            name: self.point.transpose(0, 2, 1).reshape(-1),
        }
        for level, place in self._named_levels():
            columns[f"{name}-{level}"] = self.quantiles[..., place].transpose(0, 2, 1).reshape(-1)
        return columns

    def _each_target(self, times: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(times[:, None], len(self.targets), axis=1).reshape(-1)

    def _unique(self, series: str, target: str) -> str:
        if not series:
            return target
        return series if len(self.targets) == 1 else f"{series}/{target}"

    def _named_levels(self) -> Iterator[tuple[str, int]]:
        """Yield what each quantile is called, the narrowest interval first, and its place; the median is the point."""
        ordered = sorted(range(len(self.levels)), key=lambda i: (round(abs(self.levels[i] - 0.5), 9), self.levels[i]))
        for i in ordered:
            level = self.levels[i]
            if abs(level - 0.5) > 1e-9:
                yield f"{'lo' if level < 0.5 else 'hi'}-{round(100 * abs(1 - 2 * level), 6):g}", i

    def plot(self, series: str | None = None, target: str | None = None) -> Figure:
        """Return a figure of one series' forecast, with its intervals and what came before.

        Args:
            series: its name; `None`: the first.
            target: `None`: the first.

        Raises:
            UsageError: there is no such series or target.
            MissingExtra: matplotlib is not installed.
        """
        from ostinato.tasks.base.display import room_of_reports
        from ostinato.tasks.base.summary import Fan

        i, j = _place(series, self.series_ids, "series"), _place(target, self.targets, "target")
        past = self.past[i] if i < len(self.past) else None
        fan = Fan(
            title=f"Forecast of {self._unique(self.series_ids[i], self.targets[j])}",
            target=self.targets[j],
            history_times=() if past is None else past.times(),
            history=() if past is None else tuple(past.values[:, j].tolist()),
            times=tuple(self._time_texts(i)),
            truth=(),
            point=tuple(self.point[i, :, j].tolist()),
            levels=self.levels,
            quantiles=tuple(map(tuple, self.quantiles[i, :, j].tolist())) if self.levels else (),
        )
        figure: Figure = room_of_reports().panel_figure(fan)
        return figure

    def _time_texts(self, series: int) -> list[str]:
        return [format_time(time) for time in self.times[series]]

    def _repr_html_(self) -> str:
        from ostinato.tasks.base import display
        from ostinato.tasks.base.sparklines import fan

        if not self.series_ids:
            return display.shown("Forecast", display.sentence("of no series"))
        history = self.past[0].values[:, 0] if self.past else np.zeros(0)
        inside = [(i, len(self.levels) - 1 - i) for i in range(len(self.levels) // 2)]
        bands = [(self.quantiles[0, :, 0, low], self.quantiles[0, :, 0, high]) for low, high in inside]
        first = self._unique(self.series_ids[0], self.targets[0])
        shown = [f"{NIXTLA}-{level}" for level, _ in self._named_levels()]
        widest = [name for name in shown if name.endswith("-80")] or shown[-2:]
        columns = {name: value for name, value in self._long(NIXTLA).items() if name not in shown or name in widest}
        texts = [text for i in range(len(self.series_ids)) for _ in self.targets for text in self._time_texts(i)]
        columns["ds"] = texts
        rows = zip(*columns.values(), strict=True)
        count = len(self.series_ids) * len(self.targets)
        beside = f"{counted(self.point.shape[1], 'steps')} of {first if count == 1 else f'{count:,} series'}"
        return display.shown(
            "Forecast",
            fan(history, self.point[0, :, 0], bands, label=f"forecast of {first}"),
            display.table(list(columns), rows, limit=6),
            display.sentence("to_pandas() and to_polars() have this table, plot() draws it", faint=True),
            beside=beside,
        )

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


def _place(name: str | None, names: tuple[str, ...], what: str) -> int:
    if name is None:
        return 0
    if name not in names:
        known = ", ".join(f'"{one}"' for one in names[:5]) + (", ..." if len(names) > 5 else "")
        raise UsageError(f'the forecast has no {what} "{name}"; it has {known}')
    return names.index(name)
