"""Sequences a row each, without a header: the class, then the values, as text files of the UCR archive have them."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np

from ostinato.data.identities import typed
from ostinato.data.lines import TextFile
from ostinato.data.sequences import Floats, SequenceSet
from ostinato.data.table import LARGEST
from ostinato.errors import DataError

_SUFFIXES = (".tsv", ".txt", ".csv", ".tab", ".dat")
_MISSING = ("?", "nan", "na", "")
_FEWEST = 8  # columns of what is taken for a sequence a row
_HEAD = 20


def is_wide(path: str | Path) -> bool:
    """Tell whether a text file has a sequence a row: no header, a class that is a whole number, and many numbers."""
    bare = [one.lower() for one in Path(path).suffixes if one != ".gz"]
    if not Path(path).is_file() or (bare and bare[-1] not in _SUFFIXES):
        return False
    try:
        head = [_cells(line) for line in itertools.islice(TextFile(path, {"errors": "replace"}).lines(), _HEAD)]
    except DataError:
        return False
    rows = [cells for cells in head if cells != [""]]
    return bool(rows) and all(len(row) >= _FEWEST and _is_class(row[0]) and all(map(_is_value, row)) for row in rows)


def read_wide(path: str | Path) -> SequenceSet:
    r"""Read a text file of a sequence a row: its class and then its values, parted by tabs, commas or blanks.

    `NaN` or `?` is a missing value; those at the end of a row are no values, so that sequences may differ in length.
    A class that is `?` in every row is not known.

    Raises:
        DataError: a cell is no number; the line is named.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "Two_TRAIN.tsv"
    >>> _ = path.write_text("1\t0.5\t2\t3\n2\t4\t?\tNaN\n")
    >>> found = read_wide(path)
    >>> [len(own) for own in found.sequences], found.labels
    ([3, 1], (1, 2))

    Source: H. Dau et al., "The UCR Time Series Archive", 2018.
    """
    file = TextFile(path, {})
    sequences, classes = list[Floats](), list[str]()
    for number, line in enumerate(file.lines(), 1):
        cells = _cells(line)
        if cells == [""]:
            continue
        where = f"line {number} of {file.name}"
        values = [value_of(where, cell) for cell in cells[1:]]
        sequences.append(trimmed(np.array(values, np.float32)[:, None]))
        classes.append(cells[0])
    if not sequences:
        raise DataError(f"{file.name} has no rows; expected a class and values in each")
    known = all(_is_class(each) and each != "?" for each in classes)
    labels = tuple(typed([f"{float(each):.0f}" for each in classes])) if known else None
    return SequenceSet(
        origin=file.name,
        channels=("channel_1",),
        sequences=tuple(sequences),
        ids=tuple(str(i + 1) for i in range(len(sequences))),
        labels=labels,
        classes=() if labels is None else tuple(sorted(set(labels))),
    )


def trimmed(values: Floats) -> Floats:
    """Return a sequence `(time, channels)` without the steps at its end that are missing in all channels."""
    seen = np.flatnonzero(~np.isnan(values).all(1))
    return values[: int(seen[-1]) + 1 if len(seen) else 1]


def value_of(where: str, cell: str | None) -> float:
    """Return the number of a cell, NaN where it is missing.

    Raises:
        DataError: it is no finite number.
    """
    text = (cell or "").strip()
    try:
        found = float("nan") if text.lower() in _MISSING else float(text)
    except ValueError:
        found = float("inf")
    if abs(found) > LARGEST:
        raise DataError(f'{where}: "{text[:40]}" is not a finite number; expected one, or ? where it is missing')
    return found


def _cells(line: str) -> list[str]:
    line = line.strip("\r\n ")
    for mark in ("\t", ",", ";"):
        if mark in line:
            return [cell.strip() for cell in line.split(mark)]
    return re.split(r"\s+", line)


def _is_class(cell: str) -> bool:
    return cell == "?" or (_is_value(cell) and cell.lower() not in _MISSING and float(cell).is_integer())


def _is_value(cell: str) -> bool:
    try:
        return cell.lower() in _MISSING or abs(float(cell)) <= LARGEST
    except ValueError:
        return False
