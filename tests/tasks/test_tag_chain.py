"""Tags in a row: their probabilities are those of all rows of tags, and what follows what is learned."""

import itertools
import math

import numpy as np
import pytest

from ostinato.tasks.tag.chain import Chain, summed
from ostinato.tasks.tag.wide import Wide

rng = np.random.default_rng(0)
TAGS = 3
CHAIN = Chain(*(rng.normal(size=size).astype(np.float32) for size in ((TAGS, TAGS), TAGS, TAGS)))


def by_all_rows(scores):
    """Return the probabilities of tags and of pairs, by every row of tags there is."""
    marginals, pairs, whole = np.zeros(scores.shape), np.zeros((TAGS, TAGS)), 0.0
    for row in itertools.product(range(TAGS), repeat=len(scores)):
        score = CHAIN.first[row[0]] + CHAIN.last[row[-1]] + sum(scores[place, tag] for place, tag in enumerate(row))
        weight = math.exp(score + sum(CHAIN.moves[a, b] for a, b in itertools.pairwise(row)))
        marginals[range(len(row)), row] += weight
        for a, b in itertools.pairwise(row):
            pairs[a, b] += weight
        whole += weight
    return marginals / whole, pairs / whole


def test_probabilities_are_those_of_all_rows_of_tags_whatever_stands_beside() -> None:
    lengths = [4, 1, 3]
    scores = rng.normal(size=(4, 3, TAGS))
    found = summed(scores, np.array(lengths), CHAIN, pairs=True)
    pairs = np.zeros((TAGS, TAGS))
    for column, length in enumerate(lengths):
        marginals, own = by_all_rows(scores[:length, column])
        np.testing.assert_allclose(found.marginals[:length, column], marginals, atol=1e-6)
        np.testing.assert_allclose(np.exp(CHAIN.log_marginals(scores[:length, column])), marginals, atol=1e-6)
        pairs += own
    np.testing.assert_allclose(found.pairs, pairs, atol=1e-6)


def test_scores_of_hundreds_do_not_overflow() -> None:
    scores = 300 * rng.normal(size=(50, TAGS))
    assert np.isfinite(CHAIN.log_marginals(scores)).all()


@pytest.mark.parametrize("tags", [2, 4])
def test_what_follows_what_is_learned_where_words_say_nothing(tags) -> None:
    sizes = rng.integers(3, 9, 60)
    sentences, targets = [["x"] * size for size in sizes], [np.arange(size) % tags for size in sizes]

    def right(alone):
        wide = Wide.fit(sentences, targets, np.ones(tags), alone=alone, seed=0)
        found = wide.log_probabilities([*sentences, []]).argmax(1)
        return (found == np.concatenate(targets)).mean()

    assert right(False) == 1.0
    assert right(True) < 0.6


def test_a_changed_file_is_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        Chain(CHAIN.moves, CHAIN.first[:1], CHAIN.last)
    with pytest.raises(ValueError, match="no number"):
        Chain(CHAIN.moves * np.float32(np.nan), CHAIN.first, CHAIN.last)
