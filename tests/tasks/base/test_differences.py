"""Tests of verdicts call a difference one as often as they say where there is none, and find one that is there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ostinato.tasks.base.differences import compare, fewest, holm, standings
from ostinato.tasks.base.units import Mean, Sums, blocks, mean_of, sums_of

DRAWS = 400


def means(values, weights=None) -> Mean:
    return Mean(np.asarray(values, float), np.ones(len(values)) if weights is None else np.asarray(weights, float))


def rejected(pairs) -> float:
    return float(np.mean([compare(*pair).p <= 0.05 for pair in pairs]))


def noise(kind: str, rng: np.random.Generator, count: int, shift: float = 0.0):
    """Losses of two models on the same units, hard ones hard for both; of equal quality but for a shift."""
    hard = rng.lognormal(0, 1, count)
    if kind == "skewed":
        return means(hard * rng.lognormal(0, 0.5, count) + shift), means(hard * rng.lognormal(0, 0.5, count))
    if kind == "weighed":
        weights = rng.integers(1, 30, count)
        return means(hard + rng.normal(size=count) + shift, weights), means(hard + rng.normal(size=count), weights)
    rate = np.clip(0.8 - shift, 0, 1)
    return means(rng.random(count) < rate), means(rng.random(count) < 0.8)


@pytest.mark.parametrize("kind", ["skewed", "weighed", "answers"])
@pytest.mark.parametrize("count", [8, 40, 2500])
def test_where_there_is_no_difference_one_is_found_one_time_in_twenty_at_most(kind, count) -> None:
    rng = np.random.default_rng(count)
    share = rejected(noise(kind, rng, count) for _ in range(DRAWS))
    assert share <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / DRAWS)


@pytest.mark.parametrize(("kind", "shift"), [("skewed", 2.0), ("weighed", 1.5), ("answers", 0.4)])
def test_a_clear_difference_is_found(kind, shift) -> None:
    rng = np.random.default_rng(0)
    assert rejected(noise(kind, rng, 60, shift) for _ in range(100)) > 0.9
    found = compare(*noise(kind, rng, 60, shift))
    assert (found.value > 0) == (kind != "answers")  # less of a loss is better, more right answers are


@pytest.mark.parametrize("kind", ["skewed", "weighed", "answers"])
@pytest.mark.parametrize("count", [30, 400])
def test_an_interval_holds_the_truth_as_often_as_it_says(kind, count) -> None:
    rng = np.random.default_rng(1)
    found = [compare(*noise(kind, rng, count)) for _ in range(DRAWS)]
    held = np.mean([own.low <= 0 <= own.high for own in found])
    assert held >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / DRAWS)
    assert all(own.low <= own.value <= own.high for own in found)


def test_the_interval_of_a_mean_says_what_its_test_says() -> None:
    rng = np.random.default_rng(2)
    for _ in range(60):
        found = compare(*noise("skewed", rng, int(rng.integers(8, 60)), float(rng.choice([0.0, 0.6]))))
        assert (found.p <= 0.05) == (not found.low <= 0 <= found.high)


def test_few_units_are_tested_as_by_all_permutations() -> None:
    rng = np.random.default_rng(3)
    for count in (6, 9, 11):
        one, other = rng.normal(size=count), rng.normal(0.5, size=count)
        peer = stats.permutation_test(
            (one, other), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
        )
        assert compare(means(one), means(other)).p == pytest.approx(peer.pvalue)


def test_many_units_are_tested_as_by_students_t() -> None:
    rng = np.random.default_rng(4)
    one, other = rng.normal(size=3000), rng.normal(0.03, size=3000)
    found, peer = compare(means(one), means(other)), stats.ttest_rel(one, other)
    assert found.p == pytest.approx(peer.pvalue, rel=0.02)
    assert (found.low, found.high) == pytest.approx(tuple(peer.confidence_interval()), rel=0.02)


def test_answers_are_tested_as_mcnemar_does() -> None:
    one = np.array([1] * 80 + [1] * 12 + [0] * 3 + [0] * 5)
    other = np.array([1] * 80 + [0] * 12 + [1] * 3 + [0] * 5)
    found = compare(means(one), means(other))
    assert found.p == pytest.approx(stats.binomtest(12, 15).pvalue)
    assert found.value == pytest.approx(0.09)
    assert 0 <= found.low < 0.09 < found.high < 0.2


def rmse_parts(errors) -> Sums:
    return Sums(np.stack([errors**2, np.ones(len(errors))], -1), lambda own: np.sqrt(own[:, 0] / own[:, 1]))


@pytest.mark.parametrize("count", [20, 150])
def test_a_measure_of_sums_is_tested_by_drawing_units_again(count) -> None:
    rng = np.random.default_rng(5)
    alike = [(rmse_parts(rng.normal(size=count)), rmse_parts(rng.normal(size=count))) for _ in range(200)]
    assert rejected(alike) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    apart = [(rmse_parts(rng.normal(size=150)), rmse_parts(2 * rng.normal(size=150))) for _ in range(20)]
    assert rejected(apart) > 0.9


def test_measures_of_sums_on_too_few_units_are_not_told_apart() -> None:
    rng = np.random.default_rng(6)
    assert compare(rmse_parts(rng.normal(size=8)), rmse_parts(9 * rng.normal(size=8))).p == 1


# --- several baselines, and what a verdict makes of it ----------------------------------------------------------------


def test_comparing_with_several_baselines_is_corrected_for_how_many_they_are() -> None:
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(DRAWS):
        hard = rng.lognormal(size=25)
        own, *others = (means(hard + rng.normal(size=25)) for _ in range(6))
        found = {str(i): compare(own, other) for i, other in enumerate(others)}
        told = standings(found, False, dict.fromkeys(found, 0.1), "texts")
        wrong += any(one.standing in ("better", "worse") for one in told.values())
    assert wrong / DRAWS <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / DRAWS)


def test_holm_is_that_of_its_definition() -> None:
    assert holm([0.01, 0.02, 0.5]) == pytest.approx([0.03, 0.04, 0.5])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_too_few_units_are_never_told_apart_or_level() -> None:
    for count in range(1, fewest()):
        found = {"a": compare(means(np.zeros(count)), means(np.ones(count) + np.arange(count)))}
        assert standings(found, False, {"a": 100.0}, "windows")["a"].standing == "unclear"
    found = {"a": compare(means(np.zeros(6)), means(np.ones(6) + np.arange(6)))}
    assert standings(found, False, {"a": 0.1}, "windows")["a"].standing == "better"


def test_level_is_what_holds_no_difference_that_matters_and_the_rest_is_unclear() -> None:
    for count, expected in ((2000, "level"), (20, "unclear")):
        right = np.arange(count) < 0.8 * count
        other = np.roll(right, count // 20)  # as many right, others of them
        found = {"a": compare(means(right), means(other))}
        assert standings(found, True, {"a": 0.05}, "texts")["a"].standing == expected


def test_twenty_examples_that_both_have_right_say_little() -> None:
    found = {"a": compare(means(np.ones(20)), means(np.ones(20)))}
    assert standings(found, True, {"a": 0.05}, "texts")["a"].standing == "unclear"


# --- units ------------------------------------------------------------------------------------------------------------


def test_a_mean_over_units_is_the_mean_over_answers() -> None:
    rng = np.random.default_rng(9)
    values, owners = rng.normal(size=90), rng.integers(0, 7, 90)
    values[rng.random(90) < 0.2] = np.nan
    assert mean_of(values, owners, 9).total == pytest.approx(np.nanmean(values))
    assert sums_of(values[:, None] * 0 + 1, owners, 9).shape == (9, 1)


def test_blocks_are_of_some_length_and_not_too_many() -> None:
    assert np.bincount(blocks(1050, 200)).tolist() == [200] * 4 + [250]
    assert blocks(50, 200).max() == 0
    assert blocks(10_000_000, 200).max() < 1000
