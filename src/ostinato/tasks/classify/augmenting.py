"""Training sequences changed a little each time they are read, so that few of them are enough to learn from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_KNOTS = 5


class Augmentation(nn.Module):
    """In training, sequences as they might have been: scaled, with noise, faster and slower, cut out of, with gaps.

    Each sequence undergoes about half of these, drawn again each time; in evaluation none. Values are standardised, so
    that one strength suits all channels. Where steps have marks or times, time is not bent.

    Args:
        channels: how many of the first features are values.
        strength: from 0, nothing, to 1.
        bend: whether time may be bent.

    Sources: T. Um et al., "Data augmentation of wearable sensor data for Parkinson's disease monitoring using
    convolutional neural networks", ICMI 2017 (jitter, scaling, warping); A. Le Guennec et al., "Data augmentation for
    time series classification using convolutional neural networks", AALTD 2016 (slices).
    """

    def __init__(self, channels: int, strength: float, *, bend: bool) -> None:
        super().__init__()
        self.channels, self.strength, self.bend = channels, strength, bend

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return features `(time, batch, features)` with changed values; past each length stand zeros."""
        if not self.training or self.strength == 0:
            return features
        values, rest = features[..., : self.channels], features[..., self.channels :]
        if self.bend and features.shape[0] > 2:
            values = self._bent(values, lengths)
        values = self._scaled(values)
        steps = torch.arange(features.shape[0], device=features.device)[:, None]
        gone = (steps >= lengths) | self._gap(steps, lengths)
        return torch.cat([values.masked_fill(gone[..., None], 0.0), rest], -1)

    def _scaled(self, values: Tensor) -> Tensor:
        batch, strength = values.shape[1], self.strength
        scale = 1 + 0.2 * strength * self._some(batch, values) * torch.randn(
            1, batch, self.channels, device=values.device
        )
        noise = 0.1 * strength * self._some(batch, values) * torch.rand(1, batch, 1, device=values.device)
        return values * scale + noise * torch.randn_like(values)

    def _gap(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """Return the steps that are hidden, `(time, batch)`: up to a fifth of a sequence, of one in four."""
        drawn = torch.rand(3, len(lengths), device=lengths.device)
        size = drawn[0] * 0.2 * self.strength * lengths * (drawn[1] < 0.25)
        first = drawn[2] * (lengths - size)
        return (steps >= first) & (steps < first + size)

    def _bent(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Return each sequence read at a speed that changes, from a start a little later to an end a little earlier."""
        time, batch = values.shape[:2]
        some = self._some(batch, values)[0, :, 0]
        speeds = (0.4 * self.strength * some * torch.randn(_KNOTS, batch, device=values.device)).exp()
        last = (lengths - 1).clamp_min(1).to(values)
        share = (torch.arange(time, device=values.device)[:, None] / last).clamp(max=1.0)  # of the way, (time, batch)
        walked = torch.cat([torch.zeros_like(speeds[:1]), speeds.cumsum(0)]) / speeds.sum(0)
        place = (share * _KNOTS).clamp(max=_KNOTS - 1e-4)
        knot = place.long()
        low, high = walked.gather(0, knot), walked.gather(0, knot + 1)
        bent = low + (high - low) * (place - knot)
        cut = 0.1 * self.strength * torch.rand(2, batch, device=values.device) * self._some(batch, values)[0, :, 0]
        at = (cut[0] + bent * (1 - cut.sum(0))) * last
        below = at.long().clamp(max=time - 2)
        left = values.gather(0, below[..., None].expand(-1, -1, self.channels))
        right = values.gather(0, (below + 1)[..., None].expand(-1, -1, self.channels))
        return left + (right - left) * (at - below)[..., None]

    def _some(self, batch: int, like: Tensor) -> Tensor:
        """Return 1 for about half of the sequences and 0 for the others, `(1, batch, 1)`."""
        return (torch.rand(1, batch, 1, device=like.device) < 0.5).to(like)
