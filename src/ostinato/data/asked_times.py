"""The column that is written as `time_format` says, where none was found to hold times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ostinato.data.directives import form_of, with_zeros
from ostinato.data.excel_days import PATTERN as EXCEL
from ostinato.data.excel_days import values_of
from ostinato.data.formats import match
from ostinato.data.joined_times import whole_numbers
from ostinato.data.table import Table, is_text
from ostinato.data.unix_times import PATTERN as UNIX
from ostinato.data.unix_times import may_be_unix
from ostinato.errors import ColumnError

if TYPE_CHECKING:
    import polars as pl

    from ostinato.data.schema import Schema

_SINCE, _UNTIL = 10_000.0, 75_000.0  # days since 1899, of 1927 to 2105
_ONE_WAY = 0.5  # the share of steps: where a table has several series, each begins again
_FEWEST = 2


def column_as_asked(table: Table, schema: Schema) -> str | None:
    """Return the first column that is written as `time_format` says; `None` where there is no such wish.

    Raises:
        ColumnError: there is none. That the rows are numbered instead would be a surprise to who said how times are.
        UsageError: the format is none.
    """
    wish = schema.time_format
    if wish is None or table.frame is None:
        return None
    taken = {*schema.used, *schema.static_covariates, schema.series_id}
    for name in table.columns:
        if name not in taken and _is_so(table, name, wish):
            return name
    raise ColumnError(
        f'no column of {table.origin} holds times as time_format "{wish}" (--time-format) says; name the column with '
        "time=... (--time), or leave time_format out"
    )


def _is_so(table: Table, name: str, wish: str) -> bool:
    assert table.frame is not None
    column = table.frame[name]
    if column.dtype.is_temporal() or column.dtype.base_type().__name__ in ("Boolean", "List", "Array", "Struct"):
        return False
    if wish not in (EXCEL, UNIX):
        return _matches(table, name, column, wish)
    values = values_of(column)
    if len(values) < _FEWEST or not np.isfinite(values).all() or not _goes_one_way(values):
        return False
    if wish == UNIX:
        return may_be_unix(np.floor(values).astype(np.int64))
    return bool(values.min() >= _SINCE and values.max() < _UNTIL)


def _matches(table: Table, name: str, column: pl.Series, wish: str) -> bool:
    import polars as pl

    whole = whole_numbers(column)
    cells = column.cast(pl.String) if whole is None or is_text(table, name) else whole
    form = form_of(wish)
    return len(cells) > 0 and not cells.null_count() and bool(match(with_zeros(cells, wish), form).matched.all())


def _goes_one_way(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    steps = np.diff(values)
    return bool((steps > 0).mean() > _ONE_WAY or (steps < 0).mean() > _ONE_WAY)
