"""Values that never came: what is told of them, and that memory neither grows nor learns in one go."""

from dataclasses import replace

import numpy as np
import pytest

from ostinato.tasks.anomaly import novelty
from ostinato.tasks.anomaly.manners import ABSENT, STILL
from ostinato.tasks.anomaly.novelty import MOST, NEAR, Novelty, is_state, nats_of, usual_distance
from ostinato.tasks.anomaly.rarity import Rarity
from ostinato.tasks.anomaly.scoring import MISSING, NOVELTY, STUCK, Calibration
from ostinato.tasks.anomaly.views import VIEWS, Pace


def filled(seed=0, count=600):
    found = Novelty()
    for value in np.random.default_rng(seed).normal(size=count).tolist():
        found.push(value)
    return found


def pushed(own, value, **options):
    count = own.count
    return float(nats_of(own.push(value, **options)[0], count, NEAR))


def test_what_is_known_is_not_strange_and_what_is_far_is_the_more_the_farther() -> None:
    own = filled()
    nats = [pushed(own, value, learn=False) for value in (0.0, 5.0, 8.0, 20.0)]
    assert nats[0] < 2
    assert nats[1] > 8
    assert nats == sorted(nats)
    assert own.push(-9.0)[1] == 1  # it lies below
    assert np.isnan(own.push(float("nan"))[0])


def test_a_value_is_not_known_after_it_came_once_but_after_it_stayed() -> None:
    own = filled()
    first = own.push(9.0)[0]
    assert pushed(own, 9.0) > 4  # once is not enough
    assert own.push(9.0)[0] < first
    for _ in range(novelty.LATER + 1):
        own.push(9.0)
    assert own.push(9.0)[0] == 0


def test_the_rate_of_what_never_came_is_about_that_of_records() -> None:
    rng, high, count = np.random.default_rng(1), 0, 0
    for seed in range(8):
        own = filled(seed, 1000)
        nats = [pushed(own, value) for value in rng.normal(size=4000).tolist()]
        high, count = high + int((np.array(nats) > np.log(1e4)).sum()), count + 4000
    assert high / count < 5e-4  # of a record, at both ends, it is 2 log(5) / 4000


def test_memory_is_bounded_and_comes_back() -> None:
    own = Novelty()
    for step in range(3000):
        own.push(0.3 * step)
    assert len(own.cells) <= MOST
    kept = own.kept()
    assert is_state(kept)
    other = Novelty()
    other.accept(kept)
    values = np.random.default_rng(2).normal(0, 500, 300).tolist()
    assert [own.push(value) for value in values] == [other.push(value) for value in values]
    np.testing.assert_array_equal(own.kept(), other.kept())
    for place, number in ((0, 1), (1, -1), (2, np.iinfo(np.int64).max)):
        wrong = kept.copy()
        wrong[place] = number
        assert not is_state(wrong)


def test_views_say_no_more_than_can_be_known_of_so_many_steps() -> None:
    own = replace(Calibration.unknown(np.full(1, 5.0), Pace()), count=1000)
    z, nothing, count = np.full((len(VIEWS), 1), 20.0), np.zeros((2, 1)), np.full(1, 1000)
    manner = np.array([[1.0], [0.0], [0.0], [0.0]])
    nats = own.nats(z, nothing, count, manner)
    assert nats.shape == (len(VIEWS) + 3, 2, 1)
    assert np.log(1000) < nats[0, 0, 0] < 0.3 * 20**2 / 2 + np.log(1000)
    assert np.isnan(own.nats(np.full_like(z, np.nan), nothing, count, manner)[NOVELTY:]).all()
    far = own.nats(z, np.array([[3.0], [0.0]]), count, manner)[NOVELTY]
    assert far[0, 0] > 15
    assert far[1, 0] == 0
    still, gone = manner.copy(), manner.copy()
    still[STILL], gone[ABSENT] = 40.0, 0.9
    assert own.nats(z, nothing, count, still)[STUCK, 0, 0] > own.nats(z, nothing, count, manner)[STUCK, 0, 0] == 0
    # what is missing is said of a row where nothing came, too
    assert own.nats(np.full_like(z, np.nan), nothing, count, gone)[MISSING, 0, 0] > 5


def test_of_few_peaks_less_is_believed_than_of_many() -> None:
    few, many = Rarity.unknown(()), replace(Rarity.unknown(()), weights=np.array(500.0))
    heights = np.array([0.0, 0.5, 3.0, 10.0, 100.0])
    assert few.nats(heights[:2]).tolist() == many.nats(heights[:2]).tolist()
    assert (few.nats(heights[2:]) < many.nats(heights[2:])).all()
    rng = np.random.default_rng(0)
    # of runs of ten steps a peak counts once, so that as high a one is ten times as rare
    alone = rng.exponential(size=(20_000, 1))
    runs = np.repeat(alone[:2000], 10, 0)
    one, ten = Rarity.fit([alone, runs], [0, 10], 0.05).nats(np.array([8.0, 8.0]))
    assert one == pytest.approx(8, abs=1.0)
    assert ten == pytest.approx(8 + np.log(10), abs=1.5)
    assert Rarity.fit([np.full((9, 1), np.nan)], [1], 0.05).nats(np.array([4.0])) > 0


@pytest.mark.parametrize("value", [0.0, 1e12, -1e12])
def test_a_constant_channel_knows_its_value(value) -> None:
    own = Novelty()
    for _ in range(100):
        own.push(value)
    assert own.push(value)[0] == 0
    assert pushed(own, value + 25) > 8


def test_how_far_new_values_usually_lie_is_learned() -> None:
    assert usual_distance(np.zeros(100)) == usual_distance(np.zeros(0)) == NEAR
    assert usual_distance(np.array([0.5] * 50 + [0.0] * 50)) > 5 * NEAR
    assert nats_of(0.3, 1000, 0.3) < nats_of(0.3, 1000, NEAR)
