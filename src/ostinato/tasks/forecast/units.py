"""The measures of forecasts by what does not depend on each other: series, or windows of time as long as a forecast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ostinato.tasks.base.units import Parts, Sums, mean_of, sums_of
from ostinato.tasks.forecast.metrics import Floats, pinball
from ostinato.tasks.forecast.windows import Examples

Ints = NDArray[np.int64]
_SERIES = 20


def owners_of(examples: Examples) -> tuple[Ints, int, str]:
    """Return the unit of each forecast value, `(windows, horizon)`, how many units there are, and what one is.

    In a panel of many series a unit is a series. In few series it is a window of time as long as a forecast, all series
    together: forecasts from neighbouring rows share most of what they forecast, and a value belongs to the window in
    which it came, whatever row it was forecast from. So 1,000 forecasts of 24 steps, one from each row, are 42 units.
    """
    origins, part = examples.origins, examples.part
    horizon = examples.encoder.settings.horizon
    rows = origins[:, 1][:, None] + np.arange(horizon) - part.start[origins[:, 0]][:, None]
    longest = int((part.stop - part.start).max())
    windows = max(1, longest // horizon)
    series, places = np.unique(origins[:, 0], return_inverse=True)
    if len(series) >= _SERIES or len(series) > windows:
        return np.repeat(places[:, None], horizon, 1).astype(np.int64), len(series), "series"
    return np.clip(rows // horizon, 0, windows - 1), windows, "windows"


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
    own = np.broadcast_to(owners[..., None], truth.shape)
    error, size = np.abs(truth - point), np.abs(truth) + np.abs(point)
    ratio = np.divide(2 * error, size, out=np.zeros_like(size), where=size != 0)
    seen = np.isfinite(error)
    each = np.where(scale > 0, seen.sum(1), np.nan)[:, None]  # the values of a window, which together count as one
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled, weights = error / scale[:, None], np.broadcast_to(1 / each, truth.shape)
    squares = np.stack([np.where(seen, error, 0).ravel() ** 2, seen.ravel()], -1)
    parts: dict[str, Parts] = {
        "MAE": mean_of(error, own, count),
        "RMSE": Sums(sums_of(squares, own.ravel(), count), lambda sums: np.sqrt(_quotient(sums))),
        "sMAPE": mean_of(100 * np.where(np.isnan(truth), np.nan, ratio), own, count),
        "MASE": mean_of(scaled, own, count, weights),
    }
    if quantiles is None or not len(levels):
        return parts
    lost = pinball(truth, quantiles, levels).mean(-1)
    columns = np.stack([np.nan_to_num(lost).ravel(), np.nan_to_num(np.abs(truth)).ravel()], -1)
    parts["wQL"] = Sums(sums_of(columns, own.ravel(), count), lambda sums: 2 * _quotient(sums))
    parts["CRPS"] = mean_of(2 * lost, own, count)
    return parts


def _quotient(sums: Floats) -> Floats:
    found = np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)
    return np.asarray(found)
