"""Before a fit: parameters checked, what was left open decided, data split and scaled, the network made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data import (
    MISSING,
    Frequency,
    Panel,
    Part,
    Scaler,
    Scaling,
    Schema,
    Split,
    calendar_cycles,
    split_by_time,
)
from ostinato.errors import DataError, UsageError
from ostinato.tasks.forecast.fitted import Fitted, tail_of
from ostinato.tasks.forecast.metrics import mase_scale
from ostinato.tasks.forecast.network import make_network
from ostinato.tasks.forecast.settings import (
    DECODINGS,
    NO_VALUES,
    NORMALIZATIONS,
    OUTPUTS,
    NetworkSettings,
    choose_context,
    choose_season,
    choose_segment,
)


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that cannot be meant.

    Raises:
        UsageError: a parameter is out of range or does not go with another.
    """
    for name in ("horizon", "hidden_size", "num_layers", "batch_size", "windows_per_epoch"):
        value = parameters[name]
        if name == "batch_size" and value == "auto":
            continue
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise UsageError(f"{name} is {value}; expected a whole number of 1 or more")
    if not 0 <= parameters["dropout"] < 1:
        raise UsageError(f"dropout is {parameters['dropout']}; expected a share from 0 to below 1")
    known = {
        "output": OUTPUTS,
        "decoding": DECODINGS,
        "normalization": ("auto", *NORMALIZATIONS),
        "no_values": NO_VALUES,
    }
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


def schema_of(parameters: Mapping[str, Any]) -> Schema:
    """Return the roles of the columns that the parameters give."""
    target = parameters["target"]
    return Schema(
        target=(target,) if isinstance(target, str) else tuple(target or ()),
        time=parameters["time"],
        series_id=parameters["series_id"],
        past_covariates=_names(parameters["past_covariates"]),
        known_covariates=_names(parameters["known_covariates"]),
        static_covariates=_names(parameters["static_covariates"]),
        missing=(*MISSING, *_names(parameters["missing"])),
        frequency=None if parameters["frequency"] is None else Frequency.parse(parameters["frequency"]).alias(),
        day_first=parameters["day_first"],
        time_format=parameters["time_format"],
        time_zone=parameters["time_zone"],
    )


def _names(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def prepare(parameters: Mapping[str, Any], panel: Panel) -> tuple[Fitted, Split]:
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
        no_values=parameters["no_values"],
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
