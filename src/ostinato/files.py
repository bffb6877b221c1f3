"""Writing files so that nothing half-written is ever seen: aside, then renamed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ostinato.errors import OutputError


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file aside, force it to the disk and rename it into place; on failure what was there stays.

    Raises:
        OutputError: the folder cannot be written or the disk is full.
    """
    aside: str | None = None
    try:
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except OSError as error:
        if aside is not None:
            Path(aside).unlink(missing_ok=True)
        raise OutputError(
            f"{path} cannot be written ({reason(error)}); free the disk or choose another folder"
        ) from error


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if they are not there.

    Raises:
        OutputError: it cannot be made, or is a file.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {path} cannot be made ({reason(error)}); choose another") from error


def reason(error: OSError) -> str:
    """Return why the system refused, in its own words."""
    return (error.strerror or str(error) or type(error).__name__).lower()
