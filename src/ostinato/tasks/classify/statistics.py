"""A few numbers of each channel of a sequence: its level, spread, ends and changes, of what is there."""

from __future__ import annotations

import torch
from torch import Tensor

_QUARTERS = 4
_OF_A_CHANNEL = 7 + _QUARTERS


def statistics_size(channels: int, masked: bool) -> int:
    """Return how many numbers `statistics_of` gives."""
    return channels * (_OF_A_CHANNEL + masked) + 1


def statistics_of(sequence: Tensor, channels: int, masked: bool) -> Tensor:
    """Return numbers of a sequence, `(statistics_size,)`.

    They are of each channel mean, standard deviation, least, largest, first and last value, mean absolute change from
    one to the next, and the mean of each quarter of the steps; where values may be missing, all of those that are
    there, zero where none are, and the share missing; and the logarithm of the length.

    Args:
        sequence: `(time, features)`: values, then perhaps a mark for each, one where missing.
        channels: how many values a step has.
        masked: whether there are marks.

    >>> statistics_of(torch.tensor([[1.0], [3.0]]), 1, False).round(decimals=2).tolist()[:7]
    [2.0, 1.0, 1.0, 3.0, 1.0, 3.0, 2.0]
    """
    values = sequence[:, :channels]
    seen = 1 - sequence[:, channels : 2 * channels] if masked else torch.ones_like(values)
    time, count = len(values), seen.sum(0)
    there = count > 0
    mean = (values * seen).sum(0) / count.clamp_min(1)
    spread = (((values - mean) * seen).square().sum(0) / count.clamp_min(1)).sqrt()
    least = torch.where(there, values.masked_fill(seen == 0, torch.inf).amin(0), 0.0)
    largest = torch.where(there, values.masked_fill(seen == 0, -torch.inf).amax(0), 0.0)
    filled = _carried(values, seen) if masked else values
    first = values.gather(0, seen.argmax(0)[None])[0] * there
    change = (torch.diff(filled, dim=0) * seen[1:] * (seen[:-1].cumsum(0) > 0)).abs().sum(0) / (count - 1).clamp_min(1)
    found = [mean, spread, least, largest, first, filled[-1], change, *_quarters(values, seen, mean)]
    if masked:
        found.append(1 - count / time)
    return torch.cat([*found, torch.tensor([float(time)], device=sequence.device).log()])


def _quarters(values: Tensor, seen: Tensor, mean: Tensor) -> list[Tensor]:
    """Return the mean of each quarter of the steps, that of all where nothing is there."""
    time, found = len(values), []
    for place in range(_QUARTERS):
        first = place * time // _QUARTERS
        part = slice(first, max((place + 1) * time // _QUARTERS, first + 1))
        count = seen[part].sum(0)
        found.append(torch.where(count > 0, (values[part] * seen[part]).sum(0) / count.clamp_min(1), mean))
    return found


def _carried(values: Tensor, seen: Tensor) -> Tensor:
    """Return the last value that was there at each step, zero before the first."""
    steps = torch.arange(len(values), device=values.device)[:, None].expand_as(values)
    last = torch.where(seen > 0, steps, -1).cummax(0).values
    return torch.where(last >= 0, values.gather(0, last.clamp_min(0)), 0.0)
