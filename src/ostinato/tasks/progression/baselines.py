"""Simple models of progression: Cox at landmarks, Kaplan-Meier, the last value carried forward, a linear model."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ostinato.data.health.summaries import READ
from ostinato.errors import DataError, MissingExtra
from ostinato.tasks.progression.courses import LEVELS, Courses, Floats, elapsed, linear_parts
from ostinato.tasks.progression.judged import Prediction, landmarks_of
from ostinato.tasks.progression.starts import Start

_ALPHAS = (1.0, 3.0, 10.0, 30.0, 100.0)
_FOLDS = 4
_FEWEST = 3  # events that Cox's model is fitted on


def last_values(courses: Courses, steps: Any) -> Floats:
    """Return the last value of each variable at some steps on its scale, `(steps, variables)`, 0 (the mean) without."""
    size = len(courses.encoder.variables)
    return np.asarray(courses.numbers[steps, READ * size : (READ + 1) * size], np.float64)


@dataclass(frozen=True)
class LandmarkCox:
    """Cox's model at each landmark, for each event, on the last values known by then, with a ridge penalty.

    Args:
        weights: `(landmarks, causes, variables)`.
        hazards: `(landmarks, causes, intervals)`, what the baseline hazard adds up to within each.

    Sources: D. Cox, "Regression models and life-tables", 1972; H. van Houwelingen, "Dynamic prediction by landmarking
    in event history analysis", 2007.
    """

    weights: Floats
    hazards: Floats

    @classmethod
    def fit(cls, courses: Courses, seed: int) -> LandmarkCox:
        """Fit it on the training part; the penalty is chosen on patients left out.

        Raises:
            MissingExtra: scikit-survival is not there.
            DataError: there are too few events behind all landmarks.
        """
        encoder = courses.encoder
        size, ends = len(encoder.variables), encoder.ends
        weights = np.zeros((len(encoder.landmarks), len(encoder.causes), size))
        hazards = np.zeros((len(encoder.landmarks), len(encoder.causes), len(ends)))
        fitted = []
        for place, landmark in enumerate(landmarks_of(courses)):
            x = last_values(courses, courses.marks.step[landmark.marks])
            for cause in range(len(encoder.causes)):
                came = landmark.kinds == cause + 1
                if came.sum() < _FEWEST:
                    continue
                found, lasting = _cox(x, came, landmark.durations, ends, seed)
                weights[place, cause], hazards[place, cause] = found, np.diff(lasting, prepend=0.0)
                fitted.append(place)
        if not fitted:
            raise DataError(f"fewer than {_FEWEST} events lie behind each landmark; Cox's model is not fitted")
        for place in range(len(encoder.landmarks)):
            if place not in fitted:  # as at the nearest landmark that has one
                near = min(fitted, key=lambda other: abs(other - place))
                weights[place], hazards[place] = weights[near], hazards[near]
        return cls(weights, hazards)

    def predict(self, courses: Courses) -> Prediction:
        """Return the incidence of each event behind each landmark."""
        marks = courses.marks
        x = last_values(courses, marks.step)
        score = np.einsum("mv,mcv->mc", x, self.weights[marks.landmark])
        added = self.hazards[marks.landmark] * np.exp(np.clip(score, -30, 30))[..., None]
        return Prediction(_incidence(added))


def _incidence(added: Floats) -> Floats:
    """Return the incidence of each event from what cumulative hazards add, `(marks, causes, intervals)`."""
    every = added.sum(1, keepdims=True)
    lasting = np.exp(-np.cumsum(every, -1))
    before = np.concatenate([np.ones_like(lasting[..., :1]), lasting[..., :-1]], -1)
    share = np.divide(added, every, out=np.zeros_like(added), where=every > 0)
    return np.asarray(np.cumsum(before * -np.expm1(-every) * share, -1))


def _cox(x: Floats, came: Any, durations: Floats, ends: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return weights `(variables,)` and the cumulative baseline hazard at the ends, `(intervals,)`."""
    try:
        from sksurv.linear_model import CoxPHSurvivalAnalysis
        from sksurv.metrics import concordance_index_censored
    except ImportError as error:
        raise MissingExtra(
            "Cox's model needs scikit-survival; install it with: pip install 'ostinato[health]'"
        ) from error
    moving = x.std(0) > 1e-9
    outcome = np.array(list(zip(came, durations, strict=True)), dtype=[("came", bool), ("time", float)])

    def fitted(rows: Any, alpha: float) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return CoxPHSurvivalAnalysis(alpha=alpha, ties="breslow", n_iter=100).fit(
                x[np.ix_(rows, moving)], outcome[rows]
            )

    weights = np.zeros(x.shape[1])
    every = np.ones(len(x), bool)
    fold = np.random.default_rng(seed).permutation(len(x)) % _FOLDS
    best, most = _ALPHAS[2], -1.0
    for alpha in _ALPHAS if came.sum() >= 2 * _FOLDS else ():
        scores = []
        for number in range(_FOLDS):
            if came[fold == number].any() and came[fold != number].any():
                model = fitted(fold != number, alpha)
                given = x[np.ix_(fold == number, moving)] @ model.coef_
                try:
                    scores.append(concordance_index_censored(came[fold == number], durations[fold == number], given)[0])
                except ValueError:  # no pair of this fold can be compared
                    continue
        if scores and float(np.mean(scores)) > most:
            best, most = alpha, float(np.mean(scores))
    model = fitted(every, best)
    weights[moving] = model.coef_
    base = model.cum_baseline_hazard_
    place = np.searchsorted(base.x, ends, side="right")
    return weights, np.append(0.0, base.y)[place]


