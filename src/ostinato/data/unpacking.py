"""Unpacking compressed files within bounds: a few bytes that claim to be a thousand gigabytes are refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any

from ostinato.errors import DataError, MissingExtra

PACKED = (".gz", ".bz2", ".xz", ".zst")
_LEAST = 256 << 20
_RATIO = 50  # of real tables; a bomb's is 1,000 and more
_MEMORY = 256 << 20  # for the dictionary that an .xz or .zst file asks for
_CHUNK = 1 << 20
_BITE = 1 << 10  # of a .zst file at once: even of a bomb it unpacks to some 43 MiB, so that the limit is seen in time
_TOO_EARLY = "the compressed data ends too early"
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)


def unpack(name: str, content: bytes, suffix: str) -> bytes:
    """Return what a compressed file holds.

    Args:
        name: of the file, for a message.
        content: of the file.
        suffix: which of `PACKED` it is.

    Raises:
        DataError: it is cut short or damaged, or holds more than can be believed.
        MissingExtra: `zstandard` is not installed.
    """
    limit, parts, size = _LEAST + _RATIO * len(content), list[bytes](), 0
    try:
        for part in _parts(content, suffix):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise DataError(
                    f"{name} unpacks to more than {limit >> 20:,} MiB from {len(content):,} bytes, as no table does; "
                    "if it is one, unpack it first and give the unpacked file"
                )
    except DAMAGED as error:
        if isinstance(error, DataError):
            raise
        why = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DataError(
            f"{name} cannot be unpacked ({why}): it is cut short or damaged; fetch or pack it again"
        ) from error
    except MemoryError as error:
        raise DataError(f"{name} does not fit into memory; give a smaller part of it") from error
    return b"".join(parts)


def _parts(content: bytes, suffix: str) -> Any:
    if suffix in (".bz2", ".xz"):
        return _streams(content, bz2.BZ2Decompressor if suffix == ".bz2" else _xz)
    if suffix == ".zst":
        return _frames(content)
    file = gzip.GzipFile(fileobj=io.BytesIO(content))
    return iter(lambda: file.read(_CHUNK), b"")


def _xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(memlimit=_MEMORY)


def _streams(content: bytes, make: Callable[[], Any]) -> Any:
    """Yield the parts of one compressed stream after another."""
    while content:
        decoder, given = make(), content
        while not decoder.eof:
            if decoder.needs_input and not given:
                raise EOFError(_TOO_EARLY)
            part = decoder.decompress(given, _CHUNK)
            given = b""
            yield part
        content = decoder.unused_data.lstrip(b"\0")


def _frames(content: bytes) -> Any:
    """Yield the parts of one Zstandard frame after another, each of which must come to its end."""
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtra("reading .zst needs zstandard; install it: pip install 'ostinato[zst]'") from error
    unpacker = zstandard.ZstdDecompressor(max_window_size=_MEMORY // 2)
    place = 0
    while place < len(content) or not place:
        decoder = unpacker.decompressobj()
        while not decoder.eof:
            given = content[place : place + _BITE]
            if not given:
                raise EOFError(_TOO_EARLY)
            try:
                yield decoder.decompress(given)
            except zstandard.ZstdError as error:
                raise ValueError(str(error)) from error
            place += len(given) - len(decoder.unused_data)
