"""Seasons are found in what training shows, and not where there are none."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.data import Frequency, Part, load_panel
from ostinato.tasks.forecast.seasons import candidates_of, find_seasons, seasons_of

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ROWS = Frequency.parse("rows")


def lengths(series, frequency):
    series = series if isinstance(series, list) else [series]
    return [season.length for season in seasons_of(series, Frequency.parse(frequency))]


def pattern(rng, length):
    own = rng.standard_normal(length).cumsum()
    own = own - np.linspace(0, own[-1] - own[0], length)
    return (own - own.mean()) / own.std()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    frequency=st.sampled_from(["h", "30min", "D", "B", "W", "MS", "QS", "15min"]),
    cycles=st.integers(4, 8),
    seed=st.integers(0, 10_000),
    slope=st.sampled_from([0.0, 0.01, -0.05]),
    holes=st.sampled_from([0.0, 0.1]),
)
def test_a_season_of_the_frequency_is_found_under_trend_noise_and_holes(frequency, cycles, seed, slope, holes):
    rng, length = np.random.default_rng(seed), candidates_of(Frequency.parse(frequency))[0]
    places = np.arange(cycles * length)
    values = 50 + slope * places + np.tile(pattern(rng, length), cycles) + 0.2 * rng.standard_normal(len(places))
    values[rng.random(len(places)) < holes] = np.nan
    found = seasons_of([values * 1000], Frequency.parse(frequency))
    assert found[0].length == length
    assert found[0].strength > 0.5


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), week=st.floats(0.3, 1.2))
def test_a_day_and_a_week_are_found_together_and_the_stronger_comes_first(seed, week):
    rng = np.random.default_rng(seed)
    day, days = np.tile(pattern(rng, 24), 7 * 6), np.repeat(np.tile([1, 1, 1, 1, 1, -2.5, -2.5], 6), 24)
    values = day + week * days + 0.2 * rng.standard_normal(len(day))
    found = seasons_of([values], Frequency.parse("h"))
    assert {season.length for season in found} == {24, 168}
    assert [season.strength for season in found] == sorted((season.strength for season in found), reverse=True)
    if week < 0.5:  # a week that is stronger by far hides the day in rows that are only numbered
        assert sorted(lengths(values, "rows")) == [24, 168]


def test_a_day_alone_is_no_week_even_where_its_shape_changes_slowly():
    rng = np.random.default_rng(3)
    shapes = np.stack([pattern(rng, 24), pattern(rng, 24)])
    share = np.linspace(0, 1, 70)[:, None]
    values = ((1 - share) * shapes[0] + share * shapes[1]).reshape(-1) + 0.1 * rng.standard_normal(70 * 24)
    assert lengths(values, "h") == [24]
    assert lengths(values, "rows") == [24]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(period=st.integers(5, 60), cycles=st.integers(8, 14), seed=st.integers(0, 10_000))
def test_a_season_of_numbered_rows_is_found_by_itself(period, cycles, seed):
    rng = np.random.default_rng(seed)
    one = np.sin(2 * np.pi * np.arange(period) / period)
    values = np.tile(one, cycles) + 0.3 * rng.standard_normal(cycles * period)
    assert abs(lengths(values, "rows")[0] - period) <= max(1, period // 10)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(rows=st.integers(600, 1500), seed=st.integers(0, 10_000))
def test_a_smooth_week_of_numbered_hours_has_168_of_them(rows, seed):
    rng, hours = np.random.default_rng(seed), np.arange(rows)
    day, week = (np.sin(2 * np.pi * hours / length + rng.uniform(0, 6)) for length in (24, 168))
    assert set(lengths(day + week + 0.4 * rng.standard_normal(rows), "rows")) == {24, 168}


@pytest.mark.parametrize("length", [11, 13, 25, 53, 169])
def test_a_season_that_is_plainly_beside_a_usual_one_is_itself(length):
    """The wave goes out of step by one each cycle, the pulse at once."""
    rng = np.random.default_rng(length)
    steps = np.arange(max(120, 8 * length))
    for shape in (np.sin(2 * np.pi * steps / length), 2.0 * (steps % length < 2)):
        if length < 100 or shape.min() >= 0:  # 8 cycles of 169 steps are 8 steps out of 168: nothing of a wave
            assert lengths(shape + 0.1 * rng.standard_normal(len(steps)), "rows") == [length]


@pytest.mark.parametrize("frequency", ["MS", "D", "h", "rows"])
def test_noise_and_random_walks_seldom_have_a_season_and_a_panel_of_them_never(frequency):
    rng = np.random.default_rng(0)
    noise = [rng.standard_normal(int(rng.integers(60, 600))) for _ in range(60)]
    walks = [own.cumsum() for own in noise]
    for series in (noise, walks):
        assert sum(bool(lengths(own, frequency)) for own in series) <= 6
        assert lengths(series, frequency) == []


def test_what_is_flat_short_or_missing_has_no_season_and_has_no_vote():
    season = np.tile([1.0, 5, 2, 8, 3, 4, 9, 1, 2, 6, 7, 3], 5) + np.arange(60)
    for nothing in (np.zeros(60), np.full(60, np.nan), np.arange(60.0), season[:20], np.array([1.0]), np.zeros(0)):
        assert lengths(nothing, "MS") == []
    assert lengths([season, season * 3, np.zeros(60), np.full(60, np.nan)], "MS") == [12]
    assert lengths(season[:24], "MS") == [12]
    # a year of days needs three; the week is found all the same
    days = np.tile([0.0, 1, 2, 3, 2, 9, 8], 60)
    assert lengths(days, "D") == [7]


def test_a_smooth_chaotic_series_has_no_season():
    history = [1.2] * 171
    for _ in range(15_000):
        late = history[-171]
        history.append(history[-1] + 0.1 * (0.2 * late / (1 + late**10) - 0.1 * history[-1]))
    assert lengths(np.array(history[-10_000::10]), "rows") == []


def test_only_the_training_part_is_looked_at():
    rng = np.random.default_rng(0)
    values = np.r_[rng.standard_normal(120), 50 * np.tile(pattern(rng, 12), 10)]
    times = np.arange("2000-01", "2020-01", dtype="datetime64[M]").astype("datetime64[D]")
    panel = load_panel(pl.DataFrame({"time": times, "y": values}))
    zero = np.zeros(1, np.int64)
    assert find_seasons(panel, Part(zero, zero + 120)) == ()
    assert [own.length for own in find_seasons(panel, Part(zero + 120, zero + 240))] == [12]


@pytest.mark.parametrize(
    ("file", "frequency", "expected"),
    [
        ("small_series/monthly-airline-passengers.csv", "MS", {12}),
        ("small_series/daily-min-temperatures.csv", "D", {365}),
        ("taylor_half_hourly/taylor.csv", "30min", {48, 336}),
        ("taylor_half_hourly/taylor.csv", "rows", {48, 336}),
    ],
)
def test_real_series_have_the_seasons_that_are_known_of_them(file, frequency, expected):
    if not (DATA / file).exists():
        pytest.skip("real data is absent")
    table = pl.read_csv(DATA / file)
    values = table[table.columns[-1]].cast(pl.Float64, strict=False).to_numpy()
    assert set(lengths(values, frequency)) == expected


def test_the_cycle_of_sunspots_is_about_eleven_years_of_months():
    path = DATA / "small_series" / "monthly-sunspots.csv"
    if not path.exists():
        pytest.skip("real data is absent")
    table = pl.read_csv(path)
    assert abs(lengths(table[table.columns[-1]].to_numpy(), "rows")[0] - 132) <= 12
