"""Which channels tell classes apart, where most of many do not: found by each channel alone, on examples left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ostinato.nn.random_kernels import RandomKernels, of_one_length
from ostinato.tasks.classify.encoding import Floats
from ostinato.tasks.classify.examples import Integers
from ostinato.tasks.classify.ridge import fit_ridge
from ostinato.tasks.classify.statistics import statistics_of

_KERNELS = 840  # of each kind, for each channel
_EXAMPLES, _FEWEST = 150, 12  # that are looked at
_WORK = 3e6  # steps of all of their channels, at most: about a second
_LEAST, _MOST = 6, 200  # channels of which some are chosen
_BEYOND = 0.5  # nats more than the best of as many channels of noise has
_BESIDE = 0.25  # of the evidence of the best channel: who has as much tells something too
_USUAL = 1 / 3  # of the channels: if more tell something, all are read alike
_AT_ONCE = 1 << 16  # steps whose statistics are made together


def telling_channels(sequences: Sequence[Tensor], targets: Integers, classes: int, seed: int) -> NDArray[np.bool_]:
    """Return which channels tell classes apart, `(channels,)`; all, where no few of them clearly do.

    From each channel alone classes are told by a ridge regression on random convolutions and statistics, each example
    left out. Its evidence is half the number of examples times the logarithm of how many times smaller its squared
    error is than without any channel; the best of many channels of noise has about the logarithm of their number.

    Args:
        sequences: of training, `(time, channels)` each, standardised, in an order in which each beginning has every
            class.
        targets: their classes.
        classes: how many there are.
        seed: of the convolutions.
    """
    channels = sequences[0].shape[1]
    all_alike = np.ones(channels, bool)
    if not _LEAST <= channels <= _MOST:
        return all_alike
    some = [sequences[row] for row in range(min(_EXAMPLES, len(sequences)))]
    count = min(len(some), int(_WORK * len(some) / (channels * sum(map(len, some)))))
    if count < max(_FEWEST, 2 * classes):
        return all_alike
    evidence, chance = _evidence(some[:count], targets[:count], classes, seed), np.log(channels) + _BEYOND
    if evidence.max() <= chance:
        return all_alike
    found: NDArray[np.bool_] = evidence > min(chance, _BESIDE * evidence.max())
    return found if 0 < found.sum() <= _USUAL * channels else all_alike


def _evidence(sequences: Sequence[Tensor], targets: Integers, classes: int, seed: int) -> Floats:
    """Return how much each channel tells alone, in nats."""
    count, channels = len(sequences), sequences[0].shape[1]
    alone = [sequence[:, [channel]] for channel in range(channels) for sequence in sequences]
    features = _features(alone, seed).reshape(channels, count, -1)
    wanted = np.where(np.arange(classes) == targets[:, None], 1.0, -1.0)
    nothing = (((wanted - wanted.mean(0)) * count / (count - 1)) ** 2).mean()
    errors = [((fit_ridge(own, targets, classes).left_out - wanted) ** 2).mean() for own in features]
    return np.asarray(0.5 * count * np.log(nothing / np.maximum(errors, 1e-9)))


def _features(alone: Sequence[Tensor], seed: int) -> Floats:
    """Return features of sequences of one channel, of which each kind counts alike, `(sequences, features)`."""
    usual, parts = int(np.median([len(each) for each in alone])), []
    for number in range(2):  # values, and their changes
        read = [torch.diff(each, dim=0, prepend=each[:1]) for each in alone] if number else list(alone)
        kernels = RandomKernels(1, usual, _KERNELS)
        kernels.fit(read, seed + number)
        parts.append(kernels(read).double().numpy())
    parts.append(_statistics(alone))
    return np.concatenate([functional.normalize(_standard(part), dim=0).numpy() * _size(part) for part in parts], 1)


def _standard(part: Floats) -> Tensor:
    """Return columns without their mean."""
    return torch.from_numpy(part - part.mean(0))


def _size(part: Floats) -> float:
    """Return what makes all columns of a part together count one an example."""
    return float(np.sqrt(len(part) / part.shape[1]))


def _statistics(alone: Sequence[Tensor]) -> Floats:
    found: list[Floats | None] = [None] * len(alone)
    for rows in of_one_length(alone, _AT_ONCE):
        together = statistics_of(torch.stack([alone[row] for row in rows]), 1, False).double().numpy()
        for row, own in zip(rows, together, strict=True):
            found[row] = own
    return np.stack([own for own in found if own is not None])
