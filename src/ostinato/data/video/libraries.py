"""The libraries that read video and pictures, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from ostinato.errors import MissingExtra

_PACKAGES = {"av": "PyAV (av)", "PIL": "pillow", "cv2": "opencv-python-headless"}


def library(name: str) -> Any:
    """Return a module by its name.

    Raises:
        MissingExtra: it is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        package = _PACKAGES.get(name.partition(".")[0], name)
        raise MissingExtra(f"reading video needs {package}; install it: pip install 'ostinato[video]'") from error
