"""The linear autoregression: the strongest of the simple baselines, one ridge regression for all steps at once.

Where series differ, each has weights of its own near those of all: a ridge regression whose prior mean is not zero.

Source: A. Hoerl and R. Kennard, "Ridge regression: biased estimation for nonorthogonal problems", Technometrics 12,
1970; A. Gelman and J. Hill, "Data analysis using regression and multilevel models", 2007 (partial pooling).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # relative to the mean variance of the lags


class LinearAutoregression:
    """A direct linear forecast of every step from the context, the last value subtracted (NLinear: Zeng et al., 2023).

    One regression serves all series and targets, which should come scaled to a common size. Missing values are put at
    the last observed one.

    Args:
        context: rows looked back on.
        horizon: rows forecast.
        ridge: the penalty; `None`: chosen on the last tenth of the windows fitted.
    """

    def __init__(self, context: int, horizon: int, ridge: float | None = None) -> None:
        self.context, self.horizon, self.ridge = context, horizon, ridge
        self.weights = np.zeros((context + 1, horizon))

    def fit(self, history: Floats, future: Floats) -> LinearAutoregression:
        """Fit on windows in time order: `history (windows, context, targets)`, `future (windows, horizon, targets)`."""
        x, y = self.examples(history, future)
        if len(x) and self.ridge is None:
            self.ridge = _choose_ridge(x, y)
        if len(x) and self.ridge is not None:
            self.weights = _solve(*_gram(x, y), self.ridge)
        return self

    def examples(self, history: Floats, future: Floats) -> tuple[Floats, Floats]:
        """Return what is regressed on, `(rows, context + 1)`, and what is told, `(rows, horizon)`, where all came."""
        x, last = _lags(history[:, -self.context :])
        y = np.swapaxes(future, 1, 2).reshape(len(x), self.horizon) - last[:, None]
        complete = ~np.isnan(y).any(1)
        return x[complete], y[complete]

    def predict(self, history: Floats, weights: Floats | None = None, of: NDArray[np.int64] | None = None) -> Floats:
        """Forecast windows, `(windows, horizon, targets)`.

        Args:
            history: `(windows, context, targets)`.
            weights: of several regressions, `(regressions, context + 1, horizon)`.
            of: which of them tells each row, `(windows * targets,)`, the targets of a window one after another.
        """
        x, last = _lags(history[:, -self.context :])
        forecast = (x @ self.weights if weights is None or of is None else _by_row(x, weights, of)) + last[:, None]
        return np.swapaxes(forecast.reshape(len(history), history.shape[2], self.horizon), 1, 2)


def _lags(history: Floats) -> tuple[Floats, Floats]:
    """Return lags less the last value, and a one, `(rows, context + 1)`, and last values `(rows,)`."""
    rows = np.swapaxes(history, 1, 2).reshape(-1, history.shape[1])
    seen = ~np.isnan(rows)
    newest = rows.shape[1] - 1 - seen[:, ::-1].argmax(1)
    last = rows[np.arange(len(rows)), newest]
    lags = np.where(seen, rows - last[:, None], 0.0)
    return np.concatenate([lags, np.ones((len(rows), 1))], 1), last


def _choose_ridge(x: Floats, y: Floats) -> float:
    cut = len(x) - max(1, len(x) // 10)
    gram, moment = _gram(x[:cut], y[:cut])
    errors = [np.abs(x[cut:] @ _solve(gram, moment, ridge) - y[cut:]).mean() for ridge in _RIDGES]
    return _RIDGES[int(np.argmin(errors))]


def _gram(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    return x.T @ x, x.T @ y


def _solve(gram: Floats, moment: Floats, ridge: float) -> Floats:
    penalty = np.full(len(gram), ridge * max(np.trace(gram) / len(gram), 1e-12))
    penalty[-1] = 1e-12  # the constant is not shrunk
    return np.asarray(np.linalg.solve(gram + np.diag(penalty), moment))


def _by_row(x: Floats, weights: Floats, of: NDArray[np.int64]) -> Floats:
    found = np.empty((len(x), weights.shape[2]))
    for one in np.unique(of):
        rows = of == one
        found[rows] = x[rows] @ weights[one]
    return found


_NEARNESS = (1e-3, 1e-2, 1e-1, 1.0)  # penalties of what sets a row's weights apart from those of all
_LATEST = 5  # one of so many examples, the latest, chooses among them


def each_near(shared: Floats, examples: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Return weights of each group of examples, near those of all, `(groups, context + 1, horizon)`.

    Each group has as much of its own as helped on the latest of its examples, over all groups; of few it has nothing.

    Args:
        shared: the weights of all, `(context + 1, horizon)`.
        examples: of each group in time order: what is regressed on, and what is told.
    """
    least = len(shared) // 2
    losses = np.zeros(len(_NEARNESS) + 1)
    for x, y in examples:
        cut = len(x) - len(x) // _LATEST
        if cut >= least:
            moved = _moved(shared, x[:cut], y[:cut], _NEARNESS)
            losses += [np.abs(x[cut:] @ (shared + own) - y[cut:]).mean() for own in (*moved, np.zeros_like(shared))]
    best = int(losses.argmin())
    if best == len(_NEARNESS):
        return np.repeat(shared[None], len(examples), 0)
    nearness = _NEARNESS[best : best + 1]
    return np.stack([
        shared + (_moved(shared, x, y, nearness)[0] if len(x) >= least else 0.0) for x, y in examples
    ])  # fmt: skip


def _moved(shared: Floats, x: Floats, y: Floats, nearness: Sequence[float]) -> list[Floats]:
    gram, moment = _gram(x, y - x @ shared)
    return [_solve(gram, moment, ridge) for ridge in nearness]
