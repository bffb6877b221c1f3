"""A few numbers of each channel of a sequence: its level, spread, ends and changes, of what is there."""

from __future__ import annotations

import torch
from torch import Tensor

_QUARTERS = 4
_OF_A_CHANNEL = 7 + _QUARTERS


def statistics_size(channels: int, masked: bool) -> int:
    """Return how many numbers `statistics_of` gives."""
    return channels * (_OF_A_CHANNEL + masked) + 1


def statistics_of(sequences: Tensor, channels: int, masked: bool) -> Tensor:
    """Return numbers of sequences of one length, `(..., statistics_size)`.

    They are of each channel mean, standard deviation, least, largest, first and last value, mean absolute change from
    one to the next, and the mean of each quarter of the steps; where values may be missing, all of those that are
    there, zero where none are, and the share missing; and the logarithm of the length.

    Args:
        sequences: `(..., time, features)`: values, then perhaps a mark for each, one where missing.
        channels: how many values a step has.
        masked: whether there are marks.

    >>> statistics_of(torch.tensor([[1.0], [3.0]]), 1, False).round(decimals=2).tolist()[:7]
    [2.0, 1.0, 1.0, 3.0, 1.0, 3.0, 2.0]
    """
    values = sequences[..., :channels]
    seen = 1 - sequences[..., channels : 2 * channels] if masked else torch.ones_like(values)
    time, count = values.shape[-2], seen.sum(-2)
    there = count > 0
    mean = (values * seen).sum(-2) / count.clamp_min(1)
    spread = (((values - mean[..., None, :]) * seen).square().sum(-2) / count.clamp_min(1)).sqrt()
    least = torch.where(there, values.masked_fill(seen == 0, torch.inf).amin(-2), 0.0)
    largest = torch.where(there, values.masked_fill(seen == 0, -torch.inf).amax(-2), 0.0)
    filled = _carried(values, seen) if masked else values
    first = values.gather(-2, seen.argmax(-2)[..., None, :])[..., 0, :] * there
    known = seen[..., 1:, :] * (seen[..., :-1, :].cumsum(-2) > 0)
    change = (torch.diff(filled, dim=-2) * known).abs().sum(-2) / (count - 1).clamp_min(1)
    found = [mean, spread, least, largest, first, filled[..., -1, :], change, *_quarters(values, seen, mean)]
    if masked:
        found.append(1 - count / time)
    length = torch.tensor(float(time), device=sequences.device).log().expand(*mean.shape[:-1], 1)
    return torch.cat([*found, length], -1)


def _quarters(values: Tensor, seen: Tensor, mean: Tensor) -> list[Tensor]:
    """Return the mean of each quarter of the steps, that of all where nothing is there."""
    time, found = values.shape[-2], []
    for place in range(_QUARTERS):
        first = place * time // _QUARTERS
        part = slice(first, max((place + 1) * time // _QUARTERS, first + 1))
        count = seen[..., part, :].sum(-2)
        total = (values[..., part, :] * seen[..., part, :]).sum(-2)
        found.append(torch.where(count > 0, total / count.clamp_min(1), mean))
    return found


def _carried(values: Tensor, seen: Tensor) -> Tensor:
    """Return the last value that was there at each step, zero before the first."""
    steps = torch.arange(values.shape[-2], device=values.device)[:, None].expand_as(values)
    last = torch.where(seen > 0, steps, -1).cummax(-2).values
    return torch.where(last >= 0, values.gather(-2, last.clamp_min(0)), 0.0)
