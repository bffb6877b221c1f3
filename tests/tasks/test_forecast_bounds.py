"""Forecasts of what is never negative: which targets those are, and that nothing below zero is said of them."""

import numpy as np
import polars as pl
import pytest

import ostinato
from ostinato import Forecaster
from ostinato.errors import DataError

RNG = np.random.default_rng(0)
SOLD = RNG.poisson(1.5, 200).astype(float)


def few(horizon: int = 4, **options) -> Forecaster:
    return Forecaster(horizon, **{"epochs": 1, "hidden_size": 4, "progress": False, "test": 0, **options})


def sales(nothing_below: float = 0.0) -> pl.DataFrame:
    """Return what is sold and what changes from day to day, and temperatures of a summer."""
    return pl.DataFrame({
        "sold": SOLD + nothing_below, "change": np.diff(SOLD, prepend=0.0), "warm": 20 + RNG.normal(0, 2, 200),
    })  # fmt: skip


def test_a_target_is_bounded_that_comes_near_zero_and_is_never_below() -> None:
    model = few(target=["sold", "change", "warm"]).fit(sales())
    assert model.summary_.settings["nonnegative"] == "sold"
    found = model.predict()
    assert found.quantiles[:, :, 0].min() == 0
    assert found.point[:, :, 0].min() >= 0
    assert found.quantiles[:, :, 1].min() < 0


def test_one_negative_value_in_the_validation_part_takes_the_bound_away() -> None:
    table = sales()
    table[190, "sold"] = -1.0
    assert few(target="sold").fit(table).summary_.settings["nonnegative"] == "none"


@pytest.mark.parametrize("decoding", ["direct", "recursive"])
def test_forecasts_go_below_zero_where_it_is_switched_off(decoding) -> None:
    free = few(target="sold", nonnegative=False, decoding=decoding, combine=False).fit(sales())
    kept = few(target="sold", decoding=decoding, combine=False).fit(sales())
    assert free.predict().quantiles.min() < 0
    np.testing.assert_array_equal(kept.predict().quantiles, np.maximum(free.predict().quantiles, 0))


def test_the_bound_is_asked_for_refused_saved_and_streamed(tmp_path) -> None:
    with pytest.raises(DataError, match=r'"change" has negative values.*use "auto" or False'):
        few(target="change", nonnegative=True).fit(sales())
    model = few(target="warm", nonnegative=True).fit(sales())
    assert model.summary_.settings["nonnegative"] == "warm"
    model.save(tmp_path / "model")
    stream = ostinato.load(tmp_path / "model").stream()
    for value in (3.0, 0.0, 0.0, 0.0):
        found = stream.push([value])
    assert found.quantiles.min() >= 0


@pytest.mark.parametrize("asked", ["auto", True])
def test_a_window_that_shows_values_below_zero_takes_the_bound_away_unless_it_was_asked_for(asked) -> None:
    model = few(target="sold", nonnegative=asked).fit(sales().select("sold"))
    frost = pl.DataFrame({"sold": np.r_[SOLD, np.linspace(0, -40, 60)]})
    found, stream = model.predict(frost), model.stream(cold=True)
    for value in frost["sold"]:
        streamed = stream.push([value])
    assert (found.point.max() < -20) == (asked == "auto")
    assert (found.quantiles.min() >= 0) == (asked is True)
    np.testing.assert_allclose(streamed.point, found.point, rtol=1e-6)
