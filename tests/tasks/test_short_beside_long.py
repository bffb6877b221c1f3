"""A series that is too short for the seasonal autoregression beside others that are not."""

import numpy as np
import polars as pl

from ostinato import Forecaster


def test_a_short_series_beside_long_ones_of_a_long_season_has_the_weights_of_all() -> None:
    rows, rng = (24 * 20, 24 * 20, 40), np.random.default_rng(0)
    hours = [np.arange(count) for count in rows]
    table = pl.DataFrame({
        "id": np.repeat(["a", "b", "c"], rows),
        "time": np.datetime64("2024-01-01", "us") + np.concatenate(hours) * np.timedelta64(1, "h"),
        "load": np.concatenate([10 + np.sin(2 * np.pi * each / 24) + rng.normal(0, 0.1, len(each)) for each in hours]),
    })  # fmt: skip
    model = Forecaster(4, target="load", epochs=1, hidden_size=4, progress=False, test=0).fit(table)
    assert model.predict().point.shape == (3, 4, 1)
