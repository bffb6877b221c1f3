"""The network beside counts of what followed the last activities: probabilities mixed by weights from held-out cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.counting import FollowerCounts

_ORDERS = (1, 2, 3)
_PRIOR, _STEPS = 2.0, 100
_LEAST, _ALONE = 0.02, 0.95


@dataclass(frozen=True)
class Mixture:
    """Probabilities of a network mixed with those of counts, so that it is not behind what counting alone tells.

    Args:
        counts: after the last activity, the last two and the last three.
        weights: of the network and of each of the counts; none: not decided, the network alone.

    Source: F. Jelinek and R. Mercer, "Interpolated estimation of Markov source parameters from sparse data", 1980.
    """

    counts: tuple[FollowerCounts, ...]
    weights: tuple[float, ...] = ()

    @classmethod
    def fit(cls, kinds: Sequence[NDArray[np.int64]], following: Sequence[NDArray[np.int64]], classes: int) -> Mixture:
        """Count cases; the weights are left open."""
        return cls(
            tuple(
                FollowerCounts.of(kinds, classes, order=order, following=following, followers=classes, begins=True)
                for order in _ORDERS
            )
        )

    @property
    def back(self) -> int:
        """How many of the last activities of a case are needed."""
        return max((own.order for own in self.counts), default=0)

    def weighed(
        self, network: NDArray[np.float64], kinds: Sequence[NDArray[np.int64]], following: NDArray[np.int64]
    ) -> Mixture:
        """Return the mixture that gives most probability to held-out cases, by expectation maximisation.

        Args:
            network: its probabilities after each event, `(events, classes)`.
            kinds: the activities of each case.
            following: `(events,)`, what came.
        """
        known = np.flatnonzero((following >= 0) & (following < network.shape[1]))
        if not len(known):
            return self
        given = [own[known, following[known]] for own in (network, *(_after(counts, kinds) for counts in self.counts))]
        parts = np.stack(given, -1) + 1e-12
        weights = np.full(parts.shape[1], 1 / parts.shape[1])
        for _ in range(_STEPS):
            shares = parts * weights
            weights = (shares / shares.sum(-1, keepdims=True)).sum(0) + _PRIOR / len(weights)
            weights = weights / weights.sum()
        # counts that hardly weigh anything are left out, and all of them beside a network that needs none
        weights = np.where(weights < (_LEAST if weights[0] < _ALONE else 1 - _ALONE), 0.0, weights)
        return Mixture(self.counts, tuple((weights / weights.sum()).tolist()))

    def __call__(self, network: NDArray[np.float64], kinds: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Return mixed probabilities, `(events, classes)`, of the network's and the activities of each case."""
        if not self.weights or self.weights[0] == 1:
            return network
        mixed = self.weights[0] * network
        for weight, counts in zip(self.weights[1:], self.counts, strict=True):
            if weight:
                mixed = mixed + weight * _after(counts, kinds)
        return mixed


def _after(counts: FollowerCounts, kinds: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    return counts.distribution(counts.contexts(kinds, begins=True))
