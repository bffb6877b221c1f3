"""Captions are as those of training are, however little was learned: as long, no word again at once, not broken off."""

import numpy as np
import pytest
import torch

from ostinato import Captioner
from ostinato.data.text import Specials
from ostinato.errors import UsageError
from ostinato.tasks.base.searching.beam import beam_search
from ostinato.tasks.base.searching.greedy import greedy_search
from ostinato.tasks.base.searching.search import Search
from ostinato.tasks.captions.consensus import words
from ostinato.tasks.captions.habits import Habits
from ostinato.tasks.captions.noise import Noise
from ostinato.tasks.captions.parameters import CaptionParameters

EOS = Specials().eos
SAID = ["a man is riding a horse on the beach", "a woman is cutting an onion with a knife", "two dogs run in the snow"]


class _Indifferent:
    """A network that has learned next to nothing: the end is likely at any time, and one word likelier than others."""

    class State:
        weights = None

        def select(self, *_, **__):
            return self

    def start(self, *_):
        return self.State()

    def step(self, tokens, state):
        scores = torch.zeros(len(tokens), 20)
        scores[:, EOS], scores[:, 7], scores[:, 8] = 2.0, 1.5, 1.0
        return scores, state


def _written(search):
    sources, lengths, limits = torch.zeros(4, 2), torch.tensor([4, 4]), torch.tensor([15, 15])
    if search.beam_size == 1:
        return [
            each.tokens for each in greedy_search(_Indifferent(), sources, lengths, limits, search, attention=False)
        ]
    return [each.tokens for group in beam_search(_Indifferent(), sources, lengths, limits, search) for each in group]


@pytest.mark.parametrize("beam_size", [1, 2, 5])
def test_a_search_keeps_to_every_habit_whatever_a_network_says(beam_size):
    habits = Habits.of([[7, 9, 10, 7, 11, 12 + place % 5] for place in range(40)])
    assert (habits.shortest, habits.spaced) == (6, 2)
    assert 7 in habits.open_tokens
    search = Search(
        beam_size=beam_size, min_length=habits.shortest, block_ngrams=habits.apart, spaced=habits.spaced,
        open_tokens=habits.open_tokens, usual=habits.usual,
    )  # fmt: skip
    for tokens in _written(search):
        assert 6 <= len(tokens) <= 15
        assert tokens[-1] not in habits.open_tokens or len(tokens) == 15
        assert all(one not in tokens[place + 1 : place + 3] for place, one in enumerate(tokens))
    assert min(map(len, _written(Search(beam_size=beam_size)))) == 0  # as it is without them


def test_the_usual_length_is_preferred_where_the_network_has_no_say():
    usual = Habits.of([[4] * 9] * 50).usual
    best = _written(Search(beam_size=5, usual=usual, min_length=1, length_penalty=2.0))
    assert len(best[0]) in (8, 9, 10)


def test_a_text_ends_where_no_other_token_is_left():
    for beam_size in (1, 3):
        found = _written(Search(beam_size=beam_size, min_length=15, block_ngrams=1))
        assert all(len(set(tokens)) == len(tokens) for tokens in found)


def test_what_captions_do_is_no_habit_to_be_kept_from():
    """Two captions in a hundred repeat a token at once: that is no mistake then."""
    captions = [[5, 6, 7, 8]] * 98 + [[5, 5, 6, 8]] * 2
    assert Habits.of(captions).spaced == 0
    assert Habits.of([[5, 6, 7, 8]] * 100).spaced > 0
    assert Habits.of([[]]).shortest == 1


def test_words_are_disturbed_much_only_where_there_are_few_of_them():
    few = Habits.of([[5, 6, 7, 8 + place % 3] for place in range(40)])
    many = Habits.of([[5, 6, 8 + place, 9 + place] for place in range(40)])
    given = CaptionParameters()
    assert (Noise.of(given, few), Noise.of(given, many)) == (Noise(0.5, 0.3), Noise(0.2, 0.1))
    assert Noise.of(CaptionParameters(word_swap=0.0, look_first=0.7), few) == Noise(0.0, 0.7)


def test_a_captioner_that_has_learned_nothing_writes_captions_as_long_as_those_of_training():
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(4, 5)).astype(np.float32) for _ in range(24)]
    model = Captioner(hidden_size=8, epochs=1, progress=False, seed=0)
    model.fit(clips, [SAID[place % 3] for place in range(24)])
    assert min(len(words(text)) for text in model.predict(clips)) >= min(len(words(text)) for text in SAID)
    short = model.captions(clips[:1], min_length=2, beam_size=1)[0][0].text
    assert len(words(short)) >= 2
    with pytest.raises(UsageError, match="min_length"):
        Captioner(min_length=-1).fit(clips, [SAID[0]] * 24)
