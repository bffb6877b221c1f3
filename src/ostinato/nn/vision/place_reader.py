"""Frames as features with their places kept: convolutions that know where they are, and attention over places."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ostinato.errors import ShapeError, UsageError

_GROUP = 8  # channels that are normalised together, about


class PlaceReader(nn.Module):
    """A small convolutional network for clips: each frame, beside what changed in it, becomes features and places.

    Each frame is read with its difference from the one before, so that what moves can be told from what stands still,
    and with two channels that say where a pixel is. Of the last maps, each head of an attention over places takes what
    it looks at, and where that is on the whole: a thing and its position stay together, whatever else is in the frame,
    and neither has to be known in every combination.

    Args:
        channels: of a frame.
        widths: channels of each convolution; the first and every other one after it halve the frame.
        heads: of the attention over places.
        features: that a frame becomes.
        dropout: of what the heads give, in training.
        first_stride: of the first convolution: 2 halves the frame, 1 does not.

    Raises:
        UsageError: a size is less than one.

    Sources: R. Liu et al., "An intriguing failing of convolutional neural networks and the CoordConv solution", NeurIPS
    2018 (places as channels); S. Levine, C. Finn, T. Darrell and P. Abbeel, "End-to-end training of deep visuomotor
    policies", JMLR 2016 (expected places of a softmax).

    >>> reader = PlaceReader(3, (8, 16), heads=2, features=12)
    >>> tuple(reader(torch.zeros(5, 2, 3, 24, 32)).shape)
    (5, 2, 12)
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        *,
        heads: int = 4,
        features: int = 64,
        dropout: float = 0.0,
        first_stride: int = 2,
    ) -> None:
        super().__init__()
        if min(channels, heads, features, *widths) < 1 or not widths:
            raise UsageError("channels, widths, heads and features are sizes; expected one or more of each")
        self.channels, self.features = channels, features
        self.convolutions = convolutions_of(2 * channels + 2, widths, first_stride)
        before = widths[-1]
        self.look = nn.Conv2d(before, heads, 1)
        self.mixed = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(heads * (before + 2), features), nn.LayerNorm(features), nn.SiLU()
        )

    def forward(self, frames: Tensor, before: Tensor | None = None) -> Tensor:
        """Return features `(time, batch, features)` of frames `(time, batch, channels, height, width)`.

        Args:
            frames: of each step.
            before: the frame before the first one, `(batch, channels, height, width)`; `None`: there is none, and
                nothing changed in the first.

        Raises:
            ShapeError: the frames have other dimensions.
        """
        if frames.dim() != 5 or frames.shape[2] != self.channels:
            raise ShapeError(
                f"frames have shape {tuple(frames.shape)}; expected (time, batch, {self.channels}, height, width)"
            )
        time, batch = frames.shape[:2]
        if not time:
            return frames.new_zeros(0, batch, self.features)
        found: Tensor = self.mixed(self.looked(self.maps(frames, before))).unflatten(0, (time, batch))
        return found

    def weights(self, frames: Tensor, before: Tensor | None = None) -> Tensor:
        """Return where each head looks, `(time, batch, heads, height, width)` of the last maps; see `forward`."""
        looks = self.look(self.maps(frames, before))
        found: Tensor = looks.flatten(2).softmax(-1).view(*frames.shape[:2], *looks.shape[1:])
        return found

    def maps(self, frames: Tensor, before: Tensor | None) -> Tensor:
        """Return the last maps of all frames, `(time * batch, channels, height, width)`."""
        earlier = torch.cat([(frames[0] if before is None else before)[None], frames[:-1]])
        read = torch.cat([frames, frames - earlier], 2).flatten(0, 1)
        maps: Tensor = self.convolutions(torch.cat([read, places(read)], 1))
        return maps

    def looked(self, maps: Tensor) -> Tensor:
        """Return what each head sees, and where, of maps `(frames, channels, height, width)`."""
        weights = self.look(maps).flatten(2).softmax(-1)
        values = torch.cat([maps, places(maps)], 1).flatten(2)
        return torch.bmm(weights, values.transpose(1, 2)).flatten(1)


def convolutions_of(channels: int, widths: Sequence[int], first_stride: int = 2) -> nn.Sequential:
    """Return convolutions, each with a group norm and a SiLU; see `PlaceReader` for their strides."""
    layers: list[nn.Module] = []
    before = channels
    for number, width in enumerate(widths):
        size = 5 if number == 0 else 3
        stride = first_stride if number == 0 else 2 - number % 2
        groups = max(1, width // _GROUP)
        layers += [
            nn.Conv2d(before, width, size, stride=stride, padding=size // 2, bias=False),
            nn.GroupNorm(groups if width % groups == 0 else 1, width),
            nn.SiLU(),
        ]
        before = width
    return nn.Sequential(*layers)


def places(maps: Tensor) -> Tensor:
    """Return two channels `(count, 2, height, width)` that say how far down and right a place is, from -1 to 1."""
    count, _, height, width = maps.shape
    down = torch.linspace(-1, 1, height, device=maps.device, dtype=maps.dtype)[:, None].expand(height, width)
    right = torch.linspace(-1, 1, width, device=maps.device, dtype=maps.dtype)[None].expand(height, width)
    return torch.stack([down, right]).expand(count, 2, height, width)
