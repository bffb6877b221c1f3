"""The measures of classes by units come to the measures of all answers; areas under curves are scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.tasks.base.areas import auprc, auroc
from ostinato.tasks.base.class_units import class_units
from ostinato.tasks.base.classes import class_measures, frequent_class_remarks


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 4), st.integers(1, 60))
def test_units_come_to_the_measures_of_all_answers(seed, classes, answers) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes + (seed % 3 == 0), answers)  # at times with a class that was not seen
    given_ = rng.dirichlet(np.ones(classes), answers).round(1 if seed % 2 else 4)
    given_ /= given_.sum(1, keepdims=True)
    owners = rng.integers(0, 9, answers)
    measures = class_measures(truth, given_.argmax(1), given_, classes)
    for parts in (
        class_units(truth, given_.argmax(1), given_, classes),
        class_units(truth, given_.argmax(1), given_, classes, owners, 9),
    ):
        assert set(parts) == set(measures)
        for name, value in measures.items():
            if name != "cross-entropy" or (truth < classes).any():
                assert parts[name].total == pytest.approx(value, abs=1e-9), name


def test_units_of_many_scores_are_near_the_areas_of_all() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random(5000) < 0.1).astype(int)
    scores = 1 / (1 + np.exp(-rng.normal(truth, 1)))
    parts = class_units(truth, (scores > 0.5).astype(int), np.stack([1 - scores, scores], 1), 2)
    assert parts["AUROC"].total == pytest.approx(auroc(truth, scores), abs=2e-3)
    assert parts["AUPRC"].total == pytest.approx(auprc(truth, scores), abs=1e-2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=50))
def test_areas_under_curves_are_those_of_scikit_learn(pairs) -> None:
    peer = pytest.importorskip("sklearn.metrics")
    truth, scores = (np.array(side) for side in zip(*pairs, strict=True))
    if truth.any():
        assert auprc(truth, scores) == pytest.approx(peer.average_precision_score(truth, scores))
    if truth.any() and not truth.all():
        assert auroc(truth, scores) == pytest.approx(peer.roc_auc_score(truth, scores))
    else:
        assert np.isnan(auroc(truth, scores))


def test_an_accuracy_of_the_most_frequent_class_is_called_that() -> None:
    frequent = {"accuracy": 0.9, "macro F1": 0.47, "AUROC": 0.5}
    said = frequent_class_remarks({"model": {"accuracy": 0.905, "macro F1": 0.61, "AUROC": 0.8}}, frequent)
    assert said == [
        "Naming the most frequent class has that accuracy too, so look at macro F1 0.61 (there 0.47) and AUROC 0.8 "
        "(there 0.5)."
    ]
    assert not frequent_class_remarks({"model": {"accuracy": 0.95, "macro F1": 0.61}}, frequent)
