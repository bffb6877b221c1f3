"""Shapes that move one after the other, and the sentences that say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.data.made_clips.clip import MadeClip, counted, sized
from ostinato.data.made_clips.drawing import OUTLINES, covered, finished, grid, paint
from ostinato.errors import UsageError

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (225, 40, 40),
    "green": (40, 190, 60),
    "blue": (50, 90, 235),
    "yellow": (235, 215, 50),
    "white": (240, 240, 240),
}
SHAPES: tuple[str, ...] = tuple(OUTLINES)
DIRECTIONS: Mapping[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
"""Right and down."""
_LEAST = 24  # pixels
_TRIES = 200


@dataclass(frozen=True)
class Movement:
    """One shape that moves one way."""

    colour: str
    shape: str
    direction: str

    @property
    def thing(self) -> str:
        """Colour and shape."""
        return f"{self.colour} {self.shape}"

    def __str__(self) -> str:
        return f"a {self.thing} moves {self.direction}"


def moving_shapes(
    count: int,
    *,
    part: Literal["all", "train", "test"] = "all",
    movements: Sequence[int] = (1, 2),
    size: int | tuple[int, int] = 40,
    frames: int = 20,
    rate: float = 10.0,
    colours: Sequence[str] = tuple(COLOURS),
    shapes: Sequence[str] = SHAPES,
    directions: Sequence[str] = tuple(DIRECTIONS),
    noise: float = 4.0,
    seed: int = 0,
) -> Iterator[MadeClip]:
    """Yield clips in which shapes move, one after the other, with the sentences that say it.

    Every shape is there from the first frame to the last; one that is not its turn stands still. The first caption of
    two movements is `a red circle moves left, then a blue square moves up`; others say the same in other words.

    Args:
        count: how many clips.
        part: `train` and `test` share no combination of a colour and a shape, though each colour and each shape is in
            both; `all`: any combination.
        movements: how many there are in a clip: one of these numbers, drawn.
        size: pixels of a frame: a side, or height and width.
        frames: of each clip.
        rate: frames a second.
        colours: those there are, of `COLOURS`.
        shapes: those there are, of `SHAPES`.
        directions: those there are, of `DIRECTIONS`.
        noise: levels, of 255, on each pixel of each frame.
        seed: the same clips come for the same one; clips of `train` and `test` differ in it too.

    Raises:
        UsageError: there is no such colour, shape or direction, or there is no room.
    """
    height, width = sized(size, _LEAST)
    counted("frames", frames, 2 * max(movements, default=0))
    _known("colour", colours, COLOURS)
    _known("shape", shapes, SHAPES)
    _known("direction", directions, DIRECTIONS)
    things = combinations(colours, shapes, part)
    if not movements or min(movements) < 1 or max(movements) > min(4, len(things)):
        raise UsageError(f"movements is {tuple(movements)}; expected numbers from 1 to {min(4, len(things))}")
    for number in range(count):
        rng = np.random.default_rng([seed, ("all", "train", "test").index(part), number])
        moved = _drawn(things, directions, int(rng.choice(list(movements))), rng)
        yield _filmed(moved, height, width, frames, rate, noise, rng)


def combinations(
    colours: Sequence[str], shapes: Sequence[str], part: Literal["all", "train", "test"] = "all"
) -> list[tuple[str, str]]:
    """Return the pairs of a colour and a shape that are in a part; those of `test` are a diagonal of the square."""
    if part not in ("all", "train", "test"):
        raise UsageError(f'part is {part!r}; expected "all", "train" or "test"')
    numbers = list(product(range(len(colours)), range(len(shapes))))
    unseen = [(i, j) for i, j in numbers if i % max(1, len(shapes)) == j % max(1, len(colours))]
    chosen = {"all": numbers, "test": unseen, "train": [each for each in numbers if each not in unseen]}[part]
    if not chosen:
        raise UsageError(
            f"{len(colours)} colours and {len(shapes)} shapes leave none to train on; expected two of each"
        )
    return [(colours[i], shapes[j]) for i, j in chosen]


def said(movements: Sequence[Movement]) -> tuple[str, ...]:
    """Return sentences that say movements in their order, the plainest first."""
    plain = [str(each) for each in movements]
    if len(plain) == 1:
        only = movements[0]
        return plain[0], f"there is a {only.thing} that moves {only.direction}"
    goes = [f"the {each.thing} goes {each.direction}" for each in movements]
    joined = ", then ".join(plain)
    found = [joined, f"first {' and then '.join(plain)}", " before ".join(goes)]
    if len(plain) == 2:
        found.append(f"{goes[1]} after {goes[0]}")
    return tuple(found)


def _known(what: str, given: Sequence[str], known: Mapping[str, object] | Sequence[str]) -> None:
    for each in given:
        if each not in known:
            raise UsageError(f'there is no {what} "{each}"; expected some of {", ".join(known)}')
    if not given:
        raise UsageError(f"no {what} is given; expected one or more of {', '.join(known)}")


def _drawn(
    things: Sequence[tuple[str, str]], directions: Sequence[str], count: int, rng: np.random.Generator
) -> tuple[Movement, ...]:
    chosen = rng.choice(len(things), count, replace=False)
    return tuple(Movement(things[one][0], things[one][1], str(rng.choice(list(directions)))) for one in chosen)


def _filmed(
    moved: Sequence[Movement], height: int, width: int, frames: int, rate: float, noise: float, rng: np.random.Generator
) -> MadeClip:
    borders = _borders(len(moved), frames, rng)
    paths, radii = _paths(moved, borders, height, width, frames, rng)
    picture = np.empty((frames, height, width, 3))
    picture[:] = rng.uniform(15, 60) + rng.uniform(-8, 8, 3)
    rows, columns = grid(height, width)
    for movement, path, radius in zip(moved, paths, radii, strict=True):
        down, right = rows - path[:, 1, None, None], columns - path[:, 0, None, None]
        paint(picture, covered(OUTLINES[movement.shape](down, right, radius)), COLOURS[movement.colour])
    captions = said(moved)
    return MadeClip(finished(picture, noise, rng), rate, captions[0], captions, int(borders[0]))


def _borders(count: int, frames: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the frames between which each movement lies, `(count + 1,)`."""
    shares = rng.uniform(0.8, 1.2, count + 1)  # the last one: quiet before and after
    shares[-1] *= 0.4
    ends = np.cumsum([shares[-1] / 2, *shares[:-1]]) / shares.sum()
    return np.unique(np.rint(ends * (frames - 1)).astype(np.int64))


