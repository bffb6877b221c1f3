"""How much the branches of a sequence classifier count: by what they say of examples that they have not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ostinato.tasks.base.batches import read_in_batches
from ostinato.tasks.base.weighing import drawn_folds, weigh
from ostinato.tasks.classify.encoding import Floats, Part, padded
from ostinato.tasks.classify.examples import Integers
from ostinato.tasks.classify.plan import FOLDS
from ostinato.tasks.classify.sequence_network import SequenceNetwork

_STARTS = (0.7, 2.0)  # of the deep networks' log-probabilities, and of a ridge's scores, which aim at -1 and 1


@dataclass(frozen=True)
class Unseen:
    """What each branch says of examples that it was not trained on, `(examples, classes)`, and their classes."""

    scores: tuple[Floats, ...]
    targets: Integers


def left_out_scores(network: SequenceNetwork, train: Part, seed: int) -> Unseen:
    """Return what is said of training examples by the network that left each out, and by the wide branch without it."""
    folds = drawn_folds(train.targets, FOLDS, seed)
    members = len(network.members)
    rows = np.flatnonzero((folds >= 0) & (folds < members)) if members > 1 else np.zeros(0, np.int64)
    if network.wide is not None:
        known = network.left_out is not None
        rows = rows[~np.isnan(network.left_out[rows]).any(1)] if known else rows[:0]
    arrays, row_folds = [train.arrays[row] for row in rows.tolist()], folds[rows]

    def read(places: list[int]) -> Floats:
        found = network.member_scores(*padded([arrays[place] for place in places])).log_softmax(-1).double().numpy()
        return np.stack([found[row_folds[place], column] for column, place in enumerate(places)])

    classes = network.classes
    deep = read_in_batches([len(array) for array in arrays], read, steps=1 << 16)
    scores = [np.stack(deep) if deep else np.zeros((0, classes))]
    if network.wide is not None:
        scores.append(network.left_out[rows] if len(rows) else np.zeros((0, classes)))
    return Unseen(tuple(scores), train.targets[rows])


def unseen_scores(network: SequenceNetwork, part: Part) -> Unseen:
    """Return what the branches say of a part that none of them was trained on."""
    lengths = [len(array) for array in part.arrays]

    def read(branch: Callable[[Tensor, Tensor], Tensor]) -> Floats:
        outputs = lambda rows: branch(*padded([part.arrays[row] for row in rows])).double().numpy()  # noqa: E731
        return np.stack(read_in_batches(lengths, outputs, steps=1 << 16))

    branches = [network.deep_scores, *([network.wide_scores] if network.wide is not None else [])]
    return Unseen(tuple(read(branch) for branch in branches), part.targets)


def set_shares(network: SequenceNetwork, unseen: Sequence[Unseen], began: list[float]) -> None:
    """Weigh the branches of a network by examples that they have not seen; see `weigh`."""
    scores = [np.concatenate(each) for each in zip(*(one.scores for one in unseen), strict=True)]
    found = weigh(scores, began, np.concatenate([one.targets for one in unseen]))
    network.shares[: len(found)] = torch.tensor(found)


def starts(branches: int) -> list[float]:
    """Return where the weights start, of the deep networks alone or of both."""
    return [1.0] if branches == 1 else list(_STARTS)
