"""One protocol of streams: whatever a task is, its stream is pushed, many at once, kept as bytes and restored."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato import (
    AnomalyDetector,
    Captioner,
    Composer,
    EventPredictor,
    Forecaster,
    LanguageModel,
    PatientMonitor,
    ProgressionModel,
    SequenceClassifier,
    SequenceTagger,
    TextClassifier,
    Transcriber,
    Translator,
    VideoAnomalyDetector,
    VideoClassifier,
)
from ostinato.errors import OstinatoError, StreamRowError, UsageError
from ostinato.streaming import Stream, push_many
from ostinato.streaming.states import pack, unpack

FEW = {"hidden_size": 4, "epochs": 1, "progress": False}
WAVES = [np.sin(np.arange(12) * (0.3 if i % 2 else 0.9)) for i in range(24)]
TAGGED = [(("the", "dog", "barks"), ("D", "N", "V"))] * 12
LOG = {"case": np.repeat(np.arange(12), 3), "activity": ["a", "b", "c"] * 12, "time": np.arange(36)}
VITALS = [
    {"id": i // 4, "time": i % 4, "variable": "HR", "value": 80.0 + 5 * (i % 4) * (i // 4 % 2)} for i in range(96)
]
DIED = [{"id": i, "outcome": i % 2} for i in range(24)]
VISITS = [
    {
        "id": i // 3,
        "time": i % 3,
        "bili": 1.0 + (i // 3 % 2) * (i % 3),
        "event": i // 3 % 2,
        "follow_up": 4 + i // 3 % 5,
    }
    for i in range(90)
]
LINES = ["the cat sat on the mat and looked at the dog", "the dog looked at the cat", "a mat", "the dog sat"]
CHORDS = [[[60 + i % 5, 64 + i % 3], [62, 65 + i % 4], [], [60, 67]] for i in range(16)]
PAIRS = [("a dog", "ein hund"), ("a cat", "eine katze")] * 20
TONE = (0.3 * np.sin(np.arange(6400) / 4) * (np.arange(6400) // 1600 % 2)).round(4)
LIGHTS = [
    np.broadcast_to((60 * np.arange(4)[:: 1 - 2 * (i % 2)])[:, None, None, None] + i, (4, 16, 16, 3)).astype(np.uint8)
    for i in range(12)
]
FILM = (np.arange(24)[:, None, None] * 5 + np.arange(16)[:, None] * np.arange(24) % 90).astype(np.uint8)
EVENTS = [{"case": f"c{i % 3}", "activity": "abcab"[i % 5], "time": 40 + i} for i in range(8)]

CLIPS = [
    np.random.default_rng(i).integers(0, 99 + 99 * (i % 2), (6 + i % 3, 12, 16), dtype=np.uint8) for i in range(12)
]
POSES = [np.random.default_rng(i).random((7, 17, 3)) * (1 + i % 2) for i in range(12)]

MAKE = {
    "forecaster": lambda: Forecaster(3, context=12, segment=1, **FEW).fit(np.sin(np.arange(120) / 3)),
    "anomaly": lambda: AnomalyDetector(season=12, **FEW).fit(np.sin(np.arange(160) * np.pi / 6)),
    "keys": lambda: AnomalyDetector(id="case", event="activity", **FEW).fit(LOG),
    "transformer events": lambda: EventPredictor(cell="transformer", num_layers=1, **FEW).fit(LOG),
    "events": lambda: EventPredictor(num_layers=2, **FEW).fit(LOG),
    "sequences": lambda: SequenceClassifier(
        pooling="mean+max+attention+last", bidirectional=False, members=2, test=0, **FEW
    ).fit((WAVES, [0, 1] * 12)),
    "texts": lambda: TextClassifier(embedding_size=4, test=0, **FEW).fit(
        (["a fine film", "a dull film"] * 12, [0, 1] * 12)
    ),
    "tokens": lambda: SequenceTagger(test=0.2, bidirectional=False, output="softmax", **FEW).fit(TAGGED),
    "sentences": lambda: SequenceTagger(test=0.2, **FEW).fit(TAGGED),
    "language": lambda: LanguageModel(**FEW).fit(LINES * 20),
    "speech": lambda: Transcriber(
        streaming=True, num_layers=2, pyramid=1, channels=2, bins=8, test=0, units="word", **FEW
    ).fit([(TONE[4800 - 1600 * (i % 3) :] + 0.001 * i, 8000) for i in range(12)], ["hum", "hum hum", "hum"] * 4),
    "translator": lambda: Translator(embedding_size=4, **FEW).fit(PAIRS),
    "captions": lambda: Captioner(
        widths=(4,), heads=1, beam_size=1, augmentation=0.0, seed=1, **{**FEW, "epochs": 12}
    ).fit(LIGHTS, ["it grows light", "it grows dark"] * 6),
    "monitor": lambda: PatientMonitor(members=2, time_unit="hours", test=0, **FEW).fit(VITALS, DIED),
    "visits": lambda: ProgressionModel(members=2, time_unit="days", test=0, steps_ahead=3, **FEW).fit(VISITS),
    "film": lambda: VideoAnomalyDetector(test=0, steps=4, **FEW).fit(FILM),
    "frames of music": lambda: Composer(head_size=4, steps_per_quarter=1, **FEW).fit(CHORDS),
    "video": lambda: VideoClassifier(
        height=12, width=16, filters=2, features=4, channels="colour+difference+flow", members=2, test=0, **FEW
    ).fit(CLIPS, ["a", "b"] * 6),
    "maps": lambda: VideoClassifier(height=12, width=16, filters=2, cell="conv-lstm", test=0, **FEW).fit(
        CLIPS, ["a", "b"] * 6
    ),
    "poses": lambda: VideoClassifier(features=4, pooling="last+mean+max+attention", test=0, **FEW).fit(
        POSES, ["a", "b"] * 6
    ),
    "events of music": lambda: Composer(representation="events", steps_per_quarter=1, **FEW).fit(CHORDS),
}
ROWS = {
    "anomaly": [[float(np.sin(i))] for i in range(8)],
    "keys": EVENTS,
    "forecaster": [[float(np.sin(i))] for i in range(8)],
    "transformer events": EVENTS,
    "events": EVENTS,
    "sequences": [[float(np.cos(i))] for i in range(8)],
    "texts": ["a fine film", "a dull one", "dull"],
    "tokens": ["the", "dog", "barks", "the"],
    "sentences": ["the dog barks", "dog"],
    "language": LINES,
    "speech": [TONE[first : first + 800].tolist() for first in range(0, 6400, 800)],
    "translator": ["a dog", "a cat", "dog"],
    "captions": [LIGHTS[i % 2][i // 2].tolist() for i in range(8)],
    "monitor": [{"id": f"p{i % 3}", "time": i / 2, "variable": "HR", "value": 80 + i} for i in range(8)],
    "visits": [{"id": f"p{i % 3}", "time": i // 2, "bili": 1.0 + i} for i in range(8)],
    "film": [FILM[i].tolist() for i in range(6)],
    "frames of music": [[60, 64], "62 65", {"notes": []}, [60], [61, 66], [108]],
    "video": [CLIPS[0][i % 6].tolist() for i in range(8)],
    "maps": [CLIPS[0][i % 6].tolist() for i in range(8)],
    "poses": [POSES[0][i % 6].tolist() for i in range(8)],
    "events of music": ["on 60", {"event": "shift 2"}, "off 60", "loudness 3", "on 62", "shift 1"],
}
BAD = {
    "anomaly": ["x"],
    "keys": {"case": 1},
    "forecaster": ["x"],
    "transformer events": {"case": 1},
    "events": {"case": 1},
    "sequences": [1.0, 2.0],
    "texts": 3,
    "tokens": 3,
    "sentences": 3,
    "language": 3,
    "speech": 3,
    "translator": 3,
    "captions": 3,
    "monitor": {"id": 1},
    "visits": {"id": 1},
    "film": "no.png",
    "frames of music": [60, "x"],
    "events of music": "shift 0",
    "video": "no picture",
    "maps": [[[1.0, "x"]]],
    "poses": [1.0, 2.0],
}
NAMES = list(MAKE)
KEEP = [
    "forecaster", "anomaly", "keys", "transformer events", "events", "sequences", "tokens", "language", "speech",
    "captions", "monitor", "visits", "frames of music", "events of music", "video", "maps", "poses", "film",
]  # fmt: skip


@pytest.fixture(scope="module")
def models():
    made = {}

    def model(name):
        if name not in made:
            made[name] = MAKE[name]()
        return made[name]

    return model


def opened(model, name) -> Stream:
    return model.token_stream() if name == "tokens" else model.stream()


def said(stream, answer) -> str:
    return json.dumps(stream.plain(answer), sort_keys=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_stream_is_one_and_begins_anew_after_reset(models, name) -> None:
    stream = opened(models(name), name)
    assert isinstance(stream, Stream)
    first = [said(stream, stream.push(row)) for row in ROWS[name]]
    stream.reset()
    assert [said(stream, stream.push(row)) for row in ROWS[name]] == first
    other = opened(models(name), name)
    assert [said(other, other.push(row)) for row in ROWS[name]] == first


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.parametrize("name", NAMES)
def test_many_streams_answer_as_each_alone_to_the_same_bits(models, name, data) -> None:
    count = data.draw(st.integers(1, 9))
    many = [opened(models(name), name) for _ in range(count)]
    alone = [opened(models(name), name) for _ in range(count)]
    for _ in range(3):
        places = data.draw(st.lists(st.integers(0, count - 1), max_size=12))
        # rows of one stream are given in their order
        rows = {place: ROWS[name][min(len(ROWS[name]) - 1, k)] for k, place in enumerate(places)}
        chosen = list(rows)
        found = push_many([many[place] for place in chosen], [rows[place] for place in chosen], errors="return")
        for place, answer in zip(chosen, found, strict=True):
            try:
                expected = said(alone[place], alone[place].push(rows[place]))
            except OstinatoError as error:
                assert str(error) == str(answer)  # noqa: PT017
            else:
                assert said(many[place], answer) == expected
    for one, other in zip(many, alone, strict=True):
        assert one.state() == other.state()


def test_a_stream_of_many_cases_takes_them_in_one_call_and_in_order(models) -> None:
    one, other = models("events").stream(), models("events").stream()
    found = push_many([one] * len(EVENTS), EVENTS)
    assert found == [other.push(row) for row in EVENTS]
    assert one.state() == other.state()


@pytest.mark.parametrize("name", NAMES)
def test_a_row_that_is_refused_stops_none_and_changes_nothing(models, name) -> None:
    one, two = opened(models(name), name), opened(models(name), name)
    before = one.state()
    with pytest.raises(StreamRowError, match="row 2 of those pushed"):
        push_many([one, two], [ROWS[name][0], BAD[name]])
    assert (one.state(), two.state()) == (before, before)
    answer, error = push_many([one, two], [ROWS[name][0], BAD[name]], errors="return")
    assert isinstance(error, StreamRowError)
    assert said(two, two.push(ROWS[name][0])) == said(one, answer)
    with pytest.raises(UsageError, match="1 row came for 2 streams"):
        push_many([one, two], [ROWS[name][0]])


@pytest.mark.parametrize("name", NAMES)
def test_peek_says_what_push_would_and_leaves_the_stream_as_it_is(models, name) -> None:
    stream = opened(models(name), name)
    for row in ROWS[name]:
        before = stream.state()
        peeked = said(stream, stream.peek(row))
        assert stream.state() == before
        assert said(stream, stream.push(row)) == peeked


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_restored_to_the_same_bits_and_any_change_of_it_is_refused(models, name, data) -> None:
    stream, other = opened(models(name), name), opened(models(name), name)
    count = data.draw(st.integers(0, len(ROWS[name])))
    for row in ROWS[name][:count]:
        stream.push(row)
    state = stream.state()
    assert isinstance(state, bytes)
    other.restore(state)
    assert other.state() == state
    at, bit = data.draw(st.integers(0, len(state) - 1)), data.draw(st.integers(0, 7))
    flipped = bytearray(state)
    flipped[at] ^= 1 << bit
    for wrong in (bytes(flipped), state[:at], state + b"x", b"", "text", None, pickle.dumps(state)):
        with pytest.raises(UsageError) as caught:
            other.restore(wrong)
        assert "\n" not in str(caught.value)
        assert other.state() == state
    for row in ROWS[name][count:]:
        assert said(other, other.push(row)) == said(stream, stream.push(row))


@pytest.mark.parametrize("name", KEEP)
def test_a_state_of_another_model_or_with_wrong_numbers_is_refused(models, name) -> None:
    stream = opened(models(name), name)
    for row in ROWS[name]:
        stream.push(row)
    state, kept = stream.state(), unpack(stream.state())
    tried = [pack("other", kept.model, kept.body), pack(kept.kind, "other", kept.body), pack(kept.kind, kept.model, {})]
    tried += [opened(models(other), other).state() for other in KEEP if other != name]
    tried += [pack(kept.kind, kept.model, body) for body in _changed(kept.body)]
    for wrong in tried:
        with pytest.raises(UsageError) as caught:
            stream.restore(wrong)
        assert "\n" not in str(caught.value)
        assert stream.state() == state


def _changed(value):
    """Yield data of which one array is no more what it was."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size:
        yield np.asarray(value + np.inf)
        yield value[..., None]
        yield np.zeros(0, np.uint8)
    elif isinstance(value, dict):
        for name, own in value.items():
            yield from ({**value, name: other} for other in _changed(own))
    elif isinstance(value, list):
        for place, own in enumerate(value):
            yield from ([*value[:place], other, *value[place + 1 :]] for other in _changed(own))


