"""Sets of sequences in the forms of the archives: `.ts`, `.arff`, and text files of a sequence a row."""

from __future__ import annotations

from pathlib import Path

from ostinato.data.arff_files import read_arff
from ostinato.data.sequences import SequenceSet
from ostinato.data.ts_files import read_ts
from ostinato.data.wide_sequences import is_wide, read_wide


def read_archived(path: str | Path, series_id: str | None) -> SequenceSet | None:
    """Return the sequences of a file that is of one of these forms; `None` of a long table.

    Args:
        path: the file.
        series_id: the column that a long table says to which sequence a row belongs by.
    """
    packed = (".gz", ".bz2", ".xz", ".zst")
    suffix = next((one.lower() for one in reversed(Path(path).suffixes) if one.lower() not in packed), "")
    if suffix == ".ts":
        return read_ts(path)
    if suffix == ".arff":
        found = read_arff(path)
        return None if series_id in [name for name, _ in found.attributes] else found.sequences()
    return read_wide(path) if is_wide(path) else None
