"""Words that are exchanged are of the same kind, whatever they stood beside."""

from __future__ import annotations

import torch

from ostinato.tasks.captions.noise import WordSwaps, hidden

BOS, EOS, RED, BLUE, ROUND, SQUARE, MOVES = 2, 3, 4, 5, 6, 7, 8
SAID = [[BOS, RED, SQUARE, MOVES, EOS], [BOS, BLUE, SQUARE, MOVES, EOS], [BOS, BLUE, ROUND, MOVES, EOS]]


def test_words_are_exchanged_for_others_that_stand_between_the_same_neighbours():
    torch.manual_seed(0)
    tokens = torch.tensor(SAID).T.repeat(1, 200)
    found = WordSwaps(SAID)(tokens, 1.0)
    kinds = {BOS: {BOS}, EOS: {EOS}, RED: {RED, BLUE}, BLUE: {RED, BLUE}, ROUND: {ROUND, SQUARE},
             SQUARE: {ROUND, SQUARE}, MOVES: {MOVES}}  # fmt: skip
    assert {int(token): set(found[tokens == token].tolist()) for token in tokens.unique()} == kinds


def test_so_a_pair_that_is_in_no_caption_is_read():
    torch.manual_seed(0)
    tokens = torch.tensor(SAID).T.repeat(1, 200)
    pairs = set(zip(WordSwaps(SAID)(tokens, 0.5)[1].tolist(), tokens[2].tolist(), strict=True))
    assert (RED, ROUND) in pairs


def test_a_share_of_them_is_and_what_was_never_seen_stays():
    torch.manual_seed(0)
    swaps, tokens = WordSwaps(SAID), torch.full((1, 2000), RED)
    assert 0.05 < float((swaps(tokens, 0.4) != tokens).float().mean()) < 0.3
    assert bool((swaps(tokens, 0.0) == tokens).all())
    strange = torch.tensor([[0, 1, 99, 10**6]])
    assert bool((swaps(strange, 1.0) == strange).all())
    assert bool((WordSwaps([])(tokens, 1.0) == tokens).all())
    assert bool((WordSwaps([[BOS, EOS]])(tokens, 1.0) == tokens).all())


def test_words_are_hidden_but_not_the_mark_of_the_beginning():
    tokens = torch.full((400, 8), 7)
    assert 0.4 < float((hidden(tokens, 0.5)[1:] == 1).float().mean()) < 0.6
    assert bool((hidden(tokens, 1.0)[0] == 7).all())
    assert hidden(tokens, 0.0) is tokens
