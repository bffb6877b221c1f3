"""The captioner: what it reads, learns, finds, shows and keeps."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from ostinato import Captioner
from ostinato.cli.main import main
from ostinato.data.made_clips import moving_shapes, write_clips
from ostinato.errors import ColumnError, DataError, DataWarning, UsageError
from ostinato.tasks.captions.batches import CaptionBatches
from ostinato.tasks.captions.frames import FrameSettings, read_steps
from ostinato.tasks.captions.measures import exact
from ostinato.tasks.captions.noise import Noise
from ostinato.tasks.captions.parameters import CaptionParameters
from ostinato.tasks.captions.reading import read_captioned
from ostinato.tasks.captions.writing import captions_of, looked

pytest.importorskip("av")
FEW = {"hidden_size": 16, "widths": (4, 8), "heads": 1, "epochs": 1, "progress": False, "seed": 0, "size": 16}
SETTINGS = FrameSettings(16, 16, 5.0, 6)


def _clip(red, seed=0, frames=6):
    rng = np.random.default_rng(seed)
    clip = rng.integers(20, 60, (frames, 16, 16, 3)).astype(np.uint8)
    clip[..., 0 if red else 2] += 150
    return clip


def _data(count=24):
    reds = [number % 2 == 0 for number in range(count)]
    clips = [_clip(red, number, 4 + number % 3) for number, red in enumerate(reds)]
    return clips, [["It is red.", "a red clip"] if red else ["It is blue.", "a blue clip"] for red in reds]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    shapes = moving_shapes(12, movements=[1], size=24, frames=8, rate=8.0)
    return write_clips(tmp_path_factory.mktemp("clips"), shapes, captions=2)


@pytest.fixture(scope="module")
def colours():
    return Captioner(**{**FEW, "epochs": 25}, beam_size=3, batch_size=4, learning_rate=1e-2).fit(*_data())


@pytest.fixture(scope="module")
def fitted(table):
    return Captioner(**FEW, beam_size=2).fit(table)


# --- reading ----------------------------------------------------------------------------------------------------------


def test_rows_of_one_clip_are_its_references_and_stay_on_one_side(table):
    found = read_captioned(CaptionParameters(), table, labelled=True)
    assert len(found) == 12
    assert all(len(group) == 2 for group in found.references)
    model = Captioner(**FEW, validation=0.25, test=0.25)
    from ostinato.tasks.base.holding_out import Shares

    held = model.task.hold_out(model, found, Shares(0.25, 0.25))
    parts = [set(part.clips.names) for part in (held.train, held.validation, held.test)]
    assert sum(map(len, parts)) == 12
    assert len(set.union(*parts)) == 12


def test_the_same_from_a_table_and_from_lists(table):
    whole = read_captioned(CaptionParameters(), table, labelled=True)
    lists = ([str(table.parent / name) for name in whole.clips.names], [list(group) for group in whole.references])
    again = read_captioned(CaptionParameters(), lists, labelled=True)
    assert again.references == whole.references
    assert list(again.clips.contents()) == list(whole.clips.contents())


def test_a_clip_of_any_length_is_as_many_frames_at_even_distances_at_most():
    clip = np.repeat(np.arange(250, dtype=np.uint8), 4)[:, None, None, None] * np.ones((1, 16, 16, 3), np.uint8)
    frames, _ = read_steps(clip, FrameSettings(16, 16, 0.0, 6), "a")
    assert frames.shape == (6, 16, 16, 3)
    distances = np.diff(frames[:, 0, 0, 0].astype(int))
    assert distances.min() >= 0.7 * distances.max()
    assert frames[0, 0, 0, 0] == 0
    assert frames[-1, 0, 0, 0] > 230


def test_files_are_read_at_the_rate_and_in_the_size_that_is_asked_for(table):
    frames, seconds = read_steps(str(table.parent / "0000.mp4"), SETTINGS, "0000.mp4")
    assert frames.shape == (5, 16, 16, 3)
    assert seconds == pytest.approx(0.8)


def test_features_that_another_network_made_are_taken_for_frames():
    rng = np.random.default_rng(0)
    clips = [rng.normal(3 * (number % 2), 1, (5 + number % 3, 7)).astype(np.float32) for number in range(24)]
    said = ["high" if number % 2 else "low" for number in range(24)]
    model = Captioner(**{**FEW, "epochs": 15}, beam_size=2, learning_rate=1e-2).fit(clips, said)
    assert "7 numbers a step" in dict(model.summary_.data)["frames"]
    assert model.predict(clips[:4]) == said[:4]
    with pytest.raises(DataError, match="pictures, but the clips of the model are rows of 7 numbers"):
        model.predict([_clip(True)])


# --- learning ---------------------------------------------------------------------------------------------------------


def test_it_learns_what_is_said_of_clips(colours):
    found = colours.predict([_clip(True, 99), _clip(False, 98)])
    assert ["red" in found[0], "blue" in found[1]] == [True, True]
    assert set(colours.scores_.values) == {"model", "most frequent", "nearest clip"}
    assert {"CIDEr-D", "ROUGE-L", "exact sentences"} <= set(colours.scores_.values["model"])


def test_captions_are_drawn_for_each_epoch_and_the_same_for_the_same_one(colours):
    model = colours.fitted_.model
    shown = model.encoder.encode(read_captioned(CaptionParameters(), _data(8), labelled=True), 60)
    one = CaptionBatches(shown, Captioner(**FEW, captions_each=1, batch_size=8), training=True)
    drawn = [next(iter(one.batches(epoch))).data.targets.sum(0).sort().values.tolist() for epoch in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert any(each != drawn[0] for each in drawn[2:])
    whole = next(iter(CaptionBatches(shown, Captioner(**FEW, batch_size=8), training=False).batches(0))).data
    assert len(whole.owners) == 16


def test_at_first_the_decoder_is_shown_none_of_the_tokens_before_and_later_most():
    from ostinato.tasks.captions.task import CaptionObjective

    objective = CaptionObjective(Captioner(word_dropout=0.1), Noise(0.5, 0.4), 100)
    shares = [objective.hidden(objective.done(step)) for step in (0, 40, 50, 60, 99)]
    assert shares == pytest.approx([1.0, 1.0, 0.5, 0.1, 0.1])
    assert CaptionObjective(Captioner(word_dropout=0.2), Noise(0.5, 0.0), 100).hidden(0.0) == 0.2


def test_a_model_that_says_the_same_of_every_clip_is_told_so():
    task = Captioner().task
    same = task.remarks({"model": {"BLEU": 0.0, "different captions": 1.0}})
    assert "says the same of every clip" in same[0]
    assert not task.remarks({"model": {"BLEU": 0.0, "different captions": 2.0}})


# --- finding ----------------------------------------------------------------------------------------------------------


def test_a_clip_is_captioned_alone_as_in_a_batch_and_saved_as_loaded(colours, tmp_path):
    clips = _data(9)[0]
    whole = colours.captions(clips, alternatives=3)
    alone = [colours.captions([clip], alternatives=3)[0] for clip in clips]
    assert [[one.text for one in each] for each in whole] == [[one.text for one in each] for each in alone]
    assert all(each[0].score >= each[1].score for each in whole)
    again = Captioner.load(colours.save(tmp_path / "model"))
    assert [each[0] for each in again.captions(clips)] == [each[0] for each in colours.captions(clips)]


def test_attention_over_frames_sums_to_one_for_each_word(colours):
    model = colours.fitted_.model
    shown = model.encoder.encode(read_captioned(CaptionParameters(), _data(3), labelled=True), 60)
    from ostinato.tasks.base.searching.search import Search

    for row, found in enumerate(captions_of(model, shown, Search(beam_size=2), attention=True)):
        weights = looked(found[0].hypothesis)
        assert weights.shape[0] == len(found[0].hypothesis.tokens) + 1
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
        assert weights[:, shown.lengths[row] :].sum() == 0
    matrix = colours.attend([_clip(True)])
    assert len(matrix.values) == len(matrix.rows)
    assert len(matrix.values[0]) == 6


def test_a_growing_clip_is_captioned_as_a_clip_of_its_frames(colours):
    clip, stream = _clip(False, 5, 9), colours.stream(every=0.1, frame_rate=10.0)
    answers = [stream.push(frame) for frame in clip]
    assert [each["seconds"] for each in answers] == pytest.approx(np.arange(9) / 10)
    for number, answer in enumerate(answers):
        window = clip[max(0, number + 1 - stream.window) : number + 1]
        assert answer["caption"] == colours.predict([window])[0]
    state = stream.state()
    other = colours.stream(every=0.1, frame_rate=10.0)
    other.restore(state)
    assert other.push(clip[0]) == stream.push(clip[0])
    assert abs(len(stream.state()) - len(state)) < 50
    with pytest.raises(UsageError, match="every is 0"):
        colours.stream(every=0)
    stream.reset()
    with pytest.raises(UsageError, match="no frame has come"):
        stream.peek()


def test_a_caption_is_exact_if_it_is_one_of_the_references():
    assert exact(["A red dog.", "a cat"], [["one", "a red dog"], ["a dog"]]).tolist() == [1.0, 0.0]


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_whole_way_on_the_command_line(table, tmp_path, capsys, monkeypatch):
    import io
    import sys

    model, clip = str(tmp_path / "model"), str(table.parent / "0001.mp4")
    options = [
        "--hidden-size",
        "16",
        "--widths",
        "4,8",
        "--heads",
        "1",
        "--epochs",
        "1",
        "--size",
        "16",
        "--test",
        "0.2",
    ]
    assert main(["fit", "captions", str(table), "--video", "video", "--text", "caption", *options, "--out", model]) == 0
    assert "nearest clip" in capsys.readouterr().out
    assert main(["predict", model, clip, str(table.parent / "0002.mp4"), "--alternatives", "2", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["clip"].rsplit("/")[-1], row["rank"]) for row in rows] == [
        ("0001.mp4", 1),
        ("0001.mp4", 2),
        ("0002.mp4", 1),
        ("0002.mp4", 2),
    ]
    assert main(["predict", model, clip, "--alternatives", "2"]) == 0
    assert [line.split("\t")[1:3] for line in capsys.readouterr().out.splitlines()] == [
        [str(row["rank"]), row["caption"]] for row in rows[:2]
    ]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{clip}\n"))
    assert main(["predict", model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["caption"] == rows[0]["caption"]
    assert main(["evaluate", model, str(table)]) == 0
    assert "CIDEr-D" in capsys.readouterr().out
    assert main(["report", model]) == 0
    page = next((tmp_path / "model").glob("*.html")).read_text()
    assert "Attention over time" in page
    assert "Frames: " in page
    assert page.count("data:image/jpeg") >= 5  # the frames themselves


def test_pictures_are_streamed_on_the_command_line(fitted, tmp_path, capsys, monkeypatch):
    import io
    import sys

    picture = pytest.importorskip("PIL.Image").fromarray(_clip(True)[0])
    picture.save(tmp_path / "a.png")
    fitted.save(tmp_path / "model")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{tmp_path / 'a.png'}\n" * 3))
    assert main(["stream", str(tmp_path / "model"), "--every", "0.1"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["row"] for row in rows] == [1, 2, 3]
    assert all("caption" in row for row in rows)


# --- bad inputs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "error", "said"),
    [
        ("clip,words\na.mp4,x", ColumnError, "no column that is called caption; name it: --text"),
        ("video,caption\n0000.mp4,", DataError, '"caption" is empty'),
        ("video,caption\nnowhere.mp4,a thing", DataError, "not there"),
        ("video,caption\n", DataError, "row"),
        ("video,caption\ntext.mp4,a thing", DataError, "cannot be read"),
    ],
)
def test_a_table_that_is_none_is_refused_in_a_sentence(table, tmp_path, rows, error, said):
    (table.parent / "text.mp4").write_text("no video")
    path = table.parent / "bad.csv"
    path.write_text(rows)
    with pytest.raises(error, match=said):
        Captioner(**FEW).fit(path)


@pytest.mark.parametrize(
    ("clips", "captions", "said"),
    [
        ([_clip(True)], [], "1 clips but captions of 0"),
        ([_clip(True)], [[]], "clip 1 has no caption"),
        ([_clip(True)], [" "], "a caption of clip 1 is ' '"),
        ([_clip(True)], [3], "captions of clip 1 are a int"),
        ([np.zeros((4, 16, 16, 7), np.uint8)], ["a"], r"expected .*\(T, H, W"),
        ([np.full((4, 16), np.nan, np.float32)] * 3, ["a"] * 3, "not numbers"),
        ([], [], "no clips"),
    ],
)
def test_lists_that_are_none_are_refused_in_a_sentence(clips, captions, said):
    with pytest.raises((DataError, UsageError), match=said):
        Captioner(**FEW).fit(clips, captions)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cell": "transformer"}, "cell is transformer"),
        ({"hidden_size": 7}, "even number"),
        ({"widths": ()}, "widths is"),
        ({"widths": (0,)}, "widths is"),
    ],
)
def test_parameters_that_do_not_go_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        Captioner(**{**FEW, **options}).fit(*_data(8))


def test_a_clip_that_cannot_be_read_is_left_out_and_named(table, tmp_path):
    lines = table.read_text().splitlines()
    (table.parent / "broken.mp4").write_bytes(b"\0" * 400)
    path = table.parent / "with_broken.csv"
    path.write_text("\n".join([*lines, "broken.mp4,x,a thing moves,0"]) + "\n")
    model = Captioner(**FEW, validation=0, test=0)
    with pytest.warns(DataWarning, match=r"1 of the 13 clips .* left out \(broken.mp4\)"):
        model.fit(path)
    assert ("cannot be read", "1 left out: broken.mp4") in model.summary_.data
    with pytest.raises(DataError, match="broken.mp4"):
        model.predict([str(table.parent / "broken.mp4")])


def test_one_clip_with_one_very_long_caption_is_enough_to_fit():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Captioner(**FEW, max_length=5).fit([_clip(True)], ["word " * 2000])
    assert ("longer than max_length", "1 caption, cut off") in model.summary_.data
    assert len(model.predict([_clip(True)])[0].split()) <= 10
    assert "<unk>" not in model.predict([_clip(True)])[0]
    assert any(name == "too few clips" and said.startswith("1 to learn from") for name, said in model.summary_.data)
    assert "Nothing was held out" in model.summary_.verdict


def test_frames_that_are_none_are_refused_and_change_nothing(fitted):
    stream = fitted.stream()
    stream.push(_clip(True)[0])
    before = stream.state()
    for row in (3, None, "nowhere.png", [1, 2], {"other": 1}, np.zeros((0, 4, 3)), np.full((4, 4, 3), np.nan)):
        with pytest.raises((DataError, UsageError)):
            stream.push(row)
    assert stream.state() == before
