"""How a time is predicted: the scale that a network's numbers are on, their loss, and the way back to seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Normal

from ostinato.errors import UsageError
from ostinato.tasks.events.parameters import TimeLoss

_HALF_LOG = 0.5 * math.log(2 * math.pi)
_WIDEST = 30.0  # exponents beyond are years by the million


@dataclass(frozen=True)
class TimeScale:
    """A time as the network has it: `z`, from a centre and a spread, and for `"lognormal"` the deviation around it.

    Args:
        loss: `"lognormal"`: `log(1 + seconds)` is normal, with a deviation of its own at each event; its median is
            predicted, and quantiles are known. `"log_mae"`: the absolute error of `log(1 + seconds)`. `"mae"`: the
            absolute error of the time itself, in units of `spread`. All three predict a median.
        centre: of what `z` counts from; spread: its unit.
    """

    loss: TimeLoss
    centre: float
    spread: float

    def __post_init__(self) -> None:
        """Raise `ValueError` where a number is none, as in a changed file."""
        if not (math.isfinite(self.centre) and 0 < self.spread < math.inf):
            raise ValueError(f"a time has no scale of centre {self.centre} and spread {self.spread}")

    @classmethod
    def fit(cls, loss: TimeLoss, seconds: NDArray[np.float64]) -> TimeScale:
        """Find the scale of times; NaN is left out."""
        known = seconds[np.isfinite(seconds)]
        if not len(known):
            return cls(loss, 0.0, 1.0)
        if loss == "mae":
            return cls(loss, 0.0, float(np.abs(known).mean()) or 1.0)
        logs = np.log1p(np.maximum(known, 0.0))
        return cls(loss, float(logs.mean()), float(logs.std()) or 1.0)

    def scaled(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return times as the loss takes them."""
        values = seconds if self.loss == "mae" else np.log1p(np.maximum(seconds, 0.0))
        return (values - self.centre) / self.spread

    def losses(self, raw: Tensor, wanted: Tensor) -> Tensor:
        """Return the loss of each time.

        Args:
            raw: `(..., 2)`, what the network says.
            wanted: `(...)`, from `scaled`, all known.
        """
        centre = raw[..., 0]
        if self.loss != "lognormal":
            return (centre - wanted).abs()
        log_deviation = _bounded(raw[..., 1])
        return log_deviation + 0.5 * ((wanted - centre) * torch.exp(-log_deviation)) ** 2 + _HALF_LOG

    def seconds(self, raw: Tensor) -> NDArray[np.float64]:
        """Return the median that the network says, `(...)`, for `raw` of `(..., 2)`; never below 0."""
        return self.back(raw[..., 0].double().numpy())

    def quantiles(self, raw: Tensor, levels: Sequence[float]) -> NDArray[np.float64]:
        """Return quantiles in seconds, `(..., levels)`.

        Raises:
            UsageError: the loss gives a median only.
        """
        if self.loss != "lognormal":
            raise UsageError(f'time_loss is "{self.loss}", which predicts a median only; fit with "lognormal"')
        normal = Normal(raw[..., :1].double(), _bounded(raw[..., 1:]).double().exp())
        z = normal.icdf(torch.tensor(list(levels), dtype=torch.float64))  # type: ignore[no-untyped-call]
        return self.back(z.numpy())

    def back(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return seconds, never below 0, of numbers from `scaled`."""
        values = z * self.spread + self.centre
        return np.maximum(values if self.loss == "mae" else np.expm1(np.minimum(values, _WIDEST)), 0.0)


def _bounded(log_deviation: Tensor) -> Tensor:
    """Keep a deviation from a thousandth to a thousand: many events come at the same instant."""
    return 7.0 * torch.tanh(log_deviation / 7.0)
