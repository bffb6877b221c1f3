"""Random convolutions over time, pooled to how often each is above a threshold: features that need no training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_TAPS, _HEAVY = 9, 3  # a kernel has nine weights: three are 2, the others -1
_DILATIONS = 32  # of a kernel, at most
_CELLS = 1 << 18  # outputs of convolutions that are held at once: about what a cache holds
_SORTED = 1024  # outputs, at most, that thresholds are quantiles of
_NOTHING = 1e-5  # of standardised values
_FEW = 8  # channels, up to which their sum is a part of the convolution


class RandomKernels(nn.Module):
    """For each sequence, the shares of steps at which convolutions with fixed kernels exceed thresholds.

    There are 84 kernels of nine weights, three of them 2 and the others -1, each at several dilations up to an eighth
    of the usual length, and each with several thresholds, which are quantiles of its outputs on training sequences. Of
    several channels each kernel and dilation reads a sum of some, drawn at random. Every other kernel reads only steps
    whose whole surrounding is there; the rest see zeros past both ends.

    Args:
        channels: features of a step.
        steps: the usual length of a sequence.
        features: of each sequence, about so many: a multiple of 84.

    Source: A. Dempster, D. Schmidt and G. Webb, "MiniRocket: a very fast (almost) deterministic transform for time
    series classification", KDD 2021.

    >>> kernels = RandomKernels(1, 40, 840)
    >>> sequences = [torch.randn(length, 1) for length in (40, 25)]
    >>> kernels.fit(sequences, seed=0)
    >>> tuple(kernels(sequences).shape)
    (2, 840)
    """

    channel_masks: Tensor
    thresholds: Tensor

    def __init__(self, channels: int, steps: int, features: int) -> None:
        super().__init__()
        self.channels = channels
        self.dilations, self.counts = spread_dilations(steps, max(features // len(_PLACES), 1))
        self.size = len(_PLACES) * sum(self.counts)
        self.register_buffer("channel_masks", torch.zeros(len(self.dilations), len(_PLACES), channels))
        self.register_buffer("thresholds", torch.zeros(len(_PLACES), sum(self.counts)))

    def fit(self, sequences: Sequence[Tensor], seed: int) -> None:
        """Draw channels and thresholds.

        Args:
            sequences: of training, each `(time, channels)`.
            seed: of the draw.
        """
        rng = np.random.default_rng(seed)
        masks = [[some_channels(self.channels, rng) for _ in _PLACES] for _ in self.dilations]
        self.channel_masks.copy_(torch.from_numpy(np.array(masks, np.float32)))
        quantiles = (np.arange(1, self.thresholds.numel() + 1) * ((5**0.5 + 1) / 2)) % 1  # a low-discrepancy sequence
        levels = torch.from_numpy(quantiles.reshape(self.thresholds.shape).astype(np.float32))
        first = 0
        for place, count in enumerate(self.counts):
            sequence = sequences[int(rng.integers(len(sequences)))]
            outputs = self._convolved(sequence.T[None], place)[:, 0]
            part = slice(first, first + count)
            self.thresholds[:, part] = _quantiles(outputs, levels[:, part])
            first += count

    def forward(self, sequences: Sequence[Tensor]) -> Tensor:
        """Return features `(sequences, size)` of sequences `(time, channels)` each, of any lengths."""
        found = sequences[0].new_zeros(len(sequences), self.size)
        with torch.no_grad():
            for rows in of_one_length(sequences, _CELLS // len(_PLACES)):
                block = torch.stack([sequences[row].T for row in rows])
                found[rows] = self._shares(block)
        return found

    def _shares(self, block: Tensor) -> Tensor:
        """Return features of sequences of one length, `(sequences, channels, time)`."""
        count, _, time = block.shape
        found = block.new_empty(count, sum(self.counts), len(_PLACES))
        first = 0
        for place, each in enumerate(self.counts):
            order = self._order(place)
            outputs = self._convolved(block, place, order)
            above, half = torch.empty_like(outputs), len(_PLACES) // 2
            inside = self._inside(time, place)
            thresholds = self.thresholds[order]
            for column in range(first, first + each):
                # written as numbers at once: to compare and then convert takes ten times as long
                torch.gt(outputs, thresholds[:, column, None, None], out=above)
                shares = torch.cat([above[:half].mean(2), above[half:, :, inside].mean(2)])
                found[:, column, order] = shares.T
            first += each
        return found.flatten(1)

    def _order(self, place: int) -> Tensor:
        """Return the kernels at a dilation: first those that see zeros past both ends, then the others."""
        number = torch.arange(len(_PLACES), device=self.thresholds.device)
        return torch.argsort((number + place) % 2, stable=True)

    def _inside(self, time: int, place: int) -> slice:
        """Return the steps whose whole surrounding is there; all of them, if there are none."""
        margin = _TAPS // 2 * self.dilations[place]
        return slice(margin, time - margin) if time > 2 * margin else slice(0, time)

    def _convolved(self, block: Tensor, place: int, order: Tensor | slice = slice(None)) -> Tensor:
        """Return the outputs of all kernels at one dilation, in some order, `(kernels, sequences, time)`."""
        taps = torch.from_numpy(_WEIGHTS).to(block)[order]
        masks = self.channel_masks[place][order]
        if self.channels <= _FEW:
            return convolved(block, masks[:, :, None] * taps[:, None], self.dilations[place])
        summed = torch.einsum("kc,bct->kbt", masks, block)
        outputs = torch.zeros_like(summed)
        for weight, shifted in zip(taps.T, _shifted(summed, self.dilations[place]), strict=True):
            outputs.addcmul_(shifted, weight[:, None, None])
        return nn.functional.hardshrink(outputs, _NOTHING)


def _quantiles(rows: Tensor, levels: Tensor) -> Tensor:
    """Return quantiles of each row, `(rows, levels of a row)`, of steps evenly over it if there are very many."""
    ordered = rows[:, :: -(-rows.shape[1] // _SORTED)].sort(1).values
    place = levels.to(ordered) * (ordered.shape[1] - 1)
    below = place.long()
    low, high = (ordered.gather(1, each) for each in (below, (below + 1).clamp_max(ordered.shape[1] - 1)))
    return torch.lerp(low, high, place - below)


def convolved(block: Tensor, weights: Tensor, dilation: int) -> Tensor:
    """Return the outputs of kernels of an odd size with zeros past both ends, `(kernels, sequences, time)`.

    As one matrix product over shifted copies, which takes a tenth of the time of a dilated convolution. What rounding
    makes of steps that are all alike is zero, so that no threshold or comparison is decided by it.

    Args:
        block: `(sequences, channels, time)`.
        weights: `(kernels, channels, taps)`.
        dilation: steps from one tap to the next.
    """
    count, channels, time = block.shape
    rows = torch.stack(_shifted(block.transpose(0, 1), dilation, weights.shape[2]), 1)
    outputs = weights.flatten(1) @ rows.reshape(channels * weights.shape[2], count * time)
    return nn.functional.hardshrink(outputs, _NOTHING).view(-1, count, time)


def _shifted(rows: Tensor, dilation: int, taps: int = _TAPS) -> list[Tensor]:
    """Return what each tap reads of rows `(..., time)`, of the same shape."""
    time, margin = rows.shape[-1], taps // 2 * dilation
    padded = nn.functional.pad(rows, (margin, margin))
    return [padded[..., tap * dilation : tap * dilation + time] for tap in range(taps)]


def of_one_length(sequences: Sequence[Tensor], steps: int) -> list[list[int]]:
    """Return the places of sequences `(time, channels)` of one length, together so many steps, or one sequence."""
    by_length: dict[int, list[int]] = {}
    for row, sequence in enumerate(sequences):
        by_length.setdefault(len(sequence), []).append(row)
    parts = []
    for length, rows in by_length.items():
        most = max(1, steps // max(length, 1))
        parts += [rows[first : first + most] for first in range(0, len(rows), most)]
    return parts


def spread_dilations(steps: int, each: int) -> tuple[list[int], list[int]]:
    """Return dilations up to an eighth of a length, evenly by their logarithm, and the thresholds that each has.

    Args:
        steps: the length.
        each: thresholds of a kernel, over all dilations.

    >>> spread_dilations(65, 6)
    ([1, 2, 3, 5, 8], [2, 1, 1, 1, 1])
    """
    most = min(each, _DILATIONS)
    top = np.log2(max(steps - 1, _TAPS - 1) / (_TAPS - 1))
    found, times = np.unique(np.logspace(0, top, most, base=2.0).round(6).astype(np.int64), return_counts=True)
    counts = (times * (each / most)).astype(np.int64)
    for place in range(each - int(counts.sum())):
        counts[place % len(counts)] += 1
    return found.tolist(), counts.tolist()


def some_channels(channels: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a mask of some channels, one to nine of them, fewer more often."""
    most = min(channels, _TAPS)
    count = int(2 ** rng.uniform(0, np.log2(most + 1)))
    mask = np.zeros(channels, np.float32)
    mask[rng.choice(channels, count, replace=False)] = 1
    return mask


def _kernels() -> NDArray[np.float32]:
    weights = np.full((len(_PLACES), _TAPS), -1, np.float32)
    for kernel, heavy in enumerate(_PLACES):
        weights[kernel, list(heavy)] = 2
    return weights


_PLACES = list(combinations(range(_TAPS), _HEAVY))
_WEIGHTS = _kernels()
