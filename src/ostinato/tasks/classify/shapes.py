"""Sequences by themselves: their shapes, without the level and the spread that each has of its own."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_LEVELS, _SPREADS = 2.0, 0.5
_NOTHING = 1e-5  # of a level, that a spread is more than rounding from


def differ(sequences: Iterable[NDArray[np.floating]]) -> bool:
    """Tell whether sequences `(time, channels)` differ so much in level or spread that these may hide their shapes.

    That is so if, in a channel, the means of sequences differ by more than twice the usual spread within one (standard
    deviations), or the logarithms of the spreads by more than a half.
    """
    with np.errstate(all="ignore"):
        moments = [(each.mean(0, np.float64), each.std(0, np.float64)) if not np.isnan(each).any() else _known(each) for each in sequences]
        means, spreads = (np.stack([pair[place] for pair in moments]) for place in (0, 1))
        spreads[spreads <= _NOTHING * np.abs(means)] = np.nan
        usual = _middle(spreads)
        levels = np.array([column[~np.isnan(column)].std() for column in means.T])
        logs = np.log(spreads)
        apart = np.array([column[~np.isnan(column)].std() for column in logs.T])
    return bool(((levels > _LEVELS * usual) | (apart > _SPREADS)).any())


def _known(sequence: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and spread of each channel's values that are there, NaN where there are none."""
    columns = [column[~np.isnan(column)].astype(np.float64) for column in sequence.T]
    means = [column.mean() if len(column) else np.nan for column in columns]
    return np.array(means), np.array([column.std() if len(column) else np.nan for column in columns])


def _middle(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([np.median(known) if len(known := column[~np.isnan(column)]) else np.nan for column in rows.T])


def shapes_of(xs: Tensor, lengths: Tensor, channels: int, masked: bool) -> Tensor:
    """Return values without the mean and spread of each sequence, `(time, batch, channels)`; zero where there are none.

    Args:
        xs: `(time, batch, features)`: values, then perhaps a mark for each, one where missing.
        lengths: `(batch,)`.
        channels: how many values a step has.
        masked: whether there are marks.

    >>> shapes_of(torch.tensor([[[1.0]], [[3.0]]]), torch.tensor([2]), 1, False).flatten().tolist()
    [-1.0, 1.0]
    """
    values = xs[..., :channels]
    there = (torch.arange(len(xs), device=xs.device)[:, None] < lengths)[..., None].expand_as(values).to(values)
    if masked:
        there = there * (1 - xs[..., channels : 2 * channels])
    count = there.sum(0).clamp_min(1)
    mean = (values * there).sum(0) / count
    centred = (values - mean) * there
    spread = (centred.square().sum(0) / count).sqrt()
    some = spread > _NOTHING * mean.abs() + 1e-12
    return torch.where(some, centred / torch.where(some, spread, 1.0), 0.0)