def _paths(
    moved: Sequence[Movement],
    borders: NDArray[np.int64],
    height: int,
    width: int,
    frames: int,
    rng: np.random.Generator,
) -> tuple[list[NDArray[np.float64]], list[float]]:
    """Return where each shape is in each frame, `(frames, 2)`, right and down, and its radius; none are in the way."""
    side = min(height, width)
    for patience in range(_TRIES):
        radii = [float(rng.uniform(0.12, 0.16) * side) for _ in moved]
        paths = [
            _path(each, radius, borders[turn : turn + 2], height, width, frames, rng)
            for turn, (each, radius) in enumerate(zip(moved, radii, strict=True))
        ]
        nearest = [
            float(np.hypot(*(paths[i] - paths[j]).T).min()) - radii[i] - radii[j]
            for i in range(len(paths))
            for j in range(i)
        ]
        if patience + 1 == _TRIES or min(nearest, default=1.0) >= 1.0:
            break
    return paths, radii


def _path(
    movement: Movement,
    radius: float,
    turn: NDArray[np.int64],
    height: int,
    width: int,
    frames: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    way = np.array(DIRECTIONS[movement.direction], np.float64)
    reach = rng.uniform(0.35, 0.6) * (np.abs(way) @ np.array([width, height]))
    room = np.array([width, height], np.float64)
    first = np.maximum(0.0, -way) * reach + radius  # the least place from which it does not leave the frame
    last = room - radius - np.maximum(0.0, way) * reach
    start = rng.uniform(first, np.maximum(first, last))
    share = np.clip((np.arange(frames) - turn[0]) / max(1, turn[-1] - turn[0]), 0.0, 1.0)
    found: NDArray[np.float64] = start + share[:, None] * way * reach
    return found
