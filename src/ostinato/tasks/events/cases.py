"""From an event log to numbers: what a network reads at each event, and what it is to foretell after it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostinato.data import EventLog, TimeFormat, read_event_log
from ostinato.errors import DataError, UsageError
from ostinato.tasks.events.features import Floats, TimeFeatures

Log: TypeAlias = "str | Path | EventLog | Any"
"""A path, an `EventLog`, or anything else that `read_table` takes."""
END, UNSEEN = "(end of case)", "(not seen in training)"


@dataclass(frozen=True)
class Parts:
    """A log in its parts."""

    train: EventLog
    validation: EventLog | None
    test: EventLog | None
    protocol: str


@dataclass(frozen=True)
class Case:
    """A case as numbers, one an event, `(events,)`.

    `kinds`: the activity, from 1, 0 if it was not seen in training; `features`: `(events, FEATURES)`; `following`: the
    class of what comes next, `len(known)` for the end of the case and one more for what was not seen in training;
    `waits`: `(events, 2)`, seconds until the next event and until the last one, NaN where there is none or it is not
    known.
    """

    kinds: NDArray[np.int64]
    features: Floats
    following: NDArray[np.int64]
    waits: Floats


@dataclass(frozen=True)
class Encoded:
    """The parts of a log as numbers."""

    train: list[Case]
    validation: list[Case]
    test: list[Case]


def read_log(parameters: Mapping[str, Any], source: Log, time_format: TimeFormat | None = None) -> EventLog:
    """Read a log by the columns that an `EventPredictor` is told.

    Args:
        parameters: of the predictor.
        source: the log.
        time_format: how the times of the training data are written; `None`: these are they.
    """
    if isinstance(source, EventLog):
        return source
    columns = {name: parameters[name] for name in ("case", "activity")}
    options = {name: parameters[name] for name in ("day_first", "time_format", "time_zone")}
    time_format = time_format or TimeFormat.wanted(**options)
    return read_event_log(source, **columns, time=parameters["time"] or None, time_format=time_format)


def read_parts(parameters: Mapping[str, Any], data: Log, validation: Log | None, test: Log | None) -> Parts:
    """Read logs and hold out the last cases.

    Raises:
        DataError: a log cannot be read, or too little is left to train on.
        UsageError: a share or the order is out of range.
    """
    order = parameters["order"]
    if order not in ("start", "file"):
        raise UsageError(f'order is "{order}"; expected "start" or "file"')
    log = read_log(parameters, data)
    rows = np.argsort(log.starts, kind="stable") if order == "start" else np.arange(len(log))
    held = {"test": test, "validation": validation}
    parts: dict[str, EventLog | None] = {}
    for name, given in held.items():
        share = parameters[name]
        if not 0 <= share < 1:
            raise UsageError(f"{name} is {share}; expected a share from 0 to 1, 1 excluded")
        count = 0 if given is not None else round(len(rows) * share)
        rows, last = rows[: len(rows) - count], rows[len(rows) - count :]
        parts[name] = (
            read_log(parameters, given, log.time_format) if given is not None else log.take(last) if count else None
        )
    if not len(rows) or not any(len(log.activities[row]) for row in rows):
        raise DataError(f"{log.origin} leaves {len(rows)} cases to train on; give more, or hold fewer out")
    by = "that start last" if order == "start" else "of the file"
    which = f"the last {100 * parameters['test']:.4g} % of cases, {by}" if test is None else "a log of its own"
    return Parts(log.take(rows), parts["validation"], parts["test"], f"test: {which}")


def joined(first: EventLog, second: EventLog) -> EventLog:
    """Return the cases of two logs, one behind the other.

    Raises:
        DataError: one has times and the other numbers.
    """
    if first.starts.dtype.kind != second.starts.dtype.kind:
        raise DataError(f"{first.origin} has other times than {second.origin}; expected times, or numbers, in both")
    return EventLog(
        first.origin,
        first.cases + second.cases,
        first.activities + second.activities,
        first.gaps + second.gaps,
        np.concatenate([first.starts, second.starts]),
        first.time_format,
    )


def fingerprint_of(*logs: EventLog | None) -> str:
    """Return a checksum of what is trained on."""
    digest = hashlib.sha256()
    for log in filter(None, logs):
        digest.update(repr((log.cases, log.activities)).encode("utf-8", "surrogatepass"))
        digest.update(np.concatenate(log.gaps).tobytes())
    return digest.hexdigest()


def encode_case(
    log: EventLog, row: int, index: Mapping[str, int], features: TimeFeatures, moments: Floats, *, ended: bool = True
) -> Case:
    """Return one case of a log as numbers.

    Args:
        log: with the case.
        row: its place.
        index: activity -> number, from 1.
        features: what makes features of times.
        moments: of its events; see `EventLog.moments`.
        ended: whether its last event is known to be the last.
    """
    gaps = log.gaps[row]
    kinds = np.array([index.get(name, 0) for name in log.activities[row]], np.int64)
    last = len(index) if ended else -100
    following = np.append(np.where(kinds[1:] == 0, len(index) + 1, kinds[1:] - 1), last)
    elapsed = np.cumsum(gaps)
    left = np.append((elapsed[-1] - elapsed)[:-1], np.nan)
    return Case(kinds, features.of_case(gaps, moments), following, np.stack([np.append(gaps[1:], np.nan), left], -1))


def encode_log(log: EventLog, known: tuple[str, ...], features: TimeFeatures) -> list[Case]:
    """Return all cases of a log as numbers."""
    index = {name: number for number, name in enumerate(known, 1)}
    return [encode_case(log, row, index, features, moments) for row, moments in enumerate(log.moments)]
