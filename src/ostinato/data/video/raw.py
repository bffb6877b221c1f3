"""What all sources of frames give: a frame that was decoded, and is turned into pixels only if it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import UsageError

Pixels = NDArray[np.uint8]
USUAL_RATE = 25.0  # frames a second of what does not say: folders of pictures and arrays
LARGEST = 16_384  # pixels of a side


@dataclass(frozen=True)
class Look:
    """How a frame is wanted.

    Args:
        height, width: in pixels; both `None`: as it is; one: the other follows from the shape of the picture.
        channels: 1 for grey, 3 for red, green and blue.
    """

    height: int | None = None
    width: int | None = None
    channels: int = 3

    def __post_init__(self) -> None:
        """Refuse what no frame can be.

        Raises:
            UsageError: a size or the number of channels is none.
        """
        for name, value in (("height", self.height), ("width", self.width)):
            if value is not None and not 1 <= value <= LARGEST:
                raise UsageError(f"{name} is {value}; expected a number of pixels from 1 to {LARGEST:,}")
        if self.channels not in (1, 3):
            raise UsageError(f"channels is {self.channels!r}; expected 1 (grey) or 3 (red, green and blue)")

    def size(self, height: int, width: int, aspect: float = 1.0) -> tuple[int, int]:
        """Return the height and width of a picture of so many pixels, each `aspect` times as wide as high."""
        if self.height is not None and self.width is not None:
            return self.height, self.width
        shape = width * aspect / height
        if self.height is not None:
            return self.height, min(max(round(self.height * shape), 1), LARGEST)
        if self.width is not None:
            return min(max(round(self.width / shape), 1), LARGEST), self.width
        return height, width


@dataclass(frozen=True)
class RawFrame:
    """A frame that was decoded.

    Args:
        time: in seconds since the first one.
        size: its height and width, upright.
        pixels: makes it of a height, a width and a number of channels, `(H, W, C)`.
        aspect: how much wider than high its pixels are.
    """

    time: float
    size: tuple[int, int]
    pixels: Callable[[int, int, int], Pixels]
    aspect: float = 1.0


@dataclass
class Damage:
    """What was wrong with a source that could be read all the same."""

    frames: int = 0
    remarks: list[str] = field(default_factory=list)

    def remark(self, text: str) -> None:
        """Keep a sentence, once."""
        if text not in self.remarks:
            self.remarks.append(text)


class RawSource(Protocol):
    """Where frames come from."""

    name: str
    rate: float
    damage: Damage

    def frames(self, start: float = 0.0) -> Iterator[RawFrame]:
        """Yield frames in their order from the one on that is seen at a second; times do not fall."""
