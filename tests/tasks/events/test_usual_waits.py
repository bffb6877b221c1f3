"""Times that are moved towards what is usual after an activity, where held-out cases say so."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from event_logs import make_log, rows_of
from ostinato.tasks.events.features import Seen
from ostinato.tasks.events.times import TimeScale
from ostinato.tasks.events.usual_waits import UsualWaits


def log_of(events, seed):
    """Activities, and waits that are drawn again each time, most of them short: their mean is far from their median."""
    rng = np.random.default_rng(seed)
    activities = rng.integers(1, 3, events)
    waits = rng.exponential(1.0, events) ** 2 * 1000 * activities
    nothing = np.zeros((events, 0), np.int64)
    seen = Seen(np.tile(activities[:, None] + 1, 4), nothing, nothing.astype(float), nothing)
    return activities, np.stack([waits, np.full(events, np.nan)], -1), seen


def test_predictions_that_say_less_than_what_is_usual_are_moved_to_it_and_others_are_left_alone() -> None:
    activities, waits, _ = log_of(2000, 0)
    usual = UsualWaits.fit(activities, waits, 3)
    own = waits[activities == 1, 0]
    assert usual.values[:, 1, 0] == pytest.approx([own.mean(), np.median(own)])
    assert usual.values[:, 0, 0] == pytest.approx([waits[:, 0].mean(), np.median(waits[:, 0])])  # it never came
    _, held, seen = log_of(1000, 1)
    owners = np.repeat(np.arange(100), 10)
    far = np.full((1000, 2), 50_000.0)
    (mean, median), unknown = usual.weighed(far, seen, held, owners).shares
    assert mean == 0  # the absolute error of the median is the least
    assert median > 0.95
    assert unknown == (0, 0)
    right = np.nan_to_num(held) * np.random.default_rng(2).uniform(0.99, 1.01, held.shape)
    assert sum(usual.weighed(right, seen, held, owners).shares[0]) < 0.05
    few = usual.weighed(right[:20], seen.at(np.arange(20)), held[:20], owners[:20])
    assert sum(few.shares[0]) < 0.6  # two cases tell little


def test_what_is_moved_is_the_median_in_seconds_and_its_deviation_stays() -> None:
    activities, waits, seen = log_of(300, 0)
    usual, scales = UsualWaits.fit(activities, waits, 3), [TimeScale.fit("lognormal", each) for each in waits.T]
    raw = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 2, 2)))
    assert usual.moved(raw, seen, scales) is raw  # nothing is decided yet
    for share in (0.3, 1.0):
        found = replace(usual, shares=((share, 0.0), (0.0, 0.0))).moved(raw, seen, scales)
        expected = (1 - share) * scales[0].seconds(raw[:, 0]) + share * usual.values[0, activities, 0]
        np.testing.assert_allclose(scales[0].seconds(found[:, 0]), expected, rtol=1e-6)
        assert torch.equal(found[:, 1], raw[:, 1])
        assert torch.equal(found[..., 1], raw[..., 1])
    with pytest.raises(ValueError, match="are no shares"):
        replace(usual, shares=((0.7, 0.5), (0.0, 0.0)))
    with pytest.raises(ValueError, match="not of the times"):
        replace(usual, shares=((0.5, 0.0),))


def test_a_stream_says_the_times_of_the_whole_log(model) -> None:
    given = model.fitted_
    mixture = given.model.encoder.mixture
    waits = replace(mixture.waits, shares=((0.4, 0.0), (0.2, 0.5)))
    encoder = replace(given.model.encoder, mixture=replace(mixture, waits=waits))
    try:
        model.fitted_ = replace(given, model=replace(given.model, encoder=encoder))
        log = make_log(12, seed=3)
        stream, last = model.stream(), {}
        for row in rows_of(log):
            last[row["case"]] = stream.push(row)
        for answer in model.answers(log):
            for name in ("in_days", "left_days"):
                assert last[answer["case"]][name] == pytest.approx(answer[name], rel=1e-4, abs=1e-6)
    finally:
        model.fitted_ = given
