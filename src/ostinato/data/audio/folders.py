"""Folders, and archives, of sounds: with a text beside each, with the texts of LibriSpeech, or one folder a class."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from ostinato.data.archives import ARCHIVES, content_of, members
from ostinato.data.audio.files import SUFFIXES
from ostinato.data.audio.sources import FileSource
from ostinato.data.audio.utterances import Utterances
from ostinato.data.notes import note
from ostinato.errors import DataError

_LONGEST = 1 << 20  # bytes of a transcript


def read_folder(folder: Path, *, labelled: bool, classes: bool) -> Utterances:
    """Read the sounds of a folder, a `.zip` or a `.tar`, of all folders in it.

    Args:
        folder: where they lie.
        labelled: whether each has a text: `NAME.txt` beside `NAME.wav`, or a line of a `*.trans.txt` in its folder, as
            LibriSpeech has it.
        classes: whether instead its class is the name of the folder that it lies in.

    Returns:
        The sounds in the order of their paths; without those that have no text, which are noted.

    Raises:
        DataError: there are none, or none has a text.
    """
    names = _files(folder)
    sounds = [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    if not sounds:
        raise DataError(f"{folder} has no sound files; expected {', '.join(sorted(SUFFIXES)[:4])} or the like in it")
    texts: dict[str, str] = {}
    if labelled:
        texts = _classes(folder, sounds) if classes else _texts(folder, names, sounds)
        left = [name for name in sounds if name in texts]
        if len(left) < len(sounds):
            absent = next(name for name in sounds if name not in texts)
            note(f'{folder}: {len(sounds) - len(left):,} of {len(sounds):,} sounds have no text and are left out, the '
                 f'first of them "{absent}"')  # fmt: skip
        sounds = left
    stems = [str(PurePosixPath(name).with_suffix("")) for name in sounds]
    return Utterances(
        str(folder),
        tuple(FileSource(str(folder / name), name) for name in sounds),
        tuple(stems if len(set(stems)) == len(stems) else sounds),
        tuple(texts[name] for name in sounds) if labelled else None,
    )


def _files(folder: Path) -> list[str]:
    """Return the files of a folder or an archive, by their paths in it, without hidden ones."""
    if folder.suffix.lower() in ARCHIVES and folder.is_file():
        names = list(members(folder))
    else:
        names = [
            Path(home, name).relative_to(folder).as_posix() for home, _, files in os.walk(folder) for name in files
        ]
    return sorted(name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.split("/")))


def _texts(folder: Path, names: list[str], sounds: list[str]) -> dict[str, str]:
    there, found = set(names), dict[str, str]()
    listed = {
        str(PurePosixPath(name).parent / key): text
        for name in names
        if name.endswith(".trans.txt")
        for key, _, text in (line.partition(" ") for line in _read(folder, name).splitlines())
    }
    for sound in sounds:
        stem = PurePosixPath(sound).with_suffix("")
        beside = next((name for name in (f"{stem}.txt", f"{sound}.txt", f"{stem}.lab") if name in there), None)
        text = listed.get(str(stem)) if beside is None else _read(folder, beside)
        if text is not None:
            found[sound] = " ".join(text.split())
    if not found:
        raise DataError(
            f"{folder} has {len(sounds):,} sounds and no transcripts; expected NAME.txt beside NAME.wav, or a table of "
            "paths and transcripts"
        )
    return found


def _classes(folder: Path, sounds: list[str]) -> dict[str, str]:
    found = {name: PurePosixPath(name).parent.name for name in sounds if len(PurePosixPath(name).parts) > 1}
    if not found:
        raise DataError(
            f"{folder} has {len(sounds):,} sounds and no folders; expected a folder for each class, or a table of "
            "paths and classes"
        )
    return found


def _read(folder: Path, name: str) -> str:
    path = folder / name
    try:
        content = content_of(str(path))
        raw = content if isinstance(content, bytes) else path.read_bytes()
        if len(raw) > _LONGEST and not name.endswith(".trans.txt"):
            raise DataError(
                f"{path} has {len(raw):,} bytes, which is no transcript; expected what is said in the sound"
            )
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read ({(error.strerror or str(error)).lower()})") from error
