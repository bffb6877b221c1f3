"""The translator: what it learns, reads, finds, shows and keeps."""

import gzip
import itertools
import json
import math
import time
import warnings
from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato
from ostinato import Translator
from ostinato.data.text import WordVocabulary
from ostinato.errors import DataError, DataWarning, MissingExtra, StreamRowError, UsageError
from ostinato.tasks.base import running
from ostinato.tasks.base.holding_out import Shares
from ostinato.tasks.base.searching.tokens_as_text import as_text, pieces
from ostinato.tasks.base.summary import Matrix, Table
from ostinato.tasks.translate.corpus import (
    Corpus,
    TranslationBatches,
    TranslationEncoder,
    fitting,
    hold_out_drawn,
    suited_subwords,
)
from ostinato.tasks.translate.dictionary import by_dictionary, learn_dictionary
from ostinato.tasks.translate.pairs import read_pairs
from ostinato.tasks.translate.task import TranslationObjective, batch_tokens_of, languages_of

WORDS = {"eins": "one", "zwei": "two", "drei": "three", "vier": "four", "rot": "red", "blau": "blue", "und": "and"}
rng = np.random.default_rng(0)
SOURCES = [" ".join(rng.choice(list(WORDS), rng.integers(1, 7))) for _ in range(600)]
PAIRS = [(text, " ".join(WORDS[word] for word in reversed(text.split()))) for text in SOURCES]
"""Words translated, in the reverse order: a dictionary does not do."""
QUIET = {"progress": False, "patience": None}
SMALL = {**QUIET, "level": "word", "hidden_size": 8, "epochs": 1}


def encoded_by(model, pairs):
    return model.fitted_.model.encoder.encode(Corpus("x", tuple(pairs)))


@pytest.fixture(scope="module")
def model() -> Translator:
    options = {"hidden_size": 48, "epochs": 12, "learning_rate": 1e-2, "dropout": 0.1, "batch_tokens": 256}
    return Translator(level="word", **options, **QUIET).fit(PAIRS)


# --- what it learns --------------------------------------------------------------------------------------------------


def test_words_in_reverse_are_learned_and_a_dictionary_does_not_do(model) -> None:
    scores = model.summary_.scores
    assert scores["model"]["BLEU"] > 90
    assert scores["word for word, IBM model 1"]["BLEU"] < 60
    assert scores["the source as it is"]["BLEU"] < 5
    assert scores["model"]["perplexity"] == pytest.approx(math.exp(scores["model"]["loss"]))
    assert model.translate("rot und blau") == "blue and red"
    assert model.translate(["zwei drei", "vier"]) == ["three two", "four"]
    assert "against" in model.summary_.verdict


def test_scores_are_those_of_sacrebleu_on_the_translations(model) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    some = PAIRS[:40]
    found = model.evaluate(some, beam_size=2)
    texts, references = model.translate([own for own, _ in some], beam_size=2), [[own for _, own in some]]
    assert found["BLEU"] == pytest.approx(sacrebleu.corpus_bleu(texts, references).score)
    assert found["chrF"] == pytest.approx(sacrebleu.corpus_chrf(texts, references).score)
    assert "case:mixed" in found.details["BLEU"]
    assert "tok:13a" in found.details["BLEU"]
    assert "beam of 2" in str(found)
    assert model.score(some) == pytest.approx(model.evaluate(some)["BLEU"])


def test_the_loss_is_that_of_the_references_token_by_token(model) -> None:
    own = languages_of(model.fitted_.model)
    encoded = encoded_by(model, PAIRS[:7])
    total = 0.0
    with torch.no_grad():
        for source, target in zip(encoded.sources, encoded.targets, strict=True):
            state = own.network.start(torch.tensor(source)[:, None], torch.tensor([len(source)]))
            for token, following in itertools.pairwise(target):
                scores, state = own.network.step(torch.tensor([token]), state)
                total -= float(scores.log_softmax(-1)[0, following])
    assert model.evaluate(PAIRS[:7])["loss"] == pytest.approx(total / encoded.tokens, rel=1e-4)


def test_attention_looks_from_the_end_to_the_beginning(model) -> None:
    shown = model.attend("eins zwei drei vier")
    assert shown.rows[:4] == ("four", "three", "two", "one")
    assert shown.columns == ("eins", "zwei", "drei", "vier", "</s>")
    values = np.array(shown.values)
    assert np.allclose(values.sum(1), 1, atol=1e-4)
    matrices = [panel for panel in model.summary_.panels if isinstance(panel, Matrix)]
    assert len(matrices) == 3
    samples = next(panel for panel in model.summary_.panels if isinstance(panel, Table))
    assert all(WORDS[source.split()[0]] in reference for source, _, reference in samples.rows)


