"""Simple forecasts beside a forecaster's network: each against something written differently, and their weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ostinato import Forecaster
from ostinato.tasks.forecast.combining import Combination, find_spread, find_weights, roughness
from ostinato.tasks.forecast.decomposition import is_seasonal, prepared, shrunken, with_indices
from ostinato.tasks.forecast.experts import Experts, names_of
from ostinato.tasks.forecast.naive2 import is_seasonal as is_seasonal_once
from ostinato.tasks.forecast.naive2 import multiplicative_indices
from ostinato.tasks.forecast.network import HARMONICS, waves_of_day
from ostinato.tasks.forecast.smoothing import (
    Grid,
    adjusted_smoothing,
    candidates_ahead,
    exponential_smoothing,
    smooth,
    theta,
)

SEASON = 12


def months(rows=3, steps=72, seed=0, noise=0.0):
    """Rows with a level, a trend that ends, and a multiplicative season."""
    rng = np.random.default_rng(seed)
    level = 100 + np.cumsum(rng.normal(0, noise, (rows, steps)), 1)
    index = 1 + 0.3 * np.sin(2 * np.pi * np.arange(steps) / SEASON + rng.uniform(0, 6, (rows, 1)))
    return level * index


def test_what_repeats_each_season_goes_on_repeating() -> None:
    history = months()
    expected = history[:, -SEASON:]
    everything, flat = exponential_smoothing(history, SEASON, SEASON)
    adjusted = adjusted_smoothing(history, SEASON, [SEASON])
    for forecast in (everything, flat, adjusted, theta(history, SEASON, SEASON)):
        np.testing.assert_allclose(forecast, expected, rtol=2e-3)


@pytest.mark.parametrize("kind", ["sum", "ratio"])
def test_seasons_that_are_noise_are_shrunk_away_and_those_that_are_plain_stay(kind) -> None:
    rng = np.random.default_rng(0)
    noise = 100 + rng.normal(size=(40, 6 * SEASON))
    found = shrunken(prepared(noise), [SEASON], kind)
    whole = with_indices(prepared(noise), SEASON, kind)
    assert found.indices.std() < 0.5 * whole.indices.std()
    plain = months(noise=0.3)
    found, whole = shrunken(prepared(plain), [SEASON], kind), with_indices(prepared(plain), SEASON, kind)
    np.testing.assert_allclose(found.indices, whole.indices, rtol=0.02, atol=0.02 * np.abs(whole.indices).max())


def test_a_day_and_a_week_are_taken_off_together() -> None:
    steps = np.arange(4 * 168)
    week = 3.0 * (steps // 24 % 7 >= 5)
    history = (50 + 5 * np.sin(2 * np.pi * steps / 24) + week)[None] + np.random.default_rng(0).normal(
        0, 0.1, len(steps)
    )
    ahead = adjusted_smoothing(history, 168, [24, 168])
    np.testing.assert_allclose(ahead[0], history[0, -168:], atol=0.7)


@pytest.mark.parametrize(
    "way",
    [
        lambda h: exponential_smoothing(h, 7, SEASON)[0],
        lambda h: theta(h, 7, SEASON),
        lambda h: adjusted_smoothing(h, 7, [SEASON]),
    ],
)
def test_a_row_alone_is_as_in_a_batch_and_missing_steps_before_it_change_nothing(way) -> None:
    history = months(noise=2.0, seed=1)
    together = way(history)
    np.testing.assert_allclose(way(history[1:2]), together[1:2], rtol=1e-9)
    before = np.concatenate([np.full((3, 31), np.nan), history], 1)
    np.testing.assert_allclose(way(before), together, rtol=1e-9)
    np.testing.assert_allclose(way(7.5 * history), 7.5 * together, rtol=1e-6)


def test_each_candidate_is_the_recursion_of_the_book() -> None:
    """Holt's damped trend written as a loop over one series, its start taken from the line through ten values."""
    y = months(1, noise=3.0)[0]
    grid = Grid(*(np.array([own]) for own in (0.4, 0.25, 0.9, 0.0, 4.0)))
    state = smooth(prepared(y[None]), grid)
    slope, start = np.polyfit(np.arange(1, 11), y[:10], 1)
    level, trend, errors = start, slope, 0.0
    for value in y:
        error = value - level - 0.9 * trend
        level, trend = level + 0.9 * trend + 0.4 * error, 0.9 * trend + 0.4 * 0.25 * error
        errors += error**2
    ahead = candidates_ahead(state, grid, 3, ratio=False)[0, 0]
    np.testing.assert_allclose(ahead, level + trend * np.cumsum(0.9 ** np.arange(1, 4)), rtol=1e-9)
    assert state.errors[0, 0] == pytest.approx(errors)


