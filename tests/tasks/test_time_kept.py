"""What is fitted before a network, and after it, is part of the time that a fit may take."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from ostinato.tasks.base.fitting import _with_time_left
from ostinato.tasks.base.linear import choose_strength, fit_linear
from ostinato.training import History, TrainingConfig


@pytest.mark.parametrize(("taken", "left"), [(0.0, 20.0), (8.0, 12.0), (19.0, 5.0), (500.0, 5.0)])
def test_a_network_gets_what_is_left_of_the_time_and_a_quarter_at_least(taken, left) -> None:
    assert _with_time_left(TrainingConfig(epochs=1, max_seconds=20.0), taken).max_seconds == left
    assert _with_time_left(TrainingConfig(epochs=1), taken).max_seconds is None


def test_the_limit_that_was_asked_for_is_named() -> None:
    cut = History((), 0, "the time limit of 7.5 s was reached")
    assert cut.within(10).stopped == "the time limit of 10 s was reached"
    for same in (cut.within(None), History((), 0, "all 3 epochs done").within(10)):
        assert same.stopped in (cut.stopped, "all 3 epochs done")


def test_a_linear_layer_ends_when_its_time_does_and_is_the_same_without_a_limit() -> None:
    rng = np.random.default_rng(0)
    numbers, targets = rng.normal(size=(200, 5)), rng.integers(0, 3, 200)
    whole = fit_linear(numbers, targets, 3, 10.0)
    same = fit_linear(numbers, targets, 3, 10.0, until=time.monotonic() + 1000)
    short = fit_linear(numbers, targets, 3, 10.0, until=-math.inf)
    assert (whole.weights == same.weights).all()
    assert not np.allclose(whole.weights, short.weights, atol=1e-3)
    assert choose_strength(csr_matrix(numbers), targets, 3, np.ones(200), 0, until=-math.inf) == (
        16.0,
        1.0,
    )  # none was tried
