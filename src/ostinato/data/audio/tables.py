"""Tables of sounds: a row an utterance, with the path of its file and what is said in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ostinato.data.audio.locating import locate
from ostinato.data.audio.sources import FileSource
from ostinato.data.audio.utterances import Utterances
from ostinato.data.readers import read_table
from ostinato.data.table import Table, numbers, texts
from ostinato.errors import ColumnError, DataError

Role = Literal["audio", "text", "id", "speaker", "start", "end"]
# what columns are called in the corpora that there are: Common Voice, LibriSpeech's and LJSpeech's tables, NeMo,
# ESPnet, Hugging Face
_NAMES: dict[str, tuple[str, ...]] = {
    "audio": ("audio", "path", "file", "file_name", "filename", "filepath", "audio_filepath", "audio_path", "wav",
              "wav_filename", "clip", "sound"),
    "text": ("text", "transcript", "transcription", "sentence", "normalized_text", "words", "label"),
    "id": ("id", "utt_id", "utterance_id", "utt", "segment_id"),
    "speaker": ("speaker", "speaker_id", "spk", "spk_id", "client_id"),
    "start": ("start", "start_time", "offset", "begin"),
    "end": ("end", "end_time", "stop"),
}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """The columns of a table of sounds; `None`: found by their names, or there are none."""

    audio: str | None = None
    text: str | None = None
    id: str | None = None
    speaker: str | None = None
    start: str | None = None
    end: str | None = None

    def found(self, role: Role, there: Sequence[str], origin: str) -> str:
        """Return the column of a role that there must be.

        Raises:
            ColumnError: there is none.
        """
        name = self.perhaps(role, there)
        if name is None:
            shown, what = ", ".join(f'"{name}"' for name in list(there)[:12]), _WHAT.get(role, role)
            raise ColumnError(
                f"{origin} has no column that is called as one of {what}; name it: --{role}; it has {shown}"
            )
        return name

    def perhaps(self, role: Role, there: Sequence[str]) -> str | None:
        """Return the column of a role, `None` if there is none."""
        given: str | None = getattr(self, role)
        if given is not None:
            return given
        lower = {name.lower(): name for name in reversed(there)}
        return next((lower[name] for name in _NAMES[role] if name in lower), None)


_WHAT = {"audio": "sound files", "text": "transcripts"}


def read_sound_table(source: Any, columns: Columns, labelled: bool) -> Utterances:
    """Read a table of sounds; see `ostinato.data.audio.read_utterances`.

    Raises:
        DataError: a cell is empty that must not be, or a file is not there.
        ColumnError: a column is not there.
    """
    table = read_table(source)
    folder = Path(source).parent if isinstance(source, (str, Path)) else Path()
    audio = columns.found("audio", table.columns, table.origin)
    text = columns.found("text", table.columns, table.origin) if labelled else None
    others = {role: columns.perhaps(role, table.columns) for role in ("id", "speaker")}
    table.require([audio, *filter(None, (text, columns.id, columns.speaker, columns.start, columns.end))])
    shown = _cells(table, audio, "must name a sound file")
    paths = locate(shown, folder, table.origin)
    spans = _spans(table, columns)
    sources = tuple(
        FileSource(path, name, start, end) for path, name, (start, end) in zip(paths, shown, spans, strict=True)
    )
    said = None if text is None else tuple(" ".join(cell.split()) for cell in _cells(table, text, "", empty=True))
    speakers = None if others["speaker"] is None else tuple(_cells(table, others["speaker"], "", empty=True))
    return Utterances(table.origin, sources, _ids(table, columns, others["id"], sources), said, speakers)


def _cells(table: Table, name: str, must: str, *, empty: bool = False) -> list[str]:
    found = texts(table, name, ())
    row = next((row for row, cell in enumerate(found) if cell is None or not cell.strip()), None)
    if row is not None and not empty:
        raise DataError(f'{table.place(row)}: column "{name}" is empty, but {must}; fill it in, or leave the row out')
    return ["" if cell is None else cell for cell in found]


def _spans(table: Table, columns: Columns) -> list[tuple[float, float | None]]:
    """Return where in its file each utterance lies, in seconds."""
    start, end = columns.perhaps("start", table.columns), columns.perhaps("end", table.columns)
    whole: list[tuple[float, float | None]] = [(0.0, None)] * table.rows
    if start is None:
        if end is not None and columns.end is not None:
            return [(0.0, second) for second in _seconds(table, end)]
        return whole
    begins = _seconds(table, start)
    if end is not None:
        ends: list[float | None] = list(_seconds(table, end))
    elif "duration" in table.columns:  # as NeMo's manifests have it
        ends = [a + b for a, b in zip(begins, _seconds(table, "duration"), strict=True)]
    elif columns.start is None:
        return whole
    else:
        ends = [None] * table.rows
    for row, (first, last) in enumerate(zip(begins, ends, strict=True)):
        if first < 0 or (last is not None and last <= first):
            raise DataError(
                f"{table.place(row)}: the part from {first:g} to {last} s is none; expected start below end"
            )
    return list(zip(begins, ends, strict=True))


def _seconds(table: Table, name: str) -> list[float]:
    found = numbers(table, name, ())
    if np.isnan(found).any():
        row = int(np.isnan(found).argmax())
        raise DataError(f'{table.place(row)}: column "{name}" is empty; expected seconds')
    values: list[float] = found.tolist()
    return values


def _ids(table: Table, columns: Columns, name: str | None, sources: Sequence[FileSource]) -> tuple[str, ...]:
    """Return a name for each: a column's that was named, or one that was found and tells all apart; else the path."""
    if name is not None:
        found = _cells(table, name, "must name its utterance", empty=columns.id is None)
        if columns.id is not None or (len(set(found)) == len(found) and all(found)):
            return tuple(found)
    spans = [
        source.name if source.end is None and not source.start else f"{source.name}:{source.start:g}-{source.end}"
        for source in sources
    ]
    for ids in ([source.name for source in sources], spans):
        if len(set(ids)) == len(ids):
            return tuple(ids)
    twice = Counter(spans)
    return tuple(span if twice[span] == 1 else f"{span} (row {table.number(row)})" for row, span in enumerate(spans))