VARIANTS = {
    "subword": {"level": "subword", "vocabulary_size": 290, "shared_vocabulary": True, "cell": "lstm"},
    "unigram": {"level": "subword", "subwords": "unigram", "vocabulary_size": 290, "attention": "dot"},
    "character": {"level": "character", "attention": "multihead", "tie_weights": False, "num_layers": 2},
    "bahdanau": {"attention": "additive", "reading": "before", "input_feeding": True, "embedding_size": 12},
    "sampled": {"teacher_forcing": 0.5, "attention": "none", "lower": True, "averaging": "ema", "cell": "mingru"},
    "transformer": {"cell": "transformer", "hidden_size": 16, "shared_vocabulary": True, "teacher_forcing": 0.6},
}


@pytest.mark.filterwarnings("ignore:.*no training source had")
@pytest.mark.parametrize("name", VARIANTS)
def test_every_kind_is_trained_saved_and_translates_the_same_after(name, tmp_path) -> None:
    if name in ("subword", "unigram"):
        pytest.importorskip("tokenizers")
    own = Translator(**{**SMALL, "epochs": 2, **VARIANTS[name]}).fit(PAIRS[:60])
    assert math.isfinite(own.summary_.scores["model"]["loss"])
    texts = ["eins rot", "", "blau etwas Unbekanntes ☃ und zwei"]
    found = own.translate(texts)
    own.save(tmp_path / "m")
    other = ostinato.load(tmp_path / "m")
    assert isinstance(other, Translator)
    assert other.translate(texts) == found
    assert found[1] == ""
    assert other.get_params() == own.get_params()
    assert other.summary_ == own.summary_
    assert other.evaluate(PAIRS[:9]) == own.evaluate(PAIRS[:9])
    assert "".join(other.stream(texts[2])) == other.translate(texts[2], beam_size=1).rstrip("\ufffd")


def test_one_matrix_serves_three_places_where_the_vocabulary_is_shared() -> None:
    own = Translator(**SMALL, shared_vocabulary=True).fit(PAIRS[:60]).fitted_.model.network
    matrix = own.model.decoder.embedding.weight
    assert own.model.front.embedding.weight is matrix
    assert own.model.decoder.scores.weight is matrix


def test_the_share_of_given_tokens_falls_evenly_over_epochs() -> None:
    vocabulary = WordVocabulary.build([text for pair in PAIRS for text in pair])
    encoded = TranslationEncoder(vocabulary, None, 10).encode(Corpus("x", tuple(PAIRS[:9])))
    batches = TranslationBatches(encoded, batch_tokens=50, given=0.4, epochs=4)
    shares = [{batch.data.given for batch in batches.batches(epoch)} for epoch in range(4)]
    assert [sorted(own) for own in shares] == [[pytest.approx(share)] for share in (1.0, 0.8, 0.6, 0.4)]


