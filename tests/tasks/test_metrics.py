"""Metrics and baselines against scikit-learn, published figures and numbers worked by hand."""

import csv
import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, mean_pinball_loss, mean_squared_error

from ostinato.tasks.base.judging import decisive, stand, verdict_sentences
from ostinato.tasks.base.units import Mean, Units
from ostinato.tasks.forecast import metrics
from ostinato.tasks.forecast.baselines import drift, naive, seasonal_naive
from ostinato.tasks.forecast.calibration import calibrate, measure_calibration, telling
from ostinato.tasks.forecast.linear import LinearAutoregression
from ostinato.tasks.forecast.naive2 import naive2
from ostinato.tasks.forecast.task import ForecastTask

NAN = float("nan")
RNG = np.random.default_rng(0)


def test_errors_are_those_of_scikit_learn_on_the_observed_values() -> None:
    truth, point = RNG.normal(size=(2, 5, 4, 3))
    truth[1, 2, 0] = NAN
    seen = ~np.isnan(truth)
    assert metrics.mae(truth, point) == pytest.approx(mean_absolute_error(truth[seen], point[seen]))
    assert metrics.rmse(truth, point) == pytest.approx(mean_squared_error(truth[seen], point[seen]) ** 0.5)
    quantiles = np.sort(RNG.normal(size=(5, 4, 3, 3)), -1)
    levels = (0.1, 0.5, 0.9)
    losses = [mean_pinball_loss(truth[seen], quantiles[seen][:, i], alpha=level) for i, level in enumerate(levels)]
    assert metrics.crps_from_quantiles(truth, quantiles, levels) == pytest.approx(2 * np.mean(losses))
    expected = 2 * np.mean(losses) * seen.sum() / np.abs(truth[seen]).sum()
    assert metrics.weighted_quantile_loss(truth, quantiles, levels) == pytest.approx(expected)


def test_measures_worked_by_hand() -> None:
    truth, point = np.array([[[2.0], [4.0]]]), np.array([[[3.0], [4.0]]])
    assert metrics.smape(truth, point) == pytest.approx(100 * (2 * 1 / 5 + 0) / 2)
    assert metrics.mase(truth, point, np.array([[0.25]])) == pytest.approx(2.0)
    assert np.isnan(metrics.mase(truth, point, np.zeros((1, 1))))
    np.testing.assert_allclose(metrics.mase_scale(np.array([[1.0], [3.0], [2.0], [7.0]]), 2), [2.5])
    assert metrics.coverage(truth, point - 1, point - 0.5) == 0.5
    assert metrics.mae_by_step(truth, point) == (1.0, 0.0)


def test_baselines_worked_by_hand() -> None:
    history = np.array([1.0, 2.0, 3.0, 4.0, 5.0, NAN])[None, :, None]
    assert naive(history, 2)[0, :, 0].tolist() == [5, 5]
    assert seasonal_naive(history, 4, 3)[0, :, 0].tolist() == [4, 5, 3, 4]  # the missing one is taken a season before
    assert drift(history, 2)[0, :, 0].tolist() == [7, 8]  # one a step, and one step is missing
    assert np.isnan(naive(np.full((1, 3, 1), NAN), 2)).all()


@given(season=st.integers(1, 6), rows=st.integers(12, 30), horizon=st.integers(1, 15))
def test_the_seasonal_naive_forecast_of_a_periodic_series_is_exact(season, rows, horizon) -> None:
    whole = np.resize(RNG.normal(size=season), rows + horizon)
    forecast = seasonal_naive(whole[None, :rows, None], horizon, season)
    np.testing.assert_array_equal(forecast[0, :, 0], whole[rows:])


