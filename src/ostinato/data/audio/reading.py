"""Reading utterances: tables of paths, Kaldi's folders, folders of sounds and texts, archives, arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ostinato.data.archives import ARCHIVES
from ostinato.data.audio.files import SUFFIXES
from ostinato.data.audio.folders import read_folder
from ostinato.data.audio.kaldi import is_kaldi, read_kaldi
from ostinato.data.audio.sources import FileSource, Source, array_source
from ostinato.data.audio.tables import Columns, read_sound_table
from ostinato.data.audio.utterances import Utterances
from ostinato.errors import DataError, UsageError


@dataclass(frozen=True)
class Wanted:
    """Whether there must be what is said in each, and what it is called in a message."""

    labelled: bool
    texts: str = "transcripts"


def read_utterances(
    source: Any,
    *,
    audio: str | None = None,
    text: str | None = None,
    id: str | None = None,  # noqa: A002, what the column is called
    speaker: str | None = None,
    start: str | None = None,
    end: str | None = None,
    labelled: bool = True,
    classes: bool = False,
) -> Utterances:
    """Read utterances; of files nothing but names is read yet.

    Args:
        source: one of

            - a table (CSV, TSV, JSON lines, Parquet, a data frame, rows by name), a row an utterance: see
              `locating.locate` for how paths are found;
            - a folder as Kaldi has it: `wav.scp`, `text`, perhaps `segments` and `utt2spk`;
            - a folder, `.zip` or `.tar` of `NAME.wav` with `NAME.txt` (or any sound that can be read), or as
              LibriSpeech has it, with `*.trans.txt`, or with a table called `metadata.csv`;
            - without texts: a sound file, several, a folder of them;
            - in memory: a list of `(samples, rate)` or paths, with texts as a pair `(sounds, texts)`; see
              `sources.array_source`.
        audio: the column of paths; `None`: found by its name.
        text: the column of what is said; `None`: found.
        id: the column of a name for each utterance; `None`: found, else there is none.
        speaker: the column of who speaks; likewise.
        start: the column of where in its file an utterance begins, in seconds; likewise.
        end: the column of where it ends; likewise.
        labelled: whether there must be texts; without, they are not read.
        classes: whether texts are classes: a folder then has a folder for each class, whose name it is.

    Raises:
        DataError: a file is not there, or a text; names are doubled; a command stands where a path belongs.
        UsageError: `source` is of another kind.
    """
    columns = Columns(audio, text, id, speaker, start, end)
    wanted = Wanted(labelled, "classes" if classes else "transcripts")
    if isinstance(source, (str, Path)):
        return _of_path(source, columns, wanted, classes)
    if isinstance(source, Utterances):
        return source
    if isinstance(source, Mapping) or hasattr(source, "columns"):
        return read_sound_table(source, columns, wanted.labelled)
    if _is_rows(source):
        return _of_rows(list(source), columns, wanted)
    if labelled:
        if not (isinstance(source, tuple) and len(source) == 2):
            raise UsageError(
                f"data is a {type(source).__name__}; expected a path, a table or a pair (sounds, {wanted.texts})"
            )
        sounds, texts = source
        found = _of_list(sounds)
        return _with_texts(found, texts, wanted)
    return _of_list([source] if _is_sound(source) else source)


def _of_path(source: str | Path, columns: Columns, wanted: Wanted, classes: bool) -> Utterances:
    path = Path(source)
    try:
        there = path.exists()
    except (OSError, ValueError):  # a name that no file can have
        there = False
    if not there or "\0" in str(path):
        raise DataError(f"{str(path)[:200]} does not exist; check the path")
    if path.name == "wav.scp" or (path.is_dir() and is_kaldi(path)):
        return read_kaldi(path if path.is_dir() else path.parent, labelled=wanted.labelled)
    table = next((name for name in _METADATA if path.is_dir() and (path / name).is_file()), None)
    if table is not None:
        return read_sound_table(path / table, columns, wanted.labelled)
    if path.is_dir() or path.suffix.lower() in ARCHIVES:
        return read_folder(path, labelled=wanted.labelled, classes=classes)
    if path.suffix.lower() in SUFFIXES:
        if wanted.labelled:
            raise DataError(f"{path.name} is one sound without {wanted.texts}; expected a table or a folder of sounds")
        return Utterances(path.name, (FileSource(str(path)),), (str(path),))
    return read_sound_table(source, columns, wanted.labelled)


_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.tsv", "metadata.parquet")


def _is_sound(value: Any) -> bool:
    """Tell whether a value is one sound in memory: `(samples, rate)`."""
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[1], (int, float, np.integer, np.floating))
        and not isinstance(value[0], (str, Path))
    )


def _is_rows(source: Any) -> bool:
    return isinstance(source, (list, tuple)) and bool(source) and all(isinstance(row, Mapping) for row in source)


def _of_rows(rows: list[Mapping[str, Any]], columns: Columns, wanted: Wanted) -> Utterances:
    """Return rows by name, whose sounds may be in memory: `{"array": ..., "sampling_rate": ...}`, or a pair."""
    name = columns.found("audio", list(rows[0]), "the rows")
    if all(isinstance(row.get(name), (str, Path)) for row in rows):
        return read_sound_table([{**row, name: str(row[name])} for row in rows], columns, wanted.labelled)
    found = _of_list([_unwrapped(row.get(name)) for row in rows])
    if not wanted.labelled:
        return found
    text = columns.found("text", list(rows[0]), "the rows")
    return _with_texts(found, [row.get(text) for row in rows], wanted)


def _unwrapped(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "array" in value:
            return value["array"], value.get("sampling_rate")
        return value.get("path")
    return value


def _of_list(sounds: Any) -> Utterances:
    if isinstance(sounds, (str, Path)) or not isinstance(sounds, Sequence):
        raise UsageError(
            f"sounds are a {type(sounds).__name__}; expected a list, each a path or a pair (samples, rate)"
        )
    if not len(sounds):
        raise DataError("there are no sounds; expected one or more")
    sources, names = list[Source](), list[str]()
    for number, sound in enumerate(sounds, 1):
        if isinstance(sound, (str, Path)):
            found = _of_path(sound, Columns(), Wanted(False), False)
            sources += found.sources
            names += found.ids
        elif isinstance(sound, (tuple, list)) and len(sound) == 2:
            sources.append(array_source(sound[0], sound[1], f"sound {number}"))
            names.append(f"sound {number}")
        else:
            raise UsageError(f"sound {number} is a {type(sound).__name__}; expected a path or a pair (samples, rate)")
    doubled = len(set(names)) < len(names)
    ids = tuple(f"{name} ({number})" for number, name in enumerate(names, 1)) if doubled else tuple(names)
    return Utterances("the sounds" if len(sources) > 1 else names[0], tuple(sources), ids)


def _with_texts(found: Utterances, texts: Any, wanted: Wanted) -> Utterances:
    given = list(texts) if not isinstance(texts, str) and hasattr(texts, "__iter__") else None
    if given is None or len(given) != len(found):
        count = "none" if given is None else f"{len(given):,}"
        raise DataError(f"there are {len(found):,} sounds, and {count} {wanted.texts} for them; expected one for each")
    missing = next((number for number, text in enumerate(given, 1) if text is None or text != text), None)
    if missing is not None:
        raise DataError(f"sound {missing} has no text; give it one, or leave it out")
    return Utterances(found.origin, found.sources, found.ids, tuple(" ".join(str(text).split()) for text in given))
