"""Sound files: what a header says, samples whole, samples in blocks, each checked where it is read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ostinato.data.audio.headers import check_riff
from ostinato.data.audio.libraries import library
from ostinato.data.audio.resampling import Resampler
from ostinato.errors import DataError, NotEnoughMemory

Samples = NDArray[np.float32]
LOWEST, HIGHEST = 1_000, 768_000  # samples a second
_BLOCK = 1 << 16  # samples of all channels that are read together, about
_MOST = 1 << 28  # samples of a file that is read whole: 4.6 h at 16 kHz, 1 GiB
_CHANNELS = 256
SUFFIXES = frozenset(
    [
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".aif",
        ".aiff",
        ".aifc",
        ".au",
        ".snd",
        ".caf",
        ".w64",
        ".rf64",
        ".nist",
        ".sph",
        ".voc",
        ".wve",
    ]
)
_FORMATS = "WAV, FLAC, Ogg, MP3, AIFF or another that libsndfile reads"


@dataclass(frozen=True)
class SoundFile:
    """What the header of a sound file says.

    Args:
        name: of the file, for a message.
        rate: samples a second.
        frames: samples of each channel, as its header has it.
        channels: how many.
        format: in libsndfile's words, such as `"WAV PCM_16"`.
    """

    name: str
    rate: int
    frames: int
    channels: int
    format: str

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.frames / self.rate


def sound_info(source: str | Path | bytes, name: str = "") -> SoundFile:
    """Return what the header of a sound file says; its samples are not read.

    Args:
        source: a path, or the content of a file.
        name: what to call it in a message; of a path it need not be given.

    Raises:
        DataError: it is not there, empty, damaged, of no kind that is known, or its header cannot be true.
        MissingExtra: `soundfile` is not installed.
    """
    with _opened(source, name) as (_, info):
        return info


def read_sound(
    source: str | Path | bytes,
    rate: int | None = None,
    *,
    start: float = 0.0,
    end: float | None = None,
    channel: int | None = None,
    name: str = "",
) -> tuple[Samples, int]:
    """Read the samples of a file, or of a part of it.

    Args:
        source: a path, or the content of a file.
        rate: to resample to; `None`: that of the file.
        start: of the part, in seconds.
        end: likewise; `None`: the end of the file.
        channel: which one, from 0; `None`: the mean of all.
        name: what to call it in a message.

    Returns:
        Samples `(samples,)`, float32 in [-1, 1], and their rate.

    Raises:
        DataError: as `sound_info`; or it holds no samples, fewer than its header says, or one that is no number; or the
            part lies outside it.
        NotEnoughMemory: it is too long to be read whole.
    """
    parts, count = list[Samples](), 0
    with _opened(source, name) as (file, info):
        to = rate or info.rate
        for block in _resampled(_blocks(file, info, start, end, channel), info.rate, to):
            parts.append(block)
            count += len(block)
            if count > _MOST:
                raise NotEnoughMemory(
                    f"{info.name} has more than {_MOST:,} samples, too many to be read whole; name parts of it by "
                    "start and end, or stream it"
                )
    return (np.concatenate(parts) if parts else np.zeros(0, np.float32)), to


def sound_blocks(
    source: str | Path | bytes, rate: int | None = None, *, channel: int | None = None, name: str = ""
) -> Iterator[Samples]:
    """Yield the samples of a file in blocks, in memory that does not grow with its length; see `read_sound`.

    The blocks one after the other are what `read_sound` returns, to the bit.
    """
    with _opened(source, name) as (file, info):
        yield from _resampled(_blocks(file, info, 0.0, None, channel), info.rate, rate or info.rate)


def _resampled(blocks: Iterator[Samples], rate: int, to: int) -> Iterator[Samples]:
    resampler = Resampler(rate, to)
    for block in blocks:
        yield resampler.accept(block)
    yield resampler.finish()


class _opened:  # noqa: N801, a context manager that is read as a function
    """An open file and what its header says; libsndfile's errors become ours."""

    def __init__(self, source: str | Path | bytes, name: str) -> None:
        self.name = name or (str(source) if not isinstance(source, bytes) else "the sound")
        self._raw: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else _open(Path(source), self.name)

    def __enter__(self) -> tuple[Any, SoundFile]:
        soundfile = library("soundfile")
        try:
            check_riff(self._raw, self.name)
            self._file = soundfile.SoundFile(self._raw)
        except (soundfile.LibsndfileError, TypeError, ValueError, OSError, RuntimeError) as error:
            self._raw.close()
            raise _translated(error, self.name) from error
        except BaseException:
            self._raw.close()
            raise
        info = SoundFile(
            self.name, int(self._file.samplerate), int(self._file.frames), int(self._file.channels),
            f"{self._file.format} {self._file.subtype}",
        )  # fmt: skip
        try:
            _check(info)
        except DataError:
            self.__exit__()
            raise
        return self._file, info

    def __exit__(self, kind: Any = None, error: Any = None, trace: Any = None) -> None:
        self._file.close()
        self._raw.close()


