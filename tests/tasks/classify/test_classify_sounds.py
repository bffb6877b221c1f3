"""Sounds as classes: from tables, folders and memory to frames, and from files to answers."""

import json
import wave
import zipfile

import numpy as np
import pytest

from ostinato import SequenceClassifier
from ostinato.cli import main
from ostinato.data.audio import FeatureSettings, features
from ostinato.errors import DataError, DataWarning, OstinatoError, UsageError
from ostinato.tasks.classify.channels import read_examples
from ostinato.tasks.classify.parameters import SequenceParameters

RATE = 8000
SMALL = {"hidden_size": 8, "members": 1, "kernels": 0, "convolutions": (8,), "width": 9, "progress": False}


def chirp(up: bool, seed: int) -> np.ndarray:
    """Return a tone of a third of a second that rises or falls, `(samples,)` float32, of 16 bits."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(rng.uniform(0.25, 0.4) * RATE)) / RATE
    pitch = np.linspace(*((500, 1500) if up else (1500, 500)), len(time)) * rng.uniform(0.9, 1.1)
    samples = 0.3 * np.sin(2 * np.pi * pitch.cumsum() / RATE) + 0.01 * rng.standard_normal(len(time))
    return (np.round(samples * 32768) / 32768).astype(np.float32)


def write(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 32768).astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Return a folder of a folder a class, with a table beside."""
    home = tmp_path_factory.mktemp("clips")
    rows = []
    for seed in range(36):
        word = ("up", "down")[seed % 2]
        write(home / f"set/{word}/{seed:02}.wav", chirp(seed % 2 == 0, seed))
        rows.append(f"set/{word}/{seed:02}.wav,{word}")
    (home / "clips.csv").write_text("\n".join(["path,word", *rows]) + "\n")
    return home


@pytest.fixture(scope="module")
def model(clips):
    made = SequenceClassifier(audio="path", label="word", epochs=8, learning_rate=1e-2, **SMALL)
    return made.fit(clips / "clips.csv")


def test_a_table_a_folder_an_archive_and_sounds_in_memory_are_the_same_sequences(clips) -> None:
    plain = SequenceParameters(audio="path", label="word")
    table = read_examples(plain, clips / "clips.csv", None, labelled=True)
    with zipfile.ZipFile(clips / "set.zip", "w") as archive:
        for path in sorted((clips / "set").rglob("*.wav")):
            archive.write(path, path.relative_to(clips / "set").as_posix())
    memory = (
        [(chirp(seed % 2 == 0, seed), RATE) for seed in range(36)],
        [("up", "down")[seed % 2] for seed in range(36)],
    )
    expected = features(chirp(True, 0), FeatureSettings(rate=RATE, normalisation="none"))

    def held(examples):
        return sorted(
            (label, each.values.tobytes()) for label, each in zip(examples.labels, examples.items, strict=True)
        )

    paths = [str(clips / f"set/{label}/{seed:02}.wav") for seed, label in enumerate(memory[1])], memory[1]
    for source in (clips / "set", clips / "set.zip", memory, paths):
        found = read_examples(SequenceParameters(), source, None, labelled=True)
        assert found.reading == table.reading
        assert held(found) == held(table)
    assert np.array_equal(table.items[0].values, expected)
    assert table.reading.sound.rate == RATE


def test_a_classifier_learns_sounds_and_answers_files_folders_and_memory_alike(model, clips, tmp_path) -> None:
    paths = [write(tmp_path / f"{seed}.wav", chirp(seed % 2 == 0, seed)) for seed in range(100, 110)]
    expected = model.predict([(chirp(seed % 2 == 0, seed), RATE) for seed in range(100, 110)])
    assert expected.tolist() == ["up", "down"] * 5
    assert model.predict([str(path) for path in paths]).tolist() == expected.tolist()
    found = list(model.answers(tuple(str(path) for path in paths)))
    assert [answer["label"] for answer in found] == expected.tolist()
    assert [answer["file"] for answer in found] == [str(path) for path in paths]
    assert [answer["label"] for answer in model.answers(iter(map(str, paths)))] == expected.tolist()
    assert len(list(model.answers(tmp_path))) == 10
    assert model.evaluate(clips / "clips.csv")["accuracy"] > 0.9


