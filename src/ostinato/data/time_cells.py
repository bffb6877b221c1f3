"""The time of one row that came by itself, read as in a column."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from ostinato.data.directives import digits_of, form_of
from ostinato.data.excel_days import PATTERN as EXCEL
from ostinato.data.formats import FORMS, assemble, match_one
from ostinato.data.frequency import Times
from ostinato.data.time_columns import decide_times
from ostinato.data.time_format import FARTHEST, AloneRow, TimeFormat
from ostinato.data.unix_times import PATTERN as UNIX
from ostinato.data.zones import as_instant, zone_of
from ostinato.errors import DataError

if TYPE_CHECKING:
    import polars as pl


def read_cell(cells: Mapping[str, Any], name: str, wanted: TimeFormat) -> Any:
    """Return the time of one row, read as in a column.

    What one row shows is not kept for the next: a stream that continues from a state reads as one that never stopped.

    Args:
        cells: of the row.
        name: the column, or several joined by `+`.
        wanted: how the times of the training data are written.

    Raises:
        DataError: it is not such a time.
    """
    cell = cells.get(name)
    if isinstance(cell, str) and wanted.kind == "stamps" and wanted.pattern is None and len(cell) >= 10:
        cell = _iso(cell)  # much quicker than a column of one
    quick = _quickly(cell, wanted)
    if quick is not None:
        return quick
    import polars as pl

    parts = [name] if name in cells else name.split("+")
    values = {part: cell if part == name else cells[part] for part in parts}
    for value in values.values():
        _check_value(value, name)
    try:
        frame = pl.DataFrame({part: _one(value) for part, value in values.items()})
        return _decided(frame, name, wanted)[0][0]
    except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        raise DataError(f'the row: "{str(cell)[:80]}" in column "{name}" is not a time') from error


def _decided(frame: pl.DataFrame, name: str, wanted: TimeFormat) -> tuple[Times, TimeFormat]:
    return decide_times(AloneRow("the row", frame), name, wanted)


def _check_value(value: Any, name: str) -> None:
    """Refuse what no column of times has: lists, true and false, what is missing."""
    known = isinstance(value, (str, int, float, date, time, timedelta, np.generic)) or hasattr(value, "to_timestamp")
    # only what is missing differs from itself: NaN, NaT
    if not known or isinstance(value, (bool, np.bool_)) or value != value:
        raise DataError(f'the row: "{str(value)[:80]}" in column "{name}" is not a time')


def _quickly(cell: Any, wanted: TimeFormat) -> Any:
    """Return a value that is a time already as a column would have it, without making a column of it."""
    if wanted.kind == "integers" and type(cell) is int:
        return cell if abs(cell) < FARTHEST else None
    if wanted.kind == "stamps" and isinstance(cell, str):
        return _by_form(cell, wanted)
    if wanted.kind != "stamps" or not isinstance(cell, datetime):
        return None
    if cell.tzinfo is not None:
        return None if wanted.zone is None else as_instant(cell)
    return np.datetime64(cell, "us") if wanted.zone is None else None


def _by_form(text: str, wanted: TimeFormat) -> Any:
    """Return the time of a text in the form of the training data; `None` where a column has to be made of it."""
    if wanted.pattern in (UNIX, EXCEL):
        return None
    if wanted.pattern and len(text.strip()) != (digits_of(wanted.pattern) or len(text.strip())):
        return None
    form = (
        form_of(wanted.pattern) if wanted.pattern else next((each for each in FORMS if each.name == wanted.form), None)
    )
    if form is None or (len(form.orders) > 1 and wanted.order not in form.orders):
        return None
    parts = match_one(text, form)
    if parts is None or np.isnan(parts.offset[0]) != (wanted.zone is None):
        return None
    walls, good = assemble(parts, wanted.order, wanted.pivot)
    offset = 0 if wanted.zone is None else int(parts.offset[0])
    return walls[0] - np.timedelta64(offset, "m") if good[0] else None


def _iso(text: str) -> Any:
    if text[4:5] != "-" or not text[:4].isdigit() or "W" in text:
        return text
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return text


def _one(value: Any) -> pl.Series:
    """Return a value as a column of one row."""
    import polars as pl

    if isinstance(value, np.datetime64):
        return pl.Series(values=np.array([value], "datetime64[us]"))
    if isinstance(value, np.timedelta64):
        return pl.Series(values=np.array([value], "timedelta64[us]"))
    if isinstance(value, datetime) and value.tzinfo is not None:
        zone = zone_of(value.tzinfo)
        text = value.isoformat() + (f"[{zone}]" if zone and zone[0] not in "+-" and zone != "UTC" else "")
        return pl.Series(values=[text])
    if isinstance(value, datetime):
        return pl.Series(values=np.array([np.datetime64(value, "us")]))
    if hasattr(value, "to_timestamp") and hasattr(value, "freqstr"):  # a Period of pandas
        return pl.Series(values=np.array([value.to_timestamp().to_datetime64()], "datetime64[us]"))
    if isinstance(value, np.generic):
        value = value.item()
    return pl.Series(values=[value])
