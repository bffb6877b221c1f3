"""Reading tables: text, Parquet, Arrow, JSON, spreadsheets, databases and NumPy files, data frames and arrays."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.asked import DELIMITED, Asked
from ostinato.data.databases import DATABASES, read_database
from ostinato.data.delimited import decode, parse_delimited
from ostinato.data.frames import alike, as_array, is_pandas, series_of_array, series_of_pandas
from ostinato.data.indexes import index_columns
from ostinato.data.json_tables import parse_json, table_of_rows
from ostinato.data.numpy_files import ZIP_ERRORS, read_npy, read_npz
from ostinato.data.spreadsheets import SPREADSHEETS, read_spreadsheet
from ostinato.data.table import Table
from ostinato.data.table_file import TableFile
from ostinato.data.unpacking import DAMAGED, PACKED, unpack
from ostinato.errors import DataError, UsageError

_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
_ARROW = (".feather", ".arrow", ".ipc")
_FORMATS = "CSV, TSV, Parquet, Feather, JSON lines (.jsonl), .json, .xlsx, .ods, .sqlite, .duckdb, .arff, .npy or .npz"
_PICKLED = (".pkl", ".pickle", ".joblib", ".pt", ".pth")


def read_table(
    source: Any,
    *,
    delimiter: str | None = None,
    decimal: str | None = None,
    custom: str | None = None,
    missing: str | Sequence[str] = (),
    sheet: str | int | None = None,
) -> Table:
    """Read a table.

    Args:
        source: a path, alone or as a `TableFile` (`.csv .tsv .txt .json .jsonl .ndjson .parquet .feather .xlsx .xls
            .xlsb .ods .sqlite .duckdb .arff .npy .npz`; text and JSON also with `.gz`, `.bz2`, `.xz` or `.zst` behind
            it); a pandas or polars data frame or series; a mapping from names to arrays; a list of numbers or of rows
            by name; an array or tensor `(rows,)` or `(rows, columns)`. A `.npy` file is memory-mapped: it may be larger
            than memory.
        delimiter: what separates the columns of a text file; `None`: found from its rows.
        decimal: the mark before decimals in text cells that can be read two ways; `None`: found.
        custom: that mark where neither the cell, nor its column, nor the table shows it.
        missing: texts that mean a missing value, beside those that always do.
        sheet: of a spreadsheet or database: which sheet or table; `None`: the first.

    Raises:
        DataError: the file is missing, empty, of an unknown kind or broken.
        UsageError: `source` is none of these.
        MissingExtra: a library that the file's kind needs is not installed.
    """
    missing = (missing,) if isinstance(missing, str) else tuple(missing)
    asked = Asked(delimiter, sheet)
    categorical: tuple[str, ...] = ()
    if isinstance(source, TableFile):
        sheet = source.sheet if source.sheet is not None else sheet
        asked = Asked(source.delimiter or delimiter, sheet, source.header, source.encoding)
        decimal, categorical = source.decimal or decimal, source.categorical
        missing, source = (*missing, *source.missing), Path(source)
    if decimal not in (None, ".", ","):
        raise UsageError(f'decimal is "{decimal}"; expected "." or ","')
    table = _with_plain_texts(_read(source, asked))
    return replace(
        table, missing=missing, decimal=decimal, custom=custom, categorical=(*table.categorical, *categorical)
    )


def _with_plain_texts(table: Table) -> Table:
    """Return a table whose columns of categories are texts, and known to be categories."""
    import polars as pl

    if table.frame is None:
        return table
    kinds = (pl.Categorical, pl.Enum)
    coded = tuple(name for name, kind in zip(table.frame.columns, table.frame.dtypes, strict=True) if kind in kinds)
    if not coded:
        return table
    frame = table.frame.with_columns(table.frame[name].cast(pl.String) for name in coded)
    return replace(table, frame=frame, categorical=(*table.categorical, *coded))


def _read(source: Any, asked: Asked) -> Table:
    if isinstance(source, (str, Path)):
        return replace(_checked(_read_file(Path(source), asked)), of_file=True)
    if isinstance(source, np.ndarray) and source.dtype.names is None:
        return _from_array("the array", source)
    if isinstance(source, Mapping):
        return _from_columns("the data", source)
    if hasattr(source, "collect_schema") and hasattr(source, "lazy"):
        return _from_frame(source.lazy().collect())
    if hasattr(source, "columns") and hasattr(source, "__getitem__"):
        return _from_frame(source)
    if type(source).__name__ == "Series" and hasattr(source, "name"):
        return _from_series(source)
    if isinstance(source, (list, tuple)) and source and all(isinstance(row, Mapping) for row in source):
        return table_of_rows("the rows", source)
    if isinstance(source, (list, tuple)) or hasattr(source, "detach"):
        return _from_array("the data", np.asarray(as_array(source)))
    raise UsageError(
        f"data is a {type(source).__name__}; expected a path, a pandas or polars data frame, a mapping or an array"
    )


def _read_file(path: Path, asked: Asked) -> Table:
    try:
        _check_there(path)
        return _by_suffix(path, asked)
    except (*DAMAGED, *ZIP_ERRORS, MemoryError, RecursionError) as error:
        if isinstance(error, (DataError, UsageError)):
            raise
        raise DataError(
            f"{path.name} cannot be read ({_first_line(error)}); it is cut short or damaged, or not of the kind that "
            f"its name says: expected {_FORMATS}"
        ) from error


def _check_there(path: Path) -> None:
    if "\0" in str(path) or not path.exists():
        raise DataError(f"{str(path)[:200]!r} does not exist; check the path".replace("'", "", 2))
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected a file: {_FORMATS}")
    if path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty; expected a table with a header and rows")


def _by_suffix(path: Path, asked: Asked) -> Table:
    name, suffix, inner = path.name, path.suffix.lower(), Path(path.stem).suffix.lower()
    asked.check(name)
    if suffix == ".npy":
        return _from_array(name, read_npy(path))
    if suffix == ".npz":
        return _from_columns(name, read_npz(path))
    if suffix in DATABASES:
        return read_database(path, asked.sheet)
    if suffix in _PICKLED:
        raise DataError(f"{name} is a pickle, which could run code and is not read; save the table as CSV or Parquet")
    content = path.read_bytes()
    if suffix in PACKED:
        content, suffix = unpack(name, content, suffix), inner
        if not content:
            raise DataError(f"{name} is empty; expected a table with a header and rows")
    if suffix in SPREADSHEETS:
        return read_spreadsheet(name, content, asked.sheet, asked.header)
    return _parse(name, content, suffix, asked)


def _parse(name: str, content: bytes, suffix: str, asked: Asked) -> Table:
    if suffix in DELIMITED:
        tab = "\t" if suffix in (".tsv", ".tab") else None
        return parse_delimited(name, content, asked.delimiter or tab, asked.header, asked.encoding)
    if suffix == ".arff":
        from ostinato.data.arff_files import parse_arff  # it reads sequences too, which are read from tables

        return parse_arff(name, content, asked.encoding).table()
    if suffix in _JSON:
        found = parse_json(name, content if asked.encoding is None else decode(name, content, asked.encoding).encode())
        return found if isinstance(found, Table) else _from_columns(name, found)
    if suffix not in (*_PARQUET, *_ARROW):
        raise DataError(f'{name} has the ending "{suffix}", which is not known; expected {_FORMATS}')
    return Table(name, _columnar(name, content, suffix))


def _columnar(name: str, content: bytes, suffix: str) -> Any:
    import polars as pl

    try:
        with _without_panics():
            # what the file's statistics say is not asked: they may be wrong in a damaged one
            if suffix in _PARQUET:
                return pl.read_parquet(io.BytesIO(content), use_statistics=False)
            return pl.read_ipc(io.BytesIO(content))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(
            f"{name} cannot be read as {suffix[1:]} ({_first_line(error)}); the file may be cut short or damaged: "
            "fetch or write it again"
        ) from error


@contextlib.contextmanager
def _without_panics() -> Iterator[None]:
    """Keep what polars' threads write of a damaged file, page after page, from the standard error."""
    with contextlib.ExitStack() as after:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
            kept = os.dup(2)
            after.callback(os.close, kept)
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            after.callback(os.dup2, kept, 2)
        yield


