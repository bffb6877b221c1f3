"""Which column of a table is what: times, names of series, targets; what is left out is said."""

from __future__ import annotations

import re
from dataclasses import replace

from ostinato.data.asked_times import column_as_asked
from ostinato.data.guessing import guess_time_column, measures, numbers_named_as_times, numbers_rows, unread_times
from ostinato.data.notes import note
from ostinato.data.row_numbers import counts_rows, is_identity
from ostinato.data.schema import Schema
from ostinato.data.table import Table, is_numeric, is_text, numbers, refuse_stray_cells
from ostinato.errors import ColumnError, UsageError
from ostinato.words import counted


def resolve_schema(table: Table, schema: Schema) -> Schema:
    """Return the schema with every role that was left open found in the table."""
    time = schema.time if schema.time is not None else guess_time_column(table) or column_as_asked(table, schema)
    if time is None and (passed := numbers_named_as_times(table)) is not None and passed not in schema.used:
        note(
            f'column "{passed}" of {table.origin} holds numbers that are no dates, and is not taken as times, so that '
            f'the rows count as equally spaced; write dates, or name it with time="{passed}" (--time) for whole numbers'
        )
    if time is None and schema.frequency != "rows" and (unread := unread_times(table)) and unread[0] not in schema.used:
        note(
            f'column "{unread[0]}" of {table.origin} is not read as times ("{unread[1][:40]}"), so that the rows count '
            f'as equally spaced; if it holds times, say so and how they are written: time="{unread[0]}" (--time) and '
            "time_format (--time-format)"
        )
    series_id = schema.series_id or _guess_series(table)
    stamps = time.split("+") if time and time not in table.columns else [time]
    named = (*schema.used, *schema.static_covariates, *(name for name in (*stamps, series_id) if name))
    table.require((*named, *table.categorical))
    target = schema.target
    if wrong := next((name for name in target if name in table.categorical), None):
        raise UsageError(f'column "{wrong}" is the target, which has to be of numbers; leave it out of categorical')
    if not target:
        rest = [name for name in table.columns if name not in named and name not in table.index]
        rest = [name for name in rest if not numbers_rows(table, name)]
        rest = _without_names(table, rest)
        if "y" not in rest:
            for name in rest:
                refuse_stray_cells(table, name, schema.missing)
        target = ("y",) if "y" in rest else tuple(name for name in rest if is_numeric(table, name, schema.missing))
        left = [] if "y" in rest else [name for name in rest if name not in target and measures(table, name)]
        _say_left_out(table, left, target)
    return replace(schema, time=time, series_id=series_id, target=target)


def _without_names(table: Table, rest: list[str]) -> list[str]:
    """Return columns without those that count or name rows, and say which those are."""
    if "y" in rest:
        return rest
    # columns of an array have no names that could say what they are
    counting = [name for name in rest if not re.fullmatch(r"column_\d+", name) and counts_rows(table, name)]
    naming = [name for name in rest if name not in counting and is_identity(table, name)]
    flat = [name for name in rest if name not in (*counting, *naming) and _is_flat(table, name)]
    kept = [name for name in rest if name not in (*counting, *naming, *flat)]
    if not any(is_numeric(table, name, ()) for name in kept):
        return rest
    for names_, what in ((counting, "counts the rows"), (naming, "holds identities"), (flat, "is constant")):
        if names_:
            note(
                f'column "{names_[0]}" of {table.origin} {what} and is not forecast; name it with '
                f'target="{names_[0]}" (--target) if it should be'
                + (f"; {counted(len(names_) - 1, 'others')} likewise" if len(names_) > 1 else "")
            )
    return kept


def _is_flat(table: Table, name: str) -> bool:
    if not is_numeric(table, name, ()):
        return False
    values = numbers(table, name, ())
    return len(values) > 2 and bool((values == values[0]).all())


def _say_left_out(table: Table, left: list[str], target: tuple[str, ...]) -> None:
    """Say which columns that look like values are no targets, and why; refuse a table that has none."""
    import polars as pl

    assert table.frame is not None or target
    shown = []
    for name in left[:6] if table.frame is not None else []:
        column = table.frame[name] if table.frame is not None else pl.Series()
        text = str(column.drop_nulls()[0])
        shown.append(f'"{name}" ("{text[:40]}" is {"no number" if is_text(table, name) else "a time"})')
    words = ", ".join(shown) + (f" and {len(left) - 6} more" if len(left) > 6 else "")
    if target and left:
        note(
            f"{table.origin}: no {'targets are' if len(left) > 1 else 'target is'} {words}; write plain numbers there, "
            "or name the targets with target=... (--target)"
        )
    if target:
        return
    hint = table.undivided()
    raise ColumnError(
        f"{table.origin} has no numeric column to forecast"
        + (f": {words}; write plain numbers there" if left else f"; {hint}" if hint else "; name one with target=...")
        + ("" if left or hint else " (--target)")
    )


def _guess_series(table: Table) -> str | None:
    if "unique_id" in table.columns:
        return "unique_id"
    return next((name for name, role in table.index.items() if role == "series_id"), None)