def test_a_steady_trend_is_seen_beside_a_season_and_not_where_there_is_none() -> None:
    rng, steps = np.random.default_rng(3), np.arange(108)
    season = 20 * np.sin(2 * np.pi * steps / SEASON)
    noise = rng.normal(0, 3, (40, 108))
    rising = (100 + 1.5 * steps + season + noise)[:, :96]
    come = (100 + 1.5 * steps + season)[96:]
    errors = np.abs(exponential_smoothing(rising, SEASON, SEASON)[0] - come)
    assert errors.mean() < 2.0  # the season repeated would err by 18, a level by 10
    flat = (100 + season + noise)[:, :96]
    assert np.abs(exponential_smoothing(flat, SEASON, SEASON)[0] - (100 + season)[96:]).mean() < 2.0


def test_seasons_are_tested_and_measured_as_naive2_does() -> None:
    for seed, steps in ((0, 72), (1, 77), (2, 60)):
        history = months(2, steps, seed, noise=4.0)
        noise = np.random.default_rng(seed).normal(100, 5, (2, steps))
        for rows in (history, noise):
            found = is_seasonal(prepared(rows), SEASON)
            once = np.array([is_seasonal_once(row, SEASON) for row in rows])
            # a season's values are like those of the season before; naive2 takes the opposite for one too, as M4 did
            assert (found <= once).all()
            assert rows is noise or found.tolist() == once.tolist()
        indices = with_indices(prepared(history), SEASON, "ratio").indices
        for own, row in zip(indices, history, strict=True):
            np.testing.assert_allclose(own, np.roll(multiplicative_indices(row, SEASON), -(steps % SEASON)), rtol=1e-9)


def test_weights_are_convex_follow_many_windows_and_stay_near_the_prior_on_one() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(200, 6, 1))
    forecasts = np.stack([truth + rng.normal(0, size, truth.shape) for size in (0.1, 1.0, 1.0)])
    prior, scale = np.array([0.2, 0.4, 0.4]), np.ones((200, 1))
    many = find_weights(forecasts, truth, scale, 200, prior)
    assert many[0] > 0.9
    near = np.stack([truth + rng.normal(0, size, truth.shape) for size in (0.95, 1.0, 1.0)])
    one = find_weights(near, truth, scale, 1, prior)
    np.testing.assert_allclose(one, prior, atol=0.1)
    for weights in (many, one):
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1)
    # two whose errors are opposite are better together than either
    twins = np.stack([truth + 1, truth - 1])
    np.testing.assert_allclose(find_weights(twins, truth, scale, 200, np.array([0.9, 0.1])), 0.5, atol=0.1)


def test_intervals_of_errors_that_grow_hold_what_they_promise() -> None:
    rng = np.random.default_rng(0)
    growth = np.arange(1, 9)[None, :, None] ** 0.5
    errors = rng.standard_t(4, (300, 8, 1)) * growth
    spread = find_spread(errors, (0.1, 0.5, 0.9), 300.0)
    new = rng.standard_t(4, (4000, 8, 1)) * growth
    held = ((new >= spread[None, :, None, 0]) & (new <= spread[None, :, None, 2])).mean((0, 2))
    np.testing.assert_allclose(held, 0.8, atol=0.06)
    few = find_spread(errors[:2], (0.1, 0.5, 0.9), 2.0)
    assert (np.diff(few, axis=1) > 0).all()
    assert few[-1, 2] > few[0, 2]


