"""The wide part of a tagger: its features, how it is weighed, kept and refused."""

from __future__ import annotations

import random

import numpy as np
import pytest

import ostinato
from ostinato import SequenceTagger
from ostinato.errors import CorruptArtifact
from ostinato.tasks.base.linear import Linear
from ostinato.tasks.base.mixing import Mix
from ostinato.tasks.tag.parts import deep_logs
from ostinato.tasks.tag.wide import Wide, features_of

SMALL = {"hidden_size": 8, "embedding_size": 8, "progress": False, "epochs": 1, "characters": "none"}


def sentences(count: int, seed: int = 0) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Sentences in which endings tell nouns, and "set" is a verb after "we" and a noun after "the"."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        made = "".join(rng.choice("bdgmnt") + rng.choice("aeiou") for _ in range(3)) + rng.choice(["ness", "ly"])
        tag = "NOUN" if made.endswith("ness") else "ADV"
        verb = rng.random() < 0.5
        found.append(
            (("we" if verb else "the", "set", made), ("PRON" if verb else "DET", "VERB" if verb else "NOUN", tag))
        )
    return found


@pytest.fixture(scope="module")
def model() -> SequenceTagger:
    return SequenceTagger(test=0.0, **SMALL).fit(sentences(80))


def test_features_are_the_word_its_spelling_and_its_neighbours() -> None:
    first, second = features_of(["The", "U2"])
    assert {"w the", "c Xx", "s e", "p th", "-1 \x02", "+1 u2", "+ the u2"} <= set(first)
    assert {"w u2", "c Xd", "-1 the", "+1 \x03", "- the u2"} <= set(second)
    alone = list(features_of(["The", "U2"], alone=True))
    assert alone == [next(features_of([word], alone=True)) for word in ("The", "U2")]
    assert not any(name[0] in "+-" for each in alone for name in each)


def test_spelling_and_neighbours_are_known_at_once_where_a_network_has_learned_nothing(model) -> None:
    encoder = model.fitted_.model.encoder
    new = sentences(40, seed=5)
    found = model.predict([tokens for tokens, _ in new])
    assert np.mean([tag == true for tags, (_, wanted) in zip(found, new, strict=True)
                    for tag, true in zip(tags, wanted, strict=True)]) > 0.97  # fmt: skip
    assert model.summary_.settings["wide"] == f"weights {encoder.mix}"
    assert encoder.wide.whole  # it has learned from the validation part too


@pytest.mark.parametrize("output", ["softmax", "crf"])
def test_a_tagger_answers_as_its_parts_weighed(output) -> None:
    own = SequenceTagger(test=0.0, output=output, **SMALL).fit(sentences(40))
    fitted, text = own.fitted_.model, ["we", "set", "bagudoly"]
    (deep,) = deep_logs(fitted, [text])
    wide, mix = fitted.encoder.wide.log_probabilities([text]), fitted.encoder.mix
    if output == "softmax":
        expected = np.exp(mix.deep * deep + mix.wide * wide)
        expected /= expected.sum(-1, keepdims=True)
        np.testing.assert_allclose(own.predict_proba([text])[0], expected, atol=1e-6)
    else:  # the wide part moves the scores, transitions stay
        assert not np.allclose(own.predict_proba([text])[0], np.exp(deep), atol=1e-3)


def test_a_tagger_without_its_wide_part_is_the_network_alone() -> None:
    own = SequenceTagger(test=0.0, wide=False, **SMALL).fit(sentences(30))
    encoder = own.fitted_.model.encoder
    assert encoder.wide is encoder.mix is None
    assert own.summary_.settings["wide"] == "False"
    (deep,) = deep_logs(own.fitted_.model, [["we", "set"]])
    np.testing.assert_allclose(own.predict_proba([["we", "set"]])[0], np.exp(deep), atol=1e-9)
    one = SequenceTagger(test=0.0, **SMALL).fit([(("a", "b"), ("X", "X"))] * 20)  # a layer of one tag says nothing
    assert one.fitted_.model.encoder.wide is None


def test_what_is_saved_answers_to_the_same_bits_and_other_weights_are_refused(model, tmp_path) -> None:
    from safetensors.numpy import load_file, save_file

    folder, asked = model.save(tmp_path / "m"), [["we", "set", "\ud800", "日本"], [], ["", "the"], ["x" * 2000]]
    for one, other in zip(ostinato.load(folder).predict_proba(asked), model.predict_proba(asked), strict=True):
        assert (one == other).all()
    wide = model.fitted_.model.encoder.wide
    with pytest.raises(ValueError, match="features"):
        Wide(wide.names, Linear(wide.linear.weights[1:], wide.linear.offsets), False)
    file = next(folder.glob("*.safetensors"))
    arrays = load_file(file)
    name = next(each for each in arrays if each.endswith("linear.weights"))
    save_file({**arrays, name: arrays[name][:-1]}, file)
    with pytest.raises(CorruptArtifact):
        ostinato.load(folder)


def test_tags_that_validation_alone_has_do_no_harm_and_none_known_leaves_the_usual_weights() -> None:
    held = [(("we", "set", "new"), ("PRON", "VERB", "ODD"))] * 3
    own = SequenceTagger(test=0.0, **SMALL).fit(sentences(30), validation=held)
    assert "ODD" not in own.classes_
    none = SequenceTagger(test=0.0, validation=0.0, **SMALL).fit(sentences(30))
    assert none.fitted_.model.encoder.mix == Mix(wide=0.5, deep=0.6)


def test_of_very_many_tokens_some_are_read_and_a_limit_of_time_is_kept(monkeypatch) -> None:
    data = sentences(60)
    tokens, targets = [own for own, _ in data], [np.arange(len(own)) % 2 for own, _ in data]
    monkeypatch.setattr("ostinato.tasks.tag.wide._TOKENS", 30)
    few = Wide.fit(tokens, targets, np.ones(2), alone=False, seed=0)
    monkeypatch.setattr("ostinato.tasks.tag.wide._TOKENS", 300_000)
    many = Wide.fit(tokens, targets, np.ones(2), alone=False, seed=0)
    assert len(few.known) < len(many.known) / 3
    limited = Wide.fit(tokens, targets, np.ones(2), alone=False, seed=0, seconds=1e-9)
    assert np.abs(limited.linear.weights).sum() < np.abs(many.linear.weights).sum()
    assert limited.log_probabilities([["we", "set"]]).shape == (2, 2)
    assert many.log_probabilities([]).shape == (0, 2)


def test_tags_of_spans_are_judged_together_unless_that_cannot_be() -> None:
    named = [(("Ms", "Green", "came"), ("B-PER", "I-PER", "O")), (("then", "rain"), ("O", "O"))] * 15
    for options, output in (
        ({}, "crf"),
        ({"bidirectional": False}, "softmax"),
        ({"class_weights": "balanced"}, "softmax"),
    ):
        own = SequenceTagger(test=0.0, **{**SMALL, **options}).fit(named)
        assert own.summary_.settings["output"] == output
        assert (own.fitted_.model.network.crf is not None) == (output == "crf")
    assert SequenceTagger(test=0.0, **SMALL).fit(sentences(20)).fitted_.model.encoder.output == "softmax"


@pytest.mark.parametrize("weights", [(float("nan"), 0.1), (0.9, float("inf")), (-1.0, 0.5)])
def test_weights_that_are_none_are_refused(weights) -> None:
    with pytest.raises(ValueError, match="no weights"):
        Mix(*weights)
