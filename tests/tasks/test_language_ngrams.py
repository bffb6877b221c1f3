"""N-grams by Kneser and Ney, against what is written out with dictionaries, and their mixture with a network."""

import gzip
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato
from ostinato import LanguageModel
from ostinato.tasks.base.kneser_ney import KneserNey, Level, count, discounts
from ostinato.tasks.language.adapting import DynamicEvaluation
from ostinato.tasks.language.cache import NeuralCache
from ostinato.tasks.language.generation import Sampling, generate_tokens
from ostinato.tasks.language.mixing import Gate, fit_gate, mixed_losses
from ostinato.tasks.language.reading import token_losses
from ostinato.tasks.language.suiting import suited_dropout, suited_output, suited_rows, ties_weights
from ostinato.tasks.language.texts import Texts, best_order

RNG = np.random.default_rng(0)
WORDS = [f"w{n}" for n in range(60)]
LINES = [" ".join(RNG.choice(WORDS, 8, p=np.arange(60, 0, -1) / 1830)) for _ in range(150)]
QUIET = {"progress": False, "steps": 16, "batch_size": 8, "hidden_size": 16, "epochs": 2}


# --- counting --------------------------------------------------------------------------------------------------------


class ByHand:
    """The equations of Chen and Goodman, section 4.1, with dictionaries."""

    def __init__(self, text, symbols, order):
        self.symbols, self.tables = symbols, []
        for size in range(1, order + 1):
            grams = [tuple(text[i : i + size]) for i in range(len(text) - size + 1)]
            if size < order:
                longer = {tuple(text[i : i + size + 1]) for i in range(len(text) - size)}
                counts = Counter(dict.fromkeys(grams, 1))  # what nothing came before counts once
                counts.update(gram[1:] for gram in longer)
                counts.subtract({gram: 1 for gram in grams if gram in {own[1:] for own in longer}})
            else:
                counts = Counter(grams)
            followers = defaultdict(dict)
            for gram, own in counts.items():
                followers[gram[:-1]][gram[-1]] = own
            self.tables.append((followers, discounts(np.array(sorted(counts.values())))))

    def chance(self, context, symbol, size=None):
        size = len(self.tables) if size is None else size
        if size == 0:
            return 1 / self.symbols
        shorter = self.chance(context, symbol, size - 1)
        own = (
            self.tables[size - 1][0].get(tuple(context[len(context) - size + 1 :]))
            if size <= len(context) + 1
            else None
        )
        if own is None:
            return shorter
        cut, total = self.tables[size - 1][1], sum(own.values())
        left = sum(cut[min(n, 3)] for n in own.values()) / total
        return max(own.get(symbol, 0) - cut[min(own.get(symbol, 0), 3)], 0) / total + left * shorter


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=4, max_size=40), st.lists(st.integers(0, 4), min_size=2, max_size=12),
    st.integers(1, 4),
)  # fmt: skip
def test_ngrams_are_those_of_the_equations_and_add_up_to_one(text, test, order) -> None:
    model = count(np.array(text), 5, order).of_order(order)
    hand = ByHand(text, 5, order)
    expected = [-math.log(hand.chance(test[:i], test[i])) for i in range(1, len(test))]
    np.testing.assert_allclose(model.losses(np.array(test)), expected, rtol=1e-4)
    for i in range(len(test)):
        assert model.distribution(test[:i]).sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("most", [10**6, 60, 25, 8])
def test_a_text_read_at_once_is_read_place_by_place_however_many_ngrams_are_kept(most, monkeypatch) -> None:
    text, test = RNG.integers(1, 6, 300), RNG.integers(0, 7, 40)
    model = count(text, 7, 4, unknown=0).of_order(4, most=most)
    assert model.size <= max(most, 5)
    reading = model.read(test)
    for i in range(1, len(test)):
        probabilities, left = model.distributions(test[:i].tolist())
        np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-9)
        np.testing.assert_allclose(reading.probabilities[:, i - 1], probabilities[:, test[i]])
        np.testing.assert_allclose(reading.left[:, i - 1], left)
    monkeypatch.setattr("ostinato.tasks.base.kneser_ney._PIECE", 7)
    np.testing.assert_allclose(model.losses(test), -np.log(reading.probabilities[-1]))


