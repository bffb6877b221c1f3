"""The measures of forecasts by what does not depend on each other: series, or windows of time as long as a forecast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.units import Parts, Sums, mean_of, sums_of
from ostinato.tasks.forecast.metrics import Floats, pinball
from ostinato.tasks.forecast.windows import Examples
from ostinato.words import counted

Ints = NDArray[np.int64]
_SERIES = 20
_ENOUGH = 20  # windows of three forecasts from which on there is no need for shorter ones


def owners_of(examples: Examples) -> tuple[Ints, int, str]:
    """Return the unit of each forecast value, `(windows, horizon)`, how many units there are, and what one is.

    In a panel of many series a unit is a series. In few series it is a window of time, all series together: a value
    belongs to the window in which it came, whatever row it was forecast from. Forecasts from neighbouring rows share
    most of what they forecast, so that such a window is two or three forecasts long: of 1,000 forecasts of 24 steps,
    one from each row, there are 21 of 48 steps. (With windows as long as one forecast, a tenth of tests found a
    difference between forecasts of equal quality, with two or three a twentieth: `tests/tasks/test_forecast_units.py`.)
    """
    origins, part = examples.origins, examples.part
    horizon = examples.encoder.settings.horizon
    size = window_steps(int((part.stop - part.start).max()), horizon, overlap=examples.chosen_stride < horizon)
    windows = max(1, int((part.stop - part.start).max()) // size)
    series, places = np.unique(origins[:, 0], return_inverse=True)
    if len(series) >= _SERIES or len(series) > windows:
        return np.repeat(places[:, None], horizon, 1).astype(np.int64), len(series), "series"
    rows = origins[:, 1][:, None] + np.arange(horizon) - part.start[origins[:, 0]][:, None]
    return np.clip(rows // size, 0, windows - 1), windows, f"windows of {counted(size, 'steps')}"


def window_steps(rows: int, horizon: int, *, overlap: bool) -> int:
    """Return how many steps a window has that depends little on its neighbours.

    Args:
        rows: that are forecast.
        horizon: of a forecast.
        overlap: whether forecasts begin at more places than one in a horizon.

    >>> window_steps(1000, 24, overlap=True), window_steps(5000, 24, overlap=True), window_steps(99, 1, overlap=False)
    (48, 72, 1)
    """
    if not overlap:
        return horizon
    return 3 * horizon if rows >= 3 * horizon * _ENOUGH else 2 * horizon


def score_parts(
    truth: Floats,
    point: Floats,
    quantiles: Floats | None,
    levels: Sequence[float],
    scale: Floats,
    owners: Ints,
    count: int,
) -> dict[str, Parts]:
    """Return the parts of all that `score_all` measures, but for coverage, which is neither high nor low.

    Args:
        truth: as `score_all` has it, and so are `point`, `quantiles`, `levels` and `scale`.
        point: see there.
        quantiles: see there.
        levels: see there.
        scale: see there.
        owners: `(windows, horizon)`, the unit of each value.
        count: how many units there are.
    """
    owner = np.broadcast_to(owners[..., None], truth.shape)
    error, size = np.abs(truth - point), np.abs(truth) + np.abs(point)
    ratio = np.divide(2 * error, size, out=np.zeros_like(size), where=size != 0)
    seen = np.isfinite(error)
    each = np.where(scale > 0, seen.sum(1), np.nan)[:, None]  # the values of a window, which together count as one
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled, weights = error / scale[:, None], np.broadcast_to(1 / each, truth.shape)
    squares = np.stack([np.where(seen, error, 0).ravel() ** 2, seen.ravel()], -1)
    parts: dict[str, Parts] = {
        "MAE": mean_of(error, owner, count),
        "RMSE": Sums(sums_of(squares, owner.ravel(), count), lambda sums: np.sqrt(_quotient(sums))),
        "sMAPE": mean_of(100 * np.where(np.isnan(truth), np.nan, ratio), owner, count),
        "MASE": mean_of(scaled, owner, count, weights),
    }
    if quantiles is None or not len(levels):
        return parts
    lost = pinball(truth, quantiles, levels).mean(-1)
    columns = np.stack([np.nan_to_num(lost).ravel(), np.where(np.isnan(lost), 0.0, np.abs(truth)).ravel()], -1)
    parts["wQL"] = Sums(sums_of(columns, owner.ravel(), count), lambda sums: 2 * _quotient(sums))
    parts["CRPS"] = mean_of(2 * lost, owner, count)
    return parts


def _quotient(sums: Floats) -> Floats:
    found = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)
    return np.asarray(found)