@dataclass(frozen=True)
class KaplanMeier:
    """The incidence of each event behind each landmark in the training part, whoever the patient is.

    Source: O. Aalen and S. Johansen, 1978; of one event it is one less the curve of Kaplan and Meier, 1958.
    """

    incidence: Floats

    @classmethod
    def fit(cls, courses: Courses) -> KaplanMeier:
        """Count it in the training part."""
        encoder = courses.encoder
        found = np.zeros((len(encoder.landmarks), len(encoder.causes), len(encoder.ends)))
        for place, landmark in enumerate(landmarks_of(courses)):
            times = np.unique(landmark.durations[landmark.kinds > 0])
            lasting, total, at = 1.0, np.zeros(len(encoder.causes)), [np.zeros(len(encoder.causes))]
            for time in times.tolist():
                at_risk = (landmark.durations >= time).sum()
                here = landmark.kinds[landmark.durations == time]
                counts = np.bincount(here[here > 0] - 1, minlength=len(encoder.causes))
                total = total + lasting * counts / at_risk
                lasting *= 1 - counts.sum() / at_risk
                at.append(total)
            found[place] = np.array(at)[np.searchsorted(times, encoder.ends, side="right")].T
        return cls(found)

    def predict(self, courses: Courses) -> Prediction:
        """Return the same of each patient at a landmark."""
        return Prediction(self.incidence[courses.marks.landmark])


@dataclass(frozen=True)
class CarriedForward:
    """The last value of each variable; its intervals are quantiles of how far it was off: `off (targets, 3)`."""

    off: Floats

    @classmethod
    def fit(cls, courses: Courses) -> CarriedForward:
        """Take the intervals from the training part."""
        pairs, newest = courses.pairs, courses.newest
        off = np.zeros((len(courses.encoder.targets), len(LEVELS)))
        for target in range(len(off)):
            mine = pairs.target == target
            if mine.any():
                off[target] = np.quantile(pairs.value[mine] - newest[pairs.step[mine], target], LEVELS)
        off[:, 1] = 0.0
        return cls(off)

    def predict(self, courses: Courses) -> Prediction:
        """Return the last values, with intervals."""
        pairs = courses.pairs
        return Prediction(values=courses.newest[pairs.step, pairs.target][:, None] + self.off[pairs.target])


@dataclass(frozen=True)
class Linear:
    """Next values as linear in the last, mean and change of all, and in these by the time ahead, with a penalty."""

    start: Start

    def predict(self, courses: Courses) -> Prediction:
        """Return next values, with intervals of one width for each variable."""
        encoder, pairs = courses.encoder, courses.pairs
        targets, size = len(encoder.targets), len(encoder.variables)
        x = linear_parts(courses.numbers[pairs.step], size).astype(np.float64)
        by = elapsed(pairs.gap, encoder.scale)
        level = (x * self.start.courses[pairs.target]).sum(1) + self.start.shifts[pairs.target]
        slope = (x * self.start.courses[targets + pairs.target]).sum(1) + self.start.shifts[targets + pairs.target]
        middle = courses.newest[pairs.step, pairs.target] + level + by * slope
        spread = np.logaddexp(0, self.start.spreads)
        low, high = spread[pairs.target], spread[2 * targets + pairs.target]
        return Prediction(values=np.stack([middle - low, middle, middle + high], -1))
