"""From what was expected and what came to one score a step: views, their tails, the greatest of them, its tail.

Of `n` steps no more than log(n) nats can be known of how rare something is, of runs of `k` steps no more than log(n /
k). Beyond that the tail of a view is a belief, and counts for a quarter of what it says, that of a run for less:
otherwise the view that is calibrated worst is heard most. A value that never came is beside them as it is.

What lasts without surprising a forecaster is evidence apart, with a tail of its own by its peaks (`rarity.py`): a
season that is lost, noise that is quieter, a channel that no longer follows another, one that stands still, values that
are missing. It is not in the tail of the score of the rest: the few long peaks of what lasts would draw that tail up,
and all that is short would seem rarer than it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.anomaly.manners import ABSENT, KNOWN, LIKENESS, STILL, usual_of
from ostinato.tasks.anomaly.novelty import Novelty
from ostinato.tasks.anomaly.rarity import Rarity
from ostinato.tasks.anomaly.relations import Relations
from ostinato.tasks.anomaly.views import OF_ERRORS, VIEWS, Pace, Usual, Views, heights, measured, unlikeness
from ostinato.tasks.base.tail import LiveTail, Tail

Floats = NDArray[np.float64]
_SHARE = 0.05
_LEVEL = -math.log(_SHARE)
_COMPARED, _MOST, _TINY = 50, 3.0, 1e-12
_BELIEVED = np.array([0.25, 0.1, 0.1, 0.02, 0.02])[:, None, None]  # of each view of errors, beyond what is known
_LASTING, _WELL = 0.5, 8.0  # of what lasts, likewise; peaks it is measured on for so much belief
_BEGUN = 2  # a part of a series, as one in so many, in which values that never came say nothing of what is usual
_PRIOR = 200.0  # peaks' worth of belief that a score in nats has the tail of one
_DRAWN = 10.0  # peaks' worth of belief that nats of views are nats of the score
# nats, and what is not believed of those beyond where peaks are known; by false alarms of thirteen kinds of data
_TRUSTED, _DOUBTED = 4.0, 0.6
_MOSTLY, _ANY = 0.5, 1e12  # share of steps in stands; a scale by which no stand is long
_STANDS = 3.0  # of them that count, at most: their tail is heavy
_GROWS = 0.5  # nats in a short run, by which a stand grows that is still worth an alarm
_RARE = math.log(1000)  # nats from which on what lasts is said, or fewer where so many cannot be known
_FORGIVEN = 2.0  # missing values that are none
_SHARED = math.log(3)  # views, stands and missing values have a third each of the alarms at what lasts
# the places of values that never came, of channels that stand still and of missing values, behind the views; the last
# is only said, of a channel that left its season
NOVELTY, STUCK, MISSING, ASTRAY = range(len(VIEWS), len(VIEWS) + 4)
# which views on which sides are of what lasts: noise that is quieter, a season that is lost
_LASTS = np.array([[False, view.endswith("noise")] if view != "rhythm" else [True, False] for view in VIEWS])[
    :, :, None
]


@dataclass(frozen=True)
class Errors:
    """What one series was expected to be, and how it was.

    Args:
        error: `(steps, channels)`, scaled, NaN where missing.
        scale: of the expected distribution, likewise.
        novelty: nats of values that never came, `(steps, 2, channels)`, see `Novelty`.
        counts: how many values there were before, `(steps, channels)`.
        manner: what the channels were doing, `(steps, 4, channels)`, see `Manner.found`.
    """

    error: Floats
    scale: Floats
    novelty: Floats
    counts: Floats
    manner: Floats

    @property
    def unlike(self) -> Floats:
        """How unlike a season ago the channels are, `(steps, channels)`."""
        return unlikeness(self.manner[:, LIKENESS])

    def related(self, relations: Relations) -> Errors:
        """Return them with what is left of the channels that follow others."""
        return Errors(
            *relations.extended(self.error, self.scale), relations.widened(self.novelty, "zero"),
            relations.widened(self.counts, "copied"), relations.widened(self.manner, "unknown"),
        )  # fmt: skip


@dataclass(frozen=True)
class Calibration:
    """How normal steps are scored, as it was found on the training and validation parts.

    Args:
        usual: of the views, where a series begins.
        begins, scales: `(views of errors, 2, 1)`, the exponential tail of each view's height on either side: where it
            begins, and its mean excess.
        views: `(views, 2, 1)`, how rare peaks of each view are on either side, of what lasts.
        still, missing: `(channels,)`, how rare stands, and heights of missing values, are.
        absent: `(channels,)`, share of values that are usually missing.
        tail: of the score of errors and of values that never came.
        freedom: `(channels,)`, degrees of freedom of errors.
        pace: of the views.
        count: normal steps that the tail was found from.
        steps: normal steps that what lasts was measured on.
        gap: steps between two peaks at least.
        relations: the channels that follow others; what is left of them stands behind the channels in all views.
        manners: `(2, channels)`, the longest stand of a channel, and how like the season before it usually is.
    """

    usual: Usual
    begins: Floats
    scales: Floats
    views: Rarity
    still: Rarity
    missing: Rarity
    absent: Floats
    tail: Tail
    freedom: Floats
    pace: Pace
    count: int = 0
    steps: int = 0
    gap: int = 0
    relations: Relations = field(default_factory=lambda: Relations.none(1))
    manners: Floats = field(default_factory=lambda: np.zeros((2, 1)))

    @classmethod
    def unknown(cls, freedom: Floats, pace: Pace, relations: Relations | None = None) -> Calibration:
        """Return what stands before anything was measured."""
        channels = len(freedom)
        held = Relations.none(channels) if relations is None else relations
        wide, sides = channels + len(held), (OF_ERRORS, 2, 1)
        return cls(
            Usual.unknown(wide), np.ones(sides), np.ones(sides), Rarity.unknown((len(VIEWS), 2, 1)),
            Rarity.unknown((wide,)), Rarity.unknown((wide,)), np.full(wide, 0.5), Tail(1.0, 1.0, 1.0, 0.0), freedom,
            pace, relations=held, manners=np.zeros((2, channels)),
        )  # fmt: skip

    @property
    def freedoms(self) -> Floats:
        """Degrees of freedom of the channels, and of what is left of those that follow others."""
        return self.relations.freedoms(self.freedom)

    def together(self, score: float, live: float, lasting: float) -> tuple[float, bool]:
        """Return a score in nats, and whether it is of what lasts.

        Args:
            score: of errors and of values that never came.
            live: the same by its own tail, to which it is drawn, the more the more peaks that knew.
            lasting: of what lasts.
        """
        peaks = self.tail.share * self.count
        weight = peaks / (peaks + _DRAWN)
        found = weight * live + (1 - weight) * score
        found = found if found < _TRUSTED else found - _DOUBTED * weight * weight * (found - _TRUSTED)
        lasts = lasting > found or found != found
        return (lasting if lasts else found), lasts

    def live(self) -> LiveTail:
        """Return the tail that follows the scores of a series."""
        return LiveTail(self.tail, self.count, self.gap)

    def nats(self, z: Floats, novelty: Floats, counts: Floats) -> Floats:
        """Return -log of how often errors are as high on normal data, and new values as far; NaN: unknown.

        Args:
            z: deviations, `(..., views, channels)`.
            novelty: `(..., 2, channels)`.
            counts: values there were before, `(..., channels)`.

        Returns:
            `(..., views + 1, 2, channels)`: views, of which those that are not of errors are unknown, and new values.
        """
        height = heights(z)
        errors = height[..., :OF_ERRORS, :, :]
        beyond = (errors - self.begins) / self.scales
        # below its tail it only has to rise
        nats = np.where(beyond > 0, _LEVEL + beyond, errors / self.begins * _LEVEL)
        known = np.log1p(counts[..., None, None, :] / self.pace.steps[:OF_ERRORS, None, None])
        nats = np.where(nats > known, known + _BELIEVED * (nats - known), nats)
        others = np.full_like(height[..., OF_ERRORS:, :, :], np.nan)
        # nothing is said before there is a view of the newest step
        unseen = np.where(z[..., :1, None, :] == z[..., :1, None, :], novelty[..., None, :, :], np.nan)
        return np.concatenate([nats, others, unseen], -3)

    @cached_property
    def lasts(self) -> NDArray[np.bool_]:
        """Which views are of what lasts, `(views, 2, channels)`: all of what is left of channels that follow others."""
        return _LASTS | (np.arange(len(self.absent)) >= len(self.freedom))

    def lasting(self, z: Floats, manner: Floats) -> Floats:
        """Return -log of how many normal steps begin a peak of what lasts; NaN: unknown, or nothing.

        Args:
            z: deviations, `(..., views, channels)`.
            manner: `(..., 4, channels)`, see `Manner.found`.

        Returns:
            `(..., views + 3, 2, channels)`: views, nothing of values that never came, stands, missing values.
        """
        peaks = self.views.nats(heights(z))
        share = _LASTING * np.minimum(1.0, np.sqrt((self.views.peaks + 1) / _WELL))
        views = np.where(self.lasts, self.believed(peaks, share), np.nan)
        missing = self.missing.nats(self.missed(manner[..., ABSENT, :]))
        # of values that are missing only what is beyond their tail is said
        gone = _one_sided(np.where(missing > self.missing.levels, missing, np.nan))
        still = _one_sided(np.where(z[..., 0, :] == z[..., 0, :], self.stuck(manner), np.nan))
        beside = np.stack([np.full_like(still, np.nan), still, gone], -3)
        found = np.concatenate([views, beside], -3)
        # a little of it lasts for as long as much does, and would only stand before what surprises a little
        return np.where(found > min(math.log1p(max(self.steps, 0)), _RARE), np.maximum(found - _SHARED, 0.0), np.nan)

    def stuck(self, manner: Floats) -> Floats:
        """Return nats of stands, `(..., channels)`, as long as they grow: what has stood for very long is no news."""
        run = np.maximum(manner[..., STILL, :] - 1 - manner[..., KNOWN, :], 0.0)
        nats, before = self.still.nats(run), self.still.nats(np.maximum(run - self.pace.short, 0.0))
        return np.where(nats - before >= _GROWS, self.believed(nats, _LASTING), np.nan)

    def believed(self, nats: Floats, share: Floats | float) -> Floats:
        """Return what is believed of nats: all that can be known of the steps they were measured on, then a share."""
        known = math.log1p(max(self.steps, 0))
        return np.where(nats > known, known + share * (nats - known), nats)

    def missed(self, absent: Floats) -> Floats:
        """Return the heights of shares of missing values, in nats of as many draws: Chernoff's bound."""
        steps = self.pace.long
        share = np.clip(absent - 2 * _FORGIVEN / (1 + steps), self.absent, 1.0)
        usual = self.absent
        some = share * np.log(np.maximum(share, _TINY) / usual)
        others = (1 - share) * np.log(np.maximum(1 - share, _TINY) / (1 - usual))
        return np.asarray(steps * np.maximum(some + others, 0.0))