def test_what_is_unknown_is_as_likely_as_what_came_once() -> None:
    text = np.array([1, 1, 2, 3, 1, 2, 1, 4, 5, 1, 2, 1])  # 3, 4 and 5 came once, in 12 places
    assert count(text, 8, 1, unknown=0).of_order(1).distribution([])[0] == pytest.approx(3 / 12, abs=0.05)
    assert count(text, 8, 1).of_order(1).distribution([])[0] < 0.1


def test_on_penn_treebank_the_five_gram_has_the_published_perplexity() -> None:
    folder = Path(__file__).parents[3] / "shared" / "data" / "ptb"
    if not folder.exists():
        pytest.skip("the Penn Treebank is not in ../shared/data")
    whole = gzip.decompress((folder / "ptb.train.txt.gz").read_bytes()).decode()
    train, test = (
        [word for line in text.splitlines() for word in [*line.split(), "</s>"]]
        for text in (whole, (folder / "ptb.test.txt").read_text())
    )
    index = {word: number for number, word in enumerate(sorted(set(train)))}
    model = count(np.array([index[word] for word in train]), len(index), 5).of_order(5)
    loss = model.losses(np.array([index[word] for word in test])).mean()
    # T. Mikolov et al., "Empirical evaluation and combination of advanced language modeling techniques", 2011: 141.2
    assert math.exp(loss) == pytest.approx(141.2, rel=0.01)


def test_the_order_is_the_one_that_predicts_the_validation_text_best() -> None:
    pattern = np.array([1, 2, 1, 3] * 100)
    counted = count(pattern, 5, 5)
    losses = [counted.of_order(order).losses(pattern[:40]).mean() for order in range(1, 6)]
    assert best_order(counted, pattern[:40]).order == 1 + int(np.argmin(losses)) > 1
    noise = RNG.integers(0, 5, 300)
    assert best_order(count(noise, 5, 5), RNG.integers(0, 5, 200)).order <= 2


def test_ngrams_that_do_not_belong_together_are_refused() -> None:
    model = count(RNG.integers(0, 4, 50), 4, 2).of_order(2)
    first, second = model.levels
    for levels, floor in [
        ((), model.floor),
        ((Level(first.keys[::-1].copy(), first.shares), second), model.floor),
        ((Level(first.keys, first.shares * 3), second), model.floor),
        ((first, Level(second.keys + 100, second.shares)), model.floor),
        ((first, Level(second.keys, second.shares[1:])), model.floor),
        (model.levels, model.floor * 2),
        (model.levels, model.floor[1:]),
    ]:
        with pytest.raises(ValueError, match="level|share|n-grams"):
            KneserNey(4, levels, floor)


# --- the mixture -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel(level="word", validation=0.2, **QUIET).fit(LINES)


def test_the_gate_finds_who_knows_better_where() -> None:
    sides = RNG.random(4000) < 0.5
    seen = np.stack([sides + 0.1 * RNG.normal(size=4000), RNG.normal(size=4000)], 1)
    good, bad = np.log(np.where(sides, 0.9, 0.1)), np.where(sides, 0.1, 0.9)
    gate = fit_gate(good, bad, seen)
    shares = gate.shares(seen)
    assert shares[sides].mean() > 0.85
    assert shares[~sides].mean() < 0.15
    assert mixed_losses(good, bad, shares).mean() < 0.4
    few = fit_gate(good[:3], bad[:3], seen[:3]).shares(seen)
    assert few.min() > 0.2  # hardly anything is known
    assert few.max() < 0.8


