"""Measures and panels of classes, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import ShapeError, UsageError
from ostinato.tasks.base.classes import (
    accuracy,
    calibration_error,
    class_scores,
    class_table,
    confusion_counts,
    confusion_panel,
    macro_f1,
    reliability_curve,
)

ANSWERS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


@settings(max_examples=40, deadline=None)
@given(ANSWERS)
def test_scores_of_classes_are_those_of_scikit_learn(answers) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, found = zip(*answers, strict=True)
    counts = confusion_counts(truth, found, 5)
    own = class_scores(counts)
    assert np.array_equal(counts, metrics.confusion_matrix(truth, found, labels=range(5)))
    peer = metrics.precision_recall_fscore_support(truth, found, labels=range(5), zero_division=0)
    for mine, theirs in zip((own.precision, own.recall, own.f1, own.support), peer, strict=True):
        np.testing.assert_allclose(mine, theirs)
    assert macro_f1(counts) == pytest.approx(metrics.f1_score(truth, found, average="macro", zero_division=0))
    assert accuracy(counts) == pytest.approx(metrics.accuracy_score(truth, found))


@settings(max_examples=40, deadline=None)
@given(ANSWERS, st.integers(2, 6))
def test_a_confusion_with_few_classes_shown_loses_no_answer(answers, at_most) -> None:
    truth, found = zip(*answers, strict=True)
    panel = confusion_panel("abcde", truth, found, at_most=at_most)
    assert np.sum(panel.values) == len(answers)
    assert len(panel.rows) == len(panel.columns) == len(panel.values) == min(at_most, 5)
    whole = confusion_counts(truth, found, 5)
    for name, row in zip(panel.rows, panel.values, strict=True):
        if len(name) == 1:
            assert sum(row) == whole["abcde".index(name)].sum()


def test_probabilities_that_come_true_as_often_as_they_say_lie_on_the_diagonal() -> None:
    probabilities = np.repeat([0.25, 0.75], 400)
    right = np.concatenate([np.arange(400) < 100, np.arange(400) < 300])
    curve = reliability_curve(probabilities, right)
    assert curve.x == pytest.approx((0.25, 0.75))
    assert curve.lines["right"] == pytest.approx((0.25, 0.75))
    assert calibration_error(probabilities, right) == 0
    assert calibration_error(np.full(800, 1.0), right) == pytest.approx(0.5)
    assert calibration_error([], []) == 0
    assert reliability_curve([], []).x == ()


def test_a_table_has_the_most_frequent_class_first() -> None:
    rows = class_table(["no", "yes"], [1, 1, 0], [1, 0, 0]).rows
    assert [row[0] for row in rows] == ["yes", "no"]
    assert rows[0][1:] == pytest.approx((1.0, 0.5, 2 / 3, 2))


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="truth has 2 classes and found 1"):
        confusion_counts([0, 1], [0], 2)
    with pytest.raises(UsageError, match="found has class numbers from -1 to 0; expected 0 to 1"):
        confusion_counts([0, 1], [0, -1], 2)
    with pytest.raises(UsageError, match="give probabilities, not scores"):
        reliability_curve([3.0], [1])
    with pytest.raises(ShapeError, match="expected as many"):
        calibration_error([0.3], [1, 0])
