"""Folders of numbered pictures as clips: PNG, JPEG and the like, in the order that a person would put them in."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ostinato.data.archives import archive_of, content_of, members
from ostinato.data.video.libraries import library
from ostinato.data.video.raw import USUAL_RATE, Damage, Pixels, RawFrame
from ostinato.errors import DataError

SUFFIXES = frozenset(
    [".bmp", ".jpeg", ".jpg", ".jp2", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"]
)


def natural(name: str) -> tuple[Any, ...]:
    """Return what names are sorted by so that `frame2` comes before `frame10`."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((int(part), part) if number % 2 else (part.lower(), part) for number, part in enumerate(parts))


def pictures_in(folder: str) -> list[str]:
    """Return the paths of the pictures that lie in a folder, which may lead into an archive, in natural order."""
    inside = archive_of(folder) or ((Path(folder), "") if Path(folder).is_file() else None)
    if inside is not None:
        archive, prefix = inside
        home = f"{prefix.rstrip('/')}/" if prefix else ""
        names = [
            name.removeprefix(home)
            for name in members(archive)
            if name.startswith(home) and "/" not in name.removeprefix(home)
        ]
    else:
        names = [path.name for path in Path(folder).iterdir()]
    chosen = [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES and not name.startswith(".")]
    return [f"{folder}/{name}" for name in sorted(chosen, key=natural)]


class Pictures:
    """Pictures one after another.

    Args:
        paths: of the pictures, in their order.
        name: what to call them in a message.
        rate: how many are a second; `None`: 25.
    """

    def __init__(self, paths: list[str], name: str, rate: float | None = None) -> None:
        self.paths, self.name, self.rate = paths, name, rate or USUAL_RATE
        self.damage = Damage()
        if not paths:
            raise DataError(f"{name} holds no pictures; expected {', '.join(sorted(SUFFIXES)[:4])} or the like in it")

    def frames(self, start: float = 0.0) -> Iterator[RawFrame]:
        """Yield pictures from the one on that is seen at a second; those that cannot be read are counted.

        Raises:
            DataError: none can be read.
        """
        self.damage = Damage()
        first, count = int(start * self.rate + 1e-6), 0
        bad, sizes = "", set[tuple[int, int]]()
        for number in range(first, len(self.paths)):
            try:
                picture = opened(self.paths[number])
            except DataError as error:
                bad = bad or str(error)
                self.damage.frames += 1
                continue
            count += 1
            sizes.add((picture.height, picture.width))
            yield RawFrame(number / self.rate, (picture.height, picture.width), pixels_of(picture))
        if bad and not count:
            raise DataError(f"{self.name} holds no picture that can be read: {bad}")
        if bad:
            self.damage.remark(f"{self.damage.frames:,} damaged pictures were left out, the first because {bad}")
        if len(sizes) > 1:
            self.damage.remark(f"its pictures have {len(sizes)} sizes; all were brought to that of the first")


class Pages:
    """The pictures of one file: an animated WebP or PNG, a TIFF of several pages.

    Args:
        path: of the file.
        rate: how many are a second, where the file does not say for how long each is shown; `None`: 25.
    """

    def __init__(self, path: str, rate: float | None = None) -> None:
        self.path = self.name = path
        self.damage = Damage()
        shown = [seconds for _, seconds in self._pages()]
        self.timed = all(seconds > 0 for seconds in shown)
        self.rate = len(shown) / sum(shown) if self.timed else rate or USUAL_RATE

    def frames(self, start: float = 0.0) -> Iterator[RawFrame]:
        """Yield pictures from the one on that is seen at a second.

        Raises:
            DataError: one cannot be read.
        """
        self.damage = Damage()
        time = 0.0
        for number, (picture, seconds) in enumerate(self._pages()):
            then = time + seconds if self.timed else (number + 1) / self.rate
            if then > start + 1e-6:
                yield RawFrame(time, (picture.height, picture.width), pixels_of(picture))
            time = then

    def _pages(self) -> Iterator[tuple[Any, float]]:
        """Yield each picture and for how many seconds it is shown, 0 where the file does not say."""
        with _readable(self.path), _file_of(self.path) as file:
            for number in range(file.n_frames):
                file.seek(number)
                file.load()
                given = file.info.get("duration", 0)
                seconds = given / 1000 if isinstance(given, (int, float)) and 0 <= given < 1e9 else 0.0
                yield file.copy(), seconds


def pictures_of(path: str, rate: float | None) -> Pictures | Pages:
    """Return a file of one picture, or of several.

    Raises:
        DataError: it cannot be read.
    """
    with _readable(path), _file_of(path) as file:
        several = getattr(file, "n_frames", 1) > 1
    return Pages(path, rate) if several else Pictures([path], path, rate)


def _file_of(path: str) -> Any:
    content = content_of(path)
    return library("PIL.Image").open(io.BytesIO(content) if isinstance(content, bytes) else content)


def opened(path: str) -> Any:
    """Return a picture, upright and decoded.

    Raises:
        DataError: it cannot be read.
    """
    with _readable(path), _file_of(path) as file:
        file.load()
        return library("PIL.ImageOps").exif_transpose(file)


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Turn what Pillow raises into an error of ours.

    Raises:
        DataError: the picture cannot be read.
    """
    bomb = library("PIL.Image").DecompressionBombError
    try:
        yield
    # of a damaged TIFF, all kinds come
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        TypeError,
        LookupError,
        ArithmeticError,
        struct.error,
        bomb,
    ) as error:
        if isinstance(error, DataError):
            raise
        why = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        why = "it is no picture" if "cannot identify" in why else why
        raise DataError(f"{path} cannot be read as a picture ({why})") from error


def pixels_of(picture: Any) -> Callable[[int, int, int], Pixels]:
    """Return what makes pixels of a picture of Pillow's."""
    image = library("PIL.Image")

    def pixels(height: int, width: int, channels: int) -> Pixels:
        found = picture
        if found.mode.startswith(("I", "F")):  # 16 bits and more, which Pillow cuts off rather than scales
            values = np.asarray(found, np.float64)
            top = max(float(values.max(initial=0.0)), 1.0)
            # a dark picture of 16 bits is no bright one of 8
            deep = found.mode.startswith("I;16") or top > 255
            scale = 255.0 / (65535.0 if deep else 255.0 if top > 1 else 1.0)
            found = image.fromarray(np.clip(values * scale, 0, 255).astype(np.uint8))
        found = found.convert("L" if channels == 1 else "RGB")
        if (found.height, found.width) != (height, width):
            smaller = height < found.height or width < found.width
            found = found.resize((width, height), image.Resampling.BOX if smaller else image.Resampling.BILINEAR)
        array = np.array(found, np.uint8)
        return array[..., None] if array.ndim == 2 else array

    return pixels
