"""Channels that move together: what is left of a channel's error once those of its companions are taken into account.

Each channel alone may look as usual while it no longer follows another one. So a channel whose errors can be told from
those of up to three others at the same step has its rest watched too, as if it were one more channel.

Source: of correlated sensors, residuals of each on the others, as in multivariate control charts by regression
adjustment: D. Hawkins, "Multivariate quality control based on regression-adjusted variables", Technometrics 33, 1991.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_PARTNERS = 3
_TOLD = 0.4  # of the variance of a channel's errors, told by the others on steps that weights were not found on
_FEWEST, _MOST = 100, 5000  # steps
_LOUD, _RIDGE, _LEAST = 6.0, 1.0, 0.05
_FREEDOM = 5.0


@dataclass(frozen=True)
class Relations:
    """Which channels follow others.

    Args:
        of: `(relations,)`, the channel.
        weights: `(relations, channels)`, of the other channels' errors.
        scales: `(relations,)`, of what is left.
    """

    of: NDArray[np.int64]
    weights: Floats
    scales: Floats

    @classmethod
    def none(cls, channels: int) -> Relations:
        """Return that no channel follows another."""
        return cls(np.zeros(0, np.int64), np.zeros((0, channels)), np.zeros(0))

    @classmethod
    def fit(cls, errors: Floats) -> Relations:
        """Find them in errors over their scales, `(steps, channels)`, of normal steps; NaN where missing."""
        channels = errors.shape[1]
        known = errors[np.isfinite(errors).all(1)][-_MOST:] if channels > 1 else errors[:0]
        found, rows, scales = [], [], []
        u = np.clip(known, -_LOUD, _LOUD)
        half = len(u) // 2
        for channel in range(channels if len(u) >= _FEWEST else 0):
            likeness = _correlations(u, channel)
            partners = np.argsort(-likeness, kind="stable")[:_PARTNERS]
            partners = partners[likeness[partners] > 0]
            if not len(partners):
                continue
            checked = u[half:, channel] - u[half:, partners] @ _ridge(u[:half, partners], u[:half, channel])
            whole = float(np.mean(u[half:, channel] ** 2))
            if whole <= 0 or float(np.mean(checked**2)) > (1 - _TOLD) * whole:
                continue
            weights = np.zeros(channels)
            weights[partners] = _ridge(u[:, partners], u[:, channel])
            rest = u[:, channel] - u @ weights
            found.append(channel)
            rows.append(weights)
            scales.append(max(float(np.median(np.abs(rest))) / 0.6745, _LEAST))
        if not found:
            return cls.none(channels)
        return cls(np.array(found, np.int64), np.stack(rows), np.array(scales))

    def __len__(self) -> int:
        return len(self.of)

    def freedoms(self, freedom: Floats) -> Floats:
        """Return degrees of freedom of channels, and of what is left of them."""
        return np.concatenate([freedom, np.full(len(self), _FREEDOM)])

    def extended(self, error: Floats, scale: Floats) -> tuple[Floats, Floats]:
        """Return errors and their scales, `(..., channels)`, with those of what is left behind them."""
        if not len(self):
            return error, scale
        u = np.minimum(np.maximum(error / scale, -_LOUD), _LOUD)
        absent = np.isnan(u)
        used = self.weights != 0
        told = np.where(absent, 0.0, u) @ self.weights.T
        # what a channel is told from must be there
        gone = (absent[..., None, :] & used).any(-1)
        rest = np.where(gone, np.nan, u[..., self.of] - told)
        return np.concatenate([error, rest], -1), np.concatenate([scale, np.broadcast_to(self.scales, rest.shape)], -1)

    def widened(self, numbers: Floats, behind: Literal["copied", "zero", "unknown"]) -> Floats:
        """Return numbers of channels, `(..., channels)`, with those of what is left: the channel's, 0, or NaN."""
        if not len(self):
            return numbers
        found = numbers[..., self.of]
        if behind != "copied":
            found = np.full_like(found, 0.0 if behind == "zero" else np.nan)
        return np.concatenate([numbers, found], -1)

    def partner(self, relation: int) -> int:
        """Return the channel that one follows most."""
        return int(np.abs(self.weights[relation]).argmax())


def _correlations(u: Floats, channel: int) -> Floats:
    own = u[:, channel]
    sizes = np.sqrt((u**2).sum(0) * max(float(own @ own), 1e-12))
    found = np.abs(own @ u) / np.maximum(sizes, 1e-12)
    found[channel] = 0.0
    return np.asarray(found)


def _ridge(x: Floats, y: Floats) -> Floats:
    return np.asarray(np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ y))
