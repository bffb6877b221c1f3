"""The column that tells the series of a table apart, where nobody named it and the same times come again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ostinato.data.identities import rows_by_name
from ostinato.data.notes import note
from ostinato.data.schema import Schema
from ostinato.data.table import Table, is_numeric, is_text, numbers
from ostinato.words import counted

if TYPE_CHECKING:
    import polars as pl

_FEWEST = 3
"""Rows of a series in the mean: names that come twice may tell rows apart by chance."""
_MOST = 0.8


def with_series(table: Table, schema: Schema) -> Schema:
    """Return the schema with the column of series, if times come again and text in one column tells the rows apart.

    Columns that part the rows alike, such as a shop and its town, count as one; where they part them unlike each
    other, none is taken.
    """
    if schema.series_id is not None or (frame := _where_times_come_again(table, schema)) is None:
        return schema
    found = [name for name in _free(table, schema) if _is_words(table, name) and _tells_apart(frame, schema, (name,))]
    together = frame.select(found).n_unique() if found else 0
    if not found or any(frame[name].n_unique() != together for name in found):
        return schema
    note(
        f'{table.origin} has several rows for one time, and column "{found[0]}" tells them apart: {together:,} series; '
        "pass series_id=... (--series-id) if another does"
    )
    return replace(schema, series_id=found[0])


def without_attributes(table: Table, schema: Schema) -> Schema:
    """Return the schema without targets that are the same in all rows of each series: they tell what it is, such as
    the number or the size of a shop; scores over them and what is sold would mean neither.

    Args:
        table: of several series, else nothing is left out.
        schema: complete, its targets those that were found and not named.
    """
    if schema.series_id is None or len(schema.target) < 2:
        return schema
    series = list(rows_by_name(table, schema.series_id).values())
    if len(series) < 2 or len(series) * _FEWEST > table.rows:
        return schema
    order = np.concatenate(series)
    starts = np.cumsum([0, *map(len, series[:-1])])
    steady = [name for name in schema.target if _steady(numbers(table, name, schema.missing)[order], starts)]
    if not steady or len(steady) == len(schema.target):
        return schema
    note(
        f'column "{steady[0]}" of {table.origin} is the same in all rows of each series and is not forecast; name it '
        f'with target="{steady[0]}" (--target) if it should be, or with static_covariates '
        "(--static-covariates) to be read"
        + (f"; {counted(len(steady) - 1, 'others')} likewise" if len(steady) > 1 else "")
    )
    return replace(schema, target=tuple(name for name in schema.target if name not in steady))


def _steady(values: NDArray[np.float64], starts: NDArray[np.intp]) -> bool:
    """Tell whether each of the series that begin at `starts` has one value, missing ones apart."""
    least, most = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
    return bool(((least == most) | np.isnan(least)).all() and not np.isnan(least).all())


def series_hint(table: Table, schema: Schema) -> str:
    """Return what to do about a table with several rows for one time, by the columns that could tell them apart."""
    if schema.series_id is not None or (frame := _where_times_come_again(table, schema)) is None:
        return "keep one row a time"
    numbered = partial(_numbers_series, table, frame.select(_stamps(schema, table.columns)).n_unique())
    free = [name for name in _free(table, replace(schema, target=())) if _is_words(table, name) or numbered(name)]
    told = [name for name in free if _tells_apart(frame, schema, (name,))]
    if told:
        return f'if column "{told[0]}" tells series apart, pass series_id="{told[0]}" (--series-id)'
    words = [name for name in free if _is_words(table, name)]
    if len(words) > 1 and _tells_apart(frame, schema, tuple(words)):
        listed = " and ".join(f'"{name}"' for name in words[:3])
        return (
            f"columns {listed} together tell series apart: join them into one, and name it with series_id (--series-id)"
        )
    return "keep one row a time, or name the column that tells series apart with series_id=... (--series-id)"


def _stamps(schema: Schema, columns: tuple[str, ...]) -> list[str]:
    time = schema.time or ""
    return [time] if time in columns else [name for name in time.split("+") if name in columns]


def _where_times_come_again(table: Table, schema: Schema) -> pl.DataFrame | None:
    stamps = _stamps(schema, table.columns)
    if table.frame is None or not stamps or not table.frame.select(stamps).is_duplicated().any():
        return None
    return table.frame


def _free(table: Table, schema: Schema) -> list[str]:
    """Return the columns that have no role."""
    taken = {*schema.used, *schema.static_covariates, *_stamps(schema, table.columns), *table.categorical}
    return [name for name in table.columns if name not in taken]


def _tells_apart(frame: pl.DataFrame, schema: Schema, columns: tuple[str, ...]) -> bool:
    part = frame.select(columns)
    if any(part[name].null_count() for name in columns) or part.n_unique() * _FEWEST > frame.height:
        return False
    return not frame.select([*columns, *_stamps(schema, tuple(frame.columns))]).is_duplicated().any()


def _is_words(table: Table, name: str) -> bool:
    return is_text(table, name) and not is_numeric(table, name, ())


def _numbers_series(table: Table, times: int, name: str) -> bool:
    """Tell whether a column holds whole numbers, half of them at most of the times: amounts come as they like, and a
    shop that opened late has fewer rows than others.
    """
    if not is_numeric(table, name, ()):
        return False
    values = numbers(table, name, ())
    if not (values == np.round(values)).all():
        return False
    return bool(np.median(np.unique(values, return_counts=True)[1]) >= _MOST * times)
