"""Clips told apart: from files, arrays and landmarks; live as whole; by groups; what is wrong is said in a sentence."""

import json
import sys
import types

import numpy as np
import pytest
import torch

import ostinato
from ostinato import VideoClassifier
from ostinato.cli.main import main
from ostinato.data.video import Clip, read_clip, write_video
from ostinato.errors import DataError, OstinatoError, StreamRowError, UsageError
from ostinato.tasks.base.summary import Frames
from ostinato.tasks.video.grouping import grouped_parts
from ostinato.tasks.video.panels import key_frames
from ostinato.tasks.video.parameters import VideoParameters

SMALL = {"height": 16, "width": 24, "filters": 4, "features": 8, "hidden_size": 8, "progress": False}


def going(right: bool, seed: int, count: int = 12) -> np.ndarray:
    """Return frames `(T, 32, 48, 3)` of a square that goes right or left."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 30, (count, 32, 48, 3), dtype=np.uint8)
    row = int(rng.integers(2, 18))
    for time, frame in enumerate(frames):
        at = int(time * 36 / (count - 1))
        at = at if right else 36 - at
        frame[row : row + 12, at : at + 12] = rng.integers(200, 250)
    return frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("clips")
    rows = ["path,action,who"]
    for seed in range(24):
        write_video(where / f"{seed}.mp4", iter(going(seed % 2 == 0, seed)), 10)
        rows.append(f"{seed}.mp4,{'onward' if seed % 2 == 0 else 'back'},p{seed // 4}")
    (where / "clips.csv").write_text("\n".join(rows))
    return where


@pytest.fixture(scope="module")
def fitted(folder, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    patch = pytest.MonkeyPatch()
    patch.setenv("OSTINATO_CACHE_DIR", str(cache))
    model = VideoClassifier(label="action", group="who", rate=5, epochs=40, **SMALL)
    yield model.fit(folder / "clips.csv", directory=folder / "model")
    patch.undo()


def test_what_clips_show_is_learned_and_stands_beside_the_baselines(fitted) -> None:
    assert fitted.scores_["accuracy"] == 1
    assert set(fitted.scores_.values) == {
        "model", "mean frame, logistic regression", "mean frame and its changes, logistic regression", "1-NN DTW",
        "most frequent class",
    }  # fmt: skip
    assert "whole groups of who" in fitted.scores_.protocol
    assert fitted.classes_.tolist() == ["back", "onward"]
    new = [Clip(going(right, 99), np.arange(12) / 10, 10.0, "new") for right in (True, False)]
    assert fitted.predict(new).tolist() == ["onward", "back"]


def test_a_model_comes_back_from_disk_and_embeds(fitted, folder) -> None:
    clips = [going(True, 90), going(False, 91)]
    again = ostinato.load(folder / "model")
    assert np.array_equal(again.predict_proba(clips), fitted.predict_proba(clips))
    assert again.embed(clips).shape == (2, 24)


def test_frame_by_frame_comes_to_the_answer_of_the_whole_clip(fitted, folder) -> None:
    path = folder / "3.mp4"
    answers = list(fitted.watch(path))
    whole = fitted.predict_proba([path])[0]
    assert [answers[-1]["probabilities"][name] for name in ("back", "onward")] == pytest.approx(whole, abs=1e-5)
    assert [answer["time"] for answer in answers] == pytest.approx([number / 5 for number in range(len(answers))])


def test_a_camera_of_another_rate_is_read_as_a_file_of_it(fitted) -> None:
    frames = going(True, 77, 25)
    stream = fitted.stream(frame_rate=25)  # as arrays have it
    for frame in frames:
        answer = stream.push(frame)
    assert list(answer["probabilities"].values()) == pytest.approx(fitted.predict_proba([frames])[0], abs=1e-5)
    by_time = fitted.stream()
    for number, frame in enumerate(frames):
        timed = by_time.push({"frame": frame, "time": number / 25, "reset": number == 0})
    assert timed == answer


def test_what_a_stream_keeps_does_not_grow(fitted) -> None:
    stream, sizes = fitted.stream(), []
    for number in range(60):
        stream.push(going(True, 5)[number % 12])
        sizes.append(len(stream.state()))
    assert max(sizes[5:]) - min(sizes[5:]) < 16


@pytest.mark.parametrize(
    "row",
    [
        "nowhere.png", "words", "", [1, 2, 3], [["a"]], {"time": 3}, {"frame": None}, {"frame": "x.mp4"}, None, 3,
        np.full((4, 4), np.nan), np.zeros((3, 4, 5, 6)), {"frame": [[1]], "time": "noon"}, {"frame": [[1]], "time": -1},
    ],
)  # fmt: skip
def test_a_row_that_is_no_frame_is_refused_and_changes_nothing(fitted, row) -> None:
    stream = fitted.stream()
    stream.push(going(True, 1)[0])
    before = stream.state()
    with pytest.raises(StreamRowError) as caught:
        stream.push(row)
    assert "\n" not in str(caught.value)
    assert stream.state() == before


def test_raw_frames_are_answered_in_pieces_of_any_size(fitted) -> None:
    frames = going(False, 70)
    raw, plain = fitted.stream(raw="48x32", frame_rate=10), fitted.stream(frame_rate=10)
    content, found = frames.tobytes(), []
    for first in range(0, len(content), 3000):
        found += list(raw.lines(raw.push(content[first : first + 3000])))
        raw.restore(raw.state())
    expected = [plain.push(frame) for frame in frames]
    assert [{key: value for key, value in one.items() if key != "frame"} for one in found] == expected
    assert raw.finish() == []
    raw.push(b"123")
    with pytest.raises(DataError, match="3 of 4,608 bytes"):
        raw.finish()
    for size in ("48", "0x3", "axb", "9999999x1"):
        with pytest.raises(UsageError, match="WIDTHxHEIGHT"):
            fitted.stream(raw=size)


def test_the_report_shows_key_frames_with_their_attention(fitted, tmp_path) -> None:
    strips = [panel for panel in fitted.summary_.panels if isinstance(panel, Frames)]
    assert strips
    assert len(strips[0].pictures) == len(strips[0].weights) == len(strips[0].captions)
    assert max(strips[0].weights) == pytest.approx(1, abs=1e-6)
    text = fitted.report(tmp_path / "r.html").read_text()
    assert "Key frames" in text
    assert "data:image/jpeg;base64," in text
    assert len(key_frames(20, None)) == 8
    assert key_frames(4, np.array([0.1, 0.2, 0.3, 0.4])) == [0, 1, 2, 3]


def test_an_annotated_video_has_every_frame(fitted, folder, tmp_path) -> None:
    path = fitted.annotate(folder / "2.mp4", tmp_path / "seen.mp4", height=128)
    clip = read_clip(path)
    assert len(clip) == len(list(fitted.watch(folder / "2.mp4")))
    assert clip.frames.shape[1] == 128
    assert clip.frames[:, :10].mean() < 90  # the band that words stand on


def test_the_command_line_goes_the_whole_way(folder, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("OSTINATO_CACHE_DIR", str(tmp_path / "cache"))
    flags = ["--height", "16", "--width", "24", "--filters", "2", "--epochs", "1", "--rate", "5", "--no-progress"]
    out = str(tmp_path / "m")
    assert (
        main(["fit", "video", str(folder / "clips.csv"), "--video", "path", "--label", "action", "--out", out, *flags])
        == 0
    )
    assert main(["predict", out, str(folder / "1.mp4"), str(folder / "2.mp4"), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [set(answer["probabilities"]) for answer in answers] == [{"back", "onward"}] * 2

    class Stdin:
        def __init__(self, content):
            import io

            self.buffer = io.BytesIO(content)

    monkeypatch.setattr(sys, "stdin", Stdin(going(True, 3, 4).tobytes()))
    assert main(["stream", out, "--raw", "48x32", "--frame-rate", "10"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["frame"] for line in lines] == [1, 2, 3, 4]


@pytest.mark.parametrize("cell", ["conv-gru", "indrnn"])
def test_maps_and_any_other_cell_may_be_recurrent(cell) -> None:
    clips = [going(seed % 2 == 0, seed, 8) for seed in range(16)]
    model = VideoClassifier(cell=cell, rate=25, epochs=1, test=0, validation=0, **SMALL).fit(clips, [0, 1] * 8)
    stream = model.stream()
    for frame in clips[0]:
        answer = stream.push(frame)
    assert list(answer["probabilities"].values()) == pytest.approx(model.predict_proba(clips[:1])[0], abs=1e-5)
    assert model.classes_.tolist() == [0, 1]


def test_landmarks_are_learned_whichever_hand_makes_the_sign() -> None:
    rng = np.random.default_rng(0)
    clips, labels = [], []
    for number in range(32):
        clip = np.tile(rng.normal(0, 1, (17, 3)) * 0.02, (10, 1, 1))
        clip[:, [5, 6, 11, 12], :2] += [[1, -2], [-1, -2], [1, 1], [-1, 1]]
        clip[..., 2] = 0.9
        hand = 9 + (number // 2) % 2
        clip[:, hand, 1] += np.sin(np.arange(10)) if number % 2 else -np.arange(10) / 5
        clips.append(clip[:, None].astype(np.float32))
        labels.append("wave" if number % 2 else "raise")
    model = VideoClassifier(epochs=40, members=1, test=0.25, progress=False, features=16, hidden_size=16)
    model.fit(clips, labels)
    assert model.scores_["accuracy"] >= 0.85
    assert model.summary_.settings["mirror"] == "True"
    stream = model.stream()
    for frame in clips[0]:
        answer = stream.push(frame.tolist())
    assert list(answer["probabilities"].values()) == pytest.approx(model.predict_proba(clips[:1])[0], abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_never_on_two_sides_and_every_class_is_trained_on(seed) -> None:
    rng = np.random.default_rng(seed)
    groups = [f"g{number}" for number in rng.integers(0, 9, 60)]
    labels = [("a", "b", "c")[int(name[1]) % 3] if rng.random() < 0.7 else "a" for name in groups]
    parts = grouped_parts(labels, groups, (0.15, 0.2), seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(60))
    sides = [{groups[row] for row in part} for part in parts]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert {labels[row] for row in parts[0]} == set(labels)
    assert all(len(part) for part in parts)


def test_groups_larger_than_a_part_should_be_are_held_out_all_the_same() -> None:
    groups = [name for name in "abcd" for _ in range(10)]
    parts = grouped_parts(["x", "y"] * 20, groups, (0.15, 0.15), 0)
    assert [len(part) for part in parts] == [20, 10, 10]
    assert [len({groups[row] for row in part}) for part in parts] == [2, 1, 1]


def test_an_update_keeps_groups_together_where_its_table_has_them(fitted, folder) -> None:
    task, parameters = fitted.task, VideoParameters(label="action", group="who")
    assert task.read(parameters, folder / "clips.csv", True).groups is not None
    rows = [line.rsplit(",", 1)[0] for line in (folder / "clips.csv").read_text().splitlines()]
    (folder / "without.csv").write_text("\n".join(rows))
    assert task.read(parameters, folder / "without.csv", True).groups is None
    with pytest.raises(DataError, match="who"):
        task.read(parameters, folder / "without.csv")


def _clips(count=8):
    return [going(number % 2 == 0, number, 6) for number in range(count)]


@pytest.mark.parametrize(
    ("changes", "clips", "labels"),
    [
        ({}, _clips(), ["a"] * 8),
        ({}, _clips(), ["a", "b"] * 3),
        ({}, [], []),
        ({"channels": "red"}, _clips(), ["a", "b"] * 4),
        ({"channels": "difference"}, _clips(), ["a", "b"] * 4),
        ({"pooling": "median"}, _clips(), ["a", "b"] * 4),
        ({"rate": 0}, _clips(), ["a", "b"] * 4),
        ({"height": 2}, _clips(), ["a", "b"] * 4),
        ({"input": "sound"}, _clips(), ["a", "b"] * 4),
        ({"layout": "kinect"}, _clips(), ["a", "b"] * 4),
        ({"cell": "conv-gru", "num_layers": 2}, _clips(), ["a", "b"] * 4),
        ({"cell": "conv-gru"}, [np.zeros((4, 9))] * 8, ["a", "b"] * 4),
        ({"cell": "nothing"}, _clips(), ["a", "b"] * 4),
        ({}, [np.zeros((4, 9)), *_clips(7)], ["a", "b"] * 4),
        ({}, [np.zeros((4, 9)), *[np.zeros((4, 8))] * 7], ["a", "b"] * 4),
        ({}, [np.full((4, 9), np.inf), *[np.zeros((4, 9))] * 7], ["a", "b"] * 4),
        ({"input": "pixels"}, [np.zeros((4, 9))] * 8, ["a", "b"] * 4),
        ({}, [np.zeros((0, 9, 9))] * 8, ["a", "b"] * 4),
        ({"class_weights": {"a": 1}}, _clips(), ["a", "b"] * 4),
    ],
)
def test_what_cannot_be_learned_from_is_refused_in_one_sentence(changes, clips, labels) -> None:
    with pytest.raises(OstinatoError) as caught:
        VideoClassifier(**{**SMALL, "epochs": 1, "test": 0, "validation": 0, **changes}).fit(clips, labels)
    assert "\n" not in str(caught.value)


def test_clips_of_one_frame_are_learned_from() -> None:
    clips = [going(number % 2 == 0, number, 6)[:1] for number in range(8)]
    model = VideoClassifier(epochs=1, test=0, validation=0, **SMALL).fit(clips, ["a", "b"] * 4)
    assert model.predict_proba(clips).shape == (8, 2)


def test_a_model_that_reads_the_end_is_not_streamed() -> None:
    model = VideoClassifier(epochs=1, test=0, validation=0, bidirectional=True, **SMALL).fit(_clips(), ["a", "b"] * 4)
    with pytest.raises(UsageError, match="no-bidirectional"):
        model.stream()


class Backbone(torch.nn.Module):
    """Stands in for a network of torchvision."""

    def __init__(self):
        super().__init__()
        self.body, self.fc = torch.nn.Conv2d(3, 5, 3, 2), torch.nn.Linear(5, 9)

    def forward(self, frames):
        return self.fc(self.body(frames).mean((2, 3)))


def test_a_network_with_its_weights_in_a_file_may_read_the_frames(tmp_path, monkeypatch) -> None:
    models = types.ModuleType("torchvision.models")
    models.get_model = lambda name, weights: Backbone()
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    torch.save(Backbone().state_dict(), tmp_path / "w.pt")
    clips = _clips()
    options = {**SMALL, "epochs": 1, "test": 0, "validation": 0, "backbone": "small"}
    with pytest.raises(UsageError, match="nothing is downloaded"):
        VideoClassifier(**options).fit(clips, ["a", "b"] * 4)
    model = VideoClassifier(**options, backbone_weights=str(tmp_path / "w.pt")).fit(clips, ["a", "b"] * 4)
    model.save(tmp_path / "m")
    (tmp_path / "w.pt").unlink()
    again = ostinato.load(tmp_path / "m")
    assert np.array_equal(again.predict_proba(clips), model.predict_proba(clips))
    stream = again.stream(frame_rate=25)
    for frame in clips[0]:
        answer = stream.push(frame)
    assert list(answer["probabilities"].values()) == pytest.approx(model.predict_proba(clips[:1])[0], abs=1e-5)


def test_every_layout_of_landmarks_may_be_said() -> None:
    from typing import get_args

    from ostinato.data.video.layouts import NAMES
    from ostinato.tasks.video.parameters import Layout

    assert get_args(Layout) == NAMES
