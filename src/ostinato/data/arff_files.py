"""Reading `.arff` files of Weka: as a table, or as sequences in the manner of the UCR/UEA archive."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ostinato.data.delimited import decode
from ostinato.data.identities import typed
from ostinato.data.sequences import Floats, SequenceSet
from ostinato.data.table import Table
from ostinato.data.unpacking import PACKED, unpack
from ostinato.data.wide_sequences import trimmed, value_of
from ostinato.errors import DataError
from ostinato.words import counted

_ATTRIBUTE = re.compile(r"""@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s{]+)\s*(.*)$""", re.IGNORECASE)
_CELL = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,]*?))\s*(,|$)""", re.DOTALL)
_NUMBERS = ("numeric", "real", "integer")


@dataclass(frozen=True)
class Arff:
    """What a file holds.

    Args:
        name: of the file.
        attributes: name and type of each, the type in small letters: `numeric`, `{}` of classes, `relational`, ...
        rows: the cells of each, `None` where missing.
        lines: the line, from 1, of each row.
    """

    name: str
    attributes: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str | None, ...], ...]
    lines: tuple[int, ...]

    def table(self) -> Table:
        """Return it as a table, every cell a text, as of a CSV file."""
        import polars as pl

        names = [name for name, _ in self.attributes]
        doubled = next((name for name in names if names.count(name) > 1), None)
        if doubled is not None:
            raise DataError(f'{self.name} has two attributes named "{doubled}"; give each its own name')
        columns = list(zip(*self.rows, strict=True)) or [()] * len(names)
        frame = pl.DataFrame(
            [pl.Series(n, list(column), dtype=pl.String) for n, column in zip(names, columns, strict=True)]
        )
        return Table(self.name, frame, first_row=1, lines=np.array(self.lines, np.int64), untyped=True)

    def sequences(self) -> SequenceSet:
        """Return a sequence a row: of one channel, or of several where its values are one relational attribute.

        The class is the last attribute that is no number.

        Raises:
            DataError: there is no class, or a value is no number; the line is named.
        """
        kinds = [kind for _, kind in self.attributes]
        label = next((at for at in range(len(kinds) - 1, -1, -1) if kinds[at] not in (*_NUMBERS, "relational")), None)
        values = [at for at in range(len(kinds)) if at != label]
        if label is None or not values:
            raise DataError(
                f"{self.name} has no attribute of classes beside its numbers; expected one such as {{up,down}}"
            )
        nested = kinds[values[0]] == "relational"
        sequences, labels = list[Floats](), list[str]()
        for line, row in zip(self.lines, self.rows, strict=True):
            where = f"line {line} of {self.name}"
            cells = (row[values[0]] or "").replace("\\n", "\n").split("\n") if nested else [[row[at] for at in values]]
            parts = [cell.split(",") if isinstance(cell, str) else cell for cell in cells]
            channels = [np.array([value_of(where, cell) for cell in part], np.float32) for part in parts]
            if len({len(channel) for channel in channels}) > 1:
                raise DataError(f"{where}: its channels have different numbers of steps; expected equally many")
            sequences.append(trimmed(np.stack(channels, 1)))
            labels.append(row[label] or "")
        known = all(labels)
        return SequenceSet(
            origin=self.name,
            channels=tuple(f"channel_{i + 1}" for i in range(sequences[0].shape[1])),
            sequences=tuple(sequences),
            ids=tuple(str(i + 1) for i in range(len(sequences))),
            labels=tuple(typed(labels)) if known else None,
            classes=tuple(sorted(set(typed(labels)))) if known else (),
        )


def read_arff(path: str | Path) -> Arff:
    r"""Read an `.arff` file, plain or packed.

    Raises:
        DataError: it has no header, a row has another number of cells, or the file is sparse; the line is named.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "Two_TRAIN.arff"
    >>> _ = path.write_text("@relation two\n@attribute a numeric\n@attribute k {up,'so so'}\n@data\n1,up\n?,'so so'\n")
    >>> read_arff(path).rows
    (('1', 'up'), (None, 'so so'))

    Source: E. Frank, M. Hall and I. Witten, "The WEKA Workbench", 2016, appendix on the attribute-relation file format.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} does not exist; check the path")
    content, suffix = path.read_bytes(), path.suffix.lower()
    return parse_arff(path.name, unpack(path.name, content, suffix) if suffix in PACKED else content)


def parse_arff(name: str, content: bytes, encoding: str | None = None) -> Arff:
    """Return what the bytes of an `.arff` file hold; errors as `read_arff`."""
    attributes, rows, numbers = list[tuple[str, str]](), list[tuple[str | None, ...]](), list[int]()
    depth, below = 0, False
    for number, raw in enumerate(decode(name, content, encoding).replace("\r\n", "\n").split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("%"):
            continue
        if below:
            rows.append(_cells(name, number, line, len(attributes)))
            numbers.append(number)
        elif line.lower().startswith("@end"):
            depth -= 1
        elif (found := _ATTRIBUTE.match(line)) is not None:
            kind = "{}" if found[2].lstrip().startswith("{") else (found[2].split() or [""])[0].lower()
            if depth == 0:
                attributes.append((_bare(found[1]), kind))
            depth += kind == "relational"
        elif line.lower().startswith("@data"):
            below = True
        elif not line.lower().startswith("@relation"):
            raise DataError(f'line {number} of {name}, "{line[:40]}", is no part of an .arff header; expected @data')
    if not rows or not attributes:
        raise DataError(f"{name} has no {'rows' if attributes else '@attribute lines'}; expected an .arff file")
    return Arff(name, tuple(attributes), tuple(rows), tuple(numbers))


def _cells(name: str, number: int, line: str, width: int) -> tuple[str | None, ...]:
    if line.startswith("{"):
        raise DataError(f"line {number} of {name} is sparse ({{place value, ...}}); write all values out")
    found, place = list[str | None](), 0
    while place <= len(line):
        cell = _CELL.match(line, place)
        if cell is None or len(found) > width:
            break
        quoted = cell[1] if cell[1] is not None else cell[2]
        text = _unescaped(quoted) if quoted is not None else cell[3]
        found.append(None if quoted is None and text in ("?", "") else text)
        place = cell.end()
        if cell[4] == "":
            place = len(line) + 1
    if len(found) != width or place <= len(line):
        said = counted(len(found), "cells")
        raise DataError(f"line {number} of {name} has {said}; expected {width}, one for each attribute")
    return tuple(found)


def _bare(text: str) -> str:
    return _unescaped(text[1:-1]) if text[:1] in "'\"" else text


def _unescaped(text: str) -> str:
    # what is nested in a relational cell is parted by \n, as two characters or as the line end itself
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)
