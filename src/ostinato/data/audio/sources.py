"""Where the samples of an utterance lie: in a file, in a part of one, in an archive, in memory."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ostinato.data.archives import archive_of, content_of, digest_of
from ostinato.data.audio.files import SoundFile, read_sound, sound_info
from ostinato.data.audio.resampling import resampled
from ostinato.errors import DataError

Samples = NDArray[np.float32]


class Source(Protocol):
    """What has samples."""

    @property
    def name(self) -> str:
        """What to call it in a message."""

    @property
    def seconds(self) -> float:
        """How long it is, as its header says."""

    @property
    def native_rate(self) -> int:
        """Samples a second that it was recorded with."""

    def samples(self, rate: int | None = None) -> tuple[Samples, int]:
        """Return samples `(samples,)` and their rate."""

    def key(self) -> bytes:
        """Return 16 bytes that equal contents share, without decoding."""


@dataclass(frozen=True)
class FileSource:
    """A sound file, or a part of one.

    Args:
        path: of the file; it may lead into an archive: `digits.zip/recordings/0_jackson_0.wav`.
        shown: what to call it in a message: as its table has it.
        start, end: of the part, in seconds.
        channel: which one, from 0; `None`: the mean of all.
    """

    path: str
    shown: str = ""
    start: float = 0.0
    end: float | None = None
    channel: int | None = None

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return self.shown or self.path

    def info(self) -> SoundFile:
        """Return what its header says."""
        return _info(self.path, self.name)

    @property
    def seconds(self) -> float:
        """How long the part is, as the header has it."""
        whole = self.info().seconds
        return max((whole if self.end is None else min(self.end, whole)) - self.start, 0.0)

    @property
    def native_rate(self) -> int:
        """Samples a second of the file."""
        return self.info().rate

    def samples(self, rate: int | None = None) -> tuple[Samples, int]:
        """Return samples `(samples,)` and their rate; errors as `read_sound`."""
        return read_sound(
            content_of(self.path), rate, start=self.start, end=self.end, channel=self.channel, name=self.name
        )

    def key(self) -> bytes:
        """Return 16 bytes of the file's content and of which part it is."""
        digest = hashlib.blake2b(digest_of(self.path), digest_size=16)
        digest.update(repr((self.start, self.end, self.channel)).encode())
        return digest.digest()

    @property
    def fingerprint(self) -> bytes:
        """What tells it from another in a checkpoint."""
        return self.key()


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Samples in memory, `(samples,)`, float32 in [-1, 1]."""

    array: Samples
    rate: int
    name: str

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.array) / self.rate

    @property
    def native_rate(self) -> int:
        """Samples a second."""
        return self.rate

    def samples(self, rate: int | None = None) -> tuple[Samples, int]:
        """Return samples `(samples,)` and their rate."""
        return resampled(self.array, self.rate, rate or self.rate), rate or self.rate

    def key(self) -> bytes:
        """Return 16 bytes of the samples."""
        return hashlib.blake2b(self.array.tobytes(), digest_size=16, salt=str(self.rate).encode()[:16]).digest()

    @property
    def fingerprint(self) -> bytes:
        """What tells it from another in a checkpoint."""
        return self.key()


def array_source(samples: Any, rate: Any, name: str) -> ArraySource:
    """Return samples in memory as a source.

    Args:
        samples: `(samples,)`, or `(samples, channels)`, of which the mean is taken; floats in [-1, 1], or integers of
            16 or 32 bits.
        rate: samples a second.
        name: what to call it in a message.

    Raises:
        DataError: they are of another kind, none, or one is no number.
    """
    array = np.asarray(samples.detach().cpu() if hasattr(samples, "detach") else samples)
    if array.ndim not in (1, 2) or array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise DataError(
            f"{name} is an array of shape {array.shape} and type {array.dtype}; expected samples, (samples,) or "
            "(samples, channels), floats in [-1, 1] or integers of 16 bits"
        )
    if array.ndim == 2 and array.shape[1] > max(len(array), 2):
        raise DataError(
            f"{name} has the shape {array.shape}: more channels than samples; expected (samples, channels), which "
            "is its transpose (samples.T)"
        )
    if not isinstance(rate, (int, float, np.integer, np.floating)) or isinstance(rate, bool) or not (
        1_000 <= rate <= 768_000 and rate == int(rate)
    ):  # fmt: skip
        raise DataError(f"{name} has the rate {rate!r}; expected a whole number of samples a second, 1000 to 768000")
    if array.dtype.kind in "iu":
        bits = 8 * array.dtype.itemsize - 1
        array = array.astype(np.float64) / 2.0**bits - (1.0 if array.dtype.kind == "u" else 0.0)
    mono = array.astype(np.float64).mean(1) if array.ndim == 2 else array
    if not len(mono):
        raise DataError(f"{name} holds no samples; leave it out")
    if not np.isfinite(mono).all():
        at = int((~np.isfinite(mono)).argmax())
        raise DataError(f"sample {at:,} of {name} is not a number; leave it out, or mend it")
    if np.abs(mono).max() > 100:
        raise DataError(f"{name} has samples up to {np.abs(mono).max():g}; expected floats in [-1, 1], or integers")
    return ArraySource(np.ascontiguousarray(mono, np.float32), int(rate), name)


def _info(path: str, name: str) -> SoundFile:
    """Return what a header says; those of archives are kept, as a member must be unpacked for it."""
    found = archive_of(path)
    changed = (found[0] if found else Path(path)).stat().st_mtime_ns if found or Path(path).exists() else 0
    return _info_of(path, name, changed)


@lru_cache(maxsize=1 << 14)
def _info_of(path: str, name: str, changed: int) -> SoundFile:  # noqa: ARG001
    return sound_info(content_of(path), name)


class SampleCache:
    """The samples that were read last, up to so many bytes."""

    def __init__(self, limit: int = 256 << 20) -> None:
        self.limit, self._held, self._size = limit, OrderedDict[Any, Samples](), 0

    def get(self, key: Any) -> Samples | None:
        """Return samples that are held."""
        found = self._held.get(key)
        if found is not None:
            self._held.move_to_end(key)
        return found

    def put(self, key: Any, samples: Samples) -> None:
        """Hold samples, and let go of those that were not asked for longest."""
        if samples.nbytes > self.limit // 4 or key in self._held:
            return
        samples.setflags(write=False)
        self._held[key] = samples
        self._size += samples.nbytes
        while self._size > self.limit:
            self._size -= self._held.popitem(last=False)[1].nbytes