_ELSEWHERE = """
import json, sys
import ostinato
from pathlib import Path
said = {}
for name, rows in json.loads(sys.argv[2]).items():
    folder = Path(sys.argv[1]) / name
    model = ostinato.load(folder)
    stream = model.token_stream() if name == "tokens" else model.stream()
    stream.restore((folder / "state").read_bytes())
    said[name] = [json.dumps(stream.plain(stream.push(row)), sort_keys=True) for row in rows]
    said[name].append(stream.state().hex())
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def elsewhere(models, tmp_path_factory):
    """Streams of which half the rows were pushed, and what one other process says to the rest of each."""
    folder, streams = tmp_path_factory.mktemp("elsewhere"), {}
    for name in KEEP:
        streams[name] = opened(models(name), name)
        for row in ROWS[name][: len(ROWS[name]) // 2]:
            streams[name].push(row)
        models(name).save(folder / name)
        (folder / name / "state").write_bytes(streams[name].state())
    rest = json.dumps({name: ROWS[name][len(ROWS[name]) // 2 :] for name in KEEP})
    command = [sys.executable, "-c", _ELSEWHERE, str(folder), rest]
    return streams, json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("name", KEEP)
def test_a_stream_goes_on_in_another_process_to_the_same_bits(elsewhere, name) -> None:
    streams, found = elsewhere
    stream = streams[name]
    expected = [said(stream, stream.push(row)) for row in ROWS[name][len(ROWS[name]) // 2 :]]
    assert found[name] == [*expected, stream.state().hex()]


def test_streams_of_a_model_share_its_steps_and_let_go_of_their_rows(models) -> None:
    model = models("sequences")
    first, second = model.stream(), model.stream()
    own, other = first._members[0], second._members[0]
    rows = own._shared.rows
    assert other._shared is own._shared
    del other
    count = len(rows)
    del second
    assert len(rows) == count - 1


def test_a_stream_made_after_the_weights_changed_has_the_new_ones() -> None:
    model = MAKE["events"]()
    old = model.stream()
    before = old.push(EVENTS[0])["probabilities"]
    with torch.no_grad():
        for own in model.fitted_.model.network.parameters():
            own.mul_(2.0)
    assert model.stream().push(EVENTS[0])["probabilities"] != before
    old.reset()
    assert old.push(EVENTS[0])["probabilities"] == before