def test_padding_changes_neither_loss_nor_gradient(model) -> None:
    own = languages_of(model.fitted_.model)
    encoded = encoded_by(model, PAIRS[:12])
    objective = TranslationObjective(0.1)
    losses = []
    for tokens in (10_000, 1):  # all in one batch; each by itself
        own.network.zero_grad()
        total = 0.0
        for batch in TranslationBatches(encoded, batch_tokens=tokens, shuffle=False).batches(0):
            step = objective(own.network, batch.data, None)
            (step.loss * step.weight).backward()
            total += float(step.loss.detach()) * step.weight
        norm = sum(float(weight.grad.square().sum()) for weight in own.network.parameters()) ** 0.5
        losses.append((total, norm))
    own.network.zero_grad()
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_stopped_run_goes_on_to_the_numbers_of_one_that_was_not(tmp_path, monkeypatch) -> None:
    options = {**SMALL, "epochs": 3, "dropout": 0.2, "averaging": "ema", "teacher_forcing": 0.5}
    whole = Translator(**options).fit(PAIRS[:80])
    train = running.train

    def stopped(*args, **kwargs):
        def stop(_):
            raise KeyboardInterrupt

        return train(*args, **kwargs, on_epoch=stop)

    monkeypatch.setattr(running, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        Translator(**options).fit(PAIRS[:80], directory=tmp_path)
    monkeypatch.undo()
    rest = Translator(**options).fit(PAIRS[:80], directory=tmp_path, resume=True)
    assert len(rest.history_.rows) == 3
    assert rest.summary_.scores == whole.summary_.scores


# --- what it reads ---------------------------------------------------------------------------------------------------


def test_pairs_are_read_from_every_kind_of_file(tmp_path) -> None:
    expected = [("ein Hund", 'a "dog"'), ("zwei", "two")]
    (tmp_path / "a.de").write_text("ein Hund\n\nzwei\n")
    with gzip.open(tmp_path / "a.en.gz", "wt") as file:
        file.write('a "dog"\n\n two \n')
    (tmp_path / "a.tsv").write_text('ein Hund\ta "dog"\nzwei\ttwo\n')
    (tmp_path / "b.tsv").write_text('id\tsource\ttarget\n1\tein Hund\ta "dog"\n2\tzwei\ttwo\n')
    (tmp_path / "a.csv").write_text('source,target\nein Hund,"a ""dog"""\nzwei,two\n')
    (tmp_path / "c.csv").write_text('English,Deutsch\n"a ""dog""",ein Hund\ntwo,zwei\n')
    rows = [json.dumps({"source": ours, "target": theirs}) for ours, theirs in expected]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    rows = [json.dumps({"t": {"en": theirs, "de": ours}}) for ours, theirs in expected]
    (tmp_path / "b.jsonl").write_text("\n".join(rows))
    for data, columns in (
        ((tmp_path / "a.de", str(tmp_path / "a.en.gz")), None),
        (tmp_path / "a.tsv", None),
        (str(tmp_path / "b.tsv"), None),
        (tmp_path / "b.tsv", (1, 2)),
        (tmp_path / "a.csv", None),
        (tmp_path / "c.csv", ("Deutsch", "English")),
        (tmp_path / "a.jsonl", None),
        (tmp_path / "b.jsonl", ("t.de", "t.en")),
        (expected, None),
        ([list(pair) for pair in expected], None),
    ):
        found = read_pairs(data, columns)
        assert [pair for pair in found if pair != ("source", "target")][-2:] == expected, data


def test_long_pairs_and_pairs_without_translation_are_left_out_or_cut_and_counted() -> None:
    data = [*PAIRS[:40], ("eins " * 5000, "one"), ("zwei", "two " * 400), ("drei", ""), ("", "nothing")]
    options = {**SMALL, "validation": 0.0, "test": 0.0, "max_length": 10}
    own = Translator(**options).fit(data)
    facts = dict(own.summary_.data)
    assert facts["longer than max_length"] == "2 pairs, left out"
    assert facts["without a translation"] == "1 pair, left out"
    assert own.summary_.scores == {}
    assert "Nothing was held out" in own.summary_.verdict
    whole = Translator(**options, long_pairs="cut")
    corpus = whole.task.read(whole, data)
    encoder = TranslationEncoder.fit(whole, corpus.take(range(40)))
    cut, long = fitting(encoder.encode(corpus.take(range(len(corpus)))), whole)
    assert long == 2
    assert max(map(len, cut.sources)) == 11
    assert max(map(len, cut.targets)) == 12
    assert all(row[-1] == encoder.written.specials.eos for row in cut.targets)


def test_a_source_of_5000_tokens_and_an_empty_one_are_translated(model) -> None:
    began = time.process_time()
    for tokens, width in ((5000, 1), (500, 3)):
        texts = ["rot " * tokens, "", "   ", "rot und blau"]
        found = model.translate(texts, beam_size=width)
        assert found[1:3] == ["", ""]
        assert found[3] == "blue and red"
        assert set(found[0].split()) <= set(WORDS.values())
        assert width > 1 or "".join(model.stream(texts[0])) == found[0]
    assert time.process_time() - began < 30


# --- what it writes --------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*no training source had")
def test_unknown_words_are_copied_from_where_attention_looked(model, monkeypatch) -> None:
    vocabulary = WordVocabulary.build(["a dog , and"], split="words")
    dog, unknown = vocabulary.encode("dog")[0], vocabulary.specials.unk
    assert as_text([unknown, dog, unknown], vocabulary, ["Rex", None, None]) == "Rex dog <unk>"
    assert "".join(pieces([(dog, 0), (unknown, 1), (unknown, 9)], vocabulary, ["x", "Rex"])) == "dog Rex <unk>"
    own = languages_of(model.fitted_.model)
    with torch.no_grad():
        bias = own.network.model.decoder.scores.bias
        bias[own.target.specials.unk] += 100.0
        try:
            found = model.translate("eins Quatsch drei", beam_size=1, max_length=2)
            assert set(found.split()) <= {"eins", "Quatsch", "drei", "<unk>"}
            assert found == "".join(model.stream("eins Quatsch drei", max_length=2))
        finally:
            bias[own.target.specials.unk] -= 100.0


@given(st.lists(st.sampled_from(["a", "dog", ",", ".", "(", ")", "it's", "«", "»", "?"]), max_size=9))
@settings(max_examples=60, deadline=None)
def test_joined_words_are_split_again_the_same(words) -> None:
    vocabulary = WordVocabulary.build(["a dog , . ( ) it's « » ?"], split="words")
    text = as_text(vocabulary.encode(" ".join(words)), vocabulary)
    assert vocabulary.split_text(text) == words
    tokens = [(token, None) for token in vocabulary.encode(" ".join(words))]
    assert "".join(pieces(tokens, vocabulary, [])) == text


def test_answers_and_streams_say_the_same(model, tmp_path) -> None:
    lines = ["eins zwei", "", "rot"]
    (tmp_path / "source.txt").write_text("".join(line + "\n" for line in lines))
    answers = list(model.answers(tmp_path / "source.txt", beam_size=3))
    assert [own["translation"] for own in answers] == ["two one", "", "red"]
    assert answers == list(model.answers(lines, beam_size=3))
    lazily = model.answers(iter(lines))
    assert next(lazily)["translation"] == "two one"
    best = answers[0]["alternatives"]
    assert len(best) == 3
    assert [own["score"] for own in best] == sorted((own["score"] for own in best), reverse=True)
    stream = model.stream()
    assert stream.push("eins zwei") == {"translation": "two one"}
    assert stream.push({"source": "rot"}) == {"translation": "red"}
    assert list(model.stream("eins zwei")) == ["two", " one"]
    with pytest.raises(StreamRowError, match="it has no text"):
        stream.push({"quelle": "rot"})


# --- the dictionary --------------------------------------------------------------------------------------------------


def _model_1(pairs, iterations):
    """IBM's model 1 as it is written, with dictionaries."""
    probabilities = defaultdict(lambda: 1.0)
    for _ in range(iterations):
        counts, totals = defaultdict(float), defaultdict(float)
        for ours, theirs in pairs:
            for f in theirs.split():
                whole = sum(probabilities[e, f] for e in ["", *ours.split()])
                for e in ["", *ours.split()]:
                    counts[e, f] += probabilities[e, f] / whole
                    totals[e] += probabilities[e, f] / whole
        probabilities = defaultdict(float, {(e, f): count / totals[e] for (e, f), count in counts.items()})
    return probabilities


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text("abc ", max_size=8), st.text("xyz ", max_size=8)), min_size=1, max_size=6))
def test_the_dictionary_has_the_likeliest_words_of_model_1(pairs) -> None:
    found, probabilities = learn_dictionary(pairs, iterations=3), _model_1(pairs, 3)
    known = {e for e, _ in probabilities if e}
    assert set(found) == known
    for word, best in found.items():
        assert probabilities[word, best] == pytest.approx(
            max(value for (e, _), value in probabilities.items() if e == word)
        )


