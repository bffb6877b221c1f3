"""A model's file with right checksums and wrong sizes is refused by one sentence, before anything is allocated."""

import contextlib
import copy
import hashlib
import json
import resource
import sys
import time

import numpy as np
import pytest

import ostinato
from ostinato import (
    AnomalyDetector,
    Captioner,
    Composer,
    EventPredictor,
    Forecaster,
    LanguageModel,
    SequenceClassifier,
    SequenceTagger,
    TextClassifier,
    Transcriber,
    VideoAnomalyDetector,
    VideoClassifier,
)
from ostinato.errors import ArtifactError, CorruptArtifact, OstinatoError, StreamRowError
from ostinato.options import parameters_of

HUGE = [-(2**63), 2**63, 1_000_000, 10**12, -1, 10**400]
WAVES = [np.sin(np.arange(12) * (0.3 if i % 2 else 0.9)) for i in range(24)]
CLIPS = [
    np.random.default_rng(i).integers(0, 99 + 99 * (i % 2), (6 + i % 3, 12, 16), dtype=np.uint8) for i in range(12)
]
FILM = (np.arange(24)[:, None, None] * 5 + np.arange(16)[:, None] * np.arange(24) % 90).astype(np.uint8)
FEW = {"hidden_size": 4, "epochs": 1, "progress": False}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tagged = [(("the", "dog", "barks"), ("D", "N", "V"))] * 12
    log = {"case": np.repeat(np.arange(12), 3), "activity": ["a", "b", "c"] * 12, "time": np.arange(36)}
    made = {
        "forecaster": Forecaster(3, context=12, segment=1, **FEW).fit(np.sin(np.arange(120) / 3)),
        "transformer": Forecaster(3, context=12, segment=1, cell="transformer", **FEW).fit(np.sin(np.arange(120) / 3)),
        "recursive": Forecaster(3, context=12, segment=1, decoding="recursive", output="gaussian", **FEW).fit(
            np.sin(np.arange(120) / 3)
        ),
        "sequences": SequenceClassifier(convolutions=(4,), members=2, kernels=84, test=0, **FEW).fit(
            (WAVES, [0, 1] * 12)
        ),
        "steps": SequenceClassifier(bidirectional=False, members=2, test=0, **FEW).fit((WAVES, [0, 1] * 12)),
        "texts": TextClassifier(embedding_size=4, test=0, **FEW).fit(
            (["a fine film", "a dull film"] * 12, [0, 1] * 12)
        ),
        "tagger": SequenceTagger(test=0.2, **FEW).fit(tagged),
        "events": EventPredictor(**FEW).fit(log),
        "anomaly": AnomalyDetector(**FEW).fit(np.sin(np.arange(120) / 3)),
        "composer": Composer(head_size=4, steps_per_quarter=1, key=True, metre=True, **FEW).fit(
            [[[60 + i % 5, 64], [62 + i % 3], [60, 67]] for i in range(16)]
        ),
        "captions": Captioner(widths=(4,), heads=1, test=0, **FEW).fit(
            [np.full((3, 16, 16, 3), 20 * i, np.uint8) for i in range(8)], ["light", "dark"] * 4
        ),
        "speech": Transcriber(streaming=True, channels=2, bins=8, test=0, loss="both", num_layers=2, **FEW).fit(
            [(np.sin(np.arange(3200 + 100 * i) / 4), 8000) for i in range(12)], ["hum", "ho hum"] * 6
        ),
        "video": VideoClassifier(height=12, width=16, filters=2, features=4, test=0, **FEW).fit(CLIPS, ["a", "b"] * 6),
        "film": VideoAnomalyDetector(cell="gru", test=0, steps=4, **FEW).fit(FILM),
        "language": LanguageModel(**FEW).fit(["the cat sat on the mat and looked at the dog"] * 30),
    }
    return {name: model.save(folder / name) for name, model in made.items()}


def _rewritten(folder, target, change):
    """Write a model again with a change of its plain data and the checksum mended."""
    plain = json.loads((folder / "model.json").read_text())
    core = {key: plain[key] for key in ("kind", "versions", "weights", "body")}
    change(core["body"])
    checksum = hashlib.sha256(json.dumps(core, sort_keys=True).encode()).hexdigest()
    target.mkdir(exist_ok=True)
    for path in folder.glob("*.safetensors"):
        (target / path.name).write_bytes(path.read_bytes())
    (target / "model.json").write_text(json.dumps({"format": plain["format"], "sha256": checksum, **core}))
    return target


def _numbers(value, path=()):
    if isinstance(value, dict):
        return [own for key, inner in value.items() for own in _numbers(inner, (*path, key))]
    if isinstance(value, list):
        return [own for key, inner in enumerate(value) for own in _numbers(inner, (*path, key))]
    return [path] if isinstance(value, int) and not isinstance(value, bool) else []


def _refusal(folder) -> str:
    """Return how a model is refused, nothing if it is not."""
    try:
        ostinato.load(folder)
    except ArtifactError as error:
        return str(error)
    return ""


