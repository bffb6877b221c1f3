"""Frames read along two paths: what has a form and moves, and what has a colour."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ostinato.errors import ShapeError
from ostinato.nn.vision.place_reader import convolutions_of, places

_CODES = (12, 16)  # of a colour
_WINDOW = 9  # pixels, each way, in which contrast is evened out
_FLOOR = 0.3  # contrast that counts as none, in units of the frames
_STILL = 0.1  # change that counts as none, likewise
_QUICK = 4.0  # movements from frame to frame are small beside places
_DRAWN = 5.0  # how much more likely a head looks at first at what moves, in nats


class TwoPathReader(nn.Module):
    """Frames as two rows of features each: of their form and movement, and of their colours.

    The first path sees frames in grey, mixed of the colours by chance in training and with as much contrast around
    every pixel, so that it cannot tell colours by how light they are. The second sees the colours of spots of two by
    two pixels and never of two spots beside each other, so that it cannot tell forms. It looks where the first looks,
    and has no say in that: where it could learn to look otherwise at other forms, it told them by what it looked at.
    Neither can learn that a form has a certain colour: what is told of each path alone can hold for combinations that
    were never seen.

    Half of the heads are drawn, at first, to what moves: places that change more than the rest of the frame from the
    frame before and to the frame behind. How much is learned. Beside what a head sees stand where that is and how it
    has moved and will.

    Args:
        widths: channels of the convolutions of the first path.
        heads: of the attention over places, of each path.
        features: of each row.
        dropout: of what the heads give, in training.
        mixed: how much the share of each colour in the grey changes from clip to clip, in training.

    Sources: the separation of what is seen along paths follows K. Simonyan and A. Zisserman, "Two-stream convolutional
    networks for action recognition in videos", NeurIPS 2014, which has one path for frames and one for motion; colours
    mixed by chance: Z. Xu et al., "Robust and generalizable visual representation learning via random convolutions",
    ICLR 2021; contrast: K. Jarrett et al., "What is the best multi-stage architecture for object recognition?", ICCV
    2009.

    >>> reader = TwoPathReader((8, 16), heads=2, features=12)
    >>> tuple(reader(torch.zeros(5, 2, 3, 24, 32)).shape)
    (5, 2, 2, 12)
    """

    paths = 2

    def __init__(
        self, widths: Sequence[int], *, heads: int = 4, features: int = 64, dropout: float = 0.0, mixed: float = 0.3
    ) -> None:
        super().__init__()
        self.mixed = mixed
        self.convolutions = convolutions_of(3, widths)
        self.look = nn.Conv2d(widths[-1], heads, 1)
        self.codes = nn.Sequential(nn.Conv2d(3, _CODES[0], 1), nn.SiLU(), nn.Conv2d(*_CODES, 1), nn.SiLU())
        self.chosen = nn.Conv2d(_CODES[-1], heads, 1)
        drawn = torch.zeros(heads)
        drawn[: (heads + 1) // 2] = _DRAWN
        self.drawn = nn.Parameter(drawn)
        self.form, self.colour = (
            nn.Sequential(nn.Dropout(dropout), nn.Linear(heads * width, features), nn.LayerNorm(features), nn.SiLU())
            for width in (widths[-1] + 6, _CODES[-1])
        )
        self.path = nn.Parameter(0.3 * torch.randn(self.paths, features))

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return features `(time, batch, paths, features)` of frames `(time, batch, 3, height, width)`.

        Args:
            frames: of each step.
            lengths: real steps of each clip, `(batch,)`; `None`: all.

        Raises:
            ShapeError: the frames have other dimensions.
        """
        if frames.dim() != 5 or frames.shape[2] != 3:
            raise ShapeError(f"frames have shape {tuple(frames.shape)}; expected (time, batch, 3, height, width)")
        if not len(frames):
            return frames.new_zeros(0, frames.shape[1], self.paths, self.path.shape[-1])
        order = _beside(frames, lengths)
        maps = self.convolutions(self._with_changes(frames, order))
        drawn = self.drawn[:, None, None] * moving(frames, order, maps.shape[-2:])
        look = self.look(maps) + drawn
        found = torch.stack([self._forms(maps, look, order), self._colours(frames.flatten(0, 1), look.detach())], 1)
        return found.view(*frames.shape[:2], *found.shape[1:]) + self.path

    def _with_changes(self, frames: Tensor, order: tuple[Tensor, Tensor]) -> Tensor:
        """Return frames in grey beside their change from the last and to the next, `(frames, 3, height, width)`."""
        grey = self._grey(frames)
        before, behind = (_taken(grey, each) for each in order)
        return torch.cat([grey, grey - before, behind - grey], 2).flatten(0, 1)

    def _grey(self, frames: Tensor) -> Tensor:
        """Return frames in grey, `(time, batch, 1, height, width)`, with as much contrast around every pixel."""
        shares = frames.new_full((frames.shape[1], 3), 1 / 3)
        if self.training and self.mixed:
            shares = shares + self.mixed * torch.randn_like(shares)
        flat = (frames * shares[None, :, :, None, None]).sum(2, keepdim=True).flatten(0, 1)
        flat = flat - _around(flat)
        even: Tensor = flat / (_around(flat * flat) + _FLOOR**2).sqrt()
        return even.view(*frames.shape[:2], *even.shape[1:])

    def _forms(self, maps: Tensor, look: Tensor, order: tuple[Tensor, Tensor]) -> Tensor:
        """Return what each head sees of the forms, where, and how that moves, `(frames, features)`."""
        values = torch.cat([maps, places(maps)], 1).flatten(2)
        seen = torch.bmm(look.flatten(2).softmax(-1), values.transpose(1, 2))
        seen = seen.view(*order[0].shape, *seen.shape[1:])
        where = seen[..., -2:]
        moved = _QUICK * torch.cat([where - _taken(where, order[0]), _taken(where, order[1]) - where], -1)
        found: Tensor = self.form(torch.cat([seen, moved], -1).flatten(2).flatten(0, 1))
        return found

    def _colours(self, frames: Tensor, look: Tensor) -> Tensor:
        """Return what each head sees of the colours of spots, `(frames, features)`."""
        codes = self.codes(nn.functional.avg_pool2d(frames, 2, ceil_mode=True))
        look = nn.functional.interpolate(look, list(codes.shape[-2:]), mode="bilinear", align_corners=False)
        weights = (look + self.chosen(codes)).flatten(2).softmax(-1)
        seen: Tensor = self.colour(torch.bmm(weights, codes.flatten(2).transpose(1, 2)).flatten(1))
        return seen


