"""Training frames changed a little each time they are read: other speeds, voices, rooms and gaps."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FrameAugmentation(nn.Module):
    """In training, standardised log-mel frames as they might have been; in evaluation as they are.

    About half of the utterances undergo each change, drawn again each time: they are faster or slower, their bands are
    moved up or down as of another voice, they are louder, of another timbre, noisy, and bands and stretches of time are
    hidden. An utterance is never made too short for its transcript.

    Args:
        strength: 0 for nothing, 1 as a rule.

    Sources: D. Park et al., "SpecAugment", Interspeech 2019 (masks); T. Ko et al., "Audio augmentation for speech
    recognition", Interspeech 2015 (speed); N. Jaitly and G. Hinton, "Vocal tract length perturbation improves speech
    recognition", ICML workshop 2013 (bands).
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, frames: Tensor, lengths: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
        """Return changed frames `(time, batch, bands)` and their lengths.

        Args:
            frames: `(time, batch, bands)`.
            lengths: `(batch,)`.
            least: `(batch,)`, frames that each must keep.
        """
        if not self.training or self.strength == 0:
            return frames, lengths
        frames, lengths = self._at_other_speed(frames, lengths, least)
        frames = self._of_other_voice(frames)
        frames = self._of_other_room(frames)
        return self._masked(frames, lengths), lengths

    def _at_other_speed(self, frames: Tensor, lengths: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
        batch = frames.shape[1]
        change = self._some(batch) * self.strength * (0.3 * torch.rand(batch) - 0.15)
        wanted = (lengths * (1 + change)).round().long()
        wanted = torch.maximum(wanted, torch.minimum(least, lengths)).clamp_min(1)
        time = int(wanted.max())
        scale = (lengths - 1).clamp_min(1) / (wanted - 1).clamp_min(1)
        place = (torch.arange(time)[:, None] * scale).clamp(max=(lengths - 1).clamp_min(0))
        below = place.long()
        above = torch.minimum(below + 1, (lengths - 1).clamp_min(0))
        share = (place - below).to(frames)[..., None]
        size = frames.shape[2]
        low, high = (frames.gather(0, rows[..., None].expand(-1, -1, size)) for rows in (below, above))
        return low + (high - low) * share, wanted

    def _of_other_voice(self, frames: Tensor) -> Tensor:
        """Stretch or press the bands of each utterance around the lowest one."""
        batch, bands = frames.shape[1:]
        scale = 1 + self._some(batch) * self.strength * (0.2 * torch.rand(batch) - 0.1)
        place = (torch.arange(bands)[None] * scale[:, None]).clamp(max=bands - 1)
        below = place.long()
        share = (place - below).to(frames)
        above = (below + 1).clamp(max=bands - 1)
        low, high = (frames.gather(2, rows[None].expand(len(frames), -1, -1)) for rows in (below, above))
        return low + (high - low) * share

    def _of_other_room(self, frames: Tensor) -> Tensor:
        """Add loudness, a slope over the bands, and noise."""
        batch, bands = frames.shape[1:]
        loud = 0.2 * self.strength * self._some(batch) * torch.randn(batch)
        slope = 0.3 * self.strength * self._some(batch) * torch.randn(batch)
        tilt = torch.linspace(-1, 1, bands)
        noise = 0.3 * self.strength * self._some(batch) * torch.rand(batch)
        changed = frames + (loud[:, None] + slope[:, None] * tilt).to(frames)
        return changed + noise[:, None].to(frames) * torch.randn_like(frames)

    def _masked(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Hide two runs of bands and up to a few stretches of time of each utterance; their value becomes the mean."""
        time, batch, bands = frames.shape
        hidden = torch.zeros(time, batch, bands, dtype=torch.bool)
        for _ in range(2):
            size = 0.2 * min(self.strength, 1.0) * bands * torch.rand(batch)
            first = torch.rand(batch) * (bands - size)
            place = torch.arange(bands)
            hidden |= ((place >= first[:, None]) & (place < (first + size)[:, None]))[None]
        steps = torch.arange(time)[:, None]
        for number in range(4):
            size = torch.minimum(torch.tensor(20.0), 0.08 * lengths) * min(self.strength, 1.0) * torch.rand(batch)
            # one stretch a second and a half, up to four
            size = size * (lengths > 150 * number)
            first = torch.rand(batch) * (lengths - size)
            hidden |= ((steps >= first) & (steps < first + size))[..., None]
        return frames.masked_fill(hidden, 0.0)

    @staticmethod
    def _some(batch: int) -> Tensor:
        return (torch.rand(batch) < 0.5).float()
