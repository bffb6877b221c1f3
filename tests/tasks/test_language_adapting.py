"""Dynamic evaluation, the neural cache and reading line by line, against what is written out step by step."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from ostinato import LanguageModel
from ostinato.errors import DataError, UsageError
from ostinato.tasks.language import DynamicEvaluation, NeuralCache
from ostinato.tasks.language.reading import token_losses
from ostinato.tasks.language.tokens_as_text import until

TEXT = "the cat sat on the mat. the dog sat on the log. a bird sang to the cat and the dog.\n" * 40
WAYS = {
    "dynamic": {"dynamic": DynamicEvaluation(learning_rate=3e-3, steps=7)},
    "cache": {"cache": NeuralCache(window=30, flatness=0.5, share=0.2)},
    "both": {"dynamic": DynamicEvaluation(learning_rate=3e-3, steps=5), "cache": NeuralCache(window=9)},
}


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    own = LanguageModel(hidden_size=24, epochs=2, learning_rate=1e-2, steps=16, batch_size=8, progress=False)
    return own.fit([TEXT])


@pytest.fixture(scope="module")
def read(model):
    def encoded(text):
        return np.array(model.fitted_.model.encoder.vocabulary.encode(text), np.int32)

    return encoded


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", [1, 6, 7, 8, 40, 57])
def test_what_comes_later_never_changes_what_was_scored_before(model, read, way, place) -> None:
    network, text = model.fitted_.model.network, read("a dog sang. the log sat on a bird and the cat sat too.")
    other = text.copy()
    other[place:] = np.roll(text, 5)[place:]
    first, second = (token_losses(network, own, **WAYS[way]) for own in (text, other))
    # the loss of token `place` is at `place - 1`
    np.testing.assert_allclose(first[: place - 1], second[: place - 1], rtol=1e-5)
    cut = token_losses(network, text[: place + 1], **WAYS[way])
    np.testing.assert_allclose(cut, first[:place], rtol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_the_model_is_left_as_it_is(model, way) -> None:
    before = copy.deepcopy(model.fitted_.model.network.state_dict())
    plain = model.evaluate(["a dog sang."])["nats"]
    scores = model.evaluate(["a dog sang."], **WAYS[way])
    assert scores.values["model as trained"]["nats"] == plain == model.evaluate(["a dog sang."])["nats"]
    assert all(torch.equal(value, before[name]) for name, value in model.fitted_.model.network.state_dict().items())


def test_a_strange_text_that_repeats_itself_is_learned(model) -> None:
    text = ["tac eht dna god eht " * 40]
    plain = model.evaluate(text)["nats"]
    assert model.evaluate(text, dynamic=DynamicEvaluation(learning_rate=1e-2))["nats"] < 0.8 * plain
    assert model.evaluate(text, cache=NeuralCache(share=0.3, flatness=3.0))["nats"] < plain
    assert math.isfinite(model.evaluate(text, dynamic=True, cache=True)["nats"])


def test_the_cache_is_the_mixture_as_it_is_written(model, read) -> None:
    network, cache = model.fitted_.model.network, NeuralCache(window=7, flatness=0.8, share=0.25)
    text = read("the dog sat on a log and sang to the bird.")
    with torch.no_grad():
        outputs = network.read(torch.from_numpy(text.astype(np.int64))[:, None])[0][:, 0]
        probabilities = network.scores(outputs).softmax(-1).double()
    for t, found in enumerate(token_losses(network, text, cache=cache)):
        past = range(max(0, t - 7), t)
        weights = [math.exp(0.8 * float(outputs[t] @ outputs[i])) for i in past]
        chance = float(probabilities[t, text[t + 1]])
        if weights:
            own = sum(w for w, i in zip(weights, past, strict=True) if text[i + 1] == text[t + 1]) / sum(weights)
            chance = 0.75 * chance + 0.25 * own
        assert found == pytest.approx(-math.log(chance), rel=1e-4)


def test_the_cache_remembers_across_pieces(model, read, monkeypatch) -> None:
    text, cache = read(TEXT[:200]), NeuralCache(window=50)
    whole = token_losses(model.fitted_.model.network, text, cache=cache)
    monkeypatch.setattr("ostinato.tasks.language.reading._PIECE", 13)
    np.testing.assert_allclose(token_losses(model.fitted_.model.network, text, cache=cache), whole, rtol=1e-5)


def test_the_steps_of_dynamic_evaluation_are_those_of_the_paper(model, read) -> None:
    how = DynamicEvaluation(learning_rate=1e-2, decay=0.01, steps=6, epsilon=1e-3)
    text = torch.from_numpy(read("the dog sang to a cat and a log").astype(np.int64))
    network = copy.deepcopy(model.fitted_.model.network).eval()
    weights = list(network.parameters())
    trained = [weight.detach().clone() for weight in weights]
    squares, state, expected = [0.0] * len(weights), network.start(1), []
    for number, start in enumerate(range(0, len(text) - 1, 6), 1):
        losses = []
        for token, target in zip(text[start : start + 6], text[start + 1 : start + 7], strict=False):
            y, state = network.stack.step(network.embedding(token[None]), state)
            losses.append(functional.cross_entropy(network.scores(y), target[None]))
        expected += [float(loss.detach()) for loss in losses]
        gradients = torch.autograd.grad(torch.stack(losses).mean(), weights)
        squares = [square + gradient**2 for square, gradient in zip(squares, gradients, strict=True)]
        roots = [(square / number).sqrt() for square in squares]
        mean = torch.cat([root.flatten() for root in roots]).mean()
        with torch.no_grad():
            for weight, first, root, gradient in zip(weights, trained, roots, gradients, strict=True):
                back = (0.01 * root / mean).clamp(max=1.0) * (first - weight)
                weight += back - 1e-2 * gradient / (root + 1e-3)
        state = ((state[0][0].detach(), state[0][1].detach()),)
    np.testing.assert_allclose(token_losses(model.fitted_.model.network, text.numpy(), how), expected, rtol=2e-3)


@pytest.mark.filterwarnings("ignore:.*not in the model's vocabulary")
def test_a_model_writes_with_a_cache_what_the_mixture_says(model) -> None:
    first = model.generate("zzz ", length=40, seed=1, cache=NeuralCache(share=0.9, flatness=2.0))
    assert first == model.generate("zzz ", length=40, seed=1, cache=NeuralCache(share=0.9, flatness=2.0))
    assert first != model.generate("zzz ", length=40, seed=1)
    assert model.generate("the ", length=40, seed=1, cache=NeuralCache(share=0.0)) == model.generate(
        "the ", length=40, seed=1
    )


# --- reading line by line --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["character", "word"])
def test_a_stream_of_lines_is_scored_as_the_whole_text_is(level) -> None:
    own = LanguageModel(level=level, hidden_size=12, epochs=1, steps=8, batch_size=4, progress=False).fit([TEXT])
    lines = ["the cat sang to the dog.", "a zebra sat", "the log"]
    stream = own.stream()
    answers = [stream.push(line) for line in lines]
    vocabulary = own.fitted_.model.encoder.vocabulary
    ends = [vocabulary.specials.eos] if level == "word" else vocabulary.encode("\n")
    tokens = [*ends, *(token for line in lines for token in [*vocabulary.encode(line), *ends])]
    fitted = own.fitted_.model
    losses = token_losses(fitted.network, np.array(tokens, np.int32), mixture=fitted.encoder.mixture) / math.log(2)
    assert [bits for answer in answers for _, bits in answer["surprisal"]] == pytest.approx(losses.tolist(), abs=2e-3)
    assert answers[1]["perplexity"] == pytest.approx(2 ** answers[1]["bits"])
    alone = list(own.answers(lines))
    assert alone[0] == answers[0]
    assert alone[2] == own.stream().push({"text": "the log"})
    assert alone[2] != answers[2]


def test_an_empty_line_a_long_line_and_one_without_text() -> None:
    own = LanguageModel(hidden_size=8, epochs=1, steps=8, batch_size=4, progress=False).fit([TEXT])
    assert own.stream().push("")["tokens"] == 1
    assert own.stream().push("the cat " * 500)["tokens"] == 4001
    with pytest.raises(ValueError, match="it has no text"):
        own.stream().push({"line": "x"})
    with pytest.raises(DataError, match="does not exist"):
        list(own.answers("/nowhere/at/all.txt"))


# --- writing ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.text("ab", max_size=3), max_size=12), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
@settings(max_examples=200, deadline=None)
def test_a_stopped_text_is_the_whole_up_to_the_first_stop(pieces, stops) -> None:
    whole = "".join(pieces)
    ends = []
    # as it grows, the text ends as soon as a stop is whole
    for size in range(len(whole) + 1):
        ends = [whole[:size].find(stop) for stop in stops if stop in whole[:size]]
        if ends:
            break
    found = "".join(until(iter([*whole]), stops))
    assert found == (whole[: min(ends)] if ends else whole)


@pytest.mark.filterwarnings("ignore:.*not in the model's vocabulary")
def test_a_prompt_longer_than_a_piece_and_one_of_unknown_characters(model) -> None:
    assert len(model.generate("the cat " * 100, length=5)) == 5
    assert len(model.generate("☃☃☃", length=5)) == 5


@pytest.mark.slow
def test_a_transformer_reads_and_writes_with_all_of_it() -> None:
    own = LanguageModel(cell="transformer", hidden_size=16, epochs=1, steps=8, batch_size=4, progress=False).fit([TEXT])
    assert len(own.generate("the cat " * 20, length=5, cache=True)) == 5
    assert own.stream().push("the cat")["tokens"] == 8
    assert math.isfinite(own.evaluate([TEXT[:90]], dynamic=True, cache=True)["nats"])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DynamicEvaluation(learning_rate=0), "learning_rate is 0"),
        (lambda: DynamicEvaluation(decay=1), "decay is 1"),
        (lambda: DynamicEvaluation(steps=0), "steps is 0"),
        (lambda: NeuralCache(window=0), "window is 0"),
        (lambda: NeuralCache(flatness=-1), "flatness is -1"),
        (lambda: NeuralCache(share=1), "share is 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(make, said) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_the_loss_of_a_corpus_is_the_mean_of_its_tokens(model, read) -> None:
    text = read(TEXT[:100])
    for way in WAYS.values():
        assert (
            token_losses(model.fitted_.model.network, text, **way).tolist()
            == token_losses(model.fitted_.model.network, text, **way).tolist()
        )
