"""Theta and AutoETS beside a forecaster."""

import importlib.util
import warnings

import numpy as np
import polars as pl
import pytest

import ostinato
from ostinato.errors import DataWarning, OutOfTime
from ostinato.tasks.base.allowance import Allowance
from ostinato.tasks.base.evaluating import better_of, compared_over_all
from ostinato.tasks.forecast.classical import ClassicalForecast, _evenly
from ostinato.tasks.forecast.fitted import Forecasts
from ostinato.tasks.forecast.metrics import mae_by_step, weighted_quantile_loss
from ostinato.tasks.forecast.smoothing import theta

pytestmark = pytest.mark.autoets
has_library = importlib.util.find_spec("statsforecast") is not None
library = pytest.mark.skipif(not has_library, reason="statsforecast is not installed")


def monthly(series=3, years=8, seed=0):
    rng = np.random.default_rng(seed)
    steps = np.arange(12 * years)
    own = [
        100
        + 50 * i
        + 0.05 * (1 + i) * steps
        + (5 + 10 * i) * np.sin(steps * np.pi / 6)
        + 4 * rng.standard_normal(len(steps))
        for i in range(series)
    ]
    return np.stack(own)


def long_form(values):
    times = np.arange("2010-01", "2040-01", dtype="datetime64[M]")[: values.shape[1]].astype("datetime64[D]")
    frames = [pl.DataFrame({"unique_id": f"s{i}", "ds": times, "y": own}) for i, own in enumerate(values)]
    return pl.concat(frames)


@library
@pytest.mark.parametrize("season", [1, 12])
def test_our_theta_is_the_librarys_within_what_its_smoothing_is_searched_by(season):
    from statsforecast.models import Theta

    values = monthly() if season == 12 else 100 + np.random.default_rng(1).standard_normal((4, 60)).cumsum(1)
    ours = theta(values, 12, season)
    theirs = np.stack([Theta(season_length=season).forecast(own, 12)["mean"] for own in values])
    np.testing.assert_allclose(ours, theirs, rtol=0.03)


