"""What is judged and was trained on too is counted and said; random draws keep it on one side."""

from __future__ import annotations

import numpy as np
import pytest

from ostinato import TextClassifier
from ostinato.tasks.base.holding_out import Repeats, content_keys, drawn_groups, groups_of
from ostinato.tasks.classify.examples import drawn_parts

QUICK = {"epochs": 1, "hidden_size": 4, "embedding_size": 4, "progress": False}


def test_keys_are_equal_where_contents_are() -> None:
    values = np.arange(6.0).reshape(3, 2)
    contents = [values, values.copy(), values.T.copy(), "a b", " a  b\n", ("a", "b"), ("ab",)]
    keys = content_keys(contents)
    assert keys[0] == keys[1]
    assert keys[3] == keys[4]
    assert len(set(keys)) == len(contents) - 2
    assert groups_of(keys).tolist() == [0, 0, 1, 2, 2, 3, 4]


@pytest.mark.parametrize("repeats", [1, 2, 5])
def test_a_drawn_part_has_no_content_of_another(repeats) -> None:
    rng = np.random.default_rng(repeats)
    keys = rng.permutation(np.repeat(np.arange(60), repeats)).tolist()
    parts = drawn_groups(keys, [0.2, 0.1], seed=3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(keys)))
    known = [{keys[row] for row in part} for part in parts]
    assert not known[0] & known[1]
    assert not known[0] & known[2]
    assert not known[1] & known[2]
    assert [len(part) for part in parts[1:]] == [12 * repeats, 6 * repeats]


def test_a_draw_by_class_keeps_equal_examples_together_and_every_class_in_training() -> None:
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 150, 400).tolist()
    labels = [f"class {key % 3}" if key else "rare" for key in keys]
    labels[keys.index(7)] = "only here"  # whose content others have too, under another label
    for seed in range(20):
        train, held = drawn_parts(labels, (0.25,), seed, keys)
        assert sorted([*train.tolist(), *held.tolist()]) == list(range(400))
        assert {labels[row] for row in train} == set(labels)
        both = {keys[row] for row in train} & {keys[row] for row in held}
        assert both <= {7}  # it was brought back, so that its class is learned
        assert 70 <= len(held) <= 110


def test_without_equal_examples_the_draw_is_as_it_was() -> None:
    labels = ["a", "b", "b"] * 30
    with_keys = drawn_parts(labels, (0.2, 0.3), 5, range(90))
    for one, other in zip(drawn_parts(labels, (0.2, 0.3), 5), with_keys, strict=True):
        assert one.tolist() == other.tolist()


def test_so_few_contents_that_no_part_could_be_held_out_are_drawn_one_by_one() -> None:
    labels = ["a", "b"] * 40
    train, held = drawn_parts(labels, (0.25,), 0, labels)
    assert len(held) == 20
    assert len(train) == 60


def test_repeats_are_told_of() -> None:
    assert str(Repeats.between(["a", "b"], ["c"], "texts")) == ""
    assert str(Repeats.between(["a", "b"], ["c", "a"], "texts")) == "1 of 2 test texts is in the training part too"


def test_a_test_file_with_texts_of_the_training_is_never_called_unseen() -> None:
    texts = [f"{word} film number {i}" for i, word in enumerate(["good", "bad"] * 20)]
    labels = ["pos", "neg"] * 20
    test = [*zip(texts[:4], labels[:4], strict=True), ("a good one", "pos"), ("a bad one", "neg")]
    model = TextClassifier(**QUICK, validation=0).fit(texts, labels, test=tuple(zip(*test, strict=True)))
    said = "4 of 6 test texts are in the training part too"
    assert said in model.scores_.protocol
    assert said in model.scores_.verdict
    assert ("repeated", said) in model.summary_.data


def test_a_random_split_of_texts_that_come_twice_holds_out_what_was_not_seen() -> None:
    texts = [f"{word} film number {i}" for i, word in enumerate(["good", "bad"] * 20)]
    model = TextClassifier(**QUICK, validation=0).fit(texts * 2, ["pos", "neg"] * 40)
    assert "training part too" not in model.scores_.protocol
    assert model.scores_.count in (8, 16)
