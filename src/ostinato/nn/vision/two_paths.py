"""Frames read along two paths: what has a form and moves, and what has a colour."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ostinato.errors import ShapeError
from ostinato.nn.vision.place_reader import PlaceReader

_COARSE = 12  # pixels of the shorter side, along the path of colours
_COLOUR_WIDTHS = (16, 24)


class TwoPathReader(nn.Module):
    """Frames as two rows of features each: of their form and movement, and of their colours.

    The first path sees frames in grey, in full; in training each clip is lighter or darker, with more or less contrast,
    so that it cannot tell colours by how light they are. The second sees colours, but so coarsely that no form is left.
    Neither can learn that a form has a certain colour: what is told of both, by attention that looks into one path at a
    time, can hold for combinations that were never seen.

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
        self.colour = PlaceReader(3, _COLOUR_WIDTHS, heads=heads, features=features, dropout=dropout, first_stride=1)
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
        grey, coarse = self._grey(frames), self._coarse(frames)
        earlier = (None, None) if before is None else (self._grey(before[None])[0], self._coarse(before[None])[0])
        found = torch.stack([self.form(grey, earlier[0]), self.colour(coarse, earlier[1])], 2)
        return found + self.path

    def _grey(self, frames: Tensor) -> Tensor:
        grey = frames.mean(2, keepdim=True)
        if not self.training or not self.light:
            return grey
        contrast = 1 + self.light * (torch.rand(frames.shape[1], device=frames.device) - 0.5)
        lighter = self.light * torch.randn(frames.shape[1], device=frames.device)
        shape = (1, -1, 1, 1, 1)
        return grey * contrast.view(shape) + lighter.view(shape)

    @staticmethod
    def _coarse(frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        scale = max(1.0, min(height, width) / _COARSE)
        size = (max(1, round(height / scale)), max(1, round(width / scale)))
        pooled = nn.functional.adaptive_avg_pool2d(frames.flatten(0, 1), size)
        return pooled.view(*frames.shape[:2], *pooled.shape[1:])
