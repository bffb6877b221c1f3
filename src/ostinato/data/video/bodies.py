"""Landmarks as a network reads them: the body around its centre and by its own size, one frame at a time."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.video.layouts import Layout, Person, Points

Features = NDArray[np.float32]
_FURTHEST = 8.0  # sizes of the body; further away is an error of the detector
_FORGET = 0.9  # of the size that is taken on from the frame before


class Body:
    """What turns the landmarks of one frame after another into features; only what came before is used.

    Of each joint: where it is from the middle of the body (of the hips and shoulders that are seen), in sizes of the
    body (the larger of trunk, shoulders and a quarter of the whole, smoothed over time), and whether it was seen; one
    that was not stays where it was. Hands around their wrist by their own size; the face likewise. Last, how far the
    middle moved since the frame before, and how the size changed. So neither where a person stands nor how far away
    matters; how they move does.

    Where several persons are there, the one is followed that is nearest to the one of the frame before; at first the
    one with most joints.

    Args:
        layout: of the landmarks.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.reset()

    @property
    def features(self) -> int:
        """How many numbers a frame comes to."""
        return self.layout.features

    def reset(self) -> None:
        """Forget all frames."""
        joints = self.layout.joints
        self._centre: NDArray[np.float32] | None = None
        self._size = 0.0
        self._body = np.zeros((joints, 2), np.float32)
        self._hands = np.zeros((2, 21, 2), np.float32)
        self._face = np.zeros((self.layout.face, 2), np.float32)

    def state(self) -> dict[str, Any]:
        """Return all that is remembered, as plain data."""
        centre = None if self._centre is None else self._centre.tolist()
        parts = [part.ravel().tolist() for part in (self._body, self._hands, self._face)]
        return {"centre": centre, "size": self._size, "parts": parts}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        self._centre = None if state["centre"] is None else np.array(state["centre"], np.float32)
        self._size = float(state["size"])
        shapes = (self._body.shape, self._hands.shape, self._face.shape)
        parts: list[Any] = [
            np.array(given, np.float32).reshape(shape) for given, shape in zip(state["parts"], shapes, strict=True)
        ]
        self._body, self._hands, self._face = parts

    def copy(self) -> Body:
        """Return another that remembers the same."""
        return copy.deepcopy(self)

    def push(self, people: Sequence[Person]) -> Features:
        """Return the features of a frame, `(features,)`.

        Args:
            people: who is seen in it; nobody: all stays where it was, and nothing is seen.
        """
        person = self._followed(people)
        seen = np.zeros(self.layout.joints, np.float32)
        moved = np.zeros(3, np.float32)
        hands: list[Points | None] = [None, None]
        if person is not None:
            moved = self._placed(person.body)
            assert self._centre is not None
            seen = person.body[:, 2]
            there = np.clip((person.body[:, :2] - self._centre) / self._size, -_FURTHEST, _FURTHEST)
            self._body = np.where(seen[:, None] > 0, there, self._body).astype(np.float32)
            hands = [person.left, person.right]
            if person.face is not None and self.layout.face:
                self._face = _by_itself(person.face, person.face[:, :2].mean(0))
        parts = [np.concatenate([self._body, seen[:, None]], 1).ravel()]
        if self.layout.hands:
            parts += self._hands_of(hands)
        return np.concatenate([*parts, self._face.ravel(), moved]).astype(np.float32)

    def _hands_of(self, hands: Sequence[Points | None]) -> list[Features]:
        parts = list[Features]()
        for side, hand in enumerate(hands):
            place = np.zeros(3, np.float32)
            if hand is not None and self._centre is not None:
                self._hands[side] = _by_itself(hand, hand[0, :2])
                wrist = np.clip((hand[0, :2] - self._centre) / self._size, -_FURTHEST, _FURTHEST)
                place = np.array([*wrist, 1.0], np.float32)
            parts += [self._hands[side].ravel(), place]
        return parts

    def _followed(self, people: Sequence[Person]) -> Person | None:
        if not people:
            return None
        if self._centre is None or len(people) == 1:
            return max(people, key=lambda one: float(one.body[:, 2].sum()))
        before = self._centre
        return min(people, key=lambda one: float(np.square(self._middle(one.body) - before).sum()))

    def _placed(self, body: Points) -> Features:
        """Take the middle and the size of a body, and return how they changed, `(3,)`."""
        centre, size = self._middle(body), self._size_of(body)
        before, was = self._centre, self._size
        self._size = size if before is None else _FORGET * was + (1 - _FORGET) * size
        self._centre = centre
        if before is None:
            return np.zeros(3, np.float32)
        step = np.clip((centre - before) / self._size, -1, 1)
        return np.array([*step, np.clip(size / was - 1, -1, 1)], np.float32)

    def _middle(self, body: Points) -> NDArray[np.float32]:
        pairs = [pair for pair in (self.layout.shoulders, self.layout.hips) if pair is not None]
        known = [body[list(pair), :2].mean(0) for pair in pairs if body[list(pair), 2].all()]
        if known:
            return np.asarray(known[0] if len(known) == 1 else np.mean(known, 0), np.float32)
        return np.asarray(body[body[:, 2] > 0, :2].mean(0), np.float32)

    def _size_of(self, body: Points) -> float:
        there = body[body[:, 2] > 0, :2]
        sizes = [0.25 * float(np.linalg.norm(np.ptp(there, 0)))]
        shoulders, hips = self.layout.shoulders, self.layout.hips
        if shoulders and body[list(shoulders), 2].all():
            left, right = body[list(shoulders), :2]
            sizes.append(float(np.linalg.norm(left - right)))
            if hips and body[list(hips), 2].all():
                sizes.append(float(np.linalg.norm((left + right) / 2 - body[list(hips), :2].mean(0))))
        return max(*sizes, 1e-6)


def _by_itself(points: Points, origin: NDArray[np.float32]) -> Features:
    """Return points from an origin, by the distance of the furthest."""
    away = points[:, :2] - origin
    return np.asarray(away / max(float(np.abs(away).max()), 1e-6), np.float32)
