"""What is fitted for series beside the network: how they are read and scaled, their season, how they are scored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Frequency, calendar_cycles, calendar_features
from ostinato.data.frequency import DAY, Times
from ostinato.data.recordings import Recording, RecordingReading, RecordingSet, places_of, ticks
from ostinato.tasks.anomaly.inputs import Inputs, features_of, series_inputs
from ostinato.tasks.anomaly.network import SeriesSizes
from ostinato.tasks.anomaly.novelty import MOST, Novelty, is_state
from ostinato.tasks.anomaly.scoring import Calibration
from ostinato.tasks.anomaly.views import OF_ERRORS, VIEWS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_TINY = 1e-12
_LEAST_CHANGE = 1e-3  # of the spread of a channel, the usual change at least
_CYCLES = (("time of day", DAY), ("day of week", 7 * DAY))
_SEEN = 3  # cycles that training must have seen for the clock to tell them


@dataclass(frozen=True)
class Scales:
    """The scales of series: of values, and of the change from one to the next in scaled values, `(channels,)` each."""

    center: Floats
    scale: Floats
    change: Floats

    @classmethod
    def of(cls, values: Floats) -> Scales:
        """Measure rows, `(rows, channels)`; missing ones do not count, and extremes count little."""
        channels = values.shape[1]
        center, scale, change = np.zeros(channels), np.ones(channels), np.ones(channels)
        for channel in range(channels):
            known = values[:, channel][np.isfinite(values[:, channel])]
            if not len(known):
                continue
            center[channel] = np.median(known)
            rest = known - center[channel]
            low, high = np.quantile(rest, [0.005, 0.995])
            spread = float(np.sqrt(np.mean(np.clip(rest, low, high) ** 2)))
            size = float(np.abs(known).max())
            # a constant channel is measured by its size, and its change too, so that rounding is no anomaly
            constant = spread <= _TINY + 1e-9 * size
            scale[channel] = max(size, 1.0) * 1e-2 if constant else spread
            steps = np.abs(np.diff(known)) / scale[channel]
            bound = np.quantile(steps, 0.99) if len(steps) else 1.0
            change[channel] = (
                1.0 if constant else max(float(np.minimum(steps, bound).mean()) if len(steps) else 1.0, _LEAST_CHANGE)
            )
        return cls(center, scale, change)


@dataclass(frozen=True)
class SeriesEncoder:
    """All that scoring series needs beside the network.

    Args:
        reading: how the data was read.
        names: of the series that were trained on.
        centers, scales, changes: `(series, channels)`; see `Scales`.
        season: steps; 1 for none.
        cycles: of the calendar that a network is told.
        window: steps that are reconstructed; 0: the next step is expected.
        calibration: how normal steps are scored.
        threshold: the score from which on there is an alarm.
        trained: rows of each series that the network was trained on, from the first.
        fingerprint: of the training data.
        tails: the newest rows of each series, and their times, from which a stream begins.
        seen: the values that were there, `(series, channels, numbers)`, see `Novelty.kept`.
        chosen: how the threshold was found, in words.
    """

    reading: RecordingReading
    names: tuple[str, ...]
    centers: Floats
    scales: Floats
    changes: Floats
    season: int
    cycles: int
    window: int
    calibration: Calibration
    threshold: float
    trained: Ints
    fingerprint: str
    tails: tuple[Floats, ...]
    tail_times: tuple[NDArray[Any], ...]
    seen: Ints
    chosen: str = ""

    def __post_init__(self) -> None:
        """Refuse sizes that do not go together, which a file may hold."""
        shape = (len(self.names), len(self.reading.channels))
        calibration = self.calibration
        relations = calibration.relations
        wide = shape[1] + len(relations)
        good = (
            self.centers.shape == self.scales.shape == self.changes.shape == shape
            and calibration.usual.mean.shape == calibration.usual.deviation.shape == (len(VIEWS), wide)
            and calibration.usual.ratio.shape == (wide,)
            and calibration.freedom.shape == (shape[1],)
            and calibration.manners.shape == (2, shape[1])
            and relations.weights.shape == (len(relations), shape[1])
            and relations.scales.shape == (len(relations),)
            and ((relations.of >= 0) & (relations.of < shape[1])).all()
            and (relations.scales > 0).all()
            and calibration.views.shapes == {(len(VIEWS), 2, 1)}
            and calibration.still.shapes == calibration.missing.shapes == {(wide,)}
            and all(each.positive for each in (calibration.views, calibration.still, calibration.missing))
            and calibration.begins.shape == calibration.scales.shape == (OF_ERRORS, 2, 1)
            and calibration.absent.shape == (wide,)
            and ((calibration.absent > 0) & (calibration.absent < 1)).all()
            and 1 <= self.season <= 1 << 20
            and 0 <= self.window <= 1 << 16
            and 0 <= self.cycles <= len(_CYCLES)
            and min(calibration.pace.short, calibration.pace.long, calibration.pace.memory) >= 1
            and calibration.pace.season == self.season
            and len(self.tails) == len(self.tail_times) == len(self.trained) == shape[0]
            and self.seen.shape == (*shape, 2 + 2 * MOST)
            and all(map(is_state, self.seen.reshape(-1, 2 + 2 * MOST)))
        )
        if not good:
            raise ValueError("its series, channels and views are not of the same number")

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return len(self.reading.channels)

    @property
    def network_sizes(self) -> SeriesSizes:
        """Return what the network is made of."""
        return SeriesSizes(self.channels, features_of(self.channels, 2 * self.cycles), self.window)

    @property
    def frequency(self) -> Frequency:
        """The usual step as a frequency, for the calendar."""
        return Frequency("us", step=max(1, int(self.reading.step)), zone=self.reading.time_format.zone)

    def scales_of(self, one: Recording) -> Scales:
        """Return the scales of a series; one that was not there at the fit is measured by its own rows."""
        if one.id in self.names:
            return self.known_scales(self.names.index(one.id))
        return Scales.of(one.values)

    def known_scales(self, place: int) -> Scales:
        """Return the scales of a series of the training data."""
        return Scales(self.centers[place], self.scales[place], self.changes[place])

    def novelty(self, name: str) -> tuple[Novelty, ...]:
        """Return what is known of the values of each channel of a series; of one that is new, nothing."""
        found = tuple(Novelty() for _ in range(self.channels))
        if name in self.names:
            for state, kept in zip(found, self.seen[self.names.index(name)], strict=True):
                state.accept(kept)
        return found

    def inputs(self, one: Recording, scales: Scales, stop: int | None = None) -> Inputs:
        """Return a series, up to a row, as the network reads it."""
        found = one if stop is None else replace(one, values=one.values[:stop], times=one.times[:stop], labels=None)
        values = (found.values - scales.center) / scales.scale
        places = places_of(found, self.reading.step)
        return series_inputs(values, places, scales.change, self.season, self.clock(found.times))

    def clock(self, times: Times) -> NDArray[np.float32]:
        """Return the calendar of the step after each row, `(rows, features)`."""
        if not self.cycles:
            return np.zeros((len(times), 0), np.float32)
        following = times.astype("datetime64[us]") + np.timedelta64(int(self.reading.step), "us")
        found = calendar_features(following, self.frequency)
        count = found.shape[1] // 2
        names = calendar_cycles(self.frequency)
        chosen = [names.index(name) for name, _ in _CYCLES[: self.cycles]]
        return np.ascontiguousarray(found[:, [*chosen, *(count + each for each in chosen)]])


def cycles_of(records: RecordingSet, rows: Ints) -> int:
    """Return how many cycles of the calendar the training rows have seen often enough: day, and week."""
    step = records.reading.step
    dated = [one for one in records.series if one.times.dtype.kind == "M"]
    if not step or len(dated) < len(records.series):
        return 0
    spans = [float(np.ptp(ticks(one.times[:stop]))) if stop else 0.0 for one, stop in zip(dated, rows, strict=True)]
    known = calendar_cycles(Frequency("us", step=max(1, int(step))))
    count = 0
    for name, length in _CYCLES:
        if name not in known or max(spans) < _SEEN * length:
            break
        count += 1
    return count


@dataclass(frozen=True)
class SeriesExamples:
    """Rows of series that are trained on, or judged.

    Args:
        encoder: how they are read.
        records: the data.
        start, stop: `(series,)`, which rows.
    """

    encoder: SeriesEncoder
    records: RecordingSet
    start: Ints
    stop: Ints

    def __len__(self) -> int:
        return int((self.stop - self.start).sum())

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """What tells them from others in a checkpoint."""
        return fingerprint_of(self.records), self.start, self.stop

    @cached_property
    def scales(self) -> tuple[Scales, ...]:
        """The scales of each series."""
        return tuple(map(self.encoder.scales_of, self.records.series))

    @cached_property
    def inputs(self) -> tuple[Inputs, ...]:
        """Each series, from its first row to the last of these, as the network reads it."""
        rows = zip(self.records.series, self.scales, self.stop.tolist(), strict=True)
        return tuple(self.encoder.inputs(*row) for row in rows)

    @cached_property
    def labels(self) -> NDArray[np.bool_] | None:
        """Whether each of these rows is anomalous, `(rows,)`; `None`: not known."""
        if not self.records.labelled:
            return None
        return np.concatenate([
            one.labels[a:b] for one, a, b in zip(self.records.series, self.start, self.stop, strict=True)  # type: ignore[index]
        ])  # fmt: skip

    def normal(self, series: int) -> NDArray[np.bool_]:
        """Return which rows of a series, up to the last of these, are not known to be anomalous."""
        one, stop = self.records.series[series], int(self.stop[series])
        return np.ones(stop, np.bool_) if one.labels is None else ~one.labels[:stop]


def fingerprint_of(records: RecordingSet) -> str:
    """Return what tells data from others."""
    import hashlib

    digest = hashlib.sha256(repr(records.reading.channels).encode())
    for one in records.series:
        digest.update(f"{one.id}\0{len(one)}".encode())
        digest.update(np.ascontiguousarray(one.values).tobytes())
        digest.update(np.ascontiguousarray(ticks(one.times)).tobytes())
        digest.update(b"" if one.labels is None else one.labels.tobytes())
    return digest.hexdigest()
