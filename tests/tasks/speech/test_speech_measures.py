"""Error rates against counts by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import ShapeError
from ostinato.tasks.speech.measures import (
    alignment,
    character_errors,
    confusions,
    normalised,
    speech_measures,
    speech_units,
    word_errors,
)

texts = st.lists(st.sampled_from(["one", "two", "three"]), max_size=5).map(" ".join)


def _distance(one, two):
    row = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(two, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


@settings(deadline=None, max_examples=40)
@given(pairs=st.lists(st.tuples(texts, texts), min_size=1, max_size=4))
def test_errors_are_the_least_number_of_edits(pairs) -> None:
    references, hypotheses = zip(*pairs, strict=True)
    for found, split in (
        (word_errors(references, hypotheses), str.split),
        (character_errors(references, hypotheses), list),
    ):
        expected = [_distance(split(one), split(two)) for one, two in pairs]
        assert found.errors.tolist() == expected
        assert found.reference.tolist() == [len(split(one)) for one, _ in pairs]
        assert (found.insertions - found.deletions).tolist() == [
            len(split(two)) - len(split(one)) for one, two in pairs
        ]
    units = speech_units(references, hypotheses)
    for name in ("WER", "CER"):
        np.testing.assert_equal(units.measures[name].total, speech_measures(references, hypotheses)[name])
    for one, two in pairs:
        steps = alignment(one, two)
        assert [own.reference for own in steps if own.reference] == one.split()
        assert [own.hypothesis for own in steps if own.hypothesis] == two.split()


def test_an_empty_reference_has_insertions_alone() -> None:
    assert word_errors(["", "one"], ["two two", "one"]).rate == 2.0
    assert word_errors(["", "one"], ["two two", "one"]).insertions.tolist() == [2, 0]
    assert word_errors(["", " "], ["", ""]).rate == 0.0
    assert math.isnan(word_errors([""], ["one"]).rate)
    assert character_errors([""], ["one two"]).insertions.tolist() == [7]
    assert word_errors(["one"], [""]).deletions.tolist() == [1]
    assert word_errors([], []).errors.tolist() == []
    assert math.isnan(speech_measures([], [])["exact"])


def test_spaces_do_not_count_and_confusions_are_counted() -> None:
    assert speech_measures([" one  two\n"], ["one two"])["CER"] == 0.0
    found = confusions(["nine nine one", "five"], ["five five", "five two"], most=2)
    assert found == [("nine", "five", 2), ("", "two", 1)]
    with pytest.raises(ShapeError, match="2 references and 1 hypotheses"):
        word_errors(["a", "b"], ["a"])


def test_texts_are_compared_without_case_and_punctuation_if_that_is_wanted() -> None:
    assert normalised("Mary-Ann's: 'Yes', -- really?") == "mary-ann's yes really"
    assert normalised("Yes!", lower=False, punctuation=True) == "Yes!"
    assert normalised("E\u0301t\u00e9") == "\u00e9t\u00e9"
