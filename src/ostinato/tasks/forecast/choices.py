"""What follows from the parameters of a forecaster and its data: roles of columns, context, what may be combined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data import MISSING, Frequency, Panel, Schema
from ostinato.tasks.base.holding_out import Shares
from ostinato.tasks.forecast.combining import Combination
from ostinato.tasks.forecast.parameters import ForecastParameters
from ostinato.tasks.forecast.settings import choose_context, choose_seasons, choose_segment

_FEWEST = 4  # rows that a network looks back on, at least


def schema_of(parameters: ForecastParameters) -> Schema:
    """Return the roles of the columns that the parameters give."""
    target = parameters.target
    return Schema(
        target=(target,) if isinstance(target, str) else tuple(target or ()),
        time=parameters.time,
        series_id=parameters.series_id,
        past_covariates=_names(parameters.past_covariates),
        known_covariates=_names(parameters.known_covariates),
        static_covariates=_names(parameters.static_covariates),
        missing=(*MISSING, *parameters.all_missing),
        decimal=parameters.decimal,
        frequency=None if parameters.frequency is None else Frequency.parse(parameters.frequency).alias(),
        day_first=parameters.day_first,
        time_format=parameters.time_format,
        time_zone=parameters.time_zone,
    )


def context_of(
    parameters: ForecastParameters, panel: Panel, found: Sequence[int], rows: int, room: int
) -> tuple[int, int]:
    """Return how many steps a forecast looks back on, whole segments, and how many steps a segment has.

    Args:
        parameters: what was asked for.
        panel: the data.
        found: the seasons that it shows.
        rows: of a typical series, to train on by its share.
        room: rows that the longest one really has left to train on.
    """
    seasons = seasons_of(parameters, panel, found)
    context = choose_context(parameters.context, int(parameters.horizon), seasons, rows)
    most = max(1, room - int(parameters.horizon)) if parameters.context is None else context
    context = min(context, most)
    segment = choose_segment(parameters.segment, context, seasons, parameters.decoding)
    whole = -(-context // segment) * segment
    return whole if whole <= max(most, segment) else context // segment * segment, segment


def seasons_of(parameters: ForecastParameters, panel: Panel, found: Sequence[int]) -> tuple[int, ...]:
    """Return the seasons in steps, the shortest first: those that a typical series holds twice.

    All of its rows count and not only those trained on: two years of months are two cycles when a forecast is made.
    """
    rows = int(np.median([len(series) for series in panel.series]))
    return choose_seasons(parameters.season, panel.frequency, found, rows)


def affordable(parameters: ForecastParameters, lengths: NDArray[np.int64], shares: Shares) -> Shares:
    """Return what is held out: without a test part where a share of short series would leave nothing to train on.

    Three years of months are to be forecast a year ahead as often as not, and two of them are all that is left then.
    """
    horizon = int(parameters.horizon)
    least = horizon + (parameters.context or _FEWEST)
    for tried in (shares, replace(shares, test=0.0)):
        left = lengths - held_rows(lengths, tried, horizon)
        if left.max(initial=0) >= least and (tried is shares or 0 < shares.test < 1):
            return tried
    return shares


def held_rows(lengths: NDArray[np.int64], shares: Shares, horizon: int) -> NDArray[np.int64]:
    """Return about how many rows of each series are held out."""
    held = [np.where(size < 1, np.round(lengths * size), size) for size in (shares.validation, shares.test) if size]
    return np.asarray(sum(np.maximum(rows, horizon) for rows in held), np.int64) + 0 * lengths


def combines(parameters: ForecastParameters) -> bool:
    """Tell whether simple forecasts may stand beside the network; counts would not stay whole numbers."""
    if parameters.combine == "auto":
        return parameters.output != "negative_binomial"
    return bool(parameters.combine)


def combination_in_words(combination: Combination) -> str:
    """Return what counts how much, the heaviest first."""
    shares = zip((*combination.experts, "network"), combination.weights, strict=True)
    return ", ".join(
        f"{100 * share:.0f} % {name}" for name, share in sorted(shares, key=lambda pair: -pair[1]) if share
    )


def columns_in_words(panel: Panel) -> str:
    """Return what each column is, in a line."""
    schema = panel.schema
    roles = {
        "target": schema.target, "time": (schema.time,), "series": (schema.series_id,),
        "past covariates": schema.past_covariates, "known covariates": schema.known_covariates,
        "static covariates": schema.static_covariates, "not used": panel.unused,
    }  # fmt: skip
    words = []
    for role, names in roles.items():
        kept = [name for name in names if name]
        if kept:
            words.append(f"{role} {', '.join(kept[:5])}" + (f" and {len(kept) - 5} more" if len(kept) > 5 else ""))
    return "; ".join(words if schema.time else [*words, "no times: the rows are numbered"])


def _names(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
