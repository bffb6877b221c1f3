"""How landmarks of people are laid out in arrays and files: MediaPipe, YOLO (COCO), OpenPose, joints of any kind.

Each layout turns what one frame has into the parts of a person, `(joints, 3)`: x, y, and whether it was seen, 0 or 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError

Points = NDArray[np.float32]
_SURE = 0.25  # below it a joint of a detector is a guess
# eyes, brows, nose, lips, chin and the outline: 24 of MediaPipe's 468 points of a face
_FACE = (10, 152, 234, 454, 1, 33, 133, 159, 145, 362, 263, 386, 374, 70, 107, 336, 300, 61, 291, 0, 17, 13, 14, 199)


@dataclass(frozen=True)
class Layout:
    """A layout of landmarks.

    Args:
        name: what it is called.
        joints: how many the body has.
        shoulders, hips: which of them, left and right; `None`: not known.
        hands: whether it has two hands of 21 points; face: points of the face that are kept.
        shapes: the shapes of one frame that mean it; 0 stands for any number.
    """

    name: str
    joints: int
    shoulders: tuple[int, int] | None = None
    hips: tuple[int, int] | None = None
    hands: bool = False
    face: int = 0
    shapes: tuple[tuple[int, ...], ...] = ()

    @property
    def features(self) -> int:
        """How many numbers a frame comes to."""
        return 3 * self.joints + (2 * (42 + 3) if self.hands else 0) + 2 * self.face + 3


LAYOUTS = {
    one.name: one
    for one in (
        Layout("mediapipe", 33, (11, 12), (23, 24), True, len(_FACE), ((1662,), (543, 3))),
        Layout("mediapipe-hands", 33, (11, 12), (23, 24), True, 0, ((258,),)),
        Layout("mediapipe-pose", 33, (11, 12), (23, 24), False, 0, ((132,), (33, 4), (33, 3))),
        Layout("yolo", 17, (5, 6), (11, 12), False, 0, ((17, 3), (0, 17, 3), (0, 17, 2), (17, 2))),
        Layout("openpose", 25, (5, 2), (12, 9), True, 0, ((25, 3), (0, 25, 3))),
        Layout("openpose-coco", 18, (5, 2), (11, 8), True, 0, ((18, 3), (0, 18, 3))),
    )
}
NAMES = ("auto", *LAYOUTS, "joints", "plain")


@dataclass
class Person:
    """What one frame shows of a person; each `(points, 3)`: x, y, seen; `None`: not there."""

    body: Points
    left: Points | None = None
    right: Points | None = None
    face: Points | None = None


def layout_of(shape: tuple[int, ...], wanted: str, name: str) -> Layout:
    """Return the layout of frames of a shape.

    Args:
        shape: of one frame.
        wanted: one of `NAMES`.
        name: what to call the source in a message.

    Raises:
        DataError: it is of no layout, or not of the one that was wanted.
    """
    if wanted in LAYOUTS:
        found = LAYOUTS[wanted]
        if not any(_matches(shape, one) for one in found.shapes) and shape != (found.joints * 3,):
            expected = " or ".join(_shown(one) for one in found.shapes)
            raise DataError(f"{name} has frames of the shape {_shown(shape)}; expected {expected}, as {wanted} has it")
        return found
    if wanted == "auto":
        for found in LAYOUTS.values():
            if any(_matches(shape, one) for one in found.shapes):
                return found
    if len(shape) in (2, 3) and shape[-1] in (2, 3, 4) and wanted in ("auto", "joints"):
        return Layout("joints", shape[-2])
    if wanted == "joints":
        raise DataError(f"{name} has frames of the shape {_shown(shape)}; expected (joints, 2) or (joints, 3)")
    if len(shape) != 1:
        raise DataError(
            f"{name} has frames of the shape {_shown(shape)}; expected numbers (features,), joints (joints, 3) or "
            "persons (persons, joints, 3)"
        )
    return Layout("plain", 0)


def _matches(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(b in (0, a) for a, b in zip(shape, wanted, strict=True))


def _shown(shape: tuple[int, ...]) -> str:
    return f"({', '.join('persons' if one == 0 else str(one) for one in shape)}{',' if len(shape) == 1 else ''})"


def people_of(frame: NDArray[Any], layout: Layout) -> list[Person]:
    """Return the persons of one frame; none where nobody was seen."""
    if layout.name.startswith("mediapipe"):
        found = [_mediapipe(frame, layout)]
    elif layout.name == "joints" and frame.ndim == 2:
        found = [Person(_seen(frame))]
    else:
        points = frame.reshape(-1, 3) if frame.ndim == 1 else frame
        found = [Person(_seen(one)) for one in (points if points.ndim == 3 else points[None])]
    return [person for person in found if (person.body[:, 2] > 0).any()]


def openpose_people(content: Mapping[str, Any], name: str) -> tuple[list[Person], Layout]:
    """Return the persons of a JSON file of OpenPose.

    Raises:
        DataError: it is of another form.
    """
    people = content.get("people") if isinstance(content, Mapping) else None
    if not isinstance(people, list):
        raise DataError(f'{name} has no list "people"; expected a file that OpenPose wrote with --write_json')
    found, layout = list[Person](), LAYOUTS["openpose"]
    for number, one in enumerate(people, 1):
        body = _flat(one, "pose_keypoints_2d", name, number)
        if body is None:
            raise DataError(f'person {number} of {name} has no "pose_keypoints_2d"; expected x, y and confidence')
        if len(body) not in (25, 18):
            raise DataError(f"person {number} of {name} has {len(body)} joints; expected 25 (BODY_25) or 18 (COCO)")
        layout = LAYOUTS["openpose" if len(body) == 25 else "openpose-coco"]
        hands = [_flat(one, f"hand_{side}_keypoints_2d", name, number) for side in ("left", "right")]
        left, right = (hand if hand is not None and len(hand) == 21 and hand[:, 2].any() else None for hand in hands)
        found.append(Person(body, left, right))
    return found, layout


def _flat(person: Any, key: str, name: str, number: int) -> Points | None:
    values = person.get(key) if isinstance(person, Mapping) else None
    if not values:
        return None
    try:
        array = np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f'"{key}" of person {number} in {name} has values that are not numbers') from error
    if array.ndim != 1 or len(array) % 3:
        raise DataError(
            f'"{key}" of person {number} in {name} has {array.size} values; expected x, y, confidence of each'
        )
    return _seen(array.reshape(-1, 3))


def _seen(points: NDArray[Any]) -> Points:
    """Return joints as x, y and whether they were seen: a joint at (0, 0), or that is no number, was not."""
    found = np.zeros((len(points), 3), np.float32)
    xy = np.asarray(points[:, :2], np.float32)
    there = np.isfinite(xy).all(1) & (xy != 0).any(1)
    sure = np.asarray(points[:, 2], np.float32) if points.shape[1] == 3 else np.ones(len(points), np.float32)
    in_unit = bool(((sure >= 0) & (sure <= 1.0001)).all())  # else the third number is a depth
    there &= (np.nan_to_num(sure) >= _SURE) if in_unit else True
    found[:, :2] = np.where(there[:, None], xy, 0)
    found[:, 2] = there
    return found


def _mediapipe(frame: NDArray[Any], layout: Layout) -> Person:
    if frame.shape == (543, 3):  # as the data sets of Google have it: face, left hand, pose, right hand
        parts = [_seen(part[:, :2]) for part in np.split(frame, (468, 489, 522))]
        return Person(parts[2], _hand(parts[1]), _hand(parts[3]), _hand(parts[0][list(_FACE)]))
    if frame.ndim == 2:
        return Person(_seen(frame[:, :2]))
    body = _seen(frame[:132].reshape(33, 4)[:, :2])
    if layout.name == "mediapipe-pose":
        return Person(body)
    at = 132 + (1404 if layout.face else 0)
    left, right = [_hand(_seen(frame[at + k : at + k + 63].reshape(21, 3)[:, :2])) for k in (0, 63)]
    face = _hand(_seen(frame[132:1536].reshape(468, 3)[list(_FACE), :2])) if layout.face else None
    return Person(body, left, right, face)


def _hand(points: Points) -> Points | None:
    return points if points[:, 2].any() else None
