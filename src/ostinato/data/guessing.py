"""Which column of a table holds the times, and which only numbers its rows."""

from __future__ import annotations

import itertools

import numpy as np

from ostinato.data.dates_and_clocks import date_and_time, is_clock
from ostinato.data.decimal_years import NAMES as DECIMAL_NAMES
from ostinato.data.decimal_years import are_decimal_years
from ostinato.data.excel_days import counts_from_1899
from ostinato.data.row_numbers import counts_rows
from ostinato.data.table import Table, is_numeric, is_text, numbers
from ostinato.data.time_format import FARTHEST, PARTS, ROLES, is_called_a_time
from ostinato.data.time_texts import read_elapsed, reads_as_time, share_of_times
from ostinato.data.unix_times import may_be_unix

_GUESSES = (
    "ds", "date", "time", "timestamp", "datetime", "date_time", "month", "quarter", "day", "week", "year", "period",
)  # fmt: skip
_NAMES = _GUESSES[:6]
_COUNTS = ("ds", "time", "timestamp", "t", "time_step", "timestep", "time_idx")
_ROW_NUMBERS = ("", "rownames", "row_names", "rowname", "unnamed: 0", "unnamed:_0", "_duplicated_0", "index", "row",
                "row_number", "rowid", "row_id", "column_1", "no", "nr", "#", "id", "idx", "instant", "record",
                "sno", "s.no", "serial", "obs", "observation")  # fmt: skip
_HEAD = 50
_YEAR_IN = r"(?:^|[^\d.,])(?:1[89]|20)\d\d(?:$|[^\d.,])"  # a year among other signs
_NEARLY = 0.8  # a column of times is one with this share of them: the others are mistakes in it
_FEW = 5  # rows that show what numbers are
_LEAST = 150_000  # as months (150001) and days are written in digits, and times since 1970; smaller ones are measures


def guess_time_column(table: Table) -> str | None:
    """Return the column that holds the times: by its type, its usual names, or because its texts read as times.

    Several columns that make a time together (`year`, `month`, `day` and perhaps `hour`; `date` and `time`) are
    returned joined by `+`.
    """
    if table.frame is None:
        return None
    if "time" in table.index.values():
        return next(name for name, role in table.index.items() if role == "time")
    typed = [name for name in table.columns if table.frame[name].dtype.is_temporal()]
    texts = [name for name in table.columns if is_text(table, name)]
    texts.sort(key=lambda name: _GUESSES.index(name.lower()) if name.lower() in _GUESSES else len(_GUESSES))
    plain = [name for name in texts if _reads(table, name, weak=_is_guess(name)) and not _whole_numbers(table, name)]
    dates = [*(name for name in typed if not is_clock(table, name)), *plain]
    found = [*date_and_time(table, [*dates, *_whole_days(table)]), *_finest(table, dates)]
    lowered = {name.lower(): name for name in table.columns}
    years = [name for name in table.columns if _is_guess(name) and _are_years(table, name)]
    years += [
        name for name in table.columns if name.strip().lower() in DECIMAL_NAMES and are_decimal_years(table.frame[name])
    ]
    years += [name for name in table.columns if counts_from_1899(name, table.frame[name])]
    # a column that is called a time but does not read as one is taken all the same: reading it then says what is wrong
    named = [name for name in texts if name.lower() in _NAMES and not _whole_numbers(table, name)]
    nearly = [name for name in texts if name not in named and _nearly_times(table, name)]
    counts = [lowered[name] for name in _COUNTS if name in lowered and _counts(table, lowered[name])]
    rest = (name for name in table.columns if _are_days_or_unix(table, name))
    return next(itertools.chain(found, _parts(lowered), years, named, nearly, counts, rest), None)


def _nearly_times(table: Table, name: str) -> bool:
    """Tell whether all but a few cells of a text column are times, as where a day does not exist or a sum stands below.

    Reading it then says which cell is none; were it left out, its rows would be taken as equally spaced unsaid.
    """
    import polars as pl

    assert table.frame is not None
    cells = table.frame[name].drop_nulls().cast(pl.String)
    return len(cells) > 2 and not _whole_numbers(table, name) and share_of_times(cells) >= _NEARLY


