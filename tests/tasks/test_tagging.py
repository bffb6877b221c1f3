"""The tagger: what it learns, in batches and in streams, its spans and its baselines."""

import itertools
import json
import math
import random
from collections import Counter

import numpy as np
import pytest
import torch

import ostinato
from ostinato import SequenceTagger
from ostinato.errors import ColumnError, DataError, StreamRowError, UsageError
from ostinato.tasks.base import running

SMALL = {"hidden_size": 16, "embedding_size": 16, "progress": False, "learning_rate": 1e-2, "epochs": 2}
STRANGE = [["☃", "\u00a0", "naïve", "a" * 500, "\ud800"], ["dog"], [], ["", "the"]]


def sentences(count: int, seed: int = 0) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Sentences in which the last token is what the first one makes of it, and made-up words end as their tag says."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        question = rng.random() < 0.5
        made = "".join(rng.choice("bdgmnt") + rng.choice("aeiou") for _ in range(3))
        own = [("who", "WH") if question else ("we", "PRON"), ("walk", "VERB"), ("the", "DET")]
        own += [(made + "er", "NOUN") if rng.random() < 0.5 else (made + "ly", "ADV")] * rng.randint(1, 2)
        own.append(("end", "Q" if question else "S"))
        found.append((tuple(token for token, _ in own), tuple(tag for _, tag in own)))
    return found


def names(count: int, seed: int = 0) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Sentences with names of one or more tokens, in BIO tags."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        tokens, tags = ["then"], ["O"]
        for _ in range(rng.randint(1, 2)):
            kind, first = rng.choice([("PER", "Ms"), ("LOC", "Lake")])
            rest = [rng.choice(["Green", "Miller", "North"]) for _ in range(rng.randint(0, 2))]
            tokens += [first, *rest, "came"]
            tags += [f"B-{kind}", *[f"I-{kind}"] * len(rest), "O"]
        found.append((tuple(tokens), tuple(tags)))
    return found


@pytest.fixture(scope="module")
def model() -> SequenceTagger:
    return SequenceTagger(**{**SMALL, "epochs": 12}).fit(sentences(240))


@pytest.fixture(scope="module")
def named() -> SequenceTagger:
    return SequenceTagger(output="crf", **{**SMALL, "epochs": 6}).fit(names(160))


# --- what it learns --------------------------------------------------------------------------------------------------


def test_tags_by_far_context_and_by_spelling_are_learned_better_than_by_counting(model) -> None:
    values = model.scores_.values
    assert values["model"]["accuracy"] > 0.97
    assert values["model"]["accuracy, unknown words"] > 0.95
    assert values["hidden Markov model"]["accuracy"] < 0.95
    assert values["most frequent tag of the word"]["accuracy"] < values["hidden Markov model"]["accuracy"]
    assert model.predict([["who", "walk", "the", "zozozoly", "end"], ["we", "walk", "end"]])[0][3:] == ["ADV", "Q"]
    assert model.summary_.verdict.startswith("The model beats every baseline")


def test_names_are_found_whole_and_a_crf_keeps_to_the_scheme(named) -> None:
    scores = named.scores_.values["model"]
    assert scores["span F1"] > 0.95
    assert "span F1" in named.summary_.verdict
    rng = random.Random(1)
    noise = [[rng.choice(["Green", "Ms", "then", "xyz", "Lake"]) for _ in range(rng.randint(1, 7))] for _ in range(40)]
    for tags in named.predict(noise):
        before = "O"
        for tag in tags:
            assert not tag.startswith("I-") or before[2:] == tag[2:]
            before = tag
    assert ("output", "crf under the constraints of BIO") in named.summary_.data


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "gru", "num_layers": 2, "characters": "rnn", "lower": True},
        {"cell": "transformer", "output": "crf", "constraints": False},
        {"cell": "transformer", "bidirectional": False, "characters": "none"},
        {"cell": "rnn", "class_weights": "balanced", "min_count": 2, "longest_word": 4},
    ],
    ids=["gru", "transformer-crf", "causal", "weights"],
)
def test_every_option_is_trained_saved_and_tags_the_same_after(options, tmp_path) -> None:
    own = SequenceTagger(**{**SMALL, **options}).fit(names(60))
    own.save(tmp_path / "m")
    other = ostinato.load(tmp_path / "m")
    assert isinstance(other, SequenceTagger)
    assert other.get_params() == own.get_params()
    assert (other.scores_, other.summary_, other.classes_) == (own.scores_, own.summary_, own.classes_)
    texts = [own for own, _ in names(10, seed=2)] + STRANGE
    assert other.predict(texts) == own.predict(texts)
    assert other.evaluate(names(9)) == own.evaluate(names(9))


