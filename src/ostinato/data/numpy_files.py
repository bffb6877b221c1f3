"""NumPy's files, read without believing what they claim: no pickles, no array larger than the file that holds it."""

from __future__ import annotations

import ast
import io
import math
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import DataError

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 1 << 16
_KINDS = "iufbUM"
_LEAST = 256 << 20
_RATIO = 50


def read_npy(path: Path) -> NDArray[Any]:
    """Return the array of a `.npy` file, memory-mapped, so that it may be larger than memory.

    Raises:
        DataError: it is damaged, holds objects, or claims more values than it has bytes.
    """
    with path.open("rb") as file:
        kind, shape, fortran, start = _header(path.name, file)
    _check_size(path.name, kind, shape, path.stat().st_size - start)
    if 0 in shape:
        return np.zeros(shape, kind)
    order: Any = "F" if fortran else "C"
    return np.memmap(path, kind, "r", offset=start, shape=shape, order=order)


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an `.npz` file by name.

    Raises:
        DataError: it is damaged, or an array is as `read_npy` refuses it.
    """
    found: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(path) as members:
        infos = members.infolist()
        total, size = sum(info.file_size for info in infos), path.stat().st_size
        if total > _LEAST + _RATIO * size:
            raise DataError(
                f"{path.name} claims to unpack to {total:,} bytes from {size:,}, as no table does; if it is one, save "
                "the arrays as .npy files"
            )
        for info in infos:
            with members.open(info) as member:
                content = member.read(info.file_size + 1)
            name = info.filename.removesuffix(".npy")
            found[name] = array_of(f"{name} of {path.name}", content)
    return found


ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, struct.error)
"""What `zipfile` raises for a damaged, an encrypted or a strangely packed file."""


def array_of(name: str, content: bytes) -> NDArray[Any]:
    """Return the array that the content of a `.npy` file holds; refused as by `read_npy`."""
    kind, shape, fortran, start = _header(name, io.BytesIO(content))
    _check_size(name, kind, shape, len(content) - start)
    flat = np.frombuffer(content, kind, math.prod(shape), start)
    return flat.reshape(shape, order="F" if fortran else "C")


def _header(name: str, file: Any) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """Return the type, the shape, whether columns come first, and where the numbers start."""
    begin = file.read(8)
    if begin[:6] != _MAGIC or len(begin) < 8 or begin[6] not in (1, 2, 3):
        raise DataError(f"{name} is no NumPy array; expected a file that numpy.save wrote")
    width = 2 if begin[6] == 1 else 4
    size = int.from_bytes(file.read(width), "little")
    if size > _LONGEST_HEADER:
        raise DataError(f"the header of {name} claims {size:,} bytes; it is damaged: save the array again")
    text = file.read(size)
    fields = _parsed(name, text)
    kind, shape = _kind(name, fields.get("descr")), fields.get("shape")
    if (
        not isinstance(shape, tuple)
        or not all(type(each) is int and 0 <= each < 2**63 for each in shape)
        or len(shape) > 32
    ):
        raise DataError(f"the header of {name} gives no shape; it is damaged: save the array again")
    return kind, shape, fields.get("fortran_order") is True, 8 + width + size


def _parsed(name: str, text: bytes) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of odd literals in a damaged header
            found = ast.literal_eval(text.decode("latin-1").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise DataError(f"the header of {name} cannot be read; it is damaged: save the array again") from error
    if not isinstance(found, dict):
        raise DataError(f"the header of {name} cannot be read; it is damaged: save the array again")
    return found


def _kind(name: str, given: Any) -> np.dtype[Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind = np.dtype(given) if isinstance(given, str) else None
    except (TypeError, ValueError, SyntaxError, OverflowError, MemoryError) as error:
        raise DataError(f"{name} has values of the type {str(given)[:40]!r}, which is none of NumPy's") from error
    if kind is None or kind.kind not in _KINDS or kind.itemsize == 0:
        what = "objects (a pickle, which could run code)" if kind is not None and kind.kind == "O" else "such values"
        raise DataError(
            f"{name} has values of the type {str(given)[:40]!r}; {what} are not read: save an array of numbers"
        )
    return kind


def _check_size(name: str, kind: np.dtype[Any], shape: tuple[int, ...], there: int) -> None:
    claimed = math.prod(shape) * kind.itemsize
    if claimed > max(there, 0):
        raise DataError(
            f"{name} claims {claimed:,} bytes of numbers (shape {shape}), but holds {max(there, 0):,}; it is cut short "
            "or damaged: fetch or save it again"
        )
