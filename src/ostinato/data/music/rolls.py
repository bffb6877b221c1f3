"""Piano rolls, as the sets of polyphonic music come: `.mat`, `.npz`, `.npy` and `.json`, several parts in one file.

A roll is a matrix of steps by notes, 88 (from A0, MIDI 21) or 128; or, in JSON, a list of the notes of each step. A
step of a roll is a step of the grid. Nothing is unpickled.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.data.music.grid import Frames, from_frames, of_chords
from ostinato.data.music.pieces import PIANO, Pieces
from ostinato.errors import DataError
from ostinato.files import reason

ENDINGS = (".mat", ".npz", ".npy", ".json", ".json.gz")
_PARTS = {"train": "train", "valid": "validation", "validation": "validation", "val": "validation", "dev": "validation",
          "test": "test"}  # fmt: skip
_PICKLES = (".pickle", ".pkl")


def part_of(name: str) -> str:
    """Return the part of the data that a name speaks of, if its first word is one.

    >>> part_of("traindata"), part_of("valid"), part_of("test-3.mid"), part_of("testament")
    ('train', 'validation', 'test', '')
    """
    first = re.split(r"[^a-z]", name.lower())[0]
    return _PARTS.get(re.sub(r"(data|set|ing|s)$", "", first) or first, "")


def read_rolls(path: str | Path, steps_per_quarter: int) -> Pieces:
    """Read the rolls of a file.

    Args:
        path: of the file; its ending says what it is.
        steps_per_quarter: how many steps of a roll make a quarter.

    Raises:
        DataError: it cannot be read, or a roll is not one.
    """
    path = Path(path)
    read = next((item for ending, item in _READERS.items() if path.name.lower().endswith(ending)), None)
    if read is None:
        raise DataError(f"{path} is no file of piano rolls; expected one of {', '.join(ENDINGS)}")
    pieces, parts = [], []
    try:
        for name, value in read(path):
            for number, roll in enumerate(_rolls(value, f"{name} of {path}" if name else str(path)), 1):
                called = f"{path}, {name} {number}" if name else f"{path}, piece {number}"
                pieces.append(from_frames(frames_of(roll, called), steps_per_quarter, called))
                parts.append(part_of(name))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({reason(error)})") from error
    if not pieces:
        raise DataError(f"{path} has no piano rolls; expected matrices of steps by 88 or 128 notes")
    return Pieces(str(path), tuple(pieces), tuple(parts))


# --- what a file holds, by name ---------------------------------------------------------------------------------------


def _mat(path: Path) -> Iterator[tuple[str, Any]]:
    from scipy.io import loadmat

    try:
        found = loadmat(path)
    except OSError:
        raise
    except Exception as error:  # of a reader that trusts its files
        raise DataError(f"{path} cannot be read as a file of MATLAB, version 5 ({_short(error)})") from error
    yield from ((name, value) for name, value in found.items() if not name.startswith("__"))


def _npz(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as found:
            names = sorted(found.files, key=lambda name: (part_of(name), name))
            yield from ((name, found[name]) for name in names)
    except OSError:
        raise
    except ValueError as error:
        raise DataError(_not_numpy(path, error)) from error
    except Exception as error:  # of what is no archive
        raise DataError(f"{path} cannot be read as a file of NumPy ({_short(error)})") from error


def _npy(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        yield "", np.load(path, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:
        raise DataError(_not_numpy(path, error)) from error


def _json(path: Path) -> Iterator[tuple[str, Any]]:
    data = path.read_bytes()
    try:
        text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        found = json.loads(text)
    except (ValueError, EOFError, gzip.BadGzipFile, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({_short(error)})") from error
    if isinstance(found, Mapping):
        yield from found.items()
    else:
        yield "", found


def _refused(path: Path) -> Iterator[tuple[str, Any]]:
    raise DataError(_pickled(path))
    yield


def _pickled(path: Path) -> str:
    return f"{path} holds pickled objects, which could run anything when read; save it as .json or .mat instead"


def _not_numpy(path: Path, error: Exception) -> str:
    """Return why a file is not read: NumPy takes all that it does not know for a pickle."""
    with path.open("rb") as file:
        begin = file.read(2)
    if "ickle" in str(error) and begin in (b"PK", b"\x93N"):
        return _pickled(path)
    return f"{path} is no file of NumPy; expected one that numpy.savez wrote"


_READERS: dict[str, Callable[[Path], Iterator[tuple[str, Any]]]] = {
    ".mat": _mat, ".npz": _npz, ".npy": _npy, ".json": _json, ".json.gz": _json,
    **dict.fromkeys(_PICKLES, _refused),
}  # fmt: skip


# --- rolls ------------------------------------------------------------------------------------------------------------


def _rolls(value: Any, name: str) -> Iterator[Any]:
    """Yield the rolls of what stands under a name: one, or many."""
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            yield from value.ravel()
        elif value.ndim == 3:
            yield from value
        else:
            yield value
    elif isinstance(value, list) and value and _depth(value) == 3:
        yield from value
    elif isinstance(value, list) and _depth(value) == 2:
        yield value
    elif value != []:
        raise DataError(f"{name} is no piano roll; expected lists of the notes of each step, such as [[60, 64], [62]]")


def _depth(value: Any) -> int:
    if not isinstance(value, list):
        return 0
    return 1 + max((_depth(each) for each in value[:64]), default=0)


def frames_of(roll: Any, name: str) -> Frames:
    """Return a roll as `(steps, 128)`.

    Raises:
        DataError: it is none.
    """
    if isinstance(roll, list):
        if not all(isinstance(chord, list) and all(isinstance(each, (int, float)) for each in chord) for chord in roll):
            raise DataError(f"{name} is no piano roll; expected lists of the notes of each step")
        return of_chords(roll, name)
    values = np.asarray(roll)
    if values.ndim != 2 or values.dtype.kind not in "buif" or values.shape[1] not in (88, 128):
        raise DataError(f"{name} has the shape {values.shape}; expected (steps, 88) or (steps, 128)")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"{name} has values that are no numbers; expected 0 where a note is silent")
    if values.size and values.min() < 0:
        raise DataError(f"{name} has values below 0; expected 0 where a note is silent, else more")
    frames = np.zeros((len(values), 128), bool)
    low = PIANO[0] if values.shape[1] == 88 else 0
    frames[:, low : low + values.shape[1]] = values > 0
    return frames


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