def test_a_saved_classifier_answers_as_before_and_says_how_it_hears(model, tmp_path) -> None:
    path = write(tmp_path / "a.wav", chirp(True, 77))
    model.save(tmp_path / "model")
    again = SequenceClassifier.load(tmp_path / "model")
    assert list(again.answers(str(path))) == list(model.answers(str(path)))
    assert again.summary_.settings["sample rate"] == str(RATE)
    assert again.summary_.settings["bands of pitch"] == "40"


def test_sounds_at_another_rate_are_heard_as_those_of_training(model) -> None:
    from ostinato.data.audio import resampled

    for seed in range(50, 54):
        high = resampled(chirp(seed % 2 == 0, seed), RATE, 44100)
        assert model.predict([(high, 44100)])[0] == ("up", "down")[seed % 2]


def test_a_causal_classifier_answers_frame_by_frame_as_it_does_the_whole(clips) -> None:
    made = SequenceClassifier(audio="path", label="word", bidirectional=False, epochs=1, **SMALL)
    made.fit(clips / "clips.csv")
    frames = features(chirp(True, 5), made._checked().model.encoder.reading.sound)
    stream = made.stream()
    for frame in frames:
        answer = stream.push(frame)
    whole = made.predict_proba([(chirp(True, 5), RATE)])[0]
    assert np.abs(np.array(list(answer["probabilities"].values())) - whole).max() < 1e-5


def test_the_command_line_fits_sounds_and_answers_several_files(clips, tmp_path, capsys) -> None:
    out = tmp_path / "model"
    options = ["--hidden-size", "8", "--members", "1", "--kernels", "0", "--convolutions", "8", "--epochs", "2"]
    given = ["fit", "sequences", str(clips / "clips.csv"), "--audio", "path", "--label", "word", "--out", str(out)]
    assert main([*given, *options, "--no-report"]) == 0
    capsys.readouterr()
    files = [str(clips / "set/up/00.wav"), str(clips / "set/down/01.wav")]
    assert main(["predict", str(out), *files, "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["file"] for answer in answers] == files
    assert set(answers[0]["probabilities"]) == {"up", "down"}
    assert main(["evaluate", str(out), str(clips / "clips.csv"), "--json"]) == 0
    assert main(["predict", str(out), str(clips / "gone.wav")]) == 3
    assert "gone.wav does not exist" in capsys.readouterr().err


def test_what_cannot_be_sounds_of_classes_is_one_sentence(model, clips, tmp_path) -> None:
    (clips / "bad.csv").write_text("path,word\nset/up/00.wav,up\nset/up/gone.wav,down\n")
    (clips / "unlabelled.csv").write_text("path,word\nset/up/00.wav,up\nset/down/01.wav,\n")
    (tmp_path / "cut.wav").write_bytes((clips / "set/up/00.wav").read_bytes()[:900])
    (tmp_path / "flat").mkdir()
    write(tmp_path / "flat/a.wav", chirp(True, 0))
    for source, match in (
        (clips / "bad.csv", "1 of its 2 sound files is not there"),
        (clips / "unlabelled.csv", "has no label"),
        (tmp_path / "flat", "a folder for each class"),
        (tmp_path / "cut.wav", "one sound without classes"),
    ):
        with pytest.raises(DataError, match=match):
            SequenceClassifier(audio="path", label="word", **SMALL).fit(source)
    with pytest.raises(DataError, match=r"cut\.wav is cut short"):
        model.predict([str(tmp_path / "cut.wav")])
    with pytest.raises(OstinatoError):
        model.evaluate(tmp_path / "flat")
    with pytest.raises(UsageError, match="bands do not go with"):
        SequenceClassifier(audio="path", label="word", mel_bins=200, **SMALL).fit(clips / "clips.csv")
    other = SequenceClassifier(test=0.0, epochs=1, **SMALL).fit([np.zeros((9, 2)), np.ones((9, 2))] * 4, ["a", "b"] * 4)
    with pytest.raises(OstinatoError):
        other.predict([(chirp(True, 0), RATE)])


def test_silent_sounds_are_noted_and_read(clips, tmp_path) -> None:
    write(tmp_path / "k/a/1.wav", np.zeros(RATE, np.float32))
    write(tmp_path / "k/b/1.wav", chirp(True, 0))
    with pytest.warns(DataWarning, match='1 of 2 sounds is silent throughout, the first of them "a/1"'):
        read_examples(SequenceParameters(), tmp_path / "k", None, labelled=True)
