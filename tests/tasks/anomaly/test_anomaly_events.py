"""Anomalies of sequences of event keys: what comes next, live and in files."""

import math

import numpy as np
import pytest

import ostinato
from ostinato import AnomalyDetector
from ostinato.errors import DataError, StreamRowError, UsageError

FEW = {"hidden_size": 16, "epochs": 8, "learning_rate": 1e-2, "progress": False, "false_alarm_rate": 0.02, "seed": 0}


def sessions(count=160, seed=0):
    rng = np.random.default_rng(seed)
    return [["open", *["read", "check"] * int(rng.integers(1, 4)), "close"] for _ in range(count)]


def log_of(rows, labels=None):
    found = {"session": [], "key": []}
    for number, row in enumerate(rows):
        found["session"] += [f"s{number}"] * len(row)
        found["key"] += row
    if labels is not None:
        found["bad"] = [int(labels[int(name[1:])]) for name in found["session"]]
    return found


@pytest.fixture(scope="module")
def model():
    return AnomalyDetector(method="events", **FEW).fit(sessions())


@pytest.fixture(scope="module")
def logged():
    return AnomalyDetector(id="session", event="key", **FEW).fit(log_of(sessions()))


STRANGE = {
    "another order": ["open", "check", "read", "close"],
    "cut short": ["open", "read"],
    "never seen": ["open", "read", "explode", "close"],
    "twice": ["open", "open", "read", "check", "close"],
}


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_sequences_are_found_and_usual_ones_are_not(model, kind) -> None:
    assert model.predict([*sessions(20, seed=1), STRANGE[kind]]).tolist() == [False] * 20 + [True]


def test_the_reason_names_what_came_and_what_was_expected(model) -> None:
    rows = [own for own in model.answers([STRANGE["never seen"]]) if own["alarm"]]
    assert rows[0]["event"] == "explode"
    assert "never came in training; check was expected" in rows[0]["reason"]
    (event,) = model.events([STRANGE["cut short"]])
    assert "(end of sequence) came" in event["reason"]


def test_a_stream_of_many_sequences_says_what_a_log_says_to_the_bit(logged) -> None:
    rows = [*sessions(6, seed=2), *STRANGE.values()]
    log = log_of(rows)
    whole = list(logged.answers(log))
    stream = logged.stream()
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(rows)), [len(own) for own in rows]))
    places = [0] * len(rows)
    said = []
    for number in order.tolist():
        said.append(stream.push({"session": f"s{number}", "key": rows[number][places[number]]}))
        places[number] += 1
        if len(said) == 20:
            state = stream.state()
            stream.reset()
            assert len(stream) == 0
            stream.restore(state)
    said += [stream.close(f"s{number}") for number in range(len(rows))]
    assert sorted(said, key=lambda own: (own["id"], own["place"])) == sorted(
        whole, key=lambda own: (own["id"], own["place"])
    )
    with pytest.raises(UsageError, match="no sequence"):
        stream.close("s0")
    with pytest.raises(StreamRowError, match='no "key"'):
        stream.push({"session": "s0"})


def test_labelled_sequences_are_not_learned_and_are_what_it_is_judged_by() -> None:
    rows = sessions(200)
    labels = np.zeros(200, int)
    for place in range(5, 200, 10):
        rows[place], labels[place] = list(STRANGE.values())[place % 4], 1
    found = AnomalyDetector(id="session", event="key", labels="bad", test=0.3, **FEW).fit(log_of(rows, labels))
    assert found.scores_["F1"] > 0.8
    assert found.scores_["AUROC"] > 0.95
    assert "explode" not in found.fitted_.model.encoder.keys
    by_labels = found.unfitted(threshold="labels").fit(log_of(rows, labels))
    assert by_labels.scores_["recall"] > 0.8
    assert found.predict(log_of(rows)).shape == (200,)


def test_an_event_that_is_not_among_the_expected_ones_is_strange() -> None:
    found = AnomalyDetector(method="events", top=2, **FEW).fit(sessions())
    assert found.predict([["open", "read", "check", "close"], STRANGE["another order"]]).tolist() == [False, True]
    assert found.summary_.settings["alarm from"].startswith("2 ")


def test_a_model_comes_back_with_its_baselines_and_embeds(model, tmp_path) -> None:
    again = ostinato.load(model.save(tmp_path / "m"))
    rows = sessions(10, seed=4)
    np.testing.assert_array_equal(again.score_samples(rows), model.score_samples(rows))
    assert again.evaluate(rows).values == model.evaluate(rows).values
    assert "sequences seen before" in again.fitted_.baselines
    assert again.embed(rows).shape == (10, 16)
    assert "strangest sequences" in model.report(tmp_path / "r.html").read_text()
    nats = -math.log(sum(math.exp(-own) for own in again.score_samples(rows)) / 10)
    assert nats > 0


def test_lines_of_keys_are_sessions(tmp_path) -> None:
    (tmp_path / "s.txt").write_text("\n".join(" ".join(own) for own in sessions(50)) + "\n\n")
    found = AnomalyDetector(method="events", **{**FEW, "epochs": 1}).fit(tmp_path / "s.txt")
    assert len(found.fitted_.model.encoder.keys) == 4


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ([], {"method": "events"}, "has no sequences"),
        ([[]], {"method": "events"}, "sequence 1 is empty"),
        (3, {"method": "events"}, "holds no sequences"),
        ("none.txt", {"method": "events"}, "cannot be read"),
        (log_of(sessions(5)), {"event": "key"}, "name it with id"),
        (log_of(sessions(5)), {"event": "no", "id": "session"}, '"no"'),
        (log_of(sessions(20)), {"event": "key", "id": "session", "labels": "no"}, '"no"'),
    ],
)
def test_bad_logs_are_refused_in_one_sentence(data, options, message) -> None:
    with pytest.raises((DataError, UsageError), match=message) as caught:
        AnomalyDetector(**options, **FEW).fit(data)
    assert "\n" not in str(caught.value)