def moving(frames: Tensor, order: tuple[Tensor, Tensor], size: Sequence[int]) -> Tensor:
    """Return how much places move, from 0 to 1, `(time * batch, 1, *size)`: more than the rest, before and behind."""
    before, behind = order
    steps = torch.arange(len(frames), device=frames.device)[:, None]
    last, following = (
        _spread((frames - _taken(frames, each)).abs().amax(2).flatten(0, 1)[:, None], size) for each in order
    )
    first, final = ((each == steps).flatten()[:, None, None, None] for each in (before, behind))
    both = torch.where(first, following, torch.where(final, last, torch.sqrt(last * following)))
    flat = both.flatten(1)
    above = (flat - flat.median(1, keepdim=True).values).clamp(min=0.0)
    return (above / (above.amax(1, keepdim=True) + _STILL)).view_as(both)


def _beside(frames: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return which frame is the last before and the next behind each, `(time, batch)`; itself where there is none."""
    time, batch = frames.shape[:2]
    steps = torch.arange(time, device=frames.device)[:, None].expand(time, batch)
    ends = steps.new_full((batch,), time) if lengths is None else lengths.to(frames.device)
    behind = torch.where(steps + 1 < ends, steps + 1, steps)
    return (steps - 1).clamp(min=0), behind


def _taken(frames: Tensor, steps: Tensor) -> Tensor:
    return frames[steps, torch.arange(frames.shape[1], device=frames.device)]


def _spread(changes: Tensor, size: Sequence[int]) -> Tensor:
    return nn.functional.adaptive_avg_pool2d(changes, (size[0], size[1]))


def _around(maps: Tensor) -> Tensor:
    """Return the mean around each pixel."""
    half, pool = _WINDOW // 2, nn.functional.avg_pool2d
    across = pool(maps, (1, _WINDOW), 1, (0, half), count_include_pad=False)
    return pool(across, (_WINDOW, 1), 1, (half, 0), count_include_pad=False)
