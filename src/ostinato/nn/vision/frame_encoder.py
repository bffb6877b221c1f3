"""A small convolutional network over each frame, trained from nothing on a processor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ostinato.errors import ShapeError, UsageError


class FrameEncoder(nn.Module):
    """Frames to features: convolutions of stride two, each with a group norm and a ReLU, then a linear layer.

    The last map is averaged to `grid` places rather than to one, so that where something is can be told. No
    normalisation looks at more than one frame: a frame gives the same alone, in a clip and in a stream.

    Args:
        channels: of a frame: colours, and what is computed of them.
        features: that a frame comes to.
        widths: channels after each convolution.
        grid: rows and columns that the last map is averaged to.
        groups: of the norms, at most.

    Raises:
        UsageError: a setting is out of range.

    Source: for group norms, Y. Wu and K. He, "Group normalization", ECCV 2018.

    >>> import torch
    >>> encoder = FrameEncoder(3, 64)
    >>> tuple(encoder(torch.rand(5, 3, 48, 64)).shape)
    (5, 64)
    """

    def __init__(
        self,
        channels: int,
        features: int,
        *,
        widths: Sequence[int] = (16, 32, 64),
        grid: tuple[int, int] = (3, 4),
        groups: int = 8,
    ) -> None:
        super().__init__()
        if channels < 1 or features < 1 or not widths or min(widths) < 1 or min(grid) < 1:
            raise UsageError(
                f"channels {channels}, features {features}, widths {tuple(widths)}, grid {grid}; expected them positive"
            )
        self.channels, self.features, self.grid = channels, features, grid
        sizes = [channels, *widths]
        self.stages = nn.Sequential(*(_stage(a, b, groups) for a, b in zip(sizes, widths, strict=False)))
        self.head = nn.Linear(widths[-1] * grid[0] * grid[1], features)

    @property
    def map_channels(self) -> int:
        """Channels of the last map."""
        return self.head.in_features // (self.grid[0] * self.grid[1])

    def maps(self, frames: Tensor) -> Tensor:
        """Return the last map of each frame, `(N, map_channels, h, w)`; see `forward`."""
        if frames.dim() != 4 or frames.shape[1] != self.channels:
            raise ShapeError(f"frames have the shape {tuple(frames.shape)}; expected (N, {self.channels}, H, W)")
        found: Tensor = self.stages(frames)
        return found

    def pooled(self, maps: Tensor) -> Tensor:
        """Return the features of maps, `(N, features)`."""
        flat = nn.functional.adaptive_avg_pool2d(maps, self.grid).flatten(1)
        return torch.relu(self.head(flat))

    def forward(self, frames: Tensor) -> Tensor:
        """Return `(N, features)`, for `(N, channels, H, W)`, about from -1 to 1.

        Raises:
            ShapeError: frames have other channels.
        """
        return self.pooled(self.maps(frames))


def _stage(channels: int, width: int, groups: int) -> nn.Sequential:
    count = next(count for count in range(min(groups, width), 0, -1) if width % count == 0)
    convolution = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(count, width), nn.ReLU())
