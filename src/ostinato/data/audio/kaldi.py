"""Folders as Kaldi has them: `wav.scp`, `text`, perhaps `segments` and `utt2spk`. Commands in them are never run."""

from __future__ import annotations

from pathlib import Path

from ostinato.data.audio.locating import locate
from ostinato.data.audio.sources import FileSource
from ostinato.data.audio.utterances import Utterances
from ostinato.data.notes import note
from ostinato.errors import DataError
from ostinato.words import counted


def is_kaldi(folder: Path) -> bool:
    """Tell whether a folder is one of Kaldi's."""
    return (folder / "wav.scp").is_file()


def read_kaldi(folder: Path, *, labelled: bool) -> Utterances:
    """Read a folder of Kaldi's.

    Args:
        folder: with `wav.scp`, whose paths are taken relative to it, then to the working folder.
        labelled: whether `text` is read, and must be there.

    Returns:
        The utterances in the order of `segments`, else of `wav.scp`; without those that have no text, which are noted.

    Raises:
        DataError: a line is damaged, names a command in place of a file or is doubled, or files are not there.
    """
    recordings = _lines(folder / "wav.scp", "a name and a path")
    for number, (name, path) in enumerate(recordings.items(), 1):
        _refuse_commands(folder, number, name, path)
    spans = _segments(folder, recordings)
    texts = _lines(folder / "text", "a name and what is said", empty=True) if labelled else {}
    speakers = _lines(folder / "utt2spk", "a name and a speaker") if (folder / "utt2spk").is_file() else {}
    ids = [name for name in spans if not labelled or name in texts]
    _say_left(folder, len(spans), len(ids), [name for name in texts if name not in spans])
    if not ids:
        raise DataError(f"{folder}: no utterance of wav.scp or segments is in text; expected the same names in both")
    used = list(dict.fromkeys(spans[name][0] for name in ids))
    found = dict(zip(used, locate([recordings[name] for name in used], folder, str(folder / "wav.scp")), strict=True))
    sources = tuple(
        FileSource(found[recording], name, start, end) for name in ids for recording, start, end in [spans[name]]
    )
    return Utterances(
        str(folder), sources, tuple(ids),
        tuple(" ".join(texts[name].split()) for name in ids) if labelled else None,
        tuple(speakers.get(name, name) for name in ids) if speakers else None,
    )  # fmt: skip


def _lines(path: Path, what: str, *, empty: bool = False) -> dict[str, str]:
    """Return the lines of a file by the name that each begins with."""
    if not path.is_file():
        raise DataError(f"{path} is not there; expected {what} a line, as Kaldi has it")
    found: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); expected text in UTF-8") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *rest = line.split(maxsplit=1)
        if not rest and not empty:
            raise DataError(f'line {number} of {path} has the name "{name[:80]}" alone; expected {what}')
        if name in found:
            raise DataError(f'line {number} of {path} has the name "{name[:80]}" again; expected each once')
        found[name] = rest[0].strip() if rest else ""
    if not found:
        raise DataError(f"{path} is empty; expected {what} a line")
    return found


def _refuse_commands(folder: Path, number: int, name: str, path: str) -> None:
    if path.endswith("|") or path.startswith("|"):
        raise DataError(
            f'line {number} of {folder / "wav.scp"} has a command for "{name[:80]}" in place of a path; commands are '
            "not run: write its output to a file, and put the path there"
        )


def _segments(folder: Path, recordings: dict[str, str]) -> dict[str, tuple[str, float, float | None]]:
    """Return for each utterance its recording, start and end in seconds."""
    path = folder / "segments"
    if not path.is_file():
        return {name: (name, 0.0, None) for name in recordings}
    found: dict[str, tuple[str, float, float | None]] = {}
    for name, rest in _lines(path, "a name, a recording, start and end").items():
        cells = rest.split()
        try:
            recording, start, end = cells[0], float(cells[1]), float(cells[2])
        except (IndexError, ValueError) as error:
            raise DataError(f'{path}: "{name} {rest[:80]}"; expected a name, a recording, start and end') from error
        if recording not in recordings:
            raise DataError(f'{path}: "{name}" is of the recording "{recording[:80]}", which is not in wav.scp')
        if end != -1 and not 0 <= start < end:
            raise DataError(f'{path}: "{name}" is the part from {start:g} to {end:g} s; expected start below end')
        found[name] = recording, start, None if end == -1 else end
    return found


def _say_left(folder: Path, sounds: int, both: int, texts: list[str]) -> None:
    if both and sounds > both:
        note(f"{folder}: {sounds - both:,} of {counted(sounds, 'sounds')} without a text left out")
    if both and texts:
        note(f'{folder}: {counted(len(texts), "texts")} without a sound left out, the first of them "{texts[0][:80]}"')
