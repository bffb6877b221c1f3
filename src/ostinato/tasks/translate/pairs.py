"""Pairs of texts, from files or as they are given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ostinato.data.lines import TextFile
from ostinato.data.text import read_delimited, read_json_lines, read_parallel
from ostinato.errors import DataError, UsageError

Pair: TypeAlias = "tuple[str, str]"
Pairs: TypeAlias = "str | Path | tuple[str | Path, str | Path] | Sequence[Pair]"
"""A file of pairs, a tuple of two parallel files, or pairs themselves in a list."""
_NAMES = ("source", "target")
_JSON = (".jsonl", ".ndjson", ".json")


def read_pairs(data: Pairs, columns: Sequence[str | int] | None = None) -> list[Pair]:
    """Return pairs of a source and its translation.

    Args:
        data: a path of a TSV, CSV or JSON-lines file of pairs, or a tuple of two paths, of sources and of their
            translations, one a line; plain or `.gz`. Or pairs in a list. White space around a text is left out. In
            parallel files, lines that are blank on both sides hold no pair.
        columns: names (or numbers, from 0) of the columns of a file of pairs. `None`: `source` and `target` if they are
            named so in the first row, else the first two; in JSON lines `source` and `target`. Only in `.csv` files may
            cells be quoted.

    Raises:
        DataError: a file cannot be read, a row has no pair, or there is none at all.
        UsageError: the data is none of these.
    """
    pairs = [(source.strip(), target.strip()) for source, target in _raw(data, columns)]
    if not pairs:
        raise DataError(f"{_name(data)} holds no pairs; expected a source and its translation in each row")
    return pairs


def _raw(data: Pairs, columns: Sequence[str | int] | None) -> Iterable[Pair]:
    if isinstance(data, (str, Path)):
        return _of_file(Path(data), columns)
    if isinstance(data, tuple) and all(isinstance(item, (str, Path)) for item in data):
        paths = [item for item in data if isinstance(item, (str, Path))]
        if len(paths) != 2:
            raise UsageError(f"there are {len(paths)} files; expected two, of sources and of their translations")
        lines = read_parallel(*paths, keep_blank=True)
        return (pair for pair in lines if pair[0].strip() or pair[1].strip())
    if isinstance(data, (Mapping, bytes)) or not isinstance(data, Iterable):
        raise UsageError(
            f"the data is a {type(data).__name__}; expected a path, a tuple of two paths, or a list of pairs of texts"
        )
    return _given(data)


def _given(data: Iterable[Any]) -> Iterator[Pair]:
    for number, pair in enumerate(data):
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise UsageError(f"pair {number} (from 0) is {str(pair)[:60]!r}; expected a source and its translation")
        if not all(isinstance(text, str) for text in pair):
            raise UsageError(f"pair {number} (from 0) holds {pair!r:.60}; expected two texts")
        yield pair[0], pair[1]


def _of_file(path: Path, columns: Sequence[str | int] | None) -> Iterable[Pair]:
    if columns is not None and (isinstance(columns, str) or len(columns) != 2):
        raise UsageError(f"columns is {columns!r}; expected two, of sources and of their translations")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if any(suffix in _JSON for suffix in suffixes):
        return _twos(read_json_lines(path, [str(name) for name in columns or _NAMES]))
    quoted = ".csv" in suffixes
    header = any(isinstance(name, str) for name in columns) if columns else _names_columns(path)
    wanted = columns or (_NAMES if header else (0, 1))
    return _twos(read_delimited(path, wanted, header=header, quoted=quoted))


def _names_columns(path: Path) -> bool:
    first = next(TextFile(path, {}).lines(), "")
    cells = {cell.strip().strip('"').lower() for cell in first.replace(",", "\t").split("\t")}
    return cells.issuperset(_NAMES)


def _twos(rows: Iterable[tuple[str, ...]]) -> Iterator[Pair]:
    return ((row[0], row[1]) for row in rows)


def _name(data: Pairs) -> str:
    if isinstance(data, (str, Path)):
        return Path(data).name
    if isinstance(data, tuple) and data and isinstance(data[0], (str, Path)):
        return " and ".join(Path(str(item)).name for item in data)
    return "the list"


def name_of(data: Pairs) -> str:
    """Return the data in a few words."""
    named = _name(data)
    return "pairs in a list" if named == "the list" else named
