"""Values that never came: what is told of them, and that memory neither grows nor learns in one go."""

import numpy as np
import pytest

from ostinato.tasks.anomaly import novelty
from ostinato.tasks.anomaly.novelty import MOST, Novelty, is_state
from ostinato.tasks.anomaly.scoring import NOVELTY, Calibration
from ostinato.tasks.anomaly.views import VIEWS, Pace


def filled(seed=0, count=600):
    found = Novelty()
    for value in np.random.default_rng(seed).normal(size=count).tolist():
        found.push(value)
    return found


def test_what_is_known_is_not_strange_and_what_is_far_is_the_more_the_farther() -> None:
    own = filled()
    nats = [own.push(value, learn=False)[0] for value in (0.0, 5.0, 8.0, 20.0)]
    assert nats[0] < 2
    assert nats[1] > 8
    assert nats == sorted(nats)
    assert own.push(-9.0)[1] == 1  # it lies below
    assert np.isnan(own.push(float("nan"))[0])


def test_a_value_is_not_known_after_it_came_once_but_after_it_stayed() -> None:
    own = filled()
    first = own.push(9.0)[0]
    assert own.push(9.0)[0] > 5  # once is not enough
    assert own.push(9.0)[0] < first
    for _ in range(novelty.LATER + 1):
        own.push(9.0)
    assert own.push(9.0)[0] == 0


def test_the_rate_of_what_never_came_is_about_that_of_records() -> None:
    rng, high, count = np.random.default_rng(1), 0, 0
    for seed in range(8):
        own = filled(seed, 1000)
        nats = [own.push(value)[0] for value in rng.normal(size=4000).tolist()]
        high, count = high + int((np.array(nats) > np.log(1e4)).sum()), count + 4000
    assert high / count < 2e-3  # of a record, at both ends, it is 2 log(5) / 4000


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
    own = Calibration.unknown(np.full(1, 5.0), Pace())
    z, nothing = np.full((len(VIEWS), 1), 20.0), np.zeros((2, 1))
    nats = own.nats(z, nothing, np.full(1, 1000))
    assert nats.shape == (len(VIEWS) + 1, 2, 1)
    assert np.log(1000) < nats[0, 0, 0] < 0.3 * 20**2 / 2 + np.log(1000)
    assert nats[3, 0, 0] < nats[1, 0, 0] < nats[0, 0, 0]
    assert np.isnan(own.nats(np.full_like(z, np.nan), nothing, np.full(1, 1000))[NOVELTY]).all()
    assert own.nats(z, np.full((2, 1), 30.0), np.full(1, 1000))[NOVELTY].tolist() == [[30.0], [30.0]]


@pytest.mark.parametrize("value", [0.0, 1e12, -1e12])
def test_a_constant_channel_knows_its_value(value) -> None:
    own = Novelty()
    for _ in range(100):
        own.push(value)
    assert own.push(value)[0] == 0
    assert own.push(value + 25)[0] > 8
