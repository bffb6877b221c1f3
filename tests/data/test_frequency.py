"""Grids of times against pandas' date ranges."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.data import Frequency, calendar_cycles, calendar_features, infer_frequency
from ostinato.errors import DataError, UsageError

ALIASES = ["s", "10s", "min", "15min", "h", "6h", "D", "B", "W", "MS", "ME", "QS", "YS", "2MS"]


@given(alias=st.sampled_from(ALIASES), first=st.integers(0, 50), count=st.integers(1, 60))
def test_times_are_those_of_a_pandas_range_and_have_their_places(alias, first, count) -> None:
    start = pd.date_range("2019-02-27 06:00", periods=1, freq=alias.replace("W", "W-WED"))[0]
    # pandas counts years and quarters of one month from the month it starts in
    peer = {"W": "W-WED", "YS": "12MS", "QS": "3MS"}.get(alias, alias)
    expected = pd.date_range(start, periods=first + count, freq=peer).to_numpy()[first:]
    frequency = Frequency.parse(alias)
    times = frequency.times(start.to_numpy(), first, count)
    np.testing.assert_array_equal(times, expected.astype("datetime64[us]"))
    np.testing.assert_array_equal(frequency.places(start.to_numpy(), times), np.arange(first, first + count))
    assert (frequency.places(start.to_numpy(), times + np.timedelta64(1, "us")) == -1).all()
    assert Frequency.parse(frequency.alias()) == frequency


@pytest.mark.parametrize("alias", ["10s", "15min", "h", "D", "B", "W-WED", "MS", "ME", "QS", "YS"])
@pytest.mark.parametrize("gaps", [False, True])
def test_a_frequency_is_seen_even_with_gaps(alias, gaps) -> None:
    times = pd.date_range("2019-01-01", periods=80, freq=alias).to_numpy().astype("datetime64[us]")
    if gaps:
        times = np.delete(times, [3, 4, 20, 33])
    found = infer_frequency([times])
    np.testing.assert_array_equal(found.at(times[0], found.places(times[0], times)), times)
    assert found.places(times[0], times)[-1] == 79


def test_irregular_times_are_refused_with_the_first_that_is_off() -> None:
    times = np.datetime64("2020-01-01", "us") + np.array([0, 60, 120, 180, 247, 300, 360]) * np.timedelta64(
        1_000_000, "us"
    )
    with pytest.raises(DataError, match=r"most rows are 1 minute apart, but the one at 2020-01-01 00:04:07"):
        infer_frequency([times])


@pytest.mark.parametrize(
    ("alias", "seasons"), [("h", (24, 168)), ("D", (7,)), ("B", (5,)), ("MS", (12,)), ("rows", ())]
)
def test_usual_seasons(alias, seasons) -> None:
    assert Frequency.parse(alias).seasons == seasons


def test_an_unknown_frequency_is_named() -> None:
    with pytest.raises(UsageError, match='frequency "fortnight" is not known; expected s, min, h'):
        Frequency.parse("fortnight")


def test_calendar_features_repeat_with_their_cycles() -> None:
    hourly = Frequency.parse("h")
    times = hourly.times(np.datetime64("2021-03-01"), 0, 400)
    features = calendar_features(times, hourly)
    assert features.shape == (400, 6)
    np.testing.assert_allclose(features[:24, [0, 3]], features[24:48, [0, 3]], atol=1e-6)  # time of day
    np.testing.assert_allclose(features[:168, [1, 4]], features[168:336, [1, 4]], atol=1e-6)  # day of week
    assert len(np.unique(features[:24].round(5), axis=0)) == 24
    assert calendar_features(np.arange(5), Frequency.parse("rows")).shape == (5, 0)
    np.testing.assert_array_equal(calendar_features(times, hourly, 2), features[:, [0, 1, 3, 4]])
    assert calendar_features(times, hourly, 0).shape == (400, 0)


@pytest.mark.parametrize(
    ("frequency", "rows", "cycles"),
    [("h", 47, 0), ("h", 48, 1), ("h", 8760, 2), ("h", 2 * 8766, 3), ("D", 13, 0), ("D", 400, 1), ("D", 731, 2),
     ("B", 300, 1), ("B", 523, 2), ("MS", 23, 0), ("MS", 24, 1), ("W", 60, 0), ("W", 105, 1), ("rows", 999, 0)],
)  # fmt: skip
def test_a_cycle_of_the_calendar_is_read_where_it_comes_twice(frequency, rows, cycles) -> None:
    assert len(calendar_cycles(Frequency.parse(frequency), rows)) == cycles
