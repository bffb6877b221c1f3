"""Reading the `.ts` files of the UCR/UEA archive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ostinato.data.lines import TextFile
from ostinato.data.sequences import Floats, SequenceSet
from ostinato.data.table import LARGEST
from ostinato.errors import DataError
from ostinato.words import counted


@dataclass
class _Header:
    """The tags of a `.ts` file, as far as they say how its data is to be read."""

    dimensions: int = 0
    length: int = 0
    label: str = ""  # "class", "target" or none
    classes: tuple[str, ...] = ()


def read_ts(path: str | Path) -> SequenceSet:
    r"""Read a `.ts` file of the UCR/UEA archive, plain or `.gz`.

    One sequence a line: its channels separated by `:`, their values by `,`, the class (or, for regression, the number)
    last. `?` and `NaN` are missing. Sequences may differ in length; the channels of one may not.

    Args:
        path: the file.

    Returns:
        The sequences in the order of the file; channels are called `channel_1` and so on.

    Raises:
        DataError: a value is no finite number, a label is none of the header's classes, the numbers of channels or
            steps do not agree, or the header asks for time stamps in the values; the line is named.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "Two_TRAIN.ts"
    >>> _ = path.write_text("@classLabel true up down\n@data\n1,2,3:4,?,6:up\n3,2:0,0:down\n")
    >>> found = read_ts(path)
    >>> [sequence.shape for sequence in found.sequences], found.labels, found.classes
    ([(3, 2), (2, 2)], ('up', 'down'), ('up', 'down'))

    Source: the format of sktime and aeon, aeon-toolkit.org (Loading data).
    """
    file = TextFile(path, {})
    lines = ((number, line.strip()) for number, line in enumerate(file.lines(), 1))
    filled = ((number, line) for number, line in lines if line and not line.startswith(("#", "%")))
    header = _read_header(file.name, filled)
    sequences, labels = list[Floats](), list[str]()
    for number, line in filled:
        where = f"line {number} of {file.name}"
        parts = line.split(":")
        if header.label:
            labels.append(_label(where, header, parts))
        sequences.append(_case(where, header, parts))
    if not sequences:
        raise DataError(f"{file.name} has no sequences behind @data; expected one a line")
    return SequenceSet(
        origin=file.name,
        channels=tuple(f"channel_{i + 1}" for i in range(header.dimensions)),
        sequences=tuple(sequences),
        ids=tuple(str(i + 1) for i in range(len(sequences))),
        labels=tuple(labels) if header.label == "class" else None,
        classes=header.classes or tuple(sorted(set(labels) if header.label == "class" else ())),
        targets=np.array(labels, np.float64) if header.label == "target" else None,
    )


def _read_header(name: str, lines: Iterator[tuple[int, str]]) -> _Header:
    header = _Header()
    for number, line in lines:
        tag, _, value = line.partition(" ")
        tag, words = tag.lower(), value.split()
        yes = bool(words) and words[0].lower() == "true"
        if tag == "@data":
            return header
        if not tag.startswith("@"):
            raise DataError(f"line {number} of {name} comes before @data; expected a .ts file with its header")
        if tag == "@timestamps" and yes:
            raise DataError(f"{name} has time stamps in its values, which is not read; write the values alone")
        if tag in ("@dimensions", "@dimension"):
            header.dimensions = _whole(name, number, tag, value)
        elif tag == "@serieslength":
            header.length = _whole(name, number, tag, value)
        elif tag == "@univariate" and yes:
            header.dimensions = 1
        elif tag == "@classlabel" and yes:
            header.label, header.classes = "class", tuple(words[1:])
        elif tag == "@targetlabel" and yes:
            header.label = "target"
    raise DataError(f"{name} has no line @data; expected a .ts file, its header and then its data")


def _whole(name: str, number: int, tag: str, value: str) -> int:
    if not value.strip().isdecimal() or len(value.strip()) > 12:
        raise DataError(f'line {number} of {name}: "{value}" behind {tag} is not a whole number')
    return int(value)


def _label(where: str, header: _Header, parts: list[str]) -> str:
    label = parts.pop().strip()
    if header.label == "target":
        _values(where, [label])
        if label in ("?", "NaN", "nan"):
            raise DataError(f"{where} has no target; expected a number behind the last colon")
    elif not label or (header.classes and label not in header.classes):
        there = ", ".join(header.classes[:12])
        raise DataError(f'{where}: the class "{label[:40]}" is none of the header\'s: {there or "expected a name"}')
    return label


def _case(where: str, header: _Header, parts: list[str]) -> Floats:
    header.dimensions = header.dimensions or len(parts)
    if len(parts) != header.dimensions:
        raise DataError(f"{where} has {len(parts)} channels; expected {header.dimensions}, separated by colons")
    channels = [_values(where, part.split(",")) for part in parts]
    sizes = {len(channel) for channel in channels}
    if len(sizes) > 1:
        raise DataError(f"{where}: its channels have from {min(sizes)} to {max(sizes)} steps; expected equally many")
    if header.length and sizes != {header.length}:
        raise DataError(f"{where} has {counted(sizes.pop(), 'steps')}; expected {header.length}, as @seriesLength says")
    return np.array(channels, np.float32).T.copy()


def _values(where: str, cells: list[str]) -> list[float]:
    try:
        values = [float("nan") if cell.strip() == "?" else float(cell) for cell in cells]
    except ValueError:
        values = []
    if values and not any(abs(value) > LARGEST for value in values):
        return values
    wrong = next(cell for cell in cells if not _is_finite_or_missing(cell))
    raise DataError(f'{where}: "{wrong.strip()[:40]}" is not a finite number; expected one, or ? where it is missing')


def _is_finite_or_missing(cell: str) -> bool:
    try:
        return cell.strip() == "?" or not abs(float(cell)) > LARGEST
    except ValueError:
        return False