@pytest.mark.parametrize("windows", [3, 6, 20])
def test_intervals_of_few_errors_hold_what_they_promise_on_the_average(windows) -> None:
    """Of series whose errors are of the usual size, more or less by a half."""
    rng, held = np.random.default_rng(windows), []
    for _ in range(300):
        size = 0.8 * np.sqrt(np.pi / 2) * np.exp(0.5 * rng.normal())
        spread = find_spread(size * rng.normal(size=(windows, 1, 1)), (0.1, 0.9), float(windows))
        new = size * rng.normal(size=100)
        held.append(((new >= spread[0, 0]) & (new <= spread[0, 1])).mean())
    assert 0.77 < np.mean(held) < 0.83


def test_how_much_a_window_moves_is_as_it_moved_of_late() -> None:
    rng = np.random.default_rng(0)
    calm, rough = (np.cumsum(rng.normal(0, size, (50, 300, 1)), 1) for size in (1.0, 5.0))
    turned = np.concatenate([calm, calm[:, -1:] + rough], 1)
    usual = np.sqrt(2 / np.pi)
    np.testing.assert_allclose(roughness(turned, ()).mean(), 5 * usual, rtol=0.05)
    np.testing.assert_allclose(roughness(3 * turned, ()), 3 * roughness(turned, ()), rtol=1e-9)
    back = np.concatenate([rough, rough[:, -1:] + 0.01 * calm], 1)
    np.testing.assert_allclose(roughness(back, ()).mean(), 0.5 * 2.5 * usual, rtol=0.05)  # half of all is the least


def wild(rng: np.random.Generator) -> np.ndarray:
    """A price: calm and rough times follow each other (Bollerslev, 1986)."""
    steps, size = np.zeros(1600), 1.0
    for i in range(1600):
        steps[i] = np.sqrt(size) * rng.normal()
        size = 0.02 + 0.1 * steps[i] ** 2 + 0.88 * size
    return 100 + np.cumsum(steps)


@pytest.mark.parametrize("make", [wild, lambda rng: 100 + np.cumsum(rng.normal(size=1600))])
def test_intervals_of_prices_hold_what_they_promise_whenever_they_are_asked(make) -> None:
    held = []
    for seed in range(12):
        y = make(np.random.default_rng(seed))
        origins = np.arange(300, 1590, 5)
        past = np.stack([y[i - 256 : i] for i in origins])[..., None]
        scaled = (np.stack([y[i : i + 5] for i in origins])[..., None] - past[:, -1:]) / roughness(past, ())[:, None]
        spread = find_spread(scaled[:200], (0.1, 0.9), 300.0)
        held.append(((scaled[200:] >= spread[None, :, None, 0]) & (scaled[200:] <= spread[None, :, None, 1])).mean())
    assert 0.76 < np.mean(held) < 0.84
    assert np.std(held) < 0.08


def test_experts_are_finite_whatever_a_window_holds() -> None:
    history = np.full((5, 30, 1), np.nan)
    history[1, -1] = 3.0
    history[2] = 5.0
    history[3, ::3] = np.arange(10.0)[:, None]
    history[4, :, 0] = np.where(np.arange(30) % 2, 1e30, -1e-30)
    names = names_of((7,), linear=False)
    found = Experts((7,), 4, np.zeros((0, 0))).forecast(history, np.ones((5, 1)), names)
    assert found.shape == (len(names), 5, 4, 1)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, 1], 3.0)
    np.testing.assert_allclose(found[:, 2], 5.0)
    assert (roughness(history, (7,)) > 0).all()


