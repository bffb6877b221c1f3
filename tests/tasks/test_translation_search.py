"""Searching for translations: against trying everything, against greedy decoding, and alone against in a batch."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato import Translator
from ostinato.errors import UsageError
from ostinato.tasks.base.searching.beam import beam_search
from ostinato.tasks.base.searching.greedy import greedy_search, greedy_tokens
from ostinato.tasks.base.searching.search import Search
from ostinato.tasks.translate.network import TranslationNetwork

BOS, EOS = 2, 3
KINDS = {
    "gru": {},
    "fed": {"cell": "lstm", "attention": "additive", "reading": "before", "input_feeding": True},
    "plain": {"attention": "none", "num_layers": 2},
    "transformer": {"cell": "transformer", "hidden_size": 8, "embedding_size": 8},
}


def tiny(kind="gru", size=6, seed=0):
    options = {
        "cell": "gru", "attention": "general", "reading": "after", "input_feeding": False, "embedding_size": 8,
        "hidden_size": 8, "num_layers": 1, "dropout": 0.1, "tie_weights": False, **KINDS[kind],
    }  # fmt: skip
    torch.manual_seed(seed)
    network = TranslationNetwork(Translator(**options), 9, size)
    with torch.no_grad():
        for own in network.parameters():
            own.mul_(3.0)  # far from even
    return network.eval()


def sources_of(*rows):
    lengths = torch.tensor([len(row) + 1 for row in rows])
    tokens = torch.zeros((int(lengths.max()), len(rows)), dtype=torch.long)
    for column, row in enumerate(rows):
        tokens[: len(row) + 1, column] = torch.tensor([*row, EOS])
    return tokens, lengths


def log_probabilities(network, source, targets):
    """Return the log-probabilities of targets of one length and their ends, read whole, and the attention."""
    tokens, lengths = sources_of(*[source] * len(targets))
    read = torch.tensor([[BOS, *target] for target in targets]).T
    scores, weights = network.model(tokens, read, source_lengths=lengths)
    wanted = torch.tensor([[*target, EOS] for target in targets]).T
    return scores.log_softmax(-1).gather(2, wanted[..., None]).sum((0, 2)).tolist(), weights


def everything(network, source, limit, search, size=6):
    """Return every translation, the best first, with its score by the formulas of the paper."""
    found = []
    for length in range(search.min_length, limit + 1):
        targets = list(itertools.product([token for token in range(size) if token not in (0, BOS, EOS)], repeat=length))
        totals, weights = log_probabilities(network, source, targets)
        for row, (target, total) in enumerate(zip(targets, totals, strict=True)):
            if search.block_ngrams:
                grams = [target[i : i + search.block_ngrams] for i in range(length - search.block_ngrams + 1)]
                if len(set(grams)) < len(grams):
                    continue
            score = total / ((5 + length + 1) / 6) ** search.length_penalty
            if search.coverage_penalty:
                score += search.coverage_penalty * float(weights[:, row].sum(0).clamp(1e-6, 1.0).log().sum())
            found.append((score, target, total))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"length_penalty": 0.0},
        {"length_penalty": 1.5, "min_length": 2},
        {"length_penalty": 1.0, "coverage_penalty": 0.4, "block_ngrams": 2},
        {"block_ngrams": 1},
    ],
    ids=str,
)
@torch.no_grad()
def test_a_beam_that_holds_everything_finds_what_trying_everything_finds(kind, options) -> None:
    if kind == "plain" and "coverage_penalty" in options:
        options = {**options, "coverage_penalty": 0.0}
    network, source = tiny(kind), [4, 7, 5]
    search = Search(beam_size=40, thorough=True, **options)
    expected = everything(network, source, 3, search)
    tokens, lengths = sources_of(source)
    found = beam_search(network, tokens, lengths, torch.tensor([3]), search)[0]
    count = min(5, len(expected))
    assert [one.tokens for one in found[:count]] == [target for _, target, _ in expected[:count]]
    for one, (score, _, total) in zip(found, expected, strict=False):
        assert one.score == pytest.approx(score, abs=1e-4)
        assert one.log_probability == pytest.approx(total, abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(sorted(KINDS)), st.integers(2, 4))
@torch.no_grad()
@pytest.mark.slow
@pytest.mark.ci
def test_a_small_beam_never_gives_more_than_there_is(seed, kind, width) -> None:
    network, source = tiny(kind, seed=seed), [4, 8]
    search = Search(beam_size=width)
    expected = {target: (score, total) for score, target, total in everything(network, source, 3, search)}
    tokens, lengths = sources_of(source)
    found = beam_search(network, tokens, lengths, torch.tensor([3]), search)[0]
    assert 1 <= len(found) <= width
    assert len({one.tokens for one in found}) == len(found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        assert one.score == pytest.approx(expected[one.tokens][0], abs=1e-4)
        assert one.log_probability == pytest.approx(expected[one.tokens][1], abs=1e-4)


ROWS = ([4, 5, 6, 7, 8, 4], [5], [], [8, 8, 4], [6, 4])


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_beam_of_one_is_greedy_and_greedy_takes_the_best_token_each_time(kind) -> None:
    network = tiny(kind, size=9)
    tokens, lengths = sources_of(*ROWS)
    search, limits = Search(beam_size=1), torch.tensor([12, 5, 9, 7, 1])
    greedy = greedy_search(network, tokens, lengths, limits, search, attention=False)
    beam = beam_search(network, tokens, lengths, limits, search)
    for row, one, limit, (other,) in zip(ROWS, greedy, limits.tolist(), beam, strict=True):
        assert one.tokens == other.tokens
        assert one.looked == other.looked
        assert one.score == pytest.approx(other.score, abs=1e-5)
        by_hand = []
        while len(by_hand) < limit:
            scores, _ = network.model(sources_of(row)[0], torch.tensor([BOS, *by_hand])[:, None])
            scores[-1, 0, [0, BOS]] = -math.inf
            best = int(scores[-1, 0].argmax())
            if best == EOS:
                break
            by_hand.append(best)
        assert one.tokens == tuple(by_hand)
        source = torch.tensor([*row, EOS])
        streamed = list(greedy_tokens(network, source, limit, search))
        assert [token for token, _ in streamed] == by_hand
        if network.looks:
            assert [place for _, place in streamed] == list(one.looked[:-1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1, 3])
@torch.no_grad()
@pytest.mark.slow
@pytest.mark.ci
def test_a_batch_gives_what_its_sentences_give_alone(kind, width) -> None:
    network = tiny(kind, size=9)
    search = Search(beam_size=width, coverage_penalty=0.2 if network.looks else 0.0, block_ngrams=3)
    tokens, lengths = sources_of(*ROWS)
    limits = search.limits(lengths, 20)

    def found(tokens, lengths, limits):
        if width > 1:
            return beam_search(network, tokens, lengths, limits, search, attention=True)
        return [[one] for one in greedy_search(network, tokens, lengths, limits, search, attention=True)]

    together = found(tokens, lengths, limits)
    for row, limit, several in zip(ROWS, limits, together, strict=True):
        alone = found(*sources_of(row), limit[None])[0]
        assert [one.tokens for one in alone] == [one.tokens for one in several]
        for one, other in zip(alone, several, strict=True):
            assert one.score == pytest.approx(other.score, abs=1e-4)
            if network.looks:
                assert one.attention.shape == (len(one.tokens) + 1, len(row) + 1)
                padded = other.attention
                torch.testing.assert_close(one.attention, padded[:, : len(row) + 1], rtol=1e-4, atol=1e-5)
                assert float(padded[:, len(row) + 1 :].abs().sum()) == 0
                _, weights = log_probabilities(network, row, [one.tokens])
                torch.testing.assert_close(one.attention, weights[:, 0], rtol=1e-4, atol=1e-5)
                assert one.looked == tuple(one.attention.argmax(-1).tolist())


@torch.no_grad()
def test_lengths_and_repeated_sequences_are_kept_to() -> None:
    network = tiny(size=9)
    tokens, lengths = sources_of(*ROWS)
    for width in (1, 4):
        search = Search(beam_size=width, min_length=6, max_length=8, block_ngrams=2)
        limits = search.limits(lengths, 100)
        found = (
            beam_search(network, tokens, lengths, limits, search)
            if width > 1
            else [[one] for one in greedy_search(network, tokens, lengths, limits, search, attention=False)]
        )
        for one in itertools.chain(*found):
            assert 6 <= len(one.tokens) <= 8
            pairs = list(itertools.pairwise(one.tokens))
            assert len(set(pairs)) == len(pairs)


def test_what_cannot_be_meant_is_refused() -> None:
    for options, said in (
        ({"beam_size": 0}, "beam_size is 0; expected one or more"),
        ({"length_penalty": -1.0}, "length_penalty is -1.0; expected 0 or more"),
        ({"coverage_penalty": math.nan}, "coverage_penalty is nan"),
        ({"min_length": 5, "max_length": 4}, "max_length is 4; expected at least 1, and no less than min_length 5"),
        ({"max_length": 0}, "max_length is 0"),
    ):
        with pytest.raises(UsageError, match=said):
            Search(**options)
    with pytest.raises(UsageError, match="no option width; expected one of beam_size"):
        Search().changed({"width": 3})