def _are_days_or_unix(table: Table, name: str) -> bool:
    """Tell whether whole numbers, whatever their column is called, are days, months or times since 1970."""
    import polars as pl

    assert table.frame is not None
    values = None if table.frame[name].dtype == pl.Boolean else _integers(table, name)
    if values is None or len(values) < _FEW or int(values.min()) < _LEAST or not _rises(values):
        return False
    if reads_as_time(pl.Series(values).cast(pl.String), weak=True):
        # seven digits are more often the number of an order than the days of a year
        return not 1_000_000 <= int(values.max()) < 10_000_000 or is_called_a_time(name)
    # a counter of bytes or people rises too, but at no pace
    steps = np.unique(np.diff(values), return_counts=True)[1]
    return may_be_unix(values) and (is_called_a_time(name) or bool(steps.max() >= 0.5 * steps.sum()))


def _rises(values: np.ndarray[tuple[int], np.dtype[np.int64]]) -> bool:
    """Tell whether numbers rise from row to row, but where another series begins."""
    steps = np.diff(values)
    starts = values[np.r_[True, steps <= 0]]
    return bool((steps > 0).mean() >= _NEARLY or ((steps > 0).mean() >= 0.5 and len(np.unique(starts)) == 1))


def unread_times(table: Table) -> tuple[str, str] | None:
    """Return a column of texts that is called as times are and of which none was made, with its first cell."""
    import polars as pl

    # of a single column, what it is not divided by is the fault
    for name in table.columns if table.frame is not None and len(table.columns) > 1 else ():
        if not is_text(table, name):
            continue
        assert table.frame is not None
        cells = table.frame[name].drop_nulls().cast(pl.String)
        if not is_called_a_time(name) and not cells.head(_HEAD).str.contains(_YEAR_IN).all():
            continue
        if len(cells) > 2 and cells.n_unique() > _NEARLY * len(cells) and bool(cells.str.contains(r"\d").all()):
            return name, str(cells[0])
    return None


def numbers_named_as_times(table: Table) -> str | None:
    """Return a column of rising numbers that is called as times are, where no column holds times; else `None`."""
    if table.frame is None:
        return None
    for name in table.columns:
        if _is_guess(name) and is_numeric(table, name, ()):
            values = numbers(table, name, ())
            if len(values) > 1 and bool((np.diff(values) > 0).all()):
                return name
    return None


def _is_guess(name: str) -> bool:
    return name.strip().lower() in _GUESSES


def _parts(lowered: dict[str, str]) -> list[str]:
    """Return the columns of a year and what divides it, joined."""
    lowered = {**{part: lowered[value] for value, part in ROLES.items() if value in lowered}, **lowered}
    names = [part for part in PARTS if part in lowered]
    if names[:2] != ["year", "month"]:
        other = next((part for part in ("quarter", "week", "ordinal") if {"year", part} <= set(lowered)), None)
        return [] if other is None else [f"{lowered['year']}+{lowered[other]}"]
    kept = names[: next((at for at, part in enumerate(PARTS) if part not in names), len(PARTS))]
    return ["+".join(lowered[part] for part in kept)]


def _whole_days(table: Table) -> list[str]:
    """Return the columns of whole numbers that are days, as 20240131, and are called as times are."""
    return [
        name
        for name in table.columns
        if is_called_a_time(name) and (values := _integers(table, name)) is not None and len(values)
        and int(values.min()) > 15_000_000 and int(values.max()) < 22_000_000 and _reads(table, name, weak=True)
    ]  # fmt: skip


def _finest(table: Table, dates: list[str]) -> list[str]:
    """Return columns of times, the first of them the one that tells most rows apart, if it is called as times are."""
    if len(dates) < 2 or table.frame is None:
        return dates
    kinds = {name: table.frame[name].n_unique() for name in dates}
    called = [name for name in dates if _is_guess(name)]
    best = max(called, key=lambda name: kinds[name], default=dates[0])
    return [best, *dates] if kinds[best] > kinds[dates[0]] else dates


def _reads(table: Table, name: str, *, weak: bool) -> bool:
    import polars as pl

    assert table.frame is not None
    head = table.frame[name].head(_HEAD).drop_nulls().cast(pl.String)
    return len(head) > 0 and (reads_as_time(head, weak=weak) or read_elapsed(head) is not None)


def are_times(table: Table, name: str) -> bool:
    """Tell whether a column holds times, by its type or as texts, which are no numbers and no categories."""
    if table.frame is None:
        return False
    if table.frame[name].dtype.is_temporal():
        return True
    return is_text(table, name) and not _whole_numbers(table, name) and _reads(table, name, weak=False)


