"""What the header of a WAV file promises beside what the file holds: libsndfile says nothing of a file cut short."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from ostinato.errors import DataError

# what programs write that do not know the length yet, as they write into a pipe
_UNKNOWN = frozenset({0, 0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x7FFFF000, 0x80000000})
_HEADER = struct.Struct("<4sI")
_MOST = 4096  # chunks before the samples


def check_riff(file: BinaryIO, name: str) -> None:
    """Refuse a RIFF/WAVE file that holds fewer samples than it says; of other files nothing is looked at.

    Args:
        file: at its beginning, where it is left.
        name: for the message.

    Raises:
        DataError: it is cut short, or has no samples at all.
    """
    try:
        promised, there = _promised(file)
    finally:
        file.seek(0)
    if promised is None or promised <= there or promised in _UNKNOWN:
        return
    raise DataError(
        f"{name} is cut short: its header says {promised:,} bytes of samples, and {there:,} are there; fetch or record "
        "it again"
    )


def _promised(file: BinaryIO) -> tuple[int | None, int]:
    """Return how many bytes of samples a WAV file says it has, and how many there are; `None`: it is no such file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None, 0
    place = 12
    for _ in range(_MOST):
        file.seek(place)
        found = file.read(_HEADER.size)
        if len(found) < _HEADER.size:
            return None, 0
        kind, length = _HEADER.unpack(found)
        if kind == b"data":
            return length, size - place - _HEADER.size
        place += _HEADER.size + length + length % 2
    return None, 0
