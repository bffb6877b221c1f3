"""How much the branches of a sequence classifier count: by what they say of examples that they have not seen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ostinato.tasks.base.batches import read_in_batches
from ostinato.tasks.base.weighing import drawn_folds, weigh, weighed_loss
from ostinato.tasks.classify.encoding import Floats, Part, padded
from ostinato.tasks.classify.examples import Integers
from ostinato.tasks.classify.plan import FOLDS
from ostinato.tasks.classify.sequence_network import SequenceNetwork, beside_scores

_DEEP, _HALF = (
    0.6,
    40,
)  # where the weight of networks starts beside a ridge: with very many examples; at half with these
_NEAR, _WORTH = 0.5, 1.0  # where the weight of neighbours starts; how many nats they have to save
_WEIGHED = 2e5  # probabilities, at most, by which branches are weighed
_TOGETHER = 128  # examples that are read before the clock is looked at


@dataclass(frozen=True)
class Unseen:
    """What each branch says of examples that it was not trained on, `(examples, classes)`, and their classes."""

    scores: tuple[Floats, ...]
    targets: Integers


def left_out_scores(network: SequenceNetwork, train: Part, seed: int, seconds: float = math.inf) -> Unseen:
    """Return what is said of training examples by the network that left each out, and by the other branches without it.

    Args:
        network: whose branches are asked.
        train: what it was trained on.
        seed: of the folds.
        seconds: after which no more examples are read.
    """
    folds = drawn_folds(train.targets, FOLDS, seed)
    members = len(network.members)
    rows = np.flatnonzero((folds >= 0) & (folds < members)) if members > 1 else np.zeros(0, np.int64)
    for known in network.left_out:
        rows = rows[~np.isnan(known[rows]).any(1)]
    if len(network.left_out) < len(network.beside):  # they were fitted in another run
        rows = rows[:0]
    rows, deep = _deep(network, train, np.random.default_rng(seed).permutation(rows), folds, seconds)
    known = [each[rows] for each in network.left_out] if len(rows) else [deep[:0]] * len(network.beside)
    return Unseen((deep, *known), train.targets[rows])


def _deep(
    network: SequenceNetwork, train: Part, rows: Integers, folds: Integers, seconds: float
) -> tuple[Integers, Floats]:
    """Return those rows that there was time for, and what the network that left each out says of it."""
    until, taken, found = time.monotonic() + seconds, [rows[:0]], [np.zeros((0, network.classes))]
    for first in range(0, len(rows), _TOGETHER):
        if first and time.monotonic() > until:
            break
        some = rows[first : first + _TOGETHER]
        for fold in np.unique(folds[some]).tolist():
            those = some[folds[some] == fold]
            arrays = [train.arrays[row] for row in those.tolist()]

            def read(places: list[int], arrays: list[Floats] = arrays, fold: int = fold) -> Floats:
                scores = network.members[fold](*padded([arrays[place] for place in places]))
                said: Floats = scores.log_softmax(-1).double().numpy()
                return said

            taken.append(those)
            found.append(np.stack(read_in_batches([len(array) for array in arrays], read, steps=1 << 16)))
    every = np.concatenate(taken)
    order = np.argsort(every)
    return every[order], np.concatenate(found)[order]


def unseen_scores(network: SequenceNetwork, part: Part) -> Unseen:
    """Return what the branches say of a part that none of them was trained on."""
    lengths = [len(array) for array in part.arrays]

    def read(branch: Callable[[Tensor, Tensor], Tensor]) -> Floats:
        outputs = lambda rows: branch(*padded([part.arrays[row] for row in rows])).double().numpy()  # noqa: E731
        return np.stack(read_in_batches(lengths, outputs, steps=1 << 16))

    branches: list[Callable[[Tensor, Tensor], Tensor]] = [network.deep_scores]
    branches += [partial(beside_scores, branch) for branch in network.beside]
    return Unseen(tuple(read(branch) for branch in branches), part.targets)


def set_shares(network: SequenceNetwork, unseen: Sequence[Unseen], began: list[float]) -> None:
    """Weigh the branches of a network by examples that they have not seen; see `weigh`.

    Neighbours, which cost time at every answer, are kept only if with them the examples are clearly more probable.

    Args:
        network: whose branches are weighed.
        unseen: what they say.
        began: where the weights start; without those of neighbours it is decided whether there are any.
    """
    scores = [np.concatenate(each) for each in zip(*(one.scores for one in unseen), strict=True)]
    targets = np.concatenate([one.targets for one in unseen])
    if network.near is None or len(began) == len(scores):
        found, _ = _weighed(scores, began, targets)
    else:
        found, without = _weighed(scores[:-1], began, targets)
        others, loss = _weighed(scores, [*((1 - _NEAR) * each for each in began), _NEAR], targets)
        if without - loss > _WORTH:
            found = others
        else:
            network.forget_near()
    network.shares[: len(found)] = torch.tensor(found)


def starts(network: SequenceNetwork, targets: Integers) -> list[float]:
    """Return where the weights start: of the networks alone, or of both.

    A ridge's scores are probabilities already, by all examples that it was solved for, each left out, which are many
    more than those on which both branches are weighed; see `turn`. Networks that have learned from few examples count
    for less beside it: a ridge needs fewer, and on what a few leave out neither can be told from the other.

    Args:
        network: whose branches are to be weighed.
        targets: the classes of the training examples.
    """
    if network.wide is None:
        return [1.0]
    deep = _DEEP * len(targets) / (len(targets) + _HALF)
    return [deep, 1 - deep]


def _weighed(scores: list[Floats], began: list[float], targets: Integers) -> tuple[list[float], float]:
    """Return `weigh` of so many examples that it takes no more than a second or so, and the loss that is left."""
    most = max(int(_WEIGHED / max(scores[0].shape[1], 1)), 1)
    rows = np.random.default_rng(0).permutation(len(targets))[:most]
    known, wanted = [each[rows] for each in scores], targets[rows]
    found = weigh(known, began, wanted)
    return found, weighed_loss(known, found, began, wanted)
