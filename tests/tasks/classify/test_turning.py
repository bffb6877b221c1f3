"""Scores of a ridge turned into probabilities by a linear map that is found on examples left out."""

import time

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from ostinato.tasks.classify.ridge import fit_ridge
from ostinato.tasks.classify.turning import turn


def _loss(scores, targets):
    return -log_softmax(scores, 1)[np.arange(len(targets)), targets].mean()


def test_the_middle_one_of_three_classes_in_a_row_is_told() -> None:
    rng, targets = np.random.default_rng(0), np.arange(90) % 3
    features = np.stack([targets + rng.normal(0, 0.2, 90), rng.normal(size=90)], 1)
    found = fit_ridge(features, targets, 3)
    assert (found.left_out.argmax(1) == targets).mean() < 0.8  # the largest score of a line is at one of its ends
    turned = turn(found.left_out, targets, np.ones(90))
    assert (turned.scores.argmax(1) == targets).mean() > 0.93
    other = np.stack([np.arange(3.0), np.zeros(3)], 1)
    assert (found(other) @ turned.matrix + turned.offsets).argmax(1).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("classes", "count"), [(2, 30), (9, 40), (60, 240)])
def test_what_tells_nothing_stays_without_confidence_and_what_tells_much_gets_it(classes, count) -> None:
    rng, targets = np.random.default_rng(1), np.arange(count) % classes
    noise = rng.normal(-0.8, 0.1, (count, classes))
    vain = turn(noise, targets, np.ones(count))
    assert _loss(vain.scores, targets) < np.log(classes) * 1.1
    assert softmax(noise @ vain.matrix + vain.offsets, 1).max(1).mean() < 0.5 + 0.3 / classes
    noise[np.arange(count), targets] += 0.6
    told = turn(noise, targets, np.ones(count))
    assert _loss(told.scores, targets) < 0.3 * np.log(classes)
    assert _loss(noise @ told.matrix + told.offsets, targets) < _loss(told.scores, targets)


def test_an_example_that_counts_twice_moves_the_map_as_two_do() -> None:
    rng, targets = np.random.default_rng(2), np.arange(40) % 2
    scores = rng.normal(size=(40, 2))
    counts = np.where(targets == 0, 3.0, 1.0)
    usual, heavy = turn(scores, targets, np.ones(40)), turn(scores, targets, counts)
    first = (softmax(each, 1)[:, 0].mean() for each in (heavy.scores, usual.scores))
    assert next(first) > next(first) + 0.1


def test_very_many_classes_have_a_multiple_alone_which_takes_no_time() -> None:
    rng, targets = np.random.default_rng(3), np.repeat(np.arange(600), 2)
    scores = rng.normal(-1.0, 0.05, (1200, 600))
    scores[np.arange(1200), targets] += 0.5
    began = time.process_time()
    turned = turn(scores, targets, np.ones(1200))
    assert time.process_time() - began < 5  # a map of 600 classes, twenty times over, takes minutes
    assert np.ptp(np.diag(turned.matrix)) == 0
    assert np.count_nonzero(turned.matrix) == 600
    assert _loss(turned.scores, targets) < 0.5 * _loss(scores, targets)