def _checked(table: Table) -> Table:
    if table.rows == 0:
        raise DataError(f"{table.origin} has no rows of data; expected a header and at least two rows")
    return table


def _from_frame(frame: Any) -> Table:
    import polars as pl

    if isinstance(frame, pl.DataFrame):
        return _checked(Table("the data frame", frame))
    if hasattr(frame, "column_names"):  # an Arrow table, whose `columns` are the values
        return _checked(Table("the data frame", pl.DataFrame(pl.from_arrow(frame))))
    names = [str(name) for name in frame.columns]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise DataError(f'the data frame has two columns named "{doubled}"; give each column its own name')
    if not is_pandas(frame):
        return _from_columns("the data frame", {name: frame[name] for name in frame.columns})
    columns = {str(name): frame[name] for name in frame.columns}
    extra, roles = index_columns(frame)
    found = pl.DataFrame([series_of_pandas(name, column) for name, column in {**extra, **columns}.items()])
    codes = tuple(name for name, column in columns.items() if _holds_codes(column))
    return _checked(Table("the data frame", found, index=roles, alike=alike(columns), categorical=codes))


def _holds_codes(column: Any) -> bool:
    """Tell whether a column of pandas has the type of categories, and those are not all numbers."""
    return hasattr(column.dtype, "categories") and str(column.dtype) == "category" and (
        column.cat.categories.dtype.kind not in "iufb"
    )  # fmt: skip


