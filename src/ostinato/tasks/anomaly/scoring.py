"""From what was expected and what came to one score a step: views, their tails, the greatest of them, its tail.

Of `n` steps no more than log(n) nats can be known of how rare something is, of runs of `k` steps no more than log(n /
k). Beyond that the tail of a view is a belief, and counts for a quarter of what it says, that of a run for less:
otherwise the view that is calibrated worst is heard most. A value that never came is beside them as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.anomaly.novelty import Novelty
from ostinato.tasks.anomaly.relations import Relations
from ostinato.tasks.anomaly.views import VIEWS, Pace, Usual, Views, heights, measured
from ostinato.tasks.base.tail import LiveTail, Tail

Floats = NDArray[np.float64]
_SHARE = 0.05
_COMPARED, _MOST, _TINY = 50, 3.0, 1e-12
_BELIEVED = np.array([0.25, 0.1, 0.1, 0.02, 0.02])[:, None, None]  # of each view, beyond what is known
_BEGUN = 2  # a part of a series, as one in so many, in which values that never came say nothing of what is usual
_PRIOR = 200.0  # peaks' worth of belief that a score in nats has the tail of one
_DRAWN = 10.0  # peaks' worth of belief that nats of views are nats of the score
# nats, and what is not believed of those beyond where peaks are known; by false alarms of thirteen kinds of data
_TRUSTED, _DOUBTED = 4.0, 0.3
NOVELTY = len(VIEWS)  # the place of values that never came, behind the views
STUCK, ASTRAY = NOVELTY + 1, NOVELTY + 2  # what is only said: a channel that stands still, one that left its season


@dataclass(frozen=True)
class Errors:
    """What one series was expected to be, and how it was.

    Args:
        error: `(steps, channels)`, scaled, NaN where missing.
        scale: of the expected distribution, likewise.
        novelty: nats of values that never came, `(steps, 2, channels)`, see `Novelty`.
        counts: how many values there were before, `(steps, channels)`.
    """

    error: Floats
    scale: Floats
    novelty: Floats
    counts: Floats

    def related(self, relations: Relations) -> Errors:
        """Return them with what is left of the channels that follow others."""
        return Errors(
            *relations.extended(self.error, self.scale), relations.widened(self.novelty, copied=False),
            relations.widened(self.counts, copied=True),
        )  # fmt: skip


@dataclass(frozen=True)
class Calibration:
    """How normal steps are scored, as it was found on the training and validation parts.

    Args:
        usual: of the views, where a series begins.
        begins, shares, scales: `(views, 2, 1)`, the exponential tail of each view's height on either side: where it
            begins, -log of how many steps lie beyond, and its mean excess.
        tail: of the whole score.
        freedom: `(channels,)`, degrees of freedom of errors.
        pace: of the views.
        count: normal steps that this was found from.
        gap: steps between two peaks at least.
        relations: the channels that follow others; what is left of them stands behind the channels in all views.
        manners: `(2, channels)`, the longest stand of a channel, and how like the season before it usually is.
    """

    usual: Usual
    begins: Floats
    shares: Floats
    scales: Floats
    tail: Tail
    freedom: Floats
    pace: Pace
    count: int = 0
    gap: int = 0
    relations: Relations = field(default_factory=lambda: Relations.none(1))
    manners: Floats = field(default_factory=lambda: np.zeros((2, 1)))

    @classmethod
    def unknown(cls, freedom: Floats, pace: Pace, relations: Relations | None = None) -> Calibration:
        """Return what stands before anything was measured."""
        shape, channels = (len(VIEWS), 2, 1), len(freedom)
        held = Relations.none(channels) if relations is None else relations
        return cls(
            Usual.unknown(channels + len(held)), np.ones(shape), np.full(shape, -math.log(_SHARE)), np.ones(shape),
            Tail(1.0, 1.0, 1.0, 0.0), freedom, pace, relations=held, manners=np.zeros((2, channels)),
        )  # fmt: skip

    @property
    def freedoms(self) -> Floats:
        """Degrees of freedom of the channels, and of what is left of those that follow others."""
        return self.relations.freedoms(self.freedom)

    def drawn(self, score: float, live: float) -> float:
        """Return a score in nats: of its own tail, drawn to what the views say, the more the fewer peaks that knew."""
        peaks = self.tail.share * self.count
        weight = peaks / (peaks + _DRAWN)
        found = weight * live + (1 - weight) * score
        return found if found < _TRUSTED else found - _DOUBTED * weight * weight * (found - _TRUSTED)

    def live(self) -> LiveTail:
        """Return the tail that follows the scores of a series."""
        return LiveTail(self.tail, self.count, self.gap)

    def nats(self, z: Floats, novelty: Floats, counts: Floats) -> Floats:
        """Return -log of how often each view is as high on normal data, `(..., views + 1, 2, channels)`; NaN: unknown.

        Args:
            z: deviations, `(..., views, channels)`.
            novelty: `(..., 2, channels)`.
            counts: values there were before, `(..., channels)`.
        """
        height = heights(z)
        beyond = (height - self.begins) / self.scales
        # below its tail it only has to rise
        nats = np.where(beyond > 0, self.shares + beyond, height / self.begins * self.shares)
        known = np.log1p(counts[..., None, None, :] / self.pace.steps[:, None, None])
        nats = np.where(nats > known, known + _BELIEVED * (nats - known), nats)
        # nothing is said before there is a view of the newest step
        unseen = np.where(z[..., :1, None, :] == z[..., :1, None, :], novelty[..., None, :, :], np.nan)
        return np.concatenate([nats, unseen], -3)


def score_of(nats: Floats) -> tuple[float, int, int, int]:
    """Return the score of a step, and the view, the side and the channel it is from; NaN: nothing is known.

    Args:
        nats: `(views + 1, 2, channels)`.
    """
    flat = np.where(nats == nats, nats, -1.0).ravel()
    place = int(flat.argmax())
    view, rest = divmod(place, 2 * nats.shape[-1])
    side, channel = divmod(rest, nats.shape[-1])
    best = float(flat[place])
    return (best if best >= 0 else math.nan), view, side, channel


def calibrated(
    parts: Sequence[Errors],
    kept: Sequence[NDArray[np.bool_]],
    freedom: Floats,
    pace: Pace,
    gap: int,
    learned: Sequence[int],
) -> Calibration:
    """Find how normal steps are scored.

    Args:
        parts: of each series.
        kept: of each series, which steps are normal, `(steps,)`.
        freedom: `(channels,)`.
        pace: of the views.
        gap: steps between two peaks at least.
        learned: of each series, how many of its first steps the network was trained on.
    """
    parts = as_if_unseen(parts, kept, learned)
    sizes = [part.error / part.scale for part in parts]
    relations = Relations.fit(np.concatenate([size[normal] for size, normal in zip(sizes, kept, strict=True)]))
    unknown = Calibration.unknown(freedom, pace, relations)
    parts, freedom = [part.related(relations) for part in parts], unknown.freedoms
    channels = len(freedom)
    first = _begin(parts, kept, channels)
    raw = []
    for part, normal in zip(parts, kept, strict=True):
        views = Views(first, pace)
        found = np.full((len(part.error), len(VIEWS), channels), np.nan)
        for step in range(len(part.error)):
            views.push(part.error[step], part.scale[step], freedom)
            found[step] = views.raw
        found[~normal] = np.nan
        raw.append(found)
    usual = measured(np.concatenate(raw), first.ratio)
    z = [z_of(part, usual, freedom, pace) for part in parts]
    for deviations, normal in zip(z, kept, strict=True):
        deviations[~normal] = np.nan
    tails = _with_tails(unknown, usual, np.concatenate(z))
    # series lie apart from each other, so that no peak is of two; at the beginning of each almost all values are new
    scores = np.concatenate([
        np.append(scores_of(tails, part, one)[0][len(one) // _BEGUN :], np.full(gap + 1, np.nan))
        for part, one in zip(parts, z, strict=True)
    ])  # fmt: skip
    count = int(np.isfinite(scores).sum())
    return replace(tails, tail=_as_nats(Tail.fit(scores, gap=gap), count), count=count, gap=gap)


def _as_nats(tail: Tail, count: int) -> Tail:
    """Return a tail that is drawn to that of a score which is in nats already, the more the fewer peaks there were."""
    peaks = tail.share * count
    weight = peaks / (peaks + _PRIOR)
    return replace(tail, scale=weight * tail.scale + 1 - weight, shape=weight * tail.shape)


def novelty_of(
    values: Floats, normal: NDArray[np.bool_], states: Sequence[Novelty], begin: int
) -> tuple[Floats, Floats]:
    """Return nats `(steps, 2, channels)` and counts `(steps, channels)` of values from a row on; states go on.

    Args:
        values: scaled, `(rows, channels)`, all of the series.
        normal: `(rows,)`; others are not learned.
        states: of each channel.
        begin: the first row that is asked for.
    """
    shape = values.shape
    found, counts = np.zeros((shape[0], 2, shape[1])), np.zeros(shape)
    learned = normal.tolist()
    for channel, state in enumerate(states):
        for row, value in enumerate(values[:, channel].tolist()):
            counts[row, channel] = state.count
            nats, side = state.push(value, learn=learned[row])
            found[row, side, channel] = nats
            if nats != nats:
                found[row, :, channel] = nats
    return found[begin:], counts[begin:]


def as_if_unseen(parts: Sequence[Errors], kept: Sequence[NDArray[np.bool_]], learned: Sequence[int]) -> list[Errors]:
    """Return errors of steps that were trained on, made as much larger as those of other steps are.

    A network knows its training steps; that it is better there is no promise for what comes.
    """
    sizes = [np.abs(part.error / part.scale) for part in parts]
    there = [np.arange(len(part.error)) < count for part, count in zip(parts, learned, strict=True)]
    found = []
    seen = np.concatenate([size[normal & value] for size, normal, value in zip(sizes, kept, there, strict=True)])
    new = np.concatenate([size[normal & ~value] for size, normal, value in zip(sizes, kept, there, strict=True)])
    factor = np.ones(seen.shape[1])
    for channel in range(len(factor)):
        one, other = (each[:, channel][np.isfinite(each[:, channel])] for each in (seen, new))
        if min(len(one), len(other)) >= _COMPARED and np.mean(one) > 0:
            # by many small errors and by few large ones
            ratio = max(float(np.median(other) / max(np.median(one), _TINY)), _large(other) / max(_large(one), _TINY))
            factor[channel] = min(max(ratio, 1.0), _MOST)
    for part, marks in zip(parts, there, strict=True):
        found.append(replace(part, error=np.where(marks[:, None], part.error * factor, part.error)))
    return found


def _large(sizes: Floats) -> float:
    return float(np.quantile(sizes, 0.9))


def z_of(errors: Errors, usual: Usual, freedom: Floats, pace: Pace) -> Floats:
    """Return the deviations of all views over a series, `(steps, views, channels)`."""
    views = Views(usual, pace)
    return (
        np.stack([views.push(errors.error[i], errors.scale[i], freedom) for i in range(len(errors.error))])
        if len(errors.error)
        else np.zeros((0, len(VIEWS), len(freedom)))
    )


def scores_of(calibration: Calibration, errors: Errors, z: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the score of each step, `(steps,)`, and its view, side and channel, `(steps, 3)`."""
    nats = calibration.nats(z, errors.novelty, errors.counts)
    found = [score_of(one) for one in nats]
    return np.array([one[0] for one in found]), np.array([one[1:] for one in found], np.int64).reshape(-1, 3)


