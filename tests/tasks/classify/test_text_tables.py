"""Text tables however they are separated; labels however large; texts that are missing."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import ostinato
from ostinato import TextClassifier
from ostinato.errors import DataError
from ostinato.tasks.classify.examples import Classes, checked_labels
from ostinato.tasks.classify.texts import TextColumns

TEXTS = ["good, very good; yes", "bad"] * 15
SMALL = {"embedding_size": 4, "hidden_size": 4, "epochs": 1, "test": 0, "progress": False}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_of_a_text_table_is_found(tmp_path, delimiter) -> None:
    path = tmp_path / "a.csv"
    frame = pd.DataFrame({"text": TEXTS, "label": [1, 0] * 15})
    frame.to_csv(path, sep=delimiter, index=False, quoting=2)
    assert TextColumns("text", "label", True).read(path).items == tuple(TEXTS)
    loose = frame.assign(text=["good, very good", "bad"] * 15) if delimiter != "," else frame
    loose.to_csv(path, sep=delimiter, index=False)
    assert TextColumns("text", "label", True).read(path).items == tuple(loose["text"])


@pytest.mark.parametrize(
    "pair", [(2, 2**63 + 5), (2**64 - 1, 2**64 - 3), (2, 10**30), (-1, 2**63), (2, -(10**30)), (0.5, 10**30)]
)
def test_a_label_of_any_size_comes_back_from_disk_and_is_not_rounded(tmp_path, pair) -> None:
    model = TextClassifier(**SMALL).fit((TEXTS, list(pair) * 15))
    again = ostinato.load(model.save(tmp_path / "m"))
    assert again.classes_.tolist() == model.classes_.tolist()
    assert {str(own) for own in again.classes_.tolist()} == {str(own) for own in pair}
    assert set(map(str, again.predict(TEXTS).tolist())) <= set(map(str, pair))


def test_unsigned_labels_are_those_of_their_type() -> None:
    made = Classes(tuple(checked_labels(np.array([2**64 - 1, 5], np.uint64), "the data")))
    assert made.as_array().dtype == np.uint64
    assert made.as_array().tolist() == [2**64 - 1, 5]


@pytest.mark.parametrize("pair", [(1, "1"), ("a ", "a"), (10**30, str(10**30))])
def test_labels_that_would_be_one_text_are_refused(pair) -> None:
    with pytest.raises(DataError, match="example 2 of the data has the label .* and example 1"):
        checked_labels(pair, "the data")


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_a_missing_text_is_an_error_whichever_way_it_is_given(missing) -> None:
    model = TextClassifier(**SMALL).fit((TEXTS, [1, 0] * 15))
    texts = ["good", missing]
    for data in (texts, pd.DataFrame({"text": pd.Series(texts, dtype=object)})):
        with pytest.raises(DataError, match=r"(text|row) 2 of the data"):
            model.predict(data)
    with pytest.raises(DataError, match="row 2 of the data frame"):
        model.predict(pl.DataFrame({"text": ["good", None]}))
