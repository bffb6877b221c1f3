"""Measures and tails of anomaly detection, against their definitions written out plainly."""

import math
from itertools import pairwise

import numpy as np
import pytest

from ostinato.tasks.anomaly import nab
from ostinato.tasks.anomaly.baselines import left_profile, moving_z
from ostinato.tasks.anomaly.ranges import (
    best_point_adjusted_f1,
    range_auc_pr,
    range_precision,
    range_recall,
    softened,
    vus_pr,
)
from ostinato.tasks.anomaly.seasons import find_season
from ostinato.tasks.base.alarms import beginnings, merged
from ostinato.tasks.base.areas import auprc
from ostinato.tasks.base.tail import Tail

RNG = np.random.default_rng(0)


def marks(rows, *places):
    found = np.zeros(rows, bool)
    found[list(places)] = True
    return found


# --- the Numenta benchmark --------------------------------------------------------------------------------------------


def sigmoid(x):
    return 2 / (1 + math.exp(5 * x)) - 1


def test_a_detection_in_the_first_row_of_every_window_is_perfect_and_silence_is_nothing() -> None:
    judged = nab.Judged.of(1000, [(200, 219), (600, 649)])
    assert nab.normalised(nab.raw_score(judged, marks(1000, 200, 600)), 2) == pytest.approx(100)
    assert nab.normalised(nab.raw_score(judged, marks(1000)), 2) == 0


def test_a_later_detection_is_worth_less_and_only_the_first_of_a_window_counts() -> None:
    judged = nab.Judged.of(1000, [(200, 219)])
    one = nab.raw_score(judged, marks(1000, 210))
    assert one == pytest.approx(sigmoid(-10 / 20) / sigmoid(-1))
    assert nab.raw_score(judged, marks(1000, 210, 211, 219)) == pytest.approx(one)


def test_a_false_alarm_costs_more_the_farther_it_is_behind_a_window() -> None:
    judged = nab.Judged.of(1000, [(200, 219)])
    before, near, far = (nab.raw_score(judged, marks(1000, row)) + 1 for row in (180, 225, 300))
    assert before == pytest.approx(-0.11)
    assert near == pytest.approx(0.11 * sigmoid(6 / 19))
    assert far == pytest.approx(-0.11)  # more than three windows behind it
    # the probationary part is not judged
    assert nab.raw_score(judged, marks(1000, 10)) == -1


def test_the_best_threshold_is_that_of_trying_each() -> None:
    files = [nab.Judged.of(400, [(100, 139)]), nab.Judged.of(300, []), nab.Judged.of(500, [(200, 220), (400, 440)])]
    scores = [RNG.integers(0, 30, len(own.worth)).astype(float) for own in files]
    scores[0][110] = scores[2][210] = 31
    best, threshold = nab.best_score(files, scores)
    tried = {
        own: nab.normalised(sum(nab.raw_score(file, s >= own) for file, s in zip(files, scores, strict=True)), 3)
        for own in range(33)
    }
    assert best == pytest.approx(max(tried.values()))
    assert tried[threshold] == pytest.approx(best)


# --- ranges -----------------------------------------------------------------------------------------------------------


def test_ranges_found_whole_in_part_and_in_pieces() -> None:
    assert range_recall([(0, 10), (20, 30)], [(0, 10)]) == 0.5
    assert range_recall([(0, 10)], [(0, 2), (5, 7)]) == pytest.approx(0.4 / 2)
    assert range_precision([(0, 10)], [(5, 15)]) == 0.5
    assert range_recall([(0, 10)], [(9, 10)], existence=1.0) == 1
    assert math.isnan(range_precision([(0, 10)], []))


def test_the_volume_is_one_for_perfect_scores_and_about_the_share_for_random_ones() -> None:
    labels = np.zeros(2000, bool)
    labels[500:550] = labels[1200:1260] = True
    assert vus_pr(labels, softened(labels, 50) + labels) > 0.9
    assert vus_pr(labels, RNG.random(2000)) < 0.15
    assert math.isnan(vus_pr(np.zeros(10, bool), np.zeros(10)))