def test_a_stopped_run_goes_on_to_the_numbers_of_one_that_was_not(tmp_path, monkeypatch) -> None:
    whole = SequenceTagger(**{**SMALL, "epochs": 3}).fit(sentences(60))
    train = running.train

    def stopped(*args, **kwargs):
        def stop(_):
            raise KeyboardInterrupt

        return train(*args, **kwargs, on_epoch=stop)

    monkeypatch.setattr(running, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        SequenceTagger(**{**SMALL, "epochs": 3}).fit(sentences(60), directory=tmp_path)
    monkeypatch.undo()
    rest = SequenceTagger(**{**SMALL, "epochs": 3}).fit(sentences(60), directory=tmp_path, resume=True)
    assert len(rest.history_.rows) == 3
    assert rest.scores_ == whole.scores_


def test_a_weighted_loss_finds_more_of_a_rare_tag() -> None:
    data = [(("a", "b"), ("X", "Y" if number % 8 == 0 else "X")) for number in range(160)]
    found = {}
    for scheme in ("none", "balanced"):
        own = SequenceTagger(class_weights=scheme, **{**SMALL, "epochs": 4}).fit(data)
        found[scheme] = own.predict([["a", "b"]])[0]
    assert found == {"none": ["X", "X"], "balanced": ["X", "Y"]}


@pytest.mark.slow
@pytest.mark.ci
def test_vectors_tell_a_word_that_training_has_not(tmp_path) -> None:
    rng = np.random.default_rng(0)
    kinds = {"DET": ["the", "a"], "NOUN": ["dog", "cat", "yak"], "VERB": ["sees", "eats", "naps"]}
    lines = []
    for place, words in enumerate(kinds.values()):
        for word in words:
            vector = rng.normal(0, 0.1, 3) + np.eye(3)[place]
            lines.append(" ".join([word, *(f"{value:.4f}" for value in vector)]))
    file = tmp_path / "words.vec"
    file.write_text(f"{len(lines)} 3\n" + "\n".join(lines) + "\n")
    data = [(("the", noun, verb, "a", noun), ("DET", "NOUN", "VERB", "DET", "NOUN"))
            for noun in ("dog", "cat") for verb in ("sees", "eats")] * 15  # fmt: skip
    options = {**SMALL, "characters": "none", "epochs": 15, "batch_size": 4}
    own = SequenceTagger(vectors=str(file), freeze_vectors=True, **options).fit(data)
    assert own.predict([["a", "yak", "naps", "the", "yak"]]) == [["DET", "NOUN", "VERB", "DET", "NOUN"]]
    weights = own.fitted_.model.network.embedding.weight
    assert weights.shape[1] == 3
    place = own.fitted_.model.encoder.numbers(["yak"])[0]
    assert weights[place].tolist() == pytest.approx([float(v) for v in lines[4].split()[1:]], abs=1e-4)
    (tmp_path / "other.vec").write_text("zzz 1.0 2.0\n")
    with pytest.raises(DataError, match="has none of the vocabulary"):
        SequenceTagger(vectors=str(tmp_path / "other.vec"), vector_words=0, **options).fit(data)


# --- laws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"characters": "rnn", "output": "crf"}, {"cell": "transformer"}],
    ids=["cnn", "rnn-crf", "transformer"],
)
def test_padding_changes_nothing(options) -> None:
    own = SequenceTagger(**{**SMALL, "epochs": 1, **options}).fit(names(40))
    texts = [tokens for tokens, _ in names(12, seed=4)] + [["Ms", "Überlangeswortohneende"], ["x"]] + STRANGE
    together = own.predict_proba(texts)
    for text, found in zip(texts, together, strict=True):
        np.testing.assert_allclose(own.predict_proba([text])[0], found, atol=1e-6)
        assert found.shape == (len(text), len(own.classes_))
        np.testing.assert_allclose(found.sum(-1), np.ones(len(text)), atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru", "transformer"])
def test_token_by_token_is_as_the_whole_sentence(cell) -> None:
    own = SequenceTagger(cell=cell, bidirectional=False, **{**SMALL, "epochs": 1}).fit(sentences(40))
    stream = own.token_stream()
    for tokens in [[*tokens] for tokens, _ in sentences(4, seed=9)] + [STRANGE[0]]:
        answers = [stream.push(token) for token in tokens]
        stream.reset()
        assert [answer["tag"] for answer in answers] == own.predict([tokens])[0]
        given = own.predict_proba([tokens])[0].max(-1)
        assert [answer["probability"] for answer in answers] == pytest.approx(given.tolist(), abs=1e-5)


def test_marginals_of_a_crf_are_those_of_all_paths(named) -> None:
    tagger = named.fitted_.model
    text = ["then", "Ms", "Green"]
    from ostinato.tasks.tag.network import collate_words

    batch = collate_words(tagger.encoder, [text])
    crf, size = tagger.network.crf, len(tagger.encoder.tags)
    with torch.no_grad():
        said = torch.from_numpy(tagger.encoder.wide.log_probabilities([text]))[:, None]
        scores = tagger.network.mixed(tagger.network(batch), said, tagger.encoder.mix)
        paths = list(itertools.product(range(size), repeat=3))
        legal = [path for path in paths if _legal(crf, path)]
        rows = torch.tensor(legal).T
        losses = crf(scores.expand(3, len(legal), size), rows, reduction="none")
    probabilities = np.zeros((3, size))
    # as confident as the network's weight beside the wide part says
    for path, chance in zip(legal, (-losses * tagger.encoder.mix.deep).softmax(0).tolist(), strict=True):
        for place, tag in enumerate(path):
            probabilities[place, tag] += chance
    np.testing.assert_allclose(named.predict_proba([text])[0], probabilities, atol=1e-4)


def _legal(crf, path) -> bool:
    moves = all(crf.allowed[a, b] for a, b in itertools.pairwise(path))
    return bool(moves and crf.allowed_start[path[0]] and crf.allowed_end[path[-1]])


def test_a_stream_and_lines_are_answered_as_sentences(model, tmp_path) -> None:
    tokens = ["we", "walk", "the", "gagagaer", "end"]
    expected = model.predict([tokens])[0]
    stream = model.stream()
    answer = stream.push(" ".join(tokens))
    assert answer["tags"] == " ".join(expected)
    assert next(iter(answer)) == "tags"
    assert stream.push({"tokens": tokens}) == stream.push(tokens) == answer
    assert stream.push("")["tags"] == ""
    json.dumps(answer)
    file = tmp_path / "text.txt"
    file.write_text(" ".join(tokens) + "\nend\n")
    assert next(model.answers(file)) == answer
    assert [own["tags"].count(" ") for own in model.answers(iter([" ".join(tokens), "", "end"]))] == [4, 0, 0]
    for row in ({"text": "a"}, {"tokens": "a b"}, 7, {"tokens": [1]}):
        with pytest.raises(StreamRowError, match="it is no sentence"):
            stream.push(row)
    with pytest.raises(UsageError, match="bidirectional"):
        model.token_stream().push("a")


# --- files, and what is refused --------------------------------------------------------------------------------------


def test_files_of_both_kinds_are_read_by_their_columns(tmp_path) -> None:
    data = sentences(40)
    columns = tmp_path / "train.txt"
    columns.write_text("\n\n".join("\n".join(f"{w} x {t}" for w, t in zip(*own, strict=True)) for own in data) + "\n")
    conllu = tmp_path / "train.conllu"
    blank = ["_"] * 5
    conllu.write_text(
        "\n\n".join(
            "# text\n" + "\n".join(
                "\t".join([str(n), w, "_", t, t.lower(), *blank]) for n, (w, t) in enumerate(zip(*own, strict=True), 1)
            )
            for own in data
        )
        + "\n\n"
    )  # fmt: skip
    memory = SequenceTagger(**SMALL).fit(data)
    for path in (columns, conllu):
        own = SequenceTagger(**SMALL).fit(path)
        assert own.scores_.values == memory.scores_.values
        assert own.evaluate(path).count == sum(len(tokens) for tokens, _ in data)
    assert SequenceTagger(tag="xpos", **SMALL).fit(conllu).classes_ == tuple(sorted(t.lower() for t in memory.classes_))
    assert SequenceTagger(tag=1, **SMALL).fit(columns).classes_ == ("x",)
    with pytest.raises(UsageError, match="does not end in .conllu"):
        SequenceTagger(tag="xpos", **SMALL).fit(columns)
    with pytest.raises(ColumnError, match="no tag column 7"):
        SequenceTagger(tag=7, **SMALL).fit(columns)
    with pytest.raises(UsageError, match="expected a column of CoNLL-U"):
        SequenceTagger(tag="pos", **SMALL).fit(conllu)


@pytest.mark.parametrize("output", ["softmax", "crf"])
@pytest.mark.slow
@pytest.mark.ci
def test_tags_that_training_has_not_count_as_wrong_and_do_no_harm(output) -> None:
    odd = [(("we", "end"), ("PRON", "NEW")), (("we", "walk"), ("PRON", "VERB"))]
    own = SequenceTagger(output=output, **SMALL).fit(sentences(40), validation=odd, test=odd)
    values = own.scores_.values["model"]
    assert values["accuracy"] <= 0.75
    assert math.isfinite(values["cross-entropy"])
    assert any("NEW" in map(str, row) for panel in own.summary_.panels for row in getattr(panel, "rows", ()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cell": "grru"}, 'cell "grru" is not known'),
        ({"output": "svm"}, 'output is "svm"; expected one of softmax, crf'),
        ({"characters": "lstm"}, 'characters is "lstm"; expected one of none, cnn, rnn'),
        ({"characters": "rnn", "character_size": 5}, "expected an even number"),
        ({"dropout": 1.0}, "dropout is 1.0; expected a share"),
        ({"test": -0.1}, "test is -0.1; expected a share"),
        ({"hidden_size": 0}, "hidden_size is 0; expected one or more"),
        ({"longest_word": 0}, "longest_word is 0; expected one or more"),
        ({"min_count": 0}, "min_count is 0; expected one or more"),
        ({"batch_size": 0}, "batch_size is 0; expected one or more"),
        ({"class_weights": "balanced", "output": "crf"}, "class_weights are for the softmax"),
        ({"class_weights": "fair"}, 'class_weights is "fair"; expected one of none'),
        ({"freeze_vectors": True}, "freeze_vectors is for pretrained vectors"),
        ({"epochs": 0}, "epochs is 0"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(options, said) -> None:
    with pytest.raises(UsageError, match=said):
        SequenceTagger(**{**SMALL, **options}).fit(sentences(12))


def test_sentences_that_are_missing_or_wrong_are_refused(tmp_path, model) -> None:
    with pytest.raises(DataError, match="does not exist"):
        SequenceTagger(**SMALL).fit(tmp_path / "nothing.conllu")
    with pytest.raises(DataError, match="sentence 2 has 1 tokens and 2 tags"):
        SequenceTagger(**SMALL).fit([(("a",), ("X",)), (("a",), ("X", "Y"))])
    with pytest.raises(DataError, match="sentence 1 is not a pair"):
        SequenceTagger(**SMALL).fit([("a", "X", "Y")])
    with pytest.raises(DataError, match="expected a list of tokens"):
        SequenceTagger(**SMALL).fit([("ab", "XY")])
    with pytest.raises(DataError, match="leaves no sentences to train on"):
        SequenceTagger(**SMALL).fit([((), ())])
    with pytest.raises(DataError, match="no tagged sentences to judge"):
        model.evaluate([])
    with pytest.raises(UsageError, match="not fitted"):
        SequenceTagger().predict([["a"]])
    (tmp_path / "bad.txt").write_text("a X\nb\n")
    with pytest.raises(DataError, match=r"line 2 of bad.txt has 1 column"):
        SequenceTagger(**SMALL).fit(tmp_path / "bad.txt")


def test_panels_show_every_held_out_token_and_the_most_confident_mistake_first(model) -> None:
    panels = {panel.title: panel for panel in model.summary_.panels}
    confusion = panels["Tags, and what they were taken for"]
    assert np.sum(confusion.values) == model.scores_.count
    confident = [row[-1] for row in panels["The most confident mistakes"].rows]
    assert confident == sorted(confident, reverse=True)
    counts = Counter(type(panel).__name__ for panel in model.summary_.panels)
    assert set(counts) == {"Matrix", "Table", "Curve", "Sample"}


def test_blank_lines_are_answered_as_blank_and_a_no_break_space_stays_in_its_token(tmp_path) -> None:
    pairs = [(("the", "dog", "10\u00a0000"), ("D", "N", "V"))] * 20
    model = SequenceTagger(hidden_size=4, epochs=1, progress=False).fit(pairs)
    lines = ["the dog 10\u00a0000", "", " \u00a0\t", "a  cat\tsleeps "]
    (tmp_path / "lines.txt").write_text("".join(line + "\n" for line in lines))
    expected = [["the", "dog", "10\u00a0000"], [], [], ["a", "cat", "sleeps"]]
    for answers in (list(model.answers(tmp_path / "lines.txt")), list(model.answers(lines))):
        assert [answer["tokens"] for answer in answers] == expected
        assert [answer["tags"].count(" ") for answer in answers] == [2, 0, 0, 2]
    assert model.stream().push("10\u00a0000")["tokens"] == ["10\u00a0000"]
    assert list(map(len, model.predict(lines))) == [3, 0, 0, 3]


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
@pytest.mark.parametrize("text", ["the dog", "", "lines.txt"])
def test_one_text_is_no_list_of_sentences(model, method, text) -> None:
    with pytest.raises(UsageError, match="is the text .*a list of sentences") as caught:
        getattr(model, method)(text)
    assert "[" in str(caught.value)


@pytest.mark.parametrize(
    ("pair", "what"), [((("a", ""), ("D", "N")), "token"), ((("a", "b"), ("D", "")), "tag"), ((("a",), (" ",)), "tag")]
)
def test_an_empty_token_or_tag_in_memory_is_named(pair, what) -> None:
    with pytest.raises(DataError, match=f"sentence 2 has an empty {what}"):
        SequenceTagger(progress=False).fit([(("a",), ("D",)), pair])


# --- files of the training's kind ------------------------------------------------------------------------------------


def test_predict_reads_the_format_of_the_training_data_and_lines_of_tokens_alike(model, tmp_path) -> None:
    own = sentences(6, seed=9)
    tagged, lines = tmp_path / "new.conll", tmp_path / "new.txt"
    tagged.write_text("\n".join("".join(f"{a} {b}\n" for a, b in zip(*one, strict=True)) for one in own))
    lines.write_text("".join(" ".join(tokens) + "\n" for tokens, _ in own))
    found = [answer["tags"] for answer in model.answers(tagged)]
    assert found == [answer["tags"] for answer in model.answers(lines)]
    assert len(found) == 6


def test_tags_that_training_did_not_have_are_counted_and_said(model) -> None:
    own = sentences(20, seed=3)
    scores = model.evaluate([*own, (("who", "runs"), ("WH", "NEW"))])
    assert "1 token has a tag that training did not have (NEW), which counts as wrong" in scores.protocol
    assert "that training did not have" not in model.evaluate(own).protocol
