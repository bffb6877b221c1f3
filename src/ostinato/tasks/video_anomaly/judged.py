"""What is found of frames, and how well that is: against labels, and in predicting how things move next."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.alarms import beginnings
from ostinato.tasks.base.units import Parts, Units, blocks, mean_of
from ostinato.tasks.video_anomaly.footage import Clipped

Floats = NDArray[np.float64]
ALARMS = "alarms in 10,000"
ERROR = "next-motion error"
_BLOCK = 20


@dataclass(frozen=True)
class Judged:
    """What a model, or a baseline, says of the frames of clips, one clip behind the other.

    Args:
        scores: `(frames,)`, higher is stranger; NaN for the first of a clip.
        alarms: `(frames,)`.
        errors: `(frames,)`, the mean square of the error of a frame's predicted motion; NaN likewise.
    """

    scores: Floats
    alarms: NDArray[np.bool_]
    errors: Floats


def equal_error_rate(labels: NDArray[np.bool_], scores: Floats) -> float:
    """Return the share of errors where normal frames are as often alarms as anomalous ones are missed.

    NaN where there are not frames of both kinds.

    >>> equal_error_rate(np.array([0, 0, 1, 1], bool), np.array([0.1, 0.9, 0.8, 1.0]))
    0.5
    """
    positive, negative = int(labels.sum()), int((~labels).sum())
    if not positive or not negative:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order]) != 0), len(scores) - 1)  # equal scores are one step
    false = np.append(0, np.cumsum(~labels[order])[last]) / negative
    missed = 1 - np.append(0, np.cumsum(labels[order])[last]) / positive
    # the two cross between these steps
    after = int(np.argmax(false >= missed))
    before = max(after - 1, 0)
    gap = (missed[before] - false[before]) - (missed[after] - false[after])
    share = 0.0 if gap <= 0 else (missed[before] - false[before]) / gap
    return float(false[before] + share * (false[after] - false[before]))


def bounds_of(clips: Clipped) -> list[slice]:
    """Return where the frames of each clip stand among those of all."""
    ends = np.cumsum([0, *map(len, clips.clips)]).tolist()
    return [slice(a, b) for a, b in pairwise(ends)]


def placements(labels: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Return the placement of each frame among those of the other kind, and its weight, both `(frames,)`.

    The placement of an anomalous frame is the share of normal ones with a lower score, that of a normal frame the share
    of anomalous ones with a higher score; equal scores count half. The mean over either kind is the area under the ROC
    curve, and so is the weighed mean, in which both kinds count alike: normal frames, of which there may be few, are so
    a part of what a verdict is tested on.

    Source: E. DeLong, D. DeLong and D. Clarke-Pearson, "Comparing the areas under two or more correlated receiver
    operating characteristic curves", Biometrics 44, 1988.
    """
    found, weights = np.zeros(len(labels)), np.zeros(len(labels))
    for kind, sign in ((labels, 1.0), (~labels, -1.0)):
        others = np.sort(sign * scores[~kind])
        below, upto = (np.searchsorted(others, sign * scores[kind], side) for side in ("left", "right"))
        found[kind] = (below + upto) / (2 * max(len(others), 1))
        weights[kind] = 0.5 / max(int(kind.sum()), 1)
    return found, weights


def measures_of(clips: Clipped, found: Judged, merge: int) -> dict[str, float]:
    """Return all measures: AUC and equal error rate over all frames and as a mean by clip, where labels are known."""
    values = {name: parts.total for name, parts in units_of(clips, found, merge).measures.items()}
    labels = clips.labels
    if labels is None or not _both(labels):
        return values
    scores = _known(found.scores)
    rates = {"equal error rate": equal_error_rate(labels, scores)}
    by_clip = [equal_error_rate(labels[part], scores[part]) for part in bounds_of(clips) if _both(labels[part])]
    if by_clip:
        rates["clip equal error rate"] = float(np.mean(by_clip))
    first: dict[str, float] = {name: values.pop(name) for name in ("frame AUC", "clip AUC") if name in values}
    return {**first, **rates, **values}


def units_of(clips: Clipped, found: Judged, merge: int) -> Units:
    """Return what is measured of each frame, by blocks of frames."""
    frames = len(clips)
    owners = blocks(frames, min(_BLOCK, max(frames, 1)))
    count = int(owners[-1]) + 1 if frames else 0
    labels, parts = clips.labels, bounds_of(clips)
    starts = np.concatenate([beginnings(found.alarms[part], merge) for part in parts] or [np.zeros(0, bool)])
    measures: dict[str, Parts] = {}
    if labels is not None and _both(labels):
        scores = _known(found.scores)
        placed, weights = placements(labels, scores)
        measures["frame AUC"] = mean_of(placed, owners, count, weights)
        by_clip, weights = np.zeros(frames), np.zeros(frames)
        for part in parts:
            if _both(labels[part]):
                by_clip[part], weights[part] = placements(labels[part], scores[part])
        if weights.any():
            measures["clip AUC"] = mean_of(by_clip, owners, count, weights)
        measures["frames found"] = mean_of(np.where(labels, found.alarms, np.nan), owners, count)
        measures["false alarms in 10,000"] = mean_of(np.where(labels, np.nan, 1e4 * starts), owners, count)
    else:
        measures[ALARMS] = mean_of(1e4 * starts, owners, count)
    if np.isfinite(found.errors).any():
        measures[ERROR] = mean_of(found.errors, owners, count)
    return Units(count, "blocks of frames", measures)


def _both(labels: NDArray[np.bool_]) -> bool:
    """Tell whether there are labels of both kinds."""
    return bool(labels.any()) and not bool(labels.all())


def _known(scores: Floats) -> Floats:
    """Return scores in which a frame without one is as usual as the most usual."""
    finite = scores[np.isfinite(scores)]
    return np.where(np.isfinite(scores), scores, finite.min() if len(finite) else 0.0)
