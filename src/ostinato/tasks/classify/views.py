"""Sequences as those branches of a classifier read them that are not trained: without gaps, and coarser if long."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def filled(sequence: Tensor, values: int, masked: bool) -> Tensor:
    """Return a sequence without marks, what is missing on a line between its neighbours.

    Args:
        sequence: `(time, features)`.
        values: how many features of a step are values.
        masked: whether the next as many mark which of them are missing.

    >>> filled(torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 0.0]]), 1, True).flatten().tolist()
    [1.0, 3.0, 5.0]
    """
    if not masked:
        return sequence
    known, missing = sequence[:, :values].cpu().numpy().copy(), sequence[:, values : 2 * values].cpu().numpy() > 0
    steps = np.arange(len(known))
    for channel in np.flatnonzero(missing.any(0) & ~missing.all(0)):
        gone = missing[:, channel]
        known[gone, channel] = np.interp(steps[gone], steps[~gone], known[~gone, channel])
    return torch.cat([torch.from_numpy(known).to(sequence), sequence[:, 2 * values :]], 1)


def coarse(sequence: Tensor, every: int) -> Tensor:
    """Return means of so many neighbouring steps of `(time, features)`; the last may have fewer."""
    if every == 1:
        return sequence
    rows = functional.avg_pool1d(sequence.T[None], every, ceil_mode=True, count_include_pad=False)
    return rows[0].T
