"""Spans written as tags, how they are counted, and the taggers that stand beside a network."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.data.text import TaggedSentence
from ostinato.tasks.tag.baselines import FrequentTags, HiddenMarkov
from ostinato.tasks.tag.constraints import scheme_for
from ostinato.tasks.tag.spans import Span, scheme_of, span_scores, spans_of

# --- spans -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O O", []),
        ("B-X", [("X", 0, 1)]),
        ("B-X I-X O", [("X", 0, 2)]),
        ("B-X B-X", [("X", 0, 1), ("X", 1, 2)]),
        ("I-X I-X", [("X", 0, 2)]),  # IOB1
        ("I-X B-X", [("X", 0, 1), ("X", 1, 2)]),
        ("B-X I-Y I-Y", [("X", 0, 1), ("Y", 1, 3)]),  # another kind starts over
        ("O I-X", [("X", 1, 2)]),
        ("B-X E-X O S-Y", [("X", 0, 2), ("Y", 3, 4)]),
        ("S-X S-X", [("X", 0, 1), ("X", 1, 2)]),
        ("B-X I-X E-X I-X", [("X", 0, 3), ("X", 3, 4)]),  # after an end, an inside begins
        ("E-X E-X", [("X", 0, 1), ("X", 1, 2)]),
        ("B-X L-X U-Y", [("X", 0, 2), ("Y", 2, 3)]),  # BILOU
        ("NOUN B-a-b", [("a-b", 1, 2)]),
        ("", []),
    ],
)
def test_spans_are_those_found_by_hand(tags, spans) -> None:
    assert spans_of(tags.split()) == [Span(*own) for own in spans]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("XY"), st.integers(1, 4)), max_size=6), st.booleans())
def test_spans_written_as_tags_are_found_again(parts, single) -> None:
    tags, spans = [], []
    for gap, kind, length in parts:
        tags += ["O"] * gap
        spans.append(Span(kind, len(tags), len(tags) + length))
        own = ["B", *["I"] * (length - 1)]
        if single:
            own = ["S"] if length == 1 else [*own[:-1], "E"]
        tags += [f"{letter}-{kind}" for letter in own]
    assert spans_of(tags) == spans


def test_span_scores_are_those_counted_by_hand() -> None:
    truth = [["B-X", "I-X", "O", "B-Y"], ["O", "B-X"], ["O"]]
    found = [["B-X", "O", "O", "B-Y"], ["O", "B-Y"], ["B-X"]]
    scores = span_scores(truth, found)
    assert (scores.there, scores.found, scores.right) == (3, 4, 1)
    assert (scores.precision, scores.recall) == (1 / 4, 1 / 3)
    assert scores.f1 == pytest.approx(2 * (1 / 4) * (1 / 3) / (1 / 4 + 1 / 3))
    assert span_scores([["O"]], [["O"]]).f1 == 0


def test_schemes_are_told_by_the_names_of_tags() -> None:
    assert scheme_of(["O", "B-X", "I-X"]) == "BIO"
    assert scheme_of(["O", "B-X", "E-X", "S-X", "I-X"]) == "IOBES"
    assert scheme_of(["DET", "O"]) == scheme_of(["O"]) == scheme_of(["B-X", "I"]) == ""
    kept = [TaggedSentence(("a", "b"), ("B-X", "I-X"))]
    iob1 = [TaggedSentence(("a", "b"), ("O", "I-X"))]
    assert scheme_for(["B-X", "I-X", "O"], kept) == "BIO"
    assert scheme_for(["B-X", "I-X", "O"], kept + iob1) == ""
    assert scheme_for(["L-X", "B-X", "O"], kept) == scheme_for(["DET"], kept) == ""


# --- baselines -------------------------------------------------------------------------------------------------------


def test_the_most_frequent_tag_of_a_word_is_taken() -> None:
    own = FrequentTags.fit([TaggedSentence(("run", "run", "run", "go"), ("N", "V", "V", "V"))], ("N", "V"))
    assert own.tags(["run", "go", "new"]) == ["V", "V", "V"]
    assert own.tags([]) == []


WORDS = st.sampled_from(["a", "b", "c", "dd"])
TRAIN = st.lists(st.lists(st.tuples(WORDS, st.sampled_from("NVX")), min_size=1, max_size=5), min_size=1, max_size=5)


@settings(max_examples=25, deadline=None)
@given(TRAIN, st.lists(st.sampled_from(["a", "b", "new", "dd"]), min_size=1, max_size=4))
def test_the_path_of_the_markov_model_is_the_best_of_all(train, test) -> None:
    tags = tuple(sorted({tag for pairs in train for _, tag in pairs}))
    own = HiddenMarkov.fit([TaggedSentence(*map(tuple, zip(*pairs, strict=True))) for pairs in train], tags)
    size = len(own.names)
    assert np.exp(own.moves).sum(1) == pytest.approx(np.ones(size + 1))

    def score(path):
        emitted = sum(own._logs(token)[tag] for token, tag in zip(test, path, strict=True))
        return emitted + sum(own.moves[a, b] for a, b in itertools.pairwise([size, *path, size]))

    found = [own.names.index(tag) for tag in own.tags(test)]
    best = max(score(path) for path in itertools.product(range(size), repeat=len(test)))
    assert score(found) == pytest.approx(best)
