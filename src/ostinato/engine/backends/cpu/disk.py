"""Compiled objects on disk: a folder of the user's own, of which nothing is run that others may have put there.

What is read from here is executed. So a folder and an object in it are used only if they belong to this user (or to
root) and nobody else can write to them; both are judged by the opened file, not by its name, so that neither can be
exchanged in between.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
import warnings
from pathlib import Path

from ostinato.errors import EngineWarning
from ostinato.files import cache_folder, sweep_leftovers, write_atomically

_CACHE_LIMIT_BYTES = 256 * 2**20
_SHRUNK_AT = 64
"""One of so many objects, by its digest, has the cache looked through: a look at tens of thousands takes a second."""
_LARGEST_BYTES = 2**26
"""Of one object; they have a few ten thousand."""
_DAY_SECONDS = 86_400
_HAS_OWNERS = hasattr(os, "geteuid")
"""Windows has none; there, the folder is in the user's profile, into which others cannot write."""
_warned: set[Path] = set()


def read_object(digest: str) -> bytes | None:
    """Return the object that was kept under a digest, or none if there is none, it is damaged or not to be trusted."""
    try:
        folder = _private(cache_folder(), digest)
        content = None if folder is None else _content(folder, _name(digest))
    except (OSError, ValueError):  # a disk that is gone; a folder whose name cannot be one
        return None
    if content is None:
        return None
    seal, data = content[:32], content[32:]
    return data if seal == _seal(digest, data) else None


def write_object(digest: str, data: bytes) -> None:
    """Keep an object; a cache that cannot be written is no error, only slower."""
    try:
        folder = _private(cache_folder(), digest)
        if folder is None:
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        if not _is_trusted(folder):
            return
        write_atomically(folder / _name(digest), _seal(digest, data) + data)
        if int(digest[:8], 16) % _SHRUNK_AT == 0:
            _shrink(folder)
    except (OSError, ValueError):  # a full or read-only disk must not stop a computation
        return


def _name(digest: str) -> str:
    return f"{digest[:40]}.o"


def _seal(digest: str, data: bytes) -> bytes:
    """Return what stands before an object: it is whole, and it is the one that was kept under this digest."""
    return hashlib.sha256(digest.encode() + data).digest()


def _private(folder: Path | None, digest: str) -> Path | None:
    """Return the folder itself, or one of our own in it where others can write into it, such as `/tmp`."""
    if folder is None or not _HAS_OWNERS:
        return folder
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return folder
    if not stat.S_ISDIR(found.st_mode) or not _others_can_write(found):
        return folder
    if (folder / _name(digest)).exists():
        _warn(folder, "other users can write into it")
    return folder / f"ostinato-{os.geteuid()}"


def _content(folder: Path, name: str) -> bytes | None:
    """Return what is in a file, if neither it nor its folder can be of somebody else's making."""
    if not _HAS_OWNERS:
        path = folder / name
        return path.read_bytes() if path.is_file() else None
    inside = _opened_folder(folder)
    if inside is None:
        return None
    try:
        return _trusted_content(folder, name, inside)
    finally:
        os.close(inside)


def _trusted_content(folder: Path, name: str, inside: int) -> bytes | None:
    # not blocking: what lies there may be a pipe
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(name, flags, dir_fd=inside)
    except OSError as error:
        if error.errno == errno.ELOOP:
            _warn(folder / name, "it is a symbolic link")
        return None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        wrong = "it is no ordinary file" if not stat.S_ISREG(found.st_mode) else _fault(found)
        if wrong:
            _warn(folder / name, wrong)
            return None
        if time.time() - found.st_mtime > _DAY_SECONDS and os.utime in os.supports_fd:
            os.utime(handle)  # those longest unused are dropped first
        return file.read(_LARGEST_BYTES)


def _is_trusted(folder: Path) -> bool:
    if not _HAS_OWNERS:
        return True
    inside = _opened_folder(folder)
    if inside is None:
        return False
    os.close(inside)
    return True


def _opened_folder(folder: Path) -> int | None:
    """Return a descriptor of a folder that is this user's alone; none, with a warning, for any other."""
    try:
        inside = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        if folder.is_symlink():
            _warn(folder, "it is a symbolic link")
        return None
    wrong = _fault(os.fstat(inside))
    if wrong:
        os.close(inside)
        _warn(folder, wrong)
        return None
    return inside


def _fault(found: os.stat_result) -> str:
    """Return why a file or folder may be of somebody else's making; empty if it may not."""
    if found.st_uid not in (os.geteuid(), 0):
        return f"it belongs to another user (number {found.st_uid})"
    return "other users can write to it" if _others_can_write(found) else ""


def _others_can_write(found: os.stat_result) -> bool:
    return bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _warn(path: Path, why: str) -> None:
    if path.parent in _warned or path in _warned:
        return
    _warned.add(path)
    # one for a folder, whatever is found in it
    _warned.add(path.parent if path.suffix == ".o" else path)
    warnings.warn(
        f"compiled code in {path} is not used, since {why}; remove it, or name a folder of your own in "
        "OSTINATO_CACHE_DIR (empty for none)",
        EngineWarning,
        stacklevel=2,
    )


def _shrink(folder: Path) -> None:
    """Remove the objects longest unused once the cache is larger than its limit, and what killed writers left."""
    sweep_leftovers(folder, r"[0-9a-f]{40}\.o")
    found = []
    for entry in folder.glob("*.o"):
        try:
            status = entry.lstat()
        except FileNotFoundError:  # another process was quicker
            continue
        found.append((status.st_mtime, status.st_size, entry))
    total = sum(size for _, size, _ in found)
    for _, size, entry in sorted(found):
        if total <= _CACHE_LIMIT_BYTES:
            return
        entry.unlink(missing_ok=True)
        total -= size
