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
HAND = 42 + 5 + 2 + 3
"""Numbers of a hand: its points, how far finger tips are, where it points to, where it is, whether it is seen."""
# corners and middles of the lips, nose and chin, of MediaPipe's 468 points of a face
_FACE = (61, 291, 0, 17, 13, 14, 1, 152)


# left and right of a body, by number, and of the points of a face that are kept, by place
_HOLISTIC = ((1, 4), (2, 5), (3, 6), *((a, a + 1) for a in range(7, 33, 2)))
_COCO = tuple((a, a + 1) for a in range(1, 17, 2))
_BODY_25 = ((2, 5), (3, 6), (4, 7), (9, 12), (10, 13), (11, 14), (15, 16), (17, 18), (19, 22), (20, 23), (21, 24))
_COCO_18 = ((2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13), (14, 15), (16, 17))
_FACE_PAIRS = ((0, 1),)


@dataclass(frozen=True)
class Layout:
    """A layout of landmarks.

    Args:
        name: what it is called.
        joints: how many the body has.
        shoulders, hips: which of them, left and right; `None`: not known.
        hands: whether it has two hands of 21 points; face: points of the face that are kept.
        shapes: the shapes of one frame that mean it; 0 stands for any number.
        pairs: joints that are left and right of each other.
    """

    name: str
    joints: int
    shoulders: tuple[int, int] | None = None
    hips: tuple[int, int] | None = None
    hands: bool = False
    face: int = 0
    shapes: tuple[tuple[int, ...], ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()

    def mirrored(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return from where each feature of a mirrored body comes, and its sign; see `Body`; both `(features,)`."""
        other = np.arange(self.joints)
        for left, right in self.pairs:
            other[left], other[right] = right, left
        parts = [(3 * other[:, None] + np.arange(3)).ravel()]
        signs = [np.tile([-1.0, 1.0, 1.0], self.joints)]
        at = 3 * self.joints
        if self.hands:
            parts += [np.arange(at + HAND, at + 2 * HAND), np.arange(at, at + HAND)]
            one = [*np.tile([-1.0, 1.0], 21), *np.ones(5), -1.0, 1.0, -1.0, 1.0, 1.0]
            signs += [np.tile(one, 2)]
            at += 2 * HAND
        face = np.arange(self.face)
        for left, right in _FACE_PAIRS if self.face else ():
            face[left], face[right] = right, left
        last = at + 2 * self.face
        parts += [(at + 2 * face[:, None] + np.arange(2)).ravel(), np.arange(last, last + 3)]
        signs += [np.tile([-1.0, 1.0], self.face), np.array([-1.0, 1.0, 1.0])]
        return np.concatenate(parts).astype(np.int64), np.concatenate(signs).astype(np.float32)

    @property
    def features(self) -> int:
        """How many numbers a frame comes to."""
        return 3 * self.joints + (2 * HAND if self.hands else 0) + 2 * self.face + 3


LAYOUTS = {
    one.name: one
    for one in (
        Layout("mediapipe", 33, (11, 12), (23, 24), True, len(_FACE), ((1662,), (543, 3)), _HOLISTIC),
        Layout("mediapipe-hands", 33, (11, 12), (23, 24), True, 0, ((258,),), _HOLISTIC),
        Layout("mediapipe-pose", 33, (11, 12), (23, 24), False, 0, ((132,), (33, 4), (33, 3)), _HOLISTIC),
        Layout("yolo", 17, (5, 6), (11, 12), False, 0, ((17, 3), (0, 17, 3), (0, 17, 2), (17, 2)), _COCO),
        Layout("openpose", 25, (5, 2), (12, 9), True, 0, ((25, 3), (0, 25, 3)), _BODY_25),
        Layout("openpose-coco", 18, (5, 2), (11, 8), True, 0, ((18, 3), (0, 18, 3)), _COCO_18),
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
        found = [Person(_seen(frame[:, :2]))]
    else:
        points = frame.reshape(-1, 3) if frame.ndim == 1 else frame
        points = points[..., :2] if layout.name == "joints" else points
        found = [Person(_seen(one)) for one in (points if points.ndim == 3 else points[None])]
    return [person for person in found if (person.body[:, 2] > 0).any()]


def openpose_people(content: Mapping[str, Any], name: str) -> tuple[list[Person], Layout]:
    """Return the persons of a JSON file of OpenPose.

    Raises:
        DataError: it is of another form.
    """
    people = content.get("people") if isinstance(content, Mapping) else None
    if not isinstance(people, list):
        raise DataError(f'{name} has no list "people"; expected a JSON file of OpenPose')
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
    body = _visible(frame if frame.ndim == 2 else frame[:132].reshape(33, 4))
    if layout.name == "mediapipe-pose":
        return Person(body)
    at = 132 + (1404 if layout.face else 0)
    left, right = [_hand(_seen(frame[at + k : at + k + 63].reshape(21, 3)[:, :2])) for k in (0, 63)]
    face = _hand(_seen(frame[132:1536].reshape(468, 3)[list(_FACE), :2])) if layout.face else None
    return Person(body, left, right, face)


def _visible(points: NDArray[Any]) -> Points:
    """Return joints of MediaPipe, x, y, z and visibility: those out of the picture are guessed, and left out."""
    found = _seen(points[:, :2])
    if points.shape[1] == 4:
        found[np.asarray(points[:, 3]) < _SURE] = 0
    return found


def _hand(points: Points) -> Points | None:
    return points if points[:, 2].any() else None
