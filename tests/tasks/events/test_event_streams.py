"""Streams of events: many cases at once, the same answers as in a batch."""

import json
import math
from collections import Counter
from datetime import datetime

import numpy as np
import pytest

from event_logs import SMALL, make_log, rows_of
from ostinato import EventPredictor
from ostinato.errors import StreamRowError

IN_CI = [("lstm", "dates"), ("gru", "numbers"), ("transformer", "none")]  # each once


@pytest.mark.parametrize(
    ("cell", "times"),
    [
        pytest.param(cell, times, marks=pytest.mark.ci if (cell, times) in IN_CI else ())
        for cell in ("lstm", "gru", "transformer")
        for times in ("dates", "numbers", "none")
    ],
)
@pytest.mark.slow
def test_a_stream_of_many_cases_says_what_the_batch_says(cell, times) -> None:
    log = make_log(40, seed=3)
    if times == "numbers":
        log["time"] = [round((at - datetime(2024, 1, 1)).total_seconds()) for at in log["time"]]
    if times == "none":
        del log["time"]
    own = EventPredictor(cell=cell, epochs=1, time=None if times == "none" else "time", **SMALL).fit(log)
    expected = {answer["case"]: answer for answer in own.answers(log)}
    stream, last = own.stream(), {}
    # events of all cases side by side, the first ones of each first
    seen: Counter[str] = Counter()
    placed = []
    for row in rows_of(log):
        placed.append((seen[row["case"]], row))
        seen[row["case"]] += 1
    for _, row in sorted(placed, key=lambda pair: pair[0]):
        last[row["case"]] = stream.push(row)
    assert len(stream) == len(expected) == 40
    for case, answer in expected.items():
        assert last[case]["next"] == answer["next"]
        for name, value in answer["probabilities"].items():
            assert last[case]["probabilities"][name] == pytest.approx(value, abs=1e-5)
        for name in answer:
            if name.startswith(("in_", "left_")):
                assert last[case][name] == pytest.approx(answer[name], rel=1e-3, abs=1e-4)
    assert ("in_days" in answer) == (times == "dates")


def test_what_is_kept_of_a_case_does_not_grow_and_the_oldest_case_is_forgotten(model) -> None:
    stream = model.stream(max_cases=2)
    sizes = set()
    for number in range(30):
        stream.push({"case": "a", "activity": "wait", "time": f"2024-01-{number + 1:02}"})
        sizes.add(sum(part.nbytes for part in _leaves(stream.kept())))
    assert len(sizes) == 1
    fresh = stream.push({"case": "b", "activity": "open", "time": "2024-01-01"})
    stream.push({"case": "c", "activity": "open", "time": "2024-01-01"})
    assert len(stream) == 2  # "a" is forgotten
    again = stream.push({"case": "a", "activity": "open", "time": "2024-01-01"})
    assert again["probabilities"] == pytest.approx(fresh["probabilities"])
    assert stream.close("a")
    assert not stream.close("a")


def _leaves(state):
    if isinstance(state, dict):
        state = list(state.values())
    if not isinstance(state, (list, tuple)):
        return [np.asarray(state)]
    return [leaf for part in state for leaf in _leaves(part)]


def test_an_unknown_activity_and_a_missing_time_are_answered(model) -> None:
    stream = model.stream()
    for row in (
        {"case": 1, "activity": "sang", "time": "2024-05-01 10:00"},
        {"case": 1, "activity": "check", "time": None},
        "1,wait,2024-05-01 11:00",
        {"case": 1, "activity": "wait", "time": datetime(2024, 5, 2)},
        {"case": 1, "activity": "wait", "time": "2024-05-02T02:00:00+01:00"},
    ):
        answer = stream.push(row)
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
        assert math.isfinite(answer["in_days"])
    json.dumps(answer)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"activity": "wait", "time": "2024-01-01"}, 'it has no "case"'),
        ({"case": 1, "activity": "", "time": "2024-01-01"}, 'it has no "activity"'),
        ({"case": 1, "activity": "wait"}, 'it has no "time"'),
        ({"case": 1, "activity": "wait", "time": "soon"}, 'its time is "soon"; expected one such as'),
        ({"case": 1, "activity": "wait", "time": 7}, "its time is 7; expected one such as"),
        ("1,wait", "it has 2 cells"),
        ([1, 2], "it is a list"),
        ({"case": {"a": 1}, "activity": "wait", "time": "2024-01-01"}, 'its "case" is a dict'),
        ({"case": 1, "activity": ["wait"], "time": "2024-01-01"}, 'its "activity" is a list'),
        ({"case": 0, "activity": "wait", "time": "2023-12-31"}, "in the order of time"),
        ({"case": 0, "activity": "wait", "time": "2924-01-02"}, r"comes 328[0-9]{3} days.* more than a pause"),
        ({"case": 0, "activity": "wait", "time": "9999-12-31"}, "more than a pause"),
    ],
)
def test_a_bad_event_is_named_and_changes_nothing(model, row, said) -> None:
    stream, other = model.stream(), model.stream()
    for own in (stream, other):
        own.push({"case": 0, "activity": "open", "time": "2024-01-01"})
    with pytest.raises(StreamRowError, match=said):
        stream.push(row)
    good = {"case": 0, "activity": "check", "time": "2024-01-02"}
    assert stream.push(good) == other.push(good)