def test_a_model_is_not_behind_the_ngrams_that_it_is_mixed_with(model) -> None:
    scores = model.scores_
    ngrams = next(name for name in scores.values if "Kneser-Ney" in name)
    assert scores.values["model"]["nats"] < scores.values[ngrams]["nats"] + 0.03
    assert "% of the words unknown in training" in scores.protocol
    assert f"{model.fitted_.model.encoder.ngrams.order}-gram, Kneser-Ney" == ngrams


@pytest.mark.parametrize("options", [{}, {"output": "adaptive"}, {"output": "sampled", "samples": 8}])
def test_probabilities_add_up_to_one_and_are_those_that_a_text_is_scored_by(options) -> None:
    own = LanguageModel(level="word", **QUIET, **options).fit(LINES)
    words = LINES[0].split()
    probabilities = own.predict_proba([" ".join(words[:n]) for n in range(1, len(words))])
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    names = own.classes_
    expected = [-math.log(row[names.index(word)]) for row, word in zip(probabilities, words[1:], strict=True)]
    fitted = own.fitted_.model
    tokens = np.array(fitted.encoder.vocabulary.encode(LINES[0]), np.int32)
    losses = token_losses(fitted.network, tokens, mixture=fitted.encoder.mixture)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_tokens_are_drawn_by_the_probabilities_of_the_mixture(model) -> None:
    fitted = model.fitted_.model
    prompt = fitted.encoder.vocabulary.encode("w1 w0")
    probabilities = model.predict_proba(["w1 w0"])[0]
    drawn = Counter(
        next(generate_tokens(fitted.network, prompt, Sampling(), never=(), seed=seed, mixture=fitted.encoder.mixture))
        for seed in range(600)
    )
    likely = np.argsort(-probabilities)[:5]
    np.testing.assert_allclose([drawn[int(token)] / 600 for token in likely], probabilities[likely], atol=0.06)


def test_lines_pushed_one_by_one_and_a_text_in_pieces_have_the_same_losses(model, monkeypatch) -> None:
    fitted = model.fitted_.model
    vocabulary = fitted.encoder.vocabulary
    lines = [*LINES[:4], "w1 zebra w2"]
    stream = model.stream()
    answers = [stream.push(line) for line in lines]
    assert [answer["unknown"] for answer in answers] == [0, 0, 0, 0, 1]
    tokens = [vocabulary.specials.eos]
    for line in lines:
        tokens += [*vocabulary.encode(line), vocabulary.specials.eos]
    whole = token_losses(fitted.network, np.array(tokens), mixture=fitted.encoder.mixture) / math.log(2)
    assert [bits for answer in answers for _, bits in answer["surprisal"]] == pytest.approx(whole.tolist(), abs=2e-3)
    monkeypatch.setattr("ostinato.tasks.language.reading._PIECE", 5)
    pieces = token_losses(fitted.network, np.array(tokens), mixture=fitted.encoder.mixture) / math.log(2)
    np.testing.assert_allclose(pieces, whole, rtol=1e-5)
    second = model.stream()
    second.push(lines[0])
    third = model.stream()
    third.restore(second.state())
    assert third.push(lines[1]) == answers[1]


@pytest.mark.parametrize(
    "way",
    [{"cache": NeuralCache(share=0.2)}, {"dynamic": DynamicEvaluation()}, {"dynamic": True, "cache": True}],
)
def test_a_cache_and_dynamic_evaluation_go_with_the_mixture(model, way) -> None:
    scores = model.evaluate(LINES[:20], **way)
    assert math.isfinite(scores["nats"])
    assert scores.values["model as trained"] == model.evaluate(LINES[:20]).model


def test_a_mixture_is_saved_once_and_read_again(model, tmp_path) -> None:
    folder = model.save(tmp_path / "m")
    other = ostinato.load(folder)
    assert other.generate("w1 ", length=20, seed=2) == model.generate("w1 ", length=20, seed=2)
    assert other.evaluate(LINES[:9]).values == model.evaluate(LINES[:9]).values
    kept = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    weights = sum(own.numel() * 4 for own in model.fitted_.model.network.parameters())
    assert kept < weights + 12 * model.fitted_.model.encoder.ngrams.size + 40_000


