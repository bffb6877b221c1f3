"""Windows: the context before a forecast and the steps to forecast, cut from series that may be larger than memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.data.calendar import calendar_features
from ostinato.data.panel import Panel
from ostinato.data.splits import Part

Floats = NDArray[np.float64]
_IN_MEMORY = 1 << 24  # numbers; above this a panel is read window by window


@dataclass(frozen=True)
class WindowArrays:
    """A batch of windows in the input's own units, NaN where missing.

    Shapes: `history (batch, context, targets)`, `past (batch, context, past)`, `known (batch, context + horizon,
    known)`, `calendar (batch, context + horizon, features)`, `static (batch, static)`, `future (batch, horizon,
    targets)`, `series` and `origin` `(batch,)`, the origin being the row of the first forecast step.
    """

    history: Floats
    past: Floats
    known: Floats
    calendar: NDArray[np.float32]
    static: Floats
    future: Floats
    series: NDArray[np.int64]
    origin: NDArray[np.int64]


def window_origins(
    panel: Panel, part: Part, *, horizon: int, min_history: int = 1, stride: int = 1
) -> NDArray[np.int64]:
    """Return every place a forecast can be made so that its steps lie inside a part.

    Args:
        panel: the series.
        part: where the forecast steps must lie; what comes before may reach back before it.
        horizon: forecast steps.
        min_history: rows of the series that must come before the first forecast step.
        stride: rows from one window to the next, counted back from the last, so that the newest is always there.

    Returns:
        Shape `(windows, 2)`: the series and the row of its first forecast step.
    """
    origins = []
    for i in range(len(panel.series)):
        first, last = max(int(part.start[i]), min_history), int(part.stop[i]) - horizon
        rows = np.arange(last, first - 1, -stride)[::-1]
        origins.append(np.stack([np.full_like(rows, i), rows], 1))
    return np.concatenate(origins) if origins else np.zeros((0, 2), np.int64)


class Windows:
    """Windows of a panel, gathered a batch at a time.

    Args:
        panel: the series.
        origins: `(windows, 2)`, as `window_origins` gives them.
        context: rows before the first forecast step; those before a series' start are missing (NaN).
        horizon: forecast steps; those after a series' end are missing.
        cycles: how many cycles of the calendar are read, the shortest first; `None`: all that the frequency shows.
    """

    def __init__(
        self, panel: Panel, origins: NDArray[np.int64], *, context: int, horizon: int, cycles: int | None = None
    ) -> None:
        self.panel, self.origins = panel, origins
        self.context, self.horizon = context, horizon
        self.cycles = cycles if panel.frequency.has_calendar else 0
        self._flat = _Flat.build(self) if panel.rows * max(1, len(panel.columns)) <= _IN_MEMORY else None

    def __len__(self) -> int:
        return len(self.origins)

    def gather(self, index: NDArray[np.int64]) -> WindowArrays:
        """Return the windows with these numbers."""
        series, origin = self.origins[index].T
        rows = origin[:, None] + np.arange(-self.context, self.horizon)
        values, calendar = self._flat.take(series, rows) if self._flat else self._from_series(series, rows)
        targets, past = self.panel.targets, self.panel.targets + self.panel.past
        return WindowArrays(
            history=values[:, : self.context, :targets],
            past=values[:, : self.context, targets:past],
            known=values[:, :, past:],
            calendar=calendar,
            static=np.stack([self.panel.series[i].static for i in series]),
            future=values[:, self.context :, :targets],
            series=series,
            origin=origin,
        )

    def _from_series(self, series: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[Floats, NDArray[np.float32]]:
        """Read rows from where they lie: only what is asked for of a file larger than memory is read."""
        values = np.empty((*rows.shape, len(self.panel.columns)))
        calendar = [np.zeros((*rows.shape, 0), np.float32)]
        for i in np.unique(series):
            mine = series == i
            values[mine] = self._rows(int(i), rows[mine])
        if self.cycles != 0:
            frequency = self.panel.frequency
            times = [frequency.at(self.panel.series[i].start, row) for i, row in zip(series, rows, strict=True)]
            calendar.append(calendar_features(np.stack(times), frequency, self.cycles))
        return values, calendar[-1]

    def _rows(self, series: int, rows: NDArray[np.int64]) -> Floats:
        one = self.panel.series[series]
        inside = (rows >= 0) & (rows < len(one))
        safe = np.clip(rows, 0, len(one) - 1)
        values = one.values[safe] if one.take is None else one.values[safe][..., list(one.take)]
        values = np.asarray(values, np.float64)
        if not inside.all():
            values[~inside] = np.nan
        return values


@dataclass(frozen=True)
class _Flat:
    """All series one after the other, each with missing rows around it, so that a batch is one look-up."""

    values: Floats  # (rows of all series with their margins, columns)
    calendar: NDArray[np.float32]
    first: NDArray[np.int64]  # where row 0 of each series stands, (series,)

    @classmethod
    def build(cls, windows: Windows) -> _Flat:
        panel, margin = windows.panel, (windows.context, windows.horizon)
        lengths = [len(series) for series in panel.series]
        ends = np.cumsum([length + sum(margin) for length in lengths])
        first = np.concatenate([[0], ends[:-1]]) + margin[0]
        values = np.full((int(ends[-1]), len(panel.columns)), np.nan)
        calendars = [np.zeros((len(values), 0), np.float32)]
        for start, length, series in zip(first, lengths, panel.series, strict=True):
            values[start : start + length] = series.rows(0, length)
        if windows.cycles != 0:
            times = [
                panel.frequency.times(series.start, -margin[0], length + sum(margin))
                for series, length in zip(panel.series, lengths, strict=True)
            ]
            calendars.append(
                np.concatenate([calendar_features(each, panel.frequency, windows.cycles) for each in times])
            )
        return cls(values, calendars[-1], first)

    def take(self, series: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[Floats, NDArray[np.float32]]:
        places = self.first[series][:, None] + rows
        return self.values[places], self.calendar[places]
