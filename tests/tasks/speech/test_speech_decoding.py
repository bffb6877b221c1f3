"""Decoders of CTC: streams against whole utterances, scorers against sums over all labellings, times, endpoints."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest

from ostinato.errors import DataError, ShapeError, UsageError
from ostinato.tasks.speech.decoding import (
    EndpointRule,
    HotWords,
    Lexicon,
    NGramScorer,
    ctc_decoder,
    find_fusion,
    fused,
    read_arpa,
)
from ostinato.tasks.speech.decoding.language import TokenScorer

LETTERS = " abcdefgh"


@dataclass(frozen=True)
class Letters:
    """Characters as units; or words, or pieces of words."""

    names: tuple[str, ...] = ("", *LETTERS)
    level: str = "character"

    @property
    def separator(self):
        return self.names.index(" ") if " " in self.names else None

    def encode(self, text):
        if self.level == "word":
            return [self.names.index(word) for word in text.split() if word in self.names]
        found, place = [], 0
        while place < len(text):
            piece = max((own for own in self.names[1:] if text.startswith(own, place)), key=len, default="")
            found += [self.names.index(piece)] if piece else []
            place += max(1, len(piece))
        return found

    def decode(self, classes):
        return (" " if self.level == "word" else "").join(self.names[own] for own in classes)

    def __len__(self):
        return len(self.names)


UNITS = Letters()
WORDS = Letters(("", "one", "two", "three"), "word")
PIECES = Letters(("", " a", "b", " c", "ab"), "subword")


def _said(text, units=UNITS, *, sharp=6.0, hold=2, seed=0):
    """Return log-probabilities in which each unit of a text stands for some frames, blanks between them."""
    generator = np.random.default_rng(seed)
    rows = [0]
    for own in units.encode(text):
        rows += [own] * hold + [0]
    logits = generator.normal(size=(len(rows), len(units))) / 2
    logits[np.arange(len(rows)), rows] += sharp
    return _normal(logits)


def _normal(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def _random(seed, frames, classes, scale=2.0):
    return _normal(scale * np.random.default_rng(seed).normal(size=(frames, classes)))


def _totals(scores):
    """Return the probability of every labelling by trying every path."""
    found = {}
    for path in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        labels = tuple(label for label, _ in itertools.groupby(path) if label)
        found[labels] = found.get(labels, 0.0) + math.exp(sum(scores[range(len(path)), path]))
    return found


def _added(scorer, labels):
    state, total = scorer.start(), 0.0
    for label in labels:
        total += scorer.scores(state)[label]
        if total == -math.inf:
            return total
        state = scorer.advance(state, label)
    return total + scorer.end(state)


SCORERS = {
    "n-grams": lambda: fused(UNITS, [(NGramScorer.fit(["ab ab", "ba", "abc"], UNITS, 3), 0.7)], 0.3),
    "word list": lambda: fused(UNITS, [(Lexicon(["a", "ab", "ba"], UNITS), 1.0)]),
    "hot words": lambda: fused(UNITS, [(HotWords({"ab": 3.0, "a b": 1.0, "abba": -2.0}, UNITS), 1.0)]),
    "all": lambda: fused(
        UNITS,
        [
            (NGramScorer.fit(["ab ab", "ba"], UNITS, 2), 0.5),
            (Lexicon(["a", "ab", "ba"], UNITS), 1.0),
            (HotWords(["ba"], UNITS), 1.0),
        ],
        -0.2,
    ),
}


@pytest.mark.parametrize("name", SCORERS)
def test_a_wide_beam_adds_what_scorers_say_to_every_labelling_once(name) -> None:
    scores = _random(1, 5, 4)  # of the blank, the space, a and b
    wide = np.full((5, len(UNITS)), -60.0)
    wide[:, :4] = scores
    decoder = ctc_decoder(UNITS, beam_size=2000, scorer=SCORERS[name](), least_probability=1e-20, margin=math.inf)
    decoder.advance(wide)
    found = {own.labels: own.score for own in decoder.search.hypotheses()}
    expected = {
        labels: math.log(chance) + _added(SCORERS[name](), labels) for labels, chance in _totals(scores).items()
    }
    expected = {labels: score for labels, score in expected.items() if score > -math.inf}
    assert set(found) == set(expected)
    assert all(found[labels] == pytest.approx(expected[labels], abs=1e-9) for labels in found)


@pytest.mark.parametrize("beam_size", [0, 1, 8])
def test_frames_that_come_in_pieces_give_the_same_bits(beam_size) -> None:
    scores = _random(2, 60, len(UNITS), 3.0)
    make = lambda: ctc_decoder(  # noqa: E731
        UNITS, beam_size=beam_size, scorer=SCORERS["all"]() if beam_size else None, frame_seconds=0.04
    )
    whole = make().decode(scores, n_best=5)
    decoder, other = make(), make()
    for row in scores:
        decoder.advance(row[None])
        other.accept(decoder.kept())  # and each state goes on as the one it was taken from
    assert decoder.finish(5) == whole
    assert other.finish(5) == whole
    assert decoder.best() == other.best()
    assert decoder.trailing == other.trailing
    assert decoder.decode(scores, 5) == whole


def test_memory_is_bounded_whatever_the_length() -> None:
    decoder = ctc_decoder(UNITS, beam_size=4, least_probability=0.0)
    sizes = []
    for piece in range(4):
        decoder.advance(_random(piece, 400, len(UNITS), 1.0))
        tree, nodes = decoder.search._tree.root, 0
        waiting = [tree]
        while waiting:
            node = waiting.pop()
            nodes += 1
            waiting += node.children.values()
        sizes.append(nodes - len(decoder.search.best().labels))
    assert max(sizes) < 4 * 9 * 400


def test_words_have_times_and_confidences() -> None:
    decoder = ctc_decoder(UNITS, beam_size=8, frame_seconds=0.1)
    scores = _said("ab c", hold=3, sharp=9.0)
    for own in (decoder.decode(scores)[0], ctc_decoder(UNITS, frame_seconds=0.1).decode(scores)[0]):
        assert own.text == "ab c"
        assert [(word.text, round(word.start, 3), round(word.end, 3)) for word in own.words] == [
            ("ab", 0.1, 0.8),
            ("c", 1.3, 1.6),
        ]
        assert all(0.9 < word.confidence <= 1 for word in own.words)
    doubtful = scores.copy()
    doubtful[13:16] = _normal(doubtful[13:16] / 4)
    sure, unsure = (ctc_decoder(UNITS, beam_size=8).decode(own)[0].words[-1] for own in (scores, doubtful))
    assert unsure.confidence < 0.7 < sure.confidence


def test_a_beam_sums_over_paths_and_greedy_takes_the_best_one() -> None:
    scores = np.full((2, len(UNITS)), -30.0)
    scores[:, [0, 2]] = np.log([0.6, 0.4])
    assert ctc_decoder(UNITS).decode(scores)[0].text == ""
    best = ctc_decoder(UNITS, beam_size=4).decode(scores, n_best=2)
    assert [own.text for own in best] == ["a", ""]
    assert [round(math.exp(own.score), 3) for own in best] == [0.64, 0.36]


def test_a_language_model_a_word_list_and_hot_words_change_what_is_heard() -> None:
    scores = _said("abc", sharp=3.0)
    middle = scores[:, 3].argmax()
    scores[[middle, middle + 1], 4] = scores[[middle, middle + 1], 3] - 0.5  # the b is nearly a c
    scores = _normal(scores)

    def heard(*parts):
        return ctc_decoder(UNITS, beam_size=16, scorer=fused(UNITS, parts)).decode(scores)[0].text

    assert heard() == "abc"
    assert heard((NGramScorer.fit(["acc"] * 20, UNITS), 0.8)) == "acc"
    assert heard((Lexicon(["acc", "hh"], UNITS), 1.0)) == "acc"
    assert heard((HotWords(["acc"], UNITS, 8.0), 1.0)) == "acc"
    assert heard((HotWords(["acchhh"], UNITS, 4.0), 1.0)) == "abc"  # only as a whole word


def test_word_lists_hold_for_subwords_and_words_too() -> None:
    for units, words in ((PIECES, ["ab", "cb", "a"]), (WORDS, ["two", "three"])):
        scorer = fused(units, [(Lexicon(words, units), 1.0)])
        for seed in range(5):
            found = ctc_decoder(units, beam_size=8, scorer=scorer).decode(_random(seed, 12, len(units)))[0]
            assert set(found.text.split()) <= set(words)
    with pytest.raises(UsageError, match='the word "zebra" cannot be written'):
        Lexicon(["zebra"], UNITS)
    with pytest.raises(UsageError, match="expected several"):
        Lexicon("ab", UNITS)
    with pytest.raises(UsageError, match="one word each"):
        Lexicon(["a b"], UNITS)
    with pytest.raises(UsageError, match="there are no words"):
        Lexicon(["  "], UNITS)
    with pytest.raises(UsageError, match="finite bonus"):
        HotWords({"ab": float("nan")}, UNITS)


def test_within_a_word_of_the_list_the_best_there_is_is_given() -> None:
    scorer = fused(UNITS, [(Lexicon(["abcd"], UNITS), 1.0)])
    found = ctc_decoder(UNITS, beam_size=1, scorer=scorer).decode(_said("ab", sharp=9.0))
    assert "abcd".startswith(found[0].text)


def test_hot_words_add_their_bonus_to_whole_words_alone() -> None:
    scorer = HotWords({"ab": 3.0, "ab c": 1.0, "abba": 2.0}, UNITS)
    expected = {"ab": 3.0, "ab ab": 6.0, "aba": 0.0, "abba": 2.0, "b ab": 3.0, "ab c": 4.0, "a": 0.0, "ab d": 3.0}
    for text, bonus in expected.items():
        assert _added(scorer, UNITS.encode(text)) == pytest.approx(bonus), text


def test_n_grams_are_probabilities_and_prefer_their_own_texts() -> None:
    scorer = NGramScorer.fit(["ab ba", "abc", "ab"], UNITS)
    state = scorer.start()
    for label in UNITS.encode("ab c"):
        assert np.exp(scorer.scores(state)).sum() == pytest.approx(1.0)
        state = scorer.advance(state, label)
    assert scorer.log_probability(UNITS.encode("abc")) > scorer.log_probability(UNITS.encode("cba"))
    with pytest.raises(DataError, match="no unit that the model knows"):
        NGramScorer.fit(["xyz"], UNITS)
    with pytest.raises(UsageError, match="order is 0"):
        NGramScorer.fit(["ab"], UNITS, 0)


def test_the_weight_is_found_where_a_language_model_helps_and_is_zero_where_it_does_not() -> None:
    texts = ["ab ba", "ba ab", "ab", "ba", "ba ba ab"] * 3
    frames = [_said(text, sharp=1.2, seed=seed) for seed, text in enumerate(texts)]
    helpful, harmful = NGramScorer.fit(texts, UNITS), NGramScorer.fit(["gh hg", "hh"], UNITS)
    make = lambda scorer: ctc_decoder(UNITS, beam_size=8, scorer=scorer)  # noqa: E731
    found = find_fusion(frames, texts, make, helpful, UNITS, weights=(0.3, 0.8), bonuses=(1.0,))
    assert found.weight > 0
    assert found.errors < found.without
    easy = [_said(text, sharp=9.0) for text in texts]
    assert find_fusion(easy, texts, make, harmful, UNITS, weights=(0.5,), bonuses=()).weight == 0
    assert find_fusion(easy[:2], ["", " "], make, helpful, UNITS).weight == 0
    with pytest.raises(ShapeError, match="15 utterances and 1 references"):
        find_fusion(frames, ["ab"], make, helpful, UNITS)


ARPA = """
\\data\\
ngram 1=6
ngram 2=3

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.3
-1.2\t</s>
-0.5\tab\t-0.2
-0.7\tba\t-0.1
-2.0\tcab

