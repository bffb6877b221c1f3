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
_FEW = 4.0  # cases, of which a standard error is itself told badly
_ROUNDING = 1e-9
_KINDS = 2  # the mean, the median


@dataclass(frozen=True)
class UsualWaits:
    """The mean and the median of each time after each activity, and how far predictions are moved towards them.

    Args:
        values: seconds, `(2, activities, times)`: means, then medians; of what was never seen, that of all.
        shares: how much of the mean, and of the median, of each time; none: not decided, nothing.
    """

    values: NDArray[np.float64]
    shares: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what does not belong together, as a damaged file may have it."""
        times = self.values.shape[-1] if self.values.ndim == 3 and self.values.shape[1] else -1
        if len(self.values) != _KINDS or len(self.shares) not in (0, times):
            raise ValueError("the usual times after activities are not of the times that are predicted")
        if not all(min(each) >= 0 and sum(each) <= 1 + _ROUNDING for each in self.shares):
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
        """Return it with the shares that err least on held-out cases, of the mean or of the median.

        Each share counts by how far, in standard errors over cases, it errs more than the best: few cases leave about
        as much of each, and where it is clear what is best, that alone is left.

        Args:
            seconds: what is predicted at each event, `(events, times)`.
            seen: what is known there.
            waits: what came, `(events, times)`, NaN where not known.
            owners: the case of each event.
        """
        usual = self.values[:, seen.lags[:, 0] - 1]
        columns = range(waits.shape[1])
        found = [_shares(seconds[:, place], usual[..., place], waits[:, place], owners) for place in columns]
        return replace(self, shares=tuple(found))

    def moved(self, raw: Tensor, seen: Seen, scales: Sequence[TimeScale]) -> Tensor:
        """Return what is said of times, `(events, times, 2)`, its medians moved towards what is usual."""
        if not any(map(any, self.shares)):
            return raw
        import torch

        centre, usual = raw[..., 0].double().numpy().copy(), self.values[:, seen.lags[:, 0] - 1]
        for place, (scale, shares) in enumerate(zip(scales, self.shares, strict=True)):
            if any(shares):
                seconds = (1 - sum(shares)) * scale.back(centre[:, place]) + np.array(shares) @ usual[..., place]
                centre[:, place] = np.where(np.isfinite(seconds), scale.scaled(seconds), centre[:, place])
        return torch.cat([torch.from_numpy(centre).to(raw.dtype)[..., None], raw[..., 1:]], -1)

    @property
    def words(self) -> str:
        """What moves how far, in words; empty: nothing does."""
        if not any(map(any, self.shares)):
            return ""
        said = (f"{max(each):.0%} {'mean' if each[0] else 'median'}" if any(each) else "0%" for each in self.shares)
        return "; of times after the last activity " + " and ".join(said)


def _shares(seconds: Floats, usual: Floats, truth: Floats, owners: Codes) -> tuple[float, float]:
    """Return how much of the mean or of the median, `(2, events)`, errs least beside what is predicted."""
    known = np.isfinite(truth) & np.isfinite(usual).all(0) & np.isfinite(seconds)
    if not known.any():
        return 0.0, 0.0
    seconds, usual, truth = seconds[known], usual[:, known], truth[known]
    _, places = np.unique(owners[known], return_inverse=True)

    def errors(kind: int, share: float) -> Floats:
        """Return the sum of the absolute errors of each case."""
        missed = np.abs((1 - share) * seconds + share * usual[kind] - truth)
        return np.bincount(places, missed).astype(np.float64)

    shares = [_share(np.stack([errors(kind, float(share)) for share in _SHARES])) for kind in range(_KINDS)]
    left = [float(errors(kind, share).sum()) for kind, share in enumerate(shares)]
    if min(left) >= float(errors(0, 0.0).sum()):
        return 0.0, 0.0
    return (shares[0], 0.0) if left[0] < left[1] else (0.0, shares[1])


def _share(errors: Floats) -> float:
    """Return the mean share, each as likely as its errors, `(shares, cases)`, make it beside the best one."""
    behind = errors - errors[errors.sum(1).argmin()]
    spread = np.sqrt((behind**2).sum(1)) * np.sqrt(1 + _FEW / errors.shape[1])
    likely = np.exp(-0.5 * (behind.sum(1) / np.maximum(spread, 1e-12)) ** 2)
    return float(likely @ _SHARES / likely.sum())
