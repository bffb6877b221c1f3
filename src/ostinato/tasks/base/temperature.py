"""Probabilities that are as often right as they say: scores divided by a temperature."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

Floats = NDArray[np.float64]
_LIMITS = (-3.0, 3.0)  # of a temperature's logarithm: from 1/20 to 20


def find_temperature(scores: Floats, targets: NDArray[np.int64]) -> float:
    """Return the temperature with the least cross-entropy; it changes no prediction, only its probability.

    Args:
        scores: `(examples, classes)`, before the softmax, of examples that were not trained on.
        targets: their classes, `(examples,)`.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2.

    >>> scores = np.array([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])
    >>> temperature = find_temperature(scores, np.array([0, 0, 0, 1]))
    >>> with_temperature(scores, temperature)[0].round(3).tolist()
    [0.75, 0.25]
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(targets))

    def loss(log_temperature: float) -> float:
        tempered = scores * np.exp(-log_temperature)
        return float((logsumexp(tempered, 1) - tempered[rows, targets]).mean())

    # convex in 1 / temperature, so that there is one least value
    return float(np.exp(minimize_scalar(loss, bounds=_LIMITS, method="bounded", options={"xatol": 1e-5}).x))


def with_temperature(scores: Floats, temperature: float) -> Floats:
    """Return probabilities `(examples, classes)` of scores."""
    probabilities: Floats = softmax(scores / temperature, axis=1)
    return probabilities
