"""Where a step stands: sinusoids, learned vectors, rotations."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ostinato.errors import UsageError


def sinusoids(places: Tensor, width: int) -> Tensor:
    """Return `(..., width)` sines and cosines of places `(...)`, from wavelength 2 pi to 20,000 pi.

    Source: A. Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.5.
    """
    angles = _angles(places, width, 2 * ((width + 1) // 2))
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[..., :width]


def rotated(xs: Tensor, places: Tensor) -> Tensor:
    """Turn pairs of features of `(batch, heads, time, width)` by angles that grow with their places, `(batch, time)`.

    Products of two such rows depend on how far they are apart, not on where they are.

    Source: J. Su et al., "RoFormer: enhanced transformer with rotary position embedding", arXiv 2104.09864, 2021.
    """
    angles = _angles(places, xs.shape[-1], xs.shape[-1])[:, None]
    first, second = xs.chunk(2, -1)
    sine, cosine = angles.sin().to(xs.dtype), angles.cos().to(xs.dtype)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)


def _angles(places: Tensor, width: int, even: int) -> Tensor:
    half = torch.arange(even // 2, device=places.device, dtype=torch.float64)
    return places.to(torch.float64)[..., None] * torch.exp(-math.log(10_000.0) * 2 * half / width)


class LearnedPositions(nn.Module):
    """A learned vector for each of a limited number of places."""

    def __init__(self, places: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(places, width)
        nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, places: Tensor) -> Tensor:
        """Return the vectors of places, `(..., width)`.

        Raises:
            UsageError: a place is past the last one that was learned.
        """
        if places.numel() and int(places.max()) >= self.table.num_embeddings:
            raise UsageError(
                f"step {int(places.max()) + 1} of a sequence has no learned position; there are "
                f"{self.table.num_embeddings}: make the stack with a larger max_positions"
            )
        vectors: Tensor = self.table(places)
        return vectors
