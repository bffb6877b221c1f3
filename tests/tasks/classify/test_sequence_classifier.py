"""The classifier of numeric sequences: what it learns, reads, streams, keeps and refuses."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato
from ostinato import SequenceClassifier
from ostinato.errors import ColumnError, DataError, StreamRowError, UsageError
from ostinato.tasks.base import running
from ostinato.tasks.base.class_task import MOST_FREQUENT
from ostinato.tasks.base.summary import Curve, Matrix, Table
from ostinato.tasks.base.weighing import drawn_folds
from ostinato.tasks.classify.channels import ChannelEncoder, Steps, read_examples
from ostinato.tasks.classify.encoding import padded
from ostinato.tasks.classify.examples import Examples
from ostinato.tasks.classify.sequence_baselines import STATISTICS
from ostinato.tasks.classify.weighing import left_out_scores

QUIET = {"progress": False, "hidden_size": 12, "batch_size": 8, "learning_rate": 1e-2, "kernels": 84, "members": 2}
FORWARD = {**QUIET, "bidirectional": False, "kernels": None}
NAN = float("nan")


def waves(count=60, channels=2, seed=0, missing=0.0):
    """Slow and fast waves of different lengths, in all channels."""
    rng = np.random.default_rng(seed)
    labels = ["slow" if number % 2 else "fast" for number in range(count)]
    sequences = []
    for label in labels:
        steps = np.arange(rng.integers(12, 30))[:, None]
        phase = rng.uniform(0, 6, channels)
        own = np.sin(steps * (0.3 if label == "slow" else 0.9) + phase) * 5 + 40 + rng.normal(0, 0.5, (1, channels))
        own[rng.random(own.shape) < missing] = NAN
        sequences.append(own)
    return sequences, labels


DATA = waves()


@pytest.fixture(scope="module")
def model() -> SequenceClassifier:
    return SequenceClassifier(epochs=10, pooling="last+mean+max+attention", num_layers=2, **FORWARD).fit(DATA)


# --- what it learns and shows ----------------------------------------------------------------------------------------


def test_waves_are_told_by_their_speed(model) -> None:
    assert model.score(waves(seed=9)) > 0.9
    assert model.predict(DATA[0][:2]).tolist() == DATA[1][:2]
    assert model.predict_proba(DATA[0]).sum(1) == pytest.approx(1)


def test_the_summary_has_scores_beside_baselines_and_panels(model) -> None:
    summary = model.summary_
    near = {"1-NN DTW", "1-NN DTW, not standardised"}
    assert set(summary.scores) == {"model", *near, STATISTICS, MOST_FREQUENT}
    assert set(summary.scores["1-NN DTW"]) == {"accuracy", "macro F1"}
    assert [type(panel) for panel in summary.panels] == [Matrix, Table, Curve, Table, Curve, Curve, Curve]
    assert len(summary.panels[-2].lines) == 2
    assert dict(summary.data)["channels"] == "2: channel_1, channel_2"


def test_one_channel_may_be_given_as_plain_rows_of_numbers() -> None:
    sequences, labels = waves(channels=1)
    flat = [own[:, 0] for own in sequences]
    own = SequenceClassifier(epochs=1, **QUIET).fit((flat, labels))
    assert (own.predict_proba(flat) == own.predict_proba(sequences)).all()
    block = np.stack([own[:12] for own in sequences])
    assert own.predict(block).shape == (60,)


def test_which_scale_a_channel_has_does_not_matter() -> None:
    sequences, labels = DATA
    scaled = [own * [1000.0, 1e-3] + [-5.0, 7.0] for own in sequences]
    found = [SequenceClassifier(epochs=1, **QUIET).fit((own, labels)).predict_proba(own) for own in (sequences, scaled)]
    assert found[0] == pytest.approx(found[1], abs=1e-2)


@pytest.mark.parametrize("table", [False, True])
def test_values_far_from_zero_keep_how_they_differ(table) -> None:
    """Nine digits before what tells the classes apart: float32 has seven."""
    own, read = SequenceClassifier(), []
    for shift in (0.0, 1e9):
        sequences = [sequence.astype(np.float64) + shift for sequence in DATA[0]]
        data = (sequences, DATA[1])
        if table:
            rows = [(number, *step) for number, sequence in enumerate(sequences) for step in sequence.tolist()]
            columns = dict(zip(["id", "x", "y"], zip(*rows, strict=True), strict=True))
            data = {name: list(column) for name, column in columns.items()}
            data["label"] = [DATA[1][number] for number in data["id"]]
        examples = own.task.read(own, data)
        read.append(own.task.encoder(own, examples).encode(examples))
    for one, other in zip(*read, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


# --- networks that leave examples out --------------------------------------------------------------------------------


def test_each_network_is_judged_on_the_fifth_that_it_has_left_out_and_has_learned_from_the_rest() -> None:
    own = SequenceClassifier(epochs=2, test=0.0, **QUIET).fit(DATA)
    fitted = own.fitted_.model
    part = own.task.encode(fitted, own.task.read(fitted.parameters, DATA))
    unseen = left_out_scores(fitted.network, part, own.seed)
    folds = drawn_folds(part.targets, 5, own.seed)
    rows = np.flatnonzero(folds < 2)
    assert len(unseen.targets) == len(rows) == fitted.encoder.judged == 24
    for place in (0, 5, 23):
        inputs, lengths = padded([part.arrays[rows[place]]])
        with torch.no_grad():
            logs = fitted.network.members[folds[rows[place]]](inputs, lengths).log_softmax(-1)
        assert unseen.scores[0][place] == pytest.approx(logs[0].numpy(), abs=1e-5)
    batch = next(iter(own.task.batches(fitted, part, training=True).batches(0))).data
    alone = batch._replace(folds=torch.zeros_like(batch.folds))  # all left out by the first
    fitted.network.zero_grad()
    loss = own.task.objective(fitted, part)(fitted.network.train(), alone, None).loss
    loss.backward()
    gradients = [member.head.weight.grad for member in fitted.network.members]
    assert gradients[0].eq(0).all()
    assert gradients[1].ne(0).any()
    fitted.network.eval()


def test_what_was_decided_and_weighed_is_in_the_settings() -> None:
    own = SequenceClassifier(epochs=1, **{**QUIET, "members": None}).fit(DATA)
    said = own.summary_.settings
    assert said["members"] == "3"
    assert said["stride"] == "1"
    assert float(said["weight of the random convolutions"]) > 0
    assert "examples that they have not seen" in dict(own.summary_.data)["calibration"]


# --- missing values and times ----------------------------------------------------------------------------------------


def test_a_missing_value_is_marked_and_never_taken_for_one_that_is_there() -> None:
    values = np.array([[1.0, 10.0], [NAN, 30.0], [3.0, NAN]], np.float32)
    encoder = ChannelEncoder.fit(Examples("x", (Steps(values), Steps(values)), ("a", "b"), ("p", "q")), hidden=False)
    assert (encoder.center, encoder.scale) == (pytest.approx([2, 20]), pytest.approx([1, 10]))
    features = encoder.encode(Examples("x", (Steps(values),), None, ("p", "q")))[0]
    assert features.tolist() == [[-1, -1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1]]
    mean = encoder.features(np.array([[2.0, 20.0]]), None, "x")
    none = encoder.features(np.array([[NAN, NAN]]), None, "x")
    assert mean.tolist() != none.tolist()


@pytest.mark.slow
def test_a_model_that_has_seen_no_missing_value_refuses_one_and_one_that_has_hidden_some_does_not(model) -> None:
    holed = [np.where(np.arange(14)[:, None] == 3, NAN, DATA[0][0][:14])]
    with pytest.raises(DataError, match='sequence 1 of the data has a missing value in "channel_1", but nothing was'):
        model.predict(holed)
    hidden = SequenceClassifier(epochs=1, value_dropout=0.2, **QUIET).fit(DATA)
    assert hidden.predict(holed).shape == (1,)
    assert hidden.predict([np.full((3, 2), NAN)]).shape == (1,)
    seen = SequenceClassifier(epochs=4, **QUIET).fit(waves(missing=0.2))
    assert seen.score(waves(missing=0.2, seed=4)) > 0.7
    assert dict(seen.summary_.data)["missing values"] == "marked"


def test_times_are_told_by_the_gaps_between_them(tmp_path) -> None:
    rng = np.random.default_rng(0)
    lines = ["beat,second,kind,x"]
    for number in range(40):  # only the gaps tell the classes apart
        gaps = rng.exponential(1.0 if number % 2 else 10.0, 12)
        for second in np.cumsum(gaps + 0.01):
            lines.append(f"{number},{second:.4f},{'odd' if number % 2 else 'even'},{rng.normal():.3f}")
    (tmp_path / "beats.csv").write_text("\n".join(lines) + "\n")
    columns = {"series_id": "beat", "label": "kind"}
    timed = SequenceClassifier(epochs=8, time="second", channels=["x"], **columns, **FORWARD).fit(
        tmp_path / "beats.csv"
    )
    assert timed.score(tmp_path / "beats.csv") > 0.9
    assert "median time gap" in dict(timed.summary_.data)
    assert [answer["label"] for answer in timed.answers(tmp_path / "beats.csv")][:2] == ["even", "odd"]
    other = ostinato.load(timed.save(tmp_path / "m"))
    assert other.score(tmp_path / "beats.csv") == timed.score(tmp_path / "beats.csv")
    with pytest.raises(DataError, match="has no times, but those in training had"):
        timed.predict([np.zeros((3, 1))])
    (tmp_path / "back.csv").write_text("beat,second,kind,x\n1,2,odd,1\n1,1,odd,1\n")
    with pytest.raises(DataError, match="does not come after"):
        timed.predict(tmp_path / "back.csv")
    stream = timed.stream()
    dates = [stream.push({"x": 0.0, "second": f"2024-01-31 13:00:0{second}"}) for second in (0, 2)]
    stream.reset()
    assert [stream.push({"x": 0.0, "second": second}) for second in (7, 9.0)] == dates


# --- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention", "last+mean+max+attention"])
@pytest.mark.parametrize("cell", ["gru", "slstm", "transformer"])
@pytest.mark.slow
@pytest.mark.ci
def test_the_last_answer_of_a_stream_is_that_of_the_whole_sequence(cell, pooling) -> None:
    sequences, labels = waves(20, missing=0.1)
    own = SequenceClassifier(
        epochs=1,
        cell=cell,
        pooling=pooling,
        validation=0.2,
        test=0.0,
        width=5,
        convolutions=(4, 6),
        **{**FORWARD, "hidden_size": 8},
    ).fit((sequences, labels))
    whole = own.predict_proba(sequences[:2])
    stream = own.stream()
    for sequence, expected in zip(sequences, whole, strict=False):
        stream.reset()
        for step, row in enumerate(sequence):
            answer = stream.push([None if math.isnan(value) else value for value in row])
            if step == 4:
                so_far = own.predict_proba([sequence[:5]])[0]
                assert list(answer["probabilities"].values()) == pytest.approx(so_far.tolist(), abs=1e-5)
        assert list(answer["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_stream_takes_rows_in_every_form_and_begins_anew_when_told(model) -> None:
    stream = model.stream()
    first = stream.push([40.0, 41.0])
    assert stream.push({"channel_1": 40.0, "channel_2": 41.0, "reset": True}) == first
    stream.reset()
    assert stream.push("40.0, 41.0") == first
    stream.reset()
    assert stream.push(np.array([40.0, 41.0])) == first
    for row, said in [
        ([1.0], "it has 1 values; expected 2: channel_1, channel_2"),
        ({"channel_1": 1.0}, 'it has no "channel_2"'),
        (["a", 1.0], "no number"),
        ([math.inf, 1.0], "infinite"),
        ([None, 1.0], "missing value"),
        (3, "no number"),
    ]:
        with pytest.raises(StreamRowError, match=said):
            stream.push(row)


def test_a_stream_with_times_takes_them_and_refuses_those_that_go_back() -> None:
    from ostinato.data.sequences import SequenceSet

    sequences, labels = waves(20)
    times = tuple(np.cumsum(np.random.default_rng(0).uniform(0.5, 2, len(own))) for own in sequences)
    data = SequenceSet(
        "set", ("a", "b"), tuple(own.astype(np.float32) for own in sequences), tuple(map(str, range(20))),
        tuple(labels), ("fast", "slow"), None, times,
    )  # fmt: skip
    own = SequenceClassifier(epochs=1, validation=0.2, test=0.0, **FORWARD).fit(data)
    stream = own.stream()
    for row, time in zip(data.sequences[0], times[0], strict=True):
        answer = stream.push({"a": row[0], "b": row[1], "time": time})
    assert list(answer["probabilities"].values()) == pytest.approx(own.predict_proba(data)[0].tolist(), abs=1e-5)
    with pytest.raises(StreamRowError, match="does not come after"):
        stream.push([0, 0], time=0.0)
    with pytest.raises(StreamRowError, match='it has no "time" that is a time'):
        stream.push([0, 0])


@pytest.mark.parametrize("options", [{}, {"bidirectional": False, "stride": 2}])
def test_a_model_that_needs_the_end_does_not_stream(options) -> None:
    own = SequenceClassifier(epochs=1, test=0.0, **{**QUIET, "members": 1, "kernels": 0}, **options).fit(DATA)
    with pytest.raises(UsageError, match="cannot answer step by step; fit one with bidirectional=False"):
        own.stream()


# --- what it keeps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "lstm", "bidirectional": True, "pooling": "last", "weight_drop": 0.2},
        {"convolutions": (6, 8), "width": 3, "stride": 2, "pooling": "attention", "class_weights": "balanced"},
        {"cell": "transformer", "bidirectional": True, "value_dropout": 0.1},
    ],
    ids=["lstm", "convolutions", "transformer"],
)
@pytest.mark.slow
@pytest.mark.ci
def test_every_option_is_trained_saved_and_tells_the_same_after(options, tmp_path) -> None:
    own = SequenceClassifier(epochs=2, **QUIET, **options).fit(DATA)
    other = ostinato.load(own.save(tmp_path / "m"))
    assert isinstance(other, SequenceClassifier)
    assert (other.predict_proba(DATA[0]) == own.predict_proba(DATA[0])).all()
    assert other.summary_.scores == own.summary_.scores
    assert other.get_params() == {**own.get_params(), "channels": ()}
    line = json.dumps(DATA[0][0].tolist())
    assert next(other.answers([line]))["label"] == own.predict(DATA[0][:1])[0]


@pytest.mark.slow
@pytest.mark.ci
def test_a_stopped_run_goes_on_to_the_numbers_of_one_that_was_not(tmp_path, monkeypatch) -> None:
    options, data = {**QUIET, "value_dropout": 0.1, "cell": "lstm", "epochs": 3}, waves(30)
    whole = SequenceClassifier(**options).fit(data)
    train = running.train

    def stopped(*args, **kwargs):
        def stop(_):
            raise KeyboardInterrupt

        return train(*args, **kwargs, on_epoch=stop)

    monkeypatch.setattr(running, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        SequenceClassifier(**options).fit(data, directory=tmp_path)
    monkeypatch.undo()
    rest = SequenceClassifier(**options).fit(data, directory=tmp_path, resume=True)
    assert (rest.predict_proba(data[0]) == whole.predict_proba(data[0])).all()


# --- what is refused -------------------------------------------------------------------------------------------------


def test_parameters_that_cannot_be_meant_are_refused() -> None:
    for options, said in [
        ({"dtw_window": 2.0}, "dtw_window is 2.0"),
        ({"value_dropout": 1.0}, "value_dropout is 1.0"),
        ({"width": 0, "convolutions": (3,)}, "width is 0"),
        ({"validation": -0.1}, "validation is -0.1"),
    ]:
        with pytest.raises(UsageError, match=said):
            SequenceClassifier(epochs=1, **{**QUIET, **options}).fit(DATA)


def test_data_that_is_wrong_is_refused_in_one_sentence(tmp_path, model) -> None:
    own = SequenceClassifier(epochs=1, **QUIET)
    rows = "id,x,label\n1,0.5,a\n1,0.7,a\n2,0.1,b\n"
    (tmp_path / "long.csv").write_text(rows)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "two.csv").write_text("id,x,label\n1,1,a\n1,2,b\n")
    (tmp_path / "one.ts").write_text("@classLabel true a b\n@data\n1,2:a\n3,4:a\n")
    (tmp_path / "number.ts").write_text("@targetlabel true\n@data\n1,2:0.5\n3,4:0.7\n")
    (tmp_path / "bad.ts").write_text("@classLabel true a b\n@data\n1,x:a\n")
    lost = [np.column_stack([own[:, 0], np.full(len(own), NAN)]) for own in DATA[0]]
    for source, kind, said in [
        (tmp_path / "none.ts", DataError, "does not exist"),
        (tmp_path / "empty.csv", DataError, "empty.csv is empty"),
        (tmp_path / "two.csv", DataError, 'column "label" is "b", but sequence "1" begins with "a"'),
        (tmp_path / "one.ts", DataError, 'all 2 have the label "a"'),
        (tmp_path / "number.ts", DataError, "has no classes"),
        (tmp_path / "bad.ts", DataError, '"x" is not a finite number'),
        ((lost, DATA[1]), DataError, 'channel "channel_2" has no value in training'),
        (
            ([np.zeros((3, 2)), np.zeros((3, 1))], ["a", "b"]),
            DataError,
            "sequence 2 of the data has 1 channels; expected 2",
        ),
        (([np.zeros((3, 2)), np.zeros((0, 2))], ["a", "b"]), DataError, "sequence 2 of the data has no steps"),
        (([[1.0], [math.inf]], ["a", "b"]), DataError, "sequence 2 of the data holds an infinite number"),
        (([["u"], [1.0]], ["a", "b"]), DataError, "sequence 1 does not hold numbers"),
        (([np.zeros((2, 2, 2))] * 2, ["a", "b"]), DataError, "has the shape"),
        ((DATA[0], DATA[1][:-1]), DataError, "60 sequences but 59 labels"),
        (([], []), DataError, "is empty"),
        (DATA[0], UsageError, "a pair"),
        (5, UsageError, "data is a int"),
    ]:
        with pytest.raises(kind, match=said):
            own.fit(source)
    with pytest.raises(ColumnError, match="sensor"):
        SequenceClassifier(series_id="sensor", **QUIET).fit(tmp_path / "long.csv")
    with pytest.raises(DataError, match="has 1 channels; expected 2: channel_1, channel_2"):
        model.predict([np.zeros((4, 1))])
    with pytest.raises(DataError, match='has the label "still"'):
        model.evaluate((DATA[0][:2], ["slow", "still"]))
    with pytest.raises(DataError, match="line 2 is no sequence"):
        list(model.answers(["[[1, 2]]", "1;2"]))
    with pytest.raises(UsageError, match="not fitted"):
        SequenceClassifier().stream()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(1, 3), st.integers(0, 2**31))
def test_a_long_table_holds_what_arrays_hold(lengths, channels, seed) -> None:
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=(length, channels)).astype(np.float32) for length in lengths]
    table: dict[str, list] = {"id": [], "label": []}
    for number, own in enumerate(arrays):
        table["id"] += [f"s{number}"] * len(own)
        table["label"] += [f"c{number % 2}"] * len(own)
    stacked = np.concatenate(arrays)
    table |= {f"channel_{i + 1}": stacked[:, i] for i in range(channels)}
    own = SequenceClassifier()
    found = read_examples(own, table, None, labelled=True)
    pair = (arrays, [f"c{i % 2}" for i in range(len(arrays))])
    expected = read_examples(own, pair, None, labelled=True)
    assert found.labels == expected.labels
    assert found.channels == expected.channels
    for ours, theirs in zip(found.items, expected.items, strict=True):
        assert (ours.values == theirs.values).all()


# --- the archive -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_basic_motions_are_told(shared_data) -> None:
    folder = shared_data / "ucr_uea" / "BasicMotions"
    own = SequenceClassifier(progress=False).fit(folder / "BasicMotions_TRAIN.ts", test=folder / "BasicMotions_TEST.ts")
    assert own.summary_.scores["model"]["accuracy"] >= 0.95
    # published for all of the training part: A. Bagnall et al., 2018
    assert own.summary_.scores["1-NN DTW, not standardised"]["accuracy"] == 0.975
