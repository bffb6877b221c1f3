"""Anomalies in video: made clips, in which a square goes faster for a while."""

import json

import numpy as np
import pytest
import torch

import ostinato
from ostinato import VideoAnomalyDetector
from ostinato.cli.by_source import by_source
from ostinato.cli.main import main
from ostinato.errors import DataError, DataWarning, StreamRowError, UsageError
from ostinato.nn.frame_prediction import FramePredictor
from ostinato.tasks.base.areas import auroc
from ostinato.tasks.base.holding_out import Shares
from ostinato.tasks.video_anomaly.encoder import VIEWS, Usual
from ostinato.tasks.video_anomaly.evidence import KINDS, Evidence
from ostinato.tasks.video_anomaly.footage import read_footage
from ostinato.tasks.video_anomaly.judged import equal_error_rate, placements
from ostinato.tasks.video_anomaly.movers import Scene
from ostinato.tasks.video_anomaly.sources import is_video

BAD = slice(24, 36)


def clip(seed, bad=None, frames=48):
    rng = np.random.default_rng(seed)
    found = rng.integers(40, 50, (frames, 32, 48)).astype(np.uint8)
    x = int(rng.integers(0, 40))
    for t in range(frames):
        x = (x + (5 if bad and bad.start <= t < bad.stop else 1)) % 40
        found[t, 12:20, x : x + 8] += 150
    return found


def marks(frames=48):
    found = np.zeros(frames, bool)
    found[BAD] = True
    return found