def measures(table: Table, name: str) -> bool:
    """Tell whether a column that is not numeric seems to hold values: times of day, spans, numbers with a unit."""
    import polars as pl

    if table.frame is None:
        return False
    column = table.frame[name].drop_nulls()
    if not len(column):
        return False
    if not is_text(table, name):
        return column.dtype in (pl.Time, pl.Duration)
    head = column.head(_HEAD).cast(pl.String)
    numbers = head.str.contains(r"^\s*[+-]?(?:[$€£¥]\s*)?\d[\d.,': ]*(?:\s*(?:%|‰|°|[^\W\d_]{1,4}))?[\s\w/%°²³]{0,6}$")
    return bool(numbers.all()) and not are_times(table, name)


def _whole_numbers(table: Table, name: str) -> bool:
    import polars as pl

    assert table.frame is not None
    head = table.frame[name].head(_HEAD).drop_nulls().cast(pl.String)
    return bool(head.str.contains(r"^\s*\d+\s*$").all())


def _are_years(table: Table, name: str) -> bool:
    """Tell whether whole numbers, as text or not, are years, months or days, one after the other."""
    import polars as pl

    assert table.frame is not None
    column = table.frame[name]
    if column.dtype.is_float():  # as a library makes of a column with a hole
        kept = column.drop_nulls().drop_nans()
        return (
            bool(((kept == kept.round()) & (kept.abs() < FARTHEST)).all())
            and reads_as_time(kept.cast(pl.Int64).cast(pl.String).head(_HEAD), weak=True)
            and len(kept) == len(column) > 1
        )
    if is_text(table, name):  # 1949.0, as a library writes what it took for floats
        texts = column.cast(pl.String).str.strip_chars()
        if texts.str.contains(r"^\d+\.0+$").fill_null(False).all():
            years = texts.str.replace(r"\.0+$", "")
            return years.n_unique() > 1 and reads_as_time(years.head(_HEAD), weak=True)
    whole = is_text(table, name) or column.dtype.is_integer()
    return whole and _whole_numbers(table, name) and column.cast(pl.String).n_unique() > 1 and _reads(
        table, name, weak=True
    )  # fmt: skip


def _counts(table: Table, name: str) -> bool:
    """Tell whether a column counts: whole numbers that differ from one row to the next."""
    values = _integers(table, name)
    if values is not None:
        return len(values) > 1 and bool((np.diff(values) != 0).all())
    return _counts_with_holes(table, name)


def _counts_with_holes(table: Table, name: str) -> bool:
    """Tell whether a column would count but for cells missing or too large: reading it then says which."""
    import polars as pl

    assert table.frame is not None
    column = table.frame[name]
    if is_text(table, name):
        cells = column.cast(pl.String).str.strip_chars()
        column = cells.set(cells.str.to_lowercase().is_in(["", "nan", "null", "none", "na", "n/a"]), None)
        if column.cast(pl.Float64, strict=False).null_count() > column.null_count():
            return False
    if column.dtype == pl.Boolean or column.dtype.is_temporal():
        return False
    values = column.cast(pl.Float64, strict=False).to_numpy()
    shown = values[np.isfinite(values)]
    if len(shown) < 2 or 2 * len(shown) < len(values) or (shown != np.round(shown)).any():
        return False
    if (np.abs(shown) >= FARTHEST).any():
        return True
    steps = np.diff(shown)
    return bool((steps != 0).all()) and bool((steps > 0).mean() >= 0.8)


def _integers(table: Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]] | None:
    import polars as pl

    assert table.frame is not None
    column = table.frame[name]
    if is_text(table, name):
        column = column.cast(pl.String).str.strip_chars().cast(pl.Int64, strict=False)
    if not column.dtype.is_integer() or column.null_count():
        return None
    return column.to_numpy().astype(np.int64)


def numbers_rows(table: Table, name: str) -> bool:
    """Tell whether a column only numbers the rows, from 0 or 1, and is called by nothing or by that."""
    if table.frame is None or name.strip().lower() not in _ROW_NUMBERS:
        return False
    if name == "column_1" and name != table.columns[0]:
        return False
    values = _integers(table, name)
    if values is None and counts_rows(table, name):  # as 0.0, 1.0, ...
        return len(table.columns) > 1
    return (
        values is not None
        and len(table.columns) > 1
        and int(values[0]) in (0, 1)
        and bool((np.diff(values) == 1).all())
    )