def _from_series(series: Any) -> Table:
    import polars as pl

    name = str(series.name or "y")
    if is_pandas(series):
        return _from_frame(series.to_frame(name))
    return _checked(Table("the series", pl.DataFrame([series.alias(name)])))


def _from_array(name: str, array: NDArray[Any]) -> Table:
    if array.ndim not in (1, 2) or array.dtype.kind not in "iufb" or isinstance(array, np.ma.MaskedArray):
        if array.ndim == 1 and array.dtype.kind in "OUM":
            return _from_columns(name, {"y": array})
        if isinstance(array, np.ma.MaskedArray) and array.ndim in (1, 2) and array.dtype.kind in "iufb":
            return _from_array(name, np.ma.filled(array.astype(np.float64), np.nan))
        raise DataError(
            f"{name} holds an array of shape {array.shape} and type {array.dtype}; expected numbers, "
            "(rows,) or (rows, columns)"
        )
    if array.ndim == 2 and not array.shape[1]:
        raise DataError(f"{name} holds an array of shape {array.shape}, which has no column; expected one or more")
    matrix = array[:, None] if array.ndim == 1 else array
    names = ("y",) if matrix.shape[1] == 1 else tuple(f"column_{i + 1}" for i in range(matrix.shape[1]))
    return _checked(Table(name, matrix=matrix, names=names))


def _from_columns(name: str, columns: Mapping[str, Any]) -> Table:
    import polars as pl

    found: dict[str, pl.Series] = {}
    for key, value in columns.items():
        array = value if is_pandas(value) or isinstance(value, pl.Series) else as_array(value)
        if isinstance(array, np.ndarray) and array.ndim == 2 and array.dtype.kind in "iufb":
            found |= {f"{key}_{i + 1}": series_of_array(f"{key}_{i + 1}", array[:, i]) for i in range(array.shape[1])}
        elif isinstance(array, (list, tuple)) or getattr(array, "ndim", 1) == 1:
            if str(key) in found:
                raise DataError(f'{name} has two columns named "{key}"; give each column its own name')
            found[str(key)] = series_of_array(str(key), array)
        else:
            raise DataError(f'"{key}" of {name} has shape {array.shape}; expected (rows,) or (rows, columns)')
    sizes = {key: len(column) for key, column in found.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(
            f"the columns of {name} have different lengths: {sizes}; expected the same number of rows in each"
        )
    return _checked(Table(name, pl.DataFrame(list(found.values())), alike=alike(columns)))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
