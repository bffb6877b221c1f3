"""Finding the sound files that a table names: relative to it, beside it, or in an archive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ostinato.data.audio.files import SUFFIXES
from ostinato.data.audio.sources import archive_of, members
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
    places = [folder / own for own in _BESIDE] + [Path()]
    finders: dict[Path, _Finder] = {}
    found, absent = list[str](), list[str]()
    for path in paths:
        one = next((own for base in places if (own := _there(base / path, finders)) is not None), None)
        (absent if one is None else found).append(path if one is None else one)
    if absent:
        raise DataError(
            f"{origin}: {len(absent):,} of its {len(paths):,} sound files {'is' if len(absent) == 1 else 'are'} not "
            f'there, the first "{absent[0][:200]}"; looked for relative to {folder} and to the working folder: mend '
            "the paths, or put the files there"
        )
    return found


class _Finder:
    """The files of an archive."""

    def __init__(self, archive: Path) -> None:
        self.names = frozenset(members(archive))


def _there(path: Path, archives: dict[Path, _Finder]) -> str | None:
    """Return a path that is there, with its ending; `None`: none is."""
    for own in _endings(path):
        try:
            if own.is_file():
                return str(own)
            inside = archive_of(own)
        except (OSError, ValueError):  # a name that no file can have
            continue
        if inside is not None:
            finder = (
                archives.setdefault(inside[0], _Finder(inside[0])) if inside[0] not in archives else archives[inside[0]]
            )
            if inside[1] in finder.names:
                return str(own)
    return None


def _endings(path: Path) -> Iterable[Path]:
    yield path
    if path.suffix.lower() not in SUFFIXES:
        for suffix in (".wav", ".flac", ".mp3", ".ogg"):
            yield path.with_name(path.name + suffix) if path.name else path
