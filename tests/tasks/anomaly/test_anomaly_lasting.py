"""What lasts without surprising a forecaster: how rare it is, what becomes known, and that it stands apart."""

from dataclasses import replace

import numpy as np
import pytest

from ostinato.tasks.anomaly.manners import ABSENT, KNOWN, STILL, Manner
from ostinato.tasks.anomaly.rarity import Rarity
from ostinato.tasks.anomaly.relations import Relations
from ostinato.tasks.anomaly.scoring import MISSING, NOVELTY, STUCK, Calibration
from ostinato.tasks.anomaly.views import VIEWS, Pace


def measured(steps=3000):
    """Return what is known of a channel that never stood still, and of which half the values are missing."""
    return replace(Calibration.unknown(np.full(1, 5.0), Pace()), steps=steps)


def doing(run=1.0, known=0.0, absent=0.0):
    found = np.zeros((4, 1))
    found[STILL], found[KNOWN], found[ABSENT] = run, known, absent
    return found


def stand(own, **options):
    return own.lasting(np.zeros((len(VIEWS), 1)), doing(**options))[STUCK, 0, 0]


def test_of_few_peaks_less_is_believed_than_of_many() -> None:
    few, many = Rarity.unknown(()), replace(Rarity.unknown(()), weights=np.array(500.0))
    heights = np.array([0.0, 0.5, 3.0, 10.0, 100.0])
    assert few.nats(heights[:2]).tolist() == many.nats(heights[:2]).tolist()
    assert (few.nats(heights[2:]) < many.nats(heights[2:])).all()


def test_a_peak_counts_once_however_long_it_lasts() -> None:
    alone = np.random.default_rng(0).exponential(size=(20_000, 1))
    runs = np.repeat(alone[:2000], 10, 0)
    one, ten = Rarity.fit([alone, runs], [0, 10], 0.05).nats(np.array([8.0, 8.0]))
    assert one == pytest.approx(8, abs=1.0)
    assert ten == pytest.approx(8 + np.log(10), abs=1.5)
    assert Rarity.fit([np.full((9, 1), np.nan)], [1], 0.05).nats(np.array([4.0])) > 0


def test_the_longer_a_stand_the_rarer_until_it_is_no_news() -> None:
    nats = np.array([stand(measured(), run=float(run)) for run in range(2, 50)])
    said = nats[np.isfinite(nats)]
    assert np.isnan(nats[0])  # a value that came twice is nothing
    assert (np.diff(said) > 0).all()
    assert nats[-1] == said[-1] > np.log(1000)
    assert np.isnan(stand(measured(), run=5000.0))  # for so long it does not grow


def test_a_stand_is_known_once_as_long_a_one_came_twice() -> None:
    manner = Manner(1, Pace())
    found = []
    values = np.arange(200.0)
    values[20:60] = values[80:120] = values[140:180] = -1.0
    for value in values.tolist():
        row = np.full(1, value)
        manner.push(row, row, row)
        found.append(stand(measured(), run=manner.found[STILL, 0], known=manner.found[KNOWN, 0]))
    assert found[49] == found[109] > np.log(1000)
    assert np.isnan(found[140:180]).all()
    again = Manner(1, Pace())
    again.accept(manner.kept())
    np.testing.assert_array_equal(again.found, manner.found)


def test_missing_values_are_said_of_rows_where_nothing_came() -> None:
    nothing = np.full((len(VIEWS), 1), np.nan)
    found = replace(measured(), absent=np.full(1, 0.01)).lasting(nothing, doing(absent=0.5))
    assert found[MISSING, 0, 0] > 5
    assert np.isnan(found[:MISSING]).all()


def test_what_lasts_leaves_the_score_of_what_surprises_as_it_is() -> None:
    own = measured()
    z = np.random.default_rng(0).normal(0, 4, (len(VIEWS), 1))
    surprising, lasting = own.nats(z, np.ones((2, 1)), np.full(1, 500)), own.lasting(z, doing())
    assert np.isfinite(surprising[NOVELTY]).all()
    assert np.isnan(lasting[NOVELTY]).all()
    assert np.isnan(lasting[0]).all()  # a sudden step is none of what lasts
    for score in (3.0, 8.0, 20.0):
        alone, lasts = own.together(score, score, np.nan)
        assert own.together(score, score, 0.0) == (alone, lasts) == (alone, False)
        higher, lasts = own.together(score, score, 50.0)
        assert lasts
        assert higher == 50
    found = [own.together(score, score, np.nan)[0] for score in np.linspace(0, 20, 400).tolist()]
    assert found[0] == 0  # no probability is more than one
    assert (np.diff(found) > 0).all()


def test_all_of_what_is_left_of_a_channel_that_follows_another_may_last() -> None:
    relations = Relations(np.array([1]), np.array([[1.0, 0.0]]), np.ones(1))
    own = replace(Calibration.unknown(np.full(2, 5.0), Pace(), relations), steps=3000)
    z = np.full((len(VIEWS), 3), 6.0)
    found = own.lasting(z, np.concatenate([doing()] * 3, 1))
    assert np.isnan(found[0, :, :2]).all()
    assert found[0, 0, 2] > np.log(1000)
