"""Finding the sound files that a table names: relative to it, beside it, or in an archive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ostinato.data.archives import archive_of, members
from ostinato.data.audio.files import SUFFIXES
from ostinato.errors import DataError

# where data sets keep their sounds: Common Voice, LJSpeech and others
_BESIDE = ("", "clips", "wavs", "wav", "audio", "recordings")


def locate(paths: Sequence[str], folder: Path, origin: str) -> list[str]:
    """Return the files that paths mean.

    A path is taken relative to its table's folder, then to a folder beside it that is called as such folders are
    (`clips`, `wavs`, `audio`, ...), then to the working folder. One without an ending may have any of a sound. It may
    lead into an archive: `digits.zip/recordings/0_jackson_0.wav`.

    Args:
        paths: as the table has them.
        folder: of the table.
        origin: what to call the table in a message.

    Raises:
        DataError: some are not there: how many, and the first of them.
    """
    places = [folder / name for name in _BESIDE] + [Path()]
    archives: dict[Path, frozenset[str]] = {}
    found, absent = list[str](), list[str]()
    for path in paths:
        one = next((there for base in places if (there := _there(base / path, archives)) is not None), None)
        (absent if one is None else found).append(path if one is None else one)
    if absent:
        raise DataError(
            f"{origin}: {len(absent):,} of its {len(paths):,} sound files {'is' if len(absent) == 1 else 'are'} not "
            f'there, the first "{absent[0][:200]}"; looked for relative to {folder} and to the working folder: mend '
            "the paths, or put the files there"
        )
    return found


def _there(path: Path, archives: dict[Path, frozenset[str]]) -> str | None:
    """Return a path that is there, with its ending; `None`: none is."""
    for candidate in _endings(path):
        try:
            if candidate.is_file():
                return str(candidate)
            inside = archive_of(candidate)
        except (OSError, ValueError):  # a name that no file can have
            continue
        if inside is not None:
            archive, member = inside
            if archive not in archives:
                archives[archive] = frozenset(members(archive))
            if member in archives[archive]:
                return str(candidate)
    return None


def _endings(path: Path) -> Iterable[Path]:
    yield path
    if path.suffix.lower() not in SUFFIXES:
        for suffix in (".wav", ".flac", ".mp3", ".ogg"):
            yield path.with_name(path.name + suffix) if path.name else path
