"""A folder of many fits, which says what they have in common, so that the same call resumes where it was broken off."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ostinato.errors import OstinatoError, OutputError, UsageError
from ostinato.files import make_folder, reason, write_atomically
from ostinato.words import shortened

_PLAN = "plan.json"
_BYTES = 1 << 30  # of a file whose content is read for its fingerprint, at most


def open_study(folder: Path, plan: Mapping[str, Any]) -> None:
    """Make a study's folder, or resume in it.

    Args:
        folder: empty, new, or a study's of the same plan.
        plan: plain data that all fits of the study share; `"kind"` says what it is.

    Raises:
        UsageError: the folder has something else, or a study of another plan; the first difference is named.
        OutputError: the folder cannot be written.
    """
    plain = json.loads(json.dumps(plan, default=str))
    path = folder / _PLAN
    if not path.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty and holds no study; give a new folder, or one of the same study")
        make_folder(folder)
        write_json(path, plain)
        return
    _require_same(folder, read_json(path), plain)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes out of a study while the block runs; the system frees it however this process ends.

    Raises:
        UsageError: another process is at work there.
        OutputError: the folder cannot be written.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such lock: two at once are then the user's to avoid
        yield
        return
    try:
        lock = (folder / ".lock").open("wb")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({reason(error)}); give another folder") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(f"another process is at work in {folder}; wait for it, or give another folder") from error
        yield


@contextmanager
def fresh_or_gone(folder: Path) -> Iterator[None]:
    """Take a folder that the block made away again, if the block fails by one of our errors."""
    was_there = folder.exists()
    try:
        yield
    except OstinatoError:
        if not was_there:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _require_same(folder: Path, saved: Any, plan: Mapping[str, Any]) -> None:
    if not isinstance(saved, dict) or "kind" not in saved:
        raise UsageError(f"{folder / _PLAN} is no plan of a study; give another folder")
    for name in ("kind", *sorted({*saved, *plan} - {"kind"})):
        if saved.get(name) != plan.get(name):
            raise UsageError(
                f"{folder} holds another study: its {name} is {_short(saved.get(name))}, here it is "
                f"{_short(plan.get(name))}; give another folder, or the same settings to resume"
            )


def _short(value: Any) -> str:
    return "not set" if value is None else shortened(str(value))


def fingerprint(data: Any) -> str:
    """Return a checksum of data: of a file's content, or of arrays and texts."""
    if isinstance(data, (list, tuple)) and data and all(isinstance(one, Path) or _is_file(one) for one in data):
        return hashlib.sha256("".join(map(fingerprint, data)).encode()).hexdigest()
    if _is_file(data):
        path = Path(data)
        if path.stat().st_size > _BYTES:
            return hashlib.sha256(f"{path.stat().st_size} {path.stat().st_mtime_ns}".encode()).hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if isinstance(data, (str, Path)):
        return str(data)  # a path of nothing: whoever reads it says so
    return hashlib.sha256(pickle.dumps(data)).hexdigest()


def _is_file(data: Any) -> bool:
    return isinstance(data, (str, Path)) and len(str(data)) < 4096 and "\n" not in str(data) and Path(data).is_file()


def source_of(data: Any) -> str:
    """Return what data is called: its file's name, or what it is."""
    if isinstance(data, (str, Path)):
        return Path(data).name
    if isinstance(data, (list, tuple)) and data and all(_is_file(one) for one in data):
        return ", ".join(Path(one).name for one in data)
    return f"a {type(data).__name__} in memory"


def write_json(path: Path, value: Any) -> None:
    """Write plain data; numbers that are not finite become null.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomically(path, (json.dumps(_finite(value), indent=1, ensure_ascii=False) + "\n").encode(errors="replace"))


def read_json(path: Path) -> Any:
    """Return plain data.

    Raises:
        UsageError: the file is cut short or changed.
        OutputError: it cannot be read.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UsageError(f"{path} is cut short or was changed ({error}); delete it to do its part again") from error
    except OSError as error:
        raise OutputError(f"{path} cannot be read ({reason(error)}); check its permissions") from error


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
