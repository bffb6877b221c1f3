"""Files that lie in a `.zip` or a `.tar`, read as if it were a folder: `digits.zip/recordings/0_jackson_0.wav`."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

from ostinato.data.unpacking import DAMAGED
from ostinato.errors import DataError
from ostinato.words import counted

ARCHIVES = (".zip", ".tar")
_MEMBER = 1 << 30  # bytes of a member of an archive, at most


def archive_of(path: str | Path) -> tuple[Path, str] | None:
    """Return the archive that a path leads into, and the name in it; `None`: it leads into none."""
    whole = Path(path)
    for folder in whole.parents:
        if folder.suffix.lower() in ARCHIVES and folder.is_file():
            return folder, whole.relative_to(folder).as_posix()
    return None


def content_of(path: str) -> str | bytes:
    """Return a path of a file as it is, and the bytes of one that lies in an archive.

    Raises:
        DataError: the archive is damaged, or has no such member.
    """
    found = archive_of(path)
    if found is None:
        return path
    archive, member = found
    return _archive(str(archive), archive.stat().st_mtime_ns).read(member)


def members(archive: Path) -> tuple[str, ...]:
    """Return the names of the files in an archive, sorted.

    Raises:
        DataError: it is damaged.
    """
    return _archive(str(archive), archive.stat().st_mtime_ns).names


class _Archive:
    """An open archive; members of one are read one at a time."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, Lock()
        try:
            self._zip = zipfile.ZipFile(path) if path.suffix.lower() == ".zip" else None
            self._tar = None if self._zip else tarfile.open(path, "r:")  # noqa: SIM115, it stays open
            self._members: dict[str, Any] = {}
            if self._zip:
                self._members = {member.filename: member for member in self._zip.infolist() if not member.is_dir()}
            elif self._tar:
                self._members = {member.name.removeprefix("./"): member for member in self._tar if member.isfile()}
        except (*DAMAGED, zipfile.BadZipFile, tarfile.TarError) as error:
            raise DataError(
                f"{path} cannot be read as an archive ({str(error)[:100]}); expected .zip, or .tar that is not "
                "compressed: unpack it, and give the folder"
            ) from error
        self.names = tuple(sorted(self._members))

    def read(self, member: str) -> bytes:
        """Return the content of a member."""
        found = self._members.get(member)
        if found is None:
            raise DataError(f"{self.path.name} has no {member}; it has {counted(len(self.names), 'files')}")
        size = found.file_size if self._zip else found.size
        if size > _MEMBER:
            raise DataError(
                f"{member} in {self.path.name} is {size >> 20:,} MiB; unpack the archive, and give the folder"
            )
        try:
            with self._lock:
                file: BinaryIO | None = self._zip.open(found) if self._zip else self._tar.extractfile(found)  # type: ignore[assignment, union-attr]
                assert file is not None
                with file:
                    return file.read(_MEMBER)
        except (*DAMAGED, zipfile.BadZipFile, tarfile.TarError, NotImplementedError, RuntimeError) as error:
            raise DataError(
                f"{member} in {self.path.name} cannot be unpacked ({str(error)[:100]}); it is damaged or encrypted"
            ) from error


@lru_cache(maxsize=4)
def _archive(path: str, changed: int) -> _Archive:  # noqa: ARG001, a changed archive is opened again
    return _Archive(Path(path))


def digest_of(path: str) -> bytes:
    """Return 16 bytes of the content of a file, which may lie in an archive.

    Raises:
        DataError: it cannot be read.
    """
    found = archive_of(path)
    file = found[0] if found else Path(path)
    return _digest_of(path, file.stat().st_mtime_ns if file.exists() else 0)


@lru_cache(maxsize=1 << 14)
def _digest_of(path: str, changed: int) -> bytes:  # noqa: ARG001
    digest, content = hashlib.blake2b(digest_size=16), content_of(path)
    if isinstance(content, bytes):
        digest.update(content)
        return digest.digest()
    try:
        with Path(content).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({(error.strerror or str(error)).lower()})") from error
    return digest.digest()
