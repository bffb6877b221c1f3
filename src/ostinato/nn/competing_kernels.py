"""Random convolutions in groups that compete at each step: which pattern of a group is the most like, and how often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.nn.kernel_loops import EACH, TAPS, Masks, competed
from ostinato.nn.random_kernels import blocks_of, some_channels


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
        self.dilations = [2**power for power in range(int(np.log2(max(steps - 1, TAPS - 1) / (TAPS - 1))) + 1)]
        self.size = 2 * EACH * groups * len(self.dilations)
        self.register_buffer("weights", torch.zeros(len(self.dilations), groups * EACH, channels, TAPS))

    def fit(self, seed: int, telling: NDArray[np.bool_] | None = None) -> None:
        """Draw weights and channels, most of these of the ones that tell something; `None`: of all."""
        rng = np.random.default_rng(seed)
        taps = rng.normal(size=(len(self.dilations), self.groups, EACH, 1, TAPS))
        taps -= taps.mean(-1, keepdims=True)
        taps /= np.abs(taps).sum(-1, keepdims=True)
        masks = [[some_channels(self.channels, rng, telling) for _ in range(self.groups)] for _ in self.dilations]
        weights = taps * np.array(masks)[:, :, None, :, None]
        self.weights.copy_(torch.from_numpy(weights.astype(np.float32)).flatten(1, 2))

    def forward(self, sequences: Sequence[Tensor]) -> Tensor:
        """Return features `(sequences, size)` of sequences `(time, channels)` each, of any lengths."""
        found = torch.empty(len(sequences), len(self.dilations), self.groups, 2 * EACH, dtype=torch.float32)
        with torch.no_grad():
            parts = [self._parts(place) for place in range(len(self.dilations))]
            for rows, block in blocks_of(sequences):
                for place, (dilation, (masks, taps)) in enumerate(zip(self.dilations, parts, strict=True)):
                    strength, least = competed(block, masks, taps, dilation)
                    found[rows, place] = torch.cat([strength.clamp_min(0), least], 2).sqrt().to(found)
        return found.flatten(1).to(sequences[0])

    def _parts(self, place: int) -> tuple[Masks, Tensor]:
        """Return which channels groups sum up at a dilation, and the taps of their kernels, `(groups, 8, 9)`."""
        weights = self.weights[place].cpu().float().view(self.groups, EACH, self.channels, TAPS)
        masks = Masks.of((weights != 0).any(3).any(1).numpy())
        first = torch.from_numpy(masks.channels[:, 0])
        return masks, weights[torch.arange(self.groups), :, first].contiguous()
