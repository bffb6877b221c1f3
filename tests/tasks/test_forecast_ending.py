"""Series that have ended in zeros, and those that only look so."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato import Forecaster
from ostinato.tasks.forecast.ending import going_on, with_ending

RNG = np.random.default_rng(3)
SOLD = RNG.poisson(1.2, 160).astype(float)
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


def window(values) -> np.ndarray:
    return np.asarray(values, float)[None, :, None]


def test_what_was_sold_each_month_and_is_not_for_years_has_ended() -> None:
    assert going_on(window([*SOLD, *np.zeros(200)]), 12)[0, 0] < 0.05
    # a median of zero, but a nine in ten that is more: it was as long closed as three forecasts are
    assert 0.1 < going_on(window([*SOLD, *np.zeros(40)]), 12)[0, 0] < 0.2
    assert going_on(window([*SOLD, *np.zeros(8)]), 12)[0, 0] == 1.0


@pytest.mark.parametrize(
    "values",
    [
        np.maximum(np.sin(np.arange(240) * np.pi / 12), 0)[:240],  # solar power, which ends at night
        np.where(np.arange(365) % 7 < 5, 3.0, 0.0),  # closed on weekends
        np.where(np.arange(120) % 12 < 4, 9.0, 0.0),  # a summer's product
        np.zeros(50),
        np.full(50, np.nan),
        np.r_[RNG.normal(0, 1, 60), np.zeros(40)],  # what may be negative does not end in zeros
        np.where(RNG.random(300) < 0.04, 1.0, 0.0)[:290],  # seldom sold
    ],
)
def test_zeros_that_come_and_go_end_nothing(values) -> None:
    assert going_on(window(values), 7)[0, 0] > 0.9


def test_a_mixture_with_zero_has_its_quantiles() -> None:
    """Against samples: 30 of 100 draws are of the forecast, the others zero."""
    draws = RNG.gamma(4, 1, 200_000)
    inner = np.quantile(draws, np.linspace(0.001, 0.999, 999))
    mixed = np.where(RNG.random(200_000) < 0.7, draws, 0.0)
    levels = np.linspace(0.001, 0.999, 999)
    found = with_ending(np.array([[[4.0]]]), inner[None, None, None], tuple(levels), np.array([[0.7]]))[1]
    assert found is not None
    inside = (levels > 0.32) & (levels < 0.99)
    assert found[0, 0, 0, inside] == pytest.approx(np.quantile(mixed, levels[inside]), abs=0.1)
    assert not found[0, 0, 0, levels < 0.3].any()
    assert (np.diff(found[0, 0, 0]) >= 0).all()


def test_a_series_alone_is_as_in_a_batch_and_others_stay_as_they_are() -> None:
    both = np.concatenate([window([*SOLD, *np.zeros(40)]), window([*np.zeros(40), *SOLD])])
    alive = going_on(both, 12)
    assert alive[1, 0] == 1.0
    assert going_on(both[:1], 12) == alive[:1]
    quantiles = RNG.normal(5, 1, (2, 12, 1, 5)).cumsum(-1)
    point, found = with_ending(quantiles[..., 2], quantiles, LEVELS, alive)
    assert found is not None
    assert not found[0, ..., :4].any()
    assert not point[0].any()
    assert (found[1] == quantiles[1]).all()


@pytest.fixture(scope="module")
def ended() -> Forecaster:
    values = np.r_[SOLD, np.zeros(60)]
    return Forecaster(horizon=6, epochs=1, hidden_size=4, progress=False, test=12, validation=6).fit(values)


def test_the_forecast_of_an_ended_series_is_zero_in_batch_and_stream(ended) -> None:
    found = ended.predict()
    assert np.abs(found.point).max() == 0
    assert found.quantiles.max() < 0.5
    stream = ended.stream()
    assert (stream.push([0.0]).point == 0).all()
    # it goes on as soon as it is sold again
    assert stream.push([4.0]).point.max() > 0
