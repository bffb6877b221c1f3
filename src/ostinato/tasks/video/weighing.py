"""How much the networks of a classifier of landmarks and the nearest clip count: by clips that neither has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ostinato.tasks.base.batches import padded, read_in_batches
from ostinato.tasks.base.holding_out import Held
from ostinato.tasks.base.labels import Integers
from ostinato.tasks.base.task import Model
from ostinato.tasks.base.weighing import drawn_folds
from ostinato.tasks.video.baselines import joined_parts
from ostinato.tasks.video.encoding import Floats, VideoEncoder, VideoPart
from ostinato.tasks.video.experts import BRANCHES, Experts, left_out, weighed
from ostinato.tasks.video.network import VideoNetwork

AT_ONCE = 2048
"""Frames of clips that are read together where nothing is learned, padding counted."""
_FOLDS = 5  # of which each network of landmarks leaves one out
Unseen = tuple[list[Floats], Integers]
"""What each branch says of clips that it has not seen, `(clips, classes)`, and their classes."""


def folds_of(model: Model[Any, VideoEncoder], part: VideoPart) -> Integers | None:
    """Return the number of the network that leaves each training clip out, -1: none; `None`: all learn from all."""
    members = len(model.network.members)
    if model.encoder.reader.kind == "pixels" or members == 1:
        return None
    folds = drawn_folds(part.targets, _FOLDS, model.parameters.seed, part.clips.groups)
    return np.where(folds < members, folds, -1)


def with_experts(model: Model[Any, VideoEncoder], examples: Held[VideoPart]) -> VideoEncoder:
    """Return the encoder of a fitted model with the nearest clip beside its networks, and how much each counts.

    Clips of the validation part are known in the end too; before that, they and the training clips that a network left
    out are what both are judged on.
    """
    alone = replace(model, encoder=replace(model.encoder, experts=None, temperature=1.0))
    train, validation = examples.train, examples.validation
    unseen = [_of_training(alone, train)]
    whole = train
    if validation is not None:
        unseen.append(_of_validation(alone, train, validation))
        whole = joined_parts([train, validation])
    scores = [np.concatenate(each) for each in zip(*(each for each, _ in unseen), strict=True)]
    targets = np.concatenate([each for _, each in unseen])
    experts = Experts.fit(whole.landmarks(), whole.targets, len(model.encoder.classes), model.parameters.seed)
    return replace(alone.encoder, experts=replace(experts, shares=weighed(scores, targets), judged=len(targets)))


def _of_training(model: Model[Any, VideoEncoder], train: VideoPart) -> Unseen:
    classes, folds = len(model.encoder.classes), folds_of(model, train)
    if folds is None or not (folds >= 0).any():
        return [np.zeros((0, classes)) for _ in BRANCHES], np.zeros(0, np.int64)
    rows = np.flatnonzero(folds >= 0)
    beside = left_out(train.landmarks(), train.targets, folds, classes, model.parameters.seed)
    return [network_logs(model, train, folds)[rows], beside[rows]], train.targets[rows]


def _of_validation(model: Model[Any, VideoEncoder], train: VideoPart, validation: VideoPart) -> Unseen:
    whole = joined_parts([train, validation])
    folds = np.repeat([-1, 0], [len(train), len(validation)])
    beside = left_out(whole.landmarks(), whole.targets, folds, len(model.encoder.classes), model.parameters.seed)
    logs = network_logs(model, validation)
    return [logs, beside[len(train) :]], validation.targets


def network_logs(model: Model[Any, VideoEncoder], part: VideoPart, folds: Integers | None = None) -> Floats:
    """Return the logarithms of what the networks give for probabilities, `(clips, classes)`.

    Args:
        model: fitted.
        part: the clips.
        folds: the number of the network that is asked about each; `None`, or -1: all, in their mean.
    """
    network: VideoNetwork = model.network.eval()

    def read(rows: Sequence[int]) -> Floats:
        arrays = [np.array(part.arrays[row]) for row in rows]
        lengths = torch.tensor([len(array) for array in arrays])
        with torch.no_grad():
            if folds is None:
                whole: Floats = network(padded(arrays), lengths).double().numpy()
                return whole
            found = network.member_logs(padded(arrays), lengths).double().numpy()
        mean = np.log(np.exp(found).mean(0))
        return np.stack([found[folds[row], at] if folds[row] >= 0 else mean[at] for at, row in enumerate(rows)])

    return np.stack(read_in_batches(part.arrays.lengths, read, rows=64, steps=AT_ONCE))
