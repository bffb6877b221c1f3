"""How long it usually takes after each activity, beside what is predicted of each event: for logs that say no more."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.events.features import Codes, Floats, Seen
from ostinato.tasks.events.times import TimeScale

if TYPE_CHECKING:
    from torch import Tensor

_SHARES = np.linspace(0, 1, 21)
_PRIOR_CASES = 2.0
_KINDS = 2  # the mean, the median


@dataclass(frozen=True)
class UsualWaits:
    """The mean and the median of each time after each activity, and how far predictions are moved towards them.

    Args:
        values: seconds, `(2, activities, times)`: means, then medians; of what was never seen, that of all.
        kinds: which of the two, of each time; shares: how far, from 0 to 1; none: not decided, not at all.
    """

    values: NDArray[np.float64]
    kinds: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what does not belong together, as a damaged file may have it."""
        times = self.values.shape[-1] if self.values.ndim == 3 and self.values.shape[1] else -1
        if len(self.values) != _KINDS or not len(self.kinds) == len(self.shares) in (0, times):
            raise ValueError("the usual times after activities are not of the times that are predicted")
        if not all(0 <= share <= 1 for share in self.shares) or not all(kind in (0, 1) for kind in self.kinds):
            raise ValueError("the weights of usual times are no shares")

    @classmethod
    def fit(cls, activities: Codes, waits: Floats, count: int) -> UsualWaits:
        """Find them.

        Args:
            activities: at each event, `(events,)`.
            waits: seconds, `(events, times)`, NaN where not known.
            count: of the activities.
        """
        with warnings.catch_warnings():  # of a time that is never known
            warnings.simplefilter("ignore", RuntimeWarning)
            overall = np.stack([np.nanmean(waits, 0), np.nanmedian(waits, 0)]) if len(waits) else np.zeros((_KINDS, 0))
            found = np.repeat(overall[:, None], count, 1)
            for activity in np.unique(activities).tolist():
                own = waits[activities == activity]
                found[:, activity] = np.stack([np.nanmean(own, 0), np.nanmedian(own, 0)])
        return cls(np.where(np.isnan(found), overall[:, None], found))

    def weighed(self, seconds: Floats, seen: Seen, waits: Floats, owners: Codes) -> UsualWaits:
        """Return it with the shares whose mean absolute error is least on held-out cases.

        Only what is saved beyond chance, more than a standard error over cases, moves anything; with few cases little.

        Args:
            seconds: what is predicted at each event, `(events, times)`.
            seen: what is known there.
            waits: what came, `(events, times)`, NaN where not known.
            owners: the case of each event.
        """
        usual = self.values[:, seen.lags[:, 0] - 1]
        found = [
            _best(seconds[:, place], usual[..., place], waits[:, place], owners) for place in range(waits.shape[1])
        ]
        return replace(self, kinds=tuple(kind for kind, _ in found), shares=tuple(share for _, share in found))

    def moved(self, raw: Tensor, seen: Seen, scales: Sequence[TimeScale]) -> Tensor:
        """Return what is said of times, `(events, times, 2)`, its medians moved towards what is usual."""
        if not any(self.shares):
            return raw
        import torch

        centre = raw[..., 0].double().numpy().copy()
        for place, (scale, kind, share) in enumerate(zip(scales, self.kinds, self.shares, strict=True)):
            usual = self.values[kind, seen.lags[:, 0] - 1, place]
            if share:
                seconds = (1 - share) * scale.back(centre[:, place]) + share * usual
                centre[:, place] = np.where(np.isfinite(seconds), scale.scaled(seconds), centre[:, place])
        return torch.cat([torch.from_numpy(centre).to(raw.dtype)[..., None], raw[..., 1:]], -1)

    @property
    def words(self) -> str:
        """What moves how far, in words; empty: nothing does."""
        if not any(self.shares):
            return ""
        shares = zip(self.kinds, self.shares, strict=True)
        return "; of times by the last activity " + " and ".join(
            f"{share:.0%}{(' (mean)', ' (median)')[kind] if share else ''}" for kind, share in shares
        )


def _best(seconds: Floats, usual: Floats, truth: Floats, owners: Codes) -> tuple[int, float]:
    """Return which of the usual times, `(2, events)`, and how much of it, errs least beside what is predicted."""
    known = np.isfinite(truth) & np.isfinite(usual).all(0) & np.isfinite(seconds)
    if not known.any():
        return 0, 0.0
    seconds, usual, truth, owners = seconds[known], usual[:, known], truth[known], owners[known]
    tried = [(kind, float(share)) for kind in range(_KINDS) for share in _SHARES]
    errors = [np.abs((1 - share) * seconds + share * usual[kind] - truth) for kind, share in tried]
    best = int(np.argmin([each.mean() for each in errors]))
    _, places = np.unique(owners, return_inverse=True)
    saved = np.bincount(places, errors[0] - errors[best])  # of each case
    if saved.sum() <= saved.std() * np.sqrt(len(saved)) or len(saved) < 2:
        return 0, 0.0
    kind, share = tried[best]
    return kind, share * len(saved) / (len(saved) + _PRIOR_CASES)
