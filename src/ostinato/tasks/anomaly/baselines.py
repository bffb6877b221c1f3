"""Simple detectors beside the model: each scores a step by the steps before it, and alarms at the same rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.recordings import places_of
from ostinato.errors import MissingExtra
from ostinato.tasks.anomaly.encoder import SeriesExamples
from ostinato.tasks.anomaly.inputs import series_inputs
from ostinato.tasks.anomaly.judged import Scored
from ostinato.tasks.base.allowance import deadline
from ostinato.tasks.base.tail import Tail
from ostinato.tasks.base.task import Model

Floats = NDArray[np.float64]
BASELINES = ("moving z-score", "seasonal residual", "matrix profile", "isolation forest", "random scores")
_LONGEST = 20_000  # rows that a matrix profile looks back on
_FOREST, _WINDOW = 2048, 16
_TREES = 100


@dataclass(frozen=True)
class SimpleDetector:
    """A score of each step from the steps before it, with a threshold of the model's rate of false alarms.

    Args:
        name: one of `BASELINES`.
        threshold: from which on there is an alarm.
        span: steps that it looks at.
        sample: what an isolation forest is grown on, `(windows, features)`.
    """

    name: str
    threshold: float
    span: int
    sample: NDArray[np.float32]

    def predict(self, examples: SeriesExamples) -> Scored:
        """Score rows."""
        scores, expected = [], []
        for place, one in enumerate(examples.records.series):
            scales, stop, start = examples.scales[place], int(examples.stop[place]), int(examples.start[place])
            values = (one.values[:stop] - scales.center) / scales.scale
            places = places_of(one, examples.encoder.reading.step)[:stop]
            found, said = self._scored(values, places, examples, scales.change)
            scores.append(found[start:])
            expected.append(None if said is None else (said * scales.scale + scales.center)[start:])
        every = np.concatenate(scores)
        known = [each for each in expected if each is not None]
        return Scored(every, every >= self.threshold, np.concatenate(known) if len(known) == len(scores) else None)

    def _scored(
        self, values: Floats, places: NDArray[np.int64], examples: SeriesExamples, change: Floats
    ) -> tuple[Floats, Floats | None]:
        if self.name == "moving z-score":
            return moving_z(values, self.span)
        if self.name == "seasonal residual":
            clock = np.zeros((len(values), 0), np.float32)
            season = series_inputs(values, places, change, examples.encoder.season, clock).season
            said = np.concatenate([np.full_like(season[:1], np.nan), season[:-1]])
            return np.fmax.reduce(np.abs(values - said) / change, 1), said
        if self.name == "matrix profile":
            filled = [_filled(values[:, channel]) for channel in range(values.shape[1])]
            return np.fmax.reduce([left_profile(each, self.span) for each in filled]), None
        if self.name == "isolation forest":
            return self._forest(values), None
        return np.random.default_rng(len(values)).random(len(values)), None

    def _forest(self, values: Floats) -> Floats:
        forest = _isolation_forest()
        forest.fit(self.sample)
        found = np.full(len(values), np.nan)
        windows = windows_of(values)
        for first in range(0, len(windows), 4096):
            deadline().check()
            piece = windows[first : first + 4096]
            found[_WINDOW - 1 + first : _WINDOW - 1 + first + len(piece)] = -forest.score_samples(piece)
        return found


def fit_baseline(name: str, model: Model[Any, Any], base: SeriesExamples) -> SimpleDetector:
    """Fit a simple detector on rows, from the first of each series to the last of these.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    encoder, parameters = model.encoder, model.parameters
    span = {
        "moving z-score": max(60, parameters.long_run),
        "matrix profile": int(np.clip(encoder.season, 16, 288)),
    }.get(name, 1)
    sample = np.zeros((0, 0), np.float32)
    if name == "isolation forest":
        _isolation_forest()
        rows = [
            windows_of((one.values[:stop] - scales.center) / scales.scale)
            for one, stop, scales in zip(base.records.series, base.stop.tolist(), base.scales, strict=True)
        ]
        every = np.concatenate(rows)
        rng = np.random.default_rng(parameters.seed)
        sample = (
            every[np.sort(rng.choice(len(every), min(_FOREST, len(every)), replace=False))] if len(every) else every
        )
    first = SimpleDetector(name, np.inf, span, sample)
    whole = SeriesExamples(encoder, base.records, np.zeros_like(base.start), base.stop)
    scores = first.predict(whole).scores
    normal = np.concatenate([base.normal(place) for place in range(len(base.records.series))])
    # in logarithms of a normal tail, in which tails are about exponential
    tail = Tail.fit(np.where(normal, scores, np.nan), gap=parameters.merge)
    return SimpleDetector(name, tail.threshold(parameters.false_alarm_rate), span, sample)


