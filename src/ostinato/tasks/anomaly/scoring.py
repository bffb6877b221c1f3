"""From what was expected and what came to one score a step: views, their tails, the greatest of them, its tail.

Each view is brought to -log of how many normal steps begin a peak as high (`rarity.py`), so that a spike, a drift of
many steps, a channel that stands still and values that are missing can be held against each other. Of `n` steps no more
than log(n) nats can be known of that. Beyond, the tail of a view is a belief, and counts for a half of what it says,
for less where few peaks were measured: otherwise the view that is calibrated worst is heard most. The view of the
newest step has many peaks where that of many steps has few. A value that never came is beside them as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.anomaly.manners import ABSENT, DRIFT, LIKENESS, STILL, usual_of
from ostinato.tasks.anomaly.novelty import NEAR, Novelty, nats_of, usual_distance
from ostinato.tasks.anomaly.rarity import Rarity
from ostinato.tasks.anomaly.relations import Relations
from ostinato.tasks.anomaly.views import VIEWS, Pace, Usual, Views, beside, heights, measured
from ostinato.tasks.base.tail import LiveTail, Tail

Floats = NDArray[np.float64]
_SHARE = 0.05
_COMPARED, _MOST, _TINY = 50, 3.0, 1e-12
_BELIEVED, _WELL = 0.5, 8.0  # of a view, beyond what is known; peaks it is measured on for so much belief
_BEGUN = 2  # a part of a series, as one in so many, in which values that never came say nothing of what is usual
_PRIOR = 200.0  # peaks' worth of belief that a score in nats has the tail of one
_DRAWN = 10.0  # peaks' worth of belief that nats of views are nats of the score
# nats, and what is not believed of those beyond where peaks are known; by false alarms of thirteen kinds of data
_TRUSTED, _DOUBTED = 4.0, 0.3
_MOSTLY, _ANY = 0.5, 1e12  # share of steps in stands; a scale by which no stand is long
_STANDS = 8.0  # of them that count, at most
_FORGIVEN = 2.0  # missing values that are none
# the places of values that never came, of channels that stand still and of missing values, behind the views; the last
# is only said, of a channel that left its season
NOVELTY, STUCK, MISSING, ASTRAY = range(len(VIEWS), len(VIEWS) + 4)


@dataclass(frozen=True)
class Errors:
    """What one series was expected to be, and how it was.

    Args:
        error: `(steps, channels)`, scaled, NaN where missing.
        scale: of the expected distribution, likewise.
        novelty: how far values are that never came, `(steps, 2, channels)`, see `Novelty`.
        counts: how many values there were before, `(steps, channels)`.
        manner: what the channels were doing, `(steps, 4, channels)`, see `Manner.found`.
    """

    error: Floats
    scale: Floats
    novelty: Floats
    counts: Floats
    manner: Floats

    @property
    def beside(self) -> Floats:
        """The views that are not of errors, `(steps, 2, channels)`."""
        return beside(self.manner[:, LIKENESS], self.manner[:, DRIFT])

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
        views: `(views, 2, 1)`, how rare heights of each view are on either side.
        still, missing: `(channels,)`, how rare stands, and heights of missing values, are.
        absent: `(channels,)`, share of values that are usually missing.
        near: `(channels,)`, how far new values usually lie.
        tail: of the whole score.
        freedom: `(channels,)`, degrees of freedom of errors.
        pace: of the views.
        count: normal steps that this was found from.
        gap: steps between two peaks at least.
        relations: the channels that follow others; what is left of them stands behind the channels in all views.
        manners: `(2, channels)`, the longest stand of a channel, and how like the season before it usually is.
    """

    usual: Usual
    views: Rarity
    still: Rarity
    missing: Rarity
    absent: Floats
    near: Floats
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
        channels = len(freedom)
        held = Relations.none(channels) if relations is None else relations
        wide = channels + len(held)
        return cls(
            Usual.unknown(wide), Rarity.unknown((len(VIEWS), 2, 1)), Rarity.unknown((wide,)), Rarity.unknown((wide,)),
            np.full(wide, 0.5), np.full(wide, NEAR), Tail(1.0, 1.0, 1.0, 0.0), freedom, pace, relations=held,
            manners=np.zeros((2, channels)),
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

    def nats(self, z: Floats, novelty: Floats, counts: Floats, manner: Floats) -> Floats:
        """Return -log of how many normal steps begin a peak as high as each view's; NaN: unknown.

        Args:
            z: deviations, `(..., views, channels)`.
            novelty: `(..., 2, channels)`.
            counts: values there were before, `(..., channels)`, of which some never came.
            manner: `(..., 4, channels)`.

        Returns:
            `(..., views + 3, 2, channels)`: views, values that never came, stands, missing values.
        """
        nats = self.views.nats(heights(z))
        still = self.still.nats(manner[..., STILL, :] - 1)
        missing = self.missing.nats(self.missed(manner[..., ABSENT, :]))
        nats, still = self.believed(nats, self.views.peaks), self.believed(still, self.still.weights)
        # nothing is said before there is a view of the newest step
        there = z[..., :1, None, :] == z[..., :1, None, :]
        unseen = nats_of(novelty, counts[..., None, :], self.near)
        beside_views = np.stack([unseen, _one_sided(still)], -3)
        # of values that are missing only what is beyond their tail is said
        gone = np.where(missing > self.missing.levels, missing, np.nan)
        return np.concatenate([nats, np.where(there, beside_views, np.nan), _one_sided(gone)[..., None, :, :]], -3)

    def believed(self, nats: Floats, peaks: Floats) -> Floats:
        """Return what is believed of nats: all up to what can be known of the steps that they were measured on."""
        known, share = math.log1p(max(self.count, 0)), _BELIEVED * np.minimum(1.0, np.sqrt((peaks + 1) / _WELL))
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
        nats: `(views + 3, 2, channels)`.
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
        views = Views(first, pace)
        found = np.full((len(part.error), len(VIEWS), channels), np.nan)
        for step in range(len(part.error)):
            views.push(part.error[step], part.scale[step], freedom, part.beside[step])
            found[step] = views.raw
        found[~normal] = np.nan
        raw.append(found)
    usual = measured(np.concatenate(raw), first.ratio)
    z = [z_of(part, usual, freedom, pace) for part in parts]
    for deviations, normal in zip(z, kept, strict=True):
        deviations[~normal] = np.nan
    steps = sum(int(normal.sum()) for normal in kept)
    tails = _with_tails(replace(unknown, usual=usual, gap=gap, count=steps), z, parts, kept)
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
    """Return distances `(steps, 2, channels)` and counts `(steps, channels)` of values from a row on; states go on.

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
            share, side = state.push(value, learn=learned[row])
            found[row, side, channel] = share
            if share != share:
                found[row, :, channel] = share
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
    views, others = Views(usual, pace), errors.beside
    return (
        np.stack([views.push(errors.error[i], errors.scale[i], freedom, others[i]) for i in range(len(others))])
        if len(others)
        else np.zeros((0, len(VIEWS), len(freedom)))
    )


def scores_of(calibration: Calibration, errors: Errors, z: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the score of each step, `(steps,)`, and its view, side and channel, `(steps, 3)`."""
    nats = calibration.nats(z, errors.novelty, errors.counts, errors.manner)
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


def _with_tails(
    found: Calibration, z: Sequence[Floats], parts: Sequence[Errors], kept: Sequence[NDArray[np.bool_]]
) -> Calibration:
    """Return how rare heights of all views, stands and missing values are, by peaks of normal steps."""
    height = heights(np.concatenate(z))
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
    # of values at the beginning almost all are new
    far = np.concatenate([part.novelty[len(part.novelty) // _BEGUN :][normal[len(normal) // _BEGUN :]].max(1)
                          for part, normal in zip(parts, kept, strict=True)])  # fmt: skip
    found = replace(found, near=np.array([usual_distance(far[:, one]) for one in channels]))
    return replace(
        found, still=still,
        missing=Rarity.fit([gone[:, [one]] for one in channels], [found.pace.long] * len(stands), _SHARE),
    )  # fmt: skip


def _over(run: Floats) -> NDArray[np.bool_]:
    """Tell where a stand ends: at the next step it is shorter."""
    return np.asarray(np.append(run[1:] <= run[:-1], np.ones((1, 1), bool), 0))
