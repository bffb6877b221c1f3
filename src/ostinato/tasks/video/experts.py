"""Experts beside the networks of a classifier of landmarks: a linear one, and the nearest of known clips.

Of a few dozen clips a network learns little that it is sure of, and the nearest clip may know more; which of them is
right more often is found on clips that none of them has seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from ostinato.streaming import refused
from ostinato.tasks.base.allowance import deadline
from ostinato.tasks.base.labels import Integers
from ostinato.tasks.base.linear import fit_linear
from ostinato.tasks.base.weighing import Floats, weigh

BRANCHES = ("networks", "linear", "nearest clip")
_STARTS = (0.6, 0.3, 0.6)  # of their log-probabilities: the means of several are surer than each
_STRENGTH = 0.1  # of the linear expert, as scikit-learn's C
_STEPS, _CLIPS = 48, 400  # of the longest known clip, and known clips, at most
_KEPT = 1 << 22  # numbers of known clips that are kept in a model, at most
_LEAST = 1e-9


@dataclass(frozen=True)
class LinearExpert:
    """A logistic regression on the mean and the standard deviation over time of each number of a frame.

    Args:
        mean, scale: of these numbers, `(2 features,)`; weights: `(2 features + 1, classes)`.
    """

    mean: Floats
    scale: Floats
    weights: Floats

    @classmethod
    def fit(cls, clips: list[NDArray[np.float32]], targets: Integers, classes: int) -> LinearExpert:
        """Fit on clips, each `(frames, features)`."""
        numbers = np.stack([_summary(clip) for clip in clips])
        mean, scale = numbers.mean(0), numbers.std(0)
        scale[scale < 1e-9] = 1.0
        found = fit_linear((numbers - mean) / scale, targets, classes, _STRENGTH, iterations=200)
        weights = np.vstack([found.weights, found.offsets]).astype(np.float64)
        if weights.shape[1] == 1:  # of two classes, the second's alone
            weights = np.hstack([np.zeros_like(weights), weights])
        return cls(mean, scale, weights)

    def logs(self, summary: Floats) -> Floats:
        """Return the logarithms of the classes' probabilities, `(classes,)`, of what `_summary` returns of a clip."""
        numbers = (summary - self.mean) / self.scale
        found: Floats = log_softmax(numbers @ self.weights[:-1] + self.weights[-1])
        return found


