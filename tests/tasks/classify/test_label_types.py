"""Labels come back in the type that they had, saved and loaded too; a missing one is an error with its row."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest

import ostinato
from ostinato import SequenceClassifier
from ostinato.errors import DataError
from ostinato.tasks.classify.examples import Classes, Examples, checked_labels

WAVES = [np.sin(np.arange(12) * (0.3 if i % 2 else 0.9)) for i in range(24)]
KINDS = {
    "int": [0, 1], "float": [0.0, 1.0], "bool": [False, True], "texts": ["0", "1"], "large": [2**60, 2**60 + 1],
    "halves": [0.5, 1.5], "names": ["007", "7"],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_have_the_type_of_the_labels(tmp_path, kind) -> None:
    labels = [KINDS[kind][i % 2] for i in range(24)]
    model = SequenceClassifier(hidden_size=4, epochs=1, members=1, kernels=0, test=0, progress=False).fit(
        (WAVES, np.array(labels))
    )
    expected = np.array(KINDS[kind])
    for own in (model, ostinato.load(model.save(tmp_path / "m"))):
        assert own.classes_.dtype == expected.dtype
        assert own.classes_.tolist() == KINDS[kind]
        told = own.predict(WAVES)
        assert told.dtype == expected.dtype
        answer = next(own.answers([WAVES[0].tolist()]))
        assert answer["label"] == told[0]
        assert type(answer["label"]) is type(told[0].item())
        json.dumps(answer, allow_nan=False)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (np.array([1.0, 2.0], np.float32), (1.0, 2.0)),
        (pd.array([1, 2], "Int64"), (1, 2)),
        (pd.Series([True, False], dtype="boolean"), (True, False)),
        (pd.Series(["a", "b"], dtype="category"), ("a", "b")),
        (pl.Series([1, 2]), (1, 2)),
        ([1, 2.5], (1.0, 2.5)),
        ([1, "a"], ("1", "a")),
        ([b"a", b"b"], ("a", "b")),
        (np.array(["a ", "b"]), ("a", "b")),
    ],
)
def test_labels_are_what_they_are(given, found) -> None:
    labels = checked_labels(given, "the data")
    assert labels == found
    assert list(map(type, labels)) == list(map(type, found))


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, pd.NA, pd.NaT, "", " ", "NaN", "nan", "None", "<NA>"])
def test_a_missing_label_is_no_class(missing) -> None:
    with pytest.raises(DataError, match="example 2 of the data has no label"):
        checked_labels(["a", missing, "b"], "the data")


@pytest.mark.parametrize(
    ("classes", "labels", "numbers"),
    [
        ((False, True), ["False", "true", "yes", 1, 0.0, True], [0, 1, 1, 1, 0, 1]),
        ((0, 1), [1.0, "0", True, "1"], [1, 0, 1, 1]),
        (("no", "yes"), [True, "yes", "no", False], [1, 1, 0, 0]),
        (("007", "7"), ["7", 7, "007"], [1, 1, 0]),
        ((1.5, 2.0), ["2", 2, "1.5"], [1, 1, 0]),
    ],
)
def test_the_same_label_is_found_however_it_is_written(classes, labels, numbers) -> None:
    found = [int(Classes(classes).numbers(Examples("x", (0,), (label,)))[0]) for label in labels]
    assert found == numbers


def test_labels_that_training_had_not_are_refused() -> None:
    for classes, label in (((0, 1), 2), ((0, 1), "01x"), (("007", "7"), 7.5), ((False, True), "maybe")):
        with pytest.raises(DataError, match="none of the training"):
            Classes(classes).numbers(Examples("x", (0,), (label,)))
