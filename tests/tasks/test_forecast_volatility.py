"""Intervals that are as wide as series have moved of late."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato import Forecaster
from ostinato.tasks.forecast.volatility import Volatility, find_volatility, lag_of, movements, rows_of, widths_of

LEVELS = (0.1, 0.5, 0.9)
RNG = np.random.default_rng(11)


def windows_of(values, count, horizon):
    """Windows `(count, rows, 1)` at the end of a series, one from each row, with what came after."""
    ends = len(values) - horizon - np.arange(count)[::-1]
    rows = rows_of(horizon, ())
    return np.stack([values[end - rows : end] for end in ends])[..., None], np.stack(
        [values[end : end + horizon] for end in ends]
    )[..., None]


def test_volatility_is_the_mean_movement_over_a_horizon_the_latest_first() -> None:
    history = RNG.normal(0, 1, (3, 200, 2)).cumsum(1)
    lag, rows = lag_of(6, (4,)), rows_of(6, (4,))
    assert (lag, rows) == (8, 104)
    apart = np.abs(history[:, -rows:][:, lag:] - history[:, -rows:][:, :-lag])
    weights = 0.5 ** (np.arange(rows - lag)[::-1] / 48)
    found, trust = movements(history, 6, (4,))
    assert found == pytest.approx((apart * weights[:, None]).sum(1) / weights.sum())
    assert ((trust > 0.8) & (trust < 1)).all()


def test_a_window_alone_is_as_in_a_batch_and_what_is_older_or_missing_changes_nothing() -> None:
    history = RNG.normal(0, 1, (4, 150, 1)).cumsum(1)
    found, trust = movements(history, 5, ())
    longer = np.concatenate([RNG.normal(0, 9, (4, 60, 1)), history], 1)
    for place in range(4):
        alone = movements(longer[place : place + 1], 5, ())
        assert alone[0] == found[place]
        assert alone[1] == trust[place]
    nothing, no_trust = movements(np.full((1, 150, 1), np.nan), 5, ())
    assert np.isnan(nothing).all()
    assert not no_trust.any()


def test_a_rough_time_is_covered_nearly_as_the_calm_one_that_was_calibrated_on() -> None:
    """A walk whose steps are three times as large in the end: of what an interval then lacks, it gains two thirds."""
    horizon = 6
    values = np.cumsum(RNG.normal(0, 1, 2400) * np.where(np.arange(2400) < 1500, 1, 3))
    calm, coming = windows_of(values[:1500], 600, horizon)
    ahead = np.sqrt(np.arange(1, horizon + 1))[None, :, None, None]
    quantiles = calm[:, -1:, :, None] + ahead * np.array([-1.2816, 0, 1.2816])
    found = find_volatility(coming, quantiles, LEVELS, movements(calm, horizon, ()), np.ones((600, 1)), 100)
    assert found.power >= 0.5
    rough, truth = windows_of(values, 600, horizon)
    before = rough[:, -1:, :, None] + ahead * np.array([-1.2816, 0, 1.2816])
    after = found.follow(before, LEVELS, *movements(rough, horizon, ()))
    held = [100 * np.mean((truth >= q[..., 0]) & (truth <= q[..., -1])) for q in (before, after)]
    assert held[0] < 45
    assert held[0] + (80 - held[0]) * 2 / 3 < held[1] < 90
    assert (after[..., 1] == before[..., 1]).all()


def test_intervals_that_know_better_are_left_as_they_are() -> None:
    """Where the width that is forecast is right and volatility is noise, nothing follows it."""
    size = np.exp(RNG.normal(0, 1, (800, 1)))
    truth = RNG.normal(0, 1, (800, 4, 1)) * size[:, None]
    quantiles = size[:, None, :, None] * np.array([-1.2816, 0, 1.2816]) * np.ones((1, 4, 1, 1))
    moved = np.exp(RNG.normal(0, 1, (800, 1))), np.full((800, 1), 0.9)
    assert find_volatility(truth, quantiles, LEVELS, moved, np.ones((800, 1)), 800).power == 0


def test_flat_series_and_few_levels_are_left_alone() -> None:
    quantiles = np.zeros((5, 3, 1, 3))
    moved = np.zeros((5, 1)), np.zeros((5, 1))
    assert not find_volatility(np.zeros((5, 3, 1)), quantiles, LEVELS, moved, np.ones((5, 1)), 5).power
    assert not find_volatility(np.zeros((5, 3, 1)), quantiles[..., :1], (0.9,), moved, np.ones((5, 1)), 5).power
    followed = Volatility(1.0, 0.0).follow(quantiles + np.array([-1, 0, 1.0]), LEVELS, *moved)
    assert widths_of(followed, LEVELS) == pytest.approx(2.0)


@pytest.mark.parametrize("wrong", [(2.0, 0.0), (-0.1, 0.0), (1.0, float("nan"))])
def test_what_a_file_may_not_hold_is_refused(wrong) -> None:
    with pytest.raises(ValueError, match="volatility"):
        Volatility(*wrong)


@pytest.fixture(scope="module")
def model() -> Forecaster:
    values = np.cumsum(RNG.normal(0, 1, 500)) + 5 * np.sin(np.arange(500) / 2)
    return Forecaster(horizon=4, epochs=2, hidden_size=4, progress=False).fit(values)


def test_a_stream_and_a_saved_model_follow_as_the_batch_does(model, tmp_path) -> None:
    assert model.fitted_.model.encoder.volatility.power > 0
    steps = np.cumsum(RNG.normal(0, 9, 80))
    rows = {"value": np.r_[model.fitted_.model.encoder.tail.series[0].values[:, 0], steps]}
    calm = model.predict().quantiles
    loaded = Forecaster.load(model.save(tmp_path / "model"))
    stream = loaded.stream()
    for step in steps:
        pushed = stream.push([step])
    named = {model.fitted_.model.encoder.columns[0]: rows["value"]}
    batch = model.predict(named)
    np.testing.assert_allclose(pushed.quantiles, batch.quantiles, rtol=1e-5)
    width = (batch.quantiles[..., -1] - batch.quantiles[..., 0]).mean()
    assert width > 1.5 * (calm[..., -1] - calm[..., 0]).mean()
