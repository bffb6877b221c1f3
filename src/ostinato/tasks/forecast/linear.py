"""The linear autoregression: the strongest of the simple baselines, one ridge regression for all steps at once."""

from __future__ import annotations

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
        x, last = _lags(history[:, -self.context :])
        y = np.swapaxes(future, 1, 2).reshape(len(x), self.horizon) - last[:, None]
        complete = ~np.isnan(y).any(1)
        x, y = x[complete], y[complete]
        if len(x) and self.ridge is None:
            self.ridge = _choose_ridge(x, y)
        if len(x) and self.ridge is not None:
            self.weights = _solve(*_gram(x, y), self.ridge)
        return self

    def predict(self, history: Floats) -> Floats:
        """Forecast windows, `(windows, horizon, targets)`."""
        x, last = _lags(history[:, -self.context :])
        forecast = x @ self.weights + last[:, None]
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