@pytest.mark.parametrize(("name", "horizon", "season"), [("hourly", 48, 24), ("weekly", 13, 1)])
def test_naive2_has_the_figures_that_the_m4_competition_published(shared_data, name, horizon, season) -> None:
    folder = shared_data / f"m4_{name}"
    with gzip.open(folder / f"{name.title()}-train.csv.gz", "rt") as file:
        train = [np.array([float(cell) for cell in row[1:] if cell]) for row in list(csv.reader(file))[1:]]
    with (folder / f"{name.title()}-test.csv").open() as file:
        truth = np.array([[float(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]])[..., None]
    point = np.stack([naive2(values, horizon, season) for values in train])[..., None]
    scale = np.stack([metrics.mase_scale(values[:, None], season) for values in train])
    published = {"hourly": (18.383, 2.395), "weekly": (9.161, 2.777)}[name]
    assert (round(metrics.smape(truth, point), 3), round(metrics.mase(truth, point, scale), 3)) == published


def test_the_linear_autoregression_is_a_ridge_regression_on_lags() -> None:
    history = RNG.normal(size=(200, 6, 1)).cumsum(1)
    future = np.concatenate([history[:, -1:] * 1.1 - 0.3 * history[:, -2:-1], history[:, -3:-2]], 1)
    ours = LinearAutoregression(6, 2, ridge=1e-9).fit(history, future)
    fresh = RNG.normal(size=(20, 6, 1)).cumsum(1)
    peer = Ridge(alpha=1e-6).fit(history[:, :, 0] - history[:, -1:, 0], future[:, :, 0] - history[:, -1:, 0])
    expected = peer.predict(fresh[:, :, 0] - fresh[:, -1:, 0]) + fresh[:, -1:, 0]
    np.testing.assert_allclose(ours.predict(fresh)[:, :, 0], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("blocks", [6, 20, 60])
def test_calibration_on_few_days_holds_what_it_promises_on_the_average_of_many_draws(blocks) -> None:
    levels, kept = (0.1, 0.5, 0.9), {None: [], blocks: []}
    rng = np.random.default_rng(blocks)
    forecast = np.broadcast_to(np.array([-1.0, 0.0, 1.0]), (blocks, 48, 1, 3))
    for _ in range(800):
        # the errors of a day are one error, so that 48 values on it tell no more than one
        day = np.broadcast_to(rng.normal(size=(blocks, 1, 1)), (blocks, 48, 1))
        fresh = rng.normal(size=(400, 1, 1))
        for count, found in kept.items():
            offsets = measure_calibration(day, forecast, levels, count)
            moved = calibrate(forecast[:1, :1].repeat(400, 0), offsets, levels)
            found.append(metrics.coverage(fresh, moved[..., 0], moved[..., 2]))
    plain, counted = (np.mean(found) for found in kept.values())
    assert 0.78 < counted < (0.82 if blocks > 10 else 0.88)  # of six days, only the sixths can be told apart
    assert plain < counted


def test_calibration_on_a_calm_or_rough_time_knows_that_it_has_seen_little() -> None:
    levels, rng, held = (0.1, 0.5, 0.9), np.random.default_rng(0), {"all count": [], "by times": []}
    forecast, when = np.broadcast_to(np.array([-1.0, 0.0, 1.0]), (400, 1, 1, 3)), np.arange(400)
    for _ in range(300):
        # four times of a hundred days, each as calm or rough as it is, and then another one
        size = np.exp(0.6 * rng.normal(size=5)).repeat(100)[:, None, None]
        errors = size * rng.normal(size=(500, 1, 1))
        for name, times in (("all count", None), ("by times", when)):
            offsets = measure_calibration(errors[:400], forecast, levels, 400, times=times)
            moved = calibrate(forecast[:100].copy(), offsets, levels)
            held[name].append(metrics.coverage(errors[400:], moved[..., 0], moved[..., 2]))
    plain, counted = (np.mean(found) for found in held.values())
    assert plain < counted < 0.84
    assert abs(counted - 0.8) < abs(plain - 0.8)


def test_a_calm_part_narrows_intervals_by_half_of_what_it_was_calmer() -> None:
    levels = (0.1, 0.5, 0.9)
    forecast = np.broadcast_to(np.array([-1.2816, 0.0, 1.2816]), (4000, 1, 1, 3))
    offsets = measure_calibration(0.5 * RNG.normal(size=(4000, 1, 1)), forecast, levels, 4000)
    moved = calibrate(forecast[:1].copy(), offsets, levels)
    np.testing.assert_allclose(moved[0, 0, 0], [-0.75 * 1.2816, 0, 0.75 * 1.2816], rtol=0.05)


def test_values_that_are_independent_count_for_nearly_as_many() -> None:
    rng, times = np.random.default_rng(1), np.arange(4000)
    found = [telling(rng.random(4000) < 0.8, times, 4000) for _ in range(40)]
    assert 2000 < np.median(found) <= 4000
    weeks = [telling((rng.random(20) < 0.8).repeat(200), times, 4000) for _ in range(40)]
    assert 8 <= np.median(weeks) < 60
    assert telling(np.ones(4000, bool), times, 4000) == 4000
    assert telling(np.arange(4000) < 2000, times, 10) == 10  # too few to say


def test_calibration_makes_intervals_hold_what_they_promise() -> None:
    levels = (0.1, 0.25, 0.5, 0.75, 0.9)
    spread = np.exp(RNG.normal(size=(4000, 1, 1)))
    truth = RNG.normal(size=(4000, 1, 1)) * spread
    narrow = 0.4 * np.array([-1.28, -0.67, 0, 0.67, 1.28]) * spread[..., None]
    offsets = measure_calibration(truth[:2000], narrow[:2000], levels)
    moved = calibrate(narrow[2000:], offsets, levels)
    for low, high in ((0, 4), (1, 3)):
        held = metrics.coverage(truth[2000:], moved[..., low], moved[..., high])
        assert held == pytest.approx(levels[high] - levels[low], abs=0.03)
    assert (np.diff(moved, axis=-1) >= 0).all()
    np.testing.assert_array_equal(moved[..., 2], narrow[2000:, ..., 2])
    assert not measure_calibration(truth[:5], narrow[:5], levels).any()


def said_of(**windows) -> str:
    """The sentences of a forecaster's scores by the errors of 40 windows, as a fit puts them together."""
    task, rng = ForecastTask(), np.random.default_rng(0)
    units, values = {}, {}
    for name, size in windows.items():
        errors = rng.lognormal(0, 0.02, 40)
        errors *= size / errors.mean()
        units[name] = Units(40, "windows", {"MASE": Mean(errors, np.full(40, float(np.isfinite(size))))})
        values[name] = {"MASE": errors.mean(), "MAE": errors.mean()}
    values["model"]["coverage 80 %"] = 71.0
    better = {"MASE": "lower", "MAE": "lower"}
    measure = decisive(values, task.decides)
    return " ".join([*verdict_sentences(values, measure, better, stand(values, better, units)), *task.remarks(values)])


def test_a_series_that_a_regression_forecasts_is_not_called_a_random_walk() -> None:
    said = said_of(model=1.2, naive=0.8, drift=0.7, linear=0.5)
    assert "LOSES to a baseline: MASE 1.2 against 0.5" in said
    assert "random walk" not in said


@pytest.mark.parametrize(
    ("model", "rivals", "words"),
    [
        (0.8, {"naive": 1.3, "seasonal": 1.0}, "beats every baseline: MASE 0.8"),
        (1.2, {"naive": 1.5, "seasonal": 1.0}, "LOSES to a baseline: MASE 1.2"),
        (1.0, {"naive": 1.0, "drift": 1.1}, "no better than the baselines"),
        (1.2, {"naive": 1.0, "drift": 1.1}, '"tomorrow is like today" is not beaten'),
        (NAN, {"naive": NAN}, "nothing to compare"),
        (0.5, {"naive": 0.0}, "LOSES to a baseline"),
    ],
)
def test_the_verdict_is_plain(model, rivals, words) -> None:
    said = said_of(model=model, **rivals)
    assert words in said
    if "nothing" not in words:
        assert "80 % interval held 71.0 % of the values (too narrow)" in said


@pytest.mark.parametrize(
    ("held", "forecasts", "words"),
    [
        (95.3, 3, "(which chance may do to 3 forecasts)"),
        (85.3, 34, "(which chance may do to 34 forecasts)"),
        (85.3, 2000, "(too wide)"),
        (50.0, 34, "(too narrow)"),
        (83.8, 3, "(as it should)"),
    ],
)
def test_an_interval_is_called_too_wide_only_where_that_is_beyond_chance(held, forecasts, words) -> None:
    assert words in ForecastTask().remarks({"model": {"MASE": 1.0, "coverage 80 %": held}}, forecasts)[-1]


@pytest.mark.parametrize("independent", [1, 2, 3, 10])
def test_a_calibration_on_few_forecasts_moves_levels_by_finite_amounts(independent) -> None:
    levels = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    rng = np.random.default_rng(independent)
    quantiles = np.sort(rng.normal(size=(40, 8, 1, 9)), -1)
    offsets = measure_calibration(rng.normal(size=(40, 8, 1)), quantiles, levels, independent)
    assert np.isfinite(offsets).all()
    # what was known before is left the less, the more forecasts there are
    known = measure_calibration(rng.normal(size=(40, 8, 1)), quantiles, levels, independent, 1.0)
    alone = measure_calibration(rng.normal(size=(40, 8, 1)), quantiles, levels, independent, 0.0)
    assert np.abs(known).max() < np.abs(alone).max()
    assert (np.diff(calibrate(quantiles, offsets, levels), axis=-1) >= 0).all()
