"""The state of a stream as bytes: data alone, with a version and a checksum, and refused as a model's file is.

`magic, version, checksum, length of the text, text (JSON), numbers`: the text says what the stream is of and where each
array lies among the numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.errors import UsageError

VERSION = 1
_MAGIC = b"OSTINATO-STREAM\n"
_HEAD = struct.Struct("<16sH16sI")
_TYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
_SENTENCE = "the state of the stream {}; give what state() returned, or start over without it"


@dataclass(frozen=True)
class Kept:
    """What was read from a state: of which kind of stream and which model, and what it holds."""

    kind: str
    model: str
    body: dict[str, Any]


def pack(kind: str, model: str, body: Mapping[str, Any]) -> bytes:
    """Return a state as bytes.

    Args:
        kind: of the stream.
        model: a mark that tells the model from others.
        body: texts, finite numbers, `None`, lists, mappings with text keys, and arrays; tuples come back as lists.
    """
    arrays: list[NDArray[Any]] = []
    text = json.dumps(
        {"kind": kind, "model": model, "body": _plain(body, arrays), "arrays": [_told(array) for array in arrays]},
        allow_nan=False,
        separators=(",", ":"),
    ).encode()
    rest = text + b"".join(array.tobytes() for array in arrays)
    return _HEAD.pack(_MAGIC, VERSION, _checksum(VERSION, len(text), rest), len(text)) + rest


def unpack(data: Any) -> Kept:
    """Return what bytes hold that `pack` made.

    Raises:
        UsageError: they are no state, are of a newer version, are cut short or changed, or hold infinite numbers.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise refused(f"is a {type(data).__name__}, but a state is bytes")
    data = bytes(data)
    if len(data) < _HEAD.size or data[: len(_MAGIC)] != _MAGIC:
        raise refused("is none: it does not begin as one")
    _, version, checksum, length = _HEAD.unpack_from(data)
    rest = data[_HEAD.size :]
    if checksum != _checksum(version, length, rest):
        raise refused("is cut short or was changed: its checksum does not fit")
    if version != VERSION:
        raise refused(f"has version {version}, but this ostinato reads version {VERSION}")
    try:
        found = json.loads(rest[:length])
        arrays = _arrays(found["arrays"], rest[length:])
        kept = Kept(str(found["kind"]), str(found["model"]), _filled(found["body"], arrays))
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise refused("is not laid out as one") from error
    if any(np.isinf(array).any() for array in arrays if array.dtype.kind == "f"):
        raise refused("holds infinite numbers")
    return kept


def checked(data: Any, kind: str, model: str) -> dict[str, Any]:
    """Return what a state holds, of a stream of this kind and model.

    Raises:
        UsageError: it is no such state.
    """
    found = unpack(data)
    if found.kind != kind:
        raise refused(f"is that of a {found.kind[:80]}, not of a {kind}")
    if found.model != model:
        raise refused("is of another model")
    return found.body


def refused(what: str) -> UsageError:
    """Return the error of a state that does not fit: `what` is a part of a sentence, such as "has no cases"."""
    return UsageError(_SENTENCE.format(what))


def _checksum(version: int, length: int, rest: bytes) -> bytes:
    checksum = hashlib.blake2b(struct.pack("<HI", version, length), digest_size=16)
    checksum.update(rest)
    return checksum.digest()


def _plain(value: Any, arrays: list[NDArray[Any]]) -> Any:
    if isinstance(value, np.ndarray):
        arrays.append(np.array(value, order="C"))  # keeps a number without dimensions as one
        return {"array": len(arrays) - 1}
    if isinstance(value, Mapping):
        return {"mapping": {name: _plain(item, arrays) for name, item in value.items()}}
    if isinstance(value, (list, tuple)):
        return [_plain(each, arrays) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def _filled(value: Any, arrays: list[NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return [_filled(each, arrays) for each in value]
    if isinstance(value, dict):
        if "array" in value:
            return arrays[value["array"]]
        return {name: _filled(item, arrays) for name, item in value["mapping"].items()}
    return value


def _told(array: NDArray[Any]) -> list[Any]:
    return [array.dtype.name, *array.shape]


def _arrays(told: list[list[Any]], data: bytes) -> list[NDArray[Any]]:
    found, start = [], 0
    for name, *shape in told:
        if name not in _TYPES or any(size < 0 for size in shape):
            raise ValueError(f"there are no arrays of {name}")
        dtype, count = np.dtype(name), math.prod(shape)
        found.append(np.frombuffer(data, dtype, count, start).reshape(shape).copy())
        start += count * dtype.itemsize
    if start != len(data):
        raise ValueError("there are more numbers than arrays")
    return found
