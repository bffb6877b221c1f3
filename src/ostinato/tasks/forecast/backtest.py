"""Rolling-origin evaluation: the fitted model and its baselines from many origins, without fitting again.

Source: L. Tashman, "Out-of-sample tests of forecasting accuracy", International Journal of Forecasting 16, 2000.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Panel, Part, Windows, window_origins
from ostinato.errors import DataError, UsageError
from ostinato.tasks.forecast.baselines import drift, naive, seasonal_naive
from ostinato.tasks.forecast.evaluation import Forecasts, evaluate_forecasts
from ostinato.tasks.forecast.fitted import Fitted
from ostinato.tasks.forecast.linear import LinearAutoregression
from ostinato.tasks.forecast.metrics import mase_scale
from ostinato.tasks.forecast.settings import NetworkSettings
from ostinato.tasks.record import Evaluation

Floats = NDArray[np.float64]
_VALUES = 30_000_000  # forecast values held at once, quantiles included: 240 MB
_FIT_VALUES = 20_000_000  # values the linear autoregression is fitted on, at most


def choose_stride(fitted: Fitted, panel: Panel, part: Part) -> int:
    """Return 1, or as many rows between origins as are needed for their forecasts to fit in memory."""
    settings = fitted.settings
    windows = len(window_origins(panel, part, horizon=settings.horizon))
    values = windows * settings.horizon * settings.targets * (1 + len(fitted.levels)) * 2
    return max(1, -(-values // _VALUES))


def backtest(fitted: Fitted, panel: Panel, part: Part, stride: int | None, split: str) -> Evaluation:
    """Evaluate the model and its baselines from every origin whose forecast lies inside a part.

    Baselines that learn do so from all rows before the part, those of the validation too.

    Args:
        fitted: the model.
        panel: the data.
        part: which rows of it.
        stride: rows from one origin to the next; `None`: one, or what memory allows.
        split: the part's name, for the protocol.

    Raises:
        DataError: no forecast fits in the part.
        UsageError: the stride is not positive.
    """
    if stride is not None and stride < 1:
        raise UsageError(f"stride is {stride}; expected one row or more")
    horizon = fitted.settings.horizon
    stride = stride or choose_stride(fitted, panel, part)
    origins = window_origins(panel, part, horizon=horizon, stride=stride)
    if not len(origins):
        raise DataError(
            f"{panel.origin}: no series has {horizon} rows (the horizon) after at least one of history; give more rows"
        )
    truth, own = fitted.forecast_windows(panel, origins)
    before = Part(np.zeros_like(part.start), part.start)
    forecasts = {"model": own, **_baselines(fitted, panel, before, origins)}
    scale = mase_scales(fitted, panel)
    protocol = (
        f"rolling origin: {len(origins):,} forecasts of {horizon} steps, one every "
        f"{'row' if stride == 1 else f'{stride} rows'}, without refitting"
    )
    return evaluate_forecasts(truth, forecasts, fitted.levels, scale[origins[:, 0]], protocol=protocol, split=split)


def mase_scales(fitted: Fitted, panel: Panel) -> Floats:
    """Return the MASE scale of each series of a panel: of its training part, or of all its rows if it is a new one."""
    place = {name: i for i, name in enumerate(fitted.scaler.series_ids)}
    rows = [
        fitted.mase_scales[place[series.id]]
        if series.id in place
        else mase_scale(series.rows(0, len(series))[:, : panel.targets], fitted.season)
        for series in panel.series
    ]
    return np.stack(rows)


def _baselines(fitted: Fitted, panel: Panel, train: Part, origins: NDArray[np.int64]) -> dict[str, Forecasts]:
    """Forecast from the same origins with each baseline; its quantiles are those of its errors before the part."""
    settings, season = fitted.settings, fitted.season
    rows = max(settings.context, 2 * season + settings.horizon)
    past = _fit_origins(fitted, panel, train)
    affine = fitted.scaler.for_panel(panel)
    before = affine.scale[past[:, 0]][:, None]
    now = affine.scale[origins[:, 0]][:, None]
    # baselines work on scaled series, so that the one regression sees them all at one size
    history, future = (values / before for values in _arrays(panel, past, rows, settings.horizon))
    current = _arrays(panel, origins, rows, settings.horizon)[0] / now
    found = {}
    for name, method in _methods(settings, season, history, future).items():
        errors = future - method(history) if len(past) else future
        found[name] = _with_quantiles(method(current) * now, errors, now, fitted.levels)
    return found


def _methods(
    settings: NetworkSettings, season: int, history: Floats, future: Floats
) -> dict[str, Callable[[Floats], Floats]]:
    """Return the baselines by name; those that have something to learn learn it from the windows given."""
    horizon = settings.horizon
    methods: dict[str, Callable[[Floats], Floats]] = {"naive": lambda h: naive(h, horizon)}
    if season > 1:
        methods["seasonal naive"] = lambda h: seasonal_naive(h, horizon, season)
    methods["drift"] = lambda h: drift(h, horizon)
    if len(history):
        methods["linear autoregression"] = LinearAutoregression(settings.context, horizon).fit(history, future).predict
    return methods


def _with_quantiles(point: Floats, errors: Floats, scale: Floats, levels: tuple[float, ...]) -> Forecasts:
    if not levels or not len(errors):
        return Forecasts(point)
    with np.errstate(invalid="ignore"):
        spread = np.nanquantile(errors, levels, axis=0)  # (levels, horizon, targets)
    return Forecasts(point, point[..., None] + np.moveaxis(spread, 0, -1) * scale[..., None])


def _fit_origins(fitted: Fitted, panel: Panel, train: Part) -> NDArray[np.int64]:
    settings = fitted.settings
    origins = window_origins(panel, train, horizon=settings.horizon, min_history=settings.context)
    width = settings.targets * (settings.horizon + settings.context)
    keep = max(1, _FIT_VALUES // width)
    if len(origins) <= keep:
        return origins
    return origins[np.linspace(0, len(origins) - 1, keep).round().astype(np.int64)]


def _arrays(panel: Panel, origins: NDArray[np.int64], rows: int, horizon: int) -> tuple[Floats, Floats]:
    windows = Windows(panel, origins, context=rows, horizon=horizon, calendar=False)
    if not len(origins):
        return np.zeros((0, rows, panel.targets)), np.zeros((0, horizon, panel.targets))
    arrays = windows.gather(np.arange(len(origins)))
    return np.asarray(arrays.history, np.float64), np.asarray(arrays.future, np.float64)
