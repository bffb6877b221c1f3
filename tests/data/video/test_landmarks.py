"""Landmarks of bodies: the same wherever a person stands, frame by frame as whole, from every layout."""

import json

import numpy as np
import pytest

from ostinato.data.video import Body, read_landmarks
from ostinato.data.video.landmarks import Landmarks
from ostinato.data.video.layouts import LAYOUTS, people_of
from ostinato.errors import DataError, OstinatoError, UsageError

RNG = np.random.default_rng(0)
SHAPES = {
    "mediapipe": (1662,),
    "mediapipe-hands": (258,),
    "mediapipe-pose": (33, 4),
    "yolo": (3, 17, 3),
    "openpose": (25, 3),
    "openpose-coco": (18, 3),
}


def frames(name, count=6):
    found = RNG.random((count, *SHAPES[name])).astype(np.float32)
    if name.startswith(("yolo", "openpose")):
        found[..., 2] = 0.9
        if name == "yolo":
            found[:, 1:] = 0
    return found


@pytest.mark.parametrize("name", SHAPES)
def test_every_layout_gives_its_features_and_is_found_by_its_shape(name) -> None:
    given = frames(name)
    loaded = Landmarks(given)
    assert loaded.layout.name == name
    assert loaded.features().shape == (6, LAYOUTS[name].features)
    assert loaded.features().dtype == np.float32


@pytest.mark.parametrize("name", ["yolo", "openpose", "openpose-coco"])
def test_neither_where_a_person_stands_nor_how_far_away_matters(name) -> None:
    given = frames(name)
    moved = given.copy()
    moved[..., :2] = np.where(given[..., 2:] > 0, given[..., :2] * 37 + [100, 40], 0)
    assert np.allclose(read_landmarks(given), read_landmarks(moved), atol=1e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_frame_by_frame_is_the_whole_and_goes_on_from_a_state(name) -> None:
    given = frames(name)
    whole, body = read_landmarks(given), Body(LAYOUTS[name])
    for number, frame in enumerate(given):
        again = Body(LAYOUTS[name])
        again.restore(json.loads(json.dumps(body.state())))
        people = people_of(frame, LAYOUTS[name])
        assert np.array_equal(body.push(people), whole[number])
        assert np.allclose(again.push(people), whole[number], atol=1e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_mirrored_twice_is_as_it_was_and_once_is_a_mirrored_picture(name) -> None:
    place, sign = LAYOUTS[name].mirrored()
    once = read_landmarks(frames(name))
    assert np.array_equal((once[:, place] * sign)[:, place] * sign, once)
    if name == "yolo":
        given = frames(name)
        given[:, 1:] = 0
        swapped = given.copy()
        for left, right in LAYOUTS[name].pairs:
            swapped[:, :, [left, right]] = swapped[:, :, [right, left]]
        swapped[:, :1, :, 0] = 2 - swapped[:, :1, :, 0]
        assert np.allclose(read_landmarks(swapped), read_landmarks(given)[:, place] * sign, atol=1e-4)


def test_a_joint_that_is_not_seen_stays_where_it_was_and_says_so() -> None:
    given = np.repeat(frames("yolo", 1), 3, 0)
    given[1, 0, 9] = 0  # a wrist
    found = read_landmarks(given).reshape(3, -1)
    wrist = found[:, 27:30]
    assert np.allclose(wrist[1, :2], wrist[0, :2])
    assert wrist[:, 2].tolist() == [1, 0, 1]


def test_nobody_in_a_frame_changes_nothing() -> None:
    given = np.concatenate([frames("yolo", 1), np.zeros((1, *SHAPES["yolo"]), np.float32)])
    found = read_landmarks(given)
    assert np.allclose(found[1, 0:51:3], found[0, 0:51:3])
    assert not found[1, 2:51:3].any()
    assert np.isfinite(read_landmarks(np.zeros((4, 1, 17, 3), np.float32))).all()


def test_the_person_that_is_near_the_one_before_is_followed() -> None:
    one, other = frames("yolo", 1)[0, 0], frames("yolo", 1)[0, 0]
    other[:, :2] += 50
    given = np.stack([np.stack([one, np.zeros((17, 3), np.float32)]), np.stack([other, one]), np.stack([one, other])])
    found = read_landmarks(given)
    assert np.allclose(found[1, :51], found[0, :51], atol=1e-5)
    assert np.allclose(found[:, -3:], 0, atol=1e-4)


def test_openpose_files_of_a_folder_are_frames(tmp_path) -> None:
    given = frames("openpose")
    for number, frame in enumerate(given):
        people = [{"pose_keypoints_2d": frame.ravel().tolist(), "hand_left_keypoints_2d": [0] * 63}]
        (tmp_path / f"clip_{number}_keypoints.json").write_text(json.dumps({"people": people if number != 3 else []}))
    found = read_landmarks(tmp_path)
    assert np.allclose(found[0], read_landmarks(given)[0], atol=1e-5)
    assert not found[3, 2:75:3].any()


def test_a_folder_of_arrays_is_one_clip_in_natural_order(tmp_path) -> None:
    given = frames("mediapipe", 12)
    for number, frame in enumerate(given):
        np.save(tmp_path / f"{number}.npy", frame)
    assert np.array_equal(read_landmarks(tmp_path), read_landmarks(given))


def test_plain_numbers_stay_and_a_missing_one_is_the_last_that_was_there() -> None:
    given = np.array([[np.nan, 1.0], [2.0, np.nan], [np.nan, 3.0]], np.float32)
    assert read_landmarks(given).tolist() == [[0, 1], [2, 1], [2, 3]]
    assert read_landmarks(RNG.random((4, 9, 2))).shape == (4, 30)


def _bad(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    np.save(tmp_path / "mixed" / "0.npy", np.zeros(4))
    np.save(tmp_path / "mixed" / "1.npy", np.zeros(5))
    wrong = {
        "json": "{",
        "people": '{"people": 3}',
        "joints": '{"people": [{"pose_keypoints_2d": [1]}]}',
        "words": '{"people": [{"pose_keypoints_2d": ["a", "b", "c"]}]}',
    }
    for name, text in wrong.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.json").write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", ["empty", "mixed", "json", "people", "joints", "words", "missing"])
def test_what_is_no_landmarks_is_refused_in_one_sentence(tmp_path, name) -> None:
    with pytest.raises(DataError) as caught:
        read_landmarks(str(_bad(tmp_path) / name))
    assert "\n" not in str(caught.value)


def test_arrays_and_layouts_that_do_not_fit_are_refused() -> None:
    for given, layout in (
        (np.zeros(3), "auto"), (np.zeros((0, 4)), "auto"), (np.zeros((3, 5)), "yolo"), (np.array([["a"]]), "auto"),
        (np.zeros((3, 5)), "joints"), (np.zeros((3, 5, 9)), "auto"),
    ):  # fmt: skip
        with pytest.raises(OstinatoError):
            read_landmarks(given, layout)
    with pytest.raises(UsageError, match="expected one of"):
        read_landmarks(np.zeros((3, 5)), "alphapose")
