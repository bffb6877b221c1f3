"""Finding the files that a table names: relative to it, beside it, or in an archive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ostinato.data.archives import archive_of, members
from ostinato.errors import DataError
from ostinato.words import verb


@dataclass(frozen=True)
class Sought:
    """What is looked for.

    Args:
        noun: what to call several of them in a message.
        beside: folders beside the table in which data sets keep them; the empty name is the table's own folder.
        candidates: the paths that one path may mean, as one with an ending.
        folders: whether a folder is one too.
    """

    noun: str
    beside: Sequence[str]
    candidates: Callable[[Path], Iterable[Path]]
    folders: bool = False


def locate(paths: Sequence[str], folder: Path, origin: str, sought: Sought) -> list[str]:
    """Return what paths mean.

    A path is taken relative to its table's folder, then to a folder beside it that is called as such folders are, then
    to the working folder. It may lead into an archive: `digits.zip/recordings/0_jackson_0.wav`.

    Args:
        paths: as the table has them.
        folder: of the table.
        origin: what to call the table in a message.
        sought: what is looked for.

    Raises:
        DataError: some are not there: how many, and the first of them.
    """
    places = [folder / name for name in sought.beside] + [Path()]
    inside: dict[Path, frozenset[str]] = {}
    found, absent = list[str](), list[str]()
    for path in paths:
        one = next((there for base in places if (there := _there(base / path, sought, inside)) is not None), None)
        (absent if one is None else found).append(path if one is None else one)
    if absent:
        raise DataError(
            f"{origin}: {len(absent):,} of its {len(paths):,} {sought.noun} {verb(len(absent), 'are')} not "
            f'there, the first "{absent[0][:200]}"; looked for relative to {folder} and to the working folder: mend '
            "the paths, or put the files there"
        )
    return found


def _there(path: Path, sought: Sought, inside: dict[Path, frozenset[str]]) -> str | None:
    """Return the first path that is there of those that one may mean; `None`: none is."""
    for candidate in sought.candidates(path):
        try:
            if candidate.exists() if sought.folders else candidate.is_file():
                return str(candidate)
            found = archive_of(candidate)
        except (OSError, ValueError):  # a name that no file can have
            continue
        if found is not None:
            archive, member = found
            if archive not in inside:
                inside[archive] = _names_in(archive, folders=sought.folders)
            if member in inside[archive]:
                return str(candidate)
    return None


def _names_in(archive: Path, *, folders: bool) -> frozenset[str]:
    names = members(archive)
    homes = {str(home) for name in names for home in PurePosixPath(name).parents} if folders else set[str]()
    return frozenset(names) | homes
