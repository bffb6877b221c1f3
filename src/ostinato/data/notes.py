"""Saying aloud what was decided for a user where data left it open."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from ostinato.errors import DataWarning

_PACKAGE = str(Path(__file__).resolve().parent.parent)


def note(message: str) -> None:
    """Warn with a `DataWarning` that points to the call that came into the package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, DataWarning, stacklevel=level)