def _one_sided(nats: Floats) -> Floats:
    """Return nats of one side as those of both, `(..., 2, channels)`."""
    return np.stack([nats, np.full_like(nats, np.nan)], -2)


def score_of(nats: Floats) -> tuple[float, int, int, int]:
    """Return the score of a step, and the view, the side and the channel it is from; NaN: nothing is known.

    Args:
        nats: `(views + ..., 2, channels)`.
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
    doing = np.concatenate([part.manner[normal] for part, normal in zip(parts, kept, strict=True)])
    unknown = replace(unknown, manners=usual_of(doing))
    parts, freedom = [part.related(relations) for part in parts], unknown.freedoms
    channels = len(freedom)
    first = _begin(parts, kept, channels)
    raw = []
    for part, normal in zip(parts, kept, strict=True):
        views, unlike = Views(first, pace), part.unlike
        found = np.full((len(part.error), len(VIEWS), channels), np.nan)
        for step in range(len(part.error)):
            views.push(part.error[step], part.scale[step], freedom, unlike[step])
            found[step] = views.raw
        found[~normal] = np.nan
        raw.append(found)
    usual = measured(np.concatenate(raw), first.ratio)
    z = [z_of(part, usual, freedom, pace) for part in parts]
    for deviations, normal in zip(z, kept, strict=True):
        deviations[~normal] = np.nan
    steps = sum(int(normal.sum()) for normal in kept)
    tails = _with_tails(replace(unknown, usual=usual, gap=gap, steps=steps), z, parts, kept)
    # series lie apart from each other, so that no peak is of two; at the beginning of each almost all values are new
    scores = np.concatenate([
        np.append(scores_of(tails, part, one)[len(one) // _BEGUN :, 0], np.full(gap + 1, np.nan))
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
    views, unlike = Views(usual, pace), errors.unlike
    return (
        np.stack([views.push(errors.error[i], errors.scale[i], freedom, unlike[i]) for i in range(len(unlike))])
        if len(unlike)
        else np.zeros((0, len(VIEWS), len(freedom)))
    )


def scores_of(calibration: Calibration, errors: Errors, z: Floats) -> Floats:
    """Return the scores of each step, `(steps, 2)`: of errors and of values that never came, and of what lasts."""
    surprising = calibration.nats(z, errors.novelty, errors.counts)
    lasting = calibration.lasting(z, errors.manner)
    pairs = [(score_of(one)[0], score_of(other)[0]) for one, other in zip(surprising, lasting, strict=True)]
    return np.array(pairs).reshape(-1, 2)


def live_scores(calibration: Calibration, scores: Floats) -> Floats:
    """Return scores of one series, `(steps, 2)` in their order, in nats of a tail that follows the first of them."""
    tail = calibration.live()
    return np.array([calibration.together(one, tail.push(one), other)[0] for one, other in scores.tolist()])


def _begin(parts: Sequence[Errors], kept: Sequence[NDArray[np.bool_]], channels: int) -> Usual:
    sizes = np.concatenate([np.abs(part.error / part.scale)[normal] for part, normal in zip(parts, kept, strict=True)])
    ratio = np.ones(channels)
    for channel in range(channels):
        known = sizes[:, channel][np.isfinite(sizes[:, channel])]
        if len(known):
            ratio[channel] = max(float(np.median(known)) / 0.6745, 0.1)
    unknown = Usual.unknown(channels)
    return Usual(ratio, unknown.mean, unknown.deviation)


def _with_tails(
    found: Calibration, z: Sequence[Floats], parts: Sequence[Errors], kept: Sequence[NDArray[np.bool_]]
) -> Calibration:
    """Return how rare heights of all views, stands and missing values are on normal steps."""
    height = heights(np.concatenate(z))
    tails = [Tail.fit(height[:, view, side].ravel(), share=_SHARE) for view in range(OF_ERRORS) for side in range(2)]
    begins, scales = ([getattr(tail, name) for tail in tails] for name in ("begin", "scale"))
    found = replace(
        found, begins=np.maximum(begins, 0.5).reshape(OF_ERRORS, 2, 1),
        scales=np.clip(scales, 0.3, 10.0).reshape(OF_ERRORS, 2, 1),
    )  # fmt: skip
    longest = [max(int(steps), found.gap) for steps in found.pace.steps]
    views = Rarity.fit(
        [height[:, view, side] for view in range(len(VIEWS)) for side in range(2)], np.repeat(longest, 2).tolist(),
        _SHARE,
    )  # fmt: skip
    manner = np.concatenate([np.where(normal[:, None, None], part.manner, np.nan)
                             for part, normal in zip(parts, kept, strict=True)])  # fmt: skip
    absent = manner[:, ABSENT]
    rows = np.isfinite(absent).sum(0)
    share = (np.nansum(absent, 0) + 0.5) / (rows + 1)
    found = replace(found, views=views.reshaped(len(VIEWS), 2, 1), absent=np.clip(share, 0, 0.99))
    channels = range(manner.shape[2])
    # a stand is one peak, and none is a value that came once
    stands = [np.where(_over(manner[:, STILL, [one]]), manner[:, STILL, [one]] - 1, 0.0) for one in channels]
    # stands of several kinds have a heavier tail than those of one
    still = Rarity.fit(stands, [0] * len(stands), _SHARE, widest=math.inf, most=_STANDS)
    # of channels that mostly stand still, a long stand says nothing
    mostly = np.array([np.nanmean(manner[:, STILL, one] > 1) > _MOSTLY if rows[one] else False for one in channels])
    still = replace(still, scales=np.where(mostly, _ANY, still.scales))
    gone = found.missed(absent)
    return replace(
        found, still=still,
        missing=Rarity.fit([gone[:, [one]] for one in channels], [found.pace.long] * len(stands), _SHARE),
    )  # fmt: skip


def _over(run: Floats) -> NDArray[np.bool_]:
    """Tell where a stand ends: at the next step it is shorter."""
    return np.asarray(np.append(run[1:] <= run[:-1], np.ones((1, 1), bool), 0))
