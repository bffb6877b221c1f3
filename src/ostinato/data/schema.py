"""What each column of a table is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ostinato.errors import UsageError

MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "none", "?", "-", "–", "—", "#N/A")


@dataclass(frozen=True)
class Schema:
    """The roles of the columns of a table, in the wide form or in the long form (`unique_id, ds, y`).

    Args:
        target: columns to forecast; empty: `y` if it is there, else every numeric column without another role.
        time: column of times, or several joined by `+` (`year+month+day+hour`); `None`: guessed, or the rows are
            numbered if there is none.
        series_id: column that says which series a row belongs to; `None`: `unique_id` if it is there.
        past_covariates: columns known only up to now; text columns are one-hot encoded.
        known_covariates: columns known for the coming steps too (a plan, a holiday); text likewise.
        static_covariates: columns that do not change within a series; text likewise.
        frequency: `"h"`, `"D"`, `"B"` (business day), `"W"` (`"W-SUN"`), `"MS"`, `"ME"`, `"BME"`, `"QS"`, `"YS"`, with
            a number before it if need be (`"15min"`); `"5"` for times that are whole numbers; or `"rows"` for equally
            spaced rows, whatever their times; `None`: inferred.
        missing: the texts that mean a missing value.
        decimal: the mark before decimals, `"."` or `","`, in cells that can be read two ways; `None`: found.
        day_first: whether `01/02/2024` is 1 February; `None`: found from all rows, and said where that is a guess.
        time_format: how times are written, as `strptime` has it (`"%d.%m.%y %H:%M"`; `%q` is a quarter), `"unix"`
            of seconds, or milliseconds and the like, since 1970 in UTC, or `"excel"` of days since 1899; `None`: found.
        time_zone: the zone of the times, `"Europe/Berlin"`, `"UTC"` or `"+01:00"`: times without one are as clocks
            there show them, others are brought to it; `None`: that of the times, if they have one.
    """

    target: tuple[str, ...] = ()
    time: str | None = None
    series_id: str | None = None
    past_covariates: tuple[str, ...] = ()
    known_covariates: tuple[str, ...] = ()
    static_covariates: tuple[str, ...] = ()
    frequency: str | None = None
    missing: tuple[str, ...] = MISSING
    decimal: str | None = None
    day_first: bool | None = None
    time_format: str | None = None
    time_zone: str | None = None

    def __post_init__(self) -> None:
        """Refuse a column with two roles, and what is no decimal mark."""
        if self.decimal not in (None, ".", ","):
            raise UsageError(f'decimal is "{self.decimal}"; expected "." or ","')
        for name in ("target", "past_covariates", "known_covariates", "static_covariates", "missing"):
            given = getattr(self, name)
            # one text is one name, not its letters
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        seen: dict[str, str] = {}
        for role in ("target", "past_covariates", "known_covariates", "static_covariates"):
            for name in getattr(self, role):
                if name in seen:
                    raise UsageError(f'column "{name}" is given twice, as {seen[name]} and as {role}; keep one')
                seen[name] = role

    @property
    def used(self) -> tuple[str, ...]:
        """The value columns, targets first."""
        return (*self.target, *self.past_covariates, *self.known_covariates)

    def to_json(self) -> dict[str, Any]:
        """Return the schema as plain data."""
        return {f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v for f in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Schema:
        """Return the schema that `to_json` wrote."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**fields)
