"""Reading tables: CSV, TSV, Parquet, JSON lines and NumPy files, compressed or not, data frames and arrays."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.indexes import index_columns, series_of_moments, series_of_times
from ostinato.data.table import Table
from ostinato.errors import DataError, UsageError

if TYPE_CHECKING:
    import polars as pl

_OPENERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
}
_DELIMITED = (".csv", ".tsv", ".txt", ".tab", ".dat", "")
_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")
_FORMATS = "CSV, TSV, Parquet, JSON lines (.jsonl), .npy or .npz"
_DELIMITERS = ",;\t|"


def read_table(source: Any, *, delimiter: str | None = None) -> Table:
    """Read a table.

    Args:
        source: a path (`.csv .tsv .txt .parquet .jsonl .ndjson .npy .npz`, the text ones also with `.gz`, `.bz2` or
            `.xz` behind it), a pandas or polars data frame, a mapping from names to arrays, or an array `(rows,)` or
            `(rows, columns)`. A `.npy` file is memory-mapped: it may be larger than memory.
        delimiter: what separates the columns of a text file; `None`: found from its first lines.

    Raises:
        DataError: the file is missing, empty, of an unknown kind or broken.
        UsageError: `source` is none of these.
    """
    if isinstance(source, (str, Path)):
        return _read_file(Path(source), delimiter)
    if isinstance(source, np.ndarray):
        return _from_array("the array", source)
    if isinstance(source, Mapping):
        return _from_columns("the data", source)
    if hasattr(source, "columns") and hasattr(source, "__getitem__"):
        return _from_frame(source)
    raise UsageError(
        f"data is a {type(source).__name__}; expected a path, a pandas or polars data frame, a mapping or an array"
    )


def _read_file(path: Path, delimiter: str | None) -> Table:
    name = path.name
    if not path.exists():
        raise DataError(f"{path} does not exist; check the path")
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected a file: {_FORMATS}")
    if path.stat().st_size == 0:
        raise DataError(f"{name} is empty; expected a table with a header and rows")
    suffix, inner = path.suffix.lower(), Path(path.stem).suffix.lower()
    try:
        if suffix == ".npy":
            return _from_array(name, np.load(path, mmap_mode="r", allow_pickle=False))
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return _from_columns(name, dict(arrays))
        content = path.read_bytes()
        if suffix in _OPENERS:
            return _parse(name, _OPENERS[suffix](content), inner, delimiter)
        return _parse(name, content, suffix, delimiter)
    except (OSError, EOFError, lzma.LZMAError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name} cannot be read ({_first_line(error)}); expected {_FORMATS}") from error


def _parse(name: str, content: bytes, suffix: str, delimiter: str | None) -> Table:
    import polars as pl

    if suffix in _DELIMITED:
        return _parse_delimited(name, content, delimiter or ("\t" if suffix in (".tsv", ".tab") else None))
    reader = pl.read_ndjson if suffix in _JSON_LINES else pl.read_parquet if suffix in _PARQUET else None
    if reader is None:
        raise DataError(f'{name} has the ending "{suffix}", which is not known; expected {_FORMATS}')
    try:
        frame = reader(io.BytesIO(content))
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"{name} cannot be read as {suffix[1:]} ({_first_line(error)}); the file may be cut short"
        ) from error
    return _checked(Table(name, frame, first_row=1))


def _parse_delimited(name: str, content: bytes, delimiter: str | None) -> Table:
    import polars as pl

    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        content = content.decode("latin-1").encode()
    lines = [line for line in content[:65536].decode("utf-8", "ignore").lstrip("\ufeff").splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{name} is empty; expected a table with a header and rows")
    delimiter = delimiter or _sniff(lines)
    header = next(csv.reader([lines[0]], delimiter=delimiter))
    has_header = not all(_is_number(cell) for cell in header)
    try:
        frame = pl.read_csv(
            io.BytesIO(content), separator=delimiter, has_header=has_header, infer_schema=False, raise_if_empty=True
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(_ragged(name, content, delimiter, len(header)) or f"{name}: {_first_line(error)}") from error
    doubled = next((cell for cell in header if has_header and header.count(cell) > 1), None)
    if doubled is not None:
        raise DataError(f'{name} has two columns named "{doubled}"; give each column its own name')
    return _checked(Table(name, frame.rename(str.strip), first_row=2 if has_header else 1))


def _sniff(lines: list[str]) -> str:
    """Return the delimiter that splits the first lines into the most columns, the same number in each."""
    sample = lines[:20]

    def columns(mark: str) -> int:
        counts = {len(row) for row in csv.reader(sample, delimiter=mark)}
        return counts.pop() if len(counts) == 1 else 0

    best = max(_DELIMITERS, key=columns)
    return best if columns(best) > 1 else max(_DELIMITERS, key=lines[0].count)


def _ragged(name: str, content: bytes, delimiter: str, expected: int) -> str | None:
    rows = csv.reader(io.StringIO(content.decode("utf-8")), delimiter=delimiter)
    for number, row in enumerate(rows, 1):
        if row and len(row) > expected:
            return (
                f"row {number} of {name} has {len(row)} cells; expected {expected} as in its first row; mend that row"
            )
    return None


def _checked(table: Table) -> Table:
    if table.rows == 0:
        raise DataError(f"{table.origin} has no rows of data; expected a header and at least two rows")
    return table


def _from_frame(frame: Any) -> Table:
    import polars as pl

    if isinstance(frame, pl.DataFrame):
        return _checked(Table("the data frame", frame))
    columns = {str(name): frame[name] for name in frame.columns}
    extra, roles = index_columns(frame) if hasattr(frame, "index") else ({}, {})
    table = _from_columns("the data frame", {name: _from_pandas(own) for name, own in {**extra, **columns}.items()})
    return replace(table, index=roles)


def _from_pandas(column: Any) -> Any:
    times = series_of_times("", column)
    if times is not None:
        return times
    if column.dtype.kind in "iufb" and type(column.dtype).__module__.startswith("numpy"):
        return np.asarray(column.to_numpy())
    if column.dtype.kind in "iufb":
        return np.asarray(column.to_numpy(dtype=float, na_value=np.nan))
    return np.asarray([None if value != value or value is None else str(value) for value in column], dtype=object)


def _from_array(name: str, array: NDArray[Any]) -> Table:
    if array.ndim not in (1, 2) or array.dtype.kind not in "iufb":
        raise DataError(
            f"{name} holds an array of shape {array.shape} and type {array.dtype}; expected numbers, "
            "(rows,) or (rows, columns)"
        )
    matrix = array[:, None] if array.ndim == 1 else array
    names = ("y",) if matrix.shape[1] == 1 else tuple(f"column_{i + 1}" for i in range(matrix.shape[1]))
    return _checked(Table(name, matrix=matrix, names=names))


def _from_columns(name: str, columns: Mapping[str, Any]) -> Table:
    import polars as pl

    arrays: dict[str, Any] = {}
    for key, value in columns.items():
        moments = series_of_moments(str(key), value) if isinstance(value, (list, tuple)) else None
        if moments is not None or isinstance(value, pl.Series):
            arrays[str(key)] = value if moments is None else moments
            continue
        array = np.asarray(value)
        if array.ndim == 2 and array.dtype.kind in "iufb":
            arrays |= {f"{key}_{i + 1}": array[:, i] for i in range(array.shape[1])}
        elif array.ndim == 1:
            arrays[str(key)] = _as_series(array)
        else:
            raise DataError(f'"{key}" of {name} has shape {array.shape}; expected (rows,) or (rows, columns)')
    sizes = {key: len(array) for key, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(
            f"the columns of {name} have different lengths: {sizes}; expected the same number of rows in each"
        )
    return _checked(Table(name, pl.DataFrame(arrays)))


def _as_series(array: NDArray[Any]) -> pl.Series:
    import polars as pl

    if array.dtype.kind in "mM":
        return pl.Series(values=array.astype(f"{'datetime' if array.dtype.kind == 'M' else 'timedelta'}64[us]"))
    if array.dtype.kind in "iufb":
        return pl.Series(values=np.ascontiguousarray(array))
    return pl.Series(values=[None if value is None else str(value) for value in array.tolist()], dtype=pl.String)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