def _open(path: Path, name: str) -> BinaryIO:
    try:
        if "\0" in name or not path.exists():
            raise DataError(f"the sound file {name[:200]} does not exist; check the path")
        if path.is_dir():
            raise DataError(f"{name} is a folder; expected a sound file: {_FORMATS}")
        if path.stat().st_size == 0:
            raise DataError(f"{name} is empty, 0 bytes; record or fetch it again, or leave it out")
        return path.open("rb")
    except OSError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name[:200]} cannot be read ({(error.strerror or str(error)).lower()})") from error


def _translated(error: BaseException, name: str) -> DataError:
    if isinstance(error, DataError):
        return error
    said = (str(error).splitlines() or [type(error).__name__])[0]
    said = said.rpartition(": ")[2].rstrip(". ") or "it is damaged"
    return DataError(
        f"{name} cannot be read as sound ({said[:1].lower()}{said[1:120]}); expected {_FORMATS}: convert it, or fetch "
        "it again if it is damaged"
    )


def _check(info: SoundFile) -> None:
    if not LOWEST <= info.rate <= HIGHEST:
        raise DataError(
            f"{info.name} says that it has {info.rate:,} samples a second; expected {LOWEST:,} to {HIGHEST:,}: its "
            "header is damaged, write it again"
        )
    if not 1 <= info.channels <= _CHANNELS:
        raise DataError(f"{info.name} says that it has {info.channels:,} channels; expected 1 to {_CHANNELS}")
    if info.frames <= 0:
        raise DataError(f"{info.name} holds no samples; record it again, or leave it out")


def _blocks(file: Any, info: SoundFile, start: float, end: float | None, channel: int | None) -> Iterator[Samples]:
    """Yield the samples of a part of an open file, one channel."""
    first, last = _span(info, start, end)
    if channel is not None and not 0 <= channel < info.channels:
        raise DataError(f"{info.name} has {info.channels} channels; there is no channel {channel} (from 0)")
    soundfile, place, size = library("soundfile"), first, max(_BLOCK // info.channels, 1)
    try:
        if first:
            file.seek(first)
        while place < last:
            block = file.read(min(size, last - place), dtype="float32", always_2d=True)
            if not len(block):
                raise DataError(
                    f"{info.name} is cut short: its header says {info.seconds:.4g} s, and it ends after "
                    f"{place / info.rate:.4g} s; fetch or record it again"
                )
            one = block.mean(1) if channel is None else block[:, channel]
            one = np.ascontiguousarray(block[:, 0] if info.channels == 1 else one, np.float32)
            _check_finite(one, info, place)
            place += len(one)
            yield one
    except (soundfile.LibsndfileError, ValueError, RuntimeError) as error:
        raise _translated(error, info.name) from error


def _span(info: SoundFile, start: float, end: float | None) -> tuple[int, int]:
    if not start >= 0 or (end is not None and not end > start):
        raise DataError(f"the part of {info.name} from {start:g} to {end} s is none; expected start below end, from 0")
    first = round(start * info.rate)
    last = info.frames if end is None else min(round(end * info.rate), info.frames)
    # ends of segments are often rounded up; what lies a tenth of a second behind the file is another file's
    if first >= info.frames or (end is not None and end > info.seconds + 0.1):
        raise DataError(
            f"{info.name} is {info.seconds:.4g} s long, but a part from {start:g} to "
            f"{'its end' if end is None else end} s is asked for; mend start and end, which are in seconds"
        )
    return first, last


def _check_finite(samples: Samples, info: SoundFile, place: int) -> None:
    wrong = ~np.isfinite(samples)
    if wrong.any():
        at = place + int(wrong.argmax())
        raise DataError(
            f"sample {at:,} of {info.name} ({at / info.rate:.4g} s) is not a number; write the file again, "
            "or leave it out"
        )


def sound_bytes(samples: Samples, rate: int) -> bytes:
    """Return samples as the content of a WAV file, 16-bit.

    Args:
        samples: `(samples,)`, or `(samples, channels)`, in [-1, 1].
        rate: samples a second.
    """
    content = io.BytesIO()
    library("soundfile").write(content, samples, rate, format="WAV", subtype="PCM_16")
    return content.getvalue()
