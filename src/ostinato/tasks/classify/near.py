"""The branch of a sequence classifier that remembers: how near the training sequences of each class are.

Where there are many classes of a few examples, or what counts is how often something happens, the nearest sequence
under dynamic time warping tells more than features do (A. Bagnall et al., "The great time series classification bake
off", Data Mining and Knowledge Discovery 31, 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.nn.warped_loops import LANES, grouped, warped_distances
from ostinato.tasks.base.weighing import weigh, weighed_loss
from ostinato.tasks.classify.encoding import Floats
from ostinato.tasks.classify.examples import Integers
from ostinato.tasks.classify.shapes import shapes_of
from ostinato.tasks.classify.views import coarse, filled

_MOST_SHARPNESS = 64.0
_SHARPNESS = (2.0, 6.0, _MOST_SHARPNESS)  # of the sum over a class: of all of its examples, to the nearest alone
_BAND = 0.1  # of the steps, that the narrower path may stray
_TEMPERATURE, _SPREAD = 3.0, 1.5  # of the weight of log distances, and how far its logarithm may be from that
_UNTOLD = 0.25  # how much channels count that tell nothing alone, where others do
_NOTHING = 1e-3  # of a usual distance to the nearest: what is nearer is as near as that
_CELL, _CHANNEL = 1.0e-9, 0.2e-9  # seconds that a cell of a table takes, and for each channel
_LEAST_STEPS, _MOST_STEPS = 24, 128
_LONGER = 4  # than the usual sequence: what is behind that is not compared
_NUMBERS, _SEQUENCES = 1 << 20, 2500  # that are kept of training, at most: all distances are held at once


@dataclass(frozen=True)
class NearPlan:
    """What is decided of the neighbours.

    Args:
        count: sequences that are kept, all of the training part; 0: there is no such branch.
        steps: of the longest, as they are kept; coarser: steps that are read as one.
        channels: of a step; classes: how many there are.
        shaped: whether sequences may be compared without their level and spread.
        equal: whether all have the same length.
    """

    count: int = 0
    steps: int = 0
    coarser: int = 1
    channels: int = 0
    classes: int = 0
    shaped: bool = False
    equal: bool = True

    @classmethod
    def within(
        cls, count: int, lengths: tuple[int, int, int], channels: int, classes: int, *, seconds: float, answer: float,
        shaped: bool,
    ) -> NearPlan:  # fmt: skip
        """Return the plan of the finest steps that takes no longer; of too many sequences none.

        Args:
            count: of the training sequences.
            lengths: of the shortest, the usual and the longest.
            channels: of a step.
            classes: how many there are.
            seconds: to compare each with each.
            answer: to compare one with all.
            shaped: whether sequences differ much in level or spread.
        """
        coarser = max(1, math.ceil(lengths[1] / _MOST_STEPS))
        while True:
            steps = min(-(-lengths[2] // coarser), _LONGER * -(-lengths[1] // coarser))
            found = cls(count, steps, coarser, channels, classes, shaped, lengths[0] == lengths[2])
            small = count * steps * channels <= _NUMBERS and count <= _SEQUENCES
            if small and found.seconds <= seconds and found.answer_seconds <= answer:
                return found
            if -(-lengths[1] // (coarser + 1)) < _LEAST_STEPS:
                return cls()
            coarser += 1

    @property
    def band(self) -> int:
        """How far the narrower path may stray."""
        return max(1, round(_BAND * self.steps))

    @property
    def answer_seconds(self) -> float:
        """How long it takes to compare one sequence with all."""
        return self.count * self.steps**2 * (_CELL + _CHANNEL * self.channels)

    @property
    def seconds(self) -> float:
        """How long it takes to compare each with each, in every way that is tried."""
        ways = (1 + self.shaped) * (1 + 2 * _BAND * self.equal)
        return 0.5 * ways * (self.count + LANES) * self.answer_seconds


class _Way(NamedTuple):
    """A way to compare: without level and spread or with, and how far a path may stray, 0 for anywhere."""

    shaped: int
    band: int


class NearBranch(nn.Module):
    """Scores of classes by how near their training sequences are: logarithms of probabilities, but for a constant.

    A class is the likelier the nearer its examples are, as `distance ** -sharpness` summed over them; of the ways to
    compare sequences the one is kept that gives most probability to training examples left out.

    Args:
        plan: how many sequences there are, and of what size.
        masked: whether steps have marks of what is missing.
    """

    known: Tensor
    sizes: Tensor
    targets: Tensor
    how: Tensor
    offsets: Tensor
    factors: Tensor

    def __init__(self, plan: NearPlan, *, masked: bool) -> None:
        super().__init__()
        self.plan, self.masked = plan, masked
        self.register_buffer("known", torch.zeros(-(-plan.count // LANES), plan.channels, plan.steps, LANES))
        self.register_buffer("sizes", torch.ones(plan.count, dtype=torch.int64))
        self.register_buffer("targets", torch.zeros(plan.count, dtype=torch.int64))
        # without level and spread, band, sharpness, weight, the least distance that counts
        self.register_buffer("how", torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0]))
        self.register_buffer("offsets", torch.zeros(plan.classes))
        self.register_buffer("factors", torch.ones(plan.channels))

    def fit(
        self,
        arrays: Sequence[NDArray[np.float32]],
        targets: Integers,
        counts: Floats,
        telling: NDArray[np.bool_] | None = None,
    ) -> Floats:
        """Keep the training sequences and how they are compared; return the scores of each by the others.

        Args:
            arrays: features of the training sequences, each `(time, features)`.
            targets: their classes.
            counts: how much each example counts.
            telling: the channels whose differences count most; `None`: all alike.

        Returns:
            `(examples, classes)`, NaN for the only example of a class.
        """
        sums = np.bincount(targets, counts, self.plan.classes)
        each = np.bincount(targets, minlength=self.plan.classes)
        self.offsets.copy_(torch.from_numpy(np.log(np.maximum(sums / np.maximum(each, 1), 1e-9))))
        if telling is not None:
            self.factors.copy_(torch.from_numpy(np.where(telling[: self.plan.channels], 1.0, _UNTOLD)))
        alone = each[targets] < 2
        best: tuple[float, _Way, float, float, float, Floats] | None = None
        for shaped in range(1 + self.plan.shaped):
            read = [self._read(torch.from_numpy(array), bool(shaped)) for array in arrays]
            block, sizes = _block(read, self.plan.steps)
            for band in (0, self.plan.band) if self.plan.equal else (0,):
                found = self._judged(_each_with_each(block, sizes, band), targets, alone)
                if best is None or found[0] < best[0]:
                    best = found[0], _Way(shaped, band), *found[1:]
                    self.known.copy_(torch.from_numpy(grouped(block)))
                    self.sizes.copy_(torch.from_numpy(sizes))
        assert best is not None
        _, way, sharpness, weight, least, scores = best
        self.targets.copy_(torch.from_numpy(targets))
        self.how.copy_(torch.tensor([*way, sharpness, weight, least]))
        scores += self.offsets.numpy()
        scores[alone] = np.nan
        return scores

    def _judged(
        self, distances: Floats, targets: Integers, alone: NDArray[np.bool_]
    ) -> tuple[float, float, float, float, Floats]:
        """Return the loss of the sharpness that is best for these distances, it, its weight, and the scores."""
        least = _NOTHING * float(np.median(distances.min(1))) + 1e-12
        best: tuple[float, float, float, float, Floats] | None = None
        for sharpness in _SHARPNESS:
            scores = _scores(distances, targets, self.plan.classes, sharpness, least)
            rows, wanted = scores[~alone], targets[~alone]
            (weight,) = weigh([rows], [_TEMPERATURE], wanted, _SPREAD)
            loss = weighed_loss([rows], [weight], [_TEMPERATURE], wanted, _SPREAD)
            if best is None or loss < best[0]:
                best = loss, sharpness, weight, least, scores * weight
        assert best is not None
        return best

    def forward(self, sequences: Sequence[Tensor]) -> Tensor:
        """Return scores `(sequences, classes)` of sequences `(time, features)` each, without padding."""
        shaped, band, sharpness, weight, least = self.how.double().tolist()
        targets, sizes = self.targets.cpu().numpy(), self.sizes.cpu().numpy()
        groups = self.known.cpu().float().contiguous().numpy()
        distances = np.empty((len(sequences), len(targets)))
        for row, sequence in enumerate(sequences):
            read = self._read(sequence, bool(shaped))[: _LONGER * self.plan.steps]
            distances[row] = warped_distances(read, groups, sizes, self._within(band, len(read)))
        scores = weight * _scores(distances, targets, self.plan.classes, sharpness, least)
        return torch.from_numpy(scores).to(self.offsets) + self.offsets

    def _within(self, band: float, steps: int) -> int | None:
        """Return the band; a sequence of another length than those of training is compared without one."""
        return int(band) if band and steps == self.plan.steps else None

    def _read(self, sequence: Tensor, shaped: bool) -> NDArray[np.float32]:
        """Return the values of a sequence as they are compared, `(steps, channels)`."""
        count = self.plan.channels
        values = coarse(filled(sequence.detach().cpu().float(), count, self.masked)[:, :count], self.plan.coarser)
        if shaped:
            values = shapes_of(values[:, None], torch.tensor([len(values)]), count, False)[:, 0]
        read: NDArray[np.float32] = (values * self.factors.cpu().float()).numpy()
        return read


def _block(sequences: Sequence[NDArray[np.float32]], steps: int) -> tuple[NDArray[np.float32], Integers]:
    """Return sequences side by side, zeros behind them, `(sequences, steps, channels)`, and their lengths."""
    sizes = np.array([min(len(each), steps) for each in sequences], np.int64)
    block = np.zeros((len(sequences), steps, sequences[0].shape[1]), np.float32)
    for row, each in enumerate(sequences):
        block[row, : sizes[row]] = each[:steps]
    return block, sizes


def _each_with_each(block: NDArray[np.float32], sizes: Integers, band: int) -> Floats:
    """Return the distance of each sequence to each other, infinite to itself."""
    count, groups = len(block), grouped(block)
    found = np.full((count, count), np.inf)
    for row in range(count):
        first = row // LANES
        others = slice(first * LANES, count)
        found[row, others] = warped_distances(block[row, : sizes[row]], groups[first:], sizes[others], band or None)
        found[others, row] = found[row, others]
    np.fill_diagonal(found, np.inf)
    return found


def _scores(distances: Floats, targets: Integers, classes: int, sharpness: float, least: float) -> Floats:
    """Return the logarithm of how near each class is, `(sequences, classes)`."""
    order = np.argsort(targets, kind="stable")
    there, firsts = np.unique(targets[order], return_index=True)
    nearness = -sharpness * np.log(distances[:, order] + least)
    found = np.full((len(distances), classes), -np.inf)
    found[:, there] = np.logaddexp.reduceat(nearness, firsts, axis=1) / sharpness
    worst = np.where(np.isfinite(found), found, np.inf).min(1, keepdims=True)
    return np.where(np.isfinite(found), found, worst)
