"""Finding the sound files that a table names: relative to it, beside it, or in an archive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ostinato.data.audio.files import SUFFIXES
from ostinato.data.locating import Sought
from ostinato.data.locating import locate as locate_files


def locate(paths: Sequence[str], folder: Path, origin: str) -> list[str]:
    """Return the sound files that paths mean; one without an ending may have any of a sound.

    Raises:
        DataError: some are not there: how many, and the first of them.
    """
    return locate_files(paths, folder, origin, _SOUNDS)


def _endings(path: Path) -> Iterable[Path]:
    yield path
    if path.suffix.lower() not in SUFFIXES:
        for suffix in (".wav", ".flac", ".mp3", ".ogg"):
            yield path.with_name(path.name + suffix) if path.name else path


# where data sets keep their sounds: Common Voice, LJSpeech and others
_SOUNDS = Sought("sound files", ("", "clips", "wavs", "wav", "audio", "recordings"), _endings)