\\2-grams:
-0.2\t<s> ab
-0.1\tab ba
-0.3\tba </s>

\\end\\
"""


def test_an_arpa_file_is_read_and_asked_at_whole_words(tmp_path) -> None:
    path = tmp_path / "words.arpa"
    path.write_text(ARPA)
    model = read_arpa(path)
    assert (model.level, model.order) == ("word", 2)
    ten = math.log(10.0)
    expected = {"ab ba": -0.2 - 0.1 - 0.3, "ba": -0.3 - 0.7 - 0.3, "cab": -0.3 - 2.0 - 1.2, "hh": -0.3 - 1.0 - 1.2}
    for units in (UNITS, PIECES):
        for text, score in expected.items():
            if units.decode(units.encode(text)).strip() == text:
                assert _added(TokenScorer(model, units), units.encode(text)) == pytest.approx(score * ten), text
    for wrong, message in {
        "": "is no ARPA file",
        ARPA.replace("\\end\\", ""): "is cut short",
        ARPA.replace("-0.1\tab ba\n", ""): "has 3 n-grams of 2, but has 2",
        ARPA.replace("-0.5\tab", "x\tab"): "line 10",
        ARPA.replace("\\2-grams:", "\\two-grams:"): "expected the head of n-grams",
    }.items():
        path.write_text(wrong)
        with pytest.raises(DataError, match=message):
            read_arpa(path)
    with pytest.raises(DataError, match="does not exist"):
        read_arpa(tmp_path / "none.arpa")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="no ARPA file"):
        read_arpa(path)


def test_an_utterance_ends_after_silence_or_when_it_is_too_long() -> None:
    rule = EndpointRule(silence=0.5, nothing=2.0, most=4.0)
    decoder = ctc_decoder(UNITS, beam_size=4, frame_seconds=0.1)
    silence = np.full((1, len(UNITS)), -20.0)
    silence[0, 0] = -1e-6

    def frames_until_end():
        while not rule.ended(decoder):
            decoder.advance(silence)
        return decoder.frames

    decoder.advance(_said("ab", sharp=9.0, hold=1))
    assert not rule.ended(decoder)
    assert frames_until_end() == 4 + 5  # the last unit is in the fourth frame
    decoder.reset()
    assert frames_until_end() == 20
    decoder.reset()
    decoder.advance(np.repeat(_said("a", sharp=9.0)[1:2], 40, 0))
    assert rule.ended(decoder)
    with pytest.raises(UsageError, match="expected numbers above 0"):
        EndpointRule(silence=0.0)


def test_what_does_not_fit_is_refused() -> None:
    decoder = ctc_decoder(UNITS, beam_size=4)
    with pytest.raises(ShapeError, match=r"expected \(frames, 10\)"):
        decoder.advance(np.zeros((3, 4)))
    with pytest.raises(ShapeError, match=r"expected \(frames, features\)"):
        decoder.advance(np.zeros(4))
    with pytest.raises(UsageError, match="NaN or infinity"):
        decoder.advance(np.full((1, 10), np.nan))
    with pytest.raises(UsageError, match="n_best is 0"):
        decoder.finish(0)
    with pytest.raises(UsageError, match="a greedy search takes no scorer"):
        ctc_decoder(UNITS, scorer=fused(UNITS, [], 1.0))
    with pytest.raises(UsageError, match="beam_size is -1"):
        ctc_decoder(UNITS, beam_size=-1)
    decoder.advance(_said("ab"))
    kept = decoder.kept()
    for wrong in ({}, {**kept, "labels": [[99]]}, {**kept, "scores": kept["scores"][:, :1]}, {**kept, "blank": []}):
        with pytest.raises(UsageError, match="begin a new"):
            ctc_decoder(UNITS, beam_size=4).accept(wrong)
    assert ctc_decoder(UNITS, beam_size=4).finish()[0].text == ""


def test_what_scorers_forbid_throughout_leaves_an_empty_text() -> None:
    scores = np.full((3, len(UNITS)), -np.inf)
    scores[:, 5] = 0.0
    decoder = ctc_decoder(UNITS, beam_size=4, scorer=fused(UNITS, [(Lexicon(["ab"], UNITS), 1.0)]))
    assert decoder.decode(scores)[0].text == ""
