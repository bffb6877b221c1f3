"""The libraries that read video and pictures."""

from __future__ import annotations

from typing import Any

from ostinato.data.libraries import optional

_PACKAGES = {"av": "PyAV (av)", "PIL": "pillow", "cv2": "opencv-python-headless"}


def library(name: str) -> Any:
    """Return a module by its name.

    Raises:
        MissingExtra: it is not installed, or cannot be loaded.
    """
    package = _PACKAGES.get(name.partition(".")[0], name)
    return optional(name, package=package, doing="reading video", extra="video")
