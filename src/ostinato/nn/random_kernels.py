"""Random convolutions over time, pooled to how often each is above a threshold: features that need no training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.nn.kernel_loops import TAPS as _TAPS
from ostinato.nn.kernel_loops import Masks, convolved, shares_above

_HEAVY = 3  # a kernel has nine weights: three are 2, the others -1
_DILATIONS = 32  # of a kernel, at most
_TOGETHER = 1 << 16  # numbers of sequences that are read in one call
_TELLING = 0.85  # of kernels that read only channels that tell something, where that is known
_DRAWN = 12  # sequences that the thresholds at a dilation are from
_SORTED = 1024  # outputs, at most, that thresholds are quantiles of


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

    def fit(self, sequences: Sequence[Tensor], seed: int, telling: NDArray[np.bool_] | None = None) -> None:
        """Draw channels and thresholds.

        Args:
            sequences: of training, each `(time, channels)`.
            seed: of the draw.
            telling: the channels that most kernels read, `(channels,)`; `None`: all alike.
        """
        rng = np.random.default_rng(seed)
        masks = [[some_channels(self.channels, rng, telling) for _ in _PLACES] for _ in self.dilations]
        self.channel_masks.copy_(torch.from_numpy(np.array(masks, np.float32)))
        quantiles = (np.arange(1, self.thresholds.numel() + 1) * ((5**0.5 + 1) / 2)) % 1  # a low-discrepancy sequence
        levels = torch.from_numpy(quantiles.reshape(self.thresholds.shape).astype(np.float32))
        first = 0
        for place, count in enumerate(self.counts):
            part, drawn = slice(first, first + count), rng.integers(len(sequences), size=_DRAWN)
            for number, row in enumerate(drawn.tolist()):
                those = slice(number, None, _DRAWN)
                block, chosen = sequences[row].T[None].float(), self._masks(place, those)
                outputs = convolved(block, chosen, _WEIGHTS[those], self.dilations[place])[:, 0]
                self.thresholds[those, part] = _quantiles(outputs, levels[those, part]).to(self.thresholds)
            first += count

    def forward(self, sequences: Sequence[Tensor]) -> Tensor:
        """Return features `(sequences, size)` of sequences `(time, channels)` each, of any lengths."""
        found = torch.zeros(len(sequences), self.size, dtype=torch.float32)
        with torch.no_grad():
            masks = [self._masks(place) for place in range(len(self.dilations))]
            for rows, block in blocks_of(sequences):
                found[rows] = self._shares(block, masks)
        return found.to(sequences[0])

    def _shares(self, block: Tensor, masks: list[Masks]) -> Tensor:
        """Return features of sequences of one length, `(sequences, channels, time)`."""
        found = block.new_empty(len(block), sum(self.counts), len(_PLACES))
        thresholds, first = self.thresholds.cpu(), 0
        for place, each in enumerate(self.counts):
            columns, inside = slice(first, first + each), self._inside(block.shape[2], place)
            found[:, columns] = shares_above(
                block, masks[place], _WEIGHTS, self.dilations[place], thresholds[:, columns], inside
            )
            first += each
        return found.flatten(1)

    def _inside(self, time: int, place: int) -> NDArray[np.int64]:
        """Return the first step that counts and the one after the last, of each kernel at a dilation.

        Every other kernel sees zeros past both ends; the rest read the steps whose whole surrounding is there, or all
        of them, if there are none.
        """
        margin = _TAPS // 2 * self.dilations[place]
        found = np.tile(np.array([0, time], np.int64), (len(_PLACES), 1))
        if time > 2 * margin:
            found[(np.arange(len(_PLACES)) + place) % 2 == 1] = margin, time - margin
        return found

    def _masks(self, place: int, kernels: slice = slice(None)) -> Masks:
        """Return which channels kernels sum up at a dilation."""
        return Masks.of(self.channel_masks[place, kernels].cpu().float().numpy())


def _quantiles(rows: Tensor, levels: Tensor) -> Tensor:
    """Return quantiles of each row, `(rows, levels of a row)`, of steps evenly over it if there are very many."""
    ordered = rows[:, :: -(-rows.shape[1] // _SORTED)].sort(1).values
    place = levels.to(ordered) * (ordered.shape[1] - 1)
    below = place.long()
    low, high = (ordered.gather(1, each) for each in (below, (below + 1).clamp_max(ordered.shape[1] - 1)))
    return torch.lerp(low, high, place - below)


def blocks_of(sequences: Sequence[Tensor]) -> Iterator[tuple[list[int], Tensor]]:
    """Yield the places of sequences `(time, channels)` of one length, and these as `(sequences, channels, time)`."""
    channels = max(sequences[0].shape[1], 1)
    for rows in of_one_length(sequences, _TOGETHER // channels):
        yield rows, torch.stack([sequences[row].T for row in rows]).float().cpu().contiguous()


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


def some_channels(
    channels: int, rng: np.random.Generator, telling: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return a mask of some channels, one to nine of them, fewer more often; mostly of those that tell something."""
    among = np.arange(channels)
    if telling is not None and not telling.all() and rng.random() < _TELLING:
        among = np.flatnonzero(telling)
    count = int(2 ** rng.uniform(0, np.log2(min(len(among), _TAPS) + 1)))
    mask = np.zeros(channels, np.float32)
    mask[rng.choice(among, count, replace=False)] = 1
    return mask


def _kernels() -> Tensor:
    weights = np.full((len(_PLACES), _TAPS), -1, np.float32)
    for kernel, heavy in enumerate(_PLACES):
        weights[kernel, list(heavy)] = 2
    return torch.from_numpy(weights)


_PLACES = list(combinations(range(_TAPS), _HEAVY))
_WEIGHTS = _kernels()
