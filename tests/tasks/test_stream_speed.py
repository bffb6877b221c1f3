"""What makes a streamed forecast quick gives the numbers of what is slow: the compiled loop, the compiled network."""

import copy
import pickle

import numpy as np
import pytest
import torch

from ostinato import Forecaster
from ostinato.tasks.forecast.decomposition import adjustments, is_seasonal, prepared
from ostinato.tasks.forecast.smoothing import Grid, smooth
from ostinato.tasks.forecast.smoothing_loop import Steps, Walk, walk
from ostinato.tasks.forecast.stepped import SteppedNetwork, stepped

SMALL = {"context": 24, "segment": 6, "hidden_size": 8, "epochs": 1, "progress": False, "combine": False}


def walked_in_numpy(steps, weights, start, ratio):
    """The recurrences of Hyndman et al. (2008), table 2.1 in the form of errors, a step at a time."""
    alpha, beta, phi, gamma = weights
    level, trend, errors = start.level.copy(), start.trend.copy(), start.errors.copy()
    season, floor = start.season.copy(), steps.floor[:, None]
    for step in range(steps.filled.shape[1]):
        own, mask = season[:, step % season.shape[1]], steps.seen[:, step, None]
        y, moved = steps.filled[:, step, None], level + phi * trend
        if ratio:
            error = (y - moved * own) * mask
            relative = error / own
            new = np.maximum(own + gamma * error / np.maximum(moved, floor), 0.05)
        else:
            error = relative = (y - moved - own) * mask
            new = own + gamma * error
        season[:, step % season.shape[1]] = new
        begun = steps.begun[:, step, None]
        level = np.where(begun, moved + alpha * relative, level)
        trend = np.where(begun, phi * trend + beta * relative, trend)
        errors += error * error
    return Walk(level, trend, season, errors)


@pytest.mark.parametrize("ratio", [False, True])
@pytest.mark.parametrize(("rows", "count", "period", "candidates"), [(1, 40, 1, 1), (3, 25, 7, 8), (2, 5, 12, 19)])
def test_the_compiled_loop_has_the_bits_of_numpy(ratio, rows, count, period, candidates) -> None:
    rng = np.random.default_rng(candidates)
    seen = rng.random((rows, count)) < 0.8
    y = np.where(seen, 5 + rng.normal(size=(rows, count)), 0.0)
    y[0, -1] = 1e150
    steps = Steps(y, seen, np.maximum.accumulate(seen, 1), rng.random(rows))
    weights = rng.random((4, candidates))
    level, trend, errors = rng.normal(size=(3, rows, candidates))
    start = Walk(level, trend, 0.5 + rng.random((rows, period, candidates)), errors)
    before = copy.deepcopy(start)
    found, expected = walk(steps, weights, start, ratio=ratio), walked_in_numpy(steps, weights, start, ratio)
    for name in ("level", "trend", "season", "errors"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        np.testing.assert_array_equal(getattr(start, name), getattr(before, name))


def test_a_series_is_smoothed_alone_as_among_others() -> None:
    rng = np.random.default_rng(0)
    history = 20 + 3 * np.sin(np.arange(60) / 6 * np.pi) + rng.normal(size=(5, 60))
    history[2, :11] = np.nan
    for together, alone in zip(adjustments(history, 12), adjustments(history[2:3], 12), strict=True):
        grid = Grid.make(together.kind != "none", 60)
        every, own = smooth(together, grid), smooth(alone, grid)
        for name in ("level", "trend", "season", "errors"):
            np.testing.assert_array_equal(getattr(every, name)[2:3], getattr(own, name))


def test_a_season_is_tested_by_the_correlations_at_all_its_lags() -> None:
    rng = np.random.default_rng(1)
    values = np.sin(np.arange(80) * 2 * np.pi / 9) + rng.normal(size=(40, 80)) * np.linspace(0.2, 6, 40)[:, None]
    found = []
    for row in values - values.mean(1, keepdims=True):
        shares = np.array([(row[lag:] * row[:-lag]).sum() for lag in range(1, 10)]) / (row**2).sum()
        found.append(shares[-1] > 1.645 * np.sqrt((1 + 2 * (shares[:-1] ** 2).sum()) / 80))
    assert 5 < sum(found) < 38
    np.testing.assert_array_equal(is_seasonal(prepared(values), 9), found)


@pytest.fixture(scope="module")
def model():
    times = np.datetime64("2024-01-01") + np.arange(200) * np.timedelta64(1, "h")
    wave = np.sin(np.arange(200) / 4)
    data = {"t": times, "y": wave, "z": wave**2, "w": np.cos(np.arange(200) / 4)}
    options = {"target": ("y", "z"), "past_covariates": ("w",), "cell": "lstm", "num_layers": 2, **SMALL}
    return Forecaster(10, time="t", **options).fit(data)


def test_the_compiled_network_says_what_the_network_says(model) -> None:
    stream = model.stream()
    quick = stream._fitted.network
    assert isinstance(quick, SteppedNetwork)
    assert quick._kernel is not None
    assert model.stream()._fitted.network is quick
    found, expected = stream.forecast(), model.predict()
    np.testing.assert_allclose(found.point, expected.point, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.quantiles, expected.quantiles, rtol=1e-5, atol=1e-6)


def test_a_stream_is_copied_and_pickled_with_its_compiled_network(model) -> None:
    stream = model.stream()
    for other in (copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))):  # noqa: S301
        np.testing.assert_array_equal(other.push([0.5, 0.2, 0.1]).quantiles, stream.peek([0.5, 0.2, 0.1]).quantiles)


def test_a_stream_after_the_weights_changed_has_the_new_ones(model) -> None:
    old = model.stream()
    before = old.forecast().point
    network = copy.deepcopy(model.fitted_.model.network)
    with torch.no_grad():
        for own in network.parameters():
            own.mul_(1.5)
    first = stepped(network)
    with torch.no_grad():
        next(network.parameters()).mul_(0.5)
    assert stepped(network) is not first
    np.testing.assert_array_equal(old.forecast().point, before)
