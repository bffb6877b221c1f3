"""Writing files so that nothing half-written is ever seen: aside, then renamed."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import tempfile
import time
from pathlib import Path

from ostinato.errors import OutputError

# the ending that no user's file has by chance, so that what a killed run left behind can be told from theirs
_ASIDE = ".ostinato"
# a file written aside lives for seconds; one this old has no writer any more
_LEFT_BEHIND_SECONDS = 3600.0


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file aside, force it to the disk and rename it into place; on failure what was there stays.

    What killed runs left of earlier writes to the same path is deleted.

    Raises:
        OutputError: the folder cannot be written or the disk is full.
    """
    aside: str | None = None
    try:
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_ASIDE)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException as error:
        if aside is not None:
            delete_quietly(Path(aside))
        if not isinstance(error, OSError):
            raise
        raise OutputError(
            f"{path} cannot be written ({reason(error)}); free the disk or choose another folder"
        ) from error
    sweep_leftovers(path.parent, re.escape(path.name))


def require_folder(path: Path) -> None:
    """Refuse a file whose folder is not there, before anything is made to be written to it.

    Raises:
        OutputError: it is not.
    """
    if not path.parent.is_dir():
        raise OutputError(f"{path} cannot be written (no such file or directory); make its folder, or choose another")


def sweep_leftovers(folder: Path, name: str) -> None:
    """Delete what killed runs left of writes to the files of a folder whose name matches the pattern `name`.

    Only ordinary files, named as `write_atomically` names them and untouched for an hour: a younger one may have its
    writer still. One that cannot be deleted is left: it does no harm.
    """
    ours = re.compile(rf"\.(?:{name})\.[a-z0-9_]+{re.escape(_ASIDE)}")
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name) and _is_left_behind(entry):
                delete_quietly(Path(entry.path))


def _is_left_behind(entry: os.DirEntry[str]) -> bool:
    found = entry.stat(follow_symlinks=False)
    return stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime > _LEFT_BEHIND_SECONDS


def make_folder(path: Path) -> list[Path]:
    """Make a folder and those above it, if they are not there; on failure none of them stays.

    Returns:
        The folders that were made, the innermost first, so that `remove_empty_folders` can take them away again.

    Raises:
        OutputError: it cannot be made, or is a file.
    """
    made: list[Path] = []
    try:
        missing = [each for each in (path, *path.parents) if not each.exists()]
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):  # another process made it meanwhile: it is not ours to remove
                folder.mkdir()
                made.insert(0, folder)
        path.mkdir(exist_ok=True)  # refuses a file in its place
    except OSError as error:
        remove_empty_folders(made)
        raise OutputError(f"the folder {path} cannot be made ({reason(error)}); choose another") from error
    return made


def remove_empty_folders(folders: list[Path]) -> None:
    """Remove folders, the innermost first, as far as they are empty."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def delete_quietly(path: Path) -> None:
    """Delete a file that is no longer needed, if the system lets us; it does no harm where it stays."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def reason(error: OSError) -> str:
    """Return why the system refused, in its own words."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def checkpoint_path(directory: Path) -> Path:
    """Return where the checkpoint of a run lies; here, so that an interrupted command looks without PyTorch."""
    return directory / "checkpoint" / "run.pt"


def cache_folder() -> Path | None:
    """Return where what can be made again is to be kept: `OSTINATO_CACHE_DIR`, or the user's cache.

    None if that variable is empty, or if this user has no home.
    """
    named = os.environ.get("OSTINATO_CACHE_DIR")
    if named is not None:
        return Path(named) if named else None
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():
        return base / "ostinato"
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor an entry in the list of users
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "ostinato"
