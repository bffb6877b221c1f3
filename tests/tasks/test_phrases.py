"""Translation by phrases: words and back, alignment, search, and phrases beside a network."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato
from ostinato import Translator
from ostinato.tasks.base.searching.search import Hypothesis, Search
from ostinato.tasks.translate.mix import Mix
from ostinato.tasks.translate.phrases import search
from ostinato.tasks.translate.phrases.decoder import decode
from ostinato.tasks.translate.phrases.search import FEATURES, WEIGHTS
from ostinato.tasks.translate.phrases.table import BOUND, learn_phrases
from ostinato.tasks.translate.phrases.tuning import bleu, bleu_parts, some_of, tuned_weights
from ostinato.tasks.translate.phrases.unknown import Stand
from ostinato.tasks.translate.phrases.words import Casing, text_of, words_of
from ostinato.tasks.translate.task import languages_of, together_of
from ostinato.tasks.translate.together import _Pool, ordered
from ostinato.tasks.translate.translating import Translation, log_probabilities, translate_texts

NOUNS = {"Hund": "dog", "Mann": "man", "Kind": "child", "Haus": "house", "Ball": "ball"}
ADJECTIVES = {"rot": "red", "blau": "blue", "klein": "small", "alt": "old"}
VERBS = {"sieht": "sees", "kauft": "buys", "malt": "paints"}
rng = np.random.default_rng(0)


def made(count):
    """Return sentences in which the adjective comes after the noun, and the verb last."""
    pairs = []
    for _ in range(count):
        (a, b), (c, d) = rng.choice(list(NOUNS), 2), rng.choice(list(ADJECTIVES), 2)
        verb = rng.choice(list(VERBS))
        theirs = f"The {ADJECTIVES[c]} {NOUNS[a]} {VERBS[verb]} the {ADJECTIVES[d]} {NOUNS[b]}."
        pairs.append((f"Das {a} {c} das {b} {d} {verb}.", theirs))
    return pairs


PAIRS = made(300)
NEW = [pair for pair in made(120) if pair[0] not in {source for source, _ in PAIRS}][:40]
SMALL = {"progress": False, "patience": None, "level": "word", "hidden_size": 8, "epochs": 1}


@pytest.fixture(scope="module")
def table():
    return learn_phrases(PAIRS, how="word", lower=False, links=10**6)


@pytest.fixture(scope="module")
def model():
    return Translator(**SMALL).fit(PAIRS)


# --- words -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_characters="▁", exclude_categories=("Cs",)), max_size=30))
def test_a_text_comes_back_from_its_words(text) -> None:
    for how in ("word", "whitespace", "character"):
        assert text_of(words_of(text, how)).split() == text.split()


def test_scripts_without_spaces_and_numbers_are_split_as_people_do() -> None:
    assert words_of("我爱你。", "word") == ["▁我", "爱", "你", "。"]
    assert words_of("um 10:30 Uhr, 3,5 kg", "word") == ["▁um", "▁10:30", "▁Uhr", ",", "▁3,5", "▁kg"]
    assert words_of("नमस्ते दुनिया", "word") == ["▁नमस्ते", "▁दुनिया"]


def test_first_words_are_small_where_they_are_within_sentences_and_translations_begin_as_they_do() -> None:
    sources = [words_of(text, "word") for text in ("Das Haus ist alt.", "Tom sieht das Haus.", "Heute lacht Tom.")]
    casing = Casing.fit(sources, [words_of("The x", "word")] * 3)
    assert casing.source(words_of("Das Kind", "word")) == ["▁das", "▁Kind"]
    assert casing.source(words_of("Tom lacht", "word")) == ["▁Tom", "▁lacht"]
    assert casing.target("the child", words_of("Das Kind", "word")) == "The child"


def test_words_that_were_never_seen_are_those_that_stand_for_them() -> None:
    words = ["▁Eis", "▁Haus", "▁Hütte", "▁Lehrer", "▁fischer", "▁laufen", "▁rot"]
    stand = Stand(words, np.array([5, 9, 3, 4, 2, 6, 7]))
    assert stand.known(["▁Rot", "▁Eisfischerhütte", "▁Lehrers", "▁Zx", "▁7", "▁Haus"]) == [
        "▁rot", "▁Eis", "▁fischer", "▁Hütte", "▁Lehrer", "▁Zx", "▁7", "▁Haus",
    ]  # fmt: skip


# --- phrases ---------------------------------------------------------------------------------------------------------


def test_phrases_are_learned_with_their_order_and_put_together_in_new_sentences(table) -> None:
    found = [each[0].text for each in decode(table, [source for source, _ in NEW], WEIGHTS, 1)]
    right = sum(text == target for text, (_, target) in zip(found, NEW, strict=True))
    assert right >= 0.8 * len(NEW), found[:5]


def test_every_candidate_has_the_score_of_its_features_and_comes_once(table) -> None:
    for each in decode(table, [source for source, _ in NEW[:8]], WEIGHTS, 8):
        assert [one.score for one in each] == sorted((one.score for one in each), reverse=True)
        assert len({one.text for one in each}) == len(each)
        for one in each:
            assert one.score == pytest.approx(float(one.features @ np.array(WEIGHTS)), abs=1e-6)


def by_trying_all(table, source, weights):
    """Return the score of the best translation of a short source, by every way to cut, order and translate it."""
    words = table.looked_up(table.words(source))
    numbers = np.array([table.numbers[word] for word in words])
    options = []
    for length, (begins, firsts, stops) in enumerate(table.entries(numbers, np.zeros(len(words), np.int64)), 1):
        for begin, first, stop in zip(begins, firsts, stops, strict=True):
            options += [(int(begin), int(begin) + length, entry) for entry in range(first, stop)]
    best = -math.inf

    def go(covered, end, target, score):
        nonlocal best
        if len(covered) == len(words):
            text = np.array([BOUND, BOUND, *target, BOUND])
            logs = float(np.log(table.ngrams.read(text, given=2).probabilities[-1]).sum())
            best = max(best, score + weights[4] * logs)
            return
        for begin, stop, entry in options:
            if covered.isdisjoint(range(begin, stop)):
                new = [int(word) for word in table.targets[entry] if word >= 0]
                own = float(table.scores[entry].astype(float) @ np.array(weights[:4])) + weights[5] * len(new)
                own += weights[6] - weights[7] * abs(begin - end)
                go(covered | set(range(begin, stop)), stop, [*target, *new], score + own)

    go(frozenset(), 0, [], 0.0)
    return best


def test_the_search_finds_what_trying_everything_finds(monkeypatch) -> None:
    few = learn_phrases([*PAIRS[:12], ("das Haus", "the house"), ("rot", "red")], how="word", lower=False, links=10**6)
    monkeypatch.setattr(search, "_BEAM", 500)
    monkeypatch.setattr(search, "_TRIED", 5000)
    for source in ("das Haus rot", "Das Hund blau", "Haus das alt"):
        found = decode(few, [source], WEIGHTS, 1)[0][0]
        assert found.score == pytest.approx(by_trying_all(few, source, WEIGHTS), abs=1e-5)


def test_sources_are_translated_alone_as_among_others_and_long_and_empty_ones_too(table) -> None:
    sources = ["", "Das Hund rot das Ball alt malt. " * 12, *[source for source, _ in NEW[:5]], "7 Wxyz 12:30"]
    together = decode(table, sources, WEIGHTS, 3)
    alone = [decode(table, [source], WEIGHTS, 3)[0] for source in sources]
    assert [[one.text for one in each] for each in together] == [[one.text for one in each] for each in alone]
    assert together[0] == []
    assert together[1][0].text.lower().count("the red dog paints the old ball") >= 10
    assert together[-1][0].text.split() == ["7", "Wxyz", "12:30"]
    compounds = decode(table, [" ".join(["Hundballhaus"] * 45)], WEIGHTS, 1)[0][0].text.split()
    assert len(compounds) >= 3 * 45


def test_sequences_of_characters_are_phrases_too() -> None:
    pairs = [(word, word.replace("a", "o").replace("ch", "k")) for word in ("bach", "dach", "lache", "acht", "cha")] * 4
    own = learn_phrases(pairs, how="character", lower=False, links=10**6)
    assert decode(own, ["bacht"], WEIGHTS, 1)[0][0].text == "bokt"


def test_pairs_without_words_have_no_phrases() -> None:
    assert learn_phrases([], how="word", lower=False, links=10) is None
    assert learn_phrases([("", "")], how="word", lower=False, links=10) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda own: {"targets": own.targets[1:]},
        lambda own: {"targets": np.full_like(own.targets, len(own.target))},
        lambda own: {"scores": np.full_like(own.scores, np.nan)},
        lambda own: {"scores": np.abs(own.scores) + 1},
        lambda own: {"keys": tuple(each[::-1] for each in own.keys)},
        lambda own: {"starts": tuple(each + 5 for each in own.starts)},
        lambda own: {"often": own.often - 10**6},
        lambda own: {"source": own.source[::-1]},
        lambda own: {"target": own.target[:-1]},
        lambda own: {"how": "somehow"},
    ],
)
def test_a_changed_file_is_refused(table, change) -> None:
    with pytest.raises(ValueError, match="."):
        dataclasses.replace(table, **change(table))


# --- weights ---------------------------------------------------------------------------------------------------------


def test_bleu_is_that_of_papineni_with_one_more_of_longer_ngrams() -> None:
    assert bleu(bleu_parts("a b c d e", "a b c d e", "word")) == pytest.approx(100)
    assert bleu(bleu_parts("x", "a b", "word")) == 0
    parts = bleu_parts("the cat sat", "the cat sat down", "word")
    assert parts.tolist() == [3, 3, 2, 2, 1, 1, 0, 0, 3, 4]
    assert bleu(parts) == pytest.approx(100 * math.exp(1 - 4 / 3))


def test_tuned_weights_are_no_worse_on_what_they_are_tuned_on_and_near_the_usual_ones_of_few_pairs(table) -> None:
    some = some_of(NEW, 20)

    def value(weights):
        found = decode(table, [source for source, _ in some], weights, 1)
        return bleu(sum(bleu_parts(each[0].text, pair[1], "word") for each, pair in zip(found, some, strict=True)))

    weights = tuned_weights(table, some)
    assert len(weights) == len(FEATURES)
    assert value(weights) >= value(WEIGHTS) - 1
    assert tuned_weights(table, []) == WEIGHTS


# --- with a network --------------------------------------------------------------------------------------------------


def test_a_model_of_a_network_that_knows_nothing_is_ahead_of_its_dictionary(model) -> None:
    scores = model.summary_.scores
    assert scores["model"]["BLEU"] > scores["word for word, IBM model 1"]["BLEU"] + 5
    assert "translations of phrases" in model.summary_.settings["phrases"]
    alone = Translator(**SMALL, phrases=False).fit(PAIRS)
    assert alone.summary_.scores["model"]["BLEU"] < 5
    assert "phrases" not in alone.task.settings(alone.fitted_.model)


def test_a_saved_model_says_the_same_streamed_or_not(model, tmp_path) -> None:
    model.save(tmp_path / "m")
    other = ostinato.load(tmp_path / "m")
    texts = [source for source, _ in NEW[:6]]
    assert other.translate(texts) == model.translate(texts)
    assert [other.stream().push(text)["translation"] for text in texts] == model.translate(texts, beam_size=1)
    assert ["".join(other.stream(text)) for text in texts] == model.translate(texts, beam_size=1)
    found = model.alternatives(texts[:2], beam_size=3)
    assert all(0 < len(each) <= 3 for each in found)
    assert all(len({one.text for one in each}) == len(each) for each in found)


def test_what_a_search_forbids_phrases_do_not_say(model) -> None:
    texts = [source for source, _ in NEW[:4]]
    for found in model.alternatives(texts, max_length=3, beam_size=2):
        assert all(len(one.hypothesis.tokens) <= 3 for one in found)
    for found in model.alternatives(texts, block_ngrams=1, beam_size=2):
        assert all(len(set(one.hypothesis.tokens)) == len(one.hypothesis.tokens) for one in found)


def test_the_networks_share_of_a_score_is_its_log_probability(model) -> None:
    languages = languages_of(model.fitted_.model)
    sources, targets = zip(*NEW[:5], strict=True)
    tokens = [languages.target.encode(text) for text in targets]
    found = log_probabilities(languages.network, [languages.read(text) for text in sources], tokens)
    for source, wanted, total in zip(sources, tokens, found, strict=True):
        own, specials = 0.0, languages.target.specials
        with torch.no_grad():
            state = languages.network.start(
                torch.tensor(languages.read(source))[:, None], torch.tensor([len(languages.read(source))])
            )
            for token, following in itertools.pairwise([specials.bos, *wanted, specials.eos]):
                scores, state = languages.network.step(torch.tensor([token]), state)
                own += float(scores.log_softmax(-1)[0, following])
        assert total == pytest.approx(own, rel=1e-4)


def test_a_network_that_is_better_alone_is_left_alone(model) -> None:
    own = together_of(model.fitted_.model)
    texts = [source for source, _ in NEW[:3]]
    alone = dataclasses.replace(own, mix=Mix(alone=True)).translate(texts, Search())
    plain = translate_texts(own.languages, texts, Search())
    assert [[one.text for one in each] for each in alone] == [[one.text for one in each] for each in plain]


def test_both_are_in_one_order_and_a_lost_number_costs() -> None:
    def said(text, log, score):
        return Translation(text, score, log, Hypothesis((5, 6), log, score))

    ours, theirs = [said("a 3", -1.0, 0.0)], [said("a 4", -9.0, -5.0), said("b 3", -9.0, -5.5)]
    first = ordered(ours, theirs, "x 3", Mix(share=0.1, length=0.0, behind=1.0))
    assert [one.text for one in first] == ["a 3", "b 3", "a 4"]
    assert [one.text for one in ordered(ours, [], "x 3", Mix())] == ["a 3"]
    pool = _Pool.of(ours, theirs, "x 3", "b 3", "word")
    for mix in (Mix(0.1, 0.0, 1.0), Mix(0.5, 0.6, 9.0), Mix(0.0, 0.0, 1e6), Mix(1.0, 0.3, -2.0)):
        chosen = ordered([] if mix.is_phrases else ours, theirs, "x 3", mix)[0].text
        assert ["a 4", "b 3", "a 3"][pool.best(mix)] == chosen
    for changed in ({"share": math.nan}, {"behind": math.inf}):
        with pytest.raises(ValueError, match="no numbers"):
            Mix(**changed)
