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
        masks = [[_some_channels(self.channels, rng) for _ in _PLACES] for _ in self.dilations]
        self.channel_masks.copy_(torch.from_numpy(np.array(masks, np.float32)))
        quantiles = (np.arange(1, self.thresholds.numel() + 1) * ((5**0.5 + 1) / 2)) % 1  # a low-discrepancy sequence
        levels = torch.from_numpy(quantiles.reshape(self.thresholds.shape).astype(np.float32))
        first = 0
        for place, count in enumerate(self.counts):
            sequence = sequences[int(rng.integers(len(sequences)))]
            outputs = self._convolved(sequence.T[None], place)[0]
            for kernel in range(len(_PLACES)):
                wanted = levels[kernel, first : first + count]
                self.thresholds[kernel, first : first + count] = torch.quantile(outputs[kernel], wanted)
            first += count

    def forward(self, sequences: Sequence[Tensor]) -> Tensor:
        """Return features `(sequences, size)` of sequences `(time, channels)` each, of any lengths."""
        found = sequences[0].new_zeros(len(sequences), self.size)
        with torch.no_grad():
            for rows in self._together(sequences):
                block = torch.stack([sequences[row].T for row in rows])
                found[rows] = self._shares(block)
        return found

    def _together(self, sequences: Sequence[Tensor]) -> list[list[int]]:
        """Return rows of sequences of one length, so many as memory is meant to hold."""
        by_length: dict[int, list[int]] = {}
        for row, sequence in enumerate(sequences):
            by_length.setdefault(len(sequence), []).append(row)
        parts = []
        for length, rows in by_length.items():
            most = max(1, _CELLS // (len(_PLACES) * length))
            parts += [rows[first : first + most] for first in range(0, len(rows), most)]
        return parts

    def _shares(self, block: Tensor) -> Tensor:
        """Return features of sequences of one length, `(sequences, channels, time)`."""
        parts, first = [], 0
        for place, count in enumerate(self.counts):
            outputs = self._convolved(block, place)
            inside = self._inside(outputs.shape[2], place)
            weights = inside / inside.sum(1, keepdim=True)  # (2, time): of the kernels that see past the ends, and not
            for column in range(first, first + count):
                above = (outputs > self.thresholds[:, column, None]).to(block.dtype)
                shares = above @ weights.T  # (sequences, kernels, 2)
                parts.append(torch.where(self._padded(place), shares[..., 0], shares[..., 1]))
            first += count
        return torch.cat(parts, 1)

    def _padded(self, place: int) -> Tensor:
        return (torch.arange(len(_PLACES), device=self.thresholds.device) + place) % 2 == 0

    def _inside(self, time: int, place: int) -> Tensor:
        margin = _TAPS // 2 * self.dilations[place]
        inside = torch.ones(2, time, device=self.thresholds.device)
        if time > 2 * margin:
            inside[1, :margin] = 0
            inside[1, time - margin :] = 0
        return inside

    def _convolved(self, block: Tensor, place: int) -> Tensor:
        """Return the outputs of all kernels at one dilation, `(sequences, kernels, time)`."""
        dilation = self.dilations[place]
        taps = torch.from_numpy(_WEIGHTS).to(block)
        margin = _TAPS // 2 * dilation
        if self.channels <= _FEW:
            weights = self.channel_masks[place][:, :, None] * taps[:, None]
            return nn.functional.conv1d(block, weights, padding=margin, dilation=dilation)
        summed = self.channel_masks[place] @ block
        return nn.functional.conv1d(summed, taps[:, None], padding=margin, dilation=dilation, groups=len(_PLACES))


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


def _some_channels(channels: int, rng: np.random.Generator) -> NDArray[np.float32]:
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
