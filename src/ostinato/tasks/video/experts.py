"""The expert beside the networks of a classifier of landmarks: the nearest of known clips.

Of a few dozen clips a network learns little that it is sure of, and the nearest clip may know more; which of them is
right more often is found on clips that neither has seen.
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
from ostinato.tasks.base.weighing import Floats, weigh

BRANCHES = ("networks", "nearest clip")
_STARTS, _SPREAD = (1.0, 0.5), 1.0  # of the weights of their log-probabilities, and how far a dozen clips may move them
_STEPS, _CLIPS = 48, 400  # of the longest known clip, and known clips, at most
_KEPT = 1 << 22  # numbers of known clips that are kept in a model, at most
_LEAST = 1e-9


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
        summed: Floats = costs.cumsum(1)
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

    def of(self, clip: NDArray[np.float32]) -> Floats:
        """Return the logarithms of the classes' probabilities of a clip `(frames, features)`, `(classes,)`."""
        deadline().check()
        steps, table = _steps(clip, self.every), None
        for step in steps:
            table = self.after(table, step)
        assert table is not None
        return self.logs(self.distances(table, len(steps)))

    def logs(self, distances: Floats) -> Floats:
        """Return the logarithms of the classes' probabilities, `(classes,)`; one without clips is as the farthest."""
        near = np.full(self.classes, np.inf)
        np.minimum.at(near, self.targets, distances)
        near[np.isinf(near)] = near[np.isfinite(near)].max(initial=0.0) if np.isfinite(near).any() else 1.0
        found: Floats = log_softmax(-np.log(np.maximum(near, 0.0) + _LEAST))
        return found


@dataclass(frozen=True)
class Experts:
    """What stands beside the networks, and how much each counts.

    Args:
        nearest: the nearest of known clips.
        shares: of the log-probabilities of the networks and of the nearest clip, `(2,)`.
        judged: on how many clips that none had seen the shares were found.
    """

    nearest: NearestExpert
    shares: Floats
    judged: int = 0

    def __post_init__(self) -> None:
        """Raise `ValueError` where shares are none."""
        if self.shares.shape != (len(BRANCHES),) or not np.isfinite(self.shares).all() or (self.shares < 0).any():
            raise ValueError("the shares of experts are no two numbers")

    @cached_property
    def mark(self) -> str:
        """What tells them from others in the state of a stream."""
        arrays = (self.nearest.known, self.nearest.targets, self.shares)
        return hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in arrays)).hexdigest()[:16]

    def fits(self, features: int, classes: int) -> bool:
        """Tell whether they are of so many numbers a frame, and so many classes."""
        return len(self.nearest.mean) == features and self.nearest.classes == classes

    @classmethod
    def fit(cls, clips: list[NDArray[np.float32]], targets: Integers, classes: int, seed: int) -> Experts:
        """Fit on clips, with shares as before any is judged."""
        return cls(NearestExpert.fit(clips, targets, classes, seed), np.array(_STARTS))

    def mixed(self, networks: Floats, nearest: Floats) -> Floats:
        """Return the logarithms of probabilities of both together, from those of each, all of one shape."""
        found: Floats = log_softmax(self.shares[0] * networks + self.shares[1] * nearest, axis=-1)
        return found


def weighed(scores: list[Floats], targets: Integers) -> Floats:
    """Return the shares of the branches by what they say of clips that they have not seen, each `(clips, classes)`."""
    return np.array(weigh(scores, list(_STARTS), targets, _SPREAD))


def left_out(
    clips: Sequence[NDArray[np.float32]], targets: Integers, folds: Integers, classes: int, seed: int
) -> Floats:
    """Return what the nearest of all other clips says of each clip of a fold, `(clips, classes)`.

    Args:
        clips: each `(frames, features)`.
        targets: their classes, `(clips,)`.
        folds: of each; -1: in none, always known and not asked about.
        classes: how many there are.
        seed: of the draw of known clips.
    """
    found = np.zeros((len(clips), classes))
    for fold in np.unique(folds[folds >= 0]).tolist():
        inside = np.flatnonzero(folds != fold)
        if not len(inside):
            continue
        nearest = NearestExpert.fit([clips[row] for row in inside.tolist()], targets[inside], classes, seed)
        for row in np.flatnonzero(folds == fold).tolist():
            found[row] = nearest.of(clips[row])
    return found


class ExpertSteps:
    """What the expert makes of a clip, a frame at a time; what is kept does not grow.

    Args:
        experts: fitted.
    """

    def __init__(self, experts: Experts) -> None:
        self.experts = experts
        self.reset()

    def reset(self) -> None:
        """Begin a new clip."""
        self.frames, self.steps = 0, 0
        self.group = np.zeros(len(self.experts.nearest.mean))  # the sum of the frames of a step that is not whole yet
        self.table: Floats | None = None

    def push(self, frame: NDArray[np.float32]) -> None:
        """Take a frame in, `(features,)`."""
        nearest = self.experts.nearest
        self.frames += 1
        self.group = self.group + frame.astype(np.float64)
        if self.frames % nearest.every == 0:
            self.table = nearest.after(self.table, self.group / nearest.every)
            self.steps, self.group = self.steps + 1, np.zeros_like(self.group)

    def logs(self) -> Floats:
        """Return what it says of the frames so far, of which there is one or more, `(classes,)`."""
        nearest, table, steps = self.experts.nearest, self.table, self.steps
        begun = self.frames % nearest.every
        if begun:
            table, steps = nearest.after(table, self.group / begun), steps + 1
        assert table is not None
        return nearest.logs(nearest.distances(table, steps))

    def copy(self) -> ExpertSteps:
        """Return another that goes on by itself; what is held is replaced, never changed."""
        found = ExpertSteps.__new__(ExpertSteps)
        found.__dict__.update(self.__dict__)
        return found

    def kept(self) -> dict[str, Any]:
        """Return all that is held."""
        return {name: getattr(self, name) for name in ("frames", "steps", "group", "table")}

    def accept(self, kept: Any) -> None:
        """Resume from what `kept` returned, which is checked.

        Raises:
            UsageError: it is of another model, or no such thing.
        """
        nearest = self.experts.nearest
        if not isinstance(kept, Mapping) or not {"frames", "steps", "group", "table"} <= kept.keys():
            raise refused("lacks what the nearest clip keeps")
        frames, steps = kept["frames"], kept["steps"]
        if type(frames) is not int or type(steps) is not int or not 0 <= frames < 2**53:
            raise refused("has a number of frames that is none")
        if steps != frames // nearest.every:
            raise refused("has another number of steps than its frames make")
        if (kept["table"] is None) != (steps == 0):
            raise refused("has steps without their costs, or costs without steps")
        for name, shape in (("group", nearest.mean.shape), ("table", nearest.known.shape[:2])):
            value = kept[name]
            fits = isinstance(value, np.ndarray) and value.shape == shape and value.dtype == np.float64
            if value is None and name == "table":
                continue
            if not fits or not np.isfinite(value).all():
                raise refused(f'has no "{name}" of the shape {shape}')
        self.frames, self.steps, self.group, self.table = frames, steps, kept["group"], kept["table"]


def _steps(clip: NDArray[np.float32], every: int) -> Floats:
    """Return means of so many neighbouring frames, `(steps, features)`; the last may have fewer."""
    starts = np.arange(0, len(clip), every)
    counts = np.diff(np.append(starts, len(clip)))
    found: Floats = np.add.reduceat(clip.astype(np.float64), starts, 0) / counts[:, None]
    return found