@pytest.fixture(scope="module")
def short():
    """A forecaster of some short monthly series."""
    values = months(8, 70, noise=2.0, seed=3)
    start = np.datetime64("2010-01") + np.arange(70)
    data = {
        "unique_id": np.repeat([f"s{i}" for i in range(8)], 70),
        "ds": np.tile(start.astype("datetime64[D]"), 8),
        "y": values.ravel(),
    }
    return Forecaster(6, target="y", epochs=2, hidden_size=8, progress=False).fit(data)


def test_a_fit_says_what_it_combines_and_forecasts_short_series_better_than_repeating_them(short) -> None:
    assert "%" in short.summary_.settings["combination"]
    assert short.fitted_.model.encoder.combination.experts
    values = short.scores_.values
    assert values["model"]["MASE"] < values["seasonal naive"]["MASE"]


def test_a_combination_streams_and_loads_to_the_same_numbers(short, tmp_path) -> None:
    expected = short.predict().point
    loaded = type(short).load(short.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.predict().point, expected)
    for place, name in enumerate(("s0", "s7")):
        found = loaded.stream(name).now()
        np.testing.assert_allclose(found.point, expected[[0, 7][place]][None], rtol=1e-6)
        assert (np.diff(found.quantiles, axis=-1) >= 0).all()


def test_without_combining_the_network_stands_alone(short) -> None:
    alone = Forecaster(**{**short.get_params(), "combine": False, "epochs": 1}).fit(short._given)
    assert alone.fitted_.model.encoder.combination.experts == ()
    assert alone.summary_.settings["combination"] == "100 % network"


@pytest.mark.parametrize(
    "wrong",
    [
        {"experts": ("tomorrow's paper",), "weights": np.array([0.5, 0.5])},
        {"experts": ("theta",), "weights": np.array([0.5, 0.5]), "spread": np.zeros((2, 2))},
        {"weights": np.array([np.nan])},
        {"linear": np.zeros((3, 3))},
    ],
)
def test_a_file_with_another_combination_is_refused(short, wrong) -> None:
    encoder = short.fitted_.model.encoder
    with pytest.raises(ValueError, match=r"simple forecast"):
        replace(encoder, combination=replace(Combination.none(), **wrong))


def test_the_forecast_of_a_step_follows_the_calendar_of_that_step() -> None:
    values = np.sin(np.arange(400) * 2 * np.pi / 24) + 0.1 * np.random.default_rng(0).normal(size=400)
    times = np.datetime64("2024-01-01") + np.arange(400) * np.timedelta64(1, "h")
    model = Forecaster(24, target="y", epochs=1, refit=False, progress=False).fit({"time": times, "y": values})
    own = model.fitted_.model
    windows = own.encoder.windows(model.task.read(own.parameters, model._given).panel, np.array([[0, 300]]))
    from ostinato.tasks.forecast.fitted import Fitted

    inputs = Fitted.of(own).maker(windows.panel)(windows.gather(np.array([0])))
    moved = inputs.calendar.clone()
    moved[:, own.encoder.settings.context + 5] = moved[:, own.encoder.settings.context + 17]
    with torch.no_grad():
        own.network.profile.weight.normal_()
        apart = (own.network(inputs) - own.network(inputs._replace(calendar=moved)))[0].abs().sum(-1)
    assert apart.nonzero().flatten().tolist() == [5]


def test_waves_are_whole_shares_of_the_shortest_cycle() -> None:
    angles = torch.rand(7, 2, dtype=torch.float64) * 6
    found, angle = waves_of_day(torch.cat([angles.sin(), angles.cos()], -1)), angles[:, :1]
    expected = [torch.cat([(k * angle).sin(), (k * angle).cos()], -1) for k in range(1, HARMONICS + 1)]
    torch.testing.assert_close(found, torch.cat(expected, -1))
