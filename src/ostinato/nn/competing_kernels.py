"""Random convolutions in groups that compete at each step: which pattern of a group is the most like, and how often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ostinato.nn.random_kernels import convolved, of_one_length, some_channels

_TAPS = 9
_EACH = 8  # kernels of a group
_CELLS = 1 << 18  # outputs of convolutions that are held at once


class CompetingKernels(nn.Module):
    """For each sequence, how often and how strongly each of random kernels is the one that answers most, or least.

    Kernels of nine weights stand in groups of eight at dilations of 1, 2, 4 and so on up to an eighth of the usual
    length. At each step the one of a group with the largest output is given that output, and the one with the smallest
    is counted; the features are the square roots of their means over steps. Of several channels each group reads a sum
    of some, drawn at random.

    Args:
        channels: features of a step.
        steps: the usual length of a sequence.
        groups: at each dilation.

    Source: A. Dempster, D. Schmidt and G. Webb, "Hydra: competing convolutional kernels for fast and accurate time
    series classification", Data Mining and Knowledge Discovery 37, 2023.

    >>> kernels = CompetingKernels(2, 40, groups=4)
    >>> kernels.fit(seed=0)
    >>> tuple(kernels([torch.randn(length, 2) for length in (40, 25)]).shape), kernels.size
    ((2, 192), 192)
    """

    weights: Tensor

    def __init__(self, channels: int, steps: int, groups: int) -> None:
        super().__init__()
        self.channels, self.groups = channels, groups
        self.dilations = [2**power for power in range(int(np.log2(max(steps - 1, _TAPS - 1) / (_TAPS - 1))) + 1)]
        self.size = 2 * _EACH * groups * len(self.dilations)
        self.register_buffer("weights", torch.zeros(len(self.dilations), groups * _EACH, channels, _TAPS))

    def fit(self, seed: int) -> None:
        """Draw weights and channels."""
        rng = np.random.default_rng(seed)
        taps = rng.normal(size=(len(self.dilations), self.groups, _EACH, 1, _TAPS))
        taps -= taps.mean(-1, keepdims=True)
        taps /= np.abs(taps).sum(-1, keepdims=True)
        masks = [[some_channels(self.channels, rng) for _ in range(self.groups)] for _ in self.dilations]
        weights = taps * np.array(masks)[:, :, None, :, None]
        self.weights.copy_(torch.from_numpy(weights.astype(np.float32)).flatten(1, 2))

    def forward(self, sequences: Sequence[Tensor]) -> Tensor:
        """Return features `(sequences, size)` of sequences `(time, channels)` each, of any lengths."""
        found = sequences[0].new_empty(len(sequences), len(self.dilations), self.groups, 2 * _EACH)
        with torch.no_grad():
            for rows in of_one_length(sequences, _CELLS // (self.groups * _EACH)):
                block = torch.stack([sequences[row].T for row in rows])
                together = max(1, _CELLS // (_EACH * len(rows) * block.shape[2]))
                for place in range(len(self.dilations)):
                    for first in range(0, self.groups, together):
                        part = slice(first, min(first + together, self.groups))
                        found[rows, place, part] = self._counted(block, place, part)
        return found.flatten(1)

    def _counted(self, block: Tensor, place: int, part: slice) -> Tensor:
        """Return features of some groups at one dilation, `(sequences, groups, 16)`."""
        weights = self.weights[place, part.start * _EACH : part.stop * _EACH]
        outputs = convolved(block, weights, self.dilations[place])
        outputs = outputs.view(-1, _EACH, *outputs.shape[1:])
        wins = torch.empty_like(outputs)
        most, least = outputs.amax(1, keepdim=True), outputs.amin(1, keepdim=True)
        torch.eq(outputs, most, out=wins)
        strength = wins.mul_(most).mean(3)
        torch.eq(outputs, least, out=wins)
        both = torch.cat([strength.clamp_min(0), wins.mean(3)], 1)
        return both.sqrt_().permute(2, 0, 1)
