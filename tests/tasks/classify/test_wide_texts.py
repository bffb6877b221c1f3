"""The wide part of a text classifier, how it is weighed beside the network, and long texts in chunks."""

from itertools import pairwise

import numpy as np
import pytest
import torch

import ostinato
from ostinato import TextClassifier
from ostinato.data.text import WordVocabulary, split_words
from ostinato.errors import CorruptArtifact
from ostinato.tasks.base.linear import Linear, choose_strength, fit_linear
from ostinato.tasks.base.mixing import Mix
from ostinato.tasks.classify.chunks import Chunks, some_chunks
from ostinato.tasks.classify.terms import Terms
from ostinato.tasks.classify.text_wide import Wide

sklearn = pytest.importorskip("sklearn")
WORDS = WordVocabulary((), "words", lower=True)
QUIET = {"progress": False, "hidden_size": 8, "embedding_size": 8, "epochs": 1, "batch_size": 16}
RNG = np.random.default_rng(0)
TEXTS = [" ".join(RNG.choice(["good", "bad", "not", "very", "film", "plot", ",", "dull"], 7)) for _ in range(120)]
NEGATED = np.array([int("not good" in text) for text in TEXTS])


def _with_pairs(text: str) -> list[str]:
    found = split_words(text.lower(), "words")
    return found + [f"{a} {b}" for a, b in pairwise(found)]


def _parts(text: str) -> list[str]:
    words = [f" {word} " for word in split_words(text.lower(), "words")]
    return [w[i : i + n] for w in words for n in range(1, 6) for i in range(len(w) - n + 1) if w[i : i + n] != " "]


# --- what is counted -------------------------------------------------------------------------------------------------


def test_terms_weigh_as_scikit_learn_weighs_words_with_pairs_and_parts_of_words() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    train, new = TEXTS[:40], ["Not good, a film", "plotting unseen words", ""]
    terms = Terms.of(WORDS, train, 10**6)
    sizes = []
    for analyzer in (_with_pairs, _parts):
        oracle = TfidfVectorizer(analyzer=analyzer, sublinear_tf=True).fit(train)
        sizes.append(len(oracle.vocabulary_))
        wanted = oracle.transform(new) @ oracle.transform(train).T
        found = [terms.weighted(own)[:, _block(sizes)] for own in (new, train)]
        assert (found[0] @ found[1].T).toarray() * 2 == pytest.approx(wanted.toarray(), abs=1e-12)
    assert len(terms) == sum(sizes)


def _block(sizes: list[int]) -> slice:
    return slice(sum(sizes[:-1]), sum(sizes))


def test_the_most_frequent_terms_are_kept_where_there_are_too_many() -> None:
    terms = Terms.of(WORDS, [*TEXTS, "seldom"], 5)
    assert len(terms) == 15
    assert "seldom" not in terms.names(range(5))
    assert all(" " in name for name in terms.names(range(5, 10)))


def test_a_text_alone_counts_as_the_text_among_others() -> None:
    terms = Terms.of(WORDS, TEXTS, 10**6)
    together = terms.weighted(TEXTS)
    for row in (0, 7, 50):
        assert (terms.weighted([TEXTS[row]]) != together[row]).nnz == 0


# --- the linear layer ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
def test_the_layer_is_the_logistic_regression_of_scikit_learn(classes) -> None:
    from sklearn.linear_model import LogisticRegression

    numbers, targets = Terms.of(WORDS, TEXTS, 10**6).weighted(TEXTS), RNG.integers(0, classes, len(TEXTS))
    own = fit_linear(numbers, targets, classes, 2.0, np.ones(len(TEXTS)), iterations=500)
    oracle = LogisticRegression(C=2.0, max_iter=1000, tol=1e-6).fit(numbers, targets)
    assert np.exp(own.log_probabilities(numbers)) == pytest.approx(oracle.predict_proba(numbers), abs=2e-3)


def test_noise_gets_a_stronger_penalty_than_what_can_be_learned() -> None:
    numbers, ones = Terms.of(WORDS, TEXTS, 10**6).weighted(TEXTS), np.ones(len(TEXTS))
    noise = np.random.default_rng(1).integers(0, 2, len(TEXTS))
    chance, told = (choose_strength(numbers, wanted, 2, ones, 0) for wanted in (noise, NEGATED))
    assert chance.scale < 0.8 * told.scale  # it is less confident of what it tells apart by chance
    assert choose_strength(numbers[:4], NEGATED[:4], 2, ones[:4], 0) == (16.0, 1.0)  # too few to choose by


def test_pairs_tell_what_single_words_cannot() -> None:
    wide = Wide.fit(TEXTS, NEGATED, np.ones(2), WORDS, 0)
    right = wide.log_probabilities(["a not good film", "good , not a film", "not very good"]).argmax(1)
    assert right.tolist() == [1, 0, 0]
    assert wide.reasons("a not good film", 1)[0] == "not good"
    assert wide.speaking(["no", "yes"]).rows[1][1].startswith("not good")