def test_without_a_validation_part_each_has_half_and_without_ngrams_the_network_stands_alone() -> None:
    half = LanguageModel(level="word", **QUIET, validation=0.0).fit(LINES).fitted_.model.encoder
    assert Gate.even(half.ngrams.order).shares(np.zeros((1, half.gate.features)))[0] == 0.5
    assert not half.gate.hidden.any()
    alone = LanguageModel(level="word", **QUIET, ngrams=False).fit(LINES)
    assert alone.fitted_.model.encoder.mixture is None
    assert any("Kneser-Ney" in name for name in alone.scores_.values)


def test_an_update_keeps_the_ngrams_and_fits_the_gate_again(model) -> None:
    own = LanguageModel(level="word", validation=0.2, **QUIET).fit(LINES)
    before = own.fitted_.model.encoder
    own.update(LINES[::-1] * 2, epochs=2)
    after = own.fitted_.model.encoder
    assert after.ngrams is before.ngrams
    assert math.isfinite(own.score(LINES[:9]))


# --- what suits a text -----------------------------------------------------------------------------------------------


def test_words_that_came_once_are_read_as_unknown_half_of_the_time_and_so_an_unknown_word_is_no_surprise() -> None:
    once = [f"{line} name{number}" for number, line in enumerate(LINES)]
    own = LanguageModel(level="word", ngrams=False, **{**QUIET, "epochs": 4}).fit(once)
    task, fitted = own.task, own.fitted_.model
    tokens = task.encode(fitted, task.read(own, once[:100]))
    source = task.batches(fitted, tokens, training=True)
    unknown = [int(sum((batch.data.targets == 1).sum() for batch in source.batches(epoch))) for epoch in (0, 1)]
    assert unknown == [int(sum((batch.data.targets == 1).sum() for batch in source.batches(e))) for e in (0, 1)]
    assert all(25 < number < 75 for number in unknown)
    assert len(list(source.batches(0))) == len(source)
    chance = own.predict_proba([LINES[3]])[0][1]
    assert chance > 1 / len(own.classes_)


def test_small_texts_have_more_dropout_and_fewer_rows_than_large_ones() -> None:
    words = LanguageModel(level="word")
    assert suited_dropout(words, 10_000)[0] > suited_dropout(words, 10_000_000)[0]
    assert suited_dropout(LanguageModel(level="word", dropout=0.1), 10_000) == (0.1, 0.0)
    assert suited_rows(words, 10_000) < suited_rows(words, 10_000_000)
    assert suited_rows(LanguageModel(batch_size=3), 10) == 3
    assert suited_output(words, 20_000, 10**6) == "sampled"
    assert suited_output(words, 20_000, 10**4) == suited_output(words, 500, 10**6) == "softmax"
    assert suited_output(LanguageModel(output="softmax"), 20_000, 10**6) == "softmax"
    assert ties_weights(words)
    assert not ties_weights(LanguageModel())
    assert not ties_weights(LanguageModel(level="word", output="adaptive"))


def test_passes_suit_the_size_of_a_text_and_use_all_of_a_time_that_is_said() -> None:
    task, small, large = LanguageModel.task, Texts("x", ("a" * 100_000,)), Texts("x", ("a" * 2_000_000,))
    assert task.config(LanguageModel(), small).epochs > task.config(LanguageModel(), large).epochs
    assert task.config(LanguageModel(max_seconds=60.0), large).epochs == task.suited.most
    assert task.config(LanguageModel(max_seconds=60.0, epochs=2), large).epochs == 2


def test_a_line_of_spaces_is_an_empty_line(model) -> None:
    assert model.stream().push("    ") == model.stream().push("")
    assert torch.isfinite(torch.tensor(model.evaluate(["w1 w2", "     ", "w3"])["nats"]))
