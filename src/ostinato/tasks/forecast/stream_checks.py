"""What a stream of a forecaster refuses: rows of another series, values and jumps out of all proportion, states."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data import Series
from ostinato.data.frames import plain_value
from ostinato.data.identities import NO_NAMES
from ostinato.data.scaling import Affine
from ostinato.data.table import LARGEST
from ostinato.data.times import FARTHEST
from ostinato.errors import StreamRowError, UsageError
from ostinato.tasks.forecast.fitted import Fitted

_STEPS = 10_000  # a gap is believed up to here, or up to a year where that is longer
_YEAR, _CENTURIES = np.timedelta64(366, "D"), np.timedelta64(73_050, "D")
_DECADES = np.timedelta64(10_958, "D")  # thirty years
_LAST = np.datetime64("9999-12-31T23:59:59.999999", "us")
_FIRST = np.datetime64("0001-01-01", "us")
_SCALED = math.sqrt(float(np.finfo(np.float32).max))  # its square is still a float32
_KEYS = ("series", "rows", "seen", "next")


def check_series(cell: Any, column: str, series: str) -> None:
    """Refuse a row that names another series; one that names none is of this one.

    Raises:
        StreamRowError: it does.
    """
    cell = plain_value(cell)
    text = "" if cell is None else str(cell).strip()
    if text in ("", series, *NO_NAMES):
        return
    # a column with a hole comes as floats from many a library: 7.0 is 7, but the text "7.0" is not
    if isinstance(cell, float) and cell.is_integer() and str(int(cell)) == series:
        return
    if isinstance(cell, int) and not isinstance(cell, bool) and series == f"{cell}.0":
        return
    raise StreamRowError(
        f'the row is of "{text[:80]}" (column "{column}"), but the stream is of series "{series}"; push each series '
        "into a stream of its own, with series_id (--series-id)"
    )


def check_size(values: NDArray[np.float64], fitted: Fitted, targets: Affine) -> None:
    """Refuse values that, scaled as the network has them, are too large to compute with.

    Raises:
        StreamRowError: there is one; its column is named.
    """
    center = np.concatenate([targets.center[0], fitted.encoder.scaler.past.center, fitted.encoder.scaler.known.center])
    scale = np.concatenate([targets.scale[0], fitted.encoder.scaler.past.scale, fitted.encoder.scaler.known.scale])
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = np.abs((values - center) / scale) > _SCALED
    if wrong.any():
        at = int(wrong.argmax())
        raise StreamRowError(
            f'{values[at]:g} in column "{fitted.encoder.columns[at]}" is too far from the training data, about '
            f"{center[at]:.3g}, to compute with; expected a value of their size, or null if missing"
        )


def check_jump(fitted: Fitted, time: Any, skipped: int, words: str) -> None:
    """Refuse a time so far ahead that it is rather an error than a gap, or whose forecast no calendar has.

    Raises:
        StreamRowError: it is.
    """
    frequency = fitted.encoder.frequency
    if frequency.has_calendar:
        ahead = frequency.times(time, fitted.settings.horizon + 1, 1)[0]
        if not _FIRST <= np.datetime64(time, "us") <= ahead <= _LAST:
            raise StreamRowError(f"the row's time {words} is out of range: its forecast lies beyond the year 9999")
    if not skipped:
        return
    allowed = skipped <= _STEPS
    if frequency.unit not in ("integer", "row"):
        span = (frequency.times(time, 0, 1) - frequency.times(time, -skipped, 1))[0]
        allowed = (allowed and span <= _CENTURIES) or span <= _YEAR
    if not allowed:
        raise StreamRowError(
            f"the row's time {words} is {skipped} steps of {frequency.describe()} after the one expected, which is "
            "more than a gap; mend the time, or begin a stream with warm=False (--cold) if it is right"
        )


def check_far(time: Any, last: Any, words: str, before: str) -> None:
    """Refuse a time of rows on no grid that is so far after the one before that it is rather an error.

    Raises:
        StreamRowError: it is.
    """
    ahead = time - last
    if isinstance(ahead, np.timedelta64):
        far = bool(ahead > _DECADES)
    else:
        far = float(ahead) > max(float(_STEPS), 100 * abs(float(last)))
    if far:
        raise StreamRowError(
            f"the row's time {words} is far beyond that of the row before, {before}, which is more than a gap; mend "
            "the time, or begin a stream with warm=False (--cold) if it is right"
        )


def model_mark(fitted: Fitted) -> str:
    """Return what tells a model's states from those of models of other data, columns or steps."""
    facts = [
        fitted.encoder.fingerprint,
        list(fitted.encoder.columns),
        fitted.encoder.frequency.alias(),
        fitted.encoder.reach,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def checked_state(state: Any, fitted: Fitted, series: Series) -> tuple[NDArray[np.float64], int, Any, Any]:
    """Return the rows, the count of those seen, and the next and last time of a state from outside.

    Raises:
        UsageError: it is no state, or that of another model or series.
    """
    if not isinstance(state, Mapping) or any(key not in state for key in _KEYS):
        what = f"lacks {_missing(state)}" if isinstance(state, Mapping) else f"is of type {type(state).__name__}"
        raise UsageError(f"the state {what}; expected what state() gives")
    if state["series"] != series.id:
        raise UsageError(f'the state is of series "{str(state["series"])[:80]}"; expected series "{series.id}"')
    # states that older versions gave have no mark
    if "model" in state and state["model"] != model_mark(fitted):
        raise UsageError("the state is of another model; expected one that a stream of this model gave")
    rows = _rows(state["rows"], (fitted.encoder.reach, len(fitted.encoder.columns)))
    seen = state["seen"]
    if isinstance(seen, bool) or not isinstance(seen, (int, np.integer)) or not 0 <= seen <= len(rows):
        raise UsageError(f'"seen" of the state is {str(seen)[:80]}; expected a whole number from 0 to {len(rows)}')
    if not np.isnan(rows[: len(rows) - int(seen)]).all():
        raise UsageError(f'"rows" of the state holds more than the {seen} rows that it has "seen"; expected NaN before')
    following = _time(state["next"], "next", fitted)
    if (following is None) != (seen == 0):
        raise UsageError(
            f'"next" of the state is {state["next"]} after {seen} rows; expected a time once there are rows'
        )
    return rows, int(seen), following, _last(state.get("last"), series)


def _missing(state: Mapping[str, Any]) -> str:
    return next(f'"{key}"' for key in _KEYS if key not in state)


def _rows(given: Any, shape: tuple[int, int]) -> NDArray[np.float64]:
    try:
        rows = np.array(given)
        rows = rows.astype(np.float64) if rows.dtype.kind in "fiu" else np.full(0, np.nan)
    except (TypeError, ValueError, OverflowError):
        rows = np.full(0, np.nan)
    if rows.shape != shape:
        raise UsageError(f'"rows" of the state is no array of numbers of shape {shape}; expected what state() gives')
    if (np.abs(rows) > LARGEST).any():
        raise UsageError('"rows" of the state holds an infinite number, or one too large; expected finite ones, or NaN')
    return rows


def _time(given: Any, name: str, fitted: Fitted) -> Any:
    """Return a time of the grid, in the kind that the grid has."""
    if given is None:
        return None
    unit = fitted.encoder.frequency.unit
    time = _parsed(given)
    if unit == "elapsed":
        good = isinstance(time, np.timedelta64)
    elif unit in ("integer", "row"):
        good = _whole(time) and abs(time) < FARTHEST and (unit == "integer" or time >= 0)
    else:
        good = isinstance(time, np.datetime64) and bool(_FIRST <= time <= _LAST)
    if not good:
        raise UsageError(f'"{name}" of the state is {str(given)[:80]}, which is no time of the model; expected one')
    return time


def _last(given: Any, series: Series) -> Any:
    if given is None:
        return None
    time, like = _parsed(given), series.last
    if isinstance(like, np.datetime64):
        good = isinstance(time, np.datetime64) and bool(_FIRST <= time <= _LAST)
    elif isinstance(like, np.timedelta64):
        good = isinstance(time, np.timedelta64)
    else:
        good = like is not None and (_whole(time) or isinstance(time, float)) and abs(time) < FARTHEST
    if not good:
        raise UsageError(f'"last" of the state is {str(given)[:80]}, which is no time of the model; expected one')
    return time


def _parsed(given: Any) -> Any:
    """Return a time as `state` writes it; `False` for what it never writes."""
    try:
        time = time_from_json(given)
    except (TypeError, ValueError, LookupError, OverflowError):
        return False
    if isinstance(time, (np.datetime64, np.timedelta64)):
        return False if np.isnat(time) else time
    return time


def _whole(time: Any) -> bool:
    return isinstance(time, (int, np.integer)) and not isinstance(time, bool)


def time_to_json(time: Any) -> Any:
    """Return a time of a grid as plain data: a date as text, a time gone by as microseconds, a number as it is."""
    if isinstance(time, np.datetime64):
        return str(time)
    if isinstance(time, np.timedelta64):
        return {"microseconds": int(time.astype("timedelta64[us]").astype(np.int64))}
    return time if time is None or (isinstance(time, float) and not time.is_integer()) else int(time)


def time_from_json(time: Any) -> Any:
    """Return what `time_to_json` wrote."""
    if isinstance(time, str):
        return np.datetime64(time, "us")
    return np.timedelta64(time["microseconds"], "us") if isinstance(time, Mapping) else time
