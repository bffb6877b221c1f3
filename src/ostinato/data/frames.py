"""Columns in memory - of data frames, mappings, lists, arrays, tensors - as columns of a table, with nothing rounded.

Whole numbers stay whole however large, true and false stay so, what is missing is missing whichever way its library
says it (`None`, NaN, `NaT`, `pd.NA`, a mask), and values of several kinds in one column become texts, each in full.
"""

from __future__ import annotations

import decimal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.indexes import is_missing, series_of_moments, series_of_times
from ostinato.errors import DataError

if TYPE_CHECKING:
    import polars as pl


def series_of_values(name: str, values: Sequence[Any]) -> pl.Series:
    """Return Python values as a column.

    Raises:
        DataError: a value is a list, a mapping or bytes that are no text.
    """
    import polars as pl

    first = next((value for value in values if not is_missing(value)), None)
    moments = series_of_moments(name, values) if hasattr(first, "year") else None
    if moments is not None:
        return moments
    cells = [_cell(name, row, value) for row, value in enumerate(values)]
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {bool}:
        return pl.Series(name, cells, pl.Boolean)
    if kinds == {int} and all(cell is None or -(2**63) <= cell < 2**63 for cell in cells):
        return pl.Series(name, cells, pl.Int64)
    if kinds == {float}:
        return pl.Series(name, cells, pl.Float64)
    return pl.Series(name, [None if cell is None else str(cell) for cell in cells], pl.String)


def alike(columns: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Return the columns in which values of two kinds are the same text, as 1 and "1", with the first two rows."""
    found = {name: _alike(list(values)) for name, values in columns.items() if _of_objects(values)}
    return {name: rows for name, rows in found.items() if rows is not None}


def _of_objects(values: Any) -> bool:
    return isinstance(values, (list, tuple)) or str(getattr(values, "dtype", "")) in ("object", "category")


def _alike(values: Sequence[Any]) -> tuple[int, int] | None:
    if len({type(value) for value in values}) < 2:
        return None
    rows: dict[str, tuple[bool, int]] = {}
    for row, value in enumerate(map(plain_value, values)):
        if isinstance(value, (str, bool, int, float)):
            text, first = isinstance(value, str), rows.setdefault(str(value).strip(), (isinstance(value, str), row))
            if first[0] != text:
                return first[1], row
    return None


def _cell(name: str, row: int, value: Any) -> Any:
    found = plain_value(value)
    if found is None or isinstance(found, (str, bool, int, float)):
        return found
    raise DataError(
        f'row {row + 1}: "{name}" holds a {type(value).__name__}; expected one value a row, such as a number or a text'
    )


def plain_value(value: Any) -> Any:
    """Return a value as one of Python's own kinds, `None` where it is missing; lists and the like as they are."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0:
        value = value.item() if value.dtype.kind not in "mM" else None if np.isnat(value) else str(value)
    if value is None or type(value) in (str, bool, int):
        return value
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, float):
        return None if value != value else float(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, decimal.Decimal):
        return None if value.is_nan() else str(value)
    if isinstance(value, (Mapping, Sequence, set, np.ndarray)) and not isinstance(value, str):
        return value
    return str(value)


def series_of_array(name: str, array: Any) -> pl.Series:
    """Return an array `(rows,)`, a list or a tensor as a column."""
    import polars as pl

    if isinstance(array, pl.Series):
        return array.alias(name)
    if is_pandas(array):
        return series_of_pandas(name, array)
    if isinstance(array, np.ma.MaskedArray):
        return series_of_values(name, array.tolist())
    array = as_array(array)
    if isinstance(array, np.ndarray) and array.dtype.kind in "mM":
        return pl.Series(name, array.astype(f"{'datetime' if array.dtype.kind == 'M' else 'timedelta'}64[us]"))
    if isinstance(array, np.ndarray) and array.dtype.kind in "iufb":
        odd = array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8)
        return pl.Series(name, np.ascontiguousarray(array, np.float64 if odd else array.dtype.newbyteorder("=")))
    return series_of_values(name, array.tolist() if isinstance(array, np.ndarray) else list(array))


def as_array(value: Any) -> Any:
    """Return a tensor as an array, and lists of plain numbers; anything else as it is, or as an array of objects."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
        value = (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, (list, tuple, range)):
        kinds = {type(each) for each in value}
        if kinds in ({float}, {bool}) or (kinds == {int} and all(-(2**63) <= each < 2**63 for each in value)):
            return np.array(value)
        nested = any(isinstance(each, (list, tuple, np.ndarray)) for each in value)
        return _rectangle(value) if nested else value
    return np.asarray(value)


def _rectangle(rows: Sequence[Any]) -> NDArray[Any]:
    try:
        return np.asarray(rows)
    except ValueError as error:
        shapes = [np.shape(row) if isinstance(row, np.ndarray) else (len(row) if hasattr(row, "__len__") else 1,)
                  for row in rows]  # fmt: skip
        odd = next((at for at, shape in enumerate(shapes) if shape != shapes[0]), 0)
        raise DataError(
            f"row {odd + 1} of the data has {_counted(shapes[odd])}, and row 1 has {_counted(shapes[0])}; expected as "
            "many in every row"
        ) from error


def _counted(shape: tuple[int, ...]) -> str:
    count = shape[0] if shape else 1
    return f"{count} value{'' if count == 1 else 's'}"


def is_pandas(value: Any) -> bool:
    """Tell whether a value is a column, an index or a frame of pandas."""
    return type(value).__module__.split(".")[0] == "pandas"


def series_of_pandas(name: str, column: Any) -> pl.Series:
    """Return a column of pandas, of whichever of its kinds, as a column."""
    import polars as pl

    if not hasattr(column, "iloc"):  # an array or an index, which lack what a series has
        import pandas

        column = pandas.Series(column)
    kind, text = column.dtype, str(column.dtype)
    if hasattr(kind, "categories") and text == "category":
        return _categories(name, column)
    times = series_of_times(name, column)
    if times is not None:
        return times
    if hasattr(kind, "pyarrow_dtype"):
        return pl.Series(name, pl.from_arrow(column.array.__arrow_array__()))
    if not isinstance(kind, np.dtype) and getattr(kind, "kind", "O") in "iufb":
        return _masked(name, column)
    if isinstance(kind, np.dtype) and kind.kind in "iufb":
        return series_of_array(name, column.to_numpy())
    return series_of_values(name, list(column))


def _masked(name: str, column: Any) -> pl.Series:
    """Return a column of pandas' nullable kinds: its numbers as they are, with a mask."""
    missing = column.isna().to_numpy()
    plain = column.dtype.numpy_dtype if hasattr(column.dtype, "numpy_dtype") else np.dtype(column.dtype.type)
    values = column.to_numpy(dtype=plain, na_value=np.zeros((), plain).item())
    return series_of_array(name, values).set(_mask(missing), None)


def _mask(missing: NDArray[np.bool_]) -> pl.Series:
    import polars as pl

    return pl.Series(np.ascontiguousarray(missing, np.bool_))


def _categories(name: str, column: Any) -> pl.Series:
    """Return a categorical column as what its categories are."""
    kinds = series_of_pandas(name, column.cat.categories.to_series())
    codes = column.cat.codes.to_numpy().astype(np.int64)
    if not len(kinds):
        return series_of_values(name, [None] * len(codes))
    return kinds.gather(np.maximum(codes, 0)).set(_mask(codes < 0), None)
