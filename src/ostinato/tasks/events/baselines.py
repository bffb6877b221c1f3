"""What an event predictor has to beat: counts of what followed the last activities, and mean times."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.events.cases import Case


class FollowerCounts:
    """What followed each run of activities: the distribution after the longest run that was seen, mixed with shorter.

    Runs up to `order` are mixed by Witten and Bell's rule: a run that was followed by `d` different things in `n`
    places leaves `d / (n + d)` to the next shorter one, the empty run to all classes alike.

    Args:
        cases: to count.
        classes: what may follow, the end among them.
        order: activities looked back on.

    Source: I. Witten and T. Bell, "The zero-frequency problem", IEEE Transactions on Information Theory 37, 1991.
    """

    def __init__(self, cases: Sequence[Case], classes: int, order: int) -> None:
        self.classes, self.order = classes, order
        counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for case in cases:
            for place, following in enumerate(case.following.tolist()):
                if 0 <= following < classes:
                    for run in _runs(case.kinds, place, order):
                        counts[run][following] += 1
        self.counts = dict(counts)

    def chances(self, cases: Sequence[Case]) -> NDArray[np.float64]:
        """Return the distribution after each event of cases, `(events of all cases, classes)`."""
        found: dict[tuple[int, ...], NDArray[np.float64]] = {}
        rows = []
        for case in cases:
            for place in range(len(case.kinds)):
                runs = _runs(case.kinds, place, self.order)
                if runs[-1] not in found:
                    found[runs[-1]] = self._mixed(runs)
                rows.append(found[runs[-1]])
        return np.array(rows).reshape(-1, self.classes)

    def _mixed(self, runs: list[tuple[int, ...]]) -> NDArray[np.float64]:
        chances = np.full(self.classes, 1.0 / self.classes)
        for run in runs:  # from the shortest on
            own = self.counts.get(run)
            if own is None:
                break
            seen = np.zeros(self.classes)
            seen[list(own)] = list(own.values())
            chances = (seen + len(own) * chances) / (seen.sum() + len(own))
        return chances


class WaitsByActivity:
    """The mean, or the median, of a time after each activity; after one not seen, that of all."""

    def __init__(self, cases: Sequence[Case], place: int, statistic: Literal["mean", "median"]) -> None:
        kinds, waits = _flat(cases, place)
        own = np.mean if statistic == "mean" else np.median
        known = np.isfinite(waits)
        self.overall = float(own(waits[known])) if known.any() else np.nan
        self.by_kind = {int(kind): float(own(waits[known & (kinds == kind)])) for kind in np.unique(kinds[known])}

    def seconds(self, cases: Sequence[Case]) -> NDArray[np.float64]:
        """Return the time after each event of cases, `(events of all cases,)`."""
        return np.array([self.by_kind.get(int(kind), self.overall) for case in cases for kind in case.kinds])


def _runs(kinds: NDArray[np.int64], place: int, order: int) -> list[tuple[int, ...]]:
    """Return the last activities up to a place, none of them first; the beginning of a case is told apart."""
    before = [-1] * order + kinds[: place + 1].tolist()
    return [tuple(before[len(before) - length :]) for length in range(order + 1)]


def _flat(cases: Sequence[Case], place: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return np.concatenate([case.kinds for case in cases]), np.concatenate([case.waits[:, place] for case in cases])
