"""One fit, from data to a fitted forecaster and its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data import (
    Panel,
    Part,
    Scaler,
    Scaling,
    Schema,
    Split,
    Windows,
    calendar_cycles,
    load_panel,
    split_by_time,
    window_origins,
)
from ostinato.errors import DataError, NonFiniteLoss, UsageError
from ostinato.files import make_folder
from ostinato.tasks.forecast.backtest import backtest
from ostinato.tasks.forecast.batches import ForecastObjective, WindowBatches
from ostinato.tasks.forecast.calibration import measure_calibration
from ostinato.tasks.forecast.fitted import Fitted, tail_of
from ostinato.tasks.forecast.metrics import mase_scale
from ostinato.tasks.forecast.network import make_network
from ostinato.tasks.forecast.recording import make_record
from ostinato.tasks.forecast.settings import (
    DECODINGS,
    NORMALIZATIONS,
    OUTPUTS,
    NetworkSettings,
    choose_context,
    choose_season,
    choose_segment,
)
from ostinato.tasks.record import Evaluation, FitRecord
from ostinato.training import History, TrainingConfig, train

_VALIDATION_WINDOWS = 2048
_TRAINING = [
    "epochs",
    "optimizer",
    "learning_rate",
    "schedule",
    "warmup_steps",
    "weight_decay",
    "gradient_clip",
    "patience",
    "max_seconds",
    "seed",
    "device",
    "precision",
    "progress",
    "tensorboard",
]


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
    _check(parameters)
    config = TrainingConfig(**{name: parameters[name] for name in _TRAINING})
    panel = load_panel(data, _schema(parameters))
    fitted, split = _prepare(parameters, panel)
    make = fitted.maker(panel)
    windows = _windows(fitted, panel, split.train)
    batches = WindowBatches(
        windows,
        make,
        batch_size=_batch_size(parameters["batch_size"], len(windows)),
        per_epoch=parameters["windows_per_epoch"],
        seed=parameters["seed"],
    )
    held_out = _validation(fitted, panel, split)
    validation = WindowBatches(held_out, make, batch_size=256, per_epoch=_VALIDATION_WINDOWS) if held_out else None
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
    fitted = _calibrated(fitted, panel, held_out)
    evaluation = None
    if split.test is not None:
        evaluation = backtest(fitted, panel, split.test, split.train, None, "test: the held-out end of each series")
    return Outcome(fitted, panel, split, history, evaluation, failure)


def whole(panel: Panel, context: int) -> Part:
    """Return all rows of a panel that have a context before them, or half of them where there is no room for that."""
    lengths = np.array([len(series) for series in panel.series])
    return Part(np.minimum(context, lengths // 2), lengths)


def _batch_size(wish: int | Literal["auto"], windows: int) -> int:
    """Return the windows in a batch: by default 128, or fewer where an epoch would have less than 32 steps."""
    return max(8, min(128, windows // 32)) if wish == "auto" else int(wish)


def _check(parameters: Mapping[str, Any]) -> None:
    for name in ("horizon", "hidden_size", "num_layers", "batch_size", "windows_per_epoch"):
        value = parameters[name]
        if name == "batch_size" and value == "auto":
            continue
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise UsageError(f"{name} is {value}; expected a whole number of 1 or more")
    if not 0 <= parameters["dropout"] < 1:
        raise UsageError(f"dropout is {parameters['dropout']}; expected a share from 0 to below 1")
    known = {"output": OUTPUTS, "decoding": DECODINGS, "normalization": ("auto", *NORMALIZATIONS)}
    for name, choices in known.items():
        if parameters[name] not in choices:
            raise UsageError(f'{name} is "{parameters[name]}"; expected one of {", ".join(choices)}')
    if parameters["output"] == "negative_binomial" and (
        parameters["normalization"] not in ("auto", "mean_abs", "none")
        or parameters["scaling"] not in ("auto", "mean_abs", "none")
    ):
        raise UsageError(
            "output negative_binomial is for counts, which cannot be shifted; use normalization and scaling auto, "
            "mean_abs or none"
        )


def _schema(parameters: Mapping[str, Any]) -> Schema:
    target = parameters["target"]
    return Schema(
        target=(target,) if isinstance(target, str) else tuple(target or ()),
        time=parameters["time"],
        series_id=parameters["series_id"],
        past_covariates=_names(parameters["past_covariates"]),
        known_covariates=_names(parameters["known_covariates"]),
        static_covariates=_names(parameters["static_covariates"]),
        frequency=parameters["frequency"],
    )


def _names(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _prepare(parameters: Mapping[str, Any], panel: Panel) -> tuple[Fitted, Split]:
    """Decide what was left open, split, scale and make the network."""
    horizon, counts = int(parameters["horizon"]), parameters["output"] == "negative_binomial"
    sizes = {name: parameters[name] for name in ("validation", "test")}
    lengths = np.array([len(series) for series in panel.series])
    rows = int(np.median(lengths) * max(0.1, 1 - sum(size for size in sizes.values() if size < 1)))
    context = choose_context(parameters["context"], horizon, panel.frequency, rows)
    segment = choose_segment(parameters["segment"], context, panel.frequency, parameters["decoding"])
    context = -(-context // segment) * segment
    split = split_by_time(panel, **sizes, horizon=horizon, context=context)
    scaling: Scaling = parameters["scaling"] if parameters["scaling"] != "auto" else "none" if counts else "standard"
    scaler = Scaler.fit(panel, split.train, scaling)
    season = choose_season(parameters["season"], panel.frequency, rows)
    settings = _network_settings(parameters, panel, split, context, segment)
    with torch.random.fork_rng():
        torch.manual_seed(parameters["seed"])
        network = make_network(settings)
    _check_counts(panel, split, counts)
    fitted = Fitted(
        settings=settings,
        network=network,
        scaler=scaler,
        schema=panel.schema,
        columns=panel.columns,
        static_columns=panel.static_columns,
        categories=panel.categories,
        frequency=panel.frequency,
        season=season,
        mase_scales=_mase_scales(panel, split.train, season),
        test=split.test,
        fingerprint=panel.fingerprint(),
        tail=tail_of(panel, max(context, 2 * season)),
        seed=parameters["seed"],
        calibration=np.zeros(len(settings.quantiles)),
    )
    return fitted, split


def _network_settings(
    parameters: Mapping[str, Any], panel: Panel, split: Split, context: int, segment: int
) -> NetworkSettings:
    counts = parameters["output"] == "negative_binomial"
    wish = parameters["normalization"]
    copied = ["cell", "hidden_size", "num_layers", "dropout", "decoding", "highway", "output", "loss"]
    return NetworkSettings(
        horizon=int(parameters["horizon"]),
        context=context,
        segment=segment,
        targets=panel.targets,
        past=panel.past,
        known=panel.known,
        calendar=2 * len(calendar_cycles(panel.frequency)) if parameters["calendar"] else 0,
        static=len(panel.static_columns),
        masked=_has_missing(panel, split.train, context),
        normalization=wish if wish != "auto" else "mean_abs" if counts else "last_std",
        quantiles=tuple(sorted(set(parameters["quantiles"]))),
        **{name: parameters[name] for name in copied},
    )


def _has_missing(panel: Panel, train: Part, context: int) -> bool:
    """Tell whether a window's context can hold a missing target: one in the data, or one before a series' start."""
    if (train.stop[train.stop > 0] < 2 * context).any():
        return True
    blocks = (
        one.rows(first, min(first + 65536, int(stop)))[:, : panel.targets]
        for one, stop in zip(panel.series, train.stop, strict=True)
        for first in range(0, int(stop), 65536)
    )
    return any(bool(np.isnan(block).any()) for block in blocks)


def _mase_scales(panel: Panel, train: Part, season: int) -> NDArray[np.float64]:
    scales = [
        mase_scale(one.rows(max(0, int(stop) - 100_000), int(stop))[:, : panel.targets], season)
        for one, stop in zip(panel.series, train.stop, strict=True)
    ]
    return np.stack(scales)


def _check_counts(panel: Panel, split: Split, counts: bool) -> None:
    if not counts:
        return
    for one, stop in zip(panel.series, split.train.stop, strict=True):
        values = one.rows(0, int(stop))[:, : panel.targets]
        odd = (values < 0) | (values != np.round(values)) & ~np.isnan(values)
        if odd.any():
            raise DataError(
                f"the target has the value {values[odd][0]:g}, which is no count; output negative_binomial needs whole "
                "numbers of 0 or more: use student_t or quantiles"
            )


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


def _calibrated(fitted: Fitted, panel: Panel, held_out: Windows | None) -> Fitted:
    """Return the forecaster with its intervals calibrated on the validation windows, if it has both."""
    if held_out is None or not fitted.levels:
        return fitted
    count = min(len(held_out), _VALIDATION_WINDOWS)
    origins = held_out.origins[np.linspace(0, len(held_out) - 1, count).round().astype(np.int64)]
    truth, forecasts = fitted.forecast_windows(panel, origins)
    assert forecasts.quantiles is not None
    return replace(fitted, calibration=measure_calibration(truth, forecasts.quantiles, fitted.levels))


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
