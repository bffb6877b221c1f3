"""How well steps were judged: against labels where there are any, else how often there was an alarm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.anomaly import nab
from ostinato.tasks.anomaly.judged import Scored
from ostinato.tasks.anomaly.ranges import (
    best_point_adjusted_f1,
    f_measure,
    range_precision,
    range_recall,
    ranges_of,
    vus_pr,
)
from ostinato.tasks.base.alarms import beginnings, merged
from ostinato.tasks.base.areas import auroc
from ostinato.tasks.base.units import Parts, Units, blocks, mean_of

if TYPE_CHECKING:
    from ostinato.tasks.anomaly.encoder import SeriesExamples

Floats = NDArray[np.float64]
ALARMS = "alarms in 10,000"
_BLOCK = 20


def step_measures(examples: SeriesExamples, predicted: Scored, merge: int) -> dict[str, float]:
    """Return the mean absolute error of what was expected, and how many alarms there were."""
    found = {name: parts.total for name, parts in step_units(examples, predicted, merge).measures.items()}
    return {name: value for name, value in found.items() if name != "MAE" or predicted.expected is not None}


def step_units(examples: SeriesExamples, predicted: Scored, merge: int) -> Units:
    """Return the same by blocks of steps."""
    bounds = list(zip(examples.start.tolist(), examples.stop.tolist(), strict=True))
    rows = len(examples)
    owners = blocks(rows, min(_BLOCK, max(rows, 1)))
    count = int(owners[-1]) + 1 if rows else 0
    begun, offset = [], 0
    for first, stop in bounds:
        begun.append(beginnings(predicted.alarms[offset : offset + stop - first], merge))
        offset += stop - first
    starts = np.concatenate(begun) if begun else np.zeros(0)
    measures: dict[str, Parts] = {}
    if predicted.expected is not None:
        truth = np.concatenate([one.values[a:b] for one, (a, b) in zip(examples.records.series, bounds, strict=True)])
        error = np.abs(truth - predicted.expected)
        measures["MAE"] = mean_of(error, np.broadcast_to(owners[:, None], error.shape), count)
    measures[ALARMS] = mean_of(1e4 * starts, owners, count)
    return Units(count, "blocks of steps", measures)


def label_measures(examples: SeriesExamples, predicted: Scored, merge: int) -> dict[str, float]:
    """Return the measures against labels; none without both kinds of them."""
    labels = examples.labels
    if labels is None or labels.all() or not labels.any():
        return {}
    scores = np.where(predicted.scores == predicted.scores, predicted.scores, 0.0)
    found: dict[str, float] = {"VUS-PR": vus_pr(labels, scores), "AUROC": auroc(labels, scores)}
    real, said, raw, windows, offset = [], [], 0.0, 0, 0
    for first, stop in zip(examples.start.tolist(), examples.stop.tolist(), strict=True):
        rows = slice(offset, offset + stop - first)
        held, marks = ranges_of(labels[rows]), predicted.alarms[rows]
        real += [(a + offset, b + offset) for a, b in held]
        said += [(a + offset, b + offset) for a, b in merged(marks, merge)]
        judged = nab.Judged.of(
            stop - first, [(a, b - 1) for a, b in held], judged_from=max(0, nab.probation(stop) - first)
        )
        raw, windows = raw + nab.raw_score(judged, marks), windows + judged.count
        offset += stop - first
    precision, recall = range_precision(real, said), range_recall(real, said)
    found |= {
        "range precision": 0.0 if math.isnan(precision) else precision,
        "range recall": recall,
        "range F1": f_measure(precision, recall),
        "NAB score": nab.normalised(raw, windows),
        "point-adjusted F1": best_point_adjusted_f1(labels, scores),
    }
    return found