def fitted(values, **options):
    model = ostinato.Forecaster(horizon=6, epochs=1, hidden_size=4, test=12, windows_per_epoch=64, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return model.fit(long_form(values))


def test_theta_stands_beside_every_forecaster_and_without_the_extra_it_is_said_what_is_missing():
    model = fitted(monthly())
    assert model.scores_.values["Theta"]["MASE"] < model.scores_.values["naive"]["MASE"]
    if has_library:
        assert model.scores_.values["AutoETS"]["MASE"] < model.scores_.values["naive"]["MASE"]
    else:
        assert "ostinato[baselines]" in model.scores_.details["left out"]["AutoETS"]


@library
def test_autoets_is_fitted_before_the_test_and_rolled_on_and_comes_back_with_the_model(tmp_path):
    from statsforecast.models import AutoETS

    values = monthly(2)
    model = fitted(values)
    again = ostinato.load(model.save(tmp_path / "model"))
    table = long_form(values)
    own = again.fitted_.baselines["AutoETS"]
    task, parts = model.task, model.fitted_.model
    examples = task.encode(parts, task.read(parts.parameters, table))
    held = type(examples)(examples.encoder, examples.panel, type(examples.part)(np.array([84, 84]), np.array([96, 96])))
    found = own.predict(held).point[..., 0]
    direct = AutoETS(season_length=12).fit(values[1, :84])
    rows = np.flatnonzero(held.origins[:, 0] == 1)
    for row in rows[[0, -1]]:
        expected = direct.forward(values[1, : held.origins[row, 1]], 6)["mean"]
        np.testing.assert_allclose(found[row], expected)
    with pytest.raises(OutOfTime), Allowance(1e-9, 1).piece():
        own.predict(held)


@library
def test_a_long_series_is_rolled_forward_in_its_own_phase():
    steps = np.arange(1300)
    wave = 50 + 10 * np.sin(2 * np.pi * steps / 12) + np.random.default_rng(0).normal(0, 0.5, steps.size)
    model = ostinato.Forecaster(6, season=12, context=24, segment=6, hidden_size=4, epochs=1, progress=False).fit(wave)
    assert model.scores_.values["AutoETS"]["MAE"] < 1.5


@library
def test_a_flat_series_and_one_with_holes_are_answered():
    values = monthly(3)
    values[0] = 7.0
    values[1, 20:30] = np.nan
    values[2, 84:90] += 0.1
    model = fitted(np.concatenate([monthly(1, seed=3), values]))
    assert np.isfinite(model.scores_.values["AutoETS"]["MAE"])


def test_a_sample_of_windows_is_spread_over_the_series():
    origins = np.array([(series, row) for series in range(5) for row in range(1 + 3 * series)])
    order = list(_evenly(origins))
    assert sorted(order) == list(range(len(origins)))
    assert sorted(origins[order[:5], 0]) == [0, 1, 2, 3, 4]
    assert len(set(origins[order[5:9], 0])) == 4


def test_it_is_data_that_a_model_file_holds():
    assert vars(ClassicalForecast(12)) == {"season": 12}


def last_value(examples):
    at = [(int(series), int(row)) for series, row in examples.origins]
    last = np.stack([examples.panel.series[series].rows(row - 1, row)[0, :1] for series, row in at])
    return Forecasts(np.repeat(last[:, None], 6, 1))


def test_a_baseline_that_answers_some_series_is_compared_on_those_alone():
    """Over all its scores are the model's, times how the two compare there: an easy series makes nobody the best."""
    fit = fitted(monthly(8))
    task, model = fit.task, fit._model()
    examples, _ = fit._examples(model, None, None)
    # of the first series, and the beginnings of the second's: a baseline may lack a column
    there = np.zeros(examples.truth.shape, bool)
    there[examples.origins[:, 0] == 0] = True
    there[examples.origins[:, 0] == 1, :2] = True
    ours, naive = task.predict(model, examples), last_value(examples)
    naive = Forecasts(naive.point, naive.point[..., None] * np.linspace(0.9, 1.1, ours.quantiles.shape[-1]))
    predicted = {"model": ours, "lazy": naive.where(there), "naive": naive}
    values = {name: task.measures(model, examples, each) for name, each in predicted.items()}
    parts = {name: task.units(model, examples, each) for name, each in predicted.items()}
    found, against = compared_over_all(task, model, examples, predicted, values, better_of(task, values), parts)
    shared = task.measures(model, examples, ours.where(there))
    steps = task.details(model, examples, predicted)["by_step"]
    both = mae_by_step(examples.truth, ours.where(there).point), mae_by_step(examples.truth, naive.where(there).point)
    np.testing.assert_allclose(steps["lazy"], np.array(steps["model"]) * both[1] / both[0])
    assert steps["naive"] == list(mae_by_step(examples.truth, naive.point))
    for measure in ("MAE", "RMSE", "MASE", "wQL"):
        expected = values["model"][measure] * values["lazy"][measure] / shared[measure]
        np.testing.assert_allclose(found["lazy"][measure], expected)
        assert found["naive"][measure] == values["naive"][measure]
        if measure in against["lazy"]:
            difference = values["model"][measure] - expected
            np.testing.assert_allclose(against["lazy"][measure].value, difference, rtol=1e-6, atol=1e-9)


def test_a_truth_without_a_forecast_counts_in_neither_sum_of_the_quantile_loss():
    truth, quantiles = np.array([[[1.0]], [[100.0]]]), np.array([[[[0.0, 2.0]]], [[[np.nan, np.nan]]]])
    assert weighted_quantile_loss(truth, quantiles, (0.1, 0.9)) == weighted_quantile_loss(
        truth[:1], quantiles[:1], (0.1, 0.9)
    )
