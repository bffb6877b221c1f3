"""Areas under curves of two classes: receiver operating characteristic, and precision by recall."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.errors import ShapeError


def auroc(truth: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve: how often a positive example has a higher score than a negative one.

    Ties count half; NaN where there are not examples of both. As scikit-learn's `roc_auc_score`.

    Args:
        truth: `(answers,)`, whether each is positive.
        scores: `(answers,)`, the higher the more positive.

    Source: J. Hanley and B. McNeil, "The meaning and use of the area under a ROC curve", Radiology 143, 1982.

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    from scipy.stats import rankdata

    positive, given = _binary(truth, scores)
    count = int(positive.sum())
    pairs = count * (len(positive) - count)
    if not pairs:
        return float("nan")
    return float((rankdata(given)[positive].sum() - count * (count + 1) / 2) / pairs)


def auprc(truth: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the precision-recall curve, as average precision; a chance model's is the positive share.

    It is the mean of precision over the steps of recall, without interpolation; NaN where nothing is positive. As
    scikit-learn's `average_precision_score`.

    Args:
        truth: `(answers,)`, whether each is positive.
        scores: `(answers,)`, the higher the more positive.

    Source: J. Davis and M. Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006.

    >>> round(auprc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """
    positive, given = _binary(truth, scores)
    if not positive.any():
        return float("nan")
    order = np.argsort(-given, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(given[order])), len(order) - 1)  # equal scores are one step
    hits = np.cumsum(positive[order])[ends]
    gained = np.diff(hits, prepend=0)
    return float((gained * hits / (ends + 1)).sum() / positive.sum())


def _binary(truth: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    positive, given = np.asarray(truth).astype(bool).ravel(), np.asarray(scores, np.float64).ravel()
    if len(positive) != len(given):
        raise ShapeError(f"there are {len(positive)} truths and {len(given)} scores; expected as many")
    return positive, given
