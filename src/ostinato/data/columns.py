"""The values of a table in a panel's order, text encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.categories import category_codes
from ostinato.data.guessing import are_times
from ostinato.data.schema import Schema
from ostinato.data.table import (
    Table,
    check_finite,
    is_numeric,
    is_text,
    numbers,
    refuse_stray_cells,
    refused_times,
    texts,
    too_large,
)
from ostinato.errors import DataError


@dataclass(frozen=True)
class Columns:
    """The table's values in the panel's order, text encoded."""

    names: tuple[str, ...]
    past: int
    known: int
    values: NDArray[Any]  # (rows, columns)
    take: tuple[int, ...] | None
    static_names: tuple[str, ...]
    static: NDArray[np.float64]  # (rows, static columns)
    categories: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(
        cls, table: Table, schema: Schema, categories: Mapping[str, tuple[str, ...]] | None, fitting: bool
    ) -> Columns:
        """Return the columns of a table; categories that are found in a fit are kept."""
        known_categories: dict[str, tuple[str, ...]] = dict(categories or {})
        if table.matrix is not None:
            take = tuple(table.names.index(name) for name in schema.used)
            _check_matrix(table)
            whole = take == tuple(range(table.matrix.shape[1]))
            static = np.zeros((table.rows, 0))
            counts = len(schema.past_covariates), len(schema.known_covariates)
            return cls(schema.used, *counts, table.matrix, None if whole else take, (), static, {})
        parts = {
            role: [encode(table, name, schema.missing, known_categories, fitting) for name in getattr(schema, role)]
            for role in ("target", "past_covariates", "known_covariates", "static_covariates")
        }
        columns = {role: tuple(n for part in group for n in part[0]) for role, group in parts.items()}
        arrays = {role: _side_by_side(table, [part[1] for part in group]) for role, group in parts.items()}
        temporal = ("target", "past_covariates", "known_covariates")
        return cls(
            names=tuple(n for role in temporal for n in columns[role]),
            past=len(columns["past_covariates"]),
            known=len(columns["known_covariates"]),
            values=np.concatenate([arrays[role] for role in temporal], 1),
            take=None,
            static_names=columns["static_covariates"],
            static=arrays["static_covariates"],
            categories=known_categories,
        )


def encode(
    table: Table,
    name: str,
    missing: tuple[str, ...],
    categories: dict[str, tuple[str, ...]],
    fitting: bool = True,
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return a column as numbers, `(rows, width)`, with a name for each: itself, or one a category for a text column.

    In a fit, the categories found are added to `categories`. Later a column is what it was then: those that are there
    already are used as they are, and any other column holds numbers.

    Raises:
        DataError: a column of numbers holds something else, in a fit a few cells of it.
    """
    if name not in categories:
        if fitting:
            if are_times(table, name):
                raise DataError(refused_times(table, name))
            refuse_stray_cells(table, name, missing)
        categorical = is_text(table, name) or name in table.categorical
        cells = texts(table, name, missing) if fitting and categorical else []
        kinds = {cell for cell in cells if cell is not None}
        if not kinds or is_numeric(table, name, missing):
            return (name,), numbers(table, name, missing)[:, None]
        if len(kinds) > 200:
            numbers(table, name, missing)  # more likely a number column with a bad cell: this says which
        categories[name] = tuple(sorted(kinds))
    codes = category_codes(table, name, missing, categories[name])
    hot = (codes[:, None] == np.arange(len(categories[name]))).astype(np.float64)
    hot[codes == -1] = np.nan
    return tuple(f"{name}={category}" for category in categories[name]), hot


def _side_by_side(table: Table, parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(parts, 1) if parts else np.zeros((table.rows, 0))


def _check_matrix(table: Table) -> None:
    assert table.matrix is not None
    for first in range(0, table.rows, 1 << 18):
        block = np.asarray(table.matrix[first : first + (1 << 18)])
        wrong = too_large(block)
        if wrong.any():
            column = int(wrong.any(0).argmax())
            check_finite(table, table.names[column], block[:, column], first)
