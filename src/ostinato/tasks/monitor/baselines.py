"""What a patient monitor has to beat: logistic regression on summaries, how far last values are off, the prevalence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.health.summaries import KEPT, READ, of_batch
from ostinato.errors import DataError, MissingExtra
from ostinato.tasks.monitor.stays import MonitorEncoder, Stays

Floats = NDArray[np.float64]
_ROWS = 128
_MOST = 20_000  # rows that a regression is fitted on, at most
_PARTS = (0, 1, 2, 3)  # of `KEPT`: last, mean, least, greatest
_OFF = 3.0


@dataclass(frozen=True)
class Regression:
    """Logistic regression on the last, mean, least and greatest value of each variable, 0 (the mean) without any.

    Args:
        weights: `(4 * variables,)`; bias: of the logit.
        variables, scale: how the summaries are made, see `of_batch`.
    """

    weights: Floats
    bias: float
    variables: int
    scale: float

    @classmethod
    def fit(cls, stays: Stays, encoder: MonitorEncoder, seed: int) -> Regression:
        """Fit on the judged steps.

        Raises:
            MissingExtra: scikit-learn is not installed.
            DataError: the training part has but one outcome.
        """
        try:
            from sklearn.linear_model import LogisticRegression
        except ImportError as error:
            raise MissingExtra("logistic regression needs scikit-learn: pip install 'ostinato[health]'") from error
        rows = np.flatnonzero(stays.judged)
        if len(rows) > _MOST:
            rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST, replace=False))
        truth = stays.labels[rows] == 1
        if truth.all() or not truth.any():
            raise DataError("the training part has but one outcome")
        features = summaries(stays, len(encoder.variables), encoder.scale, rows)
        found = LogisticRegression(C=0.05, max_iter=500).fit(features, truth)
        return cls(found.coef_[0].astype(np.float64), float(found.intercept_[0]), len(encoder.variables), encoder.scale)

    def predict(self, stays: Stays) -> Floats:
        """Return the risk after each step, `(steps,)`."""
        logits = summaries(stays, self.variables, self.scale, None) @ self.weights + self.bias
        return np.asarray(1 / (1 + np.exp(-logits)))


@dataclass(frozen=True)
class Severity:
    """How far the last value of each variable is from its mean, summed up: one number, and its logistic regression.

    Args:
        slope, shift: of the logit.
        variables, scale: see `Regression`.
    """

    slope: float
    shift: float
    variables: int
    scale: float

    @classmethod
    def fit(cls, stays: Stays, encoder: MonitorEncoder) -> Severity:
        """Fit on the judged steps."""
        rows = np.flatnonzero(stays.judged)
        score = cls(1.0, 0.0, len(encoder.variables), encoder.scale)._scores(stays)[rows]
        slope, shift = logistic(score, stays.labels[rows])
        return cls(slope, shift, len(encoder.variables), encoder.scale)

    def predict(self, stays: Stays) -> Floats:
        """Return the risk after each step, `(steps,)`."""
        return np.asarray(1 / (1 + np.exp(-(self.slope * self._scores(stays) + self.shift))))

    def _scores(self, stays: Stays) -> Floats:
        found = summaries(stays, self.variables, self.scale, None, parts=(0,))
        return np.asarray(np.minimum(np.abs(found), _OFF).sum(1), np.float64)


@dataclass(frozen=True)
class Prevalence:
    """The share of the training part, whoever the patient is."""

    share: float

    @classmethod
    def fit(cls, stays: Stays) -> Prevalence:
        """Take it from the judged steps."""
        return cls(float(stays.labels[stays.judged].mean()))

    def predict(self, stays: Stays) -> Floats:
        """Return the same risk after each step, `(steps,)`."""
        return np.full(len(stays.hours), self.share)


def summaries(
    stays: Stays, variables: int, scale: float, rows: NDArray[np.int64] | None, parts: tuple[int, ...] = _PARTS
) -> NDArray[Any]:
    """Return summaries of each variable up to some steps, `(steps, len(parts) * variables)`; `None`: up to all."""
    places = np.arange(len(stays.hours)) if rows is None else rows
    found = np.zeros((len(places), len(parts) * variables), np.float32)
    owners = stays.owners[places]
    order = np.argsort(stays.lengths, kind="stable")
    for first in range(0, len(order), _ROWS):
        picked = order[first : first + _ROWS]
        mine = np.flatnonzero(np.isin(owners, picked))
        if not len(mine):
            continue
        values, mask, hours, _ = stays.dense(picked.tolist(), variables)
        x = of_batch(values, mask, hours, scale)
        column = np.empty(len(stays), np.int64)
        column[picked] = np.arange(len(picked))
        steps = places[mine] - stays.bounds[owners[mine]]
        held = x[steps, column[owners[mine]]]
        for place, part in enumerate(parts):
            begin = (READ + part) * variables
            found[mine, place * variables : (place + 1) * variables] = held[:, begin : begin + variables]
    assert max(parts) < KEPT
    return found


def logistic(scores: Floats, truth: Floats, *, prior: float = 1.0) -> tuple[float, float]:
    """Return slope and shift of a logistic regression on one number, by Newton's steps.

    Args:
        scores: `(rows,)`.
        truth: 1 or 0.
        prior: how strongly the slope is held at 1 and the shift at 0, in rows.
    """
    slope, shift = 1.0, 0.0
    for _ in range(50):
        given = 1 / (1 + np.exp(-np.clip(slope * scores + shift, -30, 30)))
        spread = given * (1 - given)
        gradient = np.array(
            [((given - truth) * scores).sum() + prior * (slope - 1), (given - truth).sum() + prior * shift * 0.1]
        )
        curve = np.array(
            [
                [(spread * scores**2).sum() + prior, (spread * scores).sum()],
                [(spread * scores).sum(), spread.sum() + prior * 0.1],
            ]
        )
        step = np.linalg.solve(curve + 1e-9 * np.eye(2), gradient)
        step = step / max(1.0, float(np.abs(step).max()))
        slope, shift = slope - float(step[0]), shift - float(step[1])
        if np.abs(step).max() < 1e-8:
            break
    return slope, shift
