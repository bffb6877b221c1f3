"""Clips that are drawn: what is said of them is what they show."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from ostinato.data.made_clips import (
    ACTIONS,
    COLOURS,
    DIRECTIONS,
    JOINTS,
    moving_shapes,
    stick_figures,
    write_clips,
)
from ostinato.data.made_clips.shapes import SHAPES, combinations
from ostinato.errors import UsageError


def _middle(frame, colour):
    """Return where pixels of a colour lie on the whole, right and down."""
    near = np.abs(frame.astype(float) - np.array(COLOURS[colour])).sum(-1) < 60
    return np.argwhere(near)[:, ::-1].mean(0)


def test_a_shape_moves_the_way_that_its_sentence_says():
    for clip in moving_shapes(12, movements=[1], noise=0.0, seed=3):
        _, colour, shape, _, direction = clip.captions[0].split()
        moved = _middle(clip.frames[-1], colour) - _middle(clip.frames[0], colour)
        assert shape in SHAPES
        assert np.sign(np.rint(moved)).tolist() == list(DIRECTIONS[direction])


def test_the_first_that_is_named_moves_first():
    for clip in moving_shapes(6, movements=[2], colours=["red", "blue"], noise=0.0, seed=1):
        first, then = clip.captions[0].split(", then ")
        early = np.abs(np.diff(clip.frames[: len(clip) // 3].astype(float), axis=0)).sum((0, -1)) > 60
        late = np.abs(np.diff(clip.frames[-len(clip) // 3 :].astype(float), axis=0)).sum((0, -1)) > 60
        across = {"left", "right"}
        for moved, said in ((early, first), (late, then)):
            down, right = np.ptp(np.argwhere(moved), axis=0)
            assert (right > down) == (said.split()[-1] in across)


def test_train_and_test_share_no_combination_but_every_word():
    train, test = (set(combinations(list(COLOURS), SHAPES, part)) for part in ("train", "test"))
    assert not train & test
    for side in (0, 1):
        assert {each[side] for each in train} == {each[side] for each in test}
    words = [
        {word for clip in moving_shapes(150, part=part, frames=4) for word in clip.label.split()}
        for part in ("train", "test")
    ]
    assert words[0] == words[1]


@pytest.mark.parametrize("made", [moving_shapes, stick_figures])
def test_the_same_seed_gives_the_same_clips_and_another_one_others(made):
    one, again, other = (list(made(3, frames=8, seed=seed)) for seed in (5, 5, 6))
    assert all((a.frames == b.frames).all() and a.captions == b.captions for a, b in zip(one, again, strict=True))
    assert any((a.frames != b.frames).any() for a, b in zip(one, other, strict=True))


def test_bodies_stay_in_the_frame_and_those_that_fall_end_low():
    for clip in stick_figures(24, seed=2):
        assert clip.landmarks is not None
        assert clip.landmarks.shape == (30, len(JOINTS), 2)
        assert clip.landmarks.min() > 0.0
        assert clip.landmarks.max() < 1.0
        head, hip = clip.landmarks[-1, JOINTS.index("head"), 1], clip.landmarks[0, JOINTS.index("hip"), 1]
        assert (head > hip) == (clip.label == "fall")
    assert {clip.label for clip in stick_figures(4)} == set(ACTIONS)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"size": 8}, "24 or more"),
        ({"frames": 1}, "frames is 1"),
        ({"colours": ["mauve"]}, 'no colour "mauve"'),
        ({"shapes": []}, "no shape is given"),
        ({"movements": []}, "movements is ()"),
        ({"movements": [9]}, "from 1 to 4"),
        ({"part": "dev"}, "part is 'dev'"),
        ({"colours": ["red"], "shapes": ["ring"], "part": "train"}, "none to train on"),
    ],
)
def test_shapes_that_cannot_be_drawn_are_refused_in_a_sentence(asked, said):
    with pytest.raises(UsageError, match=said.replace("(", r"\(").replace(")", r"\)")):
        list(moving_shapes(1, **({"frames": 20} | asked)))


@pytest.mark.parametrize("asked", [{"actions": ["fly"]}, {"actions": []}, {"size": (48, 8)}, {"frames": 2}])
def test_figures_that_cannot_be_drawn_are_refused(asked):
    with pytest.raises(UsageError):
        list(stick_figures(1, **asked))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_written_clips_are_what_was_drawn(tmp_path, suffix):
    av = pytest.importorskip("av")
    clips = list(moving_shapes(2, size=(33, 40), frames=9, movements=[1], noise=0.0))
    table = write_clips(tmp_path / "clips", clips, suffix=suffix, captions=2)
    rows = list(csv.DictReader(table.open()))
    assert [row["video"] for row in rows] == [f"0000{suffix}"] * 2 + [f"0001{suffix}"] * 2
    assert rows[1]["caption"] == clips[0].captions[1]
    with av.open(str(table.parent / rows[0]["video"])) as file:
        read = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
    assert read.shape == (9, 34, 40, 3)
    assert np.abs(read[:, :33].astype(float) - clips[0].frames).mean() < 6
