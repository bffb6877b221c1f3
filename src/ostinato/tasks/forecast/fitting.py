"""One fit, from data to a fitted forecaster and its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Panel, Part, Split, Windows, load_panel, window_origins
from ostinato.errors import NonFiniteLoss
from ostinato.files import make_folder
from ostinato.tasks.forecast.backtest import backtest
from ostinato.tasks.forecast.batches import ForecastObjective, WindowBatches
from ostinato.tasks.forecast.calibration import measure_calibration
from ostinato.tasks.forecast.fitted import Fitted
from ostinato.tasks.forecast.preparing import check_parameters, prepare, schema_of
from ostinato.tasks.forecast.recording import make_record
from ostinato.tasks.record import Evaluation, FitRecord
from ostinato.training import History, TrainingConfig, train

VALIDATION_WINDOWS = 2048


@dataclass(frozen=True)
class Outcome:
    """What a fit gives; `failure` is set when training broke off but left good weights."""

    fitted: Fitted
    panel: Panel
    split: Split
    history: History
    evaluation: Evaluation | None
    failure: NonFiniteLoss | None

    def record(self, parameters: Mapping[str, Any], seconds: float) -> FitRecord:
        """Return the record of the fit."""
        origins = _held_out(self.panel, self.split, self.fitted.settings.horizon)
        settings = {**parameters, **_chosen(self.fitted)}
        return make_record(
            self.fitted,
            self.panel,
            self.split,
            self.history,
            self.evaluation,
            origins,
            settings=settings,
            seconds=seconds,
        )


def fit_forecaster(parameters: Mapping[str, Any], data: Any, directory: Path | None, resume: bool) -> Outcome:
    """Read data, train on it, evaluate on its held-out end.

    `parameters` are those of `Forecaster`, by name.
    """
    check_parameters(parameters)
    config = TrainingConfig.of(parameters)
    panel = load_panel(data, schema_of(parameters))
    fitted, split = prepare(parameters, panel)
    make = fitted.maker(panel)
    windows = _windows(fitted, panel, split.train)
    batches = WindowBatches(
        windows,
        make,
        batch_size=batch_size(parameters["batch_size"], len(windows)),
        per_epoch=parameters["windows_per_epoch"],
        seed=parameters["seed"],
    )
    held_out = _validation(fitted, panel, split)
    validation = WindowBatches(held_out, make, batch_size=256, per_epoch=VALIDATION_WINDOWS) if held_out else None
    if directory is not None:
        make_folder(directory)
    failure = None
    objective = ForecastObjective(fitted.network)
    try:
        history = train(
            fitted.network,
            objective,
            batches,
            validation,
            config,
            directory=directory,
            resume=resume,
            fingerprint=fitted.fingerprint,
        )
    except NonFiniteLoss as error:
        if not error.history.rows:
            raise
        failure, history = error, error.history
    fitted = calibrated(fitted, panel, held_out)
    evaluation = None
    if split.test is not None:
        evaluation = backtest(fitted, panel, split.test, None, "test: the held-out end of each series")
    return Outcome(fitted, panel, split, history, evaluation, failure)


def whole(panel: Panel, context: int) -> Part:
    """Return all rows of a panel that have a context before them, or half of them where there is no room for that."""
    lengths = np.array([len(series) for series in panel.series])
    return Part(np.minimum(context, lengths // 2), lengths)


def batch_size(wish: int | Literal["auto"], windows: int) -> int:
    """Return the windows in a batch: by default 128, or fewer where an epoch would have less than 32 steps."""
    return max(8, min(128, windows // 32)) if wish == "auto" else int(wish)


def _windows(fitted: Fitted, panel: Panel, part: Part) -> Windows:
    """Return the training windows, with whole contexts where a series is long enough for one."""
    settings = fitted.settings
    full = window_origins(panel, part, horizon=settings.horizon, min_history=settings.context)
    short = np.setdiff1d(np.flatnonzero(part.stop - part.start > settings.horizon), np.unique(full[:, 0]))
    origins = [full]
    for i in short:
        only = Part(
            np.where(np.arange(len(part.start)) == i, part.start, 0),
            np.where(np.arange(len(part.stop)) == i, part.stop, 0),
        )
        origins.append(window_origins(panel, only, horizon=settings.horizon, min_history=max(2, settings.context // 4)))
    return fitted.windows(panel, np.concatenate(origins))


def _validation(fitted: Fitted, panel: Panel, split: Split) -> Windows | None:
    if split.validation is None:
        return None
    origins = window_origins(panel, split.validation, horizon=fitted.settings.horizon)
    return fitted.windows(panel, origins) if len(origins) else None


def calibrated(fitted: Fitted, panel: Panel, held_out: Windows | None) -> Fitted:
    """Return the forecaster with its intervals calibrated on the validation windows, if it has both."""
    if held_out is None or not fitted.levels:
        return fitted
    count = min(len(held_out), VALIDATION_WINDOWS)
    origins = held_out.origins[np.linspace(0, len(held_out) - 1, count).round().astype(np.int64)]
    truth, forecasts = fitted.forecast_windows(panel, origins)
    assert forecasts.quantiles is not None
    offsets = measure_calibration(truth, forecasts.quantiles, fitted.levels, _apart(held_out, fitted.settings.horizon))
    return replace(fitted, calibration=offsets)


def _apart(windows: Windows, horizon: int) -> int:
    """Return how many windows do not overlap: of each series, one in a horizon."""
    counts = np.bincount(windows.origins[:, 0])
    return int((-(-counts // horizon)).sum())


def _held_out(panel: Panel, split: Split, horizon: int) -> NDArray[np.int64]:
    """Return windows that were not trained on, or of the training part where nothing was held out."""
    for part in (split.test, split.validation, split.train):
        if part is not None and len(origins := window_origins(panel, part, horizon=horizon)):
            return origins
    return np.zeros((0, 2), np.int64)


def _chosen(fitted: Fitted) -> dict[str, Any]:
    """Return what was decided for what the user left open."""
    settings = fitted.settings
    return {
        "target": fitted.schema.target,
        "time": fitted.schema.time,
        "series_id": fitted.schema.series_id,
        "frequency": fitted.frequency.alias(),
        "context": settings.context,
        "segment": settings.segment,
        "season": fitted.season,
        "normalization": settings.normalization,
        "scaling": fitted.scaler.kind,
    }