@pytest.fixture(scope="module")
def fitted():
    settings = {"hidden_size": 8, "epochs": 5, "false_alarm_rate": 0.02, "test": 0.0, "progress": False}
    settings["evidence"] = "prediction+pace+size+standing"
    return VideoAnomalyDetector(cell="gru", **settings).fit([clip(i) for i in range(7)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of two clips, each a folder of pictures, and the labels of their frames."""
    from PIL import Image

    home = tmp_path_factory.mktemp("film")
    rows = ["clip,frame,anomalous"]
    for name in ("01", "02"):
        (home / "clips" / name).mkdir(parents=True)
        for number, frame in enumerate(clip(40 + int(name), BAD)):
            Image.fromarray(frame).save(home / "clips" / name / f"{number:03}.png")
            rows.append(f"{name},{number:03}.png,{int(marks()[number])}")
    (home / "labels.csv").write_text("\n".join(rows))
    (home / "ranges.csv").write_text(f"clip,start,end\n01,{BAD.start},{BAD.stop - 1}\n02,{BAD.start},{BAD.stop - 1}\n")
    return home


def test_what_moves_faster_than_in_training_is_found_beside_the_baselines(fitted) -> None:
    scores = fitted.evaluate([clip(20, BAD), clip(21, BAD)], [marks(), marks()])
    assert scores["frame AUC"] > 0.9
    assert scores["clip AUC"] > 0.9
    assert scores["equal error rate"] < 0.2
    assert set(scores.values) == {"model", "frame difference", "Mahalanobis by patch"}
    assert scores.against["frame difference"]["frame AUC"].units > 0


def test_labels_come_from_a_table_of_frames_or_of_ranges(fitted, folder) -> None:
    found = [fitted.evaluate(folder / "clips", labels=str(folder / name)) for name in ("labels.csv", "ranges.csv")]
    assert found[0].values == found[1].values
    given = fitted.evaluate([clip(41, BAD), clip(42, BAD)], [marks(), marks()])
    assert given["frame AUC"] == pytest.approx(found[0]["frame AUC"], abs=1e-9)


def test_a_stream_says_of_each_frame_what_is_said_of_it_in_a_file(fitted) -> None:
    film = clip(30, BAD)
    stream = fitted.stream()
    live = [stream.push(frame) for frame in film]
    batch = [{**answer} for answer in fitted.answers(film)]
    for one, other in zip(live, batch, strict=True):
        assert {**other, "clip": 0, "time": 0} == {**one, "clip": 0, "time": 0}
    assert live[0]["score"] is None
    assert any(answer["alarm"] and answer["reason"] for answer in live[BAD])
    assert len(stream.state()) < 100_000


def test_a_frame_alone_scores_as_in_any_batch_of_training_and_memory_does_not_grow(fitted) -> None:
    stream = fitted.stream()
    sizes = []
    for frame in clip(31):
        stream.push(frame)
        sizes.append(len(stream.state()))
    assert max(sizes) - min(sizes) < 64


def test_alarms_lie_where_the_square_is(fitted) -> None:
    film = clip(32, BAD)
    best = max((one for one in fitted.answers(film) if one["score"] is not None), key=lambda one: one["score"])
    assert BAD.start <= best["frame"] <= BAD.stop + 3
    assert 4 <= best["y"] <= 28  # the square's rows are 12 to 20; a patch has 8, its neighbours count too
    event = max(fitted.events(film), key=lambda event: event["score"])
    assert event["from"] >= BAD.start - 2
    assert fitted.predict(film).sum() == sum(each["alarm"] for each in fitted.answers(film))


def test_the_heat_map_is_a_video_of_as_many_frames_red_where_it_is_strange(fitted, tmp_path) -> None:
    pytest.importorskip("av")
    from ostinato.data.video import read_clip
    from ostinato.tasks.video_anomaly.answering import with_heat

    answers = list(fitted.answers(clip(33, BAD), heat=str(tmp_path / "heat.mp4")))
    assert len(read_clip(tmp_path / "heat.mp4")) == len(answers) == 48
    encoder = fitted.fitted_.model.encoder
    patches = np.full(encoder.grid, encoder.low, np.float32)
    patches[0, 0] = encoder.threshold * 2
    grey = np.full((64, 96, 3), 100, np.uint8)
    hot = with_heat(grey, patches, encoder, alarm=False)
    assert hot[4, 4, 0] > 130 > hot[4, 4, 2]
    assert (hot[-8:, -8:] == 100).all()


def test_known_anomalies_are_not_learned_from() -> None:
    made = VideoAnomalyDetector(hidden_size=4, epochs=1, steps=6, progress=False)
    clips = [clip(i, BAD) for i in range(6)]
    parts = made.task.hold_out(made, made.task.read(made, made.task.joined(clips, [marks()] * 6)), Shares(0.2, 0.0))
    model = made.fit(clips, [marks()] * 6).fitted_.model
    places = made.task.batches(model, parts.train, training=True).places
    assert places
    assert all(start + 7 <= BAD.start or start >= BAD.stop for _, start in places)


def test_few_clips_are_cut_by_time_and_many_by_clip() -> None:
    task, made = VideoAnomalyDetector.task, VideoAnomalyDetector()
    one = task.hold_out(made, task.read(made, clip(0)), Shares(0.25, 0.25))
    assert [len(part) for part in (one.train, one.validation, one.test)] == [27, 9, 12]
    many = task.hold_out(made, task.read(made, [clip(i, frames=20) for i in range(10)]), Shares(0.25, 0.2))
    assert [len(part.clips) for part in (many.train, many.validation, many.test)] == [6, 2, 2]


def test_what_is_usual_is_the_high_of_each_place_drawn_to_that_of_all() -> None:
    rng = np.random.default_rng(0)
    views = rng.random((400, len(VIEWS), 4, 6)).astype(np.float32)
    views[:, :, :, 3:] *= 0.01  # half of the scene where little happens
    views[:, 0] *= 100
    views[0] = np.nan  # of a first frame
    usual = Usual.of(views)
    np.testing.assert_allclose(usual.high[0], 100 * usual.high[1], rtol=0.1)  # a view's unit does not matter
    busy, quiet = usual.high[1, 1, 1], usual.high[1, 1, 5]
    assert 0.9 < busy < 1
    assert 0.3 < quiet < 0.7  # no less than half of what all places reach
    assert usual.shares(views[0]).max() == 0
    few = Usual.of(views[:3])
    assert few.high[1].max() < 1.2 * few.high[1].min()  # of few frames, all places are as one
    still = Usual.of(np.zeros((50, len(VIEWS), 4, 6), np.float32))
    assert np.isfinite(still.scores(views[5])).all()
    assert (Usual.of(views[:1]).high == 1).all()


def moving_squares(speed, start):
    """A scene of fine texture through which squares of six pixels go to the right, all the way."""
    empty = np.random.default_rng(0).integers(90, 110, (48, 96)).astype(np.uint8)
    frames = int(80 / speed)
    found = np.repeat(empty[None], frames, 0)
    for t in range(frames):
        for row, more in ((8, 0), (26, 26)):
            x = round(start + more + speed * t) % 90
            found[t, row : row + 8, x : x + 6] = 220
    return found


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
def test_the_speed_of_what_is_a_few_pixels_wide_is_measured_over_as_many_frames_as_it_takes(speed) -> None:
    pytest.importorskip("cv2")
    clips = read_footage([moving_squares(speed, start) for start in (4, 30, 56)], height=48, rate=None, most=999)
    scene = Scene.fit(clips.clips, "flow")
    assert scene.pace == pytest.approx(speed, rel=0.25)
    assert 2 <= scene.span * speed <= 4 or scene.span == 1
    twice = moving_squares(2 * speed, 4)
    found = [scene.measured(twice[t - scene.span], twice[t], "flow", scene.span).speed.max() for t in range(9, 13)]
    assert np.median(found) == pytest.approx(2 * speed, rel=0.3)


def test_kinds_of_evidence_of_any_unit_come_to_one_scale_and_none_drowns_the_others() -> None:
    rng = np.random.default_rng(0)
    means = rng.exponential(1.0, (600, len(KINDS), 3, 4)).astype(np.float32)
    units = np.array([1, 50, 0.01, 3], np.float32)[:, None, None]
    one, other = (Evidence.nothing((3, 4)).with_tails([each]) for each in (means, means * units))
    np.testing.assert_allclose(one.nats(means[0]), other.nats(means[0] * units), rtol=1e-4)
    highest = one.nats(means.transpose(1, 0, 2, 3).reshape(len(KINDS), 600 * 3, 4)).reshape(len(KINDS), 600, 12).max(2)
    for kind in highest:
        assert (kind > np.log(10)).mean() == pytest.approx(0.1, abs=0.01)
        assert (kind > np.log(100)).mean() == pytest.approx(0.01, abs=0.01)
    assert one.nats(means[0] * 1e6).max() < 11
    still = Evidence.nothing((3, 4)).with_tails([np.zeros((50, len(KINDS), 3, 4), np.float32)])
    assert np.isfinite(still.nats(means[0])).all()


def test_what_stands_where_nothing_stood_is_seen_and_stays_seen(fitted) -> None:
    film = clip(34, frames=90)
    film[20:, 24:31, 2:10] = 230
    scores = fitted.score_samples(film)
    before = scores[10:20].max()
    assert np.median(scores[60:]) > before
    last = list(fitted.answers(film))[-1]
    assert last["y"] > 20
    assert last["x"] < 16


def test_the_equal_error_rate_and_placements_are_those_of_the_roc_curve() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.random(300) < 0.4, rng.normal(0, 1, 300).round(1)
    scores[labels] += 1
    placed, weights = placements(labels, scores)
    for kind in (labels, ~labels):
        assert placed[kind].mean() == pytest.approx(auroc(labels, scores))
        assert weights[kind].sum() == pytest.approx(0.5)
    rates = [((scores[~labels] >= t).mean(), (scores[labels] < t).mean()) for t in np.unique(scores)]
    nearest = min(rates, key=lambda pair: abs(pair[0] - pair[1]))
    assert equal_error_rate(labels, scores) == pytest.approx(np.mean(nearest), abs=0.03)
    assert equal_error_rate(labels, labels.astype(float)) == 0
    assert np.isnan(equal_error_rate(labels[labels], scores[labels]))


@pytest.mark.parametrize("cell", ["conv-lstm", "conv-gru", "lstm"])
def test_the_network_predicts_the_same_step_by_step_as_at_once(cell) -> None:
    network = FramePredictor(3, 6, cell).double()
    xs = torch.randn(5, 2, 3, 16, 24, dtype=torch.float64)
    whole, last = network(xs)
    state, steps = None, []
    for x in xs:
        predicted, state = network(x[None], state)
        steps.append(predicted[0])
    torch.testing.assert_close(torch.stack(steps), whole)
    for one, other in zip(ostinato.engine.leaves(state), ostinato.engine.leaves(last), strict=True):
        torch.testing.assert_close(one, other)
    whole[2].sum().backward()


# --- the same verb as of series ---------------------------------------------------------------------------------------


def test_fit_anomaly_means_video_where_the_source_is_video(folder, tmp_path) -> None:
    np.save(tmp_path / "film.npy", clip(0))
    np.save(tmp_path / "series.npy", np.zeros((100, 2)))
    (tmp_path / "load.csv").write_text("load\n1\n")
    films = ["camera.mp4", str(folder / "clips"), str(folder / "clips" / "01"), str(tmp_path / "film.npy")]
    others = [
        str(tmp_path / "series.npy"),
        str(tmp_path / "load.csv"),
        "nothing.csv",
        "nothing",
        str(tmp_path / "x.zip"),
    ]
    assert [is_video(path) for path in films] == [True] * 4
    assert [is_video(path) for path in others] == [False] * 5
    for film in films:
        assert by_source(["fit", "anomaly", "--height", "48", film, "--out", "m"])[1] == "video-anomaly"
    for other in others:
        given = ["fit", "anomaly", other, "--out", str(folder / "clips")]
        assert by_source(given) == given
    assert by_source(["fit", "forecast", films[1], "--out", "m"])[1] == "forecast"


def test_the_whole_way_on_the_command_line(folder, tmp_path, capsys) -> None:
    out = tmp_path / "model"
    given = ["fit", "anomaly", str(folder / "clips"), "--out", str(out), "--epochs", "1", "--hidden-size", "4"]
    assert main([*given, "--cell", "gru", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]
    assert main(["evaluate", str(out), str(folder / "clips"), "--labels", str(folder / "labels.csv")]) == 0
    assert "frame AUC" in capsys.readouterr().out
    assert main(["predict", str(out), str(folder / "clips" / "02"), "--heat", str(tmp_path / "heat.mp4")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 49
    assert (tmp_path / "heat.mp4").stat().st_size > 1000


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (np.zeros((3, 32, 32), np.uint8), "3 frames; expected 16 or more"),
        (np.zeros((1, 32, 32), np.uint8), "1 frame"),
        ("nowhere.mp4", "nowhere.mp4 does not exist"),
        ([], "no clips|clips"),
    ],
)
def test_a_source_that_cannot_be_learned_from_is_refused_in_a_sentence(source, said) -> None:
    with pytest.raises((DataError, UsageError), match=said) as caught:
        VideoAnomalyDetector(progress=False).fit(source)
    assert "\n" not in str(caught.value)


def test_labels_that_do_not_fit_are_refused(fitted, folder, tmp_path) -> None:
    film = clip(1)
    for labels, said in (
        ([0, 1], "48 frames and 2 labels"),
        ([marks(), marks()], "labels of 2 clips"),
        (["x"] * 48, "has the label 'x'; expected true or 1"),
        ([np.nan] * 48, "has the label nan"),
        ([2] * 48, "has the label 2"),
    ):
        with pytest.raises(DataError, match=said):
            fitted.evaluate(film, labels)
    for text, said in (
        ("a,b\n1,2\n", "columns a, b; expected clip and anomalous"),
        ("frame,anomalous\n0,1\n", "no column clip, and there are 2 clips; expected clip and anomalous"),
        ("clip,start,end\n01,x,2\n", "is no number of a frame"),
        ("clip,start,end\n01,5,2\n", "from frame 5 to 2"),
        ("clip,start,end\n01,5,900\n", "from frame 5 to 900 of 01, which has 48 frames"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(DataError, match=said) as caught:
            fitted.evaluate(folder / "clips", labels=str(tmp_path / "bad.csv"))
        assert "\n" not in str(caught.value)
    (tmp_path / "bad.csv").write_text("clip,start,end\nother,5,9\n")
    with pytest.warns(DataWarning, match="names none of the clips"):
        assert "frame AUC" not in fitted.evaluate(folder / "clips", labels=str(tmp_path / "bad.csv")).values["model"]


@pytest.mark.parametrize(
    "row",
    [None, 3, "no.png", [], [[1, 2], [3]], {"picture": 1}, np.full((8, 8), 300.0), np.full((8, 8), np.nan),
     np.zeros((2, 2, 2, 2)), np.array([["a"]]), b"bytes"],
)  # fmt: skip
def test_a_row_that_is_no_frame_is_refused_and_the_stream_stays(fitted, row) -> None:
    stream = fitted.stream()
    stream.push(clip(3)[0])
    before = stream.state()
    with pytest.raises(StreamRowError) as caught:
        stream.push(row)
    assert "\n" not in str(caught.value)
    assert stream.state() == before


def test_evidence_that_is_not_taken_does_not_count() -> None:
    means = np.full((len(KINDS), 3, 4), 5.0, np.float32)
    nats = Evidence.nothing((3, 4), "pace+standing").nats(means)
    assert [bool(kind.any()) for kind in nats] == [False, True, False, True]
    for wrong in ("", "speed", "pace+"):
        with pytest.raises(UsageError, match="expected one or more of prediction, pace, size, standing"):
            VideoAnomalyDetector(evidence=wrong, progress=False).fit(clip(0))


def test_a_cell_whose_state_grows_is_refused() -> None:
    with pytest.raises(UsageError, match="transformer"):
        VideoAnomalyDetector(cell="transformer", progress=False).fit(clip(0))


def test_frames_beyond_the_most_are_left_and_it_is_said() -> None:
    with pytest.warns(DataWarning, match="60 frames of the clips were read, as max_frames has it; 1 more clips"):
        clips = read_footage([clip(0), clip(1), clip(2)], height=32, rate=None, most=60)
    assert [len(one) for one in clips.clips] == [48, 12]