def test_translation_by_the_dictionary_keeps_unknown_words() -> None:
    assert by_dictionary("das Haus, bitte", {"das": "the", "Haus": "house"}) == "the house , bitte"


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": "letters"}, 'level is "letters"; expected one of subword, word, character'),
        ({"cell": "grru"}, 'cell "grru" is not known'),
        ({"attention": "hard"}, 'attention is "hard"; expected one of additive'),
        ({"hidden_size": 7}, "hidden_size is 7; expected an even number"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"teacher_forcing": 0.0}, "teacher_forcing is 0.0"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"test": 0.6}, "test is 0.6"),
        ({"max_length": 0}, "max_length is 0"),
        ({"long_pairs": "drop"}, 'long_pairs is "drop"'),
        ({"beam_size": 0}, "beam_size is 0"),
        ({"batch_tokens": 0}, "batch_tokens is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"cell": "transformer", "input_feeding": True}, "leave them out for a transformer"),
        ({"cell": "transformer", "embedding_size": 4}, "leave embedding_size out"),
        ({"reading": "during"}, 'reading is "during"'),
        ({"split": "spaces"}, 'split is "spaces"'),
        ({"columns": ("a",)}, "columns is"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(options, said, tmp_path) -> None:
    data = PAIRS[:30]
    if "columns" in options:
        data = tmp_path / "a.tsv"
        data.write_text("a\tb\n")
    with pytest.raises(UsageError, match=said):
        Translator(**{**SMALL, **options}).fit(data)


def test_data_that_is_wrong_gets_a_sentence(tmp_path, model) -> None:
    (tmp_path / "a").write_text("eins\nzwei\n")
    (tmp_path / "b").write_text("one\n")
    (tmp_path / "bad").write_bytes(b"fine\n\xff\n")
    (tmp_path / "empty.tsv").write_text("")
    (tmp_path / "one.tsv").write_text("eins\nzwei\n")
    (tmp_path / "bad.jsonl").write_text('{"source": "a"}\n')
    fit = Translator(**SMALL).fit
    for data, kind, said in (
        ((tmp_path / "a", tmp_path / "b"), DataError, "a has 2 lines but b has 1"),
        ((tmp_path / "a", tmp_path / "bad"), DataError, "line 2 of bad"),
        ((tmp_path / "a", tmp_path / "none"), DataError, "does not exist"),
        ((tmp_path / "a",), UsageError, "there are 1 files; expected two"),
        (tmp_path / "empty.tsv", DataError, "holds no pairs"),
        (tmp_path / "one.tsv", DataError, "no column 1"),
        (tmp_path / "bad.jsonl", DataError, 'has no "target"'),
        (["eins", "one"], UsageError, "pair 0"),
        ([("eins", 1)], UsageError, "expected two texts"),
        ([("a", "")] * 9, DataError, "has a translation"),
        ([("", "a")] * 9, DataError, "every source is empty"),
        ([("a b c", "d e f")] * 40, DataError, "raise max_length"),
        ({"a": "b"}, UsageError, "the data is a dict"),
        ([], DataError, "the list holds no pairs"),
    ):
        with pytest.raises(kind, match=said):
            (Translator(**SMALL, max_length=2).fit if "max_length" in said else fit)(data)
    for call, said in (
        (lambda: model.translate("eins", width=3), "a search has no option width"),
        (lambda: model.alternatives("eins"), "texts is one text"),
        (lambda: model.attend(""), "the text is empty"),
        (lambda: Translator().translate("eins"), "not fitted"),
    ):
        with pytest.raises(UsageError, match=said):
            call()
    with pytest.raises(DataError, match="there are no pairs"):
        model.evaluate([("eins", "")])


def test_without_sacrebleu_a_fit_is_kept_and_an_evaluation_says_what_to_install(model, monkeypatch) -> None:
    def missing():
        raise MissingExtra("BLEU and chrF need the extra translate")

    monkeypatch.setattr("ostinato.tasks.base.corpus_scores.import_metrics", missing)
    own = Translator(**SMALL).fit(PAIRS[:60])
    assert set(own.summary_.scores["model"]) == {"loss", "perplexity"}
    assert "ostinato[translate]" in own.summary_.verdict
    assert "ostinato[translate]" in model.evaluate(PAIRS[:5]).verdict


# --- what is unseen --------------------------------------------------------------------------------------------------


def test_all_pairs_of_one_source_are_on_one_side_and_distinct_sources_are_counted() -> None:
    pairs = [(f"{source} {number % 150}", f"{target} {number}") for number, (source, target) in enumerate(PAIRS)]
    held = hold_out_drawn(Translator(), Corpus("x", (*pairs, *pairs[:200])), Shares(0.1, 0.2))
    sources = [{source for source, _ in part.pairs} for part in (held.train, held.validation, held.test)]
    assert sum(map(len, sources)) == len(set().union(*sources))
    assert len(held.test) == pytest.approx(160, abs=3)
    own = Translator(**SMALL, validation=0.1, test=0.2).fit([*pairs, *pairs[:200]])
    counts = dict(own.summary_.data)["distinct sources"].split(" / ")
    assert sum(int(count.replace(",", "")) for count in counts) == len({source for source, _ in pairs})
    assert "all pairs of one source on one side" in own.scores_.protocol


def test_characters_that_no_source_had_are_said_and_white_space_is_no_text(model) -> None:
    with pytest.warns(DataWarning, match=r'the source has characters that no training source had \("ΣЖ"\)'):
        model.translate("eins ΣЖ")
    with pytest.warns(DataWarning, match="1 of the 2 sources have"):
        model.translate(["eins", "漢"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model.translate(["eins zwei", "   ", "\t"])[1:] == ["", ""]


def test_batches_and_subwords_suit_the_size_of_a_corpus() -> None:
    assert batch_tokens_of(Translator(), 5_000) < batch_tokens_of(Translator(), 50_000)
    assert batch_tokens_of(Translator(batch_tokens=99), 5_000) == 99
    few, many = suited_subwords(["a b c"] * 2_000), suited_subwords(["a b c"] * 100_000)
    assert 500 <= few < many <= 8000
