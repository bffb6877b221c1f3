"""A week that some of many numbered series have is found, and one that none has is not."""

import numpy as np

from ostinato.data import Frequency
from ostinato.tasks.forecast.seasons import seasons_of

DAY, WEEK = 24, 168


def hours(weekly: bool, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    day = 5 * np.sin(2 * np.pi * np.arange(5 * WEEK) / DAY + rng.uniform(0, 6))
    rest = np.convolve(rng.normal(0, 1, 5 * WEEK + 9), np.ones(10) / 10, "valid")
    return day + rest + (np.arange(5 * WEEK) // DAY % 7 > 4) * 4 * weekly


def lengths(share: float) -> set[int]:
    series = [hours(one < share * 20, one) for one in range(20)]
    return {season.length for season in seasons_of(series, Frequency.parse("rows"))}


def test_a_week_of_four_in_ten_series_is_found() -> None:
    assert lengths(0.4) == {DAY, WEEK}


def test_no_week_is_found_where_none_or_hardly_any_has_one() -> None:
    assert lengths(0.0) == lengths(0.1) == {DAY}
