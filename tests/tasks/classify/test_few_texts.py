"""Texts of which there are few, or that say nothing, or that are there with two labels."""

import warnings

import numpy as np
import pytest

from ostinato import TextClassifier
from ostinato.errors import DataError, DataWarning
from ostinato.tasks.base.mixing import Mix

rng = np.random.default_rng(0)


def test_the_fewer_texts_the_less_a_few_held_out_ones_say_of_a_network() -> None:
    truth = rng.integers(0, 3, 6)
    sure = np.log(np.where(np.arange(3) == truth[:, None], 0.98, 0.01))  # right six times of six
    vague = np.log(np.where(np.arange(3) == truth[:, None], 0.4, 0.3))
    found = [Mix.found(vague, sure, truth, Mix.usual(count)) for count in (20, 200, 5000)]
    assert found[0].deep < 0.1 < found[1].deep < found[2].deep
    assert [each.trust for each in found] == [0.02, 0.2, 1.0]
    with pytest.raises(ValueError, match="no weights"):
        Mix(trust=0.0)


def test_few_texts_of_many_classes_are_told_by_their_words() -> None:
    texts = [f"{name} {rng.integers(9)} of {rng.integers(9)}" for name in "abcdefghijkl" for _ in range(5)]
    labels = [text[0] for text in texts]
    model = TextClassifier(epochs=1, hidden_size=8, embedding_size=8, test=0, progress=False).fit(texts, labels)
    assert model.predict([f"{name} 3 of 7" for name in "abcdefghijkl"]).tolist() == list("abcdefghijkl")
    assert model.fitted_.model.encoder.mix.deep < 0.05


def test_texts_that_are_empty_or_have_two_labels_and_labels_of_one_text_are_said() -> None:
    options = {"epochs": 1, "hidden_size": 8, "embedding_size": 8, "test": 0, "progress": False}
    texts = ["fine", "fine", "", "poor film", "poor", " "] * 3
    with pytest.warns(DataWarning) as said:
        TextClassifier(**options).fit(texts, ["a", "b", "a", "b", "b", "b"] * 3)
    messages = [str(each.message) for each in said]
    assert any(text.startswith("6 of the 18 texts of the data are empty") for text in messages)
    assert any(
        '6 of the 18 texts of the data are there with several labels, such as "fine" as "a" and "b"' in text
        for text in messages
    )
    with pytest.warns(DataWarning, match='1 label has one text in the data, such as "c"'):
        TextClassifier(**options | {"test": 0.2}).fit(["fine", "poor"] * 9 + ["odd"], ["a", "b"] * 9 + ["c"])
    with pytest.raises(DataError, match="all 4 texts of the data are empty"):
        TextClassifier(**options).fit([" "] * 4, ["a", "b"] * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        TextClassifier(**options).fit(["fine", "poor"] * 9, ["a", "b"] * 9)
