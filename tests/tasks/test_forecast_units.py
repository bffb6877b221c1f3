"""Forecasts of equal quality are told apart one time in twenty, though forecasts from neighbouring rows overlap."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato import Forecaster
from ostinato.tasks.base.differences import compare
from ostinato.tasks.base.units import mean_of
from ostinato.tasks.forecast.units import window_steps

DRAWS = 250


def errors_of_two(rng, horizon, rows):
    """The errors of two forecasts of a random walk that lie as far from it, one on each side, `(windows, horizon)`."""
    walk = np.cumsum(rng.standard_normal(rows + 3))
    origins = np.arange(3, 3 + rows - horizon + 1)
    coming = walk[origins[:, None] + np.arange(horizon)]
    last, step = walk[origins - 1, None], 0.7 * (walk[origins - 1] - walk[origins - 2])[:, None]
    return np.abs(coming - last - step), np.abs(coming - last + step)


@pytest.mark.parametrize(("horizon", "rows"), [(1, 60), (6, 150), (12, 600)])
def test_forecasts_that_overlap_are_told_apart_no_more_often_than_said(horizon, rows) -> None:
    rng = np.random.default_rng(horizon)
    size = window_steps(rows, horizon, overlap=horizon > 1)
    owners = (np.arange(rows - horizon + 1)[:, None] + np.arange(horizon)) // size
    owners = np.minimum(owners, rows // size - 1)
    wrong = 0
    for _ in range(DRAWS):
        one, other = (mean_of(own, owners, rows // size) for own in errors_of_two(rng, horizon, rows))
        wrong += compare(one, other).p <= 0.05
    assert wrong / DRAWS <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / DRAWS)


@pytest.mark.parametrize(("series", "rows", "expected"), [(1, 400, "windows of 8 steps"), (25, 60, "series")])
def test_a_unit_is_a_window_of_time_or_of_many_series_a_series(series, rows, expected) -> None:
    rng = np.random.default_rng(0)
    names = np.repeat([f"s{i}" for i in range(series)], rows)
    table = {"id": names.tolist(), "y": rng.normal(size=series * rows).cumsum().tolist()}
    model = Forecaster(4, target="y", series_id="id", context=8, hidden_size=4, epochs=1, progress=False).fit(table)
    units = model.scores_.units["model"]
    assert units.of == expected
    if expected == "series":
        assert units.count == series
    assert f"over {units.count:,} {expected}" in model.scores_.verdict