def moving_z(values: Floats, span: int) -> tuple[Floats, Floats]:
    """Return how many deviations each step is from the mean of those before it, and that mean.

    Args:
        values: `(steps, channels)`, NaN where missing.
        span: steps that the mean and the deviation are of.
    """
    seen = ~np.isnan(values)
    filled = np.where(seen, values, 0.0)

    def before(steps: Floats) -> Floats:  # sums over the `span` steps before each
        total = np.concatenate([np.zeros_like(steps[:1]), np.cumsum(steps, 0)])
        first = np.maximum(np.arange(len(steps)) - span, 0)
        found: Floats = total[np.arange(len(steps))] - total[first]
        return found

    count = before(seen.astype(np.float64))
    mean = np.divide(before(filled), count, out=np.full_like(filled, np.nan), where=count >= 2)
    square = np.divide(before(filled**2), count, out=np.full_like(filled, np.nan), where=count >= 2)
    deviation = np.sqrt(np.maximum(square - mean**2, 1e-6))
    scores: Floats = np.fmax.reduce(np.abs(values - mean) / deviation, 1)
    return scores, mean


def left_profile(values: Floats, span: int) -> Floats:
    """Return the left matrix profile, `(steps,)`: how far the newest `span` steps are from the nearest before them.

    Distances are Euclidean, of windows brought to mean 0 and deviation 1; those nearer than half a window do not count.

    Source: C.-C. M. Yeh et al., "Matrix profile I", ICDM 2016; by the recurrence of STOMP, Y. Zhu et al., 2016. The
    package `stumpy` has the same numbers, but for the left profile alone only through its streaming class.
    """
    found = np.full(len(values), np.nan)
    half = _LONGEST // 2
    for first in range(0, len(values), half):
        begin = max(0, first - half)
        piece = _profile(values[begin : first + half], span)
        found[first : first + half] = piece[first - begin :]
    return found


def _profile(values: Floats, span: int) -> Floats:
    count = len(values) - span + 1
    found = np.full(len(values), np.nan)
    if count < 2:
        return found
    values = values - values.mean()
    windows = np.lib.stride_tricks.sliding_window_view(values, span)
    mean, deviation = windows.mean(1), np.maximum(windows.std(1), 1e-8)
    products, limit, zone = windows[:1] @ windows[0], deadline(), max(span // 2, 1)
    for i in range(1, count):
        if i % 256 == 0:
            limit.check()
        # the products of this window with all before it follow from those of the last one
        shifted = products - values[:i] * values[i - 1] + values[span : span + i] * values[i + span - 1]
        products = np.concatenate([[windows[0] @ windows[i]], shifted])
        near = i - zone + 1
        if near > 0:
            likeness = (products[:near] - span * mean[i] * mean[:near]) / (span * deviation[i] * deviation[:near])
            found[i + span - 1] = np.sqrt(max(2 * span * (1 - min(float(likeness.max()), 1.0)), 0.0))
    return found


def windows_of(values: Floats) -> NDArray[np.float32]:
    """Return windows of the newest steps, `(windows, features)`."""
    filled = np.stack([_filled(values[:, channel]) for channel in range(values.shape[1])], -1)
    if len(filled) < _WINDOW:
        return np.zeros((0, _WINDOW * values.shape[1]), np.float32)
    found = np.lib.stride_tricks.sliding_window_view(filled, _WINDOW, 0)
    return found.reshape(len(found), -1).astype(np.float32)


def _filled(values: Floats) -> Floats:
    """Return a channel with the last value where one is missing."""
    seen = np.isfinite(values)
    newest = np.maximum.accumulate(np.where(seen, np.arange(len(values)), -1))
    return np.where(newest >= 0, values[np.maximum(newest, 0)], 0.0)


def _isolation_forest() -> Any:
    try:
        from sklearn.ensemble import IsolationForest
    except ImportError as error:
        raise MissingExtra("an isolation forest needs scikit-learn: pip install 'ostinato[anomaly]'") from error
    return IsolationForest(n_estimators=_TREES, random_state=0, n_jobs=1)
