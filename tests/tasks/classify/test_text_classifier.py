"""The classifier of texts: what it learns, reads, shows, keeps and refuses."""

import json
import math
import time

import numpy as np
import pytest

import ostinato
from ostinato import TextClassifier
from ostinato.errors import ColumnError, CorruptArtifact, DataError, MissingExtra, UsageError
from ostinato.tasks.base import running
from ostinato.tasks.base.class_task import MOST_FREQUENT
from ostinato.tasks.base.summary import Curve, Matrix, Table, WeightedText
from ostinato.tasks.classify.examples import Examples
from ostinato.tasks.classify.text_baselines import BAG_OF_WORDS

pytest.importorskip("sklearn")
GOOD = ["a fine film", "fine acting and a good story", "good , good fun", "the story is fine"]
BAD = ["a dull film", "dull acting and a poor story", "poor , dull fun", "the story is poor"]
TEXTS = (GOOD + BAD) * 12
LABELS = (["good"] * 4 + ["bad"] * 4) * 12
QUIET = {"progress": False, "hidden_size": 12, "embedding_size": 12, "batch_size": 8, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def model() -> TextClassifier:
    return TextClassifier(epochs=6, pooling="attention", **QUIET).fit((TEXTS, LABELS))


# --- what it learns and shows ----------------------------------------------------------------------------------------


def test_classes_of_new_texts_are_told(model) -> None:
    assert model.classes_.tolist() == ["bad", "good"]
    assert model.predict(["fine fun", "poor fun"]).tolist() == ["good", "bad"]
    probabilities = model.predict_proba(["fine fun", "poor fun", ""])
    assert probabilities.shape == (3, 2)
    assert probabilities.sum(1) == pytest.approx(1)
    assert (
        model.score(TEXTS, LABELS) == model.score((TEXTS, LABELS)) == model.evaluate((TEXTS, LABELS)).model["accuracy"]
    )


def test_the_summary_has_scores_beside_baselines_and_all_panels(model) -> None:
    summary = model.summary_
    assert set(summary.scores) == {"model", BAG_OF_WORDS, MOST_FREQUENT}
    wanted = {"accuracy", "macro F1", "cross-entropy", "calibration error", "AUROC", "AUPRC"}
    assert set(summary.scores["model"]) == wanted
    assert summary.scores["model"]["accuracy"] > summary.scores[MOST_FREQUENT]["accuracy"]
    assert "10 % of each class" in summary.protocol
    said = "test texts are in the training part too: this is not all unseen."
    assert said in summary.verdict  # eight texts, each twelve times
    said = dict(summary.data)
    assert said["classes"] == "bad 39, good 39" or "bad" in said["classes"]
    assert "before" in said["calibration"]
    assert said["repeated"].endswith("test texts are in the training part too")  # as this toy data has it
    kinds = [type(panel) for panel in summary.panels]
    assert kinds[:6] == [Matrix, Table, Curve, Table, Curve, Curve]
    assert kinds[6:-1].count(WeightedText) == len(kinds) - 7 > 0
    assert kinds[-1] is Table
    shown = summary.panels[6]
    assert len(shown.tokens) == len(shown.weights)
    assert max(shown.weights) == 1
    tested = int(np.sum(summary.panels[0].values))
    assert f"{tested} examples" in summary.protocol


def test_the_words_that_decide_are_the_ones_it_looks_at() -> None:
    own = TextClassifier(epochs=8, test=0.2, pooling="max", word_dropout=0.0, **QUIET).fit((TEXTS, LABELS))
    shown = [panel for panel in own.summary_.panels if isinstance(panel, WeightedText)]
    deciding = {"fine", "good", "dull", "poor"}
    heaviest = [panel.tokens[int(np.argmax(panel.weights))] for panel in shown]
    assert sum(word in deciding for word in heaviest) >= len(heaviest) / 2


def test_one_answer_is_the_answer_within_many(model) -> None:
    many = list(model.answers(TEXTS[:8]))
    told = model.predict_proba(TEXTS[:8])
    for answer, probabilities, text in zip(many, told, TEXTS, strict=False):
        assert list(answer) == ["label", "probability", "probabilities"]
        assert list(answer["probabilities"].values()) == pytest.approx(probabilities.tolist(), abs=1e-5)
        assert model.stream().push(text)["probability"] == pytest.approx(answer["probability"], abs=1e-5)
    assert model.stream().push({"text": TEXTS[0]})["label"] == many[0]["label"]


def test_weights_of_classes_are_those_of_their_examples_counted_more_often() -> None:
    kwargs = {**QUIET, "word_dropout": 0.0, "dropout": 0.0, "input_dropout": 0.0, "validation": 0.0, "test": 0.0}
    few = (TEXTS + BAD * 2, LABELS + ["bad"] * 8)
    plain = TextClassifier(epochs=1, **kwargs).fit(few)
    weighted = TextClassifier(epochs=1, class_weights={"bad": 0.0, "good": 1.0}, **kwargs).fit(few)
    balanced = TextClassifier(epochs=1, class_weights="balanced", **kwargs).fit(few)
    probabilities = [own.predict_proba(TEXTS)[:, 1].mean() for own in (plain, balanced, weighted)]
    assert probabilities[0] < probabilities[1] < probabilities[2]


def test_small_sets_are_passed_over_more_often() -> None:
    def epochs(own, count) -> int | None:
        return own.task.config(own, Examples("", ("a fine film",) * count)).epochs

    assert [epochs(TextClassifier(), count) for count in (50, 1500, 6920, 10**6)] == [100, 37, 8, 8]
    assert epochs(TextClassifier(epochs=3), 50) == 3


def test_whole_numbers_stay_labels_as_scikit_learn_has_them(tmp_path) -> None:
    own = TextClassifier(epochs=1, test=0.0, **QUIET).fit((TEXTS, [1, 0] * 48))
    assert own.predict(TEXTS[:2]).dtype.kind == "i"
    assert ostinato.load(own.save(tmp_path / "m")).classes_.tolist() == [0, 1]
    assert own.score(TEXTS, ["1", "0"] * 48) == own.score(TEXTS, [1, 0] * 48)


# --- what it keeps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"level": "word", "cell": "lstm", "pooling": "last", "weight_drop": 0.3, "num_layers": 2},
        {"level": "character", "cell": "transformer", "pooling": "mean", "label_smoothing": 0.1},
        {"level": "subword", "vocabulary_size": 300, "bidirectional": False, "pooling": "mean+max+attention"},
        {
            "cell": "sru",
            "embedding_dropout": 0.2,
            "averaging": "ema",
            "averaging_decay": 0.9,
            "class_weights": "balanced",
        },
    ],
    ids=["lstm", "transformer", "subwords", "sru"],
)
@pytest.mark.slow
@pytest.mark.ci
def test_every_option_is_trained_saved_and_tells_the_same_after(options, tmp_path) -> None:
    if options.get("level") == "subword":
        pytest.importorskip("tokenizers")
    own = TextClassifier(epochs=2, **QUIET, **options).fit((TEXTS, LABELS))
    assert math.isfinite(own.summary_.scores["model"]["cross-entropy"])
    own.save(tmp_path / "m")
    other = ostinato.load(tmp_path / "m")
    assert isinstance(other, TextClassifier)
    assert (other.predict_proba(TEXTS[:9]) == own.predict_proba(TEXTS[:9])).all()
    assert other.summary_.plain()["scores"] == own.summary_.plain()["scores"]
    assert other.summary_.panels[0] == own.summary_.panels[0]
    assert other.get_params() == own.get_params()