def live_scores(calibration: Calibration, scores: Floats) -> Floats:
    """Return scores of one series, in their order, in nats of a tail that follows them."""
    tail = calibration.live()
    return np.array([calibration.drawn(float(score), tail.push(float(score))) for score in scores])


def _begin(parts: Sequence[Errors], kept: Sequence[NDArray[np.bool_]], channels: int) -> Usual:
    sizes = np.concatenate([np.abs(part.error / part.scale)[normal] for part, normal in zip(parts, kept, strict=True)])
    ratio = np.ones(channels)
    for channel in range(channels):
        known = sizes[:, channel][np.isfinite(sizes[:, channel])]
        if len(known):
            ratio[channel] = max(float(np.median(known)) / 0.6745, 0.1)
    unknown = Usual.unknown(channels)
    return Usual(ratio, unknown.mean, unknown.deviation)


def _with_tails(found: Calibration, usual: Usual, z: Floats) -> Calibration:
    height = np.where(np.isnan(z)[:, :, None], np.nan, heights(z))
    begins, shares, scales = found.begins.copy(), found.shares.copy(), found.scales.copy()
    for view in range(len(VIEWS)):
        for side in range(2):
            held = Tail.fit(height[:, view, side].ravel(), share=_SHARE)
            begins[view, side] = max(held.begin, 0.5)
            scales[view, side] = min(max(held.scale, 0.3), 10.0)
            shares[view, side] = -math.log(_SHARE)
    return replace(found, usual=usual, begins=begins, shares=shares, scales=scales)