def test_without_a_buffer_and_with_points_for_ranges_the_area_is_average_precision() -> None:
    labels = np.zeros(240, bool)
    labels[::12] = True
    scores = RNG.permutation(240).astype(float)
    # every step of recall counts by the share of ranges found, which for points is recall again
    order = np.argsort(-scores)
    hits = np.cumsum(labels[order])
    recall = hits / labels.sum()
    expected = float((np.diff(np.append(0, recall * recall)) * hits / np.arange(1, 241)).sum())
    assert range_auc_pr(labels, scores, 0) == pytest.approx(expected)
    assert auprc(labels, scores) > 0


def test_point_adjustment_lets_random_scores_look_good() -> None:
    labels = np.zeros(5000, bool)
    for first in (500, 2000, 4000):
        labels[first : first + 200] = True
    assert best_point_adjusted_f1(labels, RNG.random(5000)) > 0.7


def test_alarms_near_each_other_are_one() -> None:
    own = marks(20, 3, 4, 9)
    assert merged(own, 4) == [(3, 10)]
    assert merged(own, 3) == [(3, 5), (9, 10)]
    assert beginnings(own, 3).nonzero()[0].tolist() == [3, 9]
    assert merged(marks(5), 3) == []


# --- tails ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [-0.1, 0.0, 0.1])
def test_a_threshold_holds_its_rate_beyond_what_was_seen(shape) -> None:
    def draw(count, seed):
        own = np.random.default_rng(seed).exponential(1, count)
        return own if shape == 0 else (np.exp(shape * own) - 1) / shape

    rates = []
    for seed in range(20):
        tail = Tail.fit(draw(4000, seed))
        rates.append((draw(200_000, seed + 100) > tail.threshold(1e-4)).mean())
    assert 0.5e-4 < np.mean(rates) < 2e-4


def test_runs_are_one_peak() -> None:
    scores = np.tile([5.0, 5.5, 5.2, *[0.1] * 97], 40)
    assert Tail.fit(scores, gap=10, share=0.02).share == pytest.approx(0.01)
    assert Tail.fit(scores, share=0.02).share > 0.015


def test_probabilities_fall_with_the_score_and_agree_with_thresholds() -> None:
    tail = Tail.fit(RNG.exponential(1, 3000))
    grid = np.linspace(-1, 40, 200)
    found = [tail.probability(own) for own in grid]
    assert all(a >= b for a, b in pairwise(found))
    assert found[0] == 1
    assert tail.probability(tail.threshold(1e-3)) == pytest.approx(1e-3)


@pytest.mark.parametrize("scores", [[], [np.nan] * 5, [1.0] * 50, [1.0, 2.0]])
def test_few_or_equal_scores_have_a_tail_too(scores) -> None:
    tail = Tail.fit(scores)
    assert math.isfinite(tail.threshold(1e-4))
    assert 0 <= tail.probability(3.0) <= 1


# --- seasons and simple detectors -------------------------------------------------------------------------------------


def test_the_season_is_found_and_none_where_there_is_none() -> None:
    steps = np.arange(500)
    wave = np.sin(2 * np.pi * steps / 24) + RNG.normal(0, 0.5, 500)
    assert find_season([wave[:, None]], ()) in (23, 24, 25)
    assert find_season([wave[:, None]], (24, 168)) == 24
    assert find_season([RNG.normal(size=500)[:, None]], ()) == 1
    assert find_season([np.cumsum(RNG.normal(size=500))[:, None]], ()) >= 1
    assert find_season([np.full((100, 1), 3.0)], (24,)) == 1
    assert find_season([np.zeros((0, 1))], ()) == 1


def test_the_left_profile_is_the_distance_to_the_nearest_window_before() -> None:
    values, span = RNG.normal(size=120).cumsum(), 8
    found = left_profile(values, span)
    windows = np.lib.stride_tricks.sliding_window_view(values, span)
    normal = (windows - windows.mean(1, keepdims=True)) / windows.std(1, keepdims=True)
    for i in range(span, len(windows)):
        expected = min(np.linalg.norm(normal[i] - normal[j]) for j in range(i - span // 2 + 1))
        assert found[i + span - 1] == pytest.approx(expected, abs=1e-5)


def test_the_moving_z_score_sees_the_steps_before_alone() -> None:
    values = RNG.normal(size=(50, 1))
    scores, mean = moving_z(values, 10)
    before = values[20:30, 0]
    assert mean[30, 0] == pytest.approx(before.mean())
    assert scores[30] == pytest.approx(abs(values[30, 0] - before.mean()) / before.std())
