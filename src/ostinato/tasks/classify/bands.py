"""Log-mel frames changed a little in training, as another voice, room or microphone might have made them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BandAugmentation(nn.Module):
    """In training, sounds a little louder or quieter, of longer or shorter vocal tracts, without some of their bands.

    Each sound undergoes about half of these, drawn again each time; in evaluation none. Bands are standardised, so that
    louder is the same number more in all of them, and 0 their mean.

    Args:
        bands: how many of the first features are bands, from low to high.
        strength: from 0, nothing, to 1.

    Sources: N. Jaitly and G. Hinton, "Vocal tract length perturbation (VTLP) improves speech recognition", ICML
    workshop 2013 (bands moved); D. Park et al., "SpecAugment", Interspeech 2019 (bands hidden).
    """

    def __init__(self, bands: int, strength: float) -> None:
        super().__init__()
        self.bands, self.strength = bands, strength

    def forward(self, features: Tensor) -> Tensor:
        """Return features `(time, batch, features)` with changed bands."""
        if not self.training or self.strength == 0:
            return features
        values, rest = features[..., : self.bands], features[..., self.bands :]
        values = self._hidden(self._louder(self._moved(values)))
        return torch.cat([values, rest], -1)

    def _moved(self, values: Tensor) -> Tensor:
        """Return bands read as those of a pitch up to a fifth higher or lower."""
        factor = 1 + 0.3 * self.strength * self._some(values) * (2 * torch.rand(values.shape[1]) - 1).to(values)
        place = (torch.arange(self.bands, device=values.device) * factor[:, None]).clamp(max=self.bands - 1)
        below = place.long().clamp(max=self.bands - 2)
        share = place - below
        low, high = (values.gather(2, (below + step).expand(len(values), -1, -1)) for step in (0, 1))
        return low + (high - low) * share

    def _louder(self, values: Tensor) -> Tensor:
        """Return sounds louder or quieter, and brighter or duller."""
        drawn = 0.5 * self.strength * self._some(values)[:, None] * torch.randn(values.shape[1], 2).to(values)
        slope = torch.linspace(-1, 1, self.bands, device=values.device)
        return values + drawn[:, :1] + drawn[:, 1:] * slope

    def _hidden(self, values: Tensor) -> Tensor:
        """Return sounds without up to a third of their bands, of those beside each other."""
        drawn = torch.rand(2, values.shape[1]).to(values)
        width = drawn[0] * self._some(values) * self.strength * self.bands * 0.4
        first = drawn[1] * (self.bands - width)
        band = torch.arange(self.bands, device=values.device)
        gone = (band >= first[:, None]) & (band < (first + width)[:, None])
        return values.masked_fill(gone, 0.0)

    def _some(self, values: Tensor) -> Tensor:
        """Return 1 for about half of the sounds and 0 for the others, `(batch,)`."""
        return (torch.rand(values.shape[1]) < 0.5).to(values)
