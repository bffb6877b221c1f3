"""How far a combination of forecasts is believed: against closed forms, and on series whose best forecast is known."""

import numpy as np
import pytest

from ostinato import Forecaster
from ostinato.tasks.forecast.evidence import Places, held_out_weights, reference, trust

SERIES, SPANS, EACH = 3, 20, 4


def places(series=SERIES, spans=SPANS, each=EACH):
    """Some overlapping windows of each stretch of some series."""
    grid = np.indices((series, spans, each)).reshape(3, -1)
    return Places(grid[0], grid[1])


def shared(rng, size, series=SERIES, spans=SPANS, each=EACH):
    """Errors that the windows of one stretch of a series have in common."""
    return np.repeat(rng.normal(0, size, series * spans), each)


def test_windows_that_overlap_are_counted_once() -> None:
    own = shared(np.random.default_rng(0), 1.0)
    each = own[::EACH]
    by_blocks = each.std(ddof=1) / np.sqrt(len(each))
    over_time = each.reshape(SERIES, SPANS).mean(0)
    by_time = over_time.std(ddof=1) / np.sqrt(SPANS)
    assert places().standard_error(own) == pytest.approx(max(by_blocks, by_time), rel=1e-9)
    together = np.tile(np.repeat(np.random.default_rng(1).normal(size=SPANS), EACH), SERIES)
    once = together[: SPANS * EACH : EACH]
    assert places().standard_error(together) == pytest.approx(once.std(ddof=1) / np.sqrt(SPANS), rel=1e-9)


@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1e160, 1e300])
@pytest.mark.parametrize("soft", [True, False])
def test_a_gain_is_believed_in_whatever_unit_it_is_measured(unit, soft) -> None:
    gains, level = 1 + shared(np.random.default_rng(0), 0.5), 3.0
    found = trust(unit * gains, places(), soft=soft, level=unit * level)
    assert found == pytest.approx(trust(gains, places(), soft=soft, level=level), rel=1e-9)


def test_two_stretches_tell_no_standard_error() -> None:
    few = Places(np.zeros(8, np.int64), np.repeat([0, 1], 4))
    assert few.standard_error(np.arange(8.0)) == np.inf
    assert trust(np.ones(8), few) == 0.5
    assert trust(-np.ones(8), few) == 0.0
    # of many series at one time, series are what tells it
    assert np.isfinite(Places(np.arange(50), np.zeros(50, np.int64)).standard_error(np.arange(50.0)))


def test_the_reference_is_the_simplest_within_a_standard_error_of_the_best() -> None:
    rng = np.random.default_rng(0)
    base = 1 + shared(rng, 0.1)
    error = places().standard_error(noise := shared(rng, 0.2))
    losses = np.stack([base + noise - noise.mean() + 0.5 * error, base, base + noise - noise.mean() + 3 * error])
    assert reference(losses, [0, 1, 2], places()) == 0
    assert reference(losses, [2, 1, 0], places()) == 1


def test_gains_are_trusted_as_they_rise_above_their_error() -> None:
    noise = shared(np.random.default_rng(0), 1.0)
    noise -= noise.mean()
    error = places().standard_error(noise)
    found = [trust(noise + factor * error, places()) for factor in (-1, 0.5, 1, 2, 10)]
    np.testing.assert_allclose(found, [0, 0, 0, 0.75, 0.99], atol=1e-9)
    softly = [trust(noise + factor * error, places(), soft=True) for factor in (-1, 1, 3)]
    np.testing.assert_allclose(softly, [0, 0.5, 0.9], atol=1e-9)


def test_a_small_gain_in_one_stretch_of_time_is_chance_however_many_series_it_is_of() -> None:
    alike = places(series=300, spans=1)
    gains = 0.02 + 0.01 * np.random.default_rng(0).normal(size=len(alike.series))
    assert trust(gains, alike, soft=True) > 0.95
    assert trust(gains, alike, soft=True, level=1.0) < 0.2
    assert trust(10 * gains, alike, soft=True, level=1.0) > 0.8
    many = places(series=3, spans=100)
    gains = 0.02 + 0.01 * np.random.default_rng(0).normal(size=len(many.series))
    assert trust(gains, many, soft=True, level=1.0) > 0.8


def test_what_one_series_shows_once_is_hardly_believed_and_chooses_no_single_forecast() -> None:
    once = places(series=1, spans=1)
    assert trust(np.full(4, 0.1), once, soft=True, level=1.0) < 0.05
    assert trust(np.full(4, 0.1), once, soft=True) == 0.5
    settled = [places(spans=spans).settled for spans in (1, 5, 20, 200)]
    np.testing.assert_allclose(settled, [1 / 401, 1 / 17, 0.5, 100 / 101])


def test_weights_are_found_on_other_windows_than_those_they_are_for() -> None:
    own = places()
    seen = []

    def find(chosen):
        seen.append(chosen)
        return np.array([chosen.mean()])

    weights = held_out_weights(find, own)
    np.testing.assert_allclose(weights, np.full((len(own.spans), 1), 0.75))
    assert (np.stack(seen).sum(0) == len(seen) - 1).all()


def walks(kind):
    """Series of months whose best forecast is simple."""
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 1, (4, 120))
    values = {
        "naive": 100 + noise.cumsum(1),
        "seasonal naive": 100
        + 5 * np.tile(rng.normal(size=(4, 12)), 10)
        + noise.reshape(4, 10, 12).cumsum(1).reshape(4, -1),
    }[kind]
    times = np.datetime64("2010-01") + np.arange(120)
    return {
        "unique_id": np.repeat([f"s{i}" for i in range(4)], 120),
        "ds": np.tile(times.astype("datetime64[D]"), 4),
        "y": values.ravel(),
    }


@pytest.mark.parametrize("best", ["naive", "seasonal naive"])
def test_a_walk_is_forecast_about_as_well_as_by_repeating_it(best) -> None:
    model = Forecaster(4, target="y", epochs=2, hidden_size=8, progress=False).fit(walks(best))
    values = model.scores_.values
    assert values["model"]["MASE"] < 1.03 * values[best]["MASE"]
    encoder = model.fitted_.model.encoder
    assert sum(encoder.combination.weights) == pytest.approx(1)


def test_a_network_without_weight_is_not_asked_and_its_series_without_values_are_not_forecast() -> None:
    model = Forecaster(4, target="y", epochs=1, hidden_size=8, progress=False).fit(walks("naive"))
    own = model.fitted_.model
    from dataclasses import replace

    from ostinato.tasks.forecast.fitted import Fitted

    combination = replace(
        own.encoder.combination, experts=("naive",), weights=np.array([1.0, 0.0]), linear=np.zeros((0, 0))
    )
    fitted = replace(Fitted.of(own), encoder=replace(own.encoder, combination=combination), network=None)
    panel = own.encoder.tail
    found = fitted.ahead(panel)
    last = np.stack([one.values[-1] for one in panel.series])
    np.testing.assert_allclose(found.point, np.repeat(last[:, None], 4, 1))
    assert (np.diff(found.quantiles, axis=-1) >= 0).all()


def test_the_skill_needs_no_baseline_that_was_judged() -> None:
    model = Forecaster(4, target="y", epochs=1, hidden_size=8, progress=False).fit(walks("seasonal naive"))
    values = model.scores_.values
    expected = 1 - values["model"]["MAE"] / values["seasonal naive"]["MAE"]
    model.evaluate = None  # type: ignore[method-assign]  # it may have left both out
    assert model.score() == pytest.approx(expected, rel=1e-6)
