"""CIDEr-D and ROUGE-L against the reference implementation, by hand, and what must hold of both."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato.errors import ShapeError
from ostinato.tasks.captions.consensus import cider_d, rouge_l, words

CAPTIONS = [
    "a man is riding a wave on a surfboard",
    "a dog is running in the grass",
    "two people are cooking in a kitchen",
    "a cat",
    "a woman is slicing an onion and a woman is crying",
]
REFERENCES = [
    ["a man riding a wave on top of a surfboard", "a surfer rides a big wave in the ocean", "a man is surfing"],
    ["a brown dog runs through the grass", "a dog is running across a field"],
    ["two men are cooking in a kitchen", "people cook food"],
    ["a cat is sleeping on a bed", "the cat sleeps"],
    ["a woman is slicing an onion", "someone cuts onions", "a woman is cutting an onion while she is crying"],
]
# of pycocoevalcap (CiderScorer with n = 4, sigma = 6, and Rouge with beta = 1.2) on the captions above
CIDER = [2.280934024261855, 2.9507437929378515, 3.473999794196324, 1.6942283497896278, 2.258005012588857]
ROUGE = [0.8341880341880341, 0.5714285714285714, 0.8571428571428571, 0.45864661654135336, 0.8102466793168881]

sentences = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=8).map(" ".join)
groups = st.lists(st.tuples(sentences, st.lists(sentences, min_size=1, max_size=3)), min_size=1, max_size=5)


def test_cider_d_is_that_of_the_reference_implementation():
    np.testing.assert_allclose(cider_d(CAPTIONS, REFERENCES), CIDER, rtol=1e-12)


def test_rouge_l_is_that_of_the_reference_implementation():
    np.testing.assert_allclose(rouge_l(CAPTIONS, REFERENCES), ROUGE, rtol=1e-12)


def test_cider_d_by_hand():
    """Two clips; `red` and `runs` are of one each, `a` of both and so of no weight."""
    found = cider_d(["a red", "a"], [["a red red"], ["a runs"]])
    idf = math.log(2)
    one = min(idf, 2 * idf) * 2 * idf / (idf * 2 * idf)  # words: red once, but twice in the reference
    two = idf * idf / (idf * math.sqrt(2) * idf)  # pairs: "a red" of "a red" and "red red"
    shorter = math.exp(-1 / (2 * 36))  # a pair less
    assert found[0] == pytest.approx(10 / 4 * (one + two) * shorter)
    assert found[1] == 0.0


def test_rouge_l_by_hand():
    precision, recall = 3 / 4, 3 / 3
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert rouge_l(["a dog runs fast"], [["a dog runs"]])[0] == pytest.approx(expected)
    assert rouge_l([""], [["a dog"]])[0] == 0.0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(groups)
def test_a_caption_that_is_its_only_reference_is_best_and_order_of_references_does_not_matter(rows):
    captions, references = [row[0] for row in rows], [row[1] for row in rows]
    for measure, most in ((cider_d, 10.0), (rouge_l, 1.0)):
        values = measure(captions, references)
        assert (values >= 0).all()
        assert (values <= most + 1e-9).all()
        np.testing.assert_allclose(measure(captions, [each[::-1] for each in references]), values)
    np.testing.assert_allclose(rouge_l(captions, [[each] for each in captions]), 1.0)


def test_letter_case_and_punctuation_do_not_count():
    assert words("A Man's dog -- runs, FAST!") == ["a", "man's", "dog", "runs", "fast"]
    assert rouge_l(["A dog, runs!"], [["a dog runs"]])[0] == 1.0


def test_captions_without_references_are_refused():
    with pytest.raises(ShapeError, match="2 captions and references of 1"):
        cider_d(["a", "b"], [["a"]])
    with pytest.raises(ShapeError, match="clip 2 has no reference"):
        rouge_l(["a", "b"], [["a"], []])
