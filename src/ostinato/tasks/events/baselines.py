"""What an event predictor has to beat: counts of what followed the last activities, and times by activity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError
from ostinato.tasks.base.classes import cross_entropy
from ostinato.tasks.base.counting import FollowerCounts
from ostinato.tasks.events.boosting import Boosting, TimeTrees
from ostinato.tasks.events.cases import TIMES, Cases, EventEncoder, scaled_waits
from ostinato.tasks.events.times import TimeScale

_ORDERS = range(2, 7)


@dataclass(frozen=True)
class Predicted:
    """After each event of all cases: `probabilities (events, activities + 1)`, the end last; `seconds (events, TIMES)`.

    A baseline may have one of them only.
    """

    probabilities: NDArray[np.float64] | None
    seconds: NDArray[np.float64] | None


@dataclass(frozen=True)
class LastActivities:
    """What followed the last activities, by Witten and Bell's rule; see `FollowerCounts`."""

    counts: FollowerCounts

    @property
    def called(self) -> str:
        """What it looks back on."""
        order = self.counts.order
        return "last activity (Markov)" if order == 1 else f"last {order} activities, backed off"

    @classmethod
    def fit(cls, cases: Cases, classes: int, order: int) -> LastActivities:
        """Count cases; `classes` may follow, the end among them."""
        given = cases.cases
        return cls(
            FollowerCounts.of(
                [case.kinds for case in given], classes, order=order, following=[case.following for case in given],
                followers=classes, begins=True,
            )
        )  # fmt: skip

    @classmethod
    def chosen(cls, train: Cases, validation: Cases | None, classes: int) -> LastActivities:
        """Look back on as many activities as is best on the validation part; without one, on three."""
        order = 3
        if validation is not None:
            order = min(_ORDERS, key=lambda each: cls.fit(train, classes, each).loss(validation))
        return cls.fit(train.joined(validation), classes, order)

    def predict(self, cases: Cases) -> Predicted:
        """Return the distribution after each event."""
        contexts = self.counts.contexts([case.kinds for case in cases.cases], begins=True)
        return Predicted(self.counts.distribution(contexts), None)

    def loss(self, cases: Cases) -> float:
        """Return the cross-entropy of what followed."""
        found = self.predict(cases).probabilities
        assert found is not None
        return cross_entropy(cases.following, found)


@dataclass(frozen=True)
class BoostedTrees:
    """Boosted trees on all that the network reads; see `Boosting` and `TimeTrees`."""

    trees: Boosting
    counted: NDArray[np.int64]
    times: TimeTrees | None = None
    scales: tuple[TimeScale, ...] = ()

    @classmethod
    def fit(cls, cases: Cases, encoder: EventEncoder, *, times: bool) -> BoostedTrees:
        """Grow trees, or take those that there are already.

        Raises:
            DataError: there are too few events.
            MissingExtra: scikit-learn is not installed.
        """
        known, counted = encoder.mixture, encoder.counted
        boosting = known.trees or Boosting.fit(cases.seen(counted), cases.following, len(encoder.known) + 1)
        if boosting is None:
            raise DataError("there are too few events")
        of_times = known.times
        if of_times is None and times and encoder.unit[0]:
            of_times = TimeTrees.fit(cases.seen(counted), scaled_waits(encoder.scales, cases))
        return cls(boosting, counted, of_times, encoder.scales if of_times else ())

    def predict(self, cases: Cases) -> Predicted:
        """Return the distribution and the times after each event."""
        seen = cases.seen(self.counted)
        if self.times is None:
            return Predicted(self.trees(seen), None)
        found = [scale.back(column) for scale, column in zip(self.scales, self.times(seen).T, strict=True)]
        return Predicted(self.trees(seen), np.stack(found, -1))


@dataclass(frozen=True)
class WaitsByActivity:
    """The mean, or the median, of each time after each activity; after one not seen, that of all."""

    by_kind: Mapping[int, tuple[float, ...]]
    overall: tuple[float, ...]

    @classmethod
    def fit(cls, cases: Cases, statistic: Literal["mean", "median"]) -> WaitsByActivity:
        """Find them in cases."""
        middle = np.nanmean if statistic == "mean" else np.nanmedian

        def of(waits: NDArray[np.float64]) -> tuple[float, ...]:
            columns = (waits[:, place] for place in range(TIMES))
            return tuple(float(middle(column)) if np.isfinite(column).any() else float("nan") for column in columns)

        by_kind = {int(kind): of(cases.waits[cases.kinds == kind]) for kind in np.unique(cases.kinds)}
        return cls(by_kind, of(cases.waits))

    def predict(self, cases: Cases) -> Predicted:
        """Return the times after each event."""
        found = np.array([self.by_kind.get(int(kind), self.overall) for kind in cases.kinds])
        return Predicted(None, np.where(np.isnan(found), np.array(self.overall), found))
