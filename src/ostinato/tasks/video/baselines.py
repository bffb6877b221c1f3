"""What a classifier of clips has to beat: the mean frame, the nearest clip, the most frequent class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from ostinato.tasks.base.allowance import deadline
from ostinato.tasks.base.labels import Integers, Prediction
from ostinato.tasks.base.linear import fit_linear
from ostinato.tasks.base.warping import WarpedNeighbours
from ostinato.tasks.video.encoding import Floats, VideoPart

_ROWS, _COLUMNS = 9, 12  # of the small pictures that baselines look at
_STEPS, _CLIPS = 48, 400  # of a clip, and clips, that neighbours are looked for among
_KEPT = 1 << 23  # numbers of training clips that are kept in a model, at most


@dataclass(frozen=True)
class MostFrequent:
    """The shares of the classes in training, each clip counted once more."""

    shares: Floats

    @classmethod
    def fit(cls, targets: Integers, classes: int) -> MostFrequent:
        """Count the classes."""
        counts = np.bincount(targets, minlength=classes) + 1.0
        return cls(counts / counts.sum())

    def predict(self, part: VideoPart) -> Prediction:
        """Return the same of every clip."""
        return Prediction.of(np.tile(self.shares, (len(part), 1)))


@dataclass(frozen=True)
class MeanFrame:
    """A logistic regression on the mean frame of a clip, and on how much each place of it changes.

    Of landmarks: on mean and standard deviation of each number.

    Args:
        spread: whether standard deviations are among the numbers; mean, scale: of the numbers; weights: `(numbers +
        1, classes)`.
    """

    spread: bool
    mean: Floats
    scale: Floats
    weights: Floats

    @classmethod
    def fit(cls, part: VideoPart, classes: int, spread: bool) -> MeanFrame:
        """Fit on clips; `spread`: with standard deviations over time beside the means."""
        numbers = _summaries(part, spread)
        mean, scale = numbers.mean(0), numbers.std(0)
        scale[scale < 1e-9] = 1.0
        found = fit_linear((numbers - mean) / scale, part.targets, classes, 0.1, iterations=200)
        weights = np.vstack([found.weights, found.offsets]).astype(np.float64)
        if weights.shape[1] == 1:  # of two classes, the second's alone
            weights = np.hstack([np.zeros_like(weights), weights])
        return cls(spread, mean, scale, weights)

    def predict(self, part: VideoPart) -> Prediction:
        """Return the probabilities of clips."""
        numbers = (_summaries(part, self.spread) - self.mean) / self.scale
        return Prediction.of(softmax(np.hstack([numbers, np.ones((len(numbers), 1))]) @ self.weights, axis=1))


@dataclass(frozen=True)
class NearestClip:
    """The class of the nearest training clip under dynamic time warping of its frames, made small.

    Clips of many frames are made shorter by means of neighbouring ones, and of many clips some are drawn, so that it
    takes seconds.

    Args:
        values: of the training clips, one behind the other, `(steps, numbers)`; lengths, targets: of each.
        mean, scale: by which numbers are standardised; window: how far a path may stray, a share of the length.
    """

    values: NDArray[np.float32]
    lengths: Integers
    targets: Integers
    mean: Floats
    scale: Floats
    window: float

    @classmethod
    def fit(cls, part: VideoPart, seed: int, window: float = 0.2) -> NearestClip:
        """Keep clips, or so many of them as fit into a model's file."""
        rows = np.random.default_rng(seed).permutation(len(part))[:_CLIPS]
        small = [_shorter(small_frames(np.asarray(part.arrays[int(row)]))) for row in _checked(rows)]
        sizes = np.cumsum([each.size for each in small])
        small = small[: max(int((sizes <= _KEPT).sum()), 1)]
        values = np.concatenate(small)
        scale = np.maximum(values.std(0), 1e-6)
        lengths = np.array([len(each) for each in small], np.int64)
        return cls(values, lengths, part.targets[rows[: len(small)]], values.mean(0), scale, window)

    def predict(self, part: VideoPart) -> Prediction:
        """Return the classes of the nearest."""
        known = np.split((self.values - self.mean) / self.scale, np.cumsum(self.lengths)[:-1])
        near = WarpedNeighbours(known, self.window)
        found = []
        for row in _checked(range(len(part))):
            clip = (_shorter(small_frames(np.asarray(part.arrays[int(row)]))) - self.mean) / self.scale
            found.append(self.targets[near.distances(clip).argmin()])
        return Prediction(np.array(found, np.int64))


def _checked(rows: Any) -> Iterator[Any]:
    """Yield rows as long as there is time."""
    within = deadline()
    for row in rows:
        within.check()
        yield row


def _summaries(part: VideoPart, spread: bool) -> Floats:
    found = []
    for row in _checked(range(len(part))):
        small = small_frames(np.asarray(part.arrays[row])).astype(np.float64)
        found.append(np.concatenate([small.mean(0), small.std(0)]) if spread else small.mean(0))
    return np.stack(found)


def small_frames(clip: NDArray[Any]) -> NDArray[np.float32]:
    """Return frames as a few numbers each: landmarks as they are, pictures as the mean of 9 by 12 places, `(T, n)`."""
    if clip.ndim == 2:
        return np.asarray(clip, np.float32)
    parts = []
    for first in range(0, len(clip), 256):
        frames = torch.from_numpy(np.array(clip[first : first + 256])).float().permute(0, 3, 1, 2)
        parts.append(torch.nn.functional.adaptive_avg_pool2d(frames, (_ROWS, _COLUMNS)).flatten(1))
    return torch.cat(parts).numpy()


def _shorter(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return means of neighbouring frames, so many that there are no more than some."""
    every = -(-len(frames) // _STEPS)
    if every == 1:
        return frames
    starts = np.arange(0, len(frames), every)
    counts = np.diff(np.append(starts, len(frames)))
    return np.asarray(np.add.reduceat(frames, starts, 0) / counts[:, None], np.float32)


def joined_parts(parts: Sequence[VideoPart | None]) -> VideoPart:
    """Return the clips of several parts as one."""
    from ostinato.data.video.loading import LoadedClips

    there = [part for part in parts if part is not None]
    clips = there[0].clips
    for part in there[1:]:
        clips = clips.joined(part.clips)
    arrays = LoadedClips(clips, there[0].arrays.reader, there[0].arrays.store)
    return VideoPart(clips, arrays, np.concatenate([part.targets for part in there]))