@dataclass(frozen=True)
class NearestExpert:
    """The classes of known clips by how near they are under dynamic time warping: probabilities as one over distance.

    A clip is taken up to where it is, however long it will be, so that the same is said of it frame by frame. Several
    frames are one step, as many as make 48 steps of the longest known clip.

    Args:
        known: the steps of known clips, standardised, `(clips, steps, features)`, zeros behind the end of each.
        lengths: steps of each, `(clips,)`; targets: their classes, `(clips,)`; classes: how many there are.
        mean, scale: by which numbers are standardised, `(features,)`.
        every: frames that are one step.
    """

    known: NDArray[np.float32]
    lengths: Integers
    targets: Integers
    classes: int
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    every: int

    def __post_init__(self) -> None:
        """Raise `ValueError` where numbers do not fit each other, so that a damaged model is refused."""
        clips, steps, features = self.known.shape
        fit = self.lengths.shape == self.targets.shape == (clips,) and self.mean.shape == self.scale.shape == (
            features,
        )
        if not fit or not clips or self.every < 1 or not (self.scale > 0).all():
            raise ValueError("the nearest clips and their lengths do not fit each other")
        if self.lengths.min() < 1 or self.lengths.max() > steps or not self.targets.min() >= 0:
            raise ValueError("a known clip has no steps, or more than there are")
        if self.targets.max() >= self.classes or not np.isfinite(self.known).all():
            raise ValueError("a known clip is of no class, or has numbers that are none")

    @classmethod
    def fit(cls, clips: list[NDArray[np.float32]], targets: Integers, classes: int, seed: int) -> NearestExpert:
        """Keep clips, each `(frames, features)`, or so many of them as fit into a model's file."""
        every = max(1, -(-max(map(len, clips)) // _STEPS))
        rows = np.random.default_rng(seed).permutation(len(clips))[:_CLIPS]
        small = [_steps(clips[row], every) for row in rows]
        longest = max(map(len, small))
        rows = rows[: max(1, _KEPT // (longest * clips[0].shape[1]))]
        small = small[: len(rows)]
        values = np.concatenate(small)
        mean, scale = values.mean(0).astype(np.float32), np.maximum(values.std(0), 1e-6).astype(np.float32)
        known = np.zeros((len(small), longest, values.shape[1]), np.float32)
        for place, clip in enumerate(small):
            known[place, : len(clip)] = (clip - mean) / scale
        lengths = np.array([len(clip) for clip in small], np.int64)
        return cls(known, lengths, targets[rows], classes, mean, scale, every)

    def after(self, table: Floats | None, step: NDArray[np.floating]) -> Floats:
        """Return the costs of the best paths to each step of each known clip, `(clips, steps)`, with one step more.

        Args:
            table: those without it; `None`: it is the first one.
            step: its numbers, `(features,)`.
        """
        read = (step - self.mean) / self.scale
        costs = ((self.known - read.astype(np.float32)) ** 2).sum(-1).astype(np.float64)
        summed = costs.cumsum(1)
        if table is None:
            return summed
        before = table.copy()
        np.minimum(table[:, 1:], table[:, :-1], out=before[:, 1:])
        # along a row: the best place to have come up to it, and all costs from there
        found: Floats = summed + np.minimum.accumulate(before - (summed - costs), 1)
        return found

    def distances(self, table: Floats, steps: int) -> Floats:
        """Return how far each known clip is, `(clips,)`: the mean cost along the path that ends in its last step."""
        found: Floats = table[np.arange(len(table)), self.lengths - 1] / (self.lengths + steps)
        return found

    def logs(self, distances: Floats) -> Floats:
        """Return the logarithms of the classes' probabilities, `(classes,)`; those that no known clip has are even."""
        near = np.full(self.classes, np.inf)
        np.minimum.at(near, self.targets, distances)
        near[np.isinf(near)] = near[np.isfinite(near)].max(initial=0.0) if np.isfinite(near).any() else 1.0
        found: Floats = log_softmax(-np.log(np.maximum(near, 0.0) + _LEAST))
        return found


@dataclass(frozen=True)
class Experts:
    """What stands beside the networks, and how much each counts.

    Args:
        linear, nearest: the experts.
        shares: of the log-probabilities of networks, linear and nearest, `(3,)`.
        judged: on how many clips that none had seen the shares were found.
    """

    linear: LinearExpert
    nearest: NearestExpert
    shares: Floats
    judged: int = 0

    def __post_init__(self) -> None:
        """Raise `ValueError` where shares are none."""
        if self.shares.shape != (len(BRANCHES),) or not np.isfinite(self.shares).all() or (self.shares < 0).any():
            raise ValueError("the shares of experts are no three numbers")

    @cached_property
    def mark(self) -> str:
        """What tells them from others in the state of a stream."""
        arrays = (self.nearest.known, self.linear.weights, self.shares)
        return hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in arrays)).hexdigest()[:16]

    @classmethod
    def fit(cls, clips: list[NDArray[np.float32]], targets: Integers, classes: int, seed: int) -> Experts:
        """Fit on clips, with shares as before any is judged."""
        linear = LinearExpert.fit(clips, targets, classes)
        return cls(linear, NearestExpert.fit(clips, targets, classes, seed), np.array(_STARTS))

    def of(self, clip: NDArray[np.float32]) -> tuple[Floats, Floats]:
        """Return what the linear and the nearest expert say of a clip `(frames, features)`, each `(classes,)`."""
        deadline().check()
        steps, table = _steps(clip, self.nearest.every), None
        for step in steps:
            table = self.nearest.after(table, step)
        assert table is not None
        return self.linear.logs(_summary(clip)), self.nearest.logs(self.nearest.distances(table, len(steps)))

    def mixed(self, networks: Floats, linear: Floats, nearest: Floats) -> Floats:
        """Return the logarithms of probabilities of all together, from those of each, all of one shape."""
        summed = self.shares[0] * networks + self.shares[1] * linear + self.shares[2] * nearest
        found: Floats = log_softmax(summed, axis=-1)
        return found


def weighed(scores: list[Floats], targets: Integers) -> Floats:
    """Return the shares of the branches by what they say of clips that they have not seen, each `(clips, classes)`."""
    return np.array(weigh(scores, list(_STARTS), targets))


def left_out(
    clips: Sequence[NDArray[np.float32]], targets: Integers, folds: Integers, classes: int, seed: int
) -> tuple[Floats, Floats]:
    """Return what the experts say of each clip of a fold, fitted on all others, `(clips, classes)` each.

    Args:
        clips: each `(frames, features)`.
        targets: their classes, `(clips,)`.
        folds: of each; -1: in none, always learned from and not asked about.
        classes: how many there are.
        seed: of the draw of known clips.
    """
    linear, nearest = (np.zeros((len(clips), classes)) for _ in range(2))
    for fold in np.unique(folds[folds >= 0]):
        inside = np.flatnonzero(folds != fold)
        if not len(inside):
            continue
        found = Experts.fit([clips[row] for row in inside], targets[inside], classes, seed)
        for row in np.flatnonzero(folds == fold):
            linear[row], nearest[row] = found.of(clips[row])
    return linear, nearest


class ExpertSteps:
    """What the experts make of a clip, a frame at a time; what is kept does not grow.

    Args:
        experts: fitted.
    """

    def __init__(self, experts: Experts) -> None:
        self.experts = experts
        self.reset()

    def reset(self) -> None:
        """Begin a new clip."""
        features = len(self.experts.nearest.mean)
        self.frames, self.steps = 0, 0
        self.sums = np.zeros((2, features))  # of the numbers, and of their squares from the first frame
        self.first: Floats | None = None
        self.group = np.zeros(features)  # the sum of the frames of a step that is not whole yet
        self.table: Floats | None = None

    def push(self, frame: NDArray[np.float32]) -> None:
        """Take a frame in, `(features,)`."""
        values = frame.astype(np.float64)
        self.first = values if self.first is None else self.first
        away = values - self.first
        self.sums = self.sums + np.stack([away, away**2])
        self.frames += 1
        self.group = self.group + values
        if self.frames % self.experts.nearest.every == 0:
            self.table = self.experts.nearest.after(self.table, self.group / self.experts.nearest.every)
            self.steps, self.group = self.steps + 1, np.zeros_like(self.group)

    def logs(self) -> tuple[Floats, Floats]:
        """Return what they say of the frames so far, of which there is one or more."""
        assert self.first is not None
        mean, squares = self.sums / self.frames
        summary = np.concatenate([self.first + mean, np.sqrt(np.maximum(squares - mean**2, 0.0))])
        nearest, table, steps = self.experts.nearest, self.table, self.steps
        begun = self.frames % nearest.every
        if begun:
            table, steps = nearest.after(table, self.group / begun), steps + 1
        assert table is not None
        return self.experts.linear.logs(summary), nearest.logs(nearest.distances(table, steps))

    def copy(self) -> ExpertSteps:
        """Return another that goes on by itself; what is held is replaced, never changed."""
        found = ExpertSteps.__new__(ExpertSteps)
        found.__dict__.update(self.__dict__)
        return found

    def kept(self) -> dict[str, Any]:
        """Return all that is held."""
        names = ("frames", "steps", "sums", "first", "group", "table")
        return {name: getattr(self, name) for name in names}

    def accept(self, kept: Any) -> None:
        """Resume from what `kept` returned, which is checked.

        Raises:
            UsageError: it is of another model, or no such thing.
        """
        features, known = len(self.experts.nearest.mean), self.experts.nearest.known
        forms = {"sums": (2, features), "first": (features,), "group": (features,), "table": known.shape[:2]}
        if not isinstance(kept, Mapping) or not {*forms, "frames", "steps"} <= kept.keys():
            raise refused("lacks what the experts keep")
        frames, steps = kept["frames"], kept["steps"]
        if type(frames) is not int or type(steps) is not int or not 0 <= frames < 2**53:
            raise refused("has a number of frames that is none")
        if steps != frames // self.experts.nearest.every:
            raise refused("has another number of steps than its frames make")
        lacking = {"first": frames == 0, "table": steps == 0}
        for name, shape in forms.items():
            value = kept[name]
            if lacking.get(name, False):
                fits = value is None
            else:
                fits = isinstance(value, np.ndarray) and value.shape == shape and value.dtype == np.float64
                fits = fits and bool(np.isfinite(value).all())
            if not fits:
                raise refused(f'has no "{name}" of the shape {shape}')
        for name in ("frames", "steps", *forms):
            setattr(self, name, kept[name])


def _summary(clip: NDArray[np.float32]) -> Floats:
    """Return the mean and the standard deviation over time of each number, `(2 features,)`."""
    values = clip.astype(np.float64)
    return np.concatenate([values.mean(0), values.std(0)])


def _steps(clip: NDArray[np.float32], every: int) -> Floats:
    """Return means of so many neighbouring frames, `(steps, features)`; the last may have fewer."""
    starts = np.arange(0, len(clip), every)
    counts = np.diff(np.append(starts, len(clip)))
    found: Floats = np.add.reduceat(clip.astype(np.float64), starts, 0) / counts[:, None]
    return found
