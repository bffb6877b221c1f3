"""A column of days and one of times of day, or of the hours of a day, that make a time together."""

from __future__ import annotations

import numpy as np

from ostinato.data.table import Table, is_numeric, is_text, numbers

_HEAD = 50
_HOURS = (
    "hour", "hr", "hours", "hh", "hour_of_day", "time", "he", "hour ending", "hour_ending", "hourending", "hour end",
    "hour beginning", "hour_beginning", "hourbeginning", "deliveryhour", "delivery hour", "delivery_hour", "hhmm",
    "stunde", "uhrzeit", "zeit", "heure", "hora", "uur", "ora", "godzina", "timme", "tijd",
)  # fmt: skip
_CLOCK = r"^\s*\d{1,2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?|\.\d{2}\.\d{2})\s*([AaPp]\.?[Mm]\.?)?\s*$"
CLOCK_DIGITS = r"^\s*(?:[01]\d|2[0-4])[0-5]\d\s*$"
_SPANS = ("duration", "elapsed", "dauer", "length", "pace", "moving time", "elapsed time")


def date_and_time(table: Table, dates: list[str]) -> list[str]:
    """Return a column of days and one of times of day, or hours, joined by `+`; none where there are no two.

    Args:
        table: with a frame.
        dates: its columns of times, or of days as whole numbers.
    """
    days = [name for name in dates if _are_days(table, name)]
    for second in (_clocks(table, days), _hours(table, days)):
        for name in second:
            best = next((day for day in days if day != name and _are_told_apart(table, day, name)), None)
            if best is not None:
                return [f"{best}+{name}"]
    return []


def _are_days(table: Table, name: str) -> bool:
    """Tell whether a column has days without a time of day, some of which come again."""
    import polars as pl

    assert table.frame is not None
    column = table.frame[name]
    if column.dtype in (pl.Date, pl.Duration):
        return bool(column.dtype == pl.Date)
    texts = column.cast(pl.String)
    whole = column.dtype.is_temporal() and bool(texts.str.contains(r" 00:00:00(?:\.0+)?$").all())
    return whole or not texts.str.contains(r"\d:\d|\d[Tt]\d").any()


def _are_told_apart(table: Table, day: str, clock: str) -> bool:
    """Tell whether the days come again, and the times of day tell more of the rows apart."""
    assert table.frame is not None
    kinds = table.frame[day].n_unique()
    if kinds == table.rows:  # a row a day: its time of day is that of the day
        return day.strip().lower() in ("date", "day") and clock.strip().lower() in ("time", "hour")
    return table.frame[clock].n_unique() > 1 and table.frame.select([day, clock]).n_unique() > kinds


def _clocks(table: Table, days: list[str]) -> list[str]:
    """Return the columns of times of day, those that are called so first."""
    found = [name for name in table.columns if name not in days and is_clock(table, name)]
    found = [name for name in found if name.strip().lower() not in _SPANS]
    return sorted(found, key=lambda name: name.strip().lower() not in _HOURS)


def _hours(table: Table, days: list[str]) -> list[str]:
    """Return the columns of whole hours, 0 to 23 or 1 to 24."""
    found = []
    for name in table.columns:
        if name in days or name.strip().lower() not in _HOURS or not is_numeric(table, name, ()):
            continue
        values = numbers(table, name, ())
        if ((values >= 0) & (values <= 24) & (values == np.floor(values))).all() and len(np.unique(values)) > 1:
            found.append(name)
    return found


def is_clock(table: Table, name: str) -> bool:
    """Tell whether a column holds times of day: `13:05`, `13:05:09`, and `1305` where it is called so."""
    import polars as pl

    assert table.frame is not None
    if table.frame[name].dtype == pl.Time:
        return True
    head = table.frame[name].head(_HEAD).drop_nulls()
    if not is_text(table, name) or not len(head):
        return False
    cells = head.cast(pl.String)
    called = name.strip().lower() in _HOURS
    return bool(cells.str.contains(_CLOCK).all()) or (called and bool(cells.str.contains(CLOCK_DIGITS).all()))
