"""The network beside trees and counts of what followed: what they say is mixed by weights from held-out cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.counting import FollowerCounts
from ostinato.tasks.events.boosting import Boosting, TimeTrees
from ostinato.tasks.events.features import Codes, Floats, Seen
from ostinato.tasks.events.times import TimeScale
from ostinato.tasks.events.usual_waits import UsualWaits

if TYPE_CHECKING:
    from torch import Tensor

_ORDERS = (1, 2, 3)
_NETWORK, _TREES = 0.5, 0.7  # of the weight, and of what is left of it, where no case was held out to find weights
_PRIOR_CASES, _STEPS = 2.0, 300
_LEAST, _ALONE = 0.02, 0.95
_TIME_CASES, _TIME_SHARES = 5.0, np.linspace(0, 1, 21)


@dataclass(frozen=True)
class Mixture:
    """Probabilities of a network mixed with those of models that learn from little, so that it is not behind these.

    Args:
        trees: boosted; `None`: without.
        counts: of what followed the last activity, the last two and the last three.
        weights: of the network, of the trees if there are any, and of each of the counts; none: not decided, the
            network alone.
        times: trees of times; `None`: without.
        time_weights: of these beside the network, for each time; none: not decided, the network alone.
        waits: what is usual after each activity, and how far times are moved towards it; `None`: without.

    Source: F. Jelinek and R. Mercer, "Interpolated estimation of Markov source parameters from sparse data", 1980.
    """

    trees: Boosting | None = None
    counts: tuple[FollowerCounts, ...] = ()
    weights: tuple[float, ...] = ()
    times: TimeTrees | None = None
    time_weights: tuple[float, ...] = ()
    waits: UsualWaits | None = None

    def __post_init__(self) -> None:
        """Refuse parts that are not of one log, as a damaged file may have them."""
        sizes = {size for count in self.counts for size in (count.symbols, count.followers)}
        sizes |= {self.trees.classes} if self.trees else set()
        if len(sizes) > 1 or (self.weights and len(self.weights) != 1 + len(self._models)):
            raise ValueError("the parts of its mixture are not of one log")
        if not all(0 <= weight <= 1 for weight in (*self.weights, *self.time_weights)):
            raise ValueError("the weights of its mixture are no shares")
        if self.time_weights and (self.times is None or len(self.time_weights) != len(self.times.trees)):
            raise ValueError("its trees of times have other weights")

    @classmethod
    def fit(
        cls,
        kinds: list[Codes],
        following: list[Codes],
        classes: int,
        trees: Boosting | None,
        times: TimeTrees | None = None,
        waits: UsualWaits | None = None,
    ) -> Mixture:
        """Count cases; the weights are left open."""
        counts = (
            FollowerCounts.of(kinds, classes, order=order, following=following, followers=classes, begins=True)
            for order in _ORDERS
        )
        return cls(trees, tuple(counts), times=times, waits=waits)

    @property
    def usual(self) -> Mixture:
        """It with the weights that are usual, for where no case was held out to find them on."""
        return replace(self, weights=tuple(self._prior.tolist()), time_weights=(0.5,) * self._times)

    def weighed(self, network: Floats, seen: Seen, following: Codes, cases: int) -> Mixture:
        """Return the mixture that gives most probability to held-out events, by expectation maximisation.

        The usual weights count as the events of two cases more: a dozen cases move the weights only a little.

        Args:
            network: its probabilities after each event, `(events, classes)`.
            seen: what is known at each.
            following: `(events,)`, what came.
            cases: how many these are the events of.
        """
        known = np.flatnonzero((following >= 0) & (following < network.shape[1]))
        if not len(known):
            return self.usual
        everywhere = [network, *(model(seen) for model in self._models)]
        parts = np.stack([each[known, following[known]] for each in everywhere], -1) + 1e-12
        weights = self._prior
        prior = weights * _PRIOR_CASES * len(known) / max(cases, 1)
        for _ in range(_STEPS):
            shares = parts * weights
            weights = (shares / shares.sum(-1, keepdims=True)).sum(0) + prior
            weights = weights / weights.sum()
        # what hardly weighs anything is left out, and all of it beside a network that needs nothing
        weights = np.where(weights < (_LEAST if weights[0] < _ALONE else 1 - _ALONE), 0.0, weights)
        return replace(self, weights=tuple((weights / weights.sum()).tolist()))

    def weighed_times(self, raw: Tensor, seen: Seen, waits: Floats, scales: Sequence[TimeScale], cases: int) -> Mixture:
        """Return the mixture whose times err least on held-out events, in the mean absolute error of the time itself.

        With few cases the weights stay near one half.

        Args:
            raw: what the network says of times, `(events, times, 2)`.
            seen: what is known at each event.
            waits: `(events, times)`, seconds, NaN where not known.
            scales: of the times.
            cases: how many these are the events of.
        """
        if self.times is None:
            return self
        weights = []
        for place, (scale, trees) in enumerate(zip(scales, self.times(seen).T, strict=True)):
            known = np.isfinite(waits[:, place]) & np.isfinite(trees)
            if not known.any():
                weights.append(0.0 if self.times.trees[place] is None else 0.5)
                continue
            network, truth = raw[:, place, 0].double().numpy()[known], waits[known, place]
            errors = [
                np.abs(scale.back((1 - share) * network + share * trees[known]) - truth).mean()
                for share in _TIME_SHARES
            ]
            best = float(_TIME_SHARES[int(np.argmin(errors))])
            share = (cases * best + _TIME_CASES * 0.5) / (cases + _TIME_CASES)
            weights.append(best if abs(share - best) < 1 - _ALONE and best in (0.0, 1.0) else share)
        return replace(self, time_weights=tuple(weights))

    def with_times(self, raw: Tensor, seen: Seen) -> Tensor:
        """Return what is said of times, `(events, times, 2)`, the network's medians moved towards those of trees."""
        if self.times is None or not self.time_weights:
            return raw
        import torch

        trees, shares = self.times(seen), np.array(self.time_weights)
        centre = raw[..., 0].double().numpy()
        moved = np.where(np.isfinite(trees), (1 - shares) * centre + shares * np.nan_to_num(trees), centre)
        return torch.cat([torch.from_numpy(moved).to(raw.dtype)[..., None], raw[..., 1:]], -1)

    def timed(self, raw: Tensor, seen: Seen, scales: Sequence[TimeScale]) -> Tensor:
        """Return what is said of times, `(events, times, 2)`, by the network, the trees and what is usual."""
        raw = self.with_times(raw, seen)
        return raw if self.waits is None else self.waits.moved(raw, seen, scales)

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
        found = ", ".join(f"{name} {share:.0%}" for name, share in shares if share) or "network alone"
        times = " and ".join(f"{share:.0%}" for share in self.time_weights)
        return found + (f"; of times trees {times}" if times else "") + (self.waits.words if self.waits else "")

    @property
    def _times(self) -> int:
        return 0 if self.times is None else len(self.times.trees)

    @property
    def _prior(self) -> NDArray[np.float64]:
        """The usual weights."""
        trees = (1 - _NETWORK) * _TREES if self.trees else 0.0
        counts = [(1 - _NETWORK - trees) / max(len(self.counts), 1)] * len(self.counts)
        found = np.array([_NETWORK, *([trees] if self.trees else []), *counts])
        return np.asarray(found / found.sum())

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
