"""Whether a path is video, seen from its name and what lies in it; nothing is decoded."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ostinato.data.archives import archive_of, members

_PICTURES = frozenset([".bmp", ".jpeg", ".jpg", ".jp2", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"])
_FILMS = frozenset([".mp4", ".avi", ".mkv", ".webm", ".mov", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".ogv", ".gif"])
_DEPTH, _LOOKED = 3, 200


def is_video(path: str) -> bool:
    """Tell whether a path names a film, frames as an array, or a folder or archive of pictures or films.

    >>> is_video("camera.mp4"), is_video("load.csv")
    (True, False)
    """
    try:
        suffix = PurePosixPath(path).suffix.lower()
        if suffix in _FILMS:
            return True
        if Path(path).is_dir():
            return _holds_video(Path(path), _DEPTH)
        inside = archive_of(path)
        if inside is None and suffix in (".zip", ".tar") and Path(path).is_file():
            inside = (Path(path), "")
        if inside is not None:
            return any(_is_named(name) for name in members(inside[0]) if name.startswith(inside[1]))
        return suffix == ".npy" and _dimensions(path) >= 3
    except (OSError, ValueError):
        return False


def _is_named(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _PICTURES | _FILMS


def _holds_video(folder: Path, depth: int) -> bool:
    inside = sorted(folder.iterdir())[:_LOOKED]
    if any(_is_named(path.name) for path in inside if not path.name.startswith(".")):
        return True
    return depth > 0 and any(_holds_video(path, depth - 1) for path in inside if path.is_dir())


def _dimensions(path: str) -> int:
    from numpy.lib import format as npy

    with Path(path).open("rb") as file:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        return len(read(file)[0])
