"""Heads: what the numbers at the end of a network mean, as a value, as quantiles or as a distribution.

Each head says how many numbers a value needs (`size`), and turns them, `(..., size)`, into a loss, a point, quantiles
and samples. `scale`, which broadcasts against the value, is what one unit stands for in the data's own units; only a
head for counts needs it, since counts cannot be rescaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution, NegativeBinomial, Normal, StudentT
from torch.nn import functional

from ostinato.errors import UsageError

PointLoss = Literal["mae", "mse", "huber"]
_POINT_LOSSES = {"mae": functional.l1_loss, "mse": functional.mse_loss, "huber": functional.smooth_l1_loss}
_TINY = 1e-6


class Head(Protocol):
    """What a network's last numbers mean."""

    size: int
    probabilistic: bool

    def loss(self, raw: Tensor, target: Tensor, scale: Tensor) -> Tensor:
        """Return the loss of each value, `(...)`."""

    def point(self, raw: Tensor, scale: Tensor) -> Tensor:
        """Return one value: the median where the head has one, else the mean."""

    def quantiles(self, raw: Tensor, levels: Sequence[float], scale: Tensor) -> Tensor:
        """Return the quantiles at the given levels, `(..., levels)`."""

    def sample(self, raw: Tensor, scale: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw one value from each distribution, `(...)`."""


class Point:
    """A single value, with absolute (`mae`), squared (`mse`) or Huber loss."""

    size, probabilistic = 1, False

    def __init__(self, loss: PointLoss = "mae") -> None:
        if loss not in _POINT_LOSSES:
            raise UsageError(f'loss "{loss}" is not known; choose one of {", ".join(_POINT_LOSSES)}')
        self._loss = _POINT_LOSSES[loss]

    def loss(self, raw: Tensor, target: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG002
        """Return the loss of each value."""
        return self._loss(raw[..., 0], target, reduction="none")

    def point(self, raw: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG002
        """Return the value."""
        return raw[..., 0]

    def quantiles(self, raw: Tensor, levels: Sequence[float], scale: Tensor) -> Tensor:  # noqa: ARG002
        """Refuse: a point has no quantiles."""
        raise UsageError('a point forecast has no quantiles; fit with output="quantiles" or a distribution')

    def sample(self, raw: Tensor, scale: Tensor, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002
        """Return the value: it is certain."""
        return self.point(raw, scale)


class Quantiles:
    """Quantiles at fixed levels, by the pinball loss (Koenker and Bassett, 1978; Wen et al., 2017).

    Raises:
        UsageError: a level is not between 0 and 1.
    """

    probabilistic = True

    def __init__(self, levels: Sequence[float]) -> None:
        self.levels = tuple(sorted(set(levels)))
        if not self.levels or not all(0 < level < 1 for level in self.levels):
            raise UsageError(f"quantiles are {tuple(levels)}; expected levels between 0 and 1, such as 0.1, 0.5, 0.9")
        self.size = len(self.levels)

    def loss(self, raw: Tensor, target: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG002
        """Return the pinball loss, averaged over the levels and doubled, so that the median's is the absolute error."""
        levels = raw.new_tensor(self.levels)
        error = target[..., None] - raw
        return 2 * torch.maximum(levels * error, (levels - 1) * error).mean(-1)

    def point(self, raw: Tensor, scale: Tensor) -> Tensor:
        """Return the median."""
        return self.quantiles(raw, (0.5,), scale)[..., 0]

    def quantiles(self, raw: Tensor, levels: Sequence[float], scale: Tensor) -> Tensor:  # noqa: ARG002
        """Return quantiles in rising order; levels between the fitted ones are interpolated, those outside clipped."""
        ordered = raw.sort(-1).values
        if tuple(levels) == self.levels:
            return ordered
        if set(levels) <= set(self.levels):
            return ordered[..., [self.levels.index(level) for level in levels]]
        return _interpolate(ordered, self.levels, raw.new_tensor(levels).expand(*raw.shape[:-1], len(levels)))

    def sample(self, raw: Tensor, scale: Tensor, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002
        """Draw by inverting the interpolated distribution function."""
        uniform = torch.rand((*raw.shape[:-1], 1), generator=generator, device=raw.device, dtype=raw.dtype)
        return _interpolate(raw.sort(-1).values, self.levels, uniform)[..., 0]


class _LocationScale:
    """A distribution with a location, the first number, and a spread, the second: what its kinds share."""

    size, probabilistic = 2, True

    def loss(self, raw: Tensor, target: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG002
        """Return the negative log-likelihood of each value."""
        return _negative_log_likelihood(self._distribution(raw), target)

    def point(self, raw: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG002
        """Return the location, which is mean and median."""
        return raw[..., 0]

    def quantiles(self, raw: Tensor, levels: Sequence[float], scale: Tensor) -> Tensor:  # noqa: ARG002
        """Return the distribution's quantiles."""
        return raw[..., :1] + _spread(raw)[..., None] * self._unit(raw, raw.new_tensor(levels))

    def sample(self, raw: Tensor, scale: Tensor, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002
        """Draw from the distribution, by its quantile function."""
        uniform = torch.rand((*raw.shape[:-1], 1), generator=generator, device=raw.device, dtype=raw.dtype)
        return raw[..., 0] + _spread(raw) * self._unit(raw, uniform.clamp(1e-5, 1 - 1e-5))[..., 0]

    def _distribution(self, raw: Tensor) -> Distribution:
        raise NotImplementedError

    def _unit(self, raw: Tensor, levels: Tensor) -> Tensor:
        """Return the quantiles at location zero and spread one, `(..., levels)`."""
        raise NotImplementedError


class Gaussian(_LocationScale):
    """A normal distribution, by its likelihood."""

    def _distribution(self, raw: Tensor) -> Normal:
        return Normal(raw[..., 0], _spread(raw), validate_args=False)

    def _unit(self, raw: Tensor, levels: Tensor) -> Tensor:  # noqa: ARG002
        values: Tensor = torch.special.ndtri(levels)
        return values


class StudentTHead(_LocationScale):
    """Student's t distribution, for heavy tails; its degrees of freedom, above two, are learned."""

    size = 3

    def _distribution(self, raw: Tensor) -> StudentT:
        return StudentT(2 + functional.softplus(raw[..., 2]), raw[..., 0], _spread(raw), validate_args=False)

    def _unit(self, raw: Tensor, levels: Tensor) -> Tensor:
        from scipy.special import stdtrit

        freedom = 2 + functional.softplus(raw[..., 2:])
        values = stdtrit(freedom.detach().cpu().double().numpy(), levels.cpu().double().numpy())
        return torch.as_tensor(values, dtype=raw.dtype, device=raw.device)


class NegativeBinomialHead:
    """The negative binomial distribution, for counts (Salinas et al., 2020, section 3.1)."""

    size, probabilistic = 2, True

    def loss(self, raw: Tensor, target: Tensor, scale: Tensor) -> Tensor:
        """Return the negative log-likelihood of each count, which is `target * scale`."""
        counts = (target * scale).round().clamp_min(0)
        return _negative_log_likelihood(self._distribution(raw, scale), counts)

    def point(self, raw: Tensor, scale: Tensor) -> Tensor:
        """Return the mean."""
        return self._distribution(raw, scale).mean / scale

    def quantiles(self, raw: Tensor, levels: Sequence[float], scale: Tensor) -> Tensor:
        """Return the distribution's quantiles, whole counts before they are divided by `scale`."""
        distribution = self._distribution(raw, scale)
        return self._inverse(distribution, raw.new_tensor(levels)) / scale[..., None]

    def sample(self, raw: Tensor, scale: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw from the distribution, by its quantile function."""
        distribution = self._distribution(raw, scale)
        uniform = torch.rand(
            (*distribution.total_count.shape, 1), generator=generator, device=raw.device, dtype=raw.dtype
        )
        return self._inverse(distribution, uniform.clamp(1e-5, 1 - 1e-5))[..., 0] / scale

    def _inverse(self, binomial: NegativeBinomial, levels: Tensor) -> Tensor:
        from scipy.stats import nbinom

        count, success = (
            value.detach().cpu().double().numpy()[..., None] for value in (binomial.total_count, 1 - binomial.probs)
        )
        return torch.as_tensor(nbinom.ppf(levels.cpu().double().numpy(), count, success), dtype=levels.dtype)

    def _distribution(self, raw: Tensor, scale: Tensor) -> NegativeBinomial:
        mean = functional.softplus(raw[..., 0]) * scale + _TINY
        count = 1 / (functional.softplus(raw[..., 1]) + 1e-4)  # 1 / alpha: the shape
        return NegativeBinomial(count, probs=mean / (mean + count), validate_args=False)


def _spread(raw: Tensor) -> Tensor:
    return functional.softplus(raw[..., 1]) + _TINY


def _negative_log_likelihood(distribution: Distribution, values: Tensor) -> Tensor:
    log_prob: Tensor = distribution.log_prob(values)
    return -log_prob


def _interpolate(values: Tensor, at: Sequence[float], wanted: Tensor) -> Tensor:
    """Interpolate linearly `values (..., known)` given at levels `at` to the levels `wanted (..., levels)`."""
    known = values.new_tensor(at)
    if len(at) == 1:
        return values.expand_as(wanted)
    right = torch.searchsorted(known, wanted.contiguous()).clamp(1, len(at) - 1)
    share = ((wanted - known[right - 1]) / (known[right] - known[right - 1])).clamp(0, 1)
    return torch.lerp(values.gather(-1, right - 1), values.gather(-1, right), share)
