"""The network beside trees and counts of what followed: probabilities mixed by weights from held-out cases."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.counting import FollowerCounts
from ostinato.tasks.events.boosting import Boosting
from ostinato.tasks.events.features import Codes, Floats, Seen

_ORDERS = (1, 2, 3)
_PRIOR, _STEPS = 2.0, 100
_LEAST, _ALONE = 0.02, 0.95


@dataclass(frozen=True)
class Mixture:
    """Probabilities of a network mixed with those of models that learn from little, so that it is not behind these.

    Args:
        trees: boosted; `None`: without.
        counts: of what followed the last activity, the last two and the last three.
        weights: of the network, of the trees if there are any, and of each of the counts; none: not decided, the
            network alone.

    Source: F. Jelinek and R. Mercer, "Interpolated estimation of Markov source parameters from sparse data", 1980.
    """

    trees: Boosting | None = None
    counts: tuple[FollowerCounts, ...] = ()
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse parts that are not of one log, as a damaged file may have them."""
        sizes = {size for count in self.counts for size in (count.symbols, count.followers)}
        sizes |= {self.trees.classes} if self.trees else set()
        if len(sizes) > 1 or (self.weights and len(self.weights) != 1 + len(self._models)):
            raise ValueError("the parts of its mixture are not of one log")

    @classmethod
    def fit(cls, kinds: list[Codes], following: list[Codes], classes: int, trees: Boosting | None) -> Mixture:
        """Count cases; the weights are left open."""
        counts = (
            FollowerCounts.of(kinds, classes, order=order, following=following, followers=classes, begins=True)
            for order in _ORDERS
        )
        return cls(trees, tuple(counts))

    def weighed(self, network: Floats, seen: Seen, following: Codes) -> Mixture:
        """Return the mixture that gives most probability to held-out events, by expectation maximisation.

        Args:
            network: its probabilities after each event, `(events, classes)`.
            seen: what is known at each.
            following: `(events,)`, what came.
        """
        known = np.flatnonzero((following >= 0) & (following < network.shape[1]))
        if not len(known):
            return self
        everywhere = [network, *(model(seen) for model in self._models)]
        parts = np.stack([each[known, following[known]] for each in everywhere], -1) + 1e-12
        weights = np.full(parts.shape[1], 1 / parts.shape[1])
        for _ in range(_STEPS):
            shares = parts * weights
            weights = (shares / shares.sum(-1, keepdims=True)).sum(0) + _PRIOR / len(weights)
            weights = weights / weights.sum()
        # what hardly weighs anything is left out, and all of it beside a network that needs nothing
        weights = np.where(weights < (_LEAST if weights[0] < _ALONE else 1 - _ALONE), 0.0, weights)
        return replace(self, weights=tuple((weights / weights.sum()).tolist()))

    def __call__(self, network: Floats, seen: Seen) -> Floats:
        """Return mixed probabilities, `(events, classes)`."""
        if not self.weights:
            return network
        mixed = self.weights[0] * network
        for weight, model in zip(self.weights[1:], self._models, strict=True):
            if weight:
                mixed = mixed + weight * model(seen)
        return mixed

    @property
    def words(self) -> str:
        """The weights in words."""
        names = ["network", *(["trees"] if self.trees else []), *(f"counts after {order}" for order in _ORDERS)]
        shares = zip(names, self.weights, strict=False)
        return ", ".join(f"{name} {share:.0%}" for name, share in shares if share) or "network alone"

    @property
    def _models(self) -> list[Boosting | _Counts]:
        return [*([self.trees] if self.trees else []), *map(_Counts, self.counts)]


@dataclass(frozen=True)
class _Counts:
    counts: FollowerCounts

    def __call__(self, seen: Seen) -> NDArray[np.float64]:
        contexts = [np.zeros(len(seen.lags), np.int64)]
        for length in range(1, self.counts.order + 1):
            keys = np.zeros(len(seen.lags), np.int64)
            for back in range(length, 0, -1):
                keys = keys * (self.counts.symbols + 1) + seen.lags[:, back - 1]
            contexts.append(keys)
        return self.counts.distribution(contexts)
