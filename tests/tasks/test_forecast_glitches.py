"""What is no measurement is taken as missing, and what is only rare is not."""

import numpy as np
import pytest

from ostinato import Forecaster
from ostinato.errors import DataWarning
from ostinato.tasks.forecast.glitches import _glitches


def wave(rows=120):
    rng, steps = np.random.default_rng(0), np.arange(rows)
    return 50 + 10 * np.sin(2 * np.pi * steps / 7) + rng.normal(size=rows)


@pytest.mark.parametrize("size", [1e4, -1e30])
def test_a_forecast_with_a_glitch_is_that_with_the_value_missing(size) -> None:
    options = {"epochs": 1, "hidden_size": 8, "progress": False}
    spoilt, missing = wave(), wave()
    spoilt[60], missing[60] = size, np.nan
    with pytest.warns(
        DataWarning,
        match=r"row 61 of it, is more than 100 times as far off .* taken as missing; if it is right, clip it",
    ):
        found = Forecaster(7, **options).fit(spoilt).predict()
    expected = Forecaster(7, **options).fit(missing).predict()
    np.testing.assert_array_equal(found.quantiles, expected.quantiles)


RARE = {
    "noise": lambda rng: rng.normal(size=1000),
    "heavy tails": lambda rng: rng.standard_t(3, 1000),
    "sizes over many orders of magnitude": lambda rng: np.exp(2 * rng.normal(size=1000)),
    "rain": lambda rng: (rng.random(1000) < 0.15) * rng.gamma(0.5, 20, 1000),
    "demand that is seldom": lambda rng: (rng.random(500) < 0.05) * rng.poisson(30, 500),
    "growth": lambda rng: np.exp(0.1 * np.arange(300)) * (1 + 0.1 * rng.random(300)),
    "a new level": lambda rng: rng.normal(size=300) + 1e6 * (np.arange(300) >= 298),
    "a burst of some length": lambda rng: rng.normal(size=1000) + 1e6 * (np.abs(np.arange(1000) - 500) < 4),
    "bursts that come again": lambda rng: rng.normal(size=300) + 1e6 * (np.arange(300) % 30 == 5),
}


@pytest.mark.parametrize("name", RARE)
def test_what_is_rare_stays(name) -> None:
    assert not any(_glitches(RARE[name](np.random.default_rng(seed))).any() for seed in range(5))
