"""A fitted forecaster on a live stream: one row in, one forecast out, with constant memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Panel, Series, format_time
from ostinato.errors import StreamRowError, UsageError
from ostinato.tasks.forecast.fitted import Fitted, tail_of
from ostinato.tasks.forecast.result import Forecast

_TIME_UNITS = "datetime64[us]"


class ForecastStream:
    """One series, a row at a time; made by `Forecaster.stream`.

    It keeps the rows of one context and nothing more. A forecast equals that of `predict` on the same history.
    """

    def __init__(self, fitted: Fitted, series_id: str | None = None, *, warm: bool = True) -> None:
        self._fitted = fitted
        self._series = _find(fitted, series_id)
        one = tail_of(fitted.tail, fitted.settings.context).series[self._series]
        self._rows = np.full((fitted.settings.context, len(fitted.columns)), np.nan)
        self._seen = 0
        self._next: Any = fitted.frequency.times(one.start, len(one), 1)[0] if warm else None
        if warm and len(one):
            self._rows[-len(one) :] = one.values[-fitted.settings.context :]
            self._seen = len(one)
        self._names = _row_names(fitted)
        scale = fitted.scaler.for_panel(replace(fitted.tail, series=(one,)))
        self._maker = fitted.maker(replace(fitted.tail, series=(one,)))
        self._maker.targets = scale

    @property
    def next_time(self) -> Any:
        """The time that the next row is expected to have; `None` before the first row of a cold stream."""
        return self._next

    def push(self, row: Mapping[str, Any] | Sequence[Any], future: Any = None) -> Forecast:
        """Take in one row and forecast the steps after it.

        Args:
            row: a mapping from column names (targets, past and known covariates; perhaps the time), or their values in
                that order without the time. `None`, NaN or an empty text is a missing value. A row whose time is later
                than expected leaves the steps between missing.
            future: the known covariates of the coming steps, as `predict` takes them, if the model has any.

        Raises:
            StreamRowError: a column is missing or unknown, a value is no number, or the time is not on the grid or not
                after the row before; the stream is then as it was.
        """
        values, time = self._read(row)
        self._advance(values, time)
        return self.forecast(future)

    def forecast(self, future: Any = None) -> Forecast:
        """Forecast the steps after the last row, without taking in another."""
        if self._next is None:
            raise UsageError("the stream is cold and has seen no row yet; push one")
        return self._fitted.ahead(self._panel(), future) if self._fitted.tail.known else self._ahead()

    def state(self) -> dict[str, Any]:
        """Return a copy of all that the stream holds, as plain data and one array."""
        following = self._next
        return {
            "series": self._fitted.tail.series[self._series].id,
            "rows": self._rows.copy(),
            "seen": self._seen,
            "next": str(following) if isinstance(following, np.datetime64) else following,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned.

        Raises:
            UsageError: the state is of another model or series.
        """
        rows = np.array(state["rows"], np.float64)
        own = self._fitted.tail.series[self._series].id
        if rows.shape != self._rows.shape or state["series"] != own:
            raise UsageError(
                f'the state is of series "{state["series"]}" with rows {rows.shape}; expected series "{own}" with '
                f"{self._rows.shape}"
            )
        self._rows, self._seen = rows, int(state["seen"])
        following = state["next"]
        self._next = np.datetime64(following, "us") if isinstance(following, str) else following

    def _ahead(self) -> Forecast:
        from ostinato.data import WindowArrays, calendar_features

        settings, fitted = self._fitted.settings, self._fitted
        history = self._rows[None]
        panel = self._panel()
        row = len(panel.series[0])
        times = fitted.frequency.times(self._next, -settings.context, settings.context + settings.horizon)
        calendar = (
            calendar_features(times, fitted.frequency) if settings.calendar else np.zeros((len(times), 0), np.float32)
        )
        targets = settings.targets
        windows = WindowArrays(
            history=history[..., :targets],
            past=history[..., targets : targets + settings.past],
            known=np.zeros((1, len(times), 0)),
            calendar=calendar[None],
            static=panel.series[0].static[None],
            future=np.full((1, settings.horizon, targets), np.nan),
            series=np.zeros(1, np.int64),
            origin=np.array([row]),
        )
        return fitted.result(panel, np.array([[0, row]]), fitted.run(windows, self._maker))

    def _panel(self) -> Panel:
        """Return the rows held as a panel of one series, its start reckoned back from the next time."""
        held = max(1, min(self._seen, len(self._rows)))
        start = self._fitted.frequency.times(self._next, -held, 1)[0]
        one = self._fitted.tail.series[self._series]
        return replace(self._fitted.tail, series=(Series(one.id, start, self._rows[-held:], one.static),))

    def _advance(self, values: NDArray[np.float64], time: Any) -> None:
        skipped = self._skipped(time)
        keep = len(self._rows)
        rows = np.full((min(skipped, keep), len(values)), np.nan)
        self._rows = np.concatenate([self._rows, rows, values[None]])[-keep:]
        self._seen = min(self._seen + skipped + 1, keep)
        at = time if time is not None else self._next
        if self._next is not None:
            at = self._fitted.frequency.times(self._next, skipped, 1)[0]
        self._next = self._fitted.frequency.times(at, 1, 1)[0]

    def _skipped(self, time: Any) -> int:
        """Return how many steps lie between the row before and this one."""
        if time is None or self._next is None:
            if self._next is None and time is None:
                if self._fitted.frequency.unit != "row":
                    raise StreamRowError("the first row of a cold stream needs its time; pass it with the row")
                self._next = 0
            return 0
        place = int(self._fitted.frequency.places(self._next, np.array([time]))[0])
        if place >= 0:
            return place
        raise StreamRowError(
            f"the row's time {format_time(time)} is not on the grid of {self._fitted.frequency.describe()} at or after "
            f"{format_time(self._next)}; push rows in time order, each once"
        )

    def _read(self, row: Mapping[str, Any] | Sequence[Any]) -> tuple[NDArray[np.float64], Any]:
        if not isinstance(row, Mapping):
            cells = list(row) if isinstance(row, (Sequence, np.ndarray)) and not isinstance(row, str) else [row]
            if len(cells) != len(self._names):
                raise StreamRowError(
                    f"the row has {len(cells)} values; expected {len(self._names)}: {', '.join(self._names)}"
                )
            row = dict(zip(self._names, cells, strict=True))
        schema = self._fitted.schema
        clock = (schema.time or "time").split("+")
        allowed = {
            *self._names,
            *clock,
            "time",
            *([schema.series_id] if schema.series_id else []),
            *schema.static_covariates,
        }
        missing = [name for name in self._names if name not in row]
        unknown = [name for name in row if name not in allowed]
        if missing or unknown:
            wrong = f'lacks "{missing[0]}"' if missing else f'has an unknown column "{unknown[0]}"'
            raise StreamRowError(f"the row {wrong}; expected the columns {', '.join(self._names)}")
        values = np.concatenate([self._cells(name, row[name]) for name in self._names])
        return values, self._time(row, clock)

    def _cells(self, name: str, cell: Any) -> NDArray[np.float64]:
        empty = (
            cell is None
            or (isinstance(cell, float) and cell != cell)
            or str(cell).strip() in self._fitted.schema.missing
        )
        categories = self._fitted.categories.get(name)
        if categories is not None:
            hot = np.array([float(str(cell) == category) for category in categories])
            return np.full(len(categories), np.nan) if empty else hot
        try:
            value = np.nan if empty else float(cell)
        except (TypeError, ValueError):
            raise StreamRowError(
                f'"{cell}" in column "{name}" is not a number; expected one, or null if missing'
            ) from None
        if np.isinf(value):
            raise StreamRowError(f'column "{name}" is infinite; expected a finite number, or null if missing')
        return np.array([value])

    def _time(self, row: Mapping[str, Any], clock: list[str]) -> Any:
        name = clock[0] if clock[0] in row else "time" if "time" in row and "time" not in self._names else None
        if name is None or self._fitted.frequency.unit == "row" or len(clock) > 1 or row[name] is None:
            return None
        cell = row[name]
        try:
            return _as_time(cell)
        except (ValueError, TypeError):
            raise StreamRowError(
                f'"{cell}" in column "{name}" is not a time; expected one such as {self._next}'
            ) from None


def _as_time(cell: Any) -> Any:
    """Return a time in UTC without an offset, as the readers make them."""
    if isinstance(cell, np.datetime64):
        return cell.astype(_TIME_UNITS)
    if not isinstance(cell, str):
        return np.datetime64(cell).astype(_TIME_UNITS)
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        return _read_time(cell)
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment, "us")


def _read_time(cell: str) -> Any:
    """Read a time that is not written the ISO way as the file readers do."""
    import polars as pl

    from ostinato.data.table import Table
    from ostinato.data.times import read_times

    found = read_times(Table("the row", pl.DataFrame({"time": [cell]})), "time")[0]
    if not isinstance(found, np.datetime64):
        raise ValueError(cell)
    return found


def _find(fitted: Fitted, series_id: str | None) -> int:
    names = fitted.scaler.series_ids
    if series_id is None:
        if len(names) > 1:
            raise UsageError(
                f"the model has {len(names)} series; say which one streams, with series_id (--series-id): "
                f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
            )
        return 0
    if series_id not in names:
        raise UsageError(f'the model knows no series "{series_id}"; it was trained on {", ".join(names[:8])}')
    return names.index(series_id)


def _row_names(fitted: Fitted) -> tuple[str, ...]:
    return fitted.schema.used
