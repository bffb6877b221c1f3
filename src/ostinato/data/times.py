"""Reading a column of times in whatever common way it is written, and remembering how that was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.data.decimal_years import FORM as DECIMAL
from ostinato.data.decimal_years import NAMES as DECIMAL_NAMES
from ostinato.data.decimal_years import are_decimal_years, months_of, years_of
from ostinato.data.directives import digits_of, form_of, with_zeros
from ostinato.data.formats import PIVOT, Order, Parts, assemble
from ostinato.data.frequency import Times
from ostinato.data.notes import note
from ostinato.data.table import Table, is_text, numbers
from ostinato.data.unix_times import PATTERN as UNIX
from ostinato.data.unix_times import may_be_unix, read_unix
from ostinato.data.zones import as_instant, checked_zone, instants_of, zone_of
from ostinato.errors import DataError

if TYPE_CHECKING:
    import polars as pl

Kind: TypeAlias = Literal["", "stamps", "integers", "numbers", "elapsed"]
Groups: TypeAlias = "Sequence[NDArray[np.int64]]"
_WORDS = {"stamps": "dates", "integers": "whole numbers", "numbers": "numbers", "elapsed": "times gone by"}
PARTS = ("year", "month", "day", "hour", "minute", "second")
# what a column of numbers is called that only counts, so that 1999 in it is no year
COUNTERS = (
    "t", "step", "time_step", "timestep", "time_idx", "index", "idx", "row", "tick", "n", "elapsed", "seconds",
    "minutes", "hours", "days", "ms", "cycle", "frame", "sample", "iteration",
)  # fmt: skip
_YEARS = ("year", "yr", "date", "ds", "period")
FARTHEST = 2**62
"""Whole numbers as times are smaller than this, so that a step more, or their difference, is a number too."""
OPEN_ORDER = "the training data do not tell which"


@dataclass(frozen=True)
class TimeFormat:
    """How times are written: what was asked for and, once a column was read, what was found.

    Args:
        kind: dates, whole numbers, numbers with decimals or times gone by; empty: not known yet.
        order: of day, month and year, where all are numbers.
        form: the name of the form; see `ostinato.data.formats.FORMS`.
        pattern: a format of `strptime` that was given, or `"unix"`.
        zone: the zone of the times; without one they are as a clock shows them.
        pivot: the least year of two digits that is of the last century.
    """

    kind: Kind = ""
    order: Order = ""
    form: str = ""
    pattern: str | None = None
    zone: str | None = None
    pivot: int = PIVOT

    @classmethod
    def wanted(cls, *, day_first: bool | None, time_format: str | None, time_zone: str | None) -> TimeFormat:
        """Return what the options of a user say.

        Raises:
            UsageError: there is no such zone.
        """
        order: Order = "" if day_first is None else "dmy" if day_first else "mdy"
        return cls(order=order, pattern=time_format, zone=None if time_zone is None else checked_zone(time_zone))

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TimeFormat:
        """Return what `to_json` wrote."""
        return cls(**data)


ANY = TimeFormat()
STAMPS = TimeFormat("stamps")


def read_times(table: Table, name: str, wanted: TimeFormat | None = None) -> Times:
    """Return a column of times: `datetime64[us]`, instants in UTC where it has a zone; or numbers, where it has those.

    Args:
        table: with the column.
        name: the column, or several joined by `+`.
        wanted: how they are written; `None`: found.

    Raises:
        DataError: a value is missing or is not a time; the message names its row.
    """
    return decide_times(table, name, wanted or TimeFormat())[0]


def decide_times(table: Table, name: str, wanted: TimeFormat, groups: Groups | None = None) -> tuple[Times, TimeFormat]:
    """Return a column of times and how it is written.

    Where the order of day and month is open, it is the one by which every row is a date; if both do, the one by which
    the rows of each series are in order and regular; if nothing tells, the month is first after `/` and `-`, the day
    after a dot. The last two are said in a `DataWarning`.

    Args:
        table: with the column.
        name: the column, or several joined by `+`: year, month, day, ...; or a date and a time of day.
        wanted: what is asked for, or was found in the training data.
        groups: the rows of each series, in order.

    Raises:
        DataError: a value is missing, is not a time, or not of the kind that is wanted; the message names its row.
    """
    if table.frame is None:
        raise DataError(f'{table.origin} is a plain array, so "{name}" cannot be a column of times')
    groups = groups if groups is not None else [np.arange(table.rows)]
    if name not in table.columns:
        return _joined(table, name, wanted, groups)
    column = table.frame[name]
    refuse_missing(table, name, column)
    _refuse_far(table, name, column, wanted)
    times, found = _by_type(table, name, column, wanted, groups)
    if wanted.kind and found.kind != wanted.kind:
        raise DataError(
            f'{table.place(0)}: "{column[0]}" in column "{name}" is not of the kind that the training data have; '
            f"expected {_WORDS[wanted.kind]}, as there"
        )
    return times, found


def _by_type(
    table: Table, name: str, column: pl.Series, wanted: TimeFormat, groups: Groups
) -> tuple[Times, TimeFormat]:
    import polars as pl

    if column.dtype == pl.Duration:
        return column.cast(pl.Duration("us")).to_numpy(), TimeFormat("elapsed")
    if column.dtype == pl.Time:
        raise DataError(f'column "{name}" of {table.origin} has times of day without a date; expected dates')
    if column.dtype.is_temporal():
        return _typed(table, name, column, wanted, groups)
    if wanted.pattern == UNIX:
        return read_unix(table, name, column), replace(wanted, kind="stamps", zone=wanted.zone or "UTC")
    whole = _whole_numbers(column)
    if wanted.form == DECIMAL or (not wanted.kind and whole is None and wanted.pattern is None):
        months = _decimal(table, name, column, wanted, groups)
        if months is not None:
            return months, replace(wanted, kind="stamps", form=DECIMAL)
    if wanted.pattern is not None:
        from ostinato.data.time_texts import read_texts

        cells = column.cast(pl.String) if whole is None or is_text(table, name) else whole
        return read_texts(table, name, with_zeros(cells, wanted.pattern), wanted, groups)
    if whole is not None and not (wanted.kind == "stamps" or _are_dates(name, whole, wanted, groups)):
        if wanted.kind == "numbers":  # with decimals in the training data, which these rows happen to lack
            return whole.cast(pl.Float64).to_numpy(), TimeFormat("numbers")
        if not wanted.kind and may_be_unix(whole.to_numpy().astype(np.int64)):
            note(
                f'column "{name}" of {table.origin} seems to count since 1970, and is taken as whole numbers, which '
                'have no days or weeks; pass time_format="unix" (--time-format unix) to have dates made of it'
            )
        return whole.to_numpy().astype(np.int64), TimeFormat("integers")
    if whole is None and column.dtype.is_numeric():
        return column.cast(pl.Float64).to_numpy(), TimeFormat("numbers")
    from ostinato.data.time_texts import read_elapsed, read_texts

    texts = column.cast(pl.String) if whole is None else whole.cast(pl.String)
    elapsed = read_elapsed(texts)
    if elapsed is not None:
        return elapsed, TimeFormat("elapsed")
    return read_texts(table, name, texts, wanted, groups)


def _decimal(table: Table, name: str, column: pl.Series, wanted: TimeFormat, groups: Groups) -> Times | None:
    """Return the months of years with decimals, if the column has them; say so where nothing was known before."""
    import polars as pl

    if wanted.form == DECIMAL:
        values = column.cast(pl.Float64, strict=False).to_numpy()
    elif name.strip().lower() in DECIMAL_NAMES and are_decimal_years(column):
        values = np.asarray(years_of(column))
    else:
        return None
    walls = months_of(np.asarray(values, np.float64))
    if walls is None:
        raise DataError(
            f'{table.place(0)}: "{column[0]}" in column "{name}" is no year with decimals that names a month, as the '
            "training data have; expected one such as 1949.083"
        )
    if wanted.form != DECIMAL:
        note(
            f'column "{name}" of {table.origin} has years with decimals, read as months: {column[1]} is '
            f'{str(walls[1])[:7]}; pass frequency="rows" (--frequency rows) to take the rows as equally spaced'
        )
    return walls if wanted.zone is None else localised(table, name, walls, wanted.zone, groups)


def _typed(table: Table, name: str, column: pl.Series, wanted: TimeFormat, groups: Groups) -> tuple[Times, TimeFormat]:
    import polars as pl

    zone = None
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        zone = wanted.zone or checked_zone(column.dtype.time_zone)
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        zone = None if takes_utc(table, name, 0, wanted) else zone
    walls = np.asarray(column.cast(pl.Datetime("us")).to_numpy().astype("datetime64[us]"))
    if zone is None and wanted.zone is not None:
        walls, zone = localised(table, name, walls, wanted.zone, groups), wanted.zone
    return walls, replace(wanted, kind="stamps", zone=zone)


def takes_utc(table: Table, name: str, row: int, wanted: TimeFormat) -> bool:
    """Tell whether times with a zone are brought to UTC, since the training data have none, and say so."""
    if wanted.kind != "stamps" or wanted.zone is not None:
        return False
    note(
        f'{table.place(row)}: the times in column "{name}" have a zone, but those that the model was trained on have '
        "none: these are taken to be in UTC; write times without a zone, or fit with time_zone (--time-zone)"
    )
    return True


def _whole_numbers(column: pl.Series) -> pl.Series | None:
    """Return a column of whole numbers as such, be they text or floats; `None` if it is another."""
    import polars as pl

    if column.dtype.is_integer():
        return column
    if column.dtype.is_float():
        small = bool((column.abs() < FARTHEST).all())
        return column.cast(pl.Int64) if small and bool((column == column.round()).all()) else None
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return None
    texts = column.cast(pl.String).str.strip_chars()
    if not texts.str.contains(r"^[+-]?\d+(\.0*)?$").all():
        return None
    whole = texts.str.replace(r"\.0*$", "").cast(pl.Int64, strict=False)
    return whole if whole.null_count() == 0 else None


def _are_dates(name: str, whole: pl.Series, wanted: TimeFormat, groups: Groups) -> bool:
    """Tell whether whole numbers are years, months (`202401`) or days (`20240131`).

    Numbers from 1500 to 2199 may count something else: they are years if the column is called so, or if each follows
    the one before.
    """
    import polars as pl

    from ostinato.data.time_texts import reads_as_time

    values = whole.to_numpy()
    counter = name.strip().lower() in COUNTERS
    # what counts does so evenly, which days (20240131, 20240201) and months (202412, 202501) written in digits do not
    if counter and (int(values.max()) < 150_000 or len(np.unique(np.diff(np.unique(values)))) < 2):
        return False
    if wanted.kind in ("integers", "numbers") or not reads_as_time(whole.cast(pl.String), weak=True):
        return False
    named = any(word in name.strip().lower() for word in _YEARS)
    return named or int(values.max()) > 9999 or all((np.diff(values[rows]) == 1).all() for rows in groups)


def localised(table: Table, name: str, walls: Times, zone: str, groups: Groups) -> Times:
    """Return the instants at which clocks in a zone show some times.

    Of an hour that comes twice the first is meant, unless the row before is already later.

    Raises:
        DataError: clocks never show such a time, since they go forward; the row is named.
    """
    early, late = instants_of(walls, zone), instants_of(walls, zone, later=True)
    from ostinato.data.zones import wall_times

    midnight = walls == walls.astype("datetime64[D]")  # a day begins all the same
    never = (wall_times(early, zone) != walls) & ~midnight
    if never.any():
        row = int(never.argmax())
        shown = str(walls[row]).replace("T", " ")[:16]
        raise DataError(
            f'{table.place(row)}: clocks in {zone} never show {shown} (column "{name}"), since they go forward then; '
            "mend the row, or fit with the zone that the times are in (time_zone, --time-zone)"
        )
    if (early != late).any():
        for rows in groups:
            for place in np.flatnonzero(early[rows] != late[rows]):
                if place and early[rows[place]] <= early[rows[place - 1]]:
                    early[rows[place]] = late[rows[place]]
    return early


def _joined(table: Table, name: str, wanted: TimeFormat, groups: Groups) -> tuple[Times, TimeFormat]:
    """Read times from the columns that `name` joins by `+`."""
    from ostinato.data.time_texts import finish, read_texts

    names = name.split("+")
    table.require(names)
    assert table.frame is not None
    for part in names:
        refuse_missing(table, part, table.frame[part])
    if not all(_whole_numbers(table.frame[part]) is not None or _is_month(table, part) for part in names):
        import polars as pl

        texts = [_as_part(table, part) for part in names]
        return read_texts(table, name, pl.select(pl.concat_str(texts, separator=" ")).to_series(), wanted, groups)
    parts = _parts_of(table, names)
    walls, good = assemble(parts, "")
    if not good.all():
        row = int((~good).argmax())
        cells = ", ".join(f"{part} {table.frame[part][row]}" for part in names)
        raise DataError(f"{table.place(row)}: {cells} is not a time that exists; mend the row")
    return finish(table, name, walls, parts, wanted, replace(wanted, kind="stamps"), groups)


def _as_part(table: Table, name: str) -> pl.Series:
    """Return a column that is a part of a time as text: a day, or the clock of a time gone by since midnight.

    Raises:
        DataError: it is more than a part; the row is named.
    """
    import polars as pl

    assert table.frame is not None
    column = table.frame[name]
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is None:
        more = column.dt.time() != pl.Series([time()])
        if more.any():
            row = int(more.arg_max() or 0)
            raise DataError(
                f'{table.place(row)}: {column[row]} in column "{name}" has a time of day already; name only that one'
            )
        return column.dt.date().cast(pl.String)
    if column.dtype == pl.Duration:
        micro = column.dt.total_microseconds()
        more = (micro < 0) | (micro >= 86_400_000_000)
        if more.any():
            row = int(more.arg_max() or 0)
            raise DataError(
                f'{table.place(row)}: {column[row]} in column "{name}" is no time of day; expected below 24 h'
            )
        return micro.cast(pl.Datetime("us")).dt.strftime("%H:%M:%S%.6f")
    return column.cast(pl.String)


def _is_month(table: Table, name: str) -> bool:
    from ostinato.data.formats import month_numbers

    return name.lower() == "month" and is_text(table, name) and bool((month_numbers(_column(table, name)) > 0).all())


def _column(table: Table, name: str) -> pl.Series:
    import polars as pl

    assert table.frame is not None
    return table.frame[name].cast(pl.String)


def _parts_of(table: Table, names: Sequence[str]) -> Parts:
    from ostinato.data.formats import month_numbers

    roles = [part.lower() for part in names]
    known = (*PARTS, "quarter", "week")
    if not all(role in known for role in roles):
        roles = list(PARTS[: len(names)])
    found = {
        role: month_numbers(_column(table, part)) if _is_month(table, part) else numbers(table, part, ()).astype(int)
        for role, part in zip(roles, names, strict=False)
    }
    rows = table.rows
    digits = np.where(found["year"] < 100, 2, 4)
    return Parts(found, digits, np.full(rows, np.nan), (), np.full(rows, True))


def refuse_missing(table: Table, name: str, column: pl.Series) -> None:
    """Refuse a column of times in which one is missing.

    Raises:
        DataError: it is; the row is named.
    """
    absent = column.is_null()
    if column.dtype.is_float():
        absent |= column.is_nan().fill_null(True)
    if absent.any():
        row = int(absent.arg_max() or 0)
        raise DataError(f'{table.place(row)}: column "{name}" has no time; every row needs one')


def _refuse_far(table: Table, name: str, column: pl.Series, wanted: TimeFormat) -> None:
    """Refuse numbers that are no times, or that times a little later could not be told from, or are not numbers."""
    import polars as pl

    if column.dtype.is_unsigned_integer():
        far = column.cast(pl.UInt64) >= FARTHEST
    elif column.dtype.is_integer():
        far = (column.cast(pl.Int64) >= FARTHEST) | (column.cast(pl.Int64) <= -FARTHEST)
    elif column.dtype.is_float():
        far = column.cast(pl.Float64).abs() >= FARTHEST
    elif column.dtype == pl.String and wanted.pattern is None:  # a format may have this many digits
        far = (column.str.strip_chars().cast(pl.Float64, strict=False).abs() >= FARTHEST).fill_null(False)
    else:
        return
    if far.any():
        row = int(far.arg_max() or 0)
        raise DataError(
            f'{table.place(row)}: {str(column[row])[:80]} in column "{name}" is too large for a time; expected dates, '
            "or numbers below 2**62"
        )


class AloneRow(Table):
    """A row that came by itself."""

    def place(self, row: int) -> str:  # noqa: ARG002
        """Return how to name it."""
        return "the row"


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
    from ostinato.data.formats import FORMS, match_one

    if wanted.pattern == UNIX:
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