def test_a_stopped_run_goes_on_to_the_numbers_of_one_that_was_not(tmp_path, monkeypatch) -> None:
    options = {**QUIET, "dropout": 0.3, "word_dropout": 0.2}
    whole = TextClassifier(epochs=3, **options).fit((TEXTS, LABELS))
    train = running.train

    def stopped(*args, **kwargs):
        def stop(_):
            raise KeyboardInterrupt

        return train(*args, **kwargs, on_epoch=stop)

    monkeypatch.setattr(running, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        TextClassifier(epochs=3, **options).fit((TEXTS, LABELS), directory=tmp_path)
    monkeypatch.undo()
    rest = TextClassifier(epochs=3, **options).fit((TEXTS, LABELS), directory=tmp_path, resume=True)
    assert len(rest.history_.rows) == 3
    assert (rest.predict_proba(TEXTS) == whole.predict_proba(TEXTS)).all()


@pytest.mark.slow
@pytest.mark.ci
def test_word_vectors_are_started_from_and_kept_if_they_are_frozen(tmp_path) -> None:
    words = ["fine", "good", "dull", "poor", "film", "story"]
    vectors = np.random.default_rng(0).normal(size=(6, 7)).round(3)
    lines = [f"{word} {' '.join(map(str, own))}" for word, own in zip(words, vectors, strict=True)]
    (tmp_path / "v.txt").write_text("\n".join(lines) + "\n")
    kept = TextClassifier(epochs=1, vectors=str(tmp_path / "v.txt"), freeze_vectors=True, **QUIET).fit((TEXTS, LABELS))
    moved = TextClassifier(epochs=1, vectors=str(tmp_path / "v.txt"), **QUIET).fit((TEXTS, LABELS))
    row = kept.fitted_.model.encoder.vocabulary.encode("dull")[0]
    weights = [own.fitted_.model.network.front.embedding.weight.detach()[row].numpy() for own in (kept, moved)]
    assert weights[0] == pytest.approx(vectors[2])
    assert weights[1] != pytest.approx(vectors[2], abs=1e-6)
    assert kept.summary_.parameters < moved.summary_.parameters
    assert (
        kept.fitted_.model.network.front.embedding.weight.std() > 0.1
    )  # words that are not in the file have vectors too
    other = ostinato.load(kept.save(tmp_path / "m"))
    assert (other.predict_proba(TEXTS) == kept.predict_proba(TEXTS)).all()


def test_a_saved_model_answers_quickly(model) -> None:
    model.predict(["warm"])
    began = time.process_time()
    for _ in range(10):
        model.predict(["a fine film"])
    assert (time.process_time() - began) / 10 < 0.05


# --- what it reads ---------------------------------------------------------------------------------------------------


def test_files_of_every_kind_are_read_alike(tmp_path, model) -> None:
    import polars as pl

    rows = list(zip(TEXTS, LABELS, strict=True))
    frame = pl.DataFrame({"label": LABELS, "text": TEXTS, "other": 1})
    frame.write_csv(tmp_path / "a.csv")
    frame.write_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.tsv").write_text("".join(f"{label}\t{text}\n" for text, label in rows))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t, "label": own}) + "\n" for t, own in rows))
    (tmp_path / "a.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    expected = model.evaluate((TEXTS, LABELS)).model
    for source in (tmp_path / "a.csv", tmp_path / "a.parquet", tmp_path / "a.jsonl", frame, rows, frame.to_pandas()):
        assert model.evaluate(source).model == expected
        if source is not rows:
            assert model.predict(source).tolist() == model.predict(TEXTS).tolist()
    assert [answer["label"] for answer in model.answers(tmp_path / "a.txt")] == model.predict(TEXTS).tolist()
    numbered = TextClassifier(text=1, label=0, epochs=1, **QUIET).fit(str(tmp_path / "a.tsv"))
    assert numbered.classes_.tolist() == ["bad", "good"]
    assert len(numbered.predict(tmp_path / "a.tsv")) == len(TEXTS)


def test_data_of_its_own_may_be_held_out(tmp_path) -> None:
    own = TextClassifier(epochs=1, **QUIET).fit(
        (TEXTS, LABELS), validation=(GOOD, ["good"] * 4), test=(BAD, ["bad"] * 4)
    )
    assert own.summary_.protocol.startswith("test: data of its own;")
    assert own.summary_.protocol.endswith("4 examples")
    assert dict(own.summary_.data)["train"].startswith("96 examples")
    nothing = TextClassifier(epochs=1, validation=0.0, test=0.0, **QUIET).fit((TEXTS, LABELS))
    assert nothing.summary_.scores == {}
    assert "Nothing was held out" in nothing.summary_.verdict
    assert nothing.fitted_.model.encoder.temperature == 1


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": "sentence"}, "expected one of word, subword, character"),
        ({"pooling": "middle"}, "pooling is 'middle'"),
        ({"class_weights": "heavy"}, "expected one of none, balanced or a mapping"),
        ({"class_weights": {"good": 1}}, "expected a weight for each of bad, good"),
        ({"class_weights": {"good": -1, "bad": 1}}, "none below zero"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"test": 0.7}, "test is 0.7; expected a share"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"vectors": "v.txt", "level": "subword"}, "vectors are of words or characters"),
        ({"epochs": 0}, "epochs is 0"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(options, said) -> None:
    with pytest.raises(UsageError, match=said):
        TextClassifier(**{**QUIET, "epochs": 1, **options}).fit((TEXTS, LABELS))


def test_data_that_is_wrong_is_refused_in_one_sentence(tmp_path, model) -> None:
    own = TextClassifier(epochs=1, **QUIET)
    (tmp_path / "a.csv").write_text("text,label\nfine,good\ndull,\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "head.csv").write_text("text,label\n")
    (tmp_path / "other.csv").write_text("review,stars\nfine,5\n")
    for source, kind, said in [
        (tmp_path / "none.csv", DataError, "does not exist"),
        (tmp_path / "empty.csv", DataError, "empty.csv is empty"),
        (tmp_path / "head.csv", DataError, "head.csv is empty"),
        (tmp_path / "a.csv", DataError, "example 2 of a.csv has no label"),
        (tmp_path / "other.csv", ColumnError, 'no column "text"'),
        ((["a", "b"], ["x", "x"]), DataError, 'all 2 have the label "x"'),
        ((["a", "b"], ["x"]), DataError, "2 texts but 1 labels"),
        ((["a", 3], ["x", "y"]), DataError, "text 2 of the data is a int"),
        (([], []), DataError, "is empty"),
        ((["", " "] * 4, ["x", "y"] * 4), DataError, "are empty"),
        (["a", "b"], UsageError, "expected a path"),
        (7, UsageError, "data is a int"),
    ]:
        with pytest.raises(kind, match=said):
            own.fit(source)
    with pytest.raises(DataError, match='example 2 of the data has the label "ugly", which none of the training'):
        model.evaluate((["a", "b"], ["good", "ugly"]))
    with pytest.raises(DataError, match='has the label "ugly"'):
        own.fit((TEXTS, LABELS), test=(["a"], ["ugly"]))
    with pytest.raises(UsageError, match="not fitted"):
        TextClassifier().predict(["x"])
    with pytest.raises(ValueError, match="it is a int"):
        model.stream().push(3)


def test_scikit_learn_is_asked_for_before_anything_is_trained(monkeypatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra, match=r"ostinato\[text\]"):
        TextClassifier(epochs=1, **QUIET).fit((TEXTS, LABELS))
    TextClassifier(epochs=1, test=0.0, **QUIET).fit((TEXTS, LABELS))


def test_a_model_that_lacks_something_is_refused(tmp_path, model) -> None:
    from ostinato.artifact import load_artifact, save_artifact

    model.save(tmp_path / "m")
    artifact = load_artifact(tmp_path / "m", model.KIND)
    weights = {name: own for name, own in artifact.tensors.items() if "head" not in name}
    save_artifact(tmp_path / "m", model.KIND, artifact.body, weights)
    with pytest.raises(CorruptArtifact, match="fit it again"):
        ostinato.load(tmp_path / "m")
