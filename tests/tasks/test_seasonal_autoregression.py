"""The autoregression of what a long season leaves: against a plain loop, and in a forecaster, saved and streamed."""

import numpy as np
import pytest

import ostinato
from ostinato import Forecaster
from ostinato.tasks.forecast.seasonal import SeasonalAutoregression, rows_of, seasonal_mean, sizes_of

RNG = np.random.default_rng(0)
SEASON, HORIZON = 24, 8


def days(count: int = 30) -> np.ndarray:
    """Return days of a fixed shape with an autoregression of .9 on them."""
    shape = RNG.normal(0, 5, SEASON)
    noise = RNG.normal(0, 1, count * SEASON)
    rest = np.zeros_like(noise)
    for step in range(1, len(noise)):
        rest[step] = 0.9 * rest[step - 1] + noise[step]
    return 50 + np.tile(shape, count) + rest


def test_the_mean_of_the_cycles_is_that_of_a_loop() -> None:
    history = RNG.normal(size=(2, 70, 1))
    history[0, 40:44] = np.nan
    found = seasonal_mean(history, 12, 6, 15)
    for window in range(2):
        for place, step in enumerate(range(-6, 15)):
            values = [history[window, 70 + step - 12 * k, 0] for k in range(1, 8) if 0 <= 70 + step - 12 * k < 70]
            values = [value for value in values if not np.isnan(value)][:5]
            shares = 0.7 ** np.arange(len(values))
            assert found[window, place, 0] == pytest.approx(np.sum(shares * values) / shares.sum())


def test_what_repeats_goes_on_and_a_window_shorter_than_a_season_repeats_its_last_value() -> None:
    week = np.tile(RNG.normal(size=SEASON), 12)
    windows = np.stack([week[first : first + 160] for first in range(40)])[..., None]
    made = SeasonalAutoregression(SEASON, 2 * SEASON, HORIZON)
    made.fit(windows, np.stack([week[first + 160 : first + 160 + HORIZON] for first in range(40)])[..., None])
    np.testing.assert_allclose(made.predict(windows[:1])[0, :, 0], week[160 : 160 + HORIZON], atol=1e-9)
    np.testing.assert_allclose(made.predict(windows[:1, -5:])[0, :, 0], week[159], atol=1e-9)


def test_it_errs_as_little_as_whoever_knows_the_shape() -> None:
    values = days(60)
    rows, first = rows_of((SEASON,)), range(0, 1000)
    windows = np.stack([values[at : at + rows] for at in first])[..., None]
    coming = np.stack([values[at + rows : at + rows + HORIZON] for at in first])[..., None]
    made = SeasonalAutoregression(*sizes_of((SEASON,)), HORIZON).fit(windows[:900], coming[:900])
    error = np.abs(made.predict(windows[900:]) - coming[900:])[:, 0].mean()
    assert error < 1.25 * np.sqrt(2 / np.pi)  # of the noise, which nothing forecasts


def test_no_short_season_has_one() -> None:
    assert sizes_of((7,)) == sizes_of((4, 12)) == sizes_of(()) == (0, 0)
    assert sizes_of((24, 168)) == (168, 48)
    assert rows_of((48, 336)) == 5 * 336 + 96
    assert rows_of((700,)) == 2048


def test_a_forecaster_with_it_is_saved_and_streamed_with_the_same_answers(tmp_path) -> None:
    values = days()
    model = Forecaster(HORIZON, season=SEASON, epochs=1, hidden_size=4, test=0, progress=False).fit(values[:-3])
    assert "seasonal autoregression" in model.summary_.settings["combination"]
    model.save(tmp_path / "model")
    again = ostinato.load(tmp_path / "model")
    expected = again.predict(values)
    np.testing.assert_allclose(model.predict(values).point, expected.point, rtol=1e-6)
    stream = again.stream()
    for value in values[-3:]:
        found = stream.push([value])
    np.testing.assert_allclose(found.point, expected.point, rtol=1e-5)
