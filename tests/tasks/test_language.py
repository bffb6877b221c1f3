"""The language model: its loss, its baselines, what it writes, what it keeps."""

import itertools
import math
import time
from collections import Counter

import numpy as np
import pytest
import torch

import ostinato
from ostinato import LanguageModel
from ostinato.errors import ArtifactError, DataError, DataWarning, UsageError
from ostinato.tasks.base import running
from ostinato.tasks.language.generation import Sampling, draw
from ostinato.tasks.language.reading import Unigrams, token_losses
from ostinato.tasks.language.texts import Tokens

TEXT = "the cat sat on the mat. the dog sat on the log. a bird sang to the cat and the dog.\n" * 60
QUIET = {"progress": False, "steps": 16, "batch_size": 8}


def nats(model) -> dict[str, float]:
    return {name: own["nats"] for name, own in model.scores_.values.items()}


def tokens_of(numbers) -> Tokens:
    return Tokens(np.array(numbers, np.int32))


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel(hidden_size=48, epochs=6, learning_rate=1e-2, **QUIET).fit([TEXT])


# --- what it learns --------------------------------------------------------------------------------------------------


def test_a_repeating_text_is_learned_better_than_by_pairs(model) -> None:
    losses = nats(model)
    assert losses["model"] < 0.3
    ngrams = next(name for name in losses if name.endswith("-gram, Kneser-Ney"))
    assert losses["model"] < losses[ngrams] + 0.02
    assert losses[ngrams] < losses["unigram"]
    assert model.scores_["perplexity"] == pytest.approx(math.exp(losses["model"]))
    assert "perplexity" in str(model.scores_)


def test_the_loss_is_that_of_reading_token_by_token(model) -> None:
    network = model.fitted_.model.network
    tokens = model.fitted_.model.encoder.vocabulary.encode(TEXT[:700])
    state, total = network.start(1), 0.0
    with torch.no_grad():
        for token, following in itertools.pairwise(tokens):
            y, state = network.stack.step(network.embedding(torch.tensor([token])), state)
            total -= float(network.scores(y).log_softmax(-1)[0, following])
    assert token_losses(network, np.array(tokens, np.int32)).mean() == pytest.approx(
        total / (len(tokens) - 1), rel=1e-4
    )
    alone = LanguageModel(hidden_size=8, epochs=1, ngrams=False, **QUIET).fit([TEXT])
    losses = token_losses(alone.fitted_.model.network, np.array(tokens, np.int32))
    assert alone.score([TEXT[:700]]) == pytest.approx(-losses.mean(), rel=1e-6)


@pytest.mark.parametrize("level", ["character", "word", "subword"])
@pytest.mark.parametrize(
    "options",
    [
        {"cell": "gru", "num_layers": 2, "dropout": 0.2, "input_dropout": 0.1, "jitter": True},
        {"cell": "lstm", "tie_weights": True, "embedding_size": 12, "embedding_dropout": 0.1, "weight_drop": 0.3},
        {"cell": "transformer", "activation_regularization": 1.0, "temporal_activation_regularization": 1.0},
        {"output": "adaptive"},
        {"output": "sampled", "samples": 8, "tie_weights": True, "proposal": "log_uniform"},
        {"averaging": "ema", "averaging_decay": 0.9},
    ],
    ids=["gru", "awd-lstm", "transformer", "adaptive", "sampled", "averaged"],
)
def test_every_level_and_option_is_trained_saved_and_writes_the_same_after(level, options, tmp_path) -> None:
    if level == "subword":
        pytest.importorskip("tokenizers")
        options = {**options, "vocabulary_size": 300}
    own = LanguageModel(level=level, hidden_size=16, epochs=2, **QUIET, **options).fit([TEXT])
    assert math.isfinite(nats(own)["model"])
    written = own.generate("the ", length=30, seed=3)
    assert written == own.generate("the ", length=30, seed=3)
    own.save(tmp_path / "m")
    other = ostinato.load(tmp_path / "m")
    assert isinstance(other, LanguageModel)
    assert other.generate("the ", length=30, seed=3) == written
    assert other.scores_ == own.scores_
    assert other.get_params() == own.get_params()
    assert other.score([TEXT[:300]]) == own.score([TEXT[:300]])


