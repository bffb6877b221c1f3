"""A run on disk, so that it resumes to the same numbers after it was killed at any moment."""

from __future__ import annotations

import io
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch

from ostinato.errors import TrainingError
from ostinato.files import checkpoint_path, make_folder, write_atomically

FORMAT = 1


def save_checkpoint(directory: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint in place of the one before, in one rename.

    Raises:
        OutputError: it cannot be written.
    """
    path = checkpoint_path(directory)
    make_folder(path.parent)
    content = io.BytesIO()
    torch.save({"format": FORMAT, **state}, content)
    write_atomically(path, content.getvalue())


def load_checkpoint(directory: Path) -> dict[str, Any] | None:
    """Return the checkpoint of a run's folder, or `None` if it has none. Only data is read, no code.

    Raises:
        TrainingError: the file is broken or of another format.
    """
    path = checkpoint_path(directory)
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"the checkpoint {path} cannot be read (it is cut short or changed); delete its folder to start over"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TrainingError(f"the checkpoint {path} has another format than {FORMAT}; delete its folder to start over")
    return state


def remove_checkpoint(directory: Path) -> None:
    """Delete a run's checkpoint, once it is no longer needed."""
    shutil.rmtree(checkpoint_path(directory).parent, ignore_errors=True)


def require_same(saved: dict[str, str], current: dict[str, str]) -> None:
    """Raise `TrainingError` if a checkpoint was made with other settings, naming the first that differs."""
    for name in sorted({*saved, *current}):
        if saved.get(name) != current.get(name):
            raise TrainingError(
                f"the checkpoint was made with {name} = {saved.get(name, 'unset')}, but this run has "
                f"{current.get(name, 'unset')}; use the same settings, or start over without resuming"
            )
