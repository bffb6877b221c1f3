"""Features of mean 0 and deviation 1: over an utterance, by the training part, or over the last seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError

if TYPE_CHECKING:
    from ostinato.data.audio.features import FeatureSettings

Frames = NDArray[np.float32]
Floats = NDArray[np.float64]
_LEAST = 0.1  # of a deviation, in units of log energy, where a band hardly moves; speech has 2 to 4
_LEAST_SHARE = 0.3  # of the training part's deviation: what a long silence does not fall below
_ONE_BY_ONE = 8  # frames of a packet that are summed up in Python, to the same bits, sooner than a filter is called
_PRIOR = 1.0  # seconds that the training part's statistics count for when a signal begins


def normalised(frames: Frames) -> Frames:
    """Return frames `(frames, bins)` of an utterance, each band with mean 0 and deviation 1 over it; not causal."""
    if not len(frames):
        return frames
    wide = frames.astype(np.float64)
    found: Frames = ((wide - wide.mean(0)) / np.maximum(wide.std(0), _LEAST)).astype(np.float32)
    return found


@dataclass(frozen=True)
class Normaliser:
    """What was measured on the training part.

    Args:
        mean, deviation: of each band, `(bins,)`.
    """

    mean: Floats
    deviation: Floats

    def __post_init__(self) -> None:
        """Refuse numbers that no training part has, which a file may hold."""
        if not (self.mean.ndim == 1 and self.mean.shape == self.deviation.shape):
            raise ValueError(f"its normaliser has {self.mean.shape} means and {self.deviation.shape} deviations")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.deviation).all() and (self.deviation > 0).all()):
            raise ValueError("its normaliser has a mean or deviation that is none")

    @classmethod
    def fit(cls, frames: Iterable[Frames]) -> Normaliser:
        """Measure the frames of the training part, an array `(frames, bins)` an utterance.

        Raises:
            DataError: there are none.
        """
        count, total, square = 0, np.zeros(1), np.zeros(1)
        for utterance in frames:
            wide = utterance.astype(np.float64)
            count, total, square = count + len(wide), total + wide.sum(0), square + (wide**2).sum(0)
        if not count:
            raise DataError("there are no frames to measure; expected one utterance or more")
        mean = total / count
        return cls(mean, np.maximum(np.sqrt(np.maximum(square / count - mean**2, 0.0)), _LEAST))

    def begin(self, settings: FeatureSettings) -> RunningNormaliser | GlobalNormaliser | None:
        """Return what normalises one signal from its beginning; `None`: nothing is to be done frame by frame."""
        if self.mean.shape != (settings.bins,):
            raise DataError(f"the normaliser is of {len(self.mean)} bands, but there are {settings.bins}")
        if settings.normalisation == "running":
            return RunningNormaliser(self, settings)
        return GlobalNormaliser(self) if settings.normalisation == "global" else None


class GlobalNormaliser:
    """Frames by the training part's mean and deviation; it keeps nothing."""

    def __init__(self, by: Normaliser) -> None:
        self.by = by

    def reset(self) -> None:
        """Begin a new signal."""

    def accept(self, frames: Frames) -> Frames:
        """Return frames `(frames, bins)` normalised."""
        return ((frames - self.by.mean) / self.by.deviation).astype(np.float32)

    def state(self) -> None:
        """Return nothing, which is all that is kept."""

    def restore(self, state: Any) -> None:
        """Resume from nothing.

        Raises:
            DataError: there is something.
        """
        if state is not None:
            raise DataError("the state has running statistics, but the model normalises by those of training")


class RunningNormaliser:
    """Frames by mean and deviation of those up to them, older ones counting less and less: causal.

    It begins with the training part's statistics, which count as one second; what is a `horizon` back counts 1/e of
    what is now. A state is two numbers a band, and one.
    """

    def __init__(self, by: Normaliser, settings: FeatureSettings) -> None:
        self.by = by
        self._decay = math.exp(-settings.frame_shift / 1000 / settings.horizon)
        self._prior = _PRIOR * 1000 / settings.frame_shift
        self._least = (_LEAST_SHARE * by.deviation) ** 2
        self.reset()

    def reset(self) -> None:
        """Begin a new signal."""
        # sums of distances from the training part's mean, of their squares, and of weights
        self._first = np.zeros_like(self.by.mean)
        self._second = self._prior * self.by.deviation**2
        self._weight = self._prior

    def accept(self, frames: Frames) -> Frames:
        """Return frames `(frames, bins)` normalised."""
        if not len(frames):
            return frames
        apart = frames.astype(np.float64) - self.by.mean
        first = self._summed(apart, self._first)
        second = self._summed(apart**2, self._second)
        weight = self._summed(np.ones((len(frames), 1)), np.array([self._weight]))
        self._first, self._second, self._weight = first[-1], second[-1], float(weight[-1, 0])
        mean = first / weight
        deviation = np.sqrt(np.maximum(second / weight - mean**2, self._least))
        return ((apart - mean) / deviation).astype(np.float32)

    def _summed(self, values: Floats, before: Floats) -> Floats:
        """Return sums that fade, frame by frame, `(frames, bins)`: the same bits however frames are cut."""
        if len(values) <= _ONE_BY_ONE:
            sums = []
            for value in values:
                before = self._decay * before + value
                sums.append(before)
            return np.array(sums)
        from scipy.signal import lfilter

        found, _ = lfilter([1.0], [1.0, -self._decay], values, axis=0, zi=(self._decay * before)[None])
        return np.asarray(found, np.float64)

    def state(self) -> dict[str, Any]:
        """Return the sums."""
        return {"first": self._first.copy(), "second": self._second.copy(), "weight": self._weight}

    def restore(self, state: Any) -> None:
        """Resume from sums.

        Raises:
            DataError: they are none of as many bands.
        """
        if not isinstance(state, Mapping) or not all(_is_sum(state.get(name), self.by.mean) for name in _SUMS):
            raise DataError("the running statistics in the state are damaged or of another model")
        weight = state.get("weight")
        if not isinstance(weight, float) or not (0 < weight < math.inf) or (state["second"] < 0).any():
            raise DataError("the running statistics in the state are damaged or of another model")
        self._first, self._second, self._weight = state["first"].copy(), state["second"].copy(), weight


_SUMS = ("first", "second")


def _is_sum(value: Any, like: Floats) -> bool:
    return (
        isinstance(value, np.ndarray)
        and value.dtype == np.float64
        and value.shape == like.shape
        and bool(np.isfinite(value).all())
    )
