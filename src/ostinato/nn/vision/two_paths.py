"""Frames read along two paths: what has a form and moves, and what has a colour."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ostinato.errors import ShapeError
from ostinato.nn.vision.place_reader import PlaceReader, places

_CODES = (12, 16)  # of a pixel's colour


class TwoPathReader(nn.Module):
    """Frames as two rows of features each: of their form and movement, and of their colours.

    The first path sees frames in grey; in training each clip is lighter or darker, with more or less contrast, so that
    it cannot tell colours by how light they are. The second sees the colour of single pixels and
    never of two beside each other, so that it cannot tell forms; where it looks is found by the first. Neither can
    learn that a form has a certain colour: what is told of both, by attention that looks into one path at a time, can
    hold for combinations that were never seen.

    Args:
        widths: channels of the convolutions of the first path.
        heads: of the attention over places, of each path.
        features: of each row.
        dropout: of what the heads give, in training.
        light: how much the light is changed in training.

    Source: the separation of what is seen along paths follows K. Simonyan and A. Zisserman, "Two-stream convolutional
    networks for action recognition in videos", NeurIPS 2014, which has one path for frames and one for motion.

    >>> reader = TwoPathReader((8, 16), heads=2, features=12)
    >>> tuple(reader(torch.zeros(5, 2, 3, 24, 32)).shape)
    (5, 2, 2, 12)
    """

    paths = 2

    def __init__(
        self, widths: Sequence[int], *, heads: int = 4, features: int = 64, dropout: float = 0.0, light: float = 1.0
    ) -> None:
        super().__init__()
        self.light = light
        self.form = PlaceReader(1, widths, heads=heads, features=features, dropout=dropout)
        self.codes = nn.Sequential(nn.Conv2d(3, _CODES[0], 1), nn.SiLU(), nn.Conv2d(*_CODES, 1), nn.SiLU())
        self.look = nn.Conv2d(widths[-1], heads, 1)
        self.chosen = nn.Conv2d(_CODES[-1], heads, 1)
        self.colour = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(heads * (_CODES[-1] + 2), features), nn.LayerNorm(features), nn.SiLU()
        )
        self.path = nn.Parameter(0.3 * torch.randn(self.paths, features))

    def forward(self, frames: Tensor, before: Tensor | None = None) -> Tensor:
        """Return features `(time, batch, paths, features)` of frames `(time, batch, 3, height, width)`.

        Args:
            frames: of each step.
            before: the frame before the first one, `(batch, 3, height, width)`.

        Raises:
            ShapeError: the frames have other dimensions.
        """
        if frames.dim() != 5 or frames.shape[2] != 3:
            raise ShapeError(f"frames have shape {tuple(frames.shape)}; expected (time, batch, 3, height, width)")
        if not len(frames):
            return frames.new_zeros(0, frames.shape[1], self.paths, self.path.shape[-1])
        grey = frames.mean(2, keepdim=True)
        earlier = None if before is None else before.mean(1, keepdim=True)
        maps = self.form.maps(self._lit(grey), earlier)
        found = torch.stack([self.form.mixed(self.form.looked(maps)), self._colours(frames.flatten(0, 1), maps)], 1)
        return found.view(*frames.shape[:2], *found.shape[1:]) + self.path

    def _lit(self, grey: Tensor) -> Tensor:
        """Return grey frames `(time, batch, 1, height, width)`, in training those of each clip in another light."""
        if not self.training or not self.light:
            return grey
        contrast = 1 + self.light * (torch.rand(grey.shape[1], device=grey.device) - 0.5)
        lighter = self.light * torch.randn(grey.shape[1], device=grey.device)
        shape = (1, -1, 1, 1, 1)
        return grey * contrast.view(shape) + lighter.view(shape)

    def _colours(self, frames: Tensor, maps: Tensor) -> Tensor:
        """Return what each head sees of the colours of pixels, `(frames, features)`."""
        codes = self.codes(frames)
        look = nn.functional.interpolate(self.look(maps), list(codes.shape[-2:]), mode="bilinear", align_corners=False)
        weights = (look + self.chosen(codes)).flatten(2).softmax(-1)
        values = torch.cat([codes, places(codes)], 1).flatten(2)
        seen: Tensor = self.colour(torch.bmm(weights, values.transpose(1, 2)).flatten(1))
        return seen
