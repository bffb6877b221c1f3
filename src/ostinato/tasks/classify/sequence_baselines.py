"""What a classifier of numeric sequences has to beat: nearest neighbours, statistics of channels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ostinato.tasks.base.allowance import deadline
from ostinato.tasks.base.labels import Prediction
from ostinato.tasks.base.linear import fit_linear
from ostinato.tasks.base.warping import WarpedNeighbours
from ostinato.tasks.classify.channels import ChannelEncoder
from ostinato.tasks.classify.encoding import Floats, Part
from ostinato.tasks.classify.examples import Integers

STATISTICS = "statistics, logistic regression"
NEIGHBOURS = "1-NN DTW"
_ITERATIONS = 500
_CELLS = 3e9  # of all warping tables together: about half a minute
_RATE = 4e7  # of their cells a second, with some to spare
_LEAST_NEIGHBOURS, _LONGEST = 20, 200
_KEPT = 1 << 24  # numbers of training sequences that are kept in a model, at most


@dataclass(frozen=True)
class Statistics:
    """A logistic regression on a few numbers of each channel.

    They are mean, standard deviation, least, largest, first and last value, mean absolute change, share missing; and
    the length.

    Args:
        center, spread: of the channels, as the network has them; mean, scale: of the numbers; weights: `(numbers + 1,
            classes)`.
    """

    center: Floats
    spread: Floats
    mean: Floats
    scale: Floats
    weights: Floats

    @classmethod
    def fit(cls, encoder: ChannelEncoder, part: Part) -> Statistics:
        """Fit on sequences."""
        features = np.stack([_numbers((item.values - encoder.center) / encoder.scale) for item in part.examples.items])
        mean, scale = features.mean(0), features.std(0)
        scale[scale < 1e-9] = 1.0
        found = fit_linear((features - mean) / scale, part.targets, len(encoder.classes), 1.0, iterations=_ITERATIONS)
        weights = np.vstack([found.weights, found.offsets]).astype(np.float64)
        if weights.shape[1] == 1:  # of two classes, the second's alone
            weights = np.hstack([np.zeros_like(weights), weights])
        return cls(encoder.center, encoder.scale, mean, scale, weights)

    def predict(self, part: Part) -> Prediction:
        """Return the probabilities of sequences."""
        items = part.examples.items
        features = np.stack([_numbers((item.values - self.center) / self.spread) for item in items])
        return Prediction.of(softmax(_with_one((features - self.mean) / self.scale) @ self.weights, axis=1))


def _numbers(sequence: NDArray[np.floating]) -> Floats:
    columns = []
    for channel in np.asarray(sequence, np.float64).T:
        seen = channel[~np.isnan(channel)]
        known = seen if seen.size else np.zeros(1)
        change = np.abs(np.diff(known)).mean() if known.size > 1 else 0.0
        columns.append(
            [
                known.mean(),
                known.std(),
                known.min(),
                known.max(),
                known[0],
                known[-1],
                change,
                1 - seen.size / len(channel),
            ]
        )
    return np.array([*np.ravel(columns), math.log(len(sequence))])


def _with_one(features: Floats) -> Floats:
    return np.hstack([features, np.ones((len(features), 1))])


@dataclass(frozen=True)
class Neighbours:
    """The class of the nearest training sequence under dynamic time warping; see `WarpedNeighbours`.

    Sets that would take minutes are made smaller: sequences of more than 200 steps by the means of neighbouring steps,
    then the training part by a draw that keeps the classes' shares. Every sequence is answered.

    Args:
        values: of the training sequences, one behind the other, `(steps, channels)`; lengths, targets: of each.
        center, scale: by which channels are standardised, or none and ones.
        window: how far a path may stray; seed: of the draw.
    """

    values: NDArray[np.float32]
    lengths: Integers
    targets: Integers
    center: Floats
    scale: Floats
    window: float
    seed: int

    @classmethod
    def fit(cls, part: Part, center: Floats, scale: Floats, window: float, seed: int) -> Neighbours:
        """Keep sequences, or so many of them that they fit into a model's file."""
        items = [item.values for item in part.examples.items]
        sizes = sum(item.size for item in items)
        rows = _drawn(part.targets, len(items) if sizes <= _KEPT else int(len(items) * _KEPT / sizes), seed)
        lengths = np.array([len(items[row]) for row in rows], np.int64)
        values = np.concatenate([items[row] for row in rows], dtype=np.float32)
        return cls(values, lengths, part.targets[rows], center, scale, window, seed)

    def predict(self, part: Part) -> Prediction:
        """Return the classes of the nearest."""
        test = [item.values for item in part.examples.items]
        every = -(-max(int(self.lengths.max()), *map(len, test)) // _LONGEST)
        rows = _drawn(self.targets, self._kept([len(each) for each in test], every), self.seed)
        ends = np.cumsum(self.lengths)
        near = WarpedNeighbours(
            [self._read(self.values[ends[row] - self.lengths[row] : ends[row]], every) for row in rows], self.window
        )
        found = []
        for each in test:
            deadline().check()
            found.append(self.targets[rows[near.distances(self._read(each, every)).argmin()]])
        return Prediction(np.array(found, np.int64))

    def _read(self, sequence: NDArray[np.floating], every: int) -> NDArray[np.floating]:
        return _coarser((sequence - self.center) / self.scale, every)

    def _kept(self, test: list[int], every: int) -> int:
        """Return with how many training sequences there is time to compare sequences of some lengths."""
        steps = float(np.mean(-(-self.lengths // every))), float(np.mean(test)) / every
        cells = len(self.lengths) * len(test) * max(steps[0] * steps[1], 1.0)
        most = min(_CELLS, _RATE * max(deadline().left(), 0.0))
        return max(_LEAST_NEIGHBOURS, int(len(self.lengths) * most / cells)) if cells > most else len(self.lengths)


def _coarser(sequence: NDArray[np.floating], every: int) -> NDArray[np.floating]:
    """Return means of so many neighbouring steps; the last may have fewer."""
    if every == 1:
        return sequence
    firsts, missing = np.arange(0, len(sequence), every), np.isnan(sequence)
    counts = np.add.reduceat((~missing).astype(np.float64), firsts)
    sums = np.add.reduceat(np.where(missing, 0.0, sequence), firsts)
    return np.where(counts > 0, sums / np.maximum(counts, 1.0), np.nan)


def _drawn(targets: Integers, count: int, seed: int) -> Integers:
    """Return so many rows, or a few more, with each class in its share and at least once."""
    if count >= len(targets):
        return np.arange(len(targets))
    rng, share = np.random.default_rng(seed), count / len(targets)
    parts = []
    for number in np.unique(targets):
        rows = rng.permutation(np.flatnonzero(targets == number))
        parts.append(rows[: max(1, round(len(rows) * share))])
    return np.sort(np.concatenate(parts))
