"""Sequences by themselves: their shapes, without the level and the spread that each has of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

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
    moments = [_moments(each) for each in sequences]
    means, spreads = (np.stack([pair[place] for pair in moments]) for place in (0, 1))
    spreads[~(spreads > _NOTHING * np.abs(means))] = np.nan
    usual, levels, apart = _of_known(spreads, np.median), _of_known(means, np.std), _of_known(np.log(spreads), np.std)
    return bool(((levels > _LEVELS * usual) | (apart > _SPREADS)).any())


def _moments(sequence: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and spread of each channel's values that are there, NaN where there are none."""
    if not np.isnan(sequence).any():
        return sequence.mean(0, np.float64), sequence.std(0, np.float64)
    return _of_known(sequence, np.mean), _of_known(sequence, np.std)


def _of_known(rows: NDArray[np.floating], measure: Callable[..., Any]) -> NDArray[np.float64]:
    """Return a measure of what is there in each column, NaN where nothing is."""
    columns = [column[~np.isnan(column)].astype(np.float64) for column in rows.T]
    return np.array([measure(column) if len(column) else np.nan for column in columns], np.float64)


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