NAMES = [
    "anomaly", "forecaster", "transformer", "recursive", "sequences", "texts", "tagger", "events", "composer",
    "speech", "language", "video", "captions", "film",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_model_comes_back_as_it_was(models, name) -> None:
    ostinato.load(models[name])


@pytest.mark.parametrize("name", NAMES)
def test_sizes_that_the_weights_do_not_have_are_refused_at_once(models, tmp_path, name) -> None:
    body = json.loads((models[name] / "model.json").read_text())["body"]
    model = ostinato.load(models[name])
    sizes = [own.name for own in parameters_of(type(model)) if own.group == "model" and own.name not in model.unsized]
    settings = {key: value for key, value in body["fitted"].items() if key in sizes}
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    tried = 0
    for path in _numbers(settings):
        for number in HUGE:

            def change(body, path=path, number=number) -> None:
                inner = body["fitted"]
                for key in path[:-1]:
                    inner = inner[key]
                inner[path[-1]] = number

            folder = _rewritten(models[name], tmp_path / "m", change)
            said = _refusal(folder)
            # a number that is no size, such as the steps a Transformer looks back on, may be any of a usual one
            usual = path[-1] == "context" and 0 < number <= 1_000_000
            assert usual or 0 < len(said) < 600, (path, number, said)
            assert "\n" not in said, (path, number)
            tried += 1
    assert tried >= 6
    assert time.process_time() - began < 60
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 500_000, f"{grown} KiB"


USES = {
    "anomaly": lambda model: model.predict(np.sin(np.arange(30) / 3)),
    "forecaster": lambda model: model.predict(),
    "recursive": lambda model: model.predict(),
    "sequences": lambda model: model.predict(WAVES[:2]),
    "texts": lambda model: model.predict(["a fine film"]),
    "tagger": lambda model: model.predict(["the dog"]),
    "events": lambda model: list(model.answers({"case": [1, 1], "activity": ["a", "b"], "time": [0, 1]})),
    "speech": lambda model: model.predict([(np.sin(np.arange(3200) / 4), 8000)]),
    "video": lambda model: model.predict(CLIPS[:2]),
    "language": lambda model: model.generate("the", length=3),
    "composer": lambda model: model.compose(bars=2),
    "film": lambda model: model.predict(FILM),
}


@pytest.mark.parametrize("name", USES)
def test_any_other_number_is_refused_when_it_is_read_or_does_no_harm(models, tmp_path, name) -> None:
    body = json.loads((models[name] / "model.json").read_text())["body"]
    passive = ("history", "summary", "scores", "layout", "parameters", "fitted")
    paths = [path for path in _numbers(body) if path[0] not in passive]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in paths[:12]:
        for number in (2**63, -(2**63), -1, 10**18):

            def change(body, path=path, number=number) -> None:
                for key in path[:-1]:
                    body = body[key]
                body[path[-1]] = number

            folder = _rewritten(models[name], tmp_path / "m", change)
            if not _refusal(folder):
                with contextlib.suppress(OstinatoError):
                    USES[name](ostinato.load(folder))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def test_a_number_of_four_hundred_digits_is_no_number_of_a_model(models, tmp_path) -> None:
    for number in (10**400, 10**5000):
        text = (models["sequences"] / "model.json").read_text()
        folder = tmp_path / "m"
        folder.mkdir(exist_ok=True)
        limit = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(0)
        (folder / "model.json").write_text(text.replace('"format": 1', f'"format": {number}'))
        sys.set_int_max_str_digits(limit)
        with pytest.raises(CorruptArtifact, match="no number of a model"):
            ostinato.load(folder)


def test_a_classifier_with_other_classes_or_scales_than_its_network_is_refused(models, tmp_path) -> None:
    def fewer(body) -> None:
        body["encoder"]["classes"]["names"] = body["encoder"]["classes"]["names"][:1]

    def nested(body) -> None:
        body["encoder"]["classes"]["names"] = [[1], {}]

    def channels(body) -> None:
        body["encoder"]["channels"] = ["a", "b"]

    for change in (fewer, nested, channels):
        with pytest.raises(CorruptArtifact):
            ostinato.load(_rewritten(models["sequences"], tmp_path / "m", copy.copy(change)))


@pytest.mark.parametrize(
    "value", [1e308, -1e308, 1e39, 10**400, float("inf"), "1e400", "1" + "0" * 400, [1], {}, "abc"]
)
@pytest.mark.parametrize("name", ["forecaster", "steps"])
def test_a_number_too_large_to_compute_with_is_refused_and_leaves_the_stream_as_it_was(models, name, value) -> None:
    model = ostinato.load(models[name])
    stream = model.stream()
    row = {"y": 0.5} if name == "forecaster" else {"channel_1": 0.5}
    stream.push(row)
    with pytest.raises(StreamRowError) as caught:
        stream.push(dict.fromkeys(row, value))
    assert len(str(caught.value)) < 300
    stream.push(row)


def test_a_stream_takes_what_a_table_takes() -> None:
    rng = np.random.default_rng(0)
    data = {"y": rng.normal(size=80), "open": rng.random(80) < 0.5, "wind": ["N", "S"] * 40}
    model = Forecaster(3, target="y", past_covariates=["open", "wind"], context=8, segment=1, **FEW).fit(data)
    answers = []
    for y, flag in (
        (0.5, True),
        ("0.5", "True"),
        ("0,5", "yes"),
        (np.float32(0.5), 1),
        (0.5, "1"),
        (0.5, np.bool_(True)),
    ):
        stream = model.stream()
        answers.append(stream.push({"y": y, "open": flag, "wind": "N"}).point)
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])
    with pytest.warns(UserWarning, match='"W"'):
        model.stream().push({"y": 1, "open": 1, "wind": "W"})
    assert issubclass(StreamRowError, OstinatoError)
