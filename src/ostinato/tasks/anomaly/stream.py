"""A series as it comes: one row in, its score, alarm and reason out, with memory that does not grow."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.cells import cell_number
from ostinato.data.frames import plain_value
from ostinato.data.panel import time_text
from ostinato.data.recordings import place_after, ticks
from ostinato.data.table import LARGEST
from ostinato.data.zones import aware
from ostinato.errors import StreamRowError, UsageError
from ostinato.streaming import NOTHING, Row, Steps, Stream, refused, shared_steps
from ostinato.tasks.anomaly.encoder import SeriesEncoder
from ostinato.tasks.anomaly.inputs import RowInputs
from ostinato.tasks.anomaly.novelty import is_state
from ostinato.tasks.anomaly.reasons import answer_of
from ostinato.tasks.anomaly.scorer import SeriesScorer, stepped
from ostinato.tasks.base.rows import time_of_row
from ostinato.tasks.base.task import Model

Floats = NDArray[np.float64]
_STEPS, _YEARS = 1e9, 10 * 366 * 86_400e6  # steps, or microseconds, after which a time is rather an error than a gap
_BACK_STEPS, _DAY = 10, 86_400e6  # usual steps, or microseconds, by which clocks are set back at most
_SCALED = 1e15


class SeriesStream(Stream):
    """One series, a row at a time; made by `AnomalyDetector.stream`.

    What it says of a row is what `predict` says of it in a file of the rows since the stream began, to the same bits.

    Args:
        model: fitted.
        series_id: which series it is; needed when the model has several.
        warm: whether it begins from the end of the training data, rather than from nothing.

    Raises:
        UsageError: there is no such series.
    """

    kind = "anomaly"

    def __init__(self, model: Model[Any, SeriesEncoder], series_id: str | None = None, *, warm: bool = True) -> None:
        self.encoder, self._series = model.encoder, _find(model.encoder, series_id)
        self._scales = self.encoder.known_scales(self._series)
        network = model.network
        self._shared = shared_steps(network, lambda: stepped(network))
        self._row = Row(self._shared)
        self._begin()
        self._start_state: bytes | None = None
        if warm:
            self._replay()
            self._start_state = self.state()

    @property
    def header(self) -> tuple[str, ...]:
        """The names that the cells of a row may have."""
        schema = self.encoder.reading.schema
        others = [schema.series_id, *(schema.time or "").split("+")]
        return (*schema.target, *(name for name in others if name))

    @property
    def bare(self) -> tuple[str, ...]:
        """The channels, where a row names nothing."""
        return self.encoder.reading.channels

    def reset(self) -> None:
        """Start over: at the end of the training data, or from nothing if the stream began cold."""
        self._begin()
        if self._start_state is not None:
            self.restore(self._start_state)

    def _begin(self) -> None:
        self._row.restore(None)
        self._inputs = RowInputs(self._scales.change, self.encoder.season)
        self._scorer = SeriesScorer(self.encoder, self._scales.change, self.encoder.names[self._series])
        self._first = self._last = math.nan  # times of the first and the last row, in ticks
        self._place = -1

    def _replay(self) -> None:
        values, times = self.encoder.tails[self._series], self.encoder.tail_times[self._series]
        timed = self.encoder.reading.step > 0
        kind = self.encoder.reading.time_format.kind
        found = times.astype("datetime64[us]") if kind in ("stamps", "") and timed else times
        for row, time in zip(values, found, strict=True):
            walk = self._taken(np.asarray(row, np.float64), time if timed else None, trusted=True)
            request = next(walk)
            try:
                while True:
                    request = walk.send(request.run([request.what])[0])
            except StopIteration:
                continue

    def steps(self, row: Any) -> Steps:
        """Take a row in, and say how strange it is.

        Args:
            row: a mapping of columns (the channels; perhaps the time and the series), or the channels' values in their
                order. `None`, NaN or an empty text is a missing value, which is not scored. A row without a time comes
                a usual step after the one before.

        Returns:
            `score` (nats, -log of the probability), `probability` (how many normal steps in one begin a peak of that
            height), `alarm`, `reason`, and what was expected of each channel; `None` where it is not known.

        Raises:
            StreamRowError: a column is missing or unknown, a value is no number, or the time is none; the stream is
                then as it was.
        """
        values, time = self._read(row)
        return (yield from self._taken(values, time))

    def _taken(self, values: Floats, time: Any, *, trusted: bool = False) -> Steps:
        tick = math.nan if time is None else float(ticks(np.array([time]))[0])
        first = tick if self._place < 0 else self._first
        step = self.encoder.reading.step
        if tick != tick and step > 0:
            tick = self._last + step if self._place >= 0 else math.nan
        if step <= 0:
            first = tick = 0.0  # rows that are only counted
        place = 0 if self._place < 0 else place_after(self._place, first, tick, step)
        if not trusted:
            self._check_jump(time, tick, place)
        clock = self._clock(tick)
        yield NOTHING
        scaled = (values - self._scales.center) / self._scales.scale
        inputs = self._inputs.push(scaled, place, clock)
        self._place, self._first, self._last = place, first, tick
        said = yield self._row.ask(inputs.features)
        found = self._scorer.push(inputs, None, np.asarray(said))
        expected = found.expected * self._scales.scale + self._scales.center
        answer = answer_of(self.encoder, values, found.score, found.why, expected, found.spread * self._scales.scale,
                           begins=found.begins)  # fmt: skip
        return answer if time is None else {"time": self._words(time), **answer}

    def _check_jump(self, time: Any, tick: float, place: int) -> None:
        """Refuse a time that is so far from that of the row before that it is rather an error."""
        dated, step = isinstance(time, (np.datetime64, np.timedelta64)), self.encoder.reading.step
        ahead = tick - self._last if self._place >= 0 else 0.0
        if place - self._place > _STEPS or (dated and ahead > _YEARS):
            raise StreamRowError(
                f"the row's time is {place - self._place:,} usual steps after that of the row before, more than a "
                "gap; mend the time, or begin a stream with warm=False (--cold) if it is right"
            )
        if -ahead > max(_BACK_STEPS * step, _DAY if dated else 0.0):
            raise StreamRowError(
                f"the row's time, {self._words(time)}, is {-ahead / step:,.0f} usual steps before that of the row "
                "before, more than a clock is set back; push rows in the order of their times, or begin a stream with "
                "warm=False (--cold) for older ones"
            )

    def _clock(self, tick: float) -> NDArray[np.float32]:
        if not self.encoder.cycles:
            return np.zeros(0, np.float32)
        if tick != tick:
            raise StreamRowError("the first row of a cold stream needs its time; pass it with the row")
        found: NDArray[np.float32] = self.encoder.clock(np.array([int(tick)]).astype("datetime64[us]"))[0]
        return found

    def _words(self, time: Any) -> str:
        zone = self.encoder.reading.time_format.zone
        return time_text(aware(np.array([time]), zone)[0] if isinstance(time, np.datetime64) else time)

    # --- reading a row -----------------------------------------------------------------------------------------------

    def _read(self, row: Any) -> tuple[Floats, Any]:
        channels = self.encoder.reading.channels
        if not isinstance(row, Mapping):
            if isinstance(row, (bytes, bytearray, memoryview)):
                raise StreamRowError(
                    f"the row is {type(row).__name__}; expected a mapping, or the values of {', '.join(channels)}"
                )
            cells = list(row) if isinstance(row, (Sequence, np.ndarray)) and not isinstance(row, str) else [row]
            if len(cells) != len(channels):
                raise StreamRowError(
                    f"the row has {len(cells)} values; expected {len(channels)}: {', '.join(channels)}"
                )
            row = dict(zip(channels, cells, strict=True))
        absent = [name for name in channels if name not in row]
        if absent:
            raise StreamRowError(f'the row lacks "{absent[0]}"; expected the columns {", ".join(channels)}')
        self._check_series(row)
        values = np.array([self._cell(name, row[name]) for name in channels])
        with np.errstate(over="ignore"):
            far = np.abs((values - self._scales.center) / self._scales.scale) > _SCALED
        if far.any():
            at = int(far.argmax())
            raise StreamRowError(
                f'{values[at]:g} in column "{channels[at]}" is too far from the training data to compute with; '
                "expected a value of their size, or null if missing"
            )
        return values, self._time(row)

    def _cell(self, name: str, cell: Any) -> float:
        schema = self.encoder.reading.schema
        try:
            value = float(cell_number(cell, schema.decimal, schema.missing, name))
        except (TypeError, ValueError, OverflowError):
            raise StreamRowError(
                f'"{str(cell)[:80]}" in column "{name}" is not a number; expected one, or null if missing'
            ) from None
        if math.isinf(value) or abs(value) > LARGEST:
            raise StreamRowError(
                f'{value:g} in column "{name}" is too large; expected a finite number, or null if missing'
            )
        return value

    def _check_series(self, row: Mapping[str, Any]) -> None:
        column = self.encoder.reading.schema.series_id
        cell = plain_value(row.get(column)) if column else None
        names = self.encoder.names[self._series]
        if cell is not None and str(cell).strip() not in ("", names):
            raise StreamRowError(
                f'the row is of "{str(cell)[:80]}" (column "{column}"), but the stream is of series "{names}"; push '
                "each series into a stream of its own, with series_id (--series-id)"
            )

    def _time(self, row: Mapping[str, Any]) -> Any:
        name = self.encoder.reading.schema.time
        if name is None:
            return None
        parts = [name] if name in row else name.split("+")
        if not any(part in row for part in parts) and "time" in row and "time" not in self.encoder.reading.channels:
            parts, name = ["time"], "time"
        if any(row.get(part) is None or row.get(part) == "" for part in parts):
            return None

        def unread() -> str:
            cell = ", ".join(str(row[part])[:80] for part in parts)
            return f'"{cell}" in column "{name}" is not a time; expected one as in the training data'

        return time_of_row(row, name, self.encoder.reading.time_format, unread)

    # --- its state ---------------------------------------------------------------------------------------------------

    def mark(self) -> str:
        """Return what tells the model from others."""
        found = [self.encoder.fingerprint, self.encoder.threshold, self.encoder.names[self._series]]
        return self._shared.mark + hashlib.sha256(repr(found).encode()).hexdigest()[:16]

    def kept(self) -> dict[str, Any]:
        """Return a copy of all that the stream holds."""
        numbers, places = self._inputs.kept()
        scorer, tail, values = self._scorer.kept()
        return {
            "network": self._row.state() if self._place >= 0 else None,
            "numbers": numbers,
            "places": places,
            "scorer": scorer,
            "tail": tail,
            "values": values,
            "times": np.array([self._first, self._last]),
        }

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Resume from what `kept` returned, all of it checked first."""
        now = self.kept()
        arrays = {name: kept.get(name) for name in ("numbers", "places", "scorer", "tail", "values", "times")}
        for name, array in arrays.items():
            like = now[name]
            if not isinstance(array, np.ndarray) or array.shape != like.shape or array.dtype != like.dtype:
                raise refused(f'has no "{name}" of the shape {like.shape}')
        floats = [array for array in arrays.values() if array is not None and array.dtype.kind == "f"]
        if any(np.isinf(each).any() for each in floats) or "network" not in kept:
            raise refused("holds infinite numbers, or nothing of the network")
        places, values = arrays["places"], arrays["values"]
        assert places is not None
        assert values is not None
        if not all(map(is_state, values)):
            raise refused("holds values that do not go together")
        if places[0] < -1 or (places[1:] > places[0]).any() or (places[0] >= 0) != (kept["network"] is not None):
            raise refused("has places that do not go together")
        self._row.restore(kept["network"])
        self._inputs.accept(arrays["numbers"], places)  # type: ignore[arg-type]
        self._scorer.accept(arrays["scorer"], arrays["tail"], arrays["values"])  # type: ignore[arg-type]
        self._place = int(places[0])
        self._first, self._last = (float(each) for each in kept["times"])


def _find(encoder: SeriesEncoder, series_id: str | None) -> int:
    names = encoder.names
    if series_id is None:
        if len(names) > 1:
            raise UsageError(
                f"the model has {len(names)} series; say which one streams, with series_id (--series-id): "
                f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
            )
        return 0
    if str(series_id) not in names:
        raise UsageError(f'the model knows no series "{series_id}"; it was trained on {", ".join(names[:8])}')
    return names.index(str(series_id))