def test_scripts_without_spaces_are_told_apart_by_their_parts() -> None:
    rng = np.random.default_rng(0)
    letters = list("的一是不了人我在有他这为之大来以个中上们")
    labels = [row % 2 for row in range(200)]
    drawn = ["".join(rng.choice(letters, 12)) for _ in labels]
    texts = [own[:6] + ("喜欢" if label else "讨厌") + own[6:] for own, label in zip(drawn, labels, strict=True)]
    wide = Wide.fit(texts[:150], np.array(labels[:150]), np.ones(2), WORDS, 0)
    assert (wide.log_probabilities(texts[150:]).argmax(1) == labels[150:]).all()


# --- weighed beside the network --------------------------------------------------------------------------------------


def _logs(right: float, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return log-probabilities of a part that is right so often and says so, and the true classes."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    said = np.where(rng.random(count) < right, targets, 1 - targets)
    probabilities = np.full((count, 2), 1 - right)
    probabilities[np.arange(count), said] = right
    return np.log(probabilities), targets


def test_the_better_part_has_the_say_of_many_texts_and_few_change_little() -> None:
    good, targets = _logs(0.9, 2000, 0)
    poor, _ = _logs(0.5001, 2000, 1)
    for wide, deep in ((good, poor), (poor, good)):
        mix = Mix.found(wide, deep, targets, Mix())
        found = mix.scores(wide, deep).argmax(1)
        assert (found == targets).mean() == (good.argmax(1) == targets).mean()
    few = Mix.found(poor[:2], good[:2], targets[:2], Mix())
    assert abs(few.wide - Mix().wide) < 0.3
    assert abs(few.deep - Mix().deep) < 0.7


def test_two_parts_that_know_different_things_are_better_than_either() -> None:
    first, targets = _logs(0.8, 4000, 0)
    second, _ = _logs(0.75, 4000, 1)
    third, _ = _logs(0.8, 4000, 2)
    wide, deep = first + second, third
    mix = Mix.found(wide, deep, targets, Mix())
    right = [(own.argmax(1) == targets).mean() for own in (mix.scores(wide, deep), wide, deep)]
    assert right[0] > max(right[1:])


@pytest.fixture(scope="module")
def model() -> TextClassifier:
    return TextClassifier(test=0.0, **QUIET).fit(TEXTS, NEGATED)


def test_a_model_answers_as_its_parts_weighed(model) -> None:
    encoder = model.fitted_.model.encoder
    assert encoder.mix.wide > encoder.mix.deep  # one epoch of eight units has learned nothing
    said = dict(model.summary_.data)["wide part"]
    assert f"{encoder.mix.wide:.2f} wide" in said
    assert str(encoder.mix) in model.summary_.settings["wide"]
    assert (model.predict(TEXTS) == NEGATED).mean() > 0.95
    assert [row[0] for row in model.summary_.panels[-1].rows] == ["0", "1"]


def test_a_model_without_its_wide_part_is_the_network_alone() -> None:
    alone = TextClassifier(test=0.0, wide=False, **QUIET).fit(TEXTS, NEGATED)
    encoder = alone.fitted_.model.encoder
    assert encoder.wide is encoder.mix is None
    assert encoder.temperature != 1
    assert "wide part" not in dict(alone.summary_.data)


def test_what_is_saved_answers_to_the_same_bits_and_other_weights_are_refused(model, tmp_path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = model.save(tmp_path / "m")
    asked = [*TEXTS[:9], "", "unseen words", "日本語"]
    assert (ostinato.load(folder).predict_proba(asked) == model.predict_proba(asked)).all()
    encoder = model.fitted_.model.encoder
    with pytest.raises(ValueError, match="terms"):
        Wide(encoder.wide.terms, Linear(encoder.wide.linear.weights[1:], encoder.wide.linear.offsets), 1.0)
    file = next(folder.glob("*.safetensors"))
    arrays = load_file(file)
    name = next(own for own in arrays if own.endswith("linear.weights"))
    save_file({**arrays, name: arrays[name][:-1]}, file)
    with pytest.raises(CorruptArtifact):
        ostinato.load(folder)


def test_classes_that_count_more_count_more_in_the_wide_part() -> None:
    drawn = np.random.default_rng(2).integers(0, 2, len(TEXTS))
    probabilities = [
        TextClassifier(test=0.0, class_weights={0: 1.0, 1: weight}, **QUIET).fit(TEXTS, drawn)
        .fitted_.model.encoder.wide.log_probabilities(TEXTS)[:, 1].mean()
        for weight in (1.0, 20.0)
    ]  # fmt: skip
    assert probabilities[1] > probabilities[0]


def test_the_wide_part_learns_from_the_validation_texts_once_weights_are_chosen_on_them() -> None:
    held = ["a zebra", "zebra stripes", "one zebra more", "no stripes"], [1, 1, 1, 0]
    given = {**QUIET, "test": 0.0}
    fitted = TextClassifier(**given).fit(TEXTS, NEGATED, validation=held)
    encoder = fitted.fitted_.model.encoder
    assert encoder.wide.whole
    assert "zebra" in encoder.wide.terms.names(range(len(encoder.wide.terms)))
    assert encoder.wide.log_probabilities(["zebra"])[0, 1] > np.log(0.5)
    # what has been learned from says nothing of how well it is calibrated
    assert "validation part" not in dict(fitted.summary_.data)["calibration"]
    apart = TextClassifier(**{**given, "validation": 0.0}).fit(TEXTS, NEGATED)
    assert not apart.fitted_.model.encoder.wide.whole


def test_an_update_keeps_the_wide_part_and_weighs_both_again(model, tmp_path) -> None:
    own = ostinato.load(model.save(tmp_path / "m"))
    before = own.fitted_.model.encoder
    own.update((TEXTS, NEGATED), epochs=2, learning_rate=1e-2)
    after = own.fitted_.model.encoder
    assert (after.wide.linear.weights == before.wide.linear.weights).all()


# --- long texts ------------------------------------------------------------------------------------------------------


def test_what_is_cut_and_joined_is_as_it_was() -> None:
    lengths = torch.tensor([1, 5, 8, 9, 23, 16])
    xs = torch.randn(23, 6, 3)
    chunks = Chunks.of(lengths, 8)
    assert int(chunks.lengths.max()) <= 8
    assert int(chunks.lengths.min()) >= 1
    assert int(chunks.lengths.sum()) == int(lengths.sum())
    joined = chunks.joined(chunks.cut(xs), 23)
    for row, length in enumerate(lengths.tolist()):
        assert torch.equal(joined[:length, row], xs[:length, row])


def test_chunks_that_are_drawn_are_pieces_of_the_text_in_their_order() -> None:
    lengths = torch.tensor([100, 3, 40])
    tokens = torch.arange(100)[:, None].expand(100, 3)
    shorter, counts = some_chunks(tokens, lengths, 10, 3)
    assert counts.tolist() == [30, 3, 30]
    for row, count in enumerate(counts.tolist()):
        own = shorter[:count, row]
        assert (own.diff() > 0).all()
        assert int((own.diff() > 1).sum()) <= 2
    again, _ = some_chunks(tokens, lengths, 10, 3)
    assert not torch.equal(again, shorter)
    same, _ = some_chunks(tokens, lengths, 50, 3)
    assert same is tokens


@pytest.mark.parametrize("pooling", ["max", "attention", "mean+last"])
def test_no_text_is_cut_its_last_word_counts(pooling) -> None:
    own = TextClassifier(test=0.0, wide=False, chunk=8, train_chunks=2, pooling=pooling, **QUIET).fit(TEXTS, NEGATED)
    network, encoder = own.fitted_.model.network, own.fitted_.model.encoder
    long = " ".join(TEXTS * 3)
    tokens = torch.tensor(encoder.vocabulary.encode(long))[:, None].repeat(1, 2)
    assert len(tokens) > 100 * 8
    tokens[-1, 1] = (tokens[-1, 0] - 3) % 4 + 4  # the same text but for its last word
    with torch.no_grad():
        outputs = network.outputs(*network.front(tokens, torch.tensor([len(tokens)] * 2)))
        scores = network(tokens, torch.tensor([len(tokens)] * 2))
    assert not torch.equal(outputs[-1, 0], outputs[-1, 1])
    assert scores.isfinite().all()
    if pooling != "max":
        assert not torch.equal(scores[0], scores[1])


def test_long_texts_are_passed_over_less_often() -> None:
    from ostinato.tasks.classify.examples import Examples

    def epochs(length: int, **options: object) -> int:
        own = TextClassifier(**options)
        return own.task.config(own, Examples("", ("a " * length,) * 3200)).epochs

    assert epochs(20) == epochs(100) > epochs(400) == epochs(511) == epochs(5000)
    assert epochs(20) > epochs(20, level="character", batch_size=16)


# --- very many classes -----------------------------------------------------------------------------------------------


def test_weights_of_very_many_classes_are_no_more_than_memory_is_meant_to_hold(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcdefgh"), 6)) + f" {own}" for own in range(400)]
    monkeypatch.setattr("ostinato.tasks.classify.text_wide._HELD", 40_000)
    wide = Wide.fit(texts, np.arange(400) // 2, np.ones(200), WORDS, 0)
    assert wide.linear.weights.size <= 3 * 40_000


def test_the_name_of_a_bag_of_words_says_how_many_terms_there_was_room_for(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("ostinato.tasks.classify.text_baselines._HELD", 0)
    monkeypatch.setattr("ostinato.tasks.classify.text_baselines._LEAST", 5)
    model = TextClassifier(**QUIET).fit(TEXTS, NEGATED)
    name = "bag of words, logistic regression (5 words and pairs)"
    assert name in model.scores_.values
    model.save(tmp_path / "model")
    assert name in ostinato.load(tmp_path / "model").evaluate(TEXTS, NEGATED).values