def test_a_text_of_its_own_may_be_held_out_and_unknown_words_are_counted() -> None:
    own = LanguageModel(level="word", hidden_size=8, epochs=1, validation=0.0, **QUIET)
    own.fit([TEXT], test=["the zebra sat"])
    assert own.scores_.count == 3
    assert own.scores_.details["unknown"] == pytest.approx(1 / 3)
    assert "data of its own" in own.scores_.protocol


def test_a_stopped_run_goes_on_to_the_numbers_of_one_that_was_not(tmp_path, monkeypatch) -> None:
    options = {"hidden_size": 8, "dropout": 0.2, "jitter": True, **QUIET}
    whole = LanguageModel(epochs=3, **options).fit([TEXT])
    train = running.train

    def stopped(*args, **kwargs):
        def stop(_):
            raise KeyboardInterrupt

        return train(*args, **kwargs, on_epoch=stop)

    monkeypatch.setattr(running, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        LanguageModel(epochs=3, **options).fit([TEXT], directory=tmp_path)
    monkeypatch.undo()
    rest = LanguageModel(epochs=3, **options).fit([TEXT], directory=tmp_path, resume=True)
    assert len(rest.history_.rows) == 3
    assert nats(rest) == nats(whole)


# --- what a report shows ---------------------------------------------------------------------------------------------


def test_the_summary_has_the_scores_and_panels_and_is_saved_with_the_model(model, tmp_path) -> None:
    summary = model.summary_
    assert {name: own["nats"] for name, own in summary.scores.items()} == nats(model)
    assert "nats" in summary.verdict
    titles = [panel.title for panel in summary.panels]
    assert titles == [
        "What it writes", "Rare and frequent tokens", "What surprised it", "What memory is worth",
        "Gradient through time", "Hidden states",
    ]  # fmt: skip
    rows = {panel.title: panel for panel in summary.panels}["Rare and frequent tokens"].rows
    assert sum(row[1] for row in rows) == pytest.approx(100)
    assert sum(row[1] * row[2] / 100 for row in rows) == pytest.approx(nats(model)["model"])
    assert ostinato.load(model.save(tmp_path / "m")).summary_ == summary


def test_a_summary_says_so_when_counting_does_better() -> None:
    summary = LanguageModel(hidden_size=4, epochs=1, test=0.4, ngrams=False, **QUIET).fit([TEXT]).summary_
    assert summary.verdict.startswith("The model LOSES to a baseline")


# --- baselines -------------------------------------------------------------------------------------------------------


def test_unigrams_count_shares() -> None:
    found = Unigrams(np.bincount([0, 0, 1], minlength=3)).predict(tokens_of([2, 0, 1])).mean()
    assert found == pytest.approx(-(math.log(3 / 6) + math.log(2 / 6)) / 2)


# --- what it writes --------------------------------------------------------------------------------------------------


def test_the_best_tokens_are_drawn_as_often_as_they_should(model) -> None:
    scores = torch.tensor([2.0, 1.0, 0.0, -1.0])
    generator = torch.Generator().manual_seed(0)

    def shares(sampling, recent=(), never=()):
        counts = Counter(draw(scores, sampling, recent, never, generator) for _ in range(4000))
        return [counts[token] / 4000 for token in range(4)]

    probabilities = scores.softmax(-1).tolist()
    assert shares(Sampling()) == pytest.approx(probabilities, abs=0.03)
    assert shares(Sampling(temperature=0.5)) == pytest.approx((2 * scores).softmax(-1).tolist(), abs=0.03)
    assert shares(Sampling(temperature=0)) == [1, 0, 0, 0]
    assert shares(Sampling(top_k=2))[2:] == [0, 0]
    assert shares(Sampling(top_p=0.6)) == [1, 0, 0, 0]
    assert shares(Sampling(top_p=0.65))[2:] == [0, 0]
    penalised = torch.tensor([1.0, 1.0, 0.0, -2.0]).softmax(-1).tolist()
    assert shares(Sampling(repetition_penalty=2.0), recent=[0, 3]) == pytest.approx(penalised, abs=0.03)
    assert shares(Sampling(), never=[0])[0] == 0


def test_what_is_written_follows_the_prompt_and_stops_where_it_is_told(model) -> None:
    best = model.generate("the cat sat on the ", length=40, temperature=0)
    assert best[:4] in ("mat.", "log.", "dog.", "cat ")
    assert model.generate("the cat sat on the ", length=40, temperature=0, stop=[best[3], "zz"]) == best[:3]
    streamed = "".join(itertools.islice(model.write("the cat sat on the ", temperature=0), 40))
    assert streamed == best
    assert model.generate(length=0) == ""
    assert len(model.generate("", length=10)) == 10
    with pytest.warns(DataWarning, match="2 of the 11 characters of the prompt are not in the model's vocabulary"):
        assert "�" not in model.generate("ÿ☃ strange "[:11], length=200, temperature=2.0)


def test_subwords_are_spelled_as_their_whole_is() -> None:
    pytest.importorskip("tokenizers")
    text = ["ein Mädchen hört Musik – schön, größer und süß ☃\n" * 40]
    own = LanguageModel(level="subword", vocabulary_size=280, hidden_size=8, epochs=1, **QUIET).fit(text)
    vocabulary = own.fitted_.model.encoder.vocabulary
    from ostinato.tasks.language.tokens_as_text import spelled

    tokens = vocabulary.encode("größer ☃ hört")
    assert "".join(spelled(tokens, vocabulary, "subword")) == vocabulary.decode(tokens)


def test_a_saved_model_answers_quickly(model, tmp_path) -> None:
    began = time.process_time()
    model.generate("the", length=50)
    assert time.process_time() - began < 5


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": "letters"}, "expected one of character, word, subword"),
        ({"cell": "grru"}, 'cell "grru" is not known'),
        ({"dropout": 1.0}, "dropout is 1.0; expected a share"),
        ({"test": 0.6}, "test is 0.6; expected a share from 0 to 0.5"),
        ({"hidden_size": 0}, "size is 0; expected one or more"),
        ({"cell": "transformer", "weight_drop": 0.5}, "a transformer has none"),
        ({"epochs": 0}, "epochs is 0"),
        ({"output": "full"}, 'output is "full"; expected one of softmax, sampled, adaptive'),
        ({"output": "adaptive", "tie_weights": True}, "an adaptive softmax has not"),
        ({"averaging": "mean"}, 'averaging is "mean"'),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(options, said) -> None:
    with pytest.raises(UsageError, match=said):
        LanguageModel(**{**QUIET, **options}).fit([TEXT])


def test_texts_that_are_missing_or_too_short_are_refused(tmp_path, model) -> None:
    with pytest.raises(DataError, match="does not exist"):
        LanguageModel(**QUIET).fit(tmp_path / "nothing.txt")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(DataError):
        LanguageModel(**QUIET).fit(tmp_path / "empty.txt")
    (tmp_path / "bad.txt").write_bytes(b"fine\nnot \xff fine\n")
    with pytest.raises(DataError, match=r"bad.txt"):
        LanguageModel(**QUIET).fit(tmp_path / "bad.txt")
    with pytest.raises(DataError, match="two or more"):
        model.evaluate(["x"])
    with pytest.raises(UsageError, match="not fitted"):
        LanguageModel().generate("x")
    with pytest.raises(UsageError, match="temperature is nan; expected a number of 0 or more"):
        model.generate("x", temperature=math.nan)
    with pytest.raises(UsageError, match="top_p is 0"):
        model.generate("x", top_p=0)
    with pytest.raises(UsageError, match="sampling takes temperature"):
        model.generate("x", heat=2)
    with pytest.raises(UsageError, match='no parameter "width"'):
        model.set_params(width=3)
    with pytest.raises(ArtifactError, match='kind "language model"; expected "forecaster"'):
        ostinato.Forecaster.load(model.save(tmp_path / "m"))
