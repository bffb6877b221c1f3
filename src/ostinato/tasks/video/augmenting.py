"""Training clips changed a little each time they are read, the same way in all frames of one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class ClipAugmentation(nn.Module):
    """In training, clips as they might have been filmed; in evaluation as they are.

    Pictures: moved, nearer or further, turned a little, perhaps mirrored, lighter or darker, of more or less
    contrast, a part hidden. Landmarks: moved a little, of other proportions, noisy. Both: faster or slower.

    Args:
        strength: 0 for nothing, 1 for much.
        mirror: whether half of the clips are mirrored.
        turned: of landmarks, from where each number of a mirrored body comes, and its sign; see `Layout.mirrored`.

    Sources: T. DeVries and G. Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.
    """

    def __init__(self, strength: float, *, mirror: bool = False, turned: Any = None) -> None:
        super().__init__()
        self.strength, self.mirror = strength, mirror
        self.turned = None if turned is None else tuple(torch.from_numpy(np.array(each)) for each in turned)

    def speed(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return clips that are faster or slower: frames `(time, batch, ...)` left out or shown twice."""
        if not self.training or self.strength == 0:
            return frames, lengths
        factor = 1 + self.strength * (0.6 * torch.rand(len(lengths)) - 0.3)
        wanted = (lengths / factor).round().long().clamp_min(2)
        wanted = torch.where(lengths < 3, lengths, torch.minimum(wanted, 2 * lengths))
        steps = torch.arange(int(wanted.max()))[:, None]
        scale = (lengths - 1).clamp_min(0) / (wanted - 1).clamp_min(1)
        places = (steps * scale).round().long().clamp_max(lengths - 1)
        return frames[places, torch.arange(len(lengths))], wanted

    def pictures(self, frames: Tensor, clip: Tensor, count: int) -> Tensor:
        """Return changed frames `(N, C, H, W)`, standardised; `clip`: of which clip each is, `(N,)`, of `count`.

        The last two of more than three channels are not mirrored in sign: flow is of small weight here.
        """
        if not self.training or (self.strength == 0 and not self.mirror):
            return frames
        move = self._placing(count)
        grid = functional.affine_grid(move, [count, 1, *frames.shape[2:]], align_corners=False)
        frames = functional.grid_sample(frames, grid[clip], padding_mode="border", align_corners=False)
        light = self.strength * 0.4 * torch.randn(count, 1, 1, 1)
        contrast = torch.exp(self.strength * 0.3 * torch.randn(count, 1, 1, 1))
        return self._hidden(frames * contrast[clip] + light[clip], clip, count)

    def _placing(self, count: int) -> Tensor:
        """Return affine maps, `(count, 2, 3)`."""
        s = self.strength
        angle, size = 0.15 * s * torch.randn(count), torch.exp(0.15 * s * torch.randn(count))
        flip = torch.where(torch.rand(count) < 0.5, -1.0, 1.0) if self.mirror else torch.ones(count)
        across, up = (0.15 * s * torch.randn(count) for _ in range(2))
        cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
        rows = [torch.stack([cos * flip, -sin, across], 1), torch.stack([sin * flip, cos, up], 1)]
        return torch.stack(rows, 1)

    def _hidden(self, frames: Tensor, clip: Tensor, count: int) -> Tensor:
        """Hide a rectangle of about half of the clips."""
        height, width = frames.shape[2:]
        share = 0.4 * self.strength * torch.rand(count, 2) * (torch.rand(count, 1) < 0.5)
        first = torch.rand(count, 2) * (1 - share)
        rows = torch.arange(height)[None] / height
        columns = torch.arange(width)[None] / width
        down = (rows >= first[:, :1]) & (rows < (first + share)[:, :1])
        over = (columns >= first[:, 1:]) & (columns < (first + share)[:, 1:])
        hidden = (down[:, :, None] & over[:, None, :])[clip][:, None]
        return frames.masked_fill(hidden, 0.0)

    def bodies(self, frames: Tensor) -> Tensor:
        """Return landmarks `(time, batch, features)` as they were read, of which half of the clips are mirrored."""
        if not self.training or not self.mirror or self.turned is None:
            return frames
        place, sign = self.turned
        chosen = torch.rand(frames.shape[1], 1) < 0.5
        return torch.where(chosen, frames[..., place] * sign, frames)

    def landmarks(self, frames: Tensor) -> Tensor:
        """Return changed landmarks `(time, batch, features)`, standardised: each number scaled and moved, and noise."""
        if not self.training or self.strength == 0:
            return frames
        s, shape = self.strength, frames.shape[1:]
        scaled = frames * torch.exp(0.1 * s * torch.randn(shape[0], 1)) + 0.15 * s * torch.randn(shape)
        return scaled + 0.1 * s * torch.rand(shape[0], 1) * torch.randn_like(frames) / math.sqrt(2)
