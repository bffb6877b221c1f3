"""Estimators in scikit-learn's hands: clones, cross-validation, grids and pipelines."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from laws import CASES
from ostinato import Forecaster, SequenceClassifier, TextClassifier

QUIET = {"progress": False, "hidden_size": 8, "seed": 0, "validation": 0.2, "test": 0.0}


def texts():
    own, labels = CASES["text classifier"].data(False, 0)
    return TextClassifier(epochs=6, learning_rate=1e-2, **QUIET), own, labels


def sequences():
    own, labels = CASES["sequence classifier"].data(False, 0)
    return (
        SequenceClassifier(epochs=6, members=1, kernels=84, learning_rate=1e-2, **QUIET),
        np.stack(own),
        np.array(labels),
    )


BOTH = pytest.mark.parametrize("make", [texts, sequences])


@BOTH
def test_folds_are_scored(make) -> None:
    model, x, y = make()
    assert is_classifier(model)
    found = cross_val_score(model, x, y, cv=3, error_score="raise")
    assert found.shape == (3,)
    assert found.mean() > 0.8


@BOTH
def test_a_grid_finds_the_width_that_learns(make) -> None:
    model, x, y = make()
    search = GridSearchCV(model, {"epochs": [1, 6]}, cv=2, error_score="raise").fit(x, y)
    assert search.best_params_ in ({"epochs": 1}, {"epochs": 6})
    assert set(search.classes_) == {"up", "down"}
    assert (np.asarray(search.predict(x)) == np.asarray(y)).mean() > 0.8
    assert search.predict_proba(x).shape == (len(y), 2)


@BOTH
def test_it_is_a_step_of_a_pipeline(make) -> None:
    model, x, y = make()
    pipeline = Pipeline([("same", FunctionTransformer(lambda own: own)), ("model", model)])
    copy = clone(pipeline).set_params(model__hidden_size=4)
    assert (copy["model"].hidden_size, pipeline["model"].hidden_size) == (4, 8)
    assert pipeline.fit(x, y).score(x, y) > 0.8
    assert len(pipeline.predict(x)) == len(y)


def test_a_forecaster_is_scored_on_the_ends_of_a_series() -> None:
    wave = np.sin(np.arange(400) / 6)
    model = Forecaster(6, context=24, segment=6, epochs=2, **{**QUIET, "validation": 0.1})
    assert is_regressor(model)
    found = cross_val_score(model, wave, cv=TimeSeriesSplit(2), error_score="raise")
    assert np.isfinite(found).all()
    search = GridSearchCV(model, {"hidden_size": [4, 8]}, cv=TimeSeriesSplit(2), error_score="raise").fit(wave)
    assert search.best_estimator_.predict().point.shape == (1, 6, 1)
